package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// memStore is a Store of maps, with hooks to make it fail where a test wants.
type memStore struct {
	mu      sync.Mutex
	entries map[string]memEntry
	claims  map[string]string
	indexes map[string]map[string]bool
	brief   map[string]time.Duration // entries that were written with a time to live; it never ends here
	trips   map[string]int           // round trips by method
	clock   func() time.Time
	forgot  time.Time // what ForgotAt answers

	// onWrite is asked before each write, n counting from 1.
	onWrite func(n int, w Write) fate
	onLoad  func(n int, keys []string) error
}

type memEntry struct {
	value   []byte
	version uint64
	nonce   string
}

// fate is what becomes of a write.
type fate int

const (
	works       fate = iota
	failsBefore      // nothing is written
	failsAfter       // it is written, but the answer is lost
	hangs            // nothing is written, and the answer comes only when the context is done
)

func newMemStore() *memStore {
	return &memStore{
		entries: map[string]memEntry{}, claims: map[string]string{}, indexes: map[string]map[string]bool{},
		brief: map[string]time.Duration{}, trips: map[string]int{}, clock: time.Now,
	}
}

var errInjected = fmt.Errorf("%w: injected", ErrStore)

func (m *memStore) Load(ctx context.Context, keys ...string) (Loaded, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trips["load"]++
	if err := ctx.Err(); err != nil {
		return Loaded{}, errors.Join(ErrStore, err)
	}
	if m.onLoad != nil {
		if err := m.onLoad(m.trips["load"], keys); err != nil {
			return Loaded{}, err
		}
	}
	return Loaded{Entries: m.load(keys), Now: m.clock()}, nil
}

func (m *memStore) load(keys []string) []Entry {
	out := make([]Entry, len(keys))
	for i, k := range keys {
		if e, ok := m.entries[k]; ok {
			out[i] = Entry{Value: slices.Clone(e.value), Version: e.version}
		}
	}
	return out
}

func (m *memStore) Write(ctx context.Context, w Write) (Written, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trips["write"]++
	if err := ctx.Err(); err != nil {
		return Written{}, errors.Join(ErrStore, err)
	}
	now := works
	if m.onWrite != nil {
		now = m.onWrite(m.trips["write"], w)
	}
	switch now {
	case failsBefore:
		return Written{}, errInjected
	case hangs:
		m.mu.Unlock()
		<-ctx.Done()
		m.mu.Lock()
		return Written{}, errors.Join(ErrStore, ctx.Err())
	case works, failsAfter:
	}
	out := m.write(w)
	if now == failsAfter {
		return Written{}, errInjected
	}
	return out, nil
}

func (m *memStore) write(w Write) Written {
	if shows := readable(w.Value); len(shows) > 0 {
		panic(fmt.Sprintf("what is stored under %s shows %v:\n%s", w.Key, shows, w.Value))
	}
	e := m.entries[w.Key]
	out := Written{Now: m.clock()}
	switch {
	case e.version == w.Expect:
		m.entries[w.Key], m.brief[w.Key] = memEntry{slices.Clone(w.Value), w.Next(), w.Nonce}, w.TTL
		out.Applied = true
	case e.version == w.Next() && e.nonce == w.Nonce:
		out.Applied = true
	}
	if out.Applied {
		for _, x := range w.Remove {
			delete(m.indexes[x.Index], x.Member)
		}
		for _, x := range w.Add {
			if m.indexes[x.Index] == nil {
				m.indexes[x.Index] = map[string]bool{}
			}
			m.indexes[x.Index][x.Member] = true
		}
		for _, c := range w.Release {
			if m.claims[c.Key] == c.Owner {
				delete(m.claims, c.Key)
			}
		}
	}
	for _, c := range w.Claims {
		if m.claims[c.Key] == "" {
			m.claims[c.Key] = c.Owner
		}
		out.Owners = append(out.Owners, m.claims[c.Key])
	}
	out.Current = m.load([]string{w.Key})[0]
	out.Loaded = m.load(w.Load)
	return out
}

func (m *memStore) Scan(ctx context.Context, index, after string, limit int, reverse bool) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trips["scan"]++
	if err := ctx.Err(); err != nil {
		return nil, errors.Join(ErrStore, err)
	}
	var all []string
	for x := range m.indexes[index] {
		if after == "" || !reverse && x > after || reverse && x < after {
			all = append(all, x)
		}
	}
	slices.Sort(all)
	if reverse {
		slices.Reverse(all)
	}
	return all[:min(limit, len(all))], nil
}

func (m *memStore) ForgotAt() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.forgot
}

// forget loses an entry, as a store does whose machine lost its power.
func (m *memStore) forget(keys ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range keys {
		delete(m.entries, key)
		for index, members := range m.indexes {
			for x := range members {
				if memberID(x) == key || x == key {
					delete(m.indexes[index], x)
				}
			}
		}
		for claim, owner := range m.claims {
			if owner == key {
				delete(m.claims, claim)
			}
		}
	}
	m.forgot = time.Now()
}

func (m *memStore) Dump(_ context.Context, fn func(string, Entry) error) error {
	m.mu.Lock()
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(m.entries)), func(key string) bool { return m.brief[key] > 0 })
	entries := m.load(keys)
	m.mu.Unlock()
	for i, key := range keys {
		if err := fn(key, entries[i]); err != nil {
			return err
		}
	}
	return nil
}

func (m *memStore) Ping(context.Context) error { return nil }
func (m *memStore) Close() error               { return nil }

// fail sets what becomes of writes from now on; nil makes them work again.
func (m *memStore) fail(f func(n int, w Write) fate) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trips["write"] = 0
	m.onWrite = f
}

// made is how many round trips of a kind there were, while others may make some.
func (m *memStore) made(kind string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.trips[kind]
}

// in are the members of an index, while others may change it.
func (m *memStore) in(index string) map[string]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.indexes[index])
}

// counted runs f and returns how many round trips it made.
func (m *memStore) counted(f func()) int {
	count := func() int {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.trips["load"] + m.trips["write"] + m.trips["scan"]
	}
	before := count()
	f()
	return count() - before
}

// raw returns the bytes under a key, for comparing before with after.
func (m *memStore) raw(key string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return string(m.entries[key].value)
}

func (m *memStore) owner(claim string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.claims[claim]
}

// records decodes every record.
func (m *memStore) records() []Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Record
	for k, e := range m.entries {
		if ValidInstrumentID(k) {
			r, err := decodeRecord(e.value)
			if err != nil {
				panic(err)
			}
			out = append(out, r)
		}
	}
	return out
}

// indexedAs returns the members of every index, as one sorted list.
func (m *memStore) indexed() []Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Member
	for index, members := range m.indexes {
		for x := range members {
			out = append(out, Member{index, x})
		}
	}
	return out
}

// expire drops the entries under a prefix, as if their time were over.
func (m *memStore) expire(prefix string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range m.entries {
		if strings.HasPrefix(k, prefix) {
			delete(m.entries, k)
		}
	}
}
