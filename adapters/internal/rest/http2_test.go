package rest_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

// A server that speaks HTTP/2 can say that it has not looked at a request: by
// REFUSED_STREAM, or by a GOAWAY that names an earlier stream. That would prove that
// it was not executed, but net/http tells of it in an error's text only, and no proof
// may hang on that: it is Unknown, and found out by a look-up. The request is not sent again.
func TestHTTP2Unprocessed(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(stream uint32) []byte{
		"REFUSED_STREAM": func(stream uint32) []byte { return frame(3, stream, []byte{0, 0, 0, 7}) },
		"GOAWAY":         func(uint32) []byte { return frame(7, 0, make([]byte, 8)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base, client, seen := serveHTTP2(t, answer)
			c := rest.Client{HTTP: client, Base: base}
			_, err := c.Do(t.Context(), rest.Request{Op: "create", Method: http.MethodPost, Path: "/x", Body: map[string]string{"a": "b"}})
			var e *normalize.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, normalize.Unknown, e.Outcome, "%v", err)
			require.ErrorContains(t, err, name, "it is what net/http met")
			require.EqualValues(t, 1, seen.Load(), "requests")
		})
	}
}

// serveHTTP2 answers each request's HEADERS with a frame, and nothing else.
func serveHTTP2(t *testing.T, answer func(stream uint32) []byte) (*url.URL, *http.Client, *atomic.Int64) {
	t.Helper()
	s := httptest.NewTLSServer(http.NotFoundHandler())
	s.Close()
	conf := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: s.TLS.Certificates, NextProtos: []string{"h2"}}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	var seen atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				speakHTTP2(tls.Server(c, conf), answer, &seen)
			}()
		}
	}()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	tr := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: "example.com"}}
	t.Cleanup(tr.CloseIdleConnections)
	return &url.URL{Scheme: "https", Host: l.Addr().String()}, &http.Client{Transport: tr, Timeout: 20 * time.Second}, &seen
}

func speakHTTP2(c io.ReadWriter, answer func(stream uint32) []byte, seen *atomic.Int64) {
	if _, err := io.ReadFull(c, make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))); err != nil {
		return
	}
	_, _ = c.Write(frame(4, 0, nil)) // SETTINGS
	for head := make([]byte, 9); ; {
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		_, _ = io.CopyN(io.Discard, c, int64(head[0])<<16|int64(head[1])<<8|int64(head[2]))
		if head[3] == 1 { // HEADERS
			seen.Add(1)
			_, _ = c.Write(answer(binary.BigEndian.Uint32(head[5:])))
		}
	}
}

func frame(kind byte, stream uint32, payload []byte) []byte {
	n := len(payload)
	return append(binary.BigEndian.AppendUint32([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, 0}, stream), payload...)
}
