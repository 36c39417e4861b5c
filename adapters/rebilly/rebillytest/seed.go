package rebillytest

import "github.com/polyvault/polyvault/adapters/standin"

// Seed implements [standin.Seeder].
func (p *provider) Seed(cards int) []map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.opts.Now()
	p.sequence++
	k := &customer{id: newID("cus_"), created: now, sequence: p.sequence, members: object{}}
	k.touch(now)
	p.customers[k.id] = k
	out := make([]map[string]string, cards)
	for n := range out {
		pan, month, year := standin.SeedCard(n)
		i := &instrument{customer: k.id, method: "payment-card", expMonth: month, expYear: year}
		i.number, _ = p.cardNumber(object{"pan": pan}, "") // a published test number has nothing wrong
		// Not stored like a new card: the same number is another instrument here.
		i.id, i.created, i.updated, i.revision = newID("inst_"), now, now, 1
		p.instruments = append(p.instruments, i)
		p.byID[i.id] = i
		p.byCustomer[k.id] = append(p.byCustomer[k.id], i)
		out[n] = map[string]string{"instrument": i.id, "customer": k.id}
	}
	return out
}
