package gateway

import (
	"fmt"

	"github.com/go-json-experiment/json"
)

// durableKeyUse is a keyUse as it is stored: its answer is sealed. Its key is derived
// from the reference key that names the entry, whatever the ring's first key is: so the
// answer can be read for as long as it can be found, and needs no rotation. It ends by
// itself, within [keyKept].
type durableKeyUse struct {
	keyUse
	SealedBy string `json:"sealed_by,omitempty"`
	Sealed   []byte `json:"sealed,omitempty"` // the Answer
}

// encodeKeyUse writes the durable form of what is under entry.
func (s *Sealer) encodeKeyUse(entry string, k keyUse) []byte {
	b, err := s.tryEncodeKeyUse(entry, k)
	if err != nil {
		panic("gateway: what became of a key is always encodable: " + err.Error())
	}
	return b
}

func (s *Sealer) tryEncodeKeyUse(entry string, k keyUse) ([]byte, error) {
	d := durableKeyUse{keyUse: k}
	if d.Schema = schemaVersion; k.Answer != nil {
		plain, err := json.Marshal(k.Answer, encodeOptions())
		if err != nil {
			return nil, err
		}
		if d.SealedBy = DerivedKeyID(k.DigestKey); !s.Has(d.SealedBy) {
			d.SealedBy = s.Current() // its reference key has just been taken away
		}
		box, err := s.box(d.SealedBy, place{record: entry})
		if err != nil {
			return nil, err
		}
		d.Answer, d.Sealed = nil, box.seal("", plain)
	}
	return json.Marshal(d, encodeOptions())
}

// peekKeyUse reads an entry without its answer.
func peekKeyUse(e Entry) (durableKeyUse, error) {
	var d durableKeyUse
	if err := json.Unmarshal(e.Value, &d); err != nil || d.Schema != schemaVersion && d.Schema != clearSchema {
		return d, fmt.Errorf("%w: what became of an idempotency key cannot be read (schema %d)", ErrStore, d.Schema)
	}
	return d, nil
}

func (s *Sealer) decodeKeyUse(entry string, e Entry) (storedKeyUse, error) {
	d, err := peekKeyUse(e)
	if err != nil {
		return storedKeyUse{}, err
	}
	k := d.keyUse
	k.Schema = schemaVersion
	if d.Sealed == nil {
		return storedKeyUse{k, entry, e.Version}, nil
	}
	box, err := s.box(d.SealedBy, place{record: entry})
	if err != nil {
		return storedKeyUse{}, err
	}
	plain, err := box.open("", d.Sealed)
	if err != nil {
		return storedKeyUse{}, err
	}
	if err := json.Unmarshal(plain, &k.Answer); err != nil {
		return storedKeyUse{}, fmt.Errorf("%w: the answer to a change cannot be read: %w", ErrStore, err)
	}
	return storedKeyUse{k, entry, e.Version}, nil
}
