package adaptertest

import (
	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

func checkGetMissing(b *bench) {
	_, err := b.adapter.Get(b.ctx(), b.h.Missing)
	b.requireOutcome(err, normalize.Rejected, "get of a missing instrument", gone()...)
}

func checkDeactivate(b *bench) {
	d := must[adapters.Deactivator](b)
	b.create() // the first may be the default, which some providers keep
	ins := b.create()
	for _, what := range []string{"deactivate", "deactivate again"} {
		got, err := d.Deactivate(b.ctx(), ins.References)
		b.requireNoError(err, what)
		b.requireInstrument(got)
		require.Equal(b.tb, ins.References, got.References)
		require.Equal(b.tb, normalize.StatusDeactivated, got.Status, what)
		require.Equal(b.tb, normalize.StatusDeactivated, b.get(ins.References).Status, "the record is kept")
		require.Equal(b.tb, 1, b.live())
	}
	_, err := d.Deactivate(b.ctx(), b.h.Missing)
	b.requireOutcome(err, normalize.Rejected, "deactivate a missing instrument", gone()...)
}

// requireGone requires that the instrument is deleted, or deactivated where deletion is that.
func (b *bench) requireGone(ref normalize.References) {
	b.tb.Helper()
	ins, err := b.adapter.Get(b.ctx(), ref)
	if err == nil {
		require.Equal(b.tb, normalize.StatusDeactivated, ins.Status, "a deleted instrument is not there, or deactivated")
	} else {
		b.requireOutcome(err, normalize.Rejected, "get after delete", gone()...)
	}
	if !is[adapters.Lister](b.adapter) {
		return
	}
	items := b.collect(adapters.ListInput{Customer: b.h.Customer})
	for _, item := range items {
		if key(item.References) == key(b.listed(ref)) {
			require.Equal(b.tb, normalize.StatusDeactivated, item.Status, "a deleted instrument is not listed as usable")
		}
	}
}

func checkDelete(b *bench) {
	d := must[adapters.Deleter](b)
	kept, ins := b.create(), b.create()
	for _, what := range []string{"delete", "delete again"} {
		b.requireNoError(d.Delete(b.ctx(), ins.References), what)
		b.requireGone(ins.References)
		require.Equal(b.tb, 1, b.live())
	}
	b.requireSame(kept, b.get(kept.References))
	b.requireNoError(d.Delete(b.ctx(), b.h.Missing), "delete of an instrument that never was: it is gone already")
}

// checkDeleteDefault: the default is deleted, or refused with the code that says what to do first.
func checkDeleteDefault(b *bench) {
	d := must[adapters.Deleter](b)
	s := must[adapters.DefaultSetter](b)
	one, two := b.create(), b.create()
	_, err := s.SetDefault(b.ctx(), one.References)
	b.requireNoError(err, "set default")
	if err := d.Delete(b.ctx(), one.References); err != nil {
		b.requireOutcome(err, normalize.Rejected, "delete of the default", normalize.DefaultInstrumentInUse)
		require.Equal(b.tb, 2, b.live(), "what was refused was not done")
		_, err = s.SetDefault(b.ctx(), two.References)
		b.requireNoError(err, "set another default")
		b.requireNoError(d.Delete(b.ctx(), one.References), "delete of the former default")
	}
	b.requireGone(one.References)
	require.Equal(b.tb, 1, b.live())
}

func checkDeleteVault(b *bench) {
	d := must[adapters.VaultDeleter](b)
	kept, one, two := b.create(), b.create(), b.create()
	for _, what := range []string{"delete with the vault", "delete with the vault again"} {
		b.requireNoError(d.DeleteVault(b.ctx(), one.References), what)
		b.requireGone(one.References)
	}
	if del, ok := b.adapter.(adapters.Deleter); ok {
		b.requireNoError(del.Delete(b.ctx(), two.References), "delete")
		b.requireNoError(d.DeleteVault(b.ctx(), two.References), "delete with the vault after a delete")
		b.requireGone(two.References)
	}
	b.requireSame(kept, b.get(kept.References))
}

func checkDeleteMany(b *bench) {
	d := must[adapters.BulkDeleter](b)
	kept, one, two := b.create(), b.create(), b.create()
	before := b.requests()
	require.Empty(b.tb, d.DeleteMany(b.ctx(), nil))
	require.Equal(b.tb, before, b.requests(), "nothing to delete is no request")
	for _, what := range []string{"delete many", "delete many again"} {
		errs := d.DeleteMany(b.ctx(), []normalize.References{one.References, b.h.Missing, two.References})
		require.Len(b.tb, errs, 3, "one result for each reference")
		for _, err := range errs {
			b.requireNoError(err, what)
		}
		b.requireGone(one.References)
		b.requireGone(two.References)
	}
	three, four := b.create(), b.create()
	errs := d.DeleteMany(b.ctx(), []normalize.References{three.References, {}, four.References})
	require.Len(b.tb, errs, 3, "one result for each reference")
	b.requireNoError(errs[0], "the first of three")
	b.requireOutcome(errs[1], normalize.NotSent, "the bad one of three")
	b.requireNoError(errs[2], "the last of three")
	b.requireGone(four.References)
	b.requireSame(kept, b.get(kept.References))
}
