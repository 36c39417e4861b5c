package metrics

import (
	"maps"
	"sync"
	"sync/atomic"
)

// handles finds a metric's series by its labels without a lock and without garbage:
// each series is resolved once, and what is known is a map that is replaced as a whole.
// It is for sets that soon stop growing.
type handles[K comparable, H any] struct {
	resolve func(K) H

	known  atomic.Pointer[map[K]H]
	adding sync.Mutex
}

func newHandles[K comparable, H any](resolve func(K) H) *handles[K, H] {
	h := &handles[K, H]{resolve: resolve}
	h.known.Store(&map[K]H{})
	return h
}

func (h *handles[K, H]) of(key K) H {
	if found, ok := (*h.known.Load())[key]; ok {
		return found
	}
	return h.add(key)
}

func (h *handles[K, H]) add(key K) H {
	h.adding.Lock()
	defer h.adding.Unlock()
	before := *h.known.Load()
	if found, ok := before[key]; ok {
		return found
	}
	after := make(map[K]H, len(before)+1)
	maps.Copy(after, before)
	after[key] = h.resolve(key)
	h.known.Store(&after)
	return after[key]
}
