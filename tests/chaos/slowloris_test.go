package chaos

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Clients that send one byte a second, headers or nothing at all, are closed within 6
// seconds, 1,000 at a time, and those that drip a body within 17. Meanwhile requests are
// answered as quickly as without them; how quickly is compared in the full size only,
// where nothing else runs.
func TestSlowClientsAreClosed(t *testing.T) {
	w := newWorld(t, 1)
	g := w.gateways[0]
	id := seedInstrument(t, g)
	calm := readsFor(t, g, id, time.Duration(size(1, 8))*time.Second)
	addr := strings.TrimPrefix(g.url, "http://")
	clients := size(100, 1000)
	begin := time.Now()
	var slow sync.WaitGroup
	closed := make([]time.Duration, clients)
	for i := range clients {
		slow.Go(func() {
			closed[i] = drip(t, addr, "GET /v1/instruments HTTP/1.1\r\nHost: x\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 10*time.Second)
		})
	}
	var silent, body time.Duration
	slow.Go(func() { silent = drip(t, addr, "", 10*time.Second) })
	slow.Go(func() {
		body = drip(t, addr, "POST /v1/instruments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+apiKey("acme0000")+
			"\r\nIdempotency-Key: slow\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"+strings.Repeat(" ", 60), 25*time.Second)
	})
	stormy := readsFor(t, g, id, time.Duration(size(1, 8))*time.Second)
	slow.Wait()
	last := slices.Max(closed)
	t.Logf("%d clients that drip a header were closed after at most %s, a silent one after %s, one that drips a body after %s; all in %s",
		clients, last.Round(time.Millisecond), silent.Round(time.Millisecond), body.Round(time.Millisecond), time.Since(begin).Round(time.Millisecond))
	require.LessOrEqual(t, last, 6*time.Second)
	require.LessOrEqual(t, silent, 6*time.Second)
	require.LessOrEqual(t, body, 17*time.Second)
	require.Greater(t, slices.Min(closed), 4*time.Second, "a client has five seconds for its header")
	t.Logf("99 of 100 stored reads within %s without them, within %s among them (%d and %d reads)", p99(calm), p99(stormy), len(calm), len(stormy))
	if *full {
		require.LessOrEqual(t, p99(stormy), 2*p99(calm)+10*time.Millisecond)
	}
	require.NotEmpty(t, readsFor(t, g, id, 100*time.Millisecond), "the gateway goes on")
}

// drip sends head at once but for its last 30 bytes, then those one a second, and returns
// how long the connection was open; patience if it still is.
func drip(t *testing.T, addr, head string, patience time.Duration) time.Duration {
	t.Helper()
	begin := time.Now()
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return patience
	}
	defer func() { _ = conn.Close() }()
	at := max(0, len(head)-30)
	_, _ = io.WriteString(conn, head[:at])
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for ; at < len(head); at++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_, _ = io.WriteString(conn, head[at:at+1])
			}
		}
	}()
	_ = conn.SetReadDeadline(begin.Add(patience))
	_, err = io.Copy(io.Discard, conn) // an answer may come before the end
	if netErr := net.Error(nil); errors.As(err, &netErr) && netErr.Timeout() {
		return patience + time.Hour
	}
	return time.Since(begin)
}

// seedInstrument stores one instrument.
func seedInstrument(t *testing.T, g *gateway) string {
	t.Helper()
	a := g.create(t.Context(), "seed", create(1, rebilly))
	require.Equal(t, http.StatusCreated, a.status)
	return a.str("id")
}

// readsFor reads an instrument from the record again and again, and returns how long each took.
func readsFor(t *testing.T, g *gateway, id string, span time.Duration) []time.Duration {
	t.Helper()
	var took []time.Duration
	for end := time.Now().Add(span); time.Now().Before(end); {
		begin := time.Now()
		a := g.send(t.Context(), "acme0000", http.MethodGet, "/v1/instruments/"+id+"?read=stored", "", nil)
		took = append(took, time.Since(begin))
		require.Equal(t, http.StatusOK, a.status)
		time.Sleep(2 * time.Millisecond)
	}
	return took
}

func p99(took []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(took))
	return sorted[len(sorted)*99/100].Round(10 * time.Microsecond)
}
