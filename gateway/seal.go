package gateway

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// What a provider calls an instrument, and what a stored value tells of a person, is
// sealed: encrypted with AES-256-GCM, and bound to the tenant, the record and the
// provider that it belongs to. Whoever has only the store, a backup of its disk or a
// dump, cannot read it, and what is moved to another record, tenant or provider does
// not open. The rest stays readable, for the indexes and for people at a prompt.

// EncryptionKey is a secret that stored values are sealed under.
type EncryptionKey struct {
	ID     string // 1–16 of a–z 0–9; or derivedPrefix and a reference key's id, then without a Secret
	Secret []byte // 32 bytes
}

// EncryptionKeys is the ring of encryption keys, the current one first. A key is
// derived from every reference key as well: those that the ring does not name come
// after it, in the order of the reference keys. So what was sealed before a ring was
// configured can be read, and an empty ring seals all the same.
type EncryptionKeys []EncryptionKey

// derivedPrefix begins the id of a key that is derived from a reference key, whose id
// is the rest. No other key's id has a hyphen.
const derivedPrefix = "r-"

const (
	encryptionKeySize = 32 // bytes: AES-256
	derivedPurpose    = "polyvault encryption at rest"
	recordPurpose     = "polyvault sealed record"
)

// DerivedKeyID is the id of the encryption key that is derived from a reference key.
func DerivedKeyID(referenceKey string) string { return derivedPrefix + referenceKey }

// ErrUnreadable is wrapped, beside [ErrStore], by the error of a stored value whose
// sealed part cannot be opened.
var ErrUnreadable = errors.New("what is sealed cannot be opened")

// Sealer seals and opens parts of stored values. It never changes, and is safe for
// concurrent use.
type Sealer struct {
	keys []EncryptionKey // the current one first, each with its secret
	byID map[string][]byte
}

// NewSealer makes a Sealer of the gateway's keys. It fails if a key is unfit, or has
// the id of another one.
func NewSealer(reference Keys, ring EncryptionKeys) (*Sealer, error) {
	if err := reference.Validate(); err != nil {
		return nil, err
	}
	s := &Sealer{byID: map[string][]byte{}}
	for _, key := range ring {
		if err := s.add(key, reference); err != nil {
			return nil, err
		}
	}
	for _, key := range reference {
		if id := DerivedKeyID(key.ID); s.byID[id] == nil {
			if err := s.add(EncryptionKey{ID: id}, reference); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

func (s *Sealer) add(key EncryptionKey, reference Keys) error {
	if s.byID[key.ID] != nil {
		return fmt.Errorf("encryption key id %q is used twice", key.ID)
	}
	if of, derived := strings.CutPrefix(key.ID, derivedPrefix); derived {
		from, known := reference.byID(of)
		switch {
		case len(key.Secret) > 0:
			return fmt.Errorf("encryption key %q is derived from the reference key %q and has no value of its own", key.ID, of)
		case !known:
			return fmt.Errorf("encryption key %q is derived from the reference key %q, which is not there", key.ID, of)
		}
		secret, err := hkdf.Key(sha256.New, from.Secret, nil, derivedPurpose, encryptionKeySize)
		if err != nil {
			return err
		}
		key.Secret = secret
	}
	if len(key.Secret) != encryptionKeySize {
		return fmt.Errorf("encryption key %q must have %d bytes, and has %d", key.ID, encryptionKeySize, len(key.Secret))
	}
	s.keys, s.byID[key.ID] = append(s.keys, key), key.Secret
	return nil
}

// Current is the id of the key that values are sealed under.
func (s *Sealer) Current() string { return s.keys[0].ID }

// Has reports whether values that are sealed under the key can be opened.
func (s *Sealer) Has(keyID string) bool { return s.byID[keyID] != nil }

// KeyIDs are the ids of the ring, the current one first.
func (s *Sealer) KeyIDs() []string {
	out := make([]string, len(s.keys))
	for i, key := range s.keys {
		out[i] = key.ID
	}
	return out
}

// mayBecome says why the ring may not be exchanged for another one while other
// gateways serve: what one of them seals every other one must be able to open.
func (s *Sealer) mayBecome(next *Sealer) error {
	for id, secret := range next.byID {
		if had := s.byID[id]; had != nil && !bytes.Equal(had, secret) {
			return fmt.Errorf("encryption key %q has another value than before: add a new key beside it, with an id of its own", id)
		}
	}
	if !s.Has(next.Current()) {
		return fmt.Errorf("encryption key %q is new and cannot be the first one yet: add it behind %q first, everywhere", next.Current(), s.Current())
	}
	if !next.Has(s.Current()) {
		return fmt.Errorf("encryption key %q is the one in use and cannot be left out: put another one before it first, everywhere", s.Current())
	}
	return nil
}

// place is what a sealed part belongs to.
type place struct{ tenant, record string }

// box seals and opens the parts of one value.
type box struct {
	place
	aead cipher.AEAD
}

// box returns the box of a place under a key. Each place has a key of its own, so that
// however many values there are, and however long a key is in use, random nonces never
// become many enough under one key to meet.
func (s *Sealer) box(keyID string, at place) (box, error) {
	secret := s.byID[keyID]
	if secret == nil {
		return box{}, fmt.Errorf("%w: %w: %s is sealed under the encryption key %q, which is not in the ring: put that key back",
			ErrStore, ErrUnreadable, at.record, keyID)
	}
	own, err := hkdf.Expand(sha256.New, secret, at.bound(recordPurpose), encryptionKeySize)
	if err != nil {
		return box{}, err
	}
	block, err := aes.NewCipher(own)
	if err != nil {
		return box{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return box{at, aead}, err
}

// bound is an unambiguous text of a place and what else there is to be bound to it.
func (p place) bound(to string) string {
	b := make([]byte, 0, len(p.tenant)+len(p.record)+len(to)+3*binary.MaxVarintLen16)
	for _, part := range [...]string{p.tenant, p.record, to} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	return string(b)
}

// seal seals what belongs to a provider, "" for what belongs to none.
func (b box) seal(provider string, plain []byte) []byte {
	return b.aead.Seal(nil, nil, plain, []byte(b.bound(provider))) //nolint:gosec // it makes the nonce itself, at random, and takes none
}

// open opens what seal made of the same place and provider.
func (b box) open(provider string, sealed []byte) ([]byte, error) {
	plain, err := b.aead.Open(nil, nil, sealed, []byte(b.bound(provider)))
	if err != nil {
		part := "the sealed part"
		if provider != "" {
			part = "the reference at " + provider
		}
		return nil, fmt.Errorf("%w: %w: %s of %s: it was changed, or moved there from another record, tenant or provider",
			ErrStore, ErrUnreadable, part, b.record)
	}
	return plain, nil
}
