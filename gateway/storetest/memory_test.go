package storetest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/polyvault/polyvault/gateway"
)

// memory is a store in a map with faults that can be switched on. With none of
// them it is right, apart from losing everything.
type memory struct {
	faults
	mu      sync.Mutex
	closed  bool
	entries map[string]stored
	owners  map[string]string
	indexes map[string][]string
	first   map[string][]byte // the first value of each entry
}

// faults are ways of being wrong that the suite must find.
type faults struct {
	noCompare        bool // a write is applied at any version
	looseCreate      bool // a create replaces what there is
	noNonce          bool // the same write sent again is a conflict
	anyNonce         bool // a known nonce counts at any version
	lateRead         bool // compare and swap are two steps
	lastClaimWins    bool
	claimsIfApplied  bool
	releasesAny      bool
	releaseAnyway    bool
	indexAnyway      bool // indexes change although the entry was not written
	removeWins       bool
	foldedOrder      bool // indexes ignore case
	inclusiveScan    bool // a page begins with the last member of the one before
	noExpiry         bool
	keepsExpiry      bool // a rewrite without a time to live keeps the old one
	versionOutlives  bool // a new entry goes on with the expired one's version
	aliases          bool // values are shared with the caller
	sortedLoads      bool // entries come in the order of the keys' bytes
	loadsBeforeWrite bool
	textOnly         bool // values end at a zero byte
	noLimit          bool // values of any size
	unchecked        bool // malformed writes are carried out
	dumpsClaims      bool
	dumpsPassing     bool // entries with a time to live are dumped
	dumpsFirst       bool // every version is dumped as the first
	dumpsTorn        bool // an entry has its first value with its last version
	dumpsOn          bool // a dump goes on after the caller's error
	ownVersions      bool // the version that a write names is ignored
	clockRunsBack    bool
	ignoresContext   bool
	usableWhenClosed bool
	bareErrors       bool // errors do not wrap ErrStore
}

type stored struct {
	gateway.Entry
	nonce  string
	expiry time.Time
}

func newMemory(f faults) *memory {
	return &memory{faults: f, entries: map[string]stored{}, owners: map[string]string{}, indexes: map[string][]string{}, first: map[string][]byte{}}
}

func openMemory(f faults) func(testing.TB) gateway.Store {
	return func(testing.TB) gateway.Store { return newMemory(f) }
}

func (m *memory) begin(ctx context.Context) error {
	err := ctx.Err()
	if m.ignoresContext {
		err = nil
	}
	if m.closed && !m.usableWhenClosed {
		err = errors.New("closed")
	}
	return m.wrap(err)
}

func (m *memory) wrap(err error) error {
	if err == nil || m.bareErrors {
		return err
	}
	return fmt.Errorf("%w: %w", gateway.ErrStore, err)
}

func (m *memory) now() time.Time {
	if m.clockRunsBack {
		return time.Now().Add(-2 * time.Since(start))
	}
	return time.Now()
}

var start = time.Now()

func (m *memory) get(key string) stored {
	e := m.entries[key]
	if !m.noExpiry && !e.expiry.IsZero() && !time.Now().Before(e.expiry) {
		if m.versionOutlives {
			return stored{Entry: gateway.Entry{Version: e.Version}}
		}
		return stored{}
	}
	return e
}

func (m *memory) Load(ctx context.Context, keys ...string) (gateway.Loaded, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(ctx); err != nil {
		return gateway.Loaded{}, err
	}
	return gateway.Loaded{Entries: m.load(keys), Now: m.now()}, nil
}

func (m *memory) load(keys []string) []gateway.Entry {
	if m.sortedLoads {
		keys = slices.Sorted(slices.Values(keys))
	}
	out := make([]gateway.Entry, len(keys))
	for i, key := range keys {
		out[i] = m.get(key).Entry
		if !m.aliases {
			out[i].Value = bytes.Clone(out[i].Value)
		}
	}
	return out
}

func (m *memory) check(w gateway.Write) error {
	names := []string{w.Key}
	for _, member := range slices.Concat(w.Add, w.Remove) {
		names = append(names, member.Index, member.Member)
	}
	for _, c := range slices.Concat(w.Claims, w.Release) {
		names = append(names, c.Key, c.Owner)
	}
	bad := slices.ContainsFunc(names, func(n string) bool { return n == "" || len(n) > 1024 })
	if bad || w.Nonce == "" || len(w.Nonce) > 64 || w.TTL < 0 || w.Expect+1 == 0 || w.Version != 0 && w.Version <= w.Expect {
		return errors.New("malformed")
	}
	return nil
}

func (m *memory) Write(ctx context.Context, w gateway.Write) (gateway.Written, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(ctx); err != nil {
		return gateway.Written{}, err
	}
	if err := m.check(w); err != nil && !m.unchecked {
		return gateway.Written{}, m.wrap(err)
	}
	if len(w.Value) > 1<<20 && !m.noLimit {
		return gateway.Written{}, m.wrap(errors.New("too large"))
	}
	before := m.load(w.Load)
	out := gateway.Written{Applied: m.apply(w), Now: m.now()}
	out.Current = m.load([]string{w.Key})[0]
	if out.Applied || m.indexAnyway {
		m.index(w)
	}
	for _, c := range w.Release {
		if (m.owners[c.Key] == c.Owner || m.releasesAny) && (out.Applied || m.releaseAnyway) {
			delete(m.owners, c.Key)
		}
	}
	for _, c := range w.Claims {
		if _, taken := m.owners[c.Key]; (!taken || m.lastClaimWins) && (out.Applied || !m.claimsIfApplied) {
			m.owners[c.Key] = c.Owner
		}
		out.Owners = append(out.Owners, m.owners[c.Key])
	}
	out.Loaded = m.load(w.Load)
	if m.loadsBeforeWrite {
		out.Loaded = before
	}
	return out, nil
}

// next is the version that a write makes of the one that it expects.
func (m *memory) next(w gateway.Write) uint64 {
	if w.Version == 0 || m.ownVersions {
		return w.Expect + 1
	}
	return w.Version
}

// apply reports whether the write took place, now or before.
func (m *memory) apply(w gateway.Write) bool {
	old := m.get(w.Key)
	if m.lateRead {
		m.mu.Unlock()
		for range 100 { // time for another writer
			runtime.Gosched()
		}
		m.mu.Lock()
	}
	if !m.noNonce && old.nonce == w.Nonce && (old.Version == m.next(w) || m.anyNonce) {
		return true
	}
	if old.Version != w.Expect && !m.noCompare && (w.Expect != 0 || !m.looseCreate) {
		return false
	}
	e := stored{Entry: gateway.Entry{Value: w.Value, Version: old.Version + m.next(w) - w.Expect}, nonce: w.Nonce}
	if m.textOnly {
		e.Value, _, _ = bytes.Cut(w.Value, []byte{0})
	}
	if !m.aliases {
		e.Value = append([]byte{}, e.Value...)
	}
	switch {
	case w.TTL > 0:
		e.expiry = time.Now().Add(w.TTL)
	case m.keepsExpiry:
		e.expiry = old.expiry
	}
	m.entries[w.Key] = e
	if m.first[w.Key] == nil {
		m.first[w.Key] = append([]byte{}, e.Value...)
	}
	return true
}

func (m *memory) index(w gateway.Write) {
	remove := func() {
		for _, r := range w.Remove {
			m.indexes[r.Index] = slices.DeleteFunc(m.indexes[r.Index], func(s string) bool { return s == r.Member })
		}
	}
	remove()
	for _, a := range w.Add {
		if !slices.Contains(m.indexes[a.Index], a.Member) {
			m.indexes[a.Index] = append(m.indexes[a.Index], a.Member)
		}
	}
	if m.removeWins {
		remove()
	}
}

func (m *memory) Scan(ctx context.Context, index, after string, limit int, reverse bool) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(ctx); err != nil {
		return nil, err
	}
	compare := strings.Compare
	if m.foldedOrder {
		compare = func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) }
	}
	if reverse {
		forward := compare
		compare = func(a, b string) int { return forward(b, a) }
	}
	var out []string
	for _, member := range slices.SortedFunc(slices.Values(m.indexes[index]), compare) {
		c := compare(member, after)
		if len(out) < limit && (after == "" || c > 0 || (c == 0 && m.inclusiveScan && limit > 1)) {
			out = append(out, member)
		}
	}
	return out, nil
}

func (m *memory) Dump(ctx context.Context, fn func(string, gateway.Entry) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(ctx); err != nil {
		return err
	}
	var failure error
	give := func(key string, e gateway.Entry) bool {
		m.mu.Unlock()
		defer m.mu.Lock()
		failure = fn(key, e)
		return failure == nil || m.dumpsOn
	}
	for _, key := range slices.Sorted(maps.Keys(m.entries)) {
		e := m.entries[key]
		if !e.expiry.IsZero() && !m.dumpsPassing {
			continue
		}
		out := m.load([]string{key})[0]
		if m.dumpsFirst {
			out.Version = 1
		}
		if m.dumpsTorn {
			out.Value = m.first[key]
		}
		if !give(key, out) || m.dumpsClaims && !give("claim "+key, out) {
			break
		}
	}
	return failure
}

func (m *memory) Ping(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.begin(ctx)
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	maps.DeleteFunc(m.owners, func(string, string) bool { return !m.usableWhenClosed })
	return nil
}
