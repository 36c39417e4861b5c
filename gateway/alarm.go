package gateway

import (
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/normalize"
)

// alarmEvery is the least time between two log lines of one alarm.
const alarmEvery = time.Minute

// alarm is raised while a provider refuses our credentials or our configuration.
// That is no reason to stop calling it, and one to wake somebody.
type alarm struct {
	log    *zap.Logger
	raised atomic.Int64 // how often it began

	mu     sync.Mutex
	now    *Alarm // nil while all is well
	logged time.Time
}

// Alarm is what the gateway's own side of a provider needs a person for.
type Alarm struct {
	Code  normalize.Code `json:"code"`  // provider_misconfigured
	Since time.Time      `json:"since"` // when it began
	Last  time.Time      `json:"last"`  // when it was seen last
	Count int64          `json:"count"` // how many calls were refused since it began
}

// note looks at a call's end. An answer about the request itself shows that the
// credentials are accepted again.
func (a *alarm) note(err error) {
	refused := normalize.CodeOf(err) == normalize.ProviderMisconfigured
	if !refused && (excluded(err) || !healthy(err)) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !refused {
		if a.now != nil {
			a.log.Info("the provider accepts the gateway's credentials again", zap.Time("since", a.now.Since), zap.Int64("calls", a.now.Count))
		}
		a.now = nil
		return
	}
	now := time.Now()
	if a.now == nil {
		a.now = &Alarm{Code: normalize.ProviderMisconfigured, Since: now.UTC()}
		a.raised.Add(1)
	}
	a.now.Last = now.UTC()
	if a.now.Count++; a.logged.IsZero() || now.Sub(a.logged) >= alarmEvery {
		a.logged = now
		a.log.Error("the provider refuses the gateway's credentials or configuration",
			zap.Time("since", a.now.Since), zap.Int64("calls", a.now.Count), zap.Error(err))
	}
}

// current is a copy; nil while all is well.
func (a *alarm) current() *Alarm {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.now == nil {
		return nil
	}
	out := *a.now
	return &out
}

// both is the alarm of two classes of calls.
func both(a, b *Alarm) *Alarm {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	out := *a
	if out.Count += b.Count; b.Since.Before(out.Since) {
		out.Since = b.Since
	}
	if b.Last.After(out.Last) {
		out.Last = b.Last
	}
	return &out
}
