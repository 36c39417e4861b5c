package gateway_test

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/normalize"
)

// The promises, each by its letter. All are checked once a run has come to rest.
//
//	D  an instrument that lives at a provider belongs to exactly one id
//	L  an id that was ever shown resolves, unless its deletion was asked for
//	M  a key is never accepted with two bodies
//	X  an id lives at one provider, in one place; a key gives one id
//	U  nothing stays unfinished, and no index entry without its reason
//	P  no card number and no security code is in the store or in a log
//	S  nobody takes a lease that is not over, and no fence goes back
//	W  a client that keeps asking gets an answer
//	E  every change of an instrument has its event, and no event is without one; see eventsTold

// rest lets a galaxy come to rest, without faults, and returns what is broken.
func (w *galaxy) rest() []string {
	w.meet = func(*waiting) mishap { return none }
	var wrong []string
	rested := w.run(15*time.Minute, w.quiet)
	if !rested && w.undecidable() {
		w.limited = true
		return append(append(wrong, w.store.wrong...), w.secrets()...)
	}
	if !rested {
		wrong = append(wrong, "U: the gateways do not come to rest: due "+fmt.Sprint(w.store.scan(gateway.IndexDue, "", 10, false)))
	}
	w.clients.mu.Lock()
	defer w.clients.mu.Unlock()
	wrong = append(append(wrong, w.clients.wrong...), w.store.wrong...)
	wrong = append(wrong, w.stored()...)
	return append(wrong, w.secrets()...)
}

// quiet says that nothing is under way and nothing is due.
func (w *galaxy) quiet() bool {
	if !w.clients.idle() || w.underWay.Load() > 0 || len(w.store.scan(gateway.IndexDue, "", 1, false)) > 0 {
		return false
	}
	w.clients.mu.Lock()
	defer w.clients.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.clients.answers {
		if !a.finished() && !a.gw.dead {
			return false
		}
	}
	return len(w.queue) == 0
}

// stored compares the records with what lives at the providers.
func (w *galaxy) stored() []string {
	records, err := w.store.records()
	if err != nil {
		return []string{"L: " + err.Error()}
	}
	var wrong []string
	owners := map[string][]string{}
	for _, id := range slices.Sorted(maps.Keys(records)) {
		r := records[id]
		wrong = append(wrong, eventsTold(r)...)
		if r.Unfinished() || r.State == gateway.StateManual || len(r.Late) > 0 || r.Doubt != nil {
			wrong = append(wrong, fmt.Sprintf("U: %s is %s, with %d late results, in doubt: %v", id, r.State, len(r.Late), r.Doubt != nil))
		}
		if !r.Live() {
			continue
		}
		wrong = append(wrong, mirrorsOf(r, records)...)
		place := r.Tokens[0].Provider + " " + placeOf(r.Tokens[0].Provider, r.Tokens[0].References)
		owners[place] = append(owners[place], id)
	}
	return append(append(wrong, w.places(owners, records)...), w.indexes(records)...)
}

// mirrorsOf checks that an instrument and the records of its mirrors agree.
func mirrorsOf(r gateway.Record, records map[string]gateway.Record) []string {
	var wrong []string
	if r.MirrorOf != "" {
		of, attached := records[r.MirrorOf], false
		for _, t := range of.Tokens {
			attached = attached || t.Record == r.ID
		}
		if !of.Live() || !attached || len(r.Tokens) != 1 {
			wrong = append(wrong, fmt.Sprintf("X: %s lives, and %s, which it mirrors, does not know it", r.ID, of.ID))
		}
		return wrong
	}
	for _, t := range r.Tokens[1:] {
		child := records[t.Record]
		switch {
		case t.Status == normalize.StatusPending || t.Behind != nil:
			wrong = append(wrong, fmt.Sprintf("U: the mirror of %s at %s is %s and behind by %+v", r.ID, t.Provider, t.Status, t.Behind))
		case t.Status == normalize.StatusFailed:
			if child.Live() {
				wrong = append(wrong, fmt.Sprintf("L: the mirror of %s at %s failed, and lives", r.ID, t.Provider))
			}
		case !child.Live() || placeOf(t.Provider, child.Tokens[0].References) != placeOf(t.Provider, t.References):
			wrong = append(wrong, fmt.Sprintf("L: the mirror of %s at %s is not where it is said to be", r.ID, t.Provider))
		case child.View.BillingAddress.Line1 != r.View.BillingAddress.Line1:
			wrong = append(wrong, fmt.Sprintf("U: the mirror of %s at %s has another address", r.ID, t.Provider))
		}
	}
	return wrong
}

// places checks what lives at the providers against who owns it.
func (w *galaxy) places(owners map[string][]string, records map[string]gateway.Record) []string {
	var wrong []string
	brought, cards := map[string]int{}, map[string][]string{}
	for _, provider := range providers() {
		for _, ins := range w.standins[provider].State().Instruments {
			place := provider + " " + ins.ID
			ids := owners[place]
			delete(owners, place)
			if !ins.Live {
				continue
			}
			if len(ids) == 0 || records[ids[0]].MirrorOf == "" {
				brought[ins.Last4]++
			}
			if len(ids) == 0 && w.clients.planted[ins.Last4] > 0 {
				continue // nobody asked for it yet
			}
			if len(ids) != 1 {
				wrong = append(wrong, fmt.Sprintf("D: %s, …%s, lives at %s and belongs to %d ids %v", ins.ID, ins.Last4, provider, len(ids), ids))
				continue
			}
			if records[ids[0]].Tenant == updating && provider != big && w.clients.planted[ins.Last4] == 0 {
				// BigCommerce tells no card from another; what was stored elsewhere is adopted as it is.
				card := strings.Join([]string{provider, ins.Customer, ins.Identity}, " ")
				if cards[card] = append(cards[card], ids[0]); len(cards[card]) == 2 {
					wrong = append(wrong, fmt.Sprintf("D: %v are one card, …%s, at %s", cards[card], ins.Last4, provider))
				}
			}
		}
	}
	for place, ids := range owners {
		wrong = append(wrong, fmt.Sprintf("L: %v live at %s, where nothing is", ids, place))
	}
	for last4, n := range brought {
		if keys := len(w.clients.cards[last4]); n > keys+w.clients.planted[last4] {
			wrong = append(wrong, fmt.Sprintf("D: …%s lives in %d places, and %d keys brought it", last4, n, keys))
		}
	}
	return wrong
}

// indexes checks that no entry of the indexes of what is under way outlives its reason.
func (w *galaxy) indexes(records map[string]gateway.Record) []string {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	var wrong []string
	for index, members := range w.store.indexes {
		for m := range members {
			r := records[strings.TrimPrefix(m[strings.LastIndexByte(m, '|')+1:], "~")]
			if (index == gateway.IndexDue || strings.HasPrefix(index, "o/")) && !r.Unfinished() && len(r.Late) == 0 && r.Doubt == nil && !r.ToStep() {
				wrong = append(wrong, "U: "+index+" still lists "+m)
			}
			if strings.HasPrefix(index, "c/") && !r.Live() {
				wrong = append(wrong, "L: "+index+" still lists "+m)
			}
		}
	}
	return wrong
}

// secretCode is the security code of every card of the proofs.
const secretCode = "7391"

// secrets searches the store and the logs.
func (w *galaxy) secrets() []string {
	var wrong []string
	for name, text := range map[string]string{"store": w.store.text(), "log": w.log.text()} {
		if !strings.Contains(text, "4111111111111111") && !strings.Contains(text, "400000000000") && !strings.Contains(text, secretCode) {
			continue // the search below is slow
		}
		numbers := regexp.MustCompile(`\b(4111111111111111|400000000000\d{4}|` + secretCode + `)\b`)
		if at := numbers.FindStringIndex(text); at != nil {
			wrong = append(wrong, fmt.Sprintf("P: the %s holds a number: …%s…", name, text[max(0, at[0]-60):min(len(text), at[1]+20)]))
		}
	}
	return wrong
}

// resolved asks for everything that clients were ever shown, repeats every create
// that was answered, and stores every card once more, under a new key: what a run
// leaves behind must not stand in its way.
func (w *galaxy) resolved() []string {
	c := w.clients
	c.mu.Lock()
	var repeats []request
	for _, a := range c.answers {
		if first := c.acked[keyOf(a.request)]; a.verb == create && first != nil && first.body == a.body {
			repeats = append(repeats, a.request)
		}
	}
	again := map[string]request{}
	for _, a := range c.answers {
		if a.verb == create && a.in.Sources[0].ProviderReference == nil {
			r := a.request
			if oneTime(r.in.Sources[0]) {
				fresh := play{w: w, provider: r.in.Provider}.creates("", r.number)
				r.in, r.body = fresh.in, fresh.body
			}
			r.key = "again " + a.body + " at " + r.in.Provider
			again[r.tenant+r.customer+r.key] = r
		}
	}
	shown, going, gone := maps.Clone(c.shown), maps.Clone(c.going), maps.Clone(c.gone)
	c.mu.Unlock()
	var wrong []string
	c.script("checker", func(ctx context.Context) {
		for _, id := range slices.Sorted(maps.Keys(shown)) {
			a := c.insist(ctx, 1, request{verb: get, tenant: shown[id], target: id})
			switch {
			case a == nil:
				wrong = append(wrong, "W: "+id+" cannot be read")
			case a.err != nil && !going[id]:
				wrong = append(wrong, fmt.Sprintf("L: %s was shown: %v", id, a.err))
			case a.err == nil && gone[id]:
				wrong = append(wrong, "L: "+id+" was deleted, and is there")
			}
		}
		for _, r := range repeats {
			if a := c.insist(ctx, 0, r); a == nil || a.err != nil {
				wrong = append(wrong, fmt.Sprintf("L: %v does not repeat its answer", r))
			}
		}
		for _, k := range slices.Sorted(maps.Keys(again)) {
			if a := c.insist(ctx, 0, again[k]); a == nil || a.err != nil {
				wrong = append(wrong, fmt.Sprintf("W: %v: what was stored once cannot be stored again", again[k]))
			}
		}
	})
	if !w.run(time.Hour, c.idle) {
		wrong = append(wrong, "W: the last questions get no answer")
	}
	return append(wrong, w.rest()...)
}
