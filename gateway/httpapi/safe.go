package httpapi

import (
	"strings"

	"github.com/polyvault/polyvault/normalize"
)

const (
	hidden = "[redacted]"
	// maxShownName is how much of a name that a caller made up is shown or logged.
	maxShownName = 64
)

// withoutCardNumber is the last line of defence for text that leaves: whatever
// holds what looks like a card number is not shown at all.
func withoutCardNumber(s string) string {
	if normalize.ContainsCardNumber(s) {
		return hidden
	}
	return s
}

// safeName makes a member's or a parameter's name, which a caller chose, fit to be shown.
func safeName(name string) string {
	if len(name) > maxShownName {
		name = strings.ToValidUTF8(name[:maxShownName], "") + "…"
	}
	return withoutCardNumber(name)
}

// safePointer is safeName for each reference token of a JSON pointer.
func safePointer(pointer string) string {
	tokens := strings.Split(pointer, "/")
	for i, t := range tokens {
		tokens[i] = safeName(t)
	}
	return strings.Join(tokens, "/")
}
