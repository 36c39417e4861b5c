package gateway

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A tenant's endpoint is an address that somebody wrote down. Whatever it resolves to,
// nothing of the gateway's own network is called, and no answer leads to another place.
func TestEndpointsAreNeverPrivateAndNeverFollowed(t *testing.T) {
	t.Parallel()
	// No connection may come, whatever would be said over it.
	var inside atomic.Int32
	private, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it listens at once
	require.NoError(t, err)
	t.Cleanup(func() { _ = private.Close() })
	go func() {
		for {
			conn, err := private.Accept()
			if err != nil {
				return
			}
			inside.Add(1)
			_ = conn.Close()
		}
	}()
	_, port, err := net.SplitHostPort(private.Addr().String())
	require.NoError(t, err)
	ev := event{ID: "evt_1", Body: "{}"}
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0.0.0.0", "169.254.169.254", "10.0.0.1", "100.64.0.1", "[fd00::1]", "[64:ff9b::7f00:1]"} {
		e, err := newEndpoint(acme, hookAt("https://"+host+":"+port+"/"), false)
		require.NoError(t, err, host)
		begin := time.Now()
		require.Equal(t, outcome{err: "connection"}, e.send(t.Context(), ev, time.Now()), host)
		require.Less(t, time.Since(begin), 5*time.Second, host)
	}
	require.Zero(t, inside.Load())

	var followed atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	t.Cleanup(elsewhere.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, status) }))
		e, err := newEndpoint(acme, hookAt(away.URL), true)
		require.NoError(t, err)
		require.Equal(t, outcome{status: status, err: "status"}, e.send(t.Context(), ev, time.Now()))
		away.Close()
	}
	require.Zero(t, followed.Load())
}
