package httpapi

import (
	"regexp"
	"strings"

	"github.com/polyvault/polyvault/normalize"
)

const (
	hidden = "[redacted]"
	// maxShownName is how much of a name that a caller made up is shown or logged.
	maxShownName = 64
)

// apiKeyPattern finds an API key of this gateway, or enough of one to be tried, in a
// text: a caller who puts it into the wrong place must not find it in logs afterwards.
var apiKeyPattern = regexp.MustCompile(`pv_[a-z0-9]{1,16}_[0-9A-Za-z]{8}_[0-9A-Za-z]`)

// withoutSecrets is the last line of defence for text that leaves: whatever holds what
// looks like a card number or an API key is not shown at all.
func withoutSecrets(s string) string {
	if holdsSecret(s) {
		return hidden
	}
	return s
}

func holdsSecret(s string) bool {
	// Looking for the prefix first costs next to nothing, and nearly no text has it.
	return normalize.ContainsCardNumber(s) || strings.Contains(s, "pv_") && apiKeyPattern.MatchString(s)
}

// safeName makes a member's or a parameter's name, which a caller chose, fit to be
// shown. All of it is searched: a secret that is cut off is still most of a secret.
func safeName(name string) string {
	name = withoutSecrets(name)
	if len(name) > maxShownName {
		name = strings.ToValidUTF8(name[:maxShownName], "") + "…"
	}
	return name
}

// safePointer is safeName for each reference token of a JSON pointer.
func safePointer(pointer string) string {
	tokens := strings.Split(pointer, "/")
	for i, t := range tokens {
		tokens[i] = safeName(t)
	}
	return strings.Join(tokens, "/")
}
