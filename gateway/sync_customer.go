package gateway

import (
	"context"
	"sync"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// customerLook is what the selected providers showed of a customer, and what the
// gateway has of them. The providers are asked first: what a create stored meanwhile
// is then mapped, or its create is still open.
type customerLook struct {
	cust  storedCustomer
	lists map[string]providerList // by provider
	busy  bool                    // a create of the customer is open, or a surplus is not disposed of
	known map[string]stored       // by place
	first string                  // the oldest instrument that is compared
}

// lookAt looks at customers that were not looked at yet, at the same time.
func (y *syncing) lookAt(ctx context.Context, customers ...string) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for _, id := range customers {
		if _, done := y.looks[id]; done {
			continue
		}
		look := &customerLook{lists: map[string]providerList{}}
		y.looks[id] = look
		wg.Go(func() {
			if err := y.fill(ctx, look, id); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = err
			}
		})
	}
	wg.Wait()
	return failed
}

func (y *syncing) fill(ctx context.Context, look *customerLook, id string) (err error) {
	if look.cust, err = y.s.loadCustomer(ctx, "sync", y.tenant, id); err != nil {
		return err
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, name := range y.s.order {
		if refs := look.cust.at(name); len(refs) > 0 && y.selected(name) {
			wg.Go(func() {
				l := y.list(ctx, y.s.providers[name], refs)
				mu.Lock()
				defer mu.Unlock()
				look.lists[name] = l
			})
		}
	}
	wg.Wait()
	busy, err := y.s.store.Scan(ctx, indexOpen(y.tenant, id), "", 1, false)
	if err != nil {
		return storeError("sync", err)
	}
	look.busy, look.known = len(busy) > 0, map[string]stored{}
	return y.s.eachOfCustomer(ctx, "sync", y.tenant, id, func(rec stored) error {
		look.known[y.s.placeOf(rec)] = rec
		if look.first == "" && y.concerns(&rec) {
			look.first = rec.ID // the index is in the order of creation
		}
		return nil
	})
}

func (y *syncing) list(ctx context.Context, p *Provider, references []string) providerList {
	out := providerList{p: p}
	turn := nonce()
	if out.err = p.syncs.wait(ctx, turn); out.err != nil {
		return out
	}
	defer p.syncs.give(turn)
	out.items, out.err = y.s.listAt(ctx, p, references)
	return out
}

// unknownOf reports what the providers have of a customer and no record does; a
// repair adopts it. While a create of the customer is open it may be that one's.
func (y *syncing) unknownOf(ctx context.Context, id string) error {
	look := y.looks[id]
	for _, name := range y.s.order {
		l, asked := look.lists[name]
		if !asked {
			continue
		}
		if l.err != nil && unreachable(l.err) && len(look.known) == 0 {
			// With an instrument there this is said of the instrument.
			y.note(Drift{Object: "drift", CustomerID: id, Provider: name, State: DriftUnreachable, Differences: []Difference{}, ErrorCode: normalize.CodeOf(l.err)})
		}
		unknown, err := y.unmapped(ctx, look, l)
		if err != nil {
			return err
		}
		for _, ins := range unknown {
			d := Drift{Object: "drift", CustomerID: id, Provider: name, State: DriftUnknownHere, References: ins.References, Differences: []Difference{}}
			switch {
			case look.busy:
				d.ErrorCode = normalize.Conflict
			case y.in.Repair:
				if adopted, ok := y.s.adopt(ctx, look.cust, l.p, ins); ok {
					d.InstrumentID, d.Repaired = &adopted.ID, true
					y.s.log.Info("an instrument that no record had was adopted", zap.String("instrument", adopted.ID), zap.String("provider", name))
				} else {
					d.ErrorCode = normalize.Conflict
				}
			}
			y.note(d)
		}
	}
	return nil
}

// unmapped are the instruments of a list that no record has. What was deactivated
// before it was ever known is history; what was forgotten here on purpose stays so.
func (y *syncing) unmapped(ctx context.Context, look *customerLook, l providerList) ([]adapters.Instrument, error) {
	var out []adapters.Instrument
	var ids []string
	for _, ins := range l.items {
		place := l.p.locate(ins.References)
		if _, known := look.known[l.p.name+"\x00"+place]; known || ins.Status == normalize.StatusDeactivated {
			continue
		}
		out, ids = append(out, ins), append(ids, y.s.current().adoptedID(y.tenant, l.p.name, place))
	}
	recs, err := y.s.load(ctx, "sync", ids...)
	if err != nil {
		return nil, err
	}
	left := out[:0]
	for i, ins := range out {
		if rec := recs[i]; rec == nil || rec.State != StateCompleted || rec.live() {
			left = append(left, ins)
		}
	}
	return left, nil
}
