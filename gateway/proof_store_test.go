package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/polyvault/polyvault/gateway"
)

// model is what every store promises, in memory: entries with versions and nonces,
// claims, byte-ordered indexes, lives that end, one clock. Faults are not its
// business: a [door] applies them.
type model struct {
	decode  func(key string, b []byte) (gateway.Record, error)
	mu      sync.Mutex
	entries map[string]modelEntry
	claims  map[string]string
	indexes map[string]map[string]bool
	wrong   []string // writes that no gateway may make
}

type modelEntry struct {
	value   []byte
	version uint64
	nonce   string
	until   time.Time // zero: for ever
}

func newModel() *model {
	return &model{decode: gateway.RecordDecoder(proofKeys()), entries: map[string]modelEntry{}, claims: map[string]string{}, indexes: map[string]map[string]bool{}}
}

func (m *model) entry(key string) modelEntry {
	e := m.entries[key]
	if !e.until.IsZero() && !time.Now().Before(e.until) {
		return modelEntry{}
	}
	return e
}

func (m *model) load(keys []string) []gateway.Entry {
	out := make([]gateway.Entry, len(keys))
	for i, k := range keys {
		e := m.entry(k)
		out[i] = gateway.Entry{Value: slices.Clone(e.value), Version: e.version}
	}
	return out
}

func (m *model) write(w gateway.Write) gateway.Written {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entry(w.Key)
	out := gateway.Written{Now: time.Now()}
	switch {
	case e.version == w.Expect:
		m.watch(w.Key, e.value, w.Value)
		e = modelEntry{value: slices.Clone(w.Value), version: w.Next(), nonce: w.Nonce}
		if w.TTL > 0 {
			e.until = time.Now().Add(w.TTL)
		}
		m.entries[w.Key], out.Applied = e, true
	case e.version == w.Next() && e.nonce == w.Nonce:
		out.Applied = true
	}
	if out.Applied {
		m.applied(w)
	}
	for _, c := range w.Claims {
		if m.claims[c.Key] == "" {
			m.claims[c.Key] = c.Owner
		}
		out.Owners = append(out.Owners, m.claims[c.Key])
	}
	out.Current, out.Loaded = m.load([]string{w.Key})[0], m.load(w.Load)
	return out
}

// watch notes what no write of a record may do: give a lease that is not over to
// another owner, or take a fence back.
func (m *model) watch(key string, before, after []byte) {
	if len(before) == 0 || !gateway.ValidInstrumentID(key) {
		return
	}
	was, err1 := m.decode(key, before)
	is, err2 := m.decode(key, after)
	switch {
	case err1 != nil || err2 != nil:
		m.wrong = append(m.wrong, fmt.Sprintf("L: %s cannot be read: %v", key, errors.Join(err1, err2)))
	case was.Owner != "" && is.Owner != "" && is.Owner != was.Owner && time.Now().Before(was.LeaseEnd):
		m.wrong = append(m.wrong, fmt.Sprintf("S: %s takes %s from %s, whose lease is not over", is.Owner, key, was.Owner))
	case is.Fence < was.Fence:
		m.wrong = append(m.wrong, fmt.Sprintf("S: the fence of %s goes from %d to %d", key, was.Fence, is.Fence))
	}
}

// applied makes the changes that go with an entry which was written.
func (m *model) applied(w gateway.Write) {
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

func (m *model) scan(index, after string, limit int, reverse bool) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := slices.Sorted(maps.Keys(m.indexes[index]))
	if reverse {
		slices.Reverse(all)
	}
	all = slices.DeleteFunc(all, func(x string) bool { return after != "" && (!reverse && x <= after || reverse && x >= after) })
	return all[:min(limit, len(all))]
}

// records decodes every record.
func (m *model) records() (map[string]gateway.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]gateway.Record{}
	for k, e := range m.entries {
		if gateway.ValidInstrumentID(k) {
			r, err := m.decode(k, e.value)
			if err != nil {
				return nil, err
			}
			out[k] = r
		}
	}
	return out, nil
}

// text is every byte that the store holds, for a search.
func (m *model) text() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	for k, e := range m.entries {
		fmt.Fprintf(&b, "%s %s\n", k, e.value)
	}
	for k, v := range m.claims {
		fmt.Fprintf(&b, "%s %s\n", k, v)
	}
	for index, members := range m.indexes {
		fmt.Fprintf(&b, "%s %v\n", index, slices.Collect(maps.Keys(members)))
	}
	return b.String()
}

// door is one gateway's way to the model: every round trip passes two points, one
// before it takes effect and one after.
type door struct {
	m  *model
	gw *gate
}

var errInjected = fmt.Errorf("%w: injected", gateway.ErrStore)

// trip makes a round trip with the faults that its two points meet.
func trip[T any](ctx context.Context, d door, what string, effect func() T) (out T, err error) {
	if err := d.spoiled(ctx, d.gw.pass(ctx, point{what: what})); err != nil {
		return out, err
	}
	done := effect()
	if err := d.spoiled(ctx, d.gw.pass(ctx, point{what: what, after: true})); err != nil {
		return out, err
	}
	return done, nil
}

// spoiled is the error that a fault makes of a round trip; nil if it goes on.
func (d door) spoiled(ctx context.Context, f mishap) error {
	switch f {
	case storeFails, freezeLost:
		return errInjected
	case storeHangs:
		<-ctx.Done()
		return errors.Join(gateway.ErrStore, ctx.Err())
	default:
		return nil
	}
}

// Load implements [gateway.Store].
func (d door) Load(ctx context.Context, keys ...string) (gateway.Loaded, error) {
	load := func() gateway.Loaded {
		d.m.mu.Lock()
		defer d.m.mu.Unlock()
		return gateway.Loaded{Entries: d.m.load(keys), Now: time.Now()}
	}
	if len(keys) == 1 && keys[0] == gateway.DrainedKey {
		return load(), nil // no point: the reconciler's look at who is drained decides nothing that is proved here
	}
	return trip(ctx, d, "load "+strings.Join(keys, " "), load)
}

// Write implements [gateway.Store].
func (d door) Write(ctx context.Context, w gateway.Write) (gateway.Written, error) {
	if err := w.Validate(); err != nil {
		return gateway.Written{}, errors.Join(gateway.ErrStore, err)
	}
	return trip(ctx, d, "write "+w.Key, func() gateway.Written { return d.m.write(w) })
}

// Scan implements [gateway.Store].
func (d door) Scan(ctx context.Context, index, after string, limit int, reverse bool) ([]string, error) {
	return trip(ctx, d, "scan "+index, func() []string { return d.m.scan(index, after, limit, reverse) })
}

// Dump implements [gateway.Store].
func (d door) Dump(context.Context, func(string, gateway.Entry) error) error { return nil }

// Ping implements [gateway.Store].
func (d door) Ping(context.Context) error { return nil }

// Close implements [gateway.Store].
func (d door) Close() error { return nil }
