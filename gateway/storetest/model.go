package storetest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/polyvault/polyvault/gateway"
)

// likeMap does the same at random to a store and to a map.
func likeMap(tb testing.TB, open Open) {
	s := store(tb, open)
	var runs atomic.Int64
	rapid.Check(tb, func(t *rapid.T) {
		m := &model{
			store: s, prefix: fmt.Sprintf("run%d/", runs.Add(1)),
			entries: map[string]gateway.Entry{}, last: map[string]gateway.Write{},
			owners: map[string]string{}, members: map[string]bool{},
		}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"write", "write again", "scan"}).Draw(t, "step") {
			case "write":
				m.write(t)
			case "write again":
				m.again(t)
			case "scan":
				m.scan(t)
			}
		}
		m.compare(t)
	})
}

// model is what a store should hold. All names begin with the run's prefix, so
// that runs can share a store.
type model struct {
	store   gateway.Store
	prefix  string
	nonce   int
	entries map[string]gateway.Entry
	last    map[string]gateway.Write // the last write that was applied, by key
	owners  map[string]string
	members map[string]bool
}

func (m *model) name(t *rapid.T, label string) string {
	return m.prefix + rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, label)
}

func (m *model) write(t *rapid.T) {
	key := m.name(t, "key")
	expect := m.entries[key].Version
	if rapid.IntRange(0, 3).Draw(t, "stale") == 0 {
		expect = rapid.Uint64Range(0, 5).Draw(t, "expect")
	}
	m.nonce++
	w := gateway.Write{
		Key: key, Expect: expect, Nonce: strconv.Itoa(m.nonce),
		Value: rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "value"),
	}
	// A member belongs to one entry, as in the gateway.
	change := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) gateway.Member {
		return gateway.Member{Index: m.prefix, Member: key + string(rapid.SliceOfN(rapid.Byte(), 0, 2).Draw(t, "member"))}
	}), 0, 4)
	w.Add, w.Remove = change.Draw(t, "add"), change.Draw(t, "remove")
	for range rapid.IntRange(0, 2).Draw(t, "claims") {
		w.Claims = append(w.Claims, gateway.Claim{Key: m.name(t, "claim"), Owner: "owner" + w.Nonce})
	}
	if rapid.Bool().Draw(t, "release") {
		name := m.name(t, "released")
		w.Release = append(w.Release, gateway.Claim{Key: name, Owner: cmp.Or(m.owners[name], "nobody")})
	}
	for range rapid.IntRange(0, 2).Draw(t, "loads") {
		w.Load = append(w.Load, m.name(t, "load"))
	}
	m.do(t, w)
}

// again sends the last write of an entry a second time.
func (m *model) again(t *rapid.T) {
	if w, ok := m.last[m.name(t, "key")]; ok {
		m.do(t, w)
	}
}

func (m *model) do(t *rapid.T, w gateway.Write) {
	want := gateway.Written{Applied: m.entries[w.Key].Version == w.Expect || m.last[w.Key].Nonce == w.Nonce}
	if want.Applied {
		m.entries[w.Key] = gateway.Entry{Value: w.Value, Version: w.Expect + 1}
		m.last[w.Key] = w
		for _, member := range w.Remove {
			delete(m.members, member.Member)
		}
		for _, member := range w.Add {
			m.members[member.Member] = true
		}
		for _, c := range w.Release {
			if m.owners[c.Key] == c.Owner {
				delete(m.owners, c.Key)
			}
		}
	}
	got, err := m.store.Write(t.Context(), w)
	require.NoError(t, err)
	require.Equal(t, want.Applied, got.Applied, "applied")
	requireSame(t, m.entries[w.Key], got.Current)
	require.Len(t, got.Owners, len(w.Claims))
	for i, claim := range w.Claims {
		if _, taken := m.owners[claim.Key]; !taken {
			m.owners[claim.Key] = claim.Owner
		}
		require.Equal(t, m.owners[claim.Key], got.Owners[i], "owner")
	}
	require.Len(t, got.Loaded, len(w.Load))
	for i, key := range w.Load {
		requireSame(t, m.entries[key], got.Loaded[i])
	}
}

func (m *model) scan(t *rapid.T) {
	reverse := rapid.Bool().Draw(t, "reverse")
	limit := rapid.IntRange(0, 5).Draw(t, "limit")
	after := ""
	if rapid.Bool().Draw(t, "from the middle") {
		after = m.name(t, "after") + string(rapid.SliceOfN(rapid.Byte(), 0, 2).Draw(t, "member"))
	}
	want := slices.Sorted(maps.Keys(m.members))
	if reverse {
		slices.Reverse(want)
	}
	want = slices.DeleteFunc(want, func(s string) bool {
		return after != "" && (s == after || (s < after) != reverse)
	})
	got, err := m.store.Scan(t.Context(), m.prefix, after, limit, reverse)
	require.NoError(t, err)
	require.Equal(t, append([]string{}, want[:min(limit, len(want))]...), append([]string{}, got...))
}

// compare looks at everything once more.
func (m *model) compare(t *rapid.T) {
	keys := []string{m.prefix + "a", m.prefix + "b", m.prefix + "c"}
	got, err := m.store.Load(t.Context(), keys...)
	require.NoError(t, err)
	for i, key := range keys {
		requireSame(t, m.entries[key], got.Entries[i])
	}
	members, err := m.store.Scan(t.Context(), m.prefix, "", 1000, false)
	require.NoError(t, err)
	require.Equal(t, append([]string{}, slices.Sorted(maps.Keys(m.members))...), append([]string{}, members...))
}

func requireSame(t *rapid.T, want, got gateway.Entry) {
	require.Equal(t, want.Version, got.Version, "version")
	require.Equal(t, string(want.Value), string(got.Value), "value")
}
