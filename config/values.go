package config

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/polyvault/polyvault/normalize"
)

// Duration is a time.Duration written like "10s".
type Duration time.Duration

// UnmarshalJSON implements [json.Unmarshaler].
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	v, err := time.ParseDuration(s)
	*d = Duration(v)
	return err
}

// MarshalJSON implements [json.Marshaler], in the shortest form: "24h", not "24h0m0s".
func (d Duration) MarshalJSON() ([]byte, error) {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return json.Marshal(s)
}

const redacted = "[redacted]"

// SecretRef is a secret of the configuration: how it was written, and what it
// resolved to.
type SecretRef struct {
	ref   string // as written: "env:NAME", "file:/path", or a literal where one is allowed
	Value normalize.Secret
	plain bool // a literal that holds no secret, such as a Redis URL without a password
}

// IsZero reports whether nothing was written.
func (s SecretRef) IsZero() bool { return s.ref == "" }

// String is the reference, and never a value.
func (s SecretRef) String() string { return shown(s.ref, s.plain) }

// GoString implements [fmt.GoStringer]: %#v would print the fields.
func (s SecretRef) GoString() string { return s.String() }

// MarshalJSON implements [json.Marshaler] with what String prints.
func (s SecretRef) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// UnmarshalJSON implements [json.Unmarshaler]. The value is resolved later.
func (s *SecretRef) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &s.ref) }

func shown(ref string, plain bool) string {
	if plain || ref == "" || isReference(ref) {
		return ref
	}
	return redacted
}

func isReference(s string) bool {
	return strings.HasPrefix(s, "env:") || strings.HasPrefix(s, "file:")
}

// ReferenceKey is one of the keys that ids and fingerprints are derived from.
type ReferenceKey struct {
	ID    string    `json:"id"`    // 1–16 of a–z 0–9
	Value SecretRef `json:"value"` // base64 of 32 bytes or more
	Bytes []byte    `json:"-"`     // the value, decoded
}

// ReferenceKeys is the ring of reference keys, the current one first. It is written
// as one reference, which is the key "k1", or as a list of {id, value}.
type ReferenceKeys []ReferenceKey

// firstKeyID is the id of a key that was written without one.
const firstKeyID = "k1"

// UnmarshalJSON implements [json.Unmarshaler].
func (k *ReferenceKeys) UnmarshalJSON(b []byte) error {
	var one SecretRef
	if json.Unmarshal(b, &one) == nil {
		*k = ReferenceKeys{{ID: firstKeyID, Value: one}}
		return nil
	}
	var list []ReferenceKey
	err := json.Unmarshal(b, &list)
	*k = list
	return err
}
