package adaptertest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// key makes references comparable.
func key(ref normalize.References) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(ref)) {
		b.WriteString(k + "=" + ref[k] + "\n")
	}
	return b.String()
}

// evil are references that would make another path, query or header of a request.
func evil() []string {
	return []string{
		".", "..", "/", "a/b", "../x", "a/../b", "%2e%2e", "%2f", "a?b", "a#b", "a;b", "a b", "a\\b",
		"\x00", "a\nb", "a\r\nX-Evil: 1", "a\tb", "\x7f", "é", "a:b,c", strings.Repeat("a", 5000),
	}
}

// listed returns the references that a list shows of an instrument.
func (b *bench) listed(ref normalize.References) normalize.References {
	out := maps.Clone(ref)
	for _, name := range b.h.HiddenReferences {
		delete(out, name)
	}
	return out
}

// checkReferences: references leave the process and come back, and are enough by themselves.
func checkReferences(b *bench) {
	ins := b.create()
	text, err := json.Marshal(ins.References)
	require.NoError(b.tb, err)
	var back normalize.References
	require.NoError(b.tb, json.Unmarshal(text, &back))
	got, err := b.open().Get(b.ctx(), back)
	b.requireNoError(err, "get through another adapter with stored references")
	b.requireSame(ins, got)
	for k, v := range ins.References {
		require.NotEmpty(b.tb, v, "reference %q", k)
		require.LessOrEqual(b.tb, len(v), 128, "reference %q", k)
	}
	if c, ok := b.adapter.(adapters.ReferenceChecker); ok {
		require.Empty(b.tb, c.CheckReferences(ins.References), "its own references are well-formed")
		require.Empty(b.tb, c.CheckReferences(b.h.Missing), "well-formed references need not exist")
	}
}

// checkEvilReferences: no reference reaches a path that it was not made for.
func checkEvilReferences(b *bench) {
	good := b.h.Missing
	before := b.requests()
	_, err := b.adapter.Get(b.ctx(), nil)
	b.requireUnsent(err, before, "get without references", normalize.InvalidField, normalize.MissingField)
	checker, checks := b.adapter.(adapters.ReferenceChecker)
	for _, op := range b.operations() {
		if op.unbound {
			continue
		}
		usual := b.addresses(func() { _ = op.call(b.ctx(), good) })
		for k := range good {
			for _, v := range evil() {
				bad := maps.Clone(good)
				bad[k] = v
				what := fmt.Sprintf("%s with %q = %.40q", op.name, k, v)
				if checks {
					require.NotEmpty(b.tb, checker.CheckReferences(bad), "CheckReferences accepts the references of %s", what)
				}
				before := b.requests()
				sent := b.addresses(func() { err = op.call(b.ctx(), bad) })
				if normalize.OutcomeOf(err) == normalize.NotSent {
					b.requireUnsent(err, before, what, normalize.InvalidField, normalize.MissingField)
				} else { // then the operation does not use that reference
					require.Equal(b.tb, usual, sent, what)
				}
			}
		}
	}
	if checks {
		require.NotEmpty(b.tb, checker.CheckReferences(nil))
		for _, f := range checker.CheckReferences(nil) {
			require.Regexp(b.tb, `^(/[^/]+)?$`, f.Pointer, "pointers are relative to the references object")
		}
	}
}

// addresses returns the addresses that f makes the adapter send to.
func (b *bench) addresses(f func()) []string {
	since := b.wire.count()
	f()
	return b.wire.urls(since)
}

func checkEvilCustomer(b *bench) {
	c := must[adapters.Creator](b)
	src := b.source()
	for _, customer := range append(evil(), "") {
		in := b.createInput(src)
		in.Customer = customer
		before := b.wire.count()
		_, err := c.Create(b.ctx(), in)
		b.requireOutcome(err, normalize.NotSent, "create for customer "+customer)
		require.Equal(b.tb, before, b.wire.count(), "create for customer %.40q sent something", customer)
	}
}

// checkCharge: what the provider's payment call needs comes from the references alone.
func checkCharge(b *bench) {
	c := must[adapters.Charger](b)
	ins := b.create()
	before := b.wire.count()
	m := c.Charge(ins.References, ins.Type)
	require.NotEmpty(b.tb, m)
	text, err := json.Marshal(m)
	require.NoError(b.tb, err)
	for _, s := range variants(b.hiddenStrings()) {
		require.NotContains(b.tb, string(text), s)
	}
	require.Equal(b.tb, before, b.wire.count(), "charge makes no call")
}
