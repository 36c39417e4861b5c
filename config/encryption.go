package config

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// EncryptionKey is one of the keys that stored values are sealed under.
type EncryptionKey struct {
	ID    string    `json:"id"`             // 1–16 of a–z 0–9; or r- and a reference key's id, for the key that is derived from it
	Value SecretRef `json:"value,omitzero"` // base64 of 32 bytes; none for a derived key
	Bytes []byte    `json:"-"`              // the value, decoded
}

// EncryptionKeys is the ring of encryption keys, the current one first. It is written as
// one reference, which is the key "e1", or as a list of {id, value}. The key "r-ID" is
// derived from the reference key ID and needs no value; those that are not named come
// last by themselves, so that what was sealed before the section was there stays
// readable.
type EncryptionKeys []EncryptionKey

// firstEncryptionKeyID is the id of a key that was written without one.
const firstEncryptionKeyID = "e1"

// derivedPrefix begins the id of a key that is derived from a reference key.
const derivedPrefix = "r-"

// encryptionKeySize is the size of an encryption key in bytes.
const encryptionKeySize = 32

// UnmarshalJSON implements [json.Unmarshaler].
func (k *EncryptionKeys) UnmarshalJSON(b []byte) error {
	var one SecretRef
	if json.Unmarshal(b, &one) == nil {
		*k = EncryptionKeys{{ID: firstEncryptionKeyID, Value: one}}
		return nil
	}
	var list []EncryptionKey
	err := json.Unmarshal(b, &list)
	*k = list
	return err
}

// encryptionKeys resolves the values of a ring.
func (r *resolver) encryptionKeys(keys EncryptionKeys) {
	where := at("keys", "encryption")
	_, list := r.problems.doc.get(where).([]any)
	for i := range keys {
		at := where
		if list {
			at = where.with(i, "value")
		}
		if k := &keys[i]; !strings.HasPrefix(k.ID, derivedPrefix) {
			r.encryptionKey(k, at)
		}
	}
}

func (r *resolver) encryptionKey(k *EncryptionKey, where path) {
	value, ok := r.value(where, k.Value.ref, false)
	if !ok {
		return
	}
	decoded, err := base64.StdEncoding.DecodeString(value.Reveal())
	if err != nil || len(decoded) != encryptionKeySize {
		r.problems.add(where, "must resolve to base64 of 32 bytes: make one with openssl rand -base64 32")
		return
	}
	k.Value.Value, k.Bytes = value, decoded
}
