package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSandboxServesTheStandInsUntilItIsStopped(t *testing.T) {
	t.Parallel()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	r := start(t, "sandbox", "--cybersource", "127.0.0.1:0", "--rebilly", "127.0.0.1:0", "--bigcommerce", "127.0.0.1:0", "--tls-ca-out", ca)
	for line, credential := range map[string]string{
		"cybersource  http://": "testmerchant", "rebilly      http://": "sk_sandbox_polyvault", "bigcommerce  http://": "sandbox-token",
	} {
		printed := find(t, r, &r.stdout, line)
		require.Contains(t, printed, credential)
		status, body := request(t, "GET", strings.Fields(printed)[1]+"/_sandbox/state", "", "")
		require.Equal(t, 200, status, body)
	}

	secure := strings.Fields(find(t, r, &r.stdout, "cybersource  https://"))[1]
	pem, err := os.ReadFile(ca)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(pem))
	_, port, err := net.SplitHostPort(strings.TrimPrefix(secure, "https://"))
	require.NoError(t, err)
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}}
	for _, host := range []string{"localhost", "127.0.0.1"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+net.JoinHostPort(host, port)+"/_sandbox/state", http.NoBody)
		require.NoError(t, err)
		resp, err := client.Do(req)
		require.NoError(t, err, "the certificate is for %s", host)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, 200, resp.StatusCode)
	}

	require.Equal(t, exitOK, r.stop(t), r.stderr.String())
	require.Empty(t, r.stderr.String())
}

func TestSandboxSaysWhichAddressIsTaken(t *testing.T) {
	t.Parallel()
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = taken.Close() })
	code, _, stderr := execute(t, "sandbox", "--cybersource", "127.0.0.1:0", "--rebilly", taken.Addr().String(), "--bigcommerce", "")
	require.Equal(t, exitFailure, code)
	require.Contains(t, stderr, "the stand-in of rebilly cannot listen")
	require.Contains(t, stderr, "address already in use")
}
