package httpapi

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// keyUses counts what an API key was used for. It outlives a reload, as long as the
// key stays under its tenant and name.
type keyUses struct {
	count    atomic.Int64
	last     atomic.Int64 // Unix seconds; 0 for never
	afterEnd atomic.Int64
}

// note counts a use. The time is written once a second at most: writers of one word
// wait for each other.
func (u *keyUses) note(now time.Time) {
	u.count.Add(1)
	if at := now.Unix(); u.last.Load() < at {
		u.last.Store(at)
	}
}

// KeyUse is how often an API key was used in this process.
type KeyUse struct {
	Tenant, Name string
	NotAfter     time.Time // the zero time for never
	Count        int64     // requests with the key, refused ones of it included
	LastUsed     time.Time // to the second; the zero time if it never was
	AfterEnd     int64     // requests that were refused since the key's time was over
}

// KeyUses tells how often each API key of the configuration in force was used, by
// tenant and name. A key that nobody uses any more can be taken away.
func (a *API) KeyUses() []KeyUse {
	var out []KeyUse
	for _, k := range a.current.Load().keys.byDigest {
		use := KeyUse{
			Tenant: k.Tenant, Name: k.Name, NotAfter: k.NotAfter,
			Count: k.uses.count.Load(), AfterEnd: k.uses.afterEnd.Load(),
		}
		if at := k.uses.last.Load(); at != 0 {
			use.LastUsed = time.Unix(at, 0).UTC()
		}
		out = append(out, use)
	}
	slices.SortFunc(out, func(x, y KeyUse) int {
		return cmp.Or(strings.Compare(x.Tenant, y.Tenant), strings.Compare(x.Name, y.Name))
	})
	return out
}

// after returns the ring with the counts of the one before it: of each key that is
// there under the same tenant and name.
func (r keyring) after(was keyring) keyring {
	r.byDigest = maps.Clone(r.byDigest)
	for digest, k := range r.byDigest {
		if old := was.byDigest[digest]; old != nil && old.Tenant == k.Tenant && old.Name == k.Name {
			same := *k
			same.uses = old.uses
			r.byDigest[digest] = &same
		}
	}
	return r
}
