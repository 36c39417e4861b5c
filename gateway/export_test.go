package gateway

import (
	"errors"

	"github.com/go-json-experiment/json"
)

// What the external tests of this package need of its insides.

// RecordDecoder reads the durable forms of records, by their keys, of a store whose
// values are sealed under keys that are derived from the reference keys.
func RecordDecoder(keys Keys) func(key string, b []byte) (Record, error) {
	return mustSealer(keys).decode
}

func mustSealer(keys Keys, ring ...EncryptionKey) *Sealer {
	s, err := NewSealer(keys, ring)
	if err != nil {
		panic(err)
	}
	return s
}

// testSealer has the keys of every world that has none of its own.
func testSealer() *Sealer { return mustSealer(testKeys("k1", "k2", "k3")) }

// encode is a record's form as a release before this one wrote it: in the clear, and
// the same for the same record.
func (r Record) encode() []byte {
	if r.Schema == schemaVersion {
		r.Schema = clearSchema
	}
	b, err := json.Marshal(r, encodeOptions(), json.Deterministic(true))
	if err != nil {
		panic(err)
	}
	return b
}

// decodeRecord reads a durable form under the id that it says is its own.
func decodeRecord(b []byte) (Record, error) {
	var name struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(b, &name); err != nil {
		return Record{}, errors.Join(ErrStore, err)
	}
	return testSealer().decode(name.ID, b)
}

// Live reports whether the instrument exists under the record's id.
func (r Record) Live() bool { return r.live() }

// Unfinished reports whether the record waits for somebody.
func (r Record) Unfinished() bool { return r.unfinished() }

// ToStep reports whether a mirror of the record waits for something.
func (r Record) ToStep() bool { return r.toStep() }

// IndexDue is the index of what the reconciler must look at.
const IndexDue = indexDue

// Counts is what a provider's breaker for reads or for writes has been told.
func (s *Service) Counts(provider string, reads bool) (successes, failures, excluded int) {
	p := s.providers[provider]
	c := p.write
	if reads {
		c = p.read
	}
	n := c.breaker.inner.Counts()
	return int(n.TotalSuccesses), int(n.TotalFailures), int(n.TotalExclusions)
}

// DrainedKey is the entry of the drained providers.
const DrainedKey = drainedKey
