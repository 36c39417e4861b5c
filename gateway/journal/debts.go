package journal

import (
	"maps"
	"slices"
	"sync"
)

// debts are the entries that the store has and the journal could not take. Whoever
// wrote one was told that it failed, but will find it in the store when he asks
// again, and be answered from there: so it must come into the journal all the same.
// The latest state of each key is enough.
type debts struct {
	mu   sync.Mutex
	owed map[string]Entry // guarded by mu
}

func (d *debts) add(e Entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.owed == nil {
		d.owed = map[string]Entry{}
	}
	if d.owed[e.Key].Version < e.Version {
		d.owed[e.Key] = e
	}
}

// paid forgets what is owed of an entry up to this version.
func (d *debts) paid(e Entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if owed, ok := d.owed[e.Key]; ok && owed.Version <= e.Version {
		delete(d.owed, e.Key)
	}
}

func (d *debts) list() []Entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Values(d.owed))
}

func (d *debts) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.owed)
}
