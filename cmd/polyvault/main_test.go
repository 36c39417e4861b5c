package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// execute runs a command to its end.
func execute(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// running is a command that goes on until it is stopped.
type running struct {
	stdout, stderr lockedBuffer
	cancel         context.CancelFunc
	code           chan int
}

func start(t *testing.T, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{cancel: cancel, code: make(chan int, 1)}
	go func() { r.code <- run(ctx, args, strings.NewReader(""), &r.stdout, &r.stderr) }()
	t.Cleanup(func() { r.stop(t) })
	return r
}

// stop is what SIGTERM does to the process: main's context ends. It returns the exit code.
func (r *running) stop(t *testing.T) int {
	t.Helper()
	r.cancel()
	return r.wait(t)
}

func (r *running) wait(t *testing.T) int {
	t.Helper()
	select {
	case code := <-r.code:
		r.code <- code // for whoever asks again
		return code
	case <-time.After(20 * time.Second):
		require.FailNow(t, "the command does not end", r.stderr.String())
		return -1
	}
}

// find waits until the output holds a line with text, and returns that line.
func find(t *testing.T, r *running, b *lockedBuffer, text string) string {
	t.Helper()
	var found string
	require.Eventually(t, func() bool {
		for line := range strings.Lines(b.String()) {
			if strings.Contains(line, text) {
				found = line
				return true
			}
		}
		return false
	}, 20*time.Second, 5*time.Millisecond, "no line with %q; stdout: %s; stderr: %s", text, &r.stdout, &r.stderr)
	return found
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// request sends a request and returns the status and the body.
func request(t *testing.T, method, url, key, body string, header ...string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(b)
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	broken := writeFile(t, "polyvault.yaml", "listen: 8080\n")
	for name, tc := range map[string]struct {
		args []string
		code int
		says string // on stderr
	}{
		"help is no failure":                       {args: []string{"--help"}},
		"completion is there":                      {args: []string{"completion", "bash"}},
		"version":                                  {args: []string{"version"}},
		"no command is wrong usage":                {args: nil, code: exitUsage, says: "a command is required"},
		"an unknown command is wrong usage":        {args: []string{"server"}, code: exitUsage, says: `unknown command "server"`},
		"an unknown flag is wrong usage":           {args: []string{"serve", "--port", "1"}, code: exitUsage, says: "unknown flag: --port"},
		"serve without its file is wrong usage":    {args: []string{"serve"}, code: exitUsage, says: `required flag(s) "config" not set`},
		"an argument too many is wrong usage":      {args: []string{"version", "please"}, code: exitUsage, says: `unknown command "please"`},
		"config needs a command":                   {args: []string{"config"}, code: exitUsage, says: "validate, show or schema"},
		"keys needs a command":                     {args: []string{"keys"}, code: exitUsage, says: "new"},
		"a key without a tenant is wrong usage":    {args: []string{"keys", "new", "--scopes", "instruments:read"}, code: exitUsage, says: `"tenant" not set`},
		"a key with an unknown scope":              {args: []string{"keys", "new", "--tenant", "acme", "--scopes", "all"}, code: exitUsage, says: `unknown scope "all"; there are instruments:read`},
		"a key for an unknown environment":         {args: []string{"keys", "new", "--tenant", "acme", "--scopes", "instruments:read", "--env", "prod"}, code: exitUsage, says: "live or test"},
		"a demo key of a wrong form":               {args: []string{"demo", "--api-key", "secret"}, code: exitUsage, says: "must have the form"},
		"a sandbox secret that is not base64":      {args: []string{"sandbox", "--cybersource-shared-secret", "%"}, code: exitUsage, says: "must be base64"},
		"a file that is not there is a failure":    {args: []string{"config", "validate", "/nonexistent.yaml"}, code: exitFailure, says: "cannot read the configuration"},
		"a broken configuration is a failure":      {args: []string{"config", "validate", broken}, code: exitFailure, says: ":1: listen: must be a host and a port"},
		"serve refuses a broken configuration":     {args: []string{"serve", "--config", broken}, code: exitFailure, says: "the configuration cannot be used"},
		"a health check of no address":             {args: []string{"healthcheck", "--url", "readyz"}, code: exitUsage, says: "--url must be an address"},
		"a flag's own name is in its problem":      {args: []string{"serve", "--config", broken, "--log-level", "loud"}, code: exitFailure, says: "--log-level: log.level: must be one of"},
		"a gateway that is not there is unhealthy": {args: []string{"healthcheck", "--url", "http://127.0.0.1:1/readyz"}, code: exitFailure, says: "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, _, stderr := execute(t, tc.args...)
			require.Equal(t, tc.code, code, stderr)
			require.Contains(t, stderr, tc.says)
		})
	}
}

func TestVersionSaysWhatTheBuildRecorded(t *testing.T) {
	t.Parallel()
	_, stdout, _ := execute(t, "version")
	require.Regexp(t, `^polyvault \S+ \(\S+(, modified)?\) go1\.\d+`, stdout)
	require.Contains(t, versionLine(nil), "polyvault unknown (unknown) go")
}
