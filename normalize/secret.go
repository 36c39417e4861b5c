package normalize

import (
	"encoding/json"
	"fmt"
	"io"
)

const redacted = "[redacted]"

// Secret is a string that must not be shown: a card number, a security code, a
// one-time token, a credential. Its zero value is the empty secret. Every
// accidental way out prints "[redacted]"; the deliberate one is [Secret.Reveal].
// Compare two by what they reveal: == compares where they are kept.
type Secret struct {
	// A pointer, since fmt calls no methods on what it reaches through an
	// unexported field: there it would print a string, and prints an address.
	value *string
}

// NewSecret wraps value.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{&value}
}

// Reveal returns the value. Call it only where the value is handed to the
// provider or hashed; the name is there to be searched for.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s.value == nil }

// String implements [fmt.Stringer].
func (s Secret) String() string { return redacted }

// Format implements [fmt.Formatter]. Stringer alone would not do: a verb that
// does not suit strings, such as %d, would print the raw value.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText implements [encoding.TextMarshaler], so that loggers, YAML and
// map keys print the redacted form as well.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON implements [json.Marshaler].
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// UnmarshalJSON implements [json.Unmarshaler]. Its error never holds the input.
func (s *Secret) UnmarshalJSON(b []byte) error {
	var v string
	if err := json.Unmarshal(b, &v); err != nil {
		return errNotString
	}
	*s = NewSecret(v)
	return nil
}

var errNotString = fmt.Errorf("must be a string")
