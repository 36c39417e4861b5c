package gateway

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

func TestAnImportStoresEachItemByItself(t *testing.T) {
	t.Parallel()
	w := newWorld()
	items := make([]ImportItem, 100)
	for i := range items {
		items[i] = ImportItem{Key: fmt.Sprint("key ", i), Input: input("cus", visaToken(fmt.Sprint("t", i)))}
		items[i].Input.Metadata = map[string]string{"n": fmt.Sprint(i)}
	}
	items[3].Input.CustomerID = ""
	items[50].Fields = []normalize.FieldError{{Pointer: "/sources", Code: normalize.UnknownMember}}
	items[99].Input.Sources = nil
	bad := map[int]normalize.Code{3: normalize.MissingField, 50: normalize.UnknownMember, 99: normalize.MissingField}
	for repeat := range 3 {
		for i, res := range w.Import(t.Context(), acme, items) {
			if code, ok := bad[i]; ok {
				require.Equal(t, code, normalize.CodeOf(res.Err))
				continue
			}
			require.NoError(t, res.Err)
			require.Equal(t, fmt.Sprint(i), res.Created.Instrument.Metadata["n"], "in their order")
			require.Equal(t, repeat > 0, res.Created.Replayed)
		}
		require.Equal(t, 97, w.a.live(), "a repeat changes nothing")
	}
	require.Equal(t, 1, w.a.count("create_customer"))
}

func TestABulkDeleteDeletesEachByItself(t *testing.T) {
	t.Parallel()
	w, ins, _ := one(t)
	other := w.stores(t, acme, input("cus", card(mastercard)), "2").Instrument
	ids := []string{ins.ID, "no id", other.ID, ins.ID}
	res := w.BulkDelete(t.Context(), acme, ids, ScopeProvider)
	require.Len(t, res, 4)
	require.NoError(t, res[0].Err)
	require.Equal(t, normalize.NotFound, normalize.CodeOf(res[1].Err))
	require.NoError(t, res[2].Err)
	require.NoError(t, res[3].Err)
	require.Zero(t, w.a.live())
}
