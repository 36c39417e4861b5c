package gateway

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

// slowLoads answers a load late, so that everybody who looks has looked before anybody writes.
type slowLoads struct{ *memStore }

func (s slowLoads) Load(ctx context.Context, keys ...string) (Loaded, error) {
	out, err := s.memStore.Load(ctx, keys...)
	time.Sleep(time.Second)
	return out, err
}

func keysOf(ids ...string) func(*Config) { return func(c *Config) { c.Keys = testKeys(ids...) } }

// While the reference keys are rotated one gateway names what it stores with the new key
// and another one still with the old. A key that is sent to both at the same time
// stores once all the same.
func TestOneKeyAtTwoGatewaysWhoseReferenceKeysDifferStoresOnce(t *testing.T) {
	t.Parallel()
	for _, src := range []normalize.Source{card(visa), visaToken("tok")} {
		for round := range 20 {
			t.Run(fmt.Sprint(src.Type, " ", round), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					old := newWorld(keysOf("k1", "k2"))
					ahead := old.another(keysOf("k2", "k1"))
					for _, w := range []*world{old, ahead} {
						w.Service.store = slowLoads{old.store}
					}
					var all sync.WaitGroup
					answers := make([]Created, 6)
					for i := range answers {
						all.Go(func() {
							for {
								out, err := []*world{old, ahead}[i%2].Create(t.Context(), acme, input("cus", src), "key")
								if err == nil && out.Operation == nil {
									answers[i] = out
									return
								}
								require.Contains(t, []normalize.Code{"", normalize.IdempotencyKeyInUse, normalize.Conflict}, normalize.CodeOf(err), "%v", err)
								time.Sleep(time.Duration(i+1) * 300 * time.Millisecond)
							}
						})
					}
					all.Wait()
					for _, a := range answers {
						require.Equal(t, answers[0].Instrument.ID, a.Instrument.ID)
					}
					require.Equal(t, 1, old.a.count("create"), "sent once")
					require.Equal(t, 1, old.a.live()+old.b.live())
				})
			})
		}
	}
}

// The fingerprint of a number that comes again, or of a card whose provider tells it
// apart, is made anew with the current key. Others stay as they are.
func TestFingerprintsAreRenewedWhenTheirNumberComesAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(keysOf("k1", "k2"))
	w.a.knows = true
	again := w.stores(t, acme, input("cus", card(visa)), "again").Instrument
	token := w.stores(t, acme, input("cus", visaToken("7777.one")), "token").Instrument
	never := w.stores(t, acme, input("cus", card(amex)), "never").Instrument
	next := w.reloaded(t, keysOf("k2", "k1"))
	one := next.stores(t, acme, input("cus", card(visa)), "another key")
	require.True(t, one.Deduplicated, "the claims of the old key count")
	require.Equal(t, again.ID, one.Instrument.ID)
	require.Equal(t, testKeys("k2")[0].fingerprint("card "+visa), *one.Instrument.Fingerprint)
	require.NotEqual(t, *again.Fingerprint, *one.Instrument.Fingerprint)

	read, err := next.Get(t.Context(), acme, token.ID, false)
	require.NoError(t, err)
	require.Equal(t, testKeys("k2")[0].fingerprint("fake 7777"), *read.Instrument.Fingerprint)
	require.NotEqual(t, ETag(token), ETag(read.Instrument), "it is a visible change")
	for _, id := range []string{token.ID, again.ID} {
		before := next.record(t, id)
		_, err = next.Get(t.Context(), acme, id, false)
		require.NoError(t, err)
		require.Equal(t, before.UpdatedAt, next.record(t, id).UpdatedAt, "and made once")
	}

	read, err = next.Get(t.Context(), acme, never.ID, true)
	require.NoError(t, err)
	require.Equal(t, *never.Fingerprint, *read.Instrument.Fingerprint)
	page, err := next.List(t.Context(), acme, ListInput{Filter: []normalize.Clause{{Field: "fingerprint", Values: []string{*one.Instrument.Fingerprint}}}})
	require.NoError(t, err)
	require.Len(t, page.Data, 1)
	require.Equal(t, again.ID, page.Data[0].ID)
}
