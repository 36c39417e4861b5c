package audit

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
)

// Key is one of the gateway's reference keys.
type Key struct {
	ID     string
	Secret []byte
}

// Keys is the ring of reference keys, the current one first.
type Keys []Key

func (k Keys) find(id string) (Key, bool) {
	for _, key := range k {
		if key.ID == id {
			return key, true
		}
	}
	return Key{}, false
}

const (
	purpose         = "polyvault audit log"
	purposeCustomer = "polyvault audit customer"

	chainSize = 16 // bytes of a chain's id
	hexSize   = 2 * sha256.Size

	prevMember = `,"prev":"`
	hashMember = `,"hash":"`
	lineEnd    = `"}`
	// tailSize is how long the end of each line is, from prev on.
	tailSize = len(prevMember) + hexSize + 1 + len(hashMember) + hexSize + len(lineEnd)
)

// digest is a hash in hexadecimal, as it stands in a line. None comes before the first.
type digest [hexSize]byte

func noDigest() (d digest) {
	for i := range d {
		d[i] = '0'
	}
	return d
}

func (d digest) String() string { return string(d[:]) }

// Head is the newest entry of a chain.
type Head struct {
	Chain string
	Seq   uint64
	Hash  string
}

// hasher makes the hashes of one chain under one key.
type hasher struct{ mac hash.Hash }

func newHasher(key Key, chain string) (hasher, error) {
	salt, err := hex.DecodeString(chain)
	if err != nil || len(salt) != chainSize {
		return hasher{}, errors.New("the chain's id is not 32 hexadecimal digits")
	}
	secret, err := hkdf.Key(sha256.New, key.Secret, salt, purpose, sha256.Size)
	if err != nil {
		return hasher{}, err
	}
	return hasher{hmac.New(sha256.New, secret)}, nil
}

func (h hasher) sum(body []byte) (d digest) {
	var raw [sha256.Size]byte
	h.mac.Reset()
	h.mac.Write(body)
	hex.Encode(d[:], h.mac.Sum(raw[:0]))
	return d
}

// chain is a chain that is being written.
type chain struct {
	id      string
	gateway string
	key     Key
	hasher  hasher
	seq     uint64
	head    digest
}

// newChain begins a chain.
func newChain(gateway string, key Key) (*chain, error) {
	id := make([]byte, chainSize)
	_, _ = rand.Read(id) // never fails: it ends the process instead
	c := &chain{id: hex.EncodeToString(id), gateway: gateway, head: noDigest()}
	return c, c.use(key)
}

// use makes what follows be under the key.
func (c *chain) use(key Key) error {
	h, err := newHasher(key, c.id)
	if err != nil {
		return fmt.Errorf("the reference key %q: %w", key.ID, err)
	}
	c.key, c.hasher = key, h
	return nil
}

// append writes an entry's line.
func (c *chain) append(b []byte, e Entry) []byte {
	c.seq++
	start := len(b)
	e.Customer = c.key.CustomerName(e.Tenant, e.Customer)
	l := line{Entry: e, Seq: c.seq, Gateway: c.gateway}
	if e.Action == actionFile || e.Action == actionKey {
		l.Chain, l.Key = c.id, c.key.ID
	}
	b = append(l.appendTo(b), prevMember...)
	b = append(append(b, c.head[:]...), '"')
	c.head = c.hasher.sum(b[start:])
	b = append(b, hashMember...)
	b = append(b, c.head[:]...)
	return append(b, lineEnd+"\n"...)
}

func (c *chain) now() Head { return Head{Chain: c.id, Seq: c.seq, Hash: c.head.String()} }

// split takes a line, without its line feed, apart: what the hash is over, the hash of
// the entry before, and the hash.
func split(text []byte) (body []byte, prev, own digest, ok bool) {
	start := len(text) - tailSize
	if start < 1 {
		return nil, prev, own, false
	}
	rest := text[start:]
	rest, ok1 := bytes.CutPrefix(rest, []byte(prevMember))
	if !ok1 {
		return nil, prev, own, false
	}
	prev, rest = digest(rest[:hexSize]), rest[hexSize:]
	rest, ok2 := bytes.CutPrefix(rest, []byte(`"`+hashMember))
	if !ok2 {
		return nil, prev, own, false
	}
	own, rest = digest(rest[:hexSize]), rest[hexSize:]
	end := len(text) - len(hashMember) - hexSize - len(lineEnd)
	return text[:end], prev, own, string(rest) == lineEnd
}

// CustomerName is how a customer's id stands in the log: as it is, or under a keyed hash
// if it is an e-mail address or looks like a card number.
func (k Key) CustomerName(tenant, id string) string {
	if safe(id) == id {
		return id
	}
	secret, err := hkdf.Key(sha256.New, k.Secret, nil, purposeCustomer, sha256.Size)
	if err != nil {
		return hidden
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(tenant + "\x00" + id))
	return "hashed:" + hex.EncodeToString(mac.Sum(nil)[:16])
}
