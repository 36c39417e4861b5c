package gateway

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
)

// CustomerHash stands for one tenant's customer wherever only the same customer
// must be treated in the same way. It is the same in every gateway and at all times;
// 0 is no customer. It is no secret: who guesses a customer id can check the guess.
type CustomerHash uint64

// HashCustomer returns a customer's hash; 0 for the id "".
func HashCustomer(tenant, customer string) CustomerHash {
	if customer == "" {
		return 0
	}
	sum := sha256.Sum256([]byte(tenant + "\x00" + customer))
	return max(1, CustomerHash(binary.BigEndian.Uint64(sum[:8])))
}

// MarshalText implements [encoding.TextMarshaler] with 16 hex digits.
func (h CustomerHash) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%016x", uint64(h)), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (h *CustomerHash) UnmarshalText(b []byte) error {
	v, err := strconv.ParseUint(string(b), 16, 64)
	if err != nil || len(b) != 16 {
		return errors.New("must be 16 hex digits")
	}
	*h = CustomerHash(v)
	return nil
}

// wholeRange is 100 % in the unit of [CustomerRange].
const wholeRange = 10_000

// CustomerRange is a share of each tenant's customers, in hundredths of a percent:
// from From up to but not including Below, 0–10000. Ranges that touch have no
// customer in common and leave none out.
type CustomerRange struct{ From, Below int }

// contains reports whether the customer is in the range; no customer is in none.
func (r CustomerRange) contains(h CustomerHash) bool {
	place, _ := bits.Mul64(uint64(h), wholeRange)                 // 0–9999, from the hash's upper end
	return h != 0 && r.From <= int(place) && int(place) < r.Below //nolint:gosec // below 10000
}

// byWeight orders a weighted route's providers for a customer, by weighted rendezvous
// hashing: each provider draws a number for the customer that depends on nothing but
// these two and its weight, and the best draw wins. So a customer always goes the same
// way, and a change of one weight moves customers only to or from that provider. Weight
// 0 comes last, as listed. Without a customer the heaviest is first: nobody's turn, but
// the likeliest answer.
func (r Route) byWeight(customer CustomerHash) []string {
	draws := make(map[string]float64, len(r.Providers))
	for _, name := range r.Providers {
		switch w := float64(r.Weights[name]); {
		case w == 0:
			draws[name] = math.Inf(1)
		case customer == 0:
			draws[name] = -w
		default:
			draws[name] = -math.Log(draw(customer, name)) / w
		}
	}
	out := slices.Clone(r.Providers)
	slices.SortStableFunc(out, func(a, b string) int { return cmp.Compare(draws[a], draws[b]) })
	return out
}

// draw is a number above 0 and below 1. It is made of another hash than the ranges'
// places, so that a range holds every provider's customers in equal shares.
func draw(customer CustomerHash, provider string) float64 {
	sum := sha256.Sum256(append(binary.BigEndian.AppendUint64(nil, uint64(customer)), provider...))
	const steps = 1 << 53 // as many as a float64 can tell apart
	return (float64(binary.BigEndian.Uint64(sum[:8])%steps) + 0.5) / steps
}
