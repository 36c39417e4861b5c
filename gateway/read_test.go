package gateway

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// one makes a world with one stored card.
func one(t *testing.T, edit ...func(*Config)) (*world, normalize.Instrument, normalize.References) {
	t.Helper()
	w := newWorld(edit...)
	in := input("cus", card(visa))
	in.BillingAddress = &normalize.Address{City: "Graz", Line1: "Ring 1"}
	in.Metadata = map[string]string{"k": "v"}
	ins := w.stores(t, acme, in, "key").Instrument
	return w, ins, ins.ProviderTokens[0].References
}

func TestAReadIsOneRoundTrip(t *testing.T) {
	t.Parallel()
	w, ins, _ := one(t)
	for _, stored := range []bool{true, false} {
		require.Equal(t, 1, w.store.counted(func() {
			read, err := w.Get(t.Context(), acme, ins.ID, stored)
			require.NoError(t, err)
			require.Equal(t, "alpha", read.Provider)
			require.False(t, read.Stale)
			require.Equal(t, ETag(ins), ETag(read.Instrument))
		}))
	}
	require.Equal(t, 1, w.a.count("get"), "only the live one asks the provider")
}

func TestAReadKeepsWhatItSaw(t *testing.T) {
	t.Parallel()
	w, ins, ref := one(t)
	w.a.change(ref, func(i *adapters.Instrument) {
		i.Card.ExpYear, i.Card.BIN, i.BillingAddress, i.Status, i.ProviderStatus = 2040, "", nil, normalize.StatusVerificationNeeded, "odd"
	})
	live, err := w.Get(t.Context(), acme, ins.ID, false)
	require.NoError(t, err)
	require.Equal(t, 2040, live.Instrument.Card.ExpYear)
	require.Equal(t, "411111", live.Instrument.Card.BIN, "what the provider does not tell stays")
	require.Equal(t, "Graz", live.Instrument.BillingAddress.City)
	require.Equal(t, "v", live.Instrument.Metadata["k"])
	require.Equal(t, normalize.StatusVerificationNeeded, live.Instrument.Status)
	require.NotEqual(t, ETag(ins), ETag(live.Instrument))
	stored, err := w.Get(t.Context(), acme, ins.ID, true)
	require.NoError(t, err)
	require.Equal(t, asJSON(t, live.Instrument), asJSON(t, stored.Instrument))
	t.Run("and answers it even if it cannot be kept", func(t *testing.T) {
		t.Parallel()
		w.a.change(ref, func(i *adapters.Instrument) { i.Card.ExpYear = 2041 })
		w.store.fail(func(int, Write) fate { return failsBefore })
		live, err := w.Get(t.Context(), acme, ins.ID, false)
		require.NoError(t, err)
		require.Equal(t, 2041, live.Instrument.Card.ExpYear)
	})
}

func TestAProviderThatCannotBeAskedIsAnsweredFor(t *testing.T) {
	t.Parallel()
	for code, stale := range map[normalize.Code]bool{
		normalize.ProviderUnavailable: true, normalize.ProviderTimeout: true, normalize.ProviderError: true,
		normalize.ProviderBadResponse: true, normalize.ProviderRateLimited: true, normalize.ProviderMisconfigured: true,
		normalize.InvalidField: false, normalize.NotFound: false, normalize.InstrumentDeleted: false,
	} {
		t.Run(string(code), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, ins, _ := one(t, func(c *Config) { c.StaleIfError = time.Hour })
				record := w.store.raw(ins.ID)
				time.Sleep(59 * time.Minute)
				w.a.will("get", step{err: failure(code, normalize.Unknown)}, step{err: failure(code, normalize.Unknown)})
				read, err := w.Get(t.Context(), acme, ins.ID, false)
				if !stale {
					require.Error(t, err)
				} else {
					require.NoError(t, err)
					require.True(t, read.Stale)
					require.Equal(t, 59*time.Minute, read.Age)
					require.Equal(t, ETag(ins), ETag(read.Instrument))
				}
				time.Sleep(2 * time.Minute)
				_, err = w.Get(t.Context(), acme, ins.ID, false)
				require.Error(t, err, "too old to be served")
				require.Equal(t, record, w.store.raw(ins.ID), "a failure changes no record")
			})
		})
	}
	t.Run("unless that is turned off", func(t *testing.T) {
		t.Parallel()
		w, ins, _ := one(t, func(c *Config) { c.StaleIfError = -1 })
		w.a.will("get", step{err: failure(normalize.ProviderTimeout, normalize.Unknown)})
		_, err := w.Get(t.Context(), acme, ins.ID, false)
		require.Equal(t, normalize.ProviderTimeout, normalize.CodeOf(err))
	})
	t.Run("and the age counts from when it was last seen, not from when it last changed", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w, ins, _ := one(t, func(c *Config) { c.StaleIfError = 10 * time.Minute })
			for range 10 {
				time.Sleep(5 * time.Minute)
				read, err := w.Get(t.Context(), acme, ins.ID, false)
				require.NoError(t, err)
				require.Equal(t, ETag(ins), ETag(read.Instrument), "to be looked at is no change")
			}
			w.a.will("get", step{err: failure(normalize.ProviderTimeout, normalize.Unknown)})
			time.Sleep(time.Minute)
			_, err := w.Get(t.Context(), acme, ins.ID, false)
			require.NoError(t, err)
		})
	})
}

func TestAnInstrumentThatTheProviderLostIsGone(t *testing.T) {
	t.Parallel()
	w, ins, ref := one(t)
	record := w.store.raw(ins.ID)
	w.a.lose(ref)
	_, err := w.Get(t.Context(), acme, ins.ID, false)
	require.Equal(t, normalize.InstrumentDeleted, normalize.CodeOf(err))
	require.Equal(t, record, w.store.raw(ins.ID))
	_, err = w.Get(t.Context(), acme, ins.ID, true)
	require.NoError(t, err, "the record is as it was")
}

func TestWhatIsAnothersIsAsIfItHadNeverBeen(t *testing.T) {
	t.Parallel()
	w, ins, _ := one(t)
	never := w.current().instrumentID(acme, "never used")
	for name, get := range map[string]func(tenant, id string) error{
		"get": func(tenant, id string) error { _, err := w.Get(t.Context(), tenant, id, false); return err },
		"update": func(tenant, id string) error {
			_, err := w.Update(t.Context(), tenant, id, normalize.UpdateInput{})
			return err
		},
		"delete":     func(tenant, id string) error { return w.Delete(t.Context(), tenant, id, ScopeProvider) },
		"deactivate": func(tenant, id string) error { _, err := w.Deactivate(t.Context(), tenant, id); return err },
		"activate":   func(tenant, id string) error { _, err := w.Activate(t.Context(), tenant, id); return err },
		"operation":  func(tenant, id string) error { _, err := w.Operation(t.Context(), tenant, id); return err },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			other := get(loose, ins.ID)
			require.Equal(t, normalize.NotFound, normalize.CodeOf(other))
			require.Equal(t, get(acme, never), other)
			require.Equal(t, get(acme, "no id"), other)
		})
	}
}

func TestETagChangesWithWhatShowsAndWithNothingElse(t *testing.T) {
	t.Parallel()
	r := inState(t, "completed")
	now := r.UpdatedAt // the same moment: even then a change has a tag of its own
	tag := func(r Record) string { return ETag(r.instrument(now)) }
	for what, edit := range map[string]func(*Token, *View){
		"default":  func(_ *Token, v *View) { v.Default = !v.Default },
		"metadata": func(_ *Token, v *View) { v.Metadata = map[string]string{"k": "w"} },
		"expiry":   func(_ *Token, v *View) { c := *v.Card; c.ExpYear++; v.Card = &c },
		"address":  func(_ *Token, v *View) { v.BillingAddress = &normalize.Address{City: "Elsewhere"} },
		"token":    func(tok *Token, _ *View) { tok.ProviderStatus = "CHANGED" },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			token, view := r.primary(), *r.View
			edit(&token, &view)
			after, err := r.changed(token, view, now)
			require.NoError(t, err)
			require.NotEqual(t, tag(r), tag(after))
		})
	}
	held, err := r.hold(true, now)
	require.NoError(t, err)
	require.NotEqual(t, tag(r), tag(held))
	require.NotEqual(t, ETag(r.instrument(now)), ETag(r.instrument(now.AddDate(50, 0, 0))), "a card expires by time alone")

	token := r.primary()
	token.SyncedAt, token.Version = now.Add(time.Hour), "another"
	same, err := r.changed(token, *r.View, now.Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, tag(r), tag(same))
	require.Regexp(t, `^"[a-z0-9_-]+"$`, tag(r))
}

func TestAnExpiredCardShowsSo(t *testing.T) {
	t.Parallel()
	r := inState(t, "completed")
	require.Equal(t, normalize.StatusActive, r.status(time.Date(2031, 12, 30, 0, 0, 0, 0, time.UTC)))
	require.Equal(t, normalize.StatusExpired, r.status(time.Date(2032, 1, 2, 0, 0, 0, 0, time.UTC)))
	r.Held = true
	require.Equal(t, normalize.StatusDeactivated, r.status(time.Date(2032, 1, 2, 0, 0, 0, 0, time.UTC)))
}

func TestAGatewayWhoseClockIsWrongStealsNoLease(t *testing.T) {
	t.Parallel()
	for name, off := range map[string]time.Duration{"ahead": time.Hour, "behind": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				wrong := w.another(func(c *Config) { c.Now = func() time.Time { return time.Now().Add(off) } })
				for first, second := range map[*world]*world{w: wrong, wrong: w} {
					key := "key " + first.owner
					release := make(chan struct{})
					w.a.will("create", step{blocks: release})
					done := make(chan error)
					go func() {
						_, err := first.Create(t.Context(), acme, input("cus", visaToken(first.owner)), key)
						done <- err
					}()
					synctest.Wait()
					second.refuses(t, acme, input("cus", visaToken(first.owner)), key, normalize.IdempotencyKeyInUse, normalize.Unknown)
					close(release)
					require.NoError(t, <-done)
				}
				require.Equal(t, 2, w.a.count("create"))
				for _, r := range w.store.records() {
					require.WithinDuration(t, time.Now(), r.CreatedAt, time.Second, "records keep the store's time")
				}
			})
		})
	}
	t.Run("an answer that took long says little about the clocks", func(t *testing.T) {
		t.Parallel()
		c, now := &clock{}, testTime
		c.learn(now.Add(time.Minute), now, now.Add(100*time.Millisecond))
		require.Equal(t, now.Add(time.Minute-50*time.Millisecond), c.at(now))
		c.learn(now.Add(time.Minute), now, now.Add(40*time.Second))
		require.Equal(t, now.Add(time.Minute-50*time.Millisecond), c.at(now), "the gateway was stopped in between")
	})
}
