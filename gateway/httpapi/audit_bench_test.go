package httpapi

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway/audit"
)

// BenchmarkAuditedRead is a read whose answer shows references, through the handler and
// over a service that does nothing. With -cpu 1 the work of the log's writer is in it.
func BenchmarkAuditedRead(b *testing.B) {
	for _, name := range []string{"none", "interval", "always"} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b, func(c *Config) {
				c.Log = nil
				if name == "none" {
					return
				}
				log, err := audit.Open(audit.Config{
					Path: filepath.Join(b.TempDir(), "audit.log"), Gateway: "gw-1",
					Settings: audit.Settings{Keys: audit.Keys{{ID: "k1", Secret: []byte(strings.Repeat("k", 32))}}, Sync: name == "always"},
				})
				require.NoError(b, err)
				b.Cleanup(func() { require.NoError(b, log.Close()) })
				c.Audit = log
			})
			req := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/v1/instruments/"+exampleID, http.NoBody)
			req.Header.Set("Authorization", "Bearer "+fullKey)
			b.ReportAllocs()
			for b.Loop() {
				rec := httptest.NewRecorder()
				r.api.Handler().ServeHTTP(rec, req)
				if rec.Code != http.StatusOK {
					b.Fatal(rec.Code)
				}
			}
		})
	}
}
