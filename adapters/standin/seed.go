package standin

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// Seed says what is to be at a provider before anybody calls it.
type Seed struct {
	Customers int    `json:"customers"` // 1 to 1,000,000, new ones
	Each      int    `json:"each"`      // instruments of each customer; 1 to 100, default 1
	First     int    `json:"first"`     // the merchant's number of the first customer; default 1
	Provider  string `json:"provider"`  // written into every line, if it is set
}

// Seeded is one instrument that was seeded, in the form of a line for `polyvault import`.
type Seeded struct {
	CustomerID string            `json:"customer_id"` // the merchant's own
	Provider   string            `json:"provider,omitempty"`
	References map[string]string `json:"references"`
}

// Seeder is a [Provider] that can be filled without a request an instrument.
type Seeder interface {
	// Seed makes a customer with some cards. No two cards of a customer are the same.
	Seed(cards int) []map[string]string
}

const (
	maxSeedCustomers = 1_000_000
	maxSeedEach      = 100
)

// serveSeed makes customers with instruments and answers a line of JSON for each
// instrument, as it goes: what comes is a file to import.
func (s *Server) serveSeed(w http.ResponseWriter, r *http.Request) {
	seeder, ok := s.provider.(Seeder)
	switch {
	case r.Method != http.MethodPost:
		methodNotAllowed(w, "POST")
		return
	case !ok:
		writeJSON(w, http.StatusNotFound, map[string]string{"error": "this stand-in cannot be seeded"})
		return
	}
	want := Seed{Each: 1, First: 1}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	d.DisallowUnknownFields()
	err := d.Decode(&want)
	if err == nil && (want.Customers < 1 || want.Customers > maxSeedCustomers || want.Each < 1 || want.Each > maxSeedEach || want.First < 0) {
		err = fmt.Errorf("customers must be 1 to %d, each 1 to %d", maxSeedCustomers, maxSeedEach)
	}
	if err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	w.Header().Set("Content-Type", "application/jsonl")
	out := json.NewEncoder(w)
	for n := range want.Customers {
		for _, references := range seeder.Seed(want.Each) {
			line := Seeded{CustomerID: fmt.Sprintf("cus-%d", want.First+n), Provider: want.Provider, References: references}
			if err := out.Encode(line); err != nil {
				return // the caller is gone
			}
		}
	}
}

// SeedCard is the n-th of the cards that a seeded customer has: a published test
// number and an expiry date, which are together another card for every n.
func SeedCard(n int) (number string, month, year int) {
	numbers := []string{"4111111111111111", "5555555555554444", "4242424242424242", "4012888888881881"}
	return numbers[n%len(numbers)], 1 + n/len(numbers)%12, 2032 + n/len(numbers)/12
}
