package gateway

import (
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/polyvault/polyvault/normalize"
)

// durableRecord is a record as it is stored: what of it is sealed is taken out of the
// record's own members, which come first.
type durableRecord struct {
	Record
	Tokens   []durableToken `json:"tokens,omitempty"`
	Late     []durableToken `json:"late,omitempty"`
	SealedBy string         `json:"sealed_by,omitempty"` // the encryption key's id; "" if there is nothing to seal
	Sealed   []byte         `json:"sealed,omitempty"`    // recordParts
}

// durableToken is a token as it is stored.
type durableToken struct {
	Token
	Sealed []byte `json:"sealed,omitempty"` // its references, bound to its provider
}

// recordParts are the sealed parts of a record that belong to no provider.
type recordParts struct {
	View      *View   `json:"view,omitempty"`
	Answer    *Answer `json:"answer,omitempty"`
	Want      *Want   `json:"want,omitempty"`
	DoubtWant *Want   `json:"doubt_want,omitempty"`
}

func (p recordParts) empty() bool { return p == recordParts{} }

// encode writes a record's durable form, sealed under the current key.
func (s *Sealer) encode(r Record) []byte {
	b, err := s.encodeRecord(r)
	if err != nil {
		panic("gateway: a record is always encodable: " + err.Error())
	}
	return b
}

func (s *Sealer) encodeRecord(r Record) ([]byte, error) {
	parts := recordParts{View: r.View, Answer: r.Answer, Want: r.Want}
	d := durableRecord{Record: r}
	d.Schema, d.Record.Tokens, d.Record.Late = schemaVersion, nil, nil
	d.View, d.Answer, d.Want = r.View.clear(), nil, nil
	if r.Doubt != nil && r.Doubt.Want != nil {
		doubt := *r.Doubt
		parts.DoubtWant, doubt.Want = doubt.Want, nil
		d.Doubt = &doubt
	}
	box, err := s.box(s.Current(), r.place())
	if err != nil {
		return nil, err
	}
	if d.Tokens, err = sealTokens(box, r.Tokens); err != nil {
		return nil, err
	}
	if d.Late, err = sealTokens(box, r.Late); err != nil {
		return nil, err
	}
	if !parts.empty() {
		plain, err := json.Marshal(parts, encodeOptions())
		if err != nil {
			return nil, err
		}
		d.Sealed = box.seal("", plain)
	}
	if d.Sealed != nil || anySealed(d.Tokens) || anySealed(d.Late) {
		d.SealedBy = s.Current()
	}
	return json.Marshal(d, encodeOptions())
}

func (r Record) place() place { return place{tenant: r.Tenant, record: r.ID} }

func sealTokens(box box, tokens []Token) ([]durableToken, error) {
	if len(tokens) == 0 {
		return nil, nil
	}
	out := make([]durableToken, len(tokens))
	for i, t := range tokens {
		if out[i].Token = t; t.References == nil {
			continue // a mirror that is not stored yet
		}
		plain, err := json.Marshal(t.References, encodeOptions())
		if err != nil {
			return nil, err
		}
		out[i].References, out[i].Sealed = nil, box.seal(t.Provider, plain)
	}
	return out, nil
}

func anySealed(tokens []durableToken) bool {
	for _, t := range tokens {
		if t.Sealed != nil {
			return true
		}
	}
	return false
}

// clear is what of a view stays readable in the store: enough to tell one instrument
// from another. Nothing reads it back; the sealed view is the whole one.
func (v *View) clear() *View {
	if v == nil {
		return nil
	}
	out := &View{Type: v.Type, Default: v.Default, Fingerprint: v.Fingerprint, FingerprintOf: v.FingerprintOf}
	if c := v.Card; c != nil {
		out.Card = &normalize.Card{Brand: c.Brand, Last4: c.Last4, ExpMonth: c.ExpMonth, ExpYear: c.ExpYear}
	}
	if b := v.BankAccount; b != nil {
		out.BankAccount = &normalize.BankAccount{Last4: b.Last4}
	}
	return out
}

// decode reads the durable form of the record with this id. What an earlier release
// wrote in the clear is read as it is.
func (s *Sealer) decode(id string, b []byte) (Record, error) {
	var d durableRecord
	if err := json.Unmarshal(b, &d); err != nil {
		return Record{}, fmt.Errorf("%w: a record cannot be read: %w", ErrStore, err)
	}
	if d.Schema != schemaVersion && d.Schema != clearSchema {
		return Record{}, fmt.Errorf("%w: record %s has schema %d, this release reads up to %d", ErrStore, d.ID, d.Schema, schemaVersion)
	}
	if d.ID != id {
		return Record{}, fmt.Errorf("%w: %w: a record under another's key, %s under %s", ErrStore, ErrUnreadable, d.ID, id)
	}
	if d.Schema == clearSchema {
		return d.asClear(), nil
	}
	return s.openRecord(d)
}

// asClear is a record that an earlier release wrote.
func (d durableRecord) asClear() Record {
	r := d.Record
	r.Schema, r.Tokens, r.Late = schemaVersion, nil, nil
	for _, t := range d.Tokens {
		r.Tokens = append(r.Tokens, t.Token)
	}
	for _, t := range d.Late {
		r.Late = append(r.Late, t.Token)
	}
	return r
}

func (s *Sealer) openRecord(d durableRecord) (Record, error) {
	r := d.Record
	r.Tokens, r.Late, r.View, r.Answer, r.Want = nil, nil, nil, nil, nil
	var err error
	var box box
	if d.Sealed != nil || anySealed(d.Tokens) || anySealed(d.Late) {
		if box, err = s.box(d.SealedBy, r.place()); err != nil {
			return Record{}, err
		}
	}
	if r.Tokens, err = openTokens(box, d.Tokens); err != nil {
		return Record{}, err
	}
	if r.Late, err = openTokens(box, d.Late); err != nil {
		return Record{}, err
	}
	if d.Sealed == nil {
		return r, nil
	}
	plain, err := box.open("", d.Sealed)
	if err != nil {
		return Record{}, err
	}
	var parts recordParts
	if err := json.Unmarshal(plain, &parts); err != nil {
		return Record{}, fmt.Errorf("%w: the sealed part of record %s cannot be read: %w", ErrStore, r.ID, err)
	}
	r.View, r.Answer, r.Want = parts.View, parts.Answer, parts.Want
	if r.Doubt != nil {
		r.Doubt.Want = parts.DoubtWant
	}
	return r, nil
}

func openTokens(box box, tokens []durableToken) ([]Token, error) {
	if len(tokens) == 0 {
		return nil, nil
	}
	out := make([]Token, len(tokens))
	for i, t := range tokens {
		out[i] = t.Token
		if t.References != nil {
			return nil, fmt.Errorf("%w: %w: a reference at %s is in the clear in a record that is sealed", ErrStore, ErrUnreadable, t.Provider)
		}
		if t.Sealed == nil {
			continue // a mirror that is not stored yet
		}
		plain, err := box.open(t.Provider, t.Sealed)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(plain, &out[i].References); err != nil {
			return nil, fmt.Errorf("%w: a reference at %s cannot be read: %w", ErrStore, t.Provider, err)
		}
	}
	return out, nil
}
