package memvault

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"github.com/polyvault/polyvault/adapters/standin"
	"github.com/polyvault/polyvault/normalize"
)

// Vault is memvault's stand-in. It keeps no card number, only a keyed hash of it.
type Vault struct {
	apiKey string
	salt   []byte

	mu        sync.Mutex
	customers []string
	cards     []*stored
	next      int
}

type stored struct {
	card
	identity string
}

// NewVault makes an empty vault that accepts apiKey.
func NewVault(apiKey string) *Vault {
	v := &Vault{apiKey: apiKey, salt: make([]byte, 32)}
	_, _ = rand.Read(v.salt) // it never fails
	return v
}

// ServeHTTP implements [http.Handler].
func (v *Vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+v.apiKey {
		fail(w, http.StatusUnauthorized, "bad_key")
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /customers/{customer}", v.putCustomer)
	mux.HandleFunc("POST /customers/{customer}/cards", v.createCard)
	mux.HandleFunc("GET /customers/{customer}/cards", v.listCards)
	mux.HandleFunc("GET /cards/{card}", v.onCard(func(*stored, *http.Request) bool { return false }))
	mux.HandleFunc("PATCH /cards/{card}", v.onCard(patch))
	mux.HandleFunc("POST /cards/{card}/default", v.onCard(func(c *stored, _ *http.Request) bool { return v.makeDefault(c) }))
	mux.HandleFunc("DELETE /cards/{card}", v.onCard(func(c *stored, _ *http.Request) bool {
		v.cards = slices.DeleteFunc(v.cards, func(other *stored) bool { return other == c })
		return true
	}))
	v.mu.Lock()
	defer v.mu.Unlock()
	mux.ServeHTTP(w, r)
}

func (v *Vault) putCustomer(w http.ResponseWriter, r *http.Request) {
	if id := r.PathValue("customer"); !slices.Contains(v.customers, id) {
		v.customers = append(v.customers, id)
		standin.Committed(r)
	}
	answer(w, http.StatusOK, struct{}{})
}

func (v *Vault) createCard(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Number      string `json:"number"`
		Month, Year int
		Address     *normalize.Address `json:"address"`
		Default     bool               `json:"default"`
	}
	customer := r.PathValue("customer")
	switch {
	case json.NewDecoder(r.Body).Decode(&in) != nil || !normalize.IsCardNumber(in.Number):
		fail(w, http.StatusUnprocessableEntity, "bad_card")
		return
	case !slices.Contains(v.customers, customer):
		fail(w, http.StatusNotFound, "no_such_customer")
		return
	}
	mac := hmac.New(sha256.New, v.salt)
	mac.Write([]byte(in.Number))
	identity := hex.EncodeToString(mac.Sum(nil))
	i := slices.IndexFunc(v.cards, func(c *stored) bool { return c.identity == identity && c.Customer == customer })
	if i < 0 {
		v.next++
		i = len(v.cards)
		v.cards = append(v.cards, &stored{identity: identity, card: card{
			ID: "card_" + strconv.Itoa(v.next), Customer: customer, State: "ok", Scheme: string(normalize.BrandOf(in.Number)),
			First6: normalize.BINOf(in.Number), Last4: normalize.Last4Of(in.Number),
		}})
	}
	c := v.cards[i]
	c.Month, c.Year, c.Address = in.Month, in.Year, in.Address
	if in.Default {
		v.makeDefault(c)
	}
	c.Version++
	standin.Committed(r)
	out := c.card
	out.Existing = out.Version > 1
	answer(w, http.StatusCreated, out)
}

func (v *Vault) listCards(w http.ResponseWriter, r *http.Request) {
	out := []card{}
	for _, c := range v.cards {
		if c.Customer == r.PathValue("customer") {
			out = append(out, c.card)
		}
	}
	total := len(out)
	offset, _ := strconv.Atoi(r.FormValue("offset"))
	limit, _ := strconv.Atoi(r.FormValue("limit"))
	if limit <= 0 {
		limit = 100
	}
	out = out[min(offset, total):]
	next := ""
	if len(out) > limit {
		out, next = out[:limit], strconv.Itoa(offset+limit)
	}
	answer(w, http.StatusOK, map[string]any{"cards": out, "next": next, "total": total})
}

// onCard answers with the card after change, which tells whether it changed.
func (v *Vault) onCard(change func(*stored, *http.Request) bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		i := slices.IndexFunc(v.cards, func(c *stored) bool { return c.ID == r.PathValue("card") })
		if i < 0 {
			fail(w, http.StatusNotFound, "no_such_card")
			return
		}
		c := v.cards[i]
		if match := r.Header.Get("If-Match"); match != "" && match != strconv.Itoa(c.Version) {
			fail(w, http.StatusPreconditionFailed, "old_version")
			return
		}
		if change(c, r) {
			c.Version++
			standin.Committed(r)
		}
		answer(w, http.StatusOK, c.card)
	}
}

func patch(c *stored, r *http.Request) bool {
	in := struct{ *card }{&c.card}
	return json.NewDecoder(r.Body).Decode(&in) == nil
}

func (v *Vault) makeDefault(c *stored) bool {
	for _, other := range v.cards {
		if other.Customer == c.Customer {
			other.Default = other == c
		}
	}
	return true
}

// Snapshot implements [standin.Provider].
func (v *Vault) Snapshot() (customers []standin.Customer, instruments []standin.Instrument) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, id := range v.customers {
		customers = append(customers, standin.Customer{ID: id})
	}
	for _, c := range v.cards {
		instruments = append(instruments, standin.Instrument{
			ID: c.ID, Customer: c.Customer, Live: true, Type: "card", Last4: c.Last4, ExpMonth: c.Month, ExpYear: c.Year, Identity: c.identity,
		})
	}
	return customers, instruments
}

// Reset implements [standin.Provider].
func (v *Vault) Reset() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.customers, v.cards = nil, nil
}

// RateLimited implements [standin.Provider].
func (*Vault) RateLimited(w http.ResponseWriter, _ *http.Request) {
	fail(w, http.StatusTooManyRequests, "slow_down")
}

func fail(w http.ResponseWriter, status int, code string) {
	answer(w, status, map[string]any{"error": map[string]string{"code": code}})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// AddCustomer makes a customer that a test starts with.
func (v *Vault) AddCustomer(id string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.customers = append(v.customers, id)
}
