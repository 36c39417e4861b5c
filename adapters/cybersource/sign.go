package cybersource

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"
)

var errNotBase64 = errors.New("must be base64")

// mediaType is what the official clients send and ask for.
const mediaType = "application/json;charset=utf-8"

// signer adds CyberSource's HTTP Signature to requests. It is a dialect of its
// own, not RFC 9421: the line is called "request-target", without the
// parentheses of the old draft (refused since 22 April 2024), a digest line
// stands only where the method has a body, and no newline ends the string.
type signer struct {
	merchantID string // as sent in v-c-merchant-id
	// signedID is what stands in the signed v-c-merchant-id line. With a meta key
	// that is the portfolio, while the header names the transacting merchant: the
	// official clients do the same, so it is not a slip.
	signedID string
	keyID    string
	// mac is a function over the key, not the key: fmt prints unexported members
	// without asking their types, so a Secret would not be safe here.
	mac func(string) []byte
	now func() time.Time
}

// macWith returns HMAC-SHA256 with a key.
func macWith(key []byte) func(string) []byte {
	return func(s string) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(s))
		return mac.Sum(nil)
	}
}

// authorize signs a request that is complete but for its authentication.
func (s signer) authorize(req *http.Request, body []byte) error {
	// net/http sends req.Host and ignores a Host header: what is signed must be
	// what is sent.
	req.Host = req.URL.Host
	date := s.now().UTC().Format(http.TimeFormat)

	names := "host date request-target v-c-merchant-id"
	lines := []string{
		"host: " + req.Host,
		"date: " + date,
		"request-target: " + strings.ToLower(req.Method) + " " + req.URL.RequestURI(),
	}
	if req.Method == http.MethodPost || req.Method == http.MethodPatch || req.Method == http.MethodPut {
		sum := sha256.Sum256(body)
		digest := "SHA-256=" + base64.StdEncoding.EncodeToString(sum[:])
		req.Header.Set("Digest", digest)
		names = "host date request-target digest v-c-merchant-id"
		lines = append(lines, "digest: "+digest)
	}
	lines = append(lines, "v-c-merchant-id: "+s.signedID)

	signature := base64.StdEncoding.EncodeToString(s.mac(strings.Join(lines, "\n")))

	req.Header.Set("Date", date)
	req.Header.Set("V-C-Merchant-Id", s.merchantID)
	req.Header.Set("Signature", `keyid="`+s.keyID+`", algorithm="HmacSHA256", headers="`+names+`", signature="`+signature+`"`)
	req.Header.Set("Accept", mediaType)
	if body != nil {
		req.Header.Set("Content-Type", mediaType)
	}
	return nil
}
