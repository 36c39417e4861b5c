package adaptertest

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// maxAllocated is what one call may allocate in all, whatever the answer is.
const maxAllocated = 8 << 20 // bytes

// hostileDeadline is that of each call of [Hostile].
const hostileDeadline = time.Second

// Hostile sends a create to a provider that answers with more than anybody should
// read, or with what nobody can. Every call ends by its deadline, takes less than 8 MiB,
// and says that its effect is unknown. It measures what the whole process allocates,
// so call it from a test that is not parallel.
func Hostile(t *testing.T, newHarness New) {
	t.Helper()
	page := make([]byte, 1<<20)
	for i := range page {
		page[i] = ' '
	}
	bomb := gzipped(t, 100)
	answers := map[string]http.HandlerFunc{
		"100 MB": func(w http.ResponseWriter, _ *http.Request) {
			for range 100 {
				if _, err := w.Write(page); err != nil {
					return
				}
			}
		},
		"gzip bomb": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb)
		},
		"1 byte a second": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, "{")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-r.Context().Done():
				case <-time.After(time.Second):
				}
			}
		},
		"depth 100,000":     func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("[", 100_000)) },
		"HTML":              func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, htmlPage) },
		"without reference": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") },
	}
	for name, handler := range answers {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, newHarness(t))
			creator := must[adapters.Creator](b)
			b.create() // the first call sets much up
			in := b.createInput(b.source())
			b.answer(b.isCreate, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusCreated)
				handler(w, r)
			})
			ctx, cancel := context.WithTimeout(b.ctx(), hostileDeadline)
			defer cancel()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, err := creator.Create(ctx, in)
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			b.requireOutcome(err, normalize.Unknown, name)
			allocated := after.TotalAlloc - before.TotalAlloc
			t.Logf("%s: %d KiB allocated, ended after %s with a deadline of %s", name, allocated>>10, took.Round(time.Millisecond), hostileDeadline)
			require.Less(t, allocated, uint64(maxAllocated))
			require.Less(t, took, hostileDeadline+prompt)
			b.settle()
			b.verifyErrors()
		})
	}
}

// gzipped is so many MiB of spaces, compressed.
func gzipped(t *testing.T, mib int) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	page := bytes.Repeat([]byte{' '}, 1<<20)
	for range mib {
		_, err := z.Write(page)
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	return out.Bytes()
}
