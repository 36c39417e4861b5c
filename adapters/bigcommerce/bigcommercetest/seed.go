package bigcommercetest

import (
	"strconv"

	"github.com/polyvault/polyvault/adapters/standin"
)

// Seed implements [standin.Seeder]. The new customer is the one after the last.
func (s *server) Seed(cards int) []map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seeded++
	customer := s.customers()
	out := make([]map[string]string, cards)
	for n := range out {
		number, month, year := standin.SeedCard(n)
		vault := randomHex(8)
		i := &instrument{
			customer: customer, kind: kindCard, brand: "visa", month: month, year: year, iin: number[:6], last4: number[len(number)-4:],
			address: address{"first_name": "Ada", "last_name": "Byron", "address_1": "12 Analytical Way", "city": "Austin", "country_code": "US"},
			method:  "braintree.credit_card", identity: s.identityOf("braintree.credit_card", vault), isDef: n == 0,
		}
		if number[0] == '5' {
			i.brand = "mastercard"
		}
		s.add(i)
		out[n] = map[string]string{"customer": strconv.Itoa(customer), "token": i.token}
	}
	return out
}
