package gateway

import (
	"math"
	"slices"
	"time"
)

// bucket is the state of a token bucket. The zero value is a full one.
type bucket struct {
	level float64
	at    time.Time // when the level was that
}

// draw takes up to want tokens at a time. It is what the stores do, each on its
// clock. A clock that was set back fills nothing, and counts from there.
func (b bucket) draw(r Rate, now time.Time, want int) (bucket, Drawn) {
	level := float64(r.Burst)
	if !b.at.IsZero() {
		filled := max(0, now.Sub(b.at).Seconds()) * r.PerSecond
		level = min(level, b.level+filled)
	}
	// What rounding takes off a whole token is no reason to wait for it. It is owed.
	granted := min(want, int(math.Floor(level+1e-9)))
	level -= float64(granted)
	out := Drawn{Granted: granted, Left: max(0, level)}
	if granted == 0 {
		out.Wait = time.Duration(math.Ceil((1 - level) / r.PerSecond * 1e9))
	}
	return bucket{level, now}, out
}

// counted is one thing that counts towards a span.
type counted struct {
	name string
	at   time.Time
}

// count does c over what counts so far, the oldest first, and returns what counts
// afterwards. It changes nothing of what it is given.
func (c Count) count(all []counted, now time.Time) ([]counted, Counted) {
	live := slices.DeleteFunc(slices.Clone(all), func(x counted) bool { return !now.Before(x.at.Add(c.Span.Per)) })
	known := slices.IndexFunc(live, func(x counted) bool { return x.name == c.Name })
	switch {
	case c.Do == CountDrop:
		if known >= 0 {
			live = slices.Delete(live, known, known+1)
		}
		return live, Counted{OK: true}
	case c.Do != CountLook && known >= 0:
		return live, Counted{OK: true}
	case c.Do == CountNote:
		live = append(live, counted{c.Name, now})
		return live[max(0, len(live)-c.Span.Limit):], Counted{OK: true}
	case len(live) >= c.Span.Limit:
		first := live[len(live)-c.Span.Limit]
		return live, Counted{Wait: first.at.Add(c.Span.Per).Sub(now)}
	case c.Do == CountTake:
		live = append(live, counted{c.Name, now})
	}
	return live, Counted{OK: true}
}
