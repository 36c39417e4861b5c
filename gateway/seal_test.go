package gateway

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

// mayBeRead are the members that a stored value may show. What is under them is the
// gateway's own, or enough to tell one instrument from another.
func mayBeRead() []string {
	return []string{
		// of a record
		"schema", "id", "tenant", "customer", "state", "fence", "owner", "lease_end", "digest_key", "digest", "attempts", "passed", "tokens", "view",
		"alias_of", "absent_at", "tries", "due_at", "pinned", "late", "doubt", "held", "taken", "deleted_at", "claims", "plan", "mirrored",
		"mirror_of", "attached", "created_at", "updated_at", "skew", "sealed", "sealed_by", "named", "refresh", "events", "expiry_told",
		// of a mark that a provider is to be asked
		"whole",
		// of an attempt and of a token
		"provider", "outcome", "code", "at", "ms", "type", "role", "status", "provider_status", "version", "synced_at", "record", "until", "behind",
		// of what is behind and of a doubt
		"since", "rev", "address", "expiry", "default", "deactivate", "delete", "unsure", "next_at", "looks",
		// of a view
		"card", "bank_account", "fingerprint", "fingerprint_of", "brand", "bin", "last4", "exp_month", "exp_year", "account_type",
		// of a customer, and of what became of an idempotency key
		"making", "by",
		// of an event, of its deliveries and of a provider's outages
		"instrument", "occurred_at", "deliveries", "endpoint", "host", "next", "last_at", "last_status", "last_error", "delivered_at", "down", "reports",
	}
}

// readable are the members of a sealed value that must not be readable.
func readable(value []byte) []string {
	var v map[string]any
	if json.Unmarshal(value, &v) != nil || v["schema"] != float64(schemaVersion) {
		return nil
	}
	delete(v, "digest") // its names are places in the request, its values keyed digests
	sealed, ofCustomer := v["sealed"].(map[string]any)
	if ofCustomer {
		for provider, text := range sealed {
			if _, ok := text.(string); !ok {
				return []string{"sealed." + provider}
			}
		}
		delete(v, "sealed")
	}
	delete(v, "making")  // by provider
	delete(v, "reports") // by gateway
	allowed, out := mayBeRead(), []string(nil)
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, member := range v {
				if !slices.Contains(allowed, name) || name == "bin" && member != "" {
					out = append(out, at+name)
				}
				walk(at+name+".", member)
			}
		case []any:
			for _, item := range v {
				walk(at, item)
			}
		}
	}
	walk("", v)
	return out
}

// canaryRecord is a record with something of everything that must not be readable,
// and those texts.
func canaryRecord() (Record, []string) {
	token := func(provider, ref string) Token {
		t := testToken(provider)
		t.References = normalize.References{"instrument": ref}
		return t
	}
	address := &normalize.Address{FirstName: "CANARY-FIRST", LastName: "CANARY-LAST", Line1: "CANARY-LINE", City: "CANARY-CITY", Email: "canary@example.com", Country: "US"}
	view := View{
		Type: normalize.TypePayPal, PayPal: &normalize.PayPal{Email: "paypal-canary@example.com"}, BillingAddress: address,
		Metadata: map[string]string{"canary-key": "CANARY-VALUE"}, Card: &normalize.Card{Brand: normalize.Visa, BIN: "498765", Last4: "1111", ExpMonth: 1, ExpYear: 2031},
	}
	r := testRecord()
	r.State, r.View, r.Tokens = StateCompleted, &view, []Token{token("alpha", "CANARY-PRIMARY"), token("beta", "CANARY-MIRROR")}
	r.Late = []Token{token("alpha", "CANARY-LATE")}
	r.Want = &Want{View: view, References: normalize.References{"instrument_identifier": "CANARY-WANT"}, Identity: "CANARY-IDENTITY"}
	doubted := Want{View: view, References: normalize.References{"payment_method_id": "CANARY-DOUBT"}}
	r.Doubt = &Doubt{Provider: "alpha", At: testTime, Want: &doubted}
	r.Answer = &Answer{Error: &SavedError{Code: normalize.CardDeclined, Msg: "CANARY-WORDS", RequestID: "CANARY-REQUEST", ProviderCode: "CANARY-CODE"}}
	return r, []string{"CANARY", "canary", "498765"}
}

func TestASealedRecordIsTheSameRecordAndCannotBeRead(t *testing.T) {
	t.Parallel()
	canary, texts := canaryRecord()
	records := map[string]Record{"canaries": canary}
	for _, state := range []string{"reserved", "sending", "unknown", "rejected", "not sent", "completed", "deleted", "alias"} {
		records[state] = inState(t, state)
	}
	s := testSealer()
	for name, r := range records {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sealed := s.encode(r)
			require.Empty(t, readable(sealed), "%s", sealed)
			for _, text := range texts {
				require.NotContains(t, string(sealed), text)
			}
			back, err := s.decode(r.ID, sealed)
			require.NoError(t, err)
			require.Equal(t, string(r.encode()), string(back.encode()))
			require.Equal(t, r.members(), back.members())
			old, err := s.decode(r.ID, r.encode())
			require.NoError(t, err, "what a release before stored in the clear")
			require.Equal(t, back, old)
			if bytes.Contains(sealed, []byte("sealed")) {
				require.NotEqual(t, string(sealed), string(s.encode(r)), "never twice the same")
			}
		})
	}
	require.NotEmpty(t, readable([]byte(`{"schema": 2, "tokens": [{"refs": {"a": "b"}}]}`)), "the check sees something")
	require.NotEmpty(t, readable([]byte(`{"schema": 2, "view": {"billing_address": null}}`)))
}

// broken values are refused with a clear error, and never taken for another instrument.
func TestASealedPartOpensOnlyWhereItBelongs(t *testing.T) {
	t.Parallel()
	s := testSealer()
	r, _ := canaryRecord()
	other := r
	other.ID = testKeys("k1")[0].instrumentID(acme, "another key")
	// edited is the record's value, changed as JSON.
	edited := func(t *testing.T, edit func(d, of map[string]any)) []byte {
		t.Helper()
		var d, of map[string]any
		require.NoError(t, json.Unmarshal(s.encode(r), &d))
		require.NoError(t, json.Unmarshal(s.encode(other), &of))
		edit(d, of)
		b, err := json.Marshal(d)
		require.NoError(t, err)
		return b
	}
	tokens := func(d map[string]any, i int) map[string]any {
		list, _ := d["tokens"].([]any)
		m, _ := list[i].(map[string]any)
		return m
	}
	for name, edit := range map[string]func(d, of map[string]any){
		"another record's sealed part":  func(d, of map[string]any) { d["sealed"] = of["sealed"] },
		"another record's reference":    func(d, of map[string]any) { tokens(d, 0)["sealed"] = tokens(of, 0)["sealed"] },
		"another record altogether":     func(d, of map[string]any) { clear(d); maps.Copy(d, of) },
		"another record under its id":   func(d, of map[string]any) { id := d["id"]; clear(d); maps.Copy(d, of); d["id"] = id },
		"another tenant":                func(d, _ map[string]any) { d["tenant"] = loose },
		"another provider":              func(d, _ map[string]any) { tokens(d, 0)["provider"] = "beta" },
		"another provider's reference":  func(d, _ map[string]any) { tokens(d, 0)["sealed"] = tokens(d, 1)["sealed"] },
		"a reference for the rest":      func(d, _ map[string]any) { d["sealed"] = tokens(d, 0)["sealed"] },
		"a reference in the clear":      func(d, _ map[string]any) { tokens(d, 0)["refs"] = map[string]string{"instrument": "mine"} },
		"a key that is not in the ring": func(d, _ map[string]any) { d["sealed_by"] = "gone" },
		"no key":                        func(d, _ map[string]any) { delete(d, "sealed_by") },
		"another key of the ring":       func(d, _ map[string]any) { d["sealed_by"] = "r-k2" },
		"too short":                     func(d, _ map[string]any) { d["sealed"] = "AAAA" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := s.decode(r.ID, edited(t, edit))
			require.ErrorIs(t, err, ErrUnreadable)
			require.ErrorIs(t, err, ErrStore)
			require.Zero(t, got)
			if name == "a key that is not in the ring" {
				require.ErrorContains(t, err, `"gone", which is not in the ring`)
			}
		})
	}
	t.Run("any flipped bit of what is sealed", func(t *testing.T) {
		t.Parallel()
		var d durableRecord
		require.NoError(t, json.Unmarshal(s.encode(r), &d))
		for i := range d.Sealed {
			bad := d
			bad.Sealed = bytes.Clone(d.Sealed)
			bad.Sealed[i] ^= 1 << (i % 8)
			_, err := s.openRecord(bad)
			require.ErrorIs(t, err, ErrUnreadable, i)
		}
	})
}

func TestCustomersAndAnswersAreSealed(t *testing.T) {
	t.Parallel()
	s := testSealer()
	c := customer{
		Schema: schemaVersion, Tenant: acme, ID: "cus", Refs: map[string]string{"alpha": "CANARY-1"}, Also: map[string][]string{"alpha": {"CANARY-2"}, "beta": {"CANARY-3"}},
		Making: map[string]making{"beta": {By: "me", Until: testTime}}, CreatedAt: testTime, UpdatedAt: testTime,
	}
	key := customerEntryKey(acme, "cus")
	sealed := s.encodeCustomer(c)
	require.NotContains(t, string(sealed), "CANARY")
	require.Empty(t, readable(sealed), "%s", sealed)
	back, err := s.decodeCustomer(key, Entry{Value: sealed, Version: 3})
	require.NoError(t, err)
	require.Equal(t, storedCustomer{c, 3}, back)
	_, err = s.decodeCustomer(customerEntryKey(acme, "other"), Entry{Value: sealed, Version: 3})
	require.ErrorIs(t, err, ErrUnreadable)
	for what, edit := range map[string][2]string{"provider": {`"alpha":`, `"gamma":`}, "tenant": {`"acme"`, `"loose"`}, "customer": {`"cus"`, `"sus"`}} {
		moved := bytes.Replace(sealed, []byte(edit[0]), []byte(edit[1]), 1)
		require.NotEqual(t, sealed, moved)
		var at customer
		require.NoError(t, json.Unmarshal(moved, &at))
		_, err = s.decodeCustomer(at.place().record, Entry{Value: moved, Version: 3})
		require.ErrorIs(t, err, ErrUnreadable, what)
	}

	k := newKeyUse(testKeys("k2")[0], map[string]string{"route": "x"}, testTime)
	k.State, k.Answer = keyDone, &keyAnswer{Instrument: &normalize.Instrument{ID: "CANARY-4", Metadata: map[string]string{"a": "CANARY"}}}
	use := s.encodeKeyUse("idem/acme/1", k)
	require.NotContains(t, string(use), "CANARY")
	require.Empty(t, readable(use), "%s", use)
	require.Contains(t, string(use), `"sealed_by":"r-k2"`, "under the key of the reference key that names it")
	again, err := s.decodeKeyUse("idem/acme/1", Entry{Value: use, Version: 2})
	require.NoError(t, err)
	require.Equal(t, asJSON(t, k), asJSON(t, again.keyUse))
	_, err = s.decodeKeyUse("idem/acme/2", Entry{Value: use, Version: 2})
	require.ErrorIs(t, err, ErrUnreadable)
}

func encryptionKey(id string) EncryptionKey {
	secret := make([]byte, 32)
	copy(secret, "no secret either: "+id)
	return EncryptionKey{ID: id, Secret: secret}
}

func TestARingOfEncryptionKeys(t *testing.T) {
	t.Parallel()
	ids := func(ring ...EncryptionKey) []string { return mustSealer(testKeys("k2", "k1"), ring...).KeyIDs() }
	require.Equal(t, []string{"r-k2", "r-k1"}, ids())
	require.Equal(t, []string{"e1", "r-k2", "r-k1"}, ids(encryptionKey("e1")))
	require.Equal(t, []string{"r-k1", "e1", "r-k2"}, ids(EncryptionKey{ID: "r-k1"}, encryptionKey("e1")))
	for rule, ring := range map[string]EncryptionKeys{
		"used twice":        {encryptionKey("e1"), encryptionKey("e1")},
		"is not there":      {{ID: "r-k9"}},
		"value of its own":  {{ID: "r-k1", Secret: make([]byte, 32)}},
		"must have 32":      {{ID: "e1", Secret: make([]byte, 31)}},
		"must have 32 byte": {{ID: "e1"}},
	} {
		_, err := NewSealer(testKeys("k1"), ring)
		require.ErrorContains(t, err, rule)
	}
	_, err := NewSealer(nil, nil)
	require.Error(t, err)

	was := mustSealer(testKeys("k1"), encryptionKey("e1"))
	changed := encryptionKey("e1")
	changed.Secret = make([]byte, 32)
	for rule, next := range map[string]*Sealer{
		"add it behind":        mustSealer(testKeys("k1"), encryptionKey("e2"), encryptionKey("e1")),
		"cannot be left out":   mustSealer(testKeys("k1")),
		"another value":        mustSealer(testKeys("k1"), changed),
		"":                     mustSealer(testKeys("k1"), encryptionKey("e1"), encryptionKey("e2")),
		"add it behind \"e1\"": mustSealer(testKeys("k1"), encryptionKey("e3"), encryptionKey("e1")),
	} {
		if err := was.mayBecome(next); rule == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, rule)
		}
	}
}

// An instrument whose value was tampered with answers a store error, with an alarm in
// the log, and never another instrument.
func TestATamperedRecordIsAStoreError(t *testing.T) {
	t.Parallel()
	w := newWorld()
	one := w.stores(t, acme, input("cus", card(visa)), "one").Instrument
	two := w.stores(t, acme, input("cus", card(mastercard)), "two").Instrument
	w.store.mu.Lock()
	e := w.store.entries[two.ID]
	e.value = bytes.Clone(w.store.entries[one.ID].value)
	w.store.entries[two.ID] = e
	w.store.mu.Unlock()
	_, err := w.Get(t.Context(), acme, two.ID, false)
	require.Equal(t, normalize.StoreUnavailable, normalize.CodeOf(err))
	require.ErrorContains(t, err, "cannot be opened")
	_, err = w.Get(t.Context(), acme, one.ID, false)
	require.NoError(t, err)
	require.EqualValues(t, 1, w.Unreadable())
}

// A record that does not open keeps the reconciler from no other one.
func TestOneUnreadableRecordHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		for _, key := range []string{"one", "two"} {
			w.a.will("create", ambiguous(true))
			w.a.will("list", cannotBeAsked())
			w.pends(t, input("cus-"+key, card(visa)), key)
		}
		one, two := w.idsOf(acme, "one")[0], w.idsOf(acme, "two")[0]
		w.store.mu.Lock()
		e := w.store.entries[one]
		e.value = bytes.Replace(e.value, []byte(`"tenant":"acme"`), []byte(`"tenant":"acmf"`), 1)
		w.store.entries[one] = e
		w.store.mu.Unlock()
		w.recent.cache.Purge()
		time.Sleep(time.Minute)
		w.sweeps(t, 5)
		require.Equal(t, StateCompleted, w.record(t, two).State)
		require.Positive(t, w.Unreadable())
	})
}

// BenchmarkCodec is what a record costs on its way to and from the store.
func BenchmarkCodec(b *testing.B) {
	s, r := testSealer(), inState(b, "completed")
	r.View.BillingAddress = &normalize.Address{FirstName: "Ada", LastName: "Byron", Line1: "12 Analytical Way", City: "Austin", Country: "US"}
	clear, sealed := r.encode(), s.encode(r)
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.encode(r)
		}
	})
	for name, value := range map[string][]byte{"decode sealed": sealed, "decode clear": clear} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.decode(r.ID, value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Logf("%d bytes in the clear, %d sealed", len(clear), len(sealed))
}
