package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// published are card numbers that processors publish for tests.
func published() []string {
	return []string{
		"4111111111111111", "5555555555554444", "378282246310005", "6011111111111117", "4012888888881881", "5105105105105100",
		"371449635398431", "6011000990139424", "2223003122003222", "4000056655665556", "5200828282828210", "4242424242424242",
	}
}

// job is one create of the load: a key, and what is sent under it.
type job struct {
	key      string
	customer string
	body     []byte
	twin     bool   // two clients use the key at the same time
	other    []byte // another body that a second client sends with the key; nil for none
}

// known is how many customers BigCommerce's stand-in has.
const known = 100

// plan makes the creates of a run from its seed: different cards and expiries for
// each customer, now and then the same card with another key, at the same time or with
// another expiry, two clients with one key, or one key with two bodies.
func plan(seed uint64, n int) []job {
	r := rand.New(rand.NewPCG(seed, 0))
	numbers := published()
	jobs := make([]job, n)
	cards := map[string]int{} // how many a customer has
	for i := range jobs {
		j := &jobs[i]
		j.key = fmt.Sprintf("s1-%d-%d", seed, i)
		if i > 0 && r.IntN(40) == 0 {
			// The same request under another key, most likely at the same time.
			j.customer, j.body = jobs[i-1].customer, jobs[i-1].body
			continue
		}
		country := []string{"US", "GB", "CA"}[i%3]
		vaulted := country == "CA" || r.IntN(10) == 0
		if vaulted {
			j.customer = fmt.Sprintf("cus-%d", 1+r.IntN(known))
		} else {
			// Customers of their own for each country: as many cards as there are numbers.
			j.customer = fmt.Sprintf("card-%s-%d", country, i/3/len(numbers))
		}
		k := cards[j.customer]
		if cards[j.customer]++; k > 0 && !vaulted && r.IntN(30) == 0 {
			k = len(numbers) + r.IntN(k) // one that the customer has, with a later expiry
		}
		number := numbers[k%len(numbers)]
		year := 2030 + k/len(numbers)%40
		j.body = request(j.customer, country, number, k, year, vaulted)
		switch r.IntN(40) {
		case 0:
			j.twin = true
		case 1:
			j.other = request(j.customer, country, number, k, 2080, vaulted)
		}
	}
	return jobs
}

func request(customer, country, number string, nth, year int, vaulted bool) []byte {
	sources := []object{{"type": "card", "number": number, "exp_month": 12, "exp_year": year, "cvc": "123", "holder_name": "Ada Byron"}}
	if vaulted {
		sources = append(sources, object{
			"type": "vaulted_token", "payment_method_id": "braintree.credit_card", "currency": "USD", "vault_token": fmt.Sprintf("token-%s-%d", customer, nth),
			"provider_customer_id": "321123", "instrument_type": "card", "brand": "visa", "bin": number[:6], "last4": number[len(number)-4:],
			"exp_month": 12, "exp_year": year,
		})
	}
	raw, _ := json.Marshal(object{"customer_id": customer, "country": country, "sources": sources, "billing_address": object{
		"first_name": "Ada", "last_name": "Byron", "line1": "12 Analytical Way", "city": "Austin", "region": "TX", "postal_code": "78701", "country": "US",
	}})
	return raw
}

// tally is what the clients of a run were answered.
type tally struct {
	mu        sync.Mutex
	keys      map[string]*keyReport
	created   int // 201 or 200
	accepted  int // 202
	replays   int
	conflicts int // 409
	refused   int // 503, 429
	dropped   int // no answer
	bodies    map[string]map[int]bool
	rejected  map[string]string // key -> a final answer that is no success, and was not meant to be none
	open      map[string]bool   // keys that a client gave up
	success   []time.Time
	leaked    []string // answers with a card number
}

func newTally() *tally {
	return &tally{keys: map[string]*keyReport{}, bodies: map[string]map[int]bool{}, rejected: map[string]string{}, open: map[string]bool{}}
}

// note counts one answer. body tells the bodies of one key apart.
func (y *tally) note(key string, body int, a answer) {
	y.mu.Lock()
	defer y.mu.Unlock()
	k := y.keys[key]
	if k == nil {
		k = &keyReport{key: key}
		y.keys[key] = k
		y.bodies[key] = map[int]bool{}
	}
	if a.header.Get("Idempotent-Replayed") == "true" {
		y.replays++
	}
	switch {
	case a.status == 0:
		y.dropped++
	case a.status == http.StatusAccepted:
		y.accepted++
	case a.status == http.StatusConflict:
		y.conflicts++
	case a.status == http.StatusCreated || a.status == http.StatusOK:
		y.created++
		y.success = append(y.success, time.Now())
		if id := a.str("id"); !slices.Contains(k.ids, id) {
			k.ids = append(k.ids, id)
		}
	case !a.final():
		y.refused++
	}
	if a.status/100 == 2 {
		y.bodies[key][body] = true
		k.taken = len(y.bodies[key])
	}
	if leaks := secretsIn("an answer", string(a.raw), published()); len(leaks) > 0 {
		y.leaked = append(y.leaked, leaks...)
	}
}

// end notes how a client's last answer left it.
func (y *tally) end(j job, a answer) {
	y.mu.Lock()
	defer y.mu.Unlock()
	switch {
	case !a.final():
		y.open[j.key] = true
	case a.status >= 400 && (j.other == nil || a.str("code") != "idempotency_key_reused"):
		y.rejected[j.key] = string(a.raw)
	}
}

// load runs all jobs with that many workers. Each repeats its key, over the gateways
// in turn, until the answer is final or the limit is over.
func (w *world) load(ctx context.Context, jobs []job, workers int, limit time.Duration) *tally {
	y := newTally()
	next := make(chan int)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range next {
				w.storeOne(ctx, y, jobs[i], i, limit)
			}
		})
	}
	for i := range jobs {
		next <- i
	}
	close(next)
	wg.Wait()
	return y
}

// storeOne is the client, or the two clients, of one job.
func (w *world) storeOne(ctx context.Context, y *tally, j job, i int, limit time.Duration) {
	var wg sync.WaitGroup
	wg.Go(func() { w.persist(ctx, y, j, j.body, 0, i, limit) })
	switch {
	case j.twin:
		wg.Go(func() { w.persist(ctx, y, j, j.body, 0, i+1, limit) })
	case j.other != nil:
		wg.Go(func() { w.persist(ctx, y, j, j.other, 1, i+1, limit) })
	}
	wg.Wait()
}

func (w *world) persist(ctx context.Context, y *tally, j job, raw []byte, body, first int, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for i := first; ; i++ {
		a := w.gateways[i%len(w.gateways)].create(ctx, j.key, raw)
		y.note(j.key, body, a)
		if a.final() || ctx.Err() != nil {
			y.end(j, a)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(pauseAfter(a)):
		}
	}
}
