package adaptertest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// update applies in, and returns false if the provider cannot change that member,
// which it must say before it sends anything.
func (b *bench) update(ref normalize.References, in adapters.UpdateInput, what string) (adapters.Instrument, bool) {
	b.tb.Helper()
	u := must[adapters.Updater](b)
	before := b.requests()
	ins, err := u.Update(b.ctx(), ref, in)
	if normalize.CodeOf(err) == normalize.UnsupportedOperation {
		b.requireUnsent(err, before, what)
		return ins, false
	}
	b.requireNoError(err, what)
	b.requireInstrument(ins)
	require.Equal(b.tb, ref, ins.References, "%s: the references stay", what)
	return ins, true
}

func checkUpdate(b *bench) {
	must[adapters.Updater](b)
	ins := b.create()
	month, year := 11, time.Now().Year()+7
	moved := &normalize.Address{
		FirstName: "王", LastName: "小明", Line1: "9 Elm Road", City: "Boston", Region: "MA",
		PostalCode: "02108", Country: "US", Email: "w@example.com", Phone: "+16175550123",
	}
	changed := 0
	if got, ok := b.update(ins.References, adapters.UpdateInput{BillingAddress: moved}, "update of the address"); ok {
		changed++
		for _, view := range []adapters.Instrument{got, b.get(ins.References)} {
			require.NotNil(b.tb, view.BillingAddress)
			a := *view.BillingAddress
			require.Equal(b.tb, []string{"王", "小明", "9 Elm Road", "Boston", "02108", "US"},
				[]string{a.FirstName, a.LastName, a.Line1, a.City, a.PostalCode, a.Country})
			require.Equal(b.tb, ins.Card, view.Card, "what is nil stays")
		}
	}
	if got, ok := b.update(ins.References, adapters.UpdateInput{ExpMonth: &month, ExpYear: &year}, "update of the expiry"); ok {
		changed++
		for _, view := range []adapters.Instrument{got, b.get(ins.References)} {
			require.NotNil(b.tb, view.Card)
			require.Equal(b.tb, []int{month, year}, []int{view.Card.ExpMonth, view.Card.ExpYear})
			require.Equal(b.tb, ins.Card.Last4, view.Card.Last4, "what is nil stays")
		}
	}
	if got, ok := b.update(ins.References, adapters.UpdateInput{ClearBillingAddress: true}, "removal of the address"); ok {
		changed++
		for _, view := range []adapters.Instrument{got, b.get(ins.References)} {
			require.True(b.tb, view.BillingAddress == nil || view.BillingAddress.Line1 == "", "the address is removed")
		}
	}
	require.NotZero(b.tb, changed, "an Updater can change something")
	require.Equal(b.tb, 1, b.live(), "an update stores no second instrument")
}

func checkUpdateMissing(b *bench) {
	u := must[adapters.Updater](b)
	_, err := u.Update(b.ctx(), b.h.Missing, adapters.UpdateInput{BillingAddress: address()})
	if normalize.CodeOf(err) != normalize.UnsupportedOperation {
		b.requireOutcome(err, normalize.Rejected, "update of a missing instrument", gone()...)
	}
	one := 1
	before := b.requests()
	_, err = u.Update(b.ctx(), b.h.Missing, adapters.UpdateInput{ExpMonth: &one})
	b.requireUnsent(err, before, "update of a month without its year")
}

// checkVersion: an update that names an older version is refused where the provider has versions.
func checkVersion(b *bench) {
	must[adapters.Updater](b)
	created := b.create()
	ins := b.get(created.References)
	if ins.Version == "" {
		b.tb.Skipf("the provider has no versions")
	}
	in := adapters.UpdateInput{BillingAddress: address(), Version: ins.Version}
	in.BillingAddress.Line1 = "2 Main Street"
	if _, ok := b.update(ins.References, in, "update of the current version"); !ok {
		b.tb.Skipf("the provider cannot change the address")
	}
	require.NotEqual(b.tb, ins.Version, b.get(ins.References).Version, "a change makes a new version")
	u := must[adapters.Updater](b)
	in.BillingAddress.Line1 = "3 Main Street"
	_, err := u.Update(b.ctx(), ins.References, in)
	if err == nil { // providers whose version is only a revision number ignore it
		return
	}
	b.requireOutcome(err, normalize.Rejected, "update of an older version", normalize.VersionMismatch)
	require.Equal(b.tb, "2 Main Street", b.get(ins.References).BillingAddress.Line1)
}
