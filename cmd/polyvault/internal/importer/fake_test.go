package importer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway/client"
)

// fake is a gateway with a memory and a script.
type fake struct {
	mu       sync.Mutex
	ids      map[string]string // idempotency key to instrument
	sent     []client.ImportItem
	requests int
	atOnce   int
	most     int // requests at a time
	before   func(request int) error
	item     func(client.ImportItem) *client.Problem // nil: it is adopted
	takes    time.Duration
	largest  int // request, in bytes
}

func newFake() *fake { return &fake{ids: map[string]string{}} }

func (f *fake) Import(ctx context.Context, items []client.ImportItem) (client.BulkResult, error) {
	f.mu.Lock()
	f.requests++
	n := f.requests
	f.atOnce++
	f.most = max(f.most, f.atOnce)
	body, err := json.Marshal(client.ImportInstruments{Items: items})
	if err != nil {
		panic(err)
	}
	f.largest = max(f.largest, len(body))
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.atOnce--
		f.mu.Unlock()
	}()
	if f.takes > 0 {
		time.Sleep(f.takes)
	}
	if ctx.Err() != nil {
		return client.BulkResult{}, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.before != nil {
		if err := f.before(n); err != nil {
			return client.BulkResult{}, err
		}
	}
	var out client.BulkResult
	seen := map[string]bool{}
	for i, item := range items {
		f.sent = append(f.sent, item)
		out.Data = append(out.Data, f.adopt(i, item, seen))
	}
	return out, nil
}

func (f *fake) adopt(i int, item client.ImportItem, seen map[string]bool) client.BulkItem {
	out := client.BulkItem{Index: i, Status: 201}
	if seen[item.IdempotencyKey] {
		out.Problem, out.Status = &client.Problem{Code: "idempotency_key_reused", Retry: client.RetryNever}, 422
		return out
	}
	seen[item.IdempotencyKey] = true
	if f.item != nil {
		if p := f.item(item); p != nil {
			out.Problem, out.Status = p, p.Status
			return out
		}
	}
	id, there := f.ids[item.IdempotencyKey]
	if !there {
		id = fmt.Sprintf("ins_%d", len(f.ids)+1)
		f.ids[item.IdempotencyKey] = id
	}
	out.Instrument, out.Replayed = &client.Instrument{ID: id}, there
	return out
}

// job is an import of a file in a folder of its own.
type job struct {
	Options
	f *fake
}

func newJob(t *testing.T, name, text string) *job {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	f := newFake()
	return &job{f: f, Options: Options{
		File: file, CSV: strings.HasSuffix(name, ".csv"), Results: file + ".results.jsonl",
		Concurrency: 4, Patience: 2 * time.Minute, Gateway: f,
	}}
}

func (j *job) run(t *testing.T) Summary {
	t.Helper()
	sum, err := Run(t.Context(), j.Options)
	require.NoError(t, err)
	return sum
}

// results are those in the file, which must be whole.
func (j *job) results(t *testing.T) []Result {
	t.Helper()
	b, err := os.ReadFile(j.Results)
	require.NoError(t, err)
	var out []Result
	s := bufio.NewScanner(bytes.NewReader(b))
	for s.Scan() {
		var r Result
		require.NoError(t, json.Unmarshal(s.Bytes(), &r), "%s", s.Text())
		out = append(out, r)
	}
	return out
}

// codes are the failed lines' codes, by line.
func (j *job) codes(t *testing.T) map[int]string {
	t.Helper()
	out := map[int]string{}
	for _, r := range j.results(t) {
		if r.Status == Failed {
			out[r.Line] = r.Code
		}
	}
	return out
}

// ids are the instruments by line.
func (j *job) ids(t *testing.T) map[int]string {
	t.Helper()
	out := map[int]string{}
	for _, r := range j.results(t) {
		out[r.Line] = r.Instrument
	}
	return out
}

// good are n lines.
func good(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"customer_id":"cus-%d","provider":"p%d","references":{"instrument":"i%d"}}`+"\n", i/3, i%3, i)
	}
	return b.String()
}

func problemNow(status int, code, retry string) *client.Problem {
	return &client.Problem{Status: status, Code: client.Code(code), Retry: client.Retry(retry), Detail: "scripted"}
}
