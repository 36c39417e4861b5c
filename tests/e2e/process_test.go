// Package e2e runs the built binary: `polyvault sandbox` for the providers,
// `polyvault serve` for the gateways, over a real redis-server and over bbolt.
package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// build makes the binary once for all tests of the package.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "polyvault-e2e-")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "polyvault")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-o", bin, "../../cmd/polyvault")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return bin, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if bin, err := build(); err == nil {
		_ = os.RemoveAll(filepath.Dir(bin))
	}
	os.Exit(code)
}

// process is one running polyvault.
type process struct {
	cmd  *exec.Cmd
	log  *safeBuffer
	done chan struct{} // closed when it has ended
	err  error         // of its end; read it after done
}

func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	bin, err := build()
	require.NoError(t, err)
	// Not bound to the test's context: the process is ended by SIGTERM, in Cleanup.
	p := &process{cmd: exec.CommandContext(context.WithoutCancel(t.Context()), bin, args...), log: &safeBuffer{}, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir = p.log, p.log, t.TempDir()
	p.cmd.Env = append(os.Environ(), env...)
	require.NoError(t, p.cmd.Start())
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(30 * time.Second):
			_ = p.cmd.Process.Kill()
			<-p.done
		}
		if t.Failed() {
			t.Logf("polyvault %s said:\n%s", strings.Join(args, " "), p.log.String())
		}
	})
	return p
}

// terminate sends SIGTERM and returns the exit error.
func (p *process) terminate(t *testing.T) error {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-p.done:
		return p.err
	case <-time.After(30 * time.Second):
		require.Fail(t, "the process did not end within 30 s of SIGTERM")
		return nil
	}
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// nextPort counts through ports below those that the kernel gives to outgoing
// connections, so that neither they nor another test of this process take one
// between its choice and its use.
var nextPort = func() *atomic.Int64 {
	n := &atomic.Int64{}
	n.Store(int64(os.Getpid() * 37 % 10_000))
	return n
}()

// freePort returns an address that nothing listens on and that no other call returns.
func freePort(t *testing.T) string {
	t.Helper()
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", 20_000+nextPort.Add(1)%10_000)
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", addr)
		if err != nil {
			continue
		}
		require.NoError(t, l.Close())
		return addr
	}
	require.Fail(t, "no port is free")
	return ""
}

// waitFor polls a URL until it answers 200.
func waitFor(t *testing.T, p *process, url string) {
	t.Helper()
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, 30*time.Second, 20*time.Millisecond, "%s does not answer; the process said: %s", url, p.log)
}

// sandbox is the three stand-ins in a process of their own.
type sandbox struct{ cybersource, rebilly, bigcommerce string }

func startSandbox(t *testing.T) sandbox {
	t.Helper()
	s := sandbox{freePort(t), freePort(t), freePort(t)}
	p := start(t, nil, "sandbox", "--cybersource", s.cybersource, "--rebilly", s.rebilly, "--bigcommerce", s.bigcommerce)
	for _, addr := range []string{s.cybersource, s.rebilly, s.bigcommerce} {
		waitFor(t, p, "http://"+addr+"/_sandbox/state")
	}
	return s
}

// gateway is one running `polyvault serve`.
type gateway struct {
	*process
	url, key, readKey, tokensKey string
}

// apiKey makes a key in the form that the gateway gives out.
func apiKey(prefix string) (key, digest string) {
	key = "pv_test_" + prefix + "_" + strings.Repeat("A", 43)
	sum := sha256.Sum256([]byte(key))
	return key, hex.EncodeToString(sum[:])
}

func newReferenceKey(t *testing.T) string {
	t.Helper()
	b := make([]byte, 32)
	_, err := rand.Read(b)
	require.NoError(t, err)
	return base64.StdEncoding.EncodeToString(b)
}

const allScopes = "instruments:read, instruments:write, customers:read, customers:write, providers:read, references:read"

// startGateway serves with the store section that is given. Gateways that share a
// store must share the reference key.
func startGateway(t *testing.T, s sandbox, store, referenceKey string) gateway {
	t.Helper()
	g := gateway{}
	var digest, readDigest, tokensDigest string
	g.key, digest = apiKey("checkout")
	g.readKey, readDigest = apiKey("readonly")
	g.tokensKey, tokensDigest = apiKey("nocards0")
	listen := freePort(t)
	file := filepath.Join(t.TempDir(), "polyvault.yaml")
	require.NoError(t, os.WriteFile(file, []byte(fmt.Sprintf(`
listen: %s
admin_listen: %s
store:
%s
keys:
  reference: env:E2E_REFERENCE_KEY
tenants:
  - name: acme
    accept_raw_card: true
    api_keys:
      - {name: checkout, sha256: %q, scopes: [%s]}
      - {name: reader, sha256: %q, scopes: [instruments:read]}
  - name: other
    api_keys:
      - {name: checkout, sha256: %q, scopes: [%s]}
providers:
  - name: cybersource-us
    type: cybersource
    config: {base_url: "http://%s", merchant_id: testmerchant, key_id: "08c94330-f618-42a3-b09d-e1e43be5efda", shared_secret: env:E2E_CYBERSOURCE_SECRET}
  - name: rebilly-main
    type: rebilly
    config: {base_url: "http://%s", organization_id: org_sandbox, api_key: env:E2E_REBILLY_KEY}
  - name: bigcommerce-main
    type: bigcommerce
    config: {base_url: "http://%s", store_hash: sandbox, access_token: env:E2E_BIGCOMMERCE_TOKEN}
routes:
  - name: us-cards
    match: {country: [US], type: [card]}
    providers: [cybersource-us, rebilly-main]
  - name: default
    providers: [rebilly-main, bigcommerce-main]
insecure_providers: true
log: {level: debug, format: json}
`, listen, freePort(t), store, digest, allScopes, readDigest, tokensDigest, allScopes,
		s.cybersource, s.rebilly, s.bigcommerce)), 0o600))
	g.process = start(t, []string{
		"E2E_REFERENCE_KEY=" + referenceKey,
		"E2E_CYBERSOURCE_SECRET=dW5pdC10ZXN0LXNoYXJlZC1zZWNyZXQtMzJieXRlcyE=",
		"E2E_REBILLY_KEY=sk_sandbox_polyvault",
		"E2E_BIGCOMMERCE_TOKEN=sandbox-token",
	}, "serve", "--config", file)
	g.url = "http://" + listen
	waitFor(t, g.process, g.url+"/readyz")
	return g
}
