package gateway

import (
	"context"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// How a notice finds what it names. A provider names an instrument, a card or a
// customer by an id of its own; the store has an index for each of these names, under a
// keyed hash, so that the id itself is not in it. A record and a customer's entry know
// the indexes that they are in.

// noticeIndex is the index of everything that a notice means by one name.
func noticeIndex(key ReferenceKey, provider, kind, name string) string {
	return noticeIndexPrefix(provider) + hex.EncodeToString(key.mac("notice", provider, kind, name)[:16])
}

func noticeIndexPrefix(provider string) string { return "n/" + provider + "/" }

// The kinds of names.
const (
	namedInstrument = "instrument"
	namedCard       = "card"
	namedCustomer   = "customer"
)

// noticeNames tells how a provider's notices name what references point to; nothing for
// a provider that gives none.
func (p *Provider) noticeNames(ref normalize.References) adapters.NoticeNames {
	if n, ok := p.adapter.(adapters.Notifier); ok {
		return n.NoticeNames(ref)
	}
	return adapters.NoticeNames{}
}

// named are the indexes that a record should be in. A record that was written by an
// earlier release comes into them with its next write. Of a provider that is not
// configured they stay what they were.
func (s *Service) named(r Record) []string {
	if !r.live() {
		return nil
	}
	var out []string
	for i, t := range r.Tokens {
		if i > 0 && t.Record != "" {
			continue // a mirror's record has its own
		}
		p := s.providers[t.Provider]
		if p == nil {
			for _, index := range r.Named {
				if strings.HasPrefix(index, noticeIndexPrefix(t.Provider)) {
					out = append(out, index)
				}
			}
			continue
		}
		names := p.noticeNames(t.References)
		if names.Instrument != "" {
			out = append(out, noticeIndex(s.current(), p.name, namedInstrument, names.Instrument))
		}
		if names.Card != "" {
			out = append(out, noticeIndex(s.current(), p.name, namedCard, names.Card))
		}
	}
	return out
}

// customerNamed are the indexes that a customer should be in: those it was in before,
// and those of its references.
func (s *Service) customerNamed(c customer) []string {
	out := c.Named
	for name := range c.known() {
		p := s.providers[name]
		if p == nil {
			continue
		}
		for _, ref := range c.at(name) {
			if known := p.noticeNames(normalize.References{"customer": ref}).Customer; known != "" {
				out = append(slices.Clone(out), noticeIndex(s.current(), name, namedCustomer, known))
			}
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(out)))
}

// members are the index entries that a customer should have.
func (c customer) members() []Member {
	var out []Member
	for _, index := range c.Named {
		out = append(out, Member{index, customerEntryKey(c.Tenant, c.ID)})
	}
	return out
}

// maxNamed bounds how many instruments or customers one name may have: a provider's
// notice is not worth more work than that, and who asks sees the truth anyway.
const maxNamed = 1000

// membersNamed returns the members of a name's index, under every reference key.
func (s *Service) membersNamed(ctx context.Context, p *Provider, kind, name string) ([]string, error) {
	var out []string
	if name == "" {
		return nil, nil
	}
	for _, key := range s.keys {
		members, err := s.store.Scan(ctx, noticeIndex(key, p.name, kind, name), "", maxNamed, false)
		if err != nil {
			return nil, storeError("notice", err)
		}
		for _, m := range members {
			if !slices.Contains(out, m) {
				out = append(out, m)
			}
		}
	}
	return out, nil
}

// instrumentsNamed returns the live instruments of a name: of a mirror's record, the
// instrument that it belongs to.
func (s *Service) instrumentsNamed(ctx context.Context, p *Provider, kind, name string) ([]stored, error) {
	ids, err := s.membersNamed(ctx, p, kind, name)
	if err != nil {
		return nil, err
	}
	recs, err := s.load(ctx, "notice", ids...)
	if err != nil {
		return nil, err
	}
	var out []stored
	var parents []string
	seen := map[string]bool{}
	for _, rec := range recs {
		switch {
		case rec == nil || !rec.live():
		case rec.MirrorOf != "":
			parents = append(parents, rec.MirrorOf)
		default:
			seen[rec.ID] = true
			out = append(out, *rec)
		}
	}
	recs, err = s.load(ctx, "notice", parents...)
	for _, rec := range recs {
		if rec != nil && rec.live() && !seen[rec.ID] {
			seen[rec.ID] = true
			out = append(out, *rec)
		}
	}
	return out, err
}

// customerOwner is one tenant's customer.
type customerOwner struct{ tenant, customer string }

// customersNamed returns whose customer a provider means: several tenants may share an
// account there.
func (s *Service) customersNamed(ctx context.Context, p *Provider, name string) ([]customerOwner, error) {
	members, err := s.membersNamed(ctx, p, namedCustomer, name)
	var out []customerOwner
	for _, m := range members {
		if tenant, id, ok := strings.Cut(strings.TrimPrefix(m, customerPrefix), "/"); ok {
			out = append(out, customerOwner{tenant, id})
		}
	}
	return out, err
}
