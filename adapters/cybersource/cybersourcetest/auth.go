package cybersourcetest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/polyvault/polyvault/adapters/standin"
)

// signaturePattern is the form that the official clients send.
var signaturePattern = regexp.MustCompile(`^keyid="([^"]*)", ?algorithm="([^"]*)", ?headers="([^"]*)", ?signature="([^"]*)"$`)

// authentic verifies an HTTP Signature, or a JWT signed with the shared secret.
func (v *vault) authentic(r *http.Request, body []byte) bool {
	return v.secrets.Match(func(value string) bool {
		s, ok := v.signing(value)
		if !ok {
			return false
		}
		if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
			return s.verifyJWT(r, body, token)
		}
		return s.verifySignature(r, body)
	})
}

// signing is the vault with one key of those that it accepts.
type signing struct {
	*vault
	keyID string
	key   []byte
}

// signing reads a secret: a key id, a colon and the shared secret in base64.
func (v *vault) signing(value string) (signing, bool) {
	keyID, secret, _ := strings.Cut(value, ":")
	key, err := base64.StdEncoding.DecodeString(secret)
	return signing{v, keyID, key}, err == nil && len(key) > 0
}

// Secrets implements [standin.Rotator].
func (v *vault) Secrets() *standin.Secrets { return v.secrets }

func carriesDigest(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

// verifySignature rebuilds the signed string from the request as it was received.
// The texts are compared, not what they decode to: base64 has several spellings
// of one value.
func (v signing) verifySignature(r *http.Request, body []byte) bool {
	m := signaturePattern.FindStringSubmatch(r.Header.Get("Signature"))
	if m == nil || m[1] != v.keyID || m[2] != "HmacSHA256" || r.Header.Get("V-C-Merchant-Id") != v.opts.MerchantID {
		return false
	}
	date := r.Header.Get("Date")
	at, err := http.ParseTime(date)
	if err != nil || !v.inTime(at) {
		return false
	}
	names := "host date request-target v-c-merchant-id" // not "(request-target)", which the provider stopped taking
	signed := "host: " + r.Host + "\ndate: " + date +
		"\nrequest-target: " + strings.ToLower(r.Method) + " " + r.RequestURI + "\n"
	if carriesDigest(r.Method) {
		names = "host date request-target digest v-c-merchant-id"
		digest := r.Header.Get("Digest")
		if !hmac.Equal([]byte(digest), []byte("SHA-256="+digestOf(body))) {
			return false
		}
		signed += "digest: " + digest + "\n"
	}
	signed += "v-c-merchant-id: " + v.signer()
	return m[3] == names && hmac.Equal([]byte(m[4]), []byte(base64.StdEncoding.EncodeToString(v.mac(signed))))
}

// signer is who the signature names: with a meta key the portfolio, though the
// header names the transacting merchant.
func (v *vault) signer() string {
	if v.opts.PortfolioID != "" {
		return v.opts.PortfolioID
	}
	return v.opts.MerchantID
}

func (v signing) mac(s string) []byte {
	mac := hmac.New(sha256.New, v.key)
	mac.Write([]byte(s))
	return mac.Sum(nil)
}

func digestOf(body []byte) string {
	sum := sha256.Sum256(body)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func (v *vault) inTime(at time.Time) bool {
	return v.opts.Now().Sub(at).Abs() <= v.opts.ClockSkew
}

type claims struct {
	Digest          string `json:"digest"` // without "SHA-256="
	DigestAlgorithm string `json:"digest-algorithm"`
	IssuedAt        int64  `json:"iat"`
	Expires         int64  `json:"exp"`
	Host            string `json:"request-host"`
	Path            string `json:"request-resource-path"` // with the query
	Method          string `json:"request-method"`
	Issuer          string `json:"iss"`
	Version         string `json:"v-c-jwt-version"`
	MerchantID      string `json:"v-c-merchant-id"`
}

// verifyJWT takes version 2 claims signed with the shared secret (HS256). Tokens
// of a certificate (RS256) are refused: the stand-in has none.
func (v signing) verifyJWT(r *http.Request, body []byte, token string) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	want := base64.RawURLEncoding.EncodeToString(v.mac(parts[0] + "." + parts[1]))
	if !hmac.Equal([]byte(parts[2]), []byte(want)) {
		return false
	}
	var header struct {
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid"`
	}
	var c claims
	if !decodePart(parts[0], &header) || !decodePart(parts[1], &c) {
		return false
	}
	if carriesDigest(r.Method) && (c.Digest != digestOf(body) || c.DigestAlgorithm != "SHA-256") {
		return false
	}
	now := v.opts.Now()
	return header.Algorithm == "HS256" && header.KeyID == v.keyID &&
		c.Version == "2" && c.Issuer == v.signer() && c.MerchantID == v.opts.MerchantID &&
		c.Host == r.Host && c.Path == r.RequestURI && c.Method == strings.ToLower(r.Method) &&
		v.inTime(time.Unix(c.IssuedAt, 0)) && now.Before(time.Unix(c.Expires, 0))
}

// decodePart reads one part of a JWT.
func decodePart(s string, into any) bool {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	return err == nil && json.Unmarshal(b, into) == nil
}
