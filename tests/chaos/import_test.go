package chaos

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway/storetest/redistest"
	"github.com/polyvault/polyvault/tests/harness"
)

// An import whose command is killed twice and whose gateway is killed once ends as one
// that nobody disturbed: the same instruments under the same ids, each place at a
// provider once. A third run stores nothing. The memory of both processes does not grow
// with the file.
func TestAnImportIsKilledAndGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorldIn(t, 0, "")
	file, lines, bad := w.importFile(t, size(2_000, 100_000))
	calm := w.over(t)
	whole := calm.importing(t, file+".calm")
	watched := watch(t, whole, calm.gateways[0].Process, file+".calm", lines)
	require.True(t, whole.Await(20*time.Minute), "the import does not end")
	t.Logf("undisturbed: %s", strings.ReplaceAll(strings.TrimSpace(whole.Log.String()), "\n", ", "))
	require.Equal(t, 1, whole.ExitCode(), "the bad lines have failed")
	want := readResults(t, file+".calm")
	require.Len(t, want, lines)
	watched.report(t)
	require.Equal(t, bad, failures(want))
	total := fileSize(t, file+".calm")

	rough := w.over(t)
	g := rough.gateways[0]
	killAt := func(share float64) {
		p := rough.importing(t, file+".rough")
		awaitSize(t, p, file+".rough", int64(share*float64(total)))
		p.Kill()
	}
	killAt(0.25)
	p := rough.importing(t, file+".rough")
	awaitSize(t, p, file+".rough", int64(0.5*float64(total)))
	g.Kill()
	time.Sleep(300 * time.Millisecond)
	rough.run(t, g)
	awaitSize(t, p, file+".rough", int64(0.75*float64(total)))
	p.Kill()
	tear(t, file+".rough")
	p = rough.importing(t, file+".rough")
	require.True(t, p.Await(20*time.Minute), "the import does not end")
	t.Logf("after three kills: %s", strings.ReplaceAll(strings.TrimSpace(p.Log.String()), "\n", ", "))

	got := readResults(t, file+".rough")
	require.Len(t, got, len(want))
	for i, one := range want {
		one.Status = got[i].Status // stored here, existing there
		if one != got[i] || (one.ID == "") != (one.Status == "failed") {
			require.Equal(t, one, got[i])
		}
	}
	began := time.Now()
	left, right := calm.everything(t), rough.everything(t)
	t.Logf("both stores read in %s", time.Since(began).Round(time.Millisecond))
	require.Len(t, left, lines-len(bad))
	require.True(t, maps.Equal(left, right), "the stores differ")

	before := w.requests(t)
	stdout, _, _ := programs.Run(t, importEnv(), rough.importArgs(file+".rough")...)
	require.Contains(t, stdout, fmt.Sprintf("done before %d\n", lines))
	require.Equal(t, before, w.requests(t), "a third run asks nobody")
	stdout, _, _ = programs.Run(t, importEnv(), append(rough.importArgs(file+".rough"), "--restart")...)
	require.Contains(t, stdout, "\nstored 0\n", "and one from the beginning stores nothing")
	require.Contains(t, stdout, fmt.Sprintf("existing %d\n", lines-len(bad)))
	require.True(t, maps.Equal(right, rough.everything(t)))
}

// over is a gateway over a store of its own, in front of the same stand-ins and with the same keys.
func (w *world) over(t *testing.T) *world {
	t.Helper()
	out := *w
	out.store = fmt.Sprintf(`redis: {url: "redis://%s/0", durability: dev}`, redistest.Start(t))
	out.gateways = []*gateway{}
	out.gateways = append(out.gateways, out.newGateway(t))
	return &out
}

// importFile fills the stand-ins and writes a file of so many lines of them, with a few
// bad ones between, whose codes are returned. Customer n is the same at all providers.
func (w *world) importFile(t *testing.T, n int) (file string, lines int, bad map[int]string) {
	t.Helper()
	var sources []*bufio.Scanner
	for _, provider := range providers() {
		body := fmt.Sprintf(`{"customers":%d,"each":2,"provider":%q}`, (n+5)/6, provider)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+w.stands[provider]+"/_sandbox/seed", strings.NewReader(body))
		require.NoError(t, err)
		resp, err := client.Do(req)
		require.NoError(t, err)
		t.Cleanup(func() { _ = resp.Body.Close() })
		require.Equal(t, http.StatusOK, resp.StatusCode)
		sources = append(sources, bufio.NewScanner(resp.Body))
	}
	file = filepath.Join(t.TempDir(), "references.jsonl")
	f, err := os.Create(file)
	require.NoError(t, err)
	out := bufio.NewWriter(f)
	bad = map[int]string{}
	for more := true; more; {
		for _, s := range sources {
			if more = s.Scan(); !more {
				break
			}
			lines++
			switch {
			case lines%501 == 0:
				_, err = fmt.Fprintln(out, `{"customer_id":"cus-1","provider":"rebilly-main","references":{"instrument":"inst_NOWHERE"}}`)
				bad[lines] = "not_found"
			case lines%503 == 0:
				_, err = fmt.Fprintln(out, `{"customer_id":`)
				bad[lines] = "invalid_json"
			default:
				_, err = fmt.Fprintln(out, s.Text())
			}
			require.NoError(t, err)
		}
	}
	require.NoError(t, out.Flush())
	require.NoError(t, f.Close())
	return file, lines, bad
}

func importEnv() []string { return []string{"POLYVAULT_API_KEY=" + apiKey("acme0000")} }

// importArgs import the file whose results are named.
func (w *world) importArgs(results string) []string {
	return []string{"import", strings.TrimSuffix(results, filepath.Ext(results)), "--results", results, "--url", w.gateways[0].url}
}

func (w *world) importing(t *testing.T, results string) *harness.Process {
	t.Helper()
	return programs.Polyvault(t, importEnv(), w.importArgs(results)...)
}

// importResult is a line of the results.
type importResult struct {
	Line   int    `json:"line"`
	Status string `json:"status"`
	ID     string `json:"instrument_id"`
	Code   string `json:"code"`
}

func readResults(t *testing.T, name string) []importResult {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	var out []importResult
	for line := range bytes.Lines(b) {
		var r importResult
		require.NoError(t, json.Unmarshal(line, &r), "%s", line)
		out = append(out, r)
	}
	return out
}

func failures(results []importResult) map[int]string {
	out := map[int]string{}
	for _, r := range results {
		if r.Status == "failed" {
			out[r.Line] = r.Code
		}
	}
	return out
}

func fileSize(t *testing.T, name string) int64 {
	t.Helper()
	info, err := os.Stat(name)
	if os.IsNotExist(err) {
		return 0
	}
	require.NoError(t, err)
	return info.Size()
}

// awaitSize waits until so much of the results is written, or until the process has
// ended: on a busy machine it may be done before anybody sees that it is half done.
func awaitSize(t *testing.T, p *harness.Process, name string, bytes int64) {
	t.Helper()
	eventually(t, 20*time.Minute, "the import goes forward", func() bool {
		select {
		case <-p.Ended():
			t.Logf("the import ended before it could be killed: %s", strings.ReplaceAll(strings.TrimSpace(p.Log.String()), "\n", ", "))
			return true
		default:
		}
		return fileSize(t, name) >= bytes
	})
}

// tear leaves a half-written line behind, as a power cut can.
func tear(t *testing.T, name string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0o600)
	require.NoError(t, err)
	_, err = f.WriteString(`{"line":1,"status":"sto`)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// everything is all instruments of the gateway's tenant by id, each with where it lives.
// No place is there twice.
func (w *world) everything(t *testing.T) map[string]string {
	t.Helper()
	out, places := map[string]string{}, map[string]string{}
	for cursor := ""; ; {
		path := "/v1/instruments?limit=100"
		if cursor != "" {
			path += "&cursor=" + url.QueryEscape(cursor)
		}
		a := w.gateways[0].send(t.Context(), "acme0000", http.MethodGet, path, "", nil)
		require.Equal(t, http.StatusOK, a.status, "%s", a.raw)
		var page struct {
			Data []struct {
				ID       string `json:"id"`
				Customer string `json:"customer_id"`
				Tokens   []struct {
					Provider   string            `json:"provider"`
					References map[string]string `json:"references"`
				} `json:"provider_tokens"`
			} `json:"data"`
			Next string `json:"next_cursor"`
		}
		require.NoError(t, json.Unmarshal(a.raw, &page))
		for _, ins := range page.Data {
			require.Len(t, ins.Tokens, 1)
			place := fmt.Sprint(ins.Tokens[0].Provider, ins.Tokens[0].References)
			// Not with require: it would look at all of them each time.
			if places[place] != "" || out[ins.ID] != "" {
				require.Failf(t, "an instrument is there twice", "%s: %s, %s and %s", ins.ID, place, places[place], out[ins.ID])
			}
			places[place] = ins.ID
			out[ins.ID] = ins.Customer + " " + place
		}
		if cursor = page.Next; cursor == "" {
			return out
		}
	}
}

// requests is how many requests the stand-ins have had.
func (w *world) requests(t *testing.T) int {
	t.Helper()
	n := 0
	for _, p := range providers() {
		s := w.state(t, p)
		n += len(s.Requests) + s.Forgotten
	}
	return n
}

// memory is what the two processes of an import had at a share of the file.
type memory struct{ command, gateway int64 }

type watching struct {
	early, late, peak memory // the most in the first fifth, in the last fifth, and of all
	took              time.Duration
	lines             int
	done              chan struct{}
}

// watch looks at the memory of an import's two processes until the command ends.
func watch(t *testing.T, command, gateway *harness.Process, results string, lines int) *watching {
	t.Helper()
	w := &watching{done: make(chan struct{}), lines: lines}
	began := time.Now()
	f, err := os.OpenFile(results, os.O_RDONLY|os.O_CREATE, 0o600)
	require.NoError(t, err)
	go func() {
		defer close(w.done)
		defer func() { _ = f.Close() }()
		written := 0
		buffer := make([]byte, 64<<10)
		for {
			for {
				n, err := f.Read(buffer)
				written += bytes.Count(buffer[:n], []byte("\n"))
				if err == io.EOF || n == 0 {
					break
				}
			}
			now := memory{command.Memory(), gateway.Memory()}
			w.peak = w.peak.most(now)
			if written <= lines/5 {
				w.early = w.early.most(now)
			}
			if written >= lines*4/5 {
				w.late = w.late.most(now)
			}
			select {
			case <-command.Ended():
				w.took = time.Since(began)
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return w
}

func (m memory) most(o memory) memory {
	return memory{max(m.command, o.command), max(m.gateway, o.gateway)}
}

// flat is how much more memory a process may have at the end of a file than in its
// first fifth: a file of 100,000 lines that was kept would be far more.
const flat = 1.5

func (w *watching) report(t *testing.T) {
	t.Helper()
	<-w.done
	mib := func(n int64) float64 { return float64(n) / (1 << 20) }
	t.Logf("import: %d lines, %.0f lines/s; MiB of the command %.0f in the first fifth, %.0f in the last, %.0f at most; of the gateway %.0f, %.0f, %.0f",
		w.lines, float64(w.lines)/w.took.Seconds(), mib(w.early.command), mib(w.late.command), mib(w.peak.command),
		mib(w.early.gateway), mib(w.late.gateway), mib(w.peak.gateway))
	if w.early.command == 0 || !*full {
		return // the system does not tell, or the file is too short to tell anything
	}
	require.LessOrEqual(t, float64(w.late.command), flat*float64(w.early.command), "the command's memory grows with the file")
	require.LessOrEqual(t, float64(w.late.gateway), flat*float64(w.early.gateway), "the gateway's memory grows with the file")
}
