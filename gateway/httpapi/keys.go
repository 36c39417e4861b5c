package httpapi

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// APIKey is one key of a tenant. A tenant may have several, so that they can be
// rotated. The key itself is known to its holder only.
type APIKey struct {
	Tenant string
	Name   string   // shown in logs
	SHA256 [32]byte // of the whole key, as DigestAPIKey makes it
	Scopes []Scope
	// NotAfter is when the key ends by itself: from then on it is not valid. The zero
	// time is never.
	NotAfter time.Time

	uses *keyUses // set by newKeyring
}

// ended reports whether the key's time is over.
func (k *APIKey) ended(now time.Time) bool { return !k.NotAfter.IsZero() && !now.Before(k.NotAfter) }

func (k *APIKey) may(s Scope) bool { return k != nil && slices.Contains(k.Scopes, s) }

// ValidAPIKey reports whether s has the form pv_<env>_<8 character prefix>_<secret>:
// env is 1 to 16 of a-z 0-9, the prefix and the secret are base62, and the secret
// has 22 to 128 characters, 131 bits or more.
func ValidAPIKey(s string) bool {
	parts := strings.Split(s, "_")
	return len(parts) == 4 && parts[0] == "pv" &&
		madeOf(parts[1], 1, 16, base62[:10]+base62[36:]) && madeOf(parts[2], 8, 8, base62) && madeOf(parts[3], 22, 128, base62)
}

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

func madeOf(s string, least, most int, alphabet string) bool {
	return len(s) >= least && len(s) <= most && strings.Trim(s, alphabet) == ""
}

// NewAPIKey makes a key for an environment ("live", "test"; 1 to 16 of a–z 0–9)
// with 256 random bits. It must be shown to its holder once and not be kept.
func NewAPIKey(env string) (string, error) {
	key := "pv_" + env + "_" + randomBase62(8) + "_" + randomBase62(43)
	if !ValidAPIKey(key) {
		return "", errors.New("an environment must be 1 to 16 of a-z 0-9")
	}
	return key, nil
}

func randomBase62(n int) string {
	out := make([]byte, 0, n)
	for b := make([]byte, n); len(out) < n; {
		_, _ = rand.Read(b) // never fails: it ends the process instead
		for _, x := range b {
			// The bytes past the last whole multiple would make some characters likelier.
			if x < 4*62 && len(out) < n {
				out = append(out, base62[x%62])
			}
		}
	}
	return string(out)
}

// DigestAPIKey is what a gateway keeps of a key. A fast digest is enough, since
// the secret is random and too long to be tried.
func DigestAPIKey(key string) [32]byte { return sha256.Sum256([]byte(key)) }

// ParseDigest reads a digest from 64 hexadecimal digits.
func ParseDigest(s string) (d [32]byte, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(d) {
		return d, errors.New("must be 64 hexadecimal digits")
	}
	return [32]byte(b), nil
}

// keyring finds keys by their digest.
type keyring struct {
	byDigest map[[32]byte]*APIKey
	dummy    APIKey
}

func newKeyring(keys []APIKey) (keyring, error) {
	r := keyring{byDigest: map[[32]byte]*APIKey{}}
	for _, k := range keys {
		if k.Tenant == "" || k.SHA256 == ([32]byte{}) {
			return r, fmt.Errorf("httpapi: API key %q must have a tenant and a digest", k.Name)
		}
		for _, s := range k.Scopes {
			if !knownScope(s) {
				return r, fmt.Errorf("httpapi: API key %q has the unknown scope %q", k.Name, s)
			}
		}
		if r.byDigest[k.SHA256] != nil {
			return r, fmt.Errorf("httpapi: API key %q is configured twice", k.Name)
		}
		k.uses = &keyUses{}
		r.byDigest[k.SHA256] = &k
	}
	return r, nil
}

// find returns the key that was presented, nil if it is not known. The map is
// asked by the digest of what was presented, of which a caller can predict but
// not choose the bytes; the comparison proper takes the same time for every key,
// and a key that is not known is compared as well.
func (r keyring) find(presented string) *APIKey {
	digest := DigestAPIKey(presented)
	k, known := r.byDigest[digest]
	if !known {
		k = &r.dummy
	}
	same := subtle.ConstantTimeCompare(k.SHA256[:], digest[:]) == 1
	if !same || !known || !ValidAPIKey(presented) {
		return nil
	}
	return k
}
