package cybersourcetest

import (
	"fmt"

	"github.com/polyvault/polyvault/adapters/standin"
)

// Seed implements [standin.Seeder].
func (v *vault) Seed(cards int) []map[string]string {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := v.newCustomer(object{})
	out := make([]map[string]string, cards)
	for n := range out {
		number, month, year := standin.SeedCard(n)
		i, _ := v.identify(cardNumber(number), object{})
		p := v.addInstrument(c, i, object{"card": object{
			"expirationMonth": fmt.Sprintf("%02d", month), "expirationYear": fmt.Sprint(year), "type": cardType(number),
		}}, false)
		out[n] = map[string]string{"customer": c.id, "payment_instrument": p.id, "instrument_identifier": i.id}
	}
	return out
}

// cardType is the provider's code of the brand.
func cardType(number string) string {
	if number[0] == '5' {
		return "002"
	}
	return "001"
}
