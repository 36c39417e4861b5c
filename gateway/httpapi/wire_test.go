package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// listen serves the rig's API on a real socket, with the limits of [Server].
func listen(t *testing.T, r *rig) (addr string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := Server("", r.api.Handler())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		_ = s.Shutdown(context.WithoutCancel(t.Context()))
		<-done
	})
	return l.Addr().String()
}

// served counts the requests that were answered with success.
func served(r *rig) int {
	n := 0
	for _, line := range r.logs.FilterMessage("request").All() {
		if status, ok := line.ContextMap()["status"].(int64); ok && status < 300 {
			n++
		}
	}
	return n
}

// exchangeRaw sends bytes and returns every answer's status until the server closes.
func exchangeRaw(t *testing.T, addr, raw string) (statuses []int, rest string) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, _ = io.WriteString(conn, raw)
	tcp, ok := conn.(*net.TCPConn)
	require.True(t, ok)
	_ = tcp.CloseWrite()
	var all strings.Builder
	reader := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(reader, nil)
		if err != nil {
			return statuses, all.String()
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		statuses = append(statuses, resp.StatusCode)
		fmt.Fprint(&all, resp.Header, string(b))
		if resp.Close {
			return statuses, all.String()
		}
	}
}

// What is smuggled behind one request would be a second one to a proxy in front, or the
// other way round. Every form is refused with 400 before a handler sees it, and the
// connection ends.
func TestSmuggledRequestsAreRefused(t *testing.T) {
	t.Parallel()
	const start = "POST /v1/instruments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + fullKey + "\r\nIdempotency-Key: k\r\nContent-Type: application/json\r\n"
	second := "GET /v1/providers HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + fullKey + "\r\n\r\n"
	body := goodCreate
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	for name, tt := range map[string]struct {
		raw    string
		status []int
	}{
		"two lengths that differ":             {start + "Content-Length: 4\r\nContent-Length: 400\r\n\r\n" + body + second, []int{400}},
		"a list of lengths":                   {start + "Content-Length: 4, 5\r\n\r\n" + body + second, []int{400}},
		"a negative length":                   {start + "Content-Length: -1\r\n\r\n" + second, []int{400}},
		"a length with a plus":                {start + "Content-Length: +4\r\n\r\nnull" + second, []int{400}},
		"a length in hexadecimal":             {start + "Content-Length: 0x4\r\n\r\nnull" + second, []int{400}},
		"a length over 64 bits":               {start + "Content-Length: 99999999999999999999\r\n\r\n" + second, []int{400}},
		"an unknown coding":                   {start + "Transfer-Encoding: gzip\r\n\r\n" + second, []int{501}},
		"a coding and chunked":                {start + "Transfer-Encoding: gzip, chunked\r\n\r\n" + chunked, []int{501}},
		"chunked twice":                       {start + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked, []int{501, 400}},
		"chunked with a space before":         {start + "Transfer-Encoding : chunked\r\n\r\n" + chunked, []int{400}},
		"chunked with a vertical tab":         {start + "Transfer-Encoding: \x0bchunked\r\n\r\n" + chunked, []int{501, 400}},
		"a folded header":                     {start + "X-A: b\r\n c\r\n\r\n", nil},
		"a folded first header":               {"GET / HTTP/1.1\r\n Host: x\r\n\r\n", []int{400}},
		"a header without a colon":            {start + "Nonsense\r\n\r\n", []int{400}},
		"a header name with a space":          {start + "X A: b\r\n\r\n", []int{400}},
		"a NUL in a header":                   {start + "X-A: b\x00c\r\n\r\n", []int{400}},
		"a bare carriage return in a header":  {start + "X-A: b\rc\r\n\r\n", []int{400}},
		"no host":                             {"GET /v1/providers HTTP/1.1\r\n\r\n", []int{400}},
		"two hosts":                           {"GET /v1/providers HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", []int{400}},
		"a host with a space":                 {"GET /v1/providers HTTP/1.1\r\nHost: a b\r\n\r\n", []int{400}},
		"HTTP/3.0":                            {"GET /v1/providers HTTP/3.0\r\nHost: a\r\n\r\n", []int{505, 400}},
		"no version":                          {"GET /v1/providers\r\n\r\n", []int{400}},
		"a request line of two spaces":        {"GET  /v1/providers HTTP/1.1\r\nHost: x\r\n\r\n", []int{400}},
		"a method with a bracket":             {"GE(T /v1/providers HTTP/1.1\r\nHost: x\r\n\r\n", []int{400}},
		"a target with a line break":          {"GET /v1/provi\nders HTTP/1.1\r\nHost: x\r\n\r\n", []int{400}},
		"a bad escape in the target":          {"GET /v1/%zz HTTP/1.1\r\nHost: x\r\n\r\n", []int{400}},
		"TLS spoken to a plain port":          {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", []int{400}},
		"the preface of HTTP/2":               {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{505, 400, 404, 405}},
		"a chunk of a bad size":               {start + "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n" + second, []int{400}},
		"a chunk that is longer than it says": {start + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n" + second, []int{400}},
		"a chunk of 16 digits":                {start + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n", []int{400}},
		"chunks that end early":               {start + "Transfer-Encoding: chunked\r\n\r\n20\r\n{\"a\":", []int{400}},
		"a length longer than the body":       {start + "Content-Length: 400\r\n\r\n{\"a\":", []int{400}},
		"headers of more than 16 KiB":         {start + "X-A: " + strings.Repeat("a", 17<<10) + "\r\n\r\n", []int{431}},
		"a thousand headers":                  {start + strings.Repeat("X-A: aaaaaaaaaaaa\r\n", 1000) + "\r\n", []int{431}},
		"a target of more than 16 KiB":        {"GET /" + strings.Repeat("a", 17<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", []int{431}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			statuses, rest := exchangeRaw(t, listen(t, r), tt.raw)
			require.LessOrEqual(t, len(statuses), 1, "one answer, and the connection ends: %v", statuses)
			if len(statuses) == 1 && tt.status != nil {
				require.Contains(t, tt.status, statuses[0], rest)
			}
			require.Zero(t, served(r), "a request was served")
			require.NotContains(t, rest, fullKey)
		})
	}
}

// With both a length and chunks, net/http goes by the chunks (RFC 9112, 6.3) and closes
// the connection after the answer, so that nothing behind them is read as a request.
func TestALengthBesideChunksSmugglesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	body := goodCreate
	raw := "POST /v1/instruments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + fullKey + "\r\nIdempotency-Key: k\r\nContent-Type: application/json\r\n" +
		fmt.Sprintf("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body) +
		"GET /v1/providers HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + fullKey + "\r\n\r\n"
	statuses, rest := exchangeRaw(t, listen(t, r), raw)
	require.Len(t, statuses, 1, rest)
	require.LessOrEqual(t, served(r), 1)
}

// Requests that come all at once on a connection are answered in their order.
func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	var raw strings.Builder
	for i := range 50 {
		path := "/healthz"
		if i%2 == 1 {
			path = "/v1/none"
		}
		fmt.Fprintf(&raw, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
	}
	statuses, _ := exchangeRaw(t, listen(t, newRig(t)), raw.String())
	require.Len(t, statuses, 50)
	for i, status := range statuses {
		require.Equal(t, []int{200, 404}[i%2], status)
	}
}
