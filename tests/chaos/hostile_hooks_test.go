package chaos

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// hostileReceiver is an endpoint of events that does not come to an end.
type hostileReceiver struct {
	*httptest.Server
	mu    sync.Mutex
	held  []time.Duration // how long each delivery's connection was kept
	wrote int64
}

// newHostileReceiver answers with what next gives, again and again, until nobody reads
// it any more.
func newHostileReceiver(t *testing.T, header http.Header, next func() []byte) *hostileReceiver {
	t.Helper()
	h := &hostileReceiver{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		_, _ = io.Copy(io.Discard, r.Body)
		maps.Copy(w.Header(), header)
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		wrote := int64(0)
		for r.Context().Err() == nil && wrote < 100<<20 {
			n, err := w.Write(next())
			if wrote += int64(n); err != nil || http.NewResponseController(w).Flush() != nil {
				break
			}
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.held, h.wrote = append(h.held, time.Since(begin)), h.wrote+wrote
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hostileReceiver) ended() (held []time.Duration, wrote int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.held, h.wrote
}

// zipped is so many MiB of nothing.
func zipped(t *testing.T, mib int) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for range mib {
		_, err := z.Write(make([]byte, 1<<20))
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	return b.Bytes()
}

// A receiver of events that answers with 100 MB, with what unpacks to 100 MB, or with a
// byte a second costs the gateway less than 8 MiB, and no more than a delivery's ten
// seconds and a half; what another endpoint is told of does not wait for it.
func TestHostileReceiversCostLittle(t *testing.T) {
	bomb, much := zipped(t, 100), make([]byte, 1<<20)
	hostile := map[string]*hostileReceiver{
		"100 MB": newHostileReceiver(t, nil, func() []byte { return much }),
		"a bomb": newHostileReceiver(t, http.Header{"Content-Encoding": {"gzip"}}, func() []byte { return bomb }),
		"a byte a second": newHostileReceiver(t, nil, func() []byte {
			time.Sleep(time.Second)
			return []byte("x")
		}),
	}
	for name, h := range hostile {
		t.Run(name, func(t *testing.T) {
			good := listen(t)
			w := newWorld(t, 0)
			g := w.newGatewayAs(t, settings{events: fmt.Sprintf(
				"events: {endpoints: [{url: %q, secrets: [env:CHAOS_EVENT_SECRET], types: [instrument.updated]}, {url: %q, secrets: [env:CHAOS_EVENT_SECRET]}]}", h.URL, good.url)})
			w.gateways = append(w.gateways, g)
			id := seedInstrument(t, g)
			eventually(t, 20*time.Second, "the good endpoint hears of the first event", func() bool { return good.of("instrument.created")[id] })
			before, peak, begin := g.Memory(), watchMemory(g), time.Now()
			a := g.send(t.Context(), "acme0000", http.MethodPatch, "/v1/instruments/"+id, "", object{"metadata": object{"k": "v"}})
			require.Equal(t, http.StatusOK, a.status, "%s", a.raw)
			eventually(t, 5*time.Second, "the good endpoint hears at once", func() bool { return good.of("instrument.updated")[id] })
			heard := time.Since(begin)
			eventually(t, 20*time.Second, "the gateway is done with the other", func() bool { held, _ := h.ended(); return len(held) > 0 })
			grown := peak() - before
			held, wrote := h.ended()
			t.Logf("the other endpoint heard after %s; %s was left after %s and %d KiB, memory grew by %d KiB",
				heard.Round(time.Millisecond), name, held[0].Round(time.Millisecond), wrote>>10, grown>>10)
			require.LessOrEqual(t, held[0], 10500*time.Millisecond+time.Second, "a delivery has ten seconds; the receiver sees at its next byte that it is over")
			require.Less(t, grown, int64(8<<20))
			require.Less(t, wrote, int64(32<<20), "it was not read to its end")
		})
	}
}

// What anybody may send as a webhook is bounded before it is known who sends it: 100 MB,
// told or not, and what unpacks to 100 MB, are refused at once and cost less than 8 MiB;
// bodies that come a byte a second are cut off within 17 seconds, however many there are,
// while the provider's own are heard.
func TestHostileWebhooksCostLittle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	g := w.newGatewayAs(t, settings{hooks: map[string]string{
		cybersource: fmt.Sprintf(", webhook_keys: [{key_id: %s, key: %q}]", hookKeyID, hookKey),
		rebilly:     fmt.Sprintf(", webhook_credentials: [{username: %s, password: %s}]", hookUser, hookPassword),
		bigcommerce: fmt.Sprintf(", webhook_secrets: [%s]", hookSecret),
	}})
	w.gateways = append(w.gateways, g)
	seedInstrument(t, g)
	addr := strings.TrimPrefix(g.url, "http://")
	for _, provider := range providers() {
		head := "POST /v1/webhooks/" + provider + " HTTP/1.1\r\nHost: x\r\n"
		for name, request := range map[string]struct {
			head string
			body []byte
			want []int
		}{
			"100 MB, as it says":       {head + "Content-Length: 104857600\r\n\r\n", bytes.Repeat([]byte("x"), 1<<20), []int{http.StatusRequestEntityTooLarge}},
			"100 MB, in chunks":        {head + "Transfer-Encoding: chunked\r\n\r\n", append([]byte("100000\r\n"), append(bytes.Repeat([]byte("x"), 1<<20), '\r', '\n')...), []int{http.StatusRequestEntityTooLarge}},
			"what unpacks to 50 MB":    {head + fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", len(zipped(t, 50))), zipped(t, 50), []int{http.StatusUnauthorized}},
			"20,000 levels of nothing": {head + "Content-Length: 40000\r\nConnection: close\r\n\r\n", []byte(strings.Repeat("[", 20000) + strings.Repeat("]", 20000)), []int{http.StatusUnauthorized}},
		} {
			before, peak, begin := g.Memory(), watchMemory(g), time.Now()
			status, sent := flood(t, addr, request.head, request.body)
			grown, took := peak()-before, time.Since(begin)
			t.Logf("%-16s %-24s %d after %s and %d KiB, memory grew by %d KiB", provider, name, status, took.Round(time.Millisecond), sent>>10, grown>>10)
			require.Contains(t, request.want, status, name)
			require.Less(t, took, 1500*time.Millisecond)
			require.Less(t, grown, int64(8<<20))
		}
	}
	clients := size(60, 1000)
	closed := make([]time.Duration, clients)
	var slow sync.WaitGroup
	for i := range clients {
		slow.Go(func() {
			closed[i] = drip(t, addr, "POST /v1/webhooks/"+providers()[i%3]+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"+strings.Repeat(" ", 60), 25*time.Second)
		})
	}
	time.Sleep(2 * time.Second)
	h := http.Header{}
	h.Set("Authorization", basic(hookUser, hookPassword))
	for range 20 {
		begin := time.Now()
		a := g.hear(t.Context(), notice{rebilly, h, []byte(`{"eventType":"invoice-paid"}`)})
		require.Equal(t, http.StatusOK, a.status, "%s", a.raw)
		require.Less(t, time.Since(begin), 2*time.Second)
	}
	slow.Wait()
	last := time.Duration(0)
	for _, d := range closed {
		last = max(last, d)
	}
	t.Logf("%d bodies of a byte a second were cut off after at most %s", clients, last.Round(time.Millisecond))
	require.LessOrEqual(t, last, 17*time.Second)
}

func basic(user, password string) string {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, password)
	return r.Header.Get("Authorization")
}

// flood sends a head and then body again and again, up to 100 MB, until it is answered
// or cut off.
func flood(t *testing.T, addr, head string, body []byte) (status int, sent int64) {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(t.Context(), "tcp", addr)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	done := make(chan int, 1)
	go func() {
		line := make([]byte, 12) // HTTP/1.1 413
		_, err := io.ReadFull(conn, line)
		if err != nil && !errors.Is(err, io.EOF) {
			line = append(line[:0], "HTTP/1.1 000"...)
		}
		n := 0
		_, _ = fmt.Sscan(string(line[9:]), &n)
		done <- n
	}()
	_, _ = io.WriteString(conn, head)
	whole := !strings.Contains(head, "104857600") && !strings.Contains(head, "chunked")
	for sent < 100<<20 {
		n, err := conn.Write(body)
		if sent += int64(n); err != nil || whole || len(done) > 0 {
			break
		}
	}
	return <-done, sent
}
