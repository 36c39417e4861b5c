package gateway

import (
	"fmt"

	"github.com/go-json-experiment/json"
)

// durableCustomer is a customer's entry as it is stored: the references at each
// provider are sealed, bound to it.
type durableCustomer struct {
	customer
	SealedBy string            `json:"sealed_by,omitempty"`
	Sealed   map[string][]byte `json:"sealed,omitempty"` // provider name to customerParts
}

// customerParts are a customer's references at one provider.
type customerParts struct {
	Ref  string   `json:"ref,omitempty"`
	Also []string `json:"also,omitempty"`
}

func (c customer) place() place {
	return place{tenant: c.Tenant, record: customerEntryKey(c.Tenant, c.ID)}
}

// encodeCustomer writes a customer's durable form, sealed under the current key.
func (s *Sealer) encodeCustomer(c customer) []byte {
	b, err := s.tryEncodeCustomer(c)
	if err != nil {
		panic("gateway: a customer is always encodable: " + err.Error())
	}
	return b
}

func (s *Sealer) tryEncodeCustomer(c customer) ([]byte, error) {
	d := durableCustomer{customer: c}
	d.Schema, d.Refs, d.Also = schemaVersion, nil, nil
	box, err := s.box(s.Current(), c.place())
	if err != nil {
		return nil, err
	}
	for provider := range c.known() {
		plain, err := json.Marshal(customerParts{c.Refs[provider], c.Also[provider]}, encodeOptions())
		if err != nil {
			return nil, err
		}
		if d.Sealed == nil {
			d.SealedBy, d.Sealed = s.Current(), map[string][]byte{}
		}
		d.Sealed[provider] = box.seal(provider, plain)
	}
	return json.Marshal(d, encodeOptions(), json.Deterministic(true))
}

// decodeCustomer reads the entry under key. One that does not exist has version 0.
func (s *Sealer) decodeCustomer(key string, e Entry) (storedCustomer, error) {
	var d durableCustomer
	if e.Version == 0 {
		return storedCustomer{}, nil
	}
	if err := json.Unmarshal(e.Value, &d); err != nil || d.Schema != schemaVersion && d.Schema != clearSchema {
		return storedCustomer{}, fmt.Errorf("%w: a customer entry cannot be read (schema %d)", ErrStore, d.Schema)
	}
	c := d.customer
	if d.Schema == clearSchema {
		c.Schema = schemaVersion
		return storedCustomer{c, e.Version}, nil
	}
	if at := c.place().record; at != key {
		return storedCustomer{}, fmt.Errorf("%w: %w: a customer under another's key, %s under %s", ErrStore, ErrUnreadable, at, key)
	}
	c.Refs, c.Also = nil, nil
	if len(d.Sealed) == 0 {
		return storedCustomer{c, e.Version}, nil
	}
	box, err := s.box(d.SealedBy, c.place())
	if err != nil {
		return storedCustomer{}, err
	}
	for provider, sealed := range d.Sealed {
		if err := c.openAt(box, provider, sealed); err != nil {
			return storedCustomer{}, err
		}
	}
	return storedCustomer{c, e.Version}, nil
}

func (c *customer) openAt(box box, provider string, sealed []byte) error {
	plain, err := box.open(provider, sealed)
	if err != nil {
		return err
	}
	var parts customerParts
	if err := json.Unmarshal(plain, &parts); err != nil {
		return fmt.Errorf("%w: a customer's references at %s cannot be read: %w", ErrStore, provider, err)
	}
	if parts.Ref != "" {
		if c.Refs == nil {
			c.Refs = map[string]string{}
		}
		c.Refs[provider] = parts.Ref
	}
	if len(parts.Also) > 0 {
		c.Also = withReferences(c.Also, map[string][]string{provider: parts.Also})
	}
	return nil
}
