package rest

import (
	"crypto/hmac"
	"crypto/sha256"
	"net/http"
	"regexp"

	"github.com/polyvault/polyvault/normalize"
)

// WebhookHeader is a header of its own that a provider sends with every webhook.
type WebhookHeader struct {
	Name  string           `json:"name"`
	Value normalize.Secret `json:"value"`
}

// HasHeader reports whether a request has one of the headers, exactly once. It
// compares with all of them, in the same time whatever they are.
func HasHeader(h http.Header, any []WebhookHeader) bool {
	found := false
	for _, want := range any {
		got := h.Values(want.Name)
		value := ""
		if len(got) == 1 {
			value = got[0]
		}
		found = SameSecret(value, want.Value) && len(got) == 1 || found
	}
	return found
}

// SameSecret compares in a time that tells nothing of the secret, its length included.
// An empty secret equals nothing.
func SameSecret(given string, secret normalize.Secret) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(secret.Reveal()))
	return hmac.Equal(a[:], b[:]) && !secret.IsZero()
}

// MaxWebhookSecrets bounds how many secrets of one kind may be configured: each is tried.
const MaxWebhookSecrets = 10

var headerName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,63}$`)

// HeaderProblems tells what is wrong with a configured list of headers, in the form of
// an adapter's Validate.
func HeaderProblems(key string, headers []WebhookHeader) []string {
	var problems []string
	if len(headers) > MaxWebhookSecrets {
		problems = append(problems, key+": must be a list of up to 10")
	}
	for _, h := range headers {
		if !headerName.MatchString(h.Name) || h.Value.IsZero() {
			problems = append(problems, key+": each needs a name of letters, digits and -, and a value")
			break
		}
	}
	return problems
}
