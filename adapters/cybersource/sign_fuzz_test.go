package cybersource

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var signatureHeader = regexp.MustCompile(`^keyid="([^"]*)", algorithm="HmacSHA256", headers="([^"]*)", signature="([A-Za-z0-9+/=]+)"$`)

// FuzzSignature: whoever has the key can build the signed string again from what is sent,
// line by line as the header names them, and no two requests share a string.
func FuzzSignature(f *testing.F) {
	f.Add("POST", "/tms/v2/customers/A/payment-instruments", "limit=1", []byte(`{}`), "merchant")
	f.Add("GET", "/tms/v2/customers/A b", "", []byte(nil), "m")
	f.Add("DELETE", "/x/../y", "a=b&c", []byte("\xff"), "portfolio.1")
	f.Fuzz(func(t *testing.T, method, path, query string, body []byte, merchant string) {
		if !merchantPattern.MatchString(merchant) || !strings.HasPrefix(path, "/") {
			return
		}
		u := &url.URL{Scheme: "https", Host: "apitest.cybersource.com", Path: path, RawQuery: url.QueryEscape(query)}
		req, err := http.NewRequestWithContext(t.Context(), method, u.String(), http.NoBody)
		if err != nil {
			return // no such request can be made
		}
		key := []byte("a key")
		s := signer{merchantID: merchant, signedID: merchant, keyID: "k", mac: macWith(key), now: func() time.Time { return time.Unix(1_800_000_000, 0) }}
		require.NoError(t, s.authorize(req, body))
		parts := signatureHeader.FindStringSubmatch(req.Header.Get("Signature"))
		require.Len(t, parts, 4, req.Header.Get("Signature"))
		values := map[string]string{
			"host": req.Host, "date": req.Header.Get("Date"), "digest": req.Header.Get("Digest"), "v-c-merchant-id": req.Header.Get("V-C-Merchant-Id"),
			"request-target": strings.ToLower(req.Method) + " " + req.URL.RequestURI(),
		}
		var lines []string
		for name := range strings.SplitSeq(parts[2], " ") {
			value, known := values[name]
			require.True(t, known, name)
			require.NotContains(t, value, "\n", "a line cannot become two")
			lines = append(lines, name+": "+value)
		}
		require.Equal(t, base64.StdEncoding.EncodeToString(macWith(key)(strings.Join(lines, "\n"))), parts[3])
		if digest := req.Header.Get("Digest"); digest != "" {
			sum := sha256.Sum256(body)
			require.Equal(t, "SHA-256="+base64.StdEncoding.EncodeToString(sum[:]), digest)
		} else {
			require.NotContains(t, []string{"POST", "PUT", "PATCH"}, req.Method)
		}
	})
}
