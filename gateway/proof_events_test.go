package gateway_test

import (
	"fmt"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/normalize"
)

// endpoints make the records of the proofs carry their events. Nothing relays them, so
// that at the end every record has all that were ever told of it.
func endpoints() []gateway.EventEndpoint {
	return []gateway.EventEndpoint{{
		URL: "https://shop.example/hooks", Secrets: []normalize.Secret{normalize.NewSecret("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3")},
	}}
}

// eventsTold checks a record's events against what became of it: the letter E.
//
//	E  an instrument that lives was created once, one that is gone was deleted once, also
//	   if it turned out to be another one, and what never was an instrument is told of by nothing
func eventsTold(r gateway.Record) []string {
	n, ids := map[gateway.EventType]int{}, map[string]bool{}
	for _, e := range r.Events {
		n[e.Type]++
		ids[e.ID] = true
	}
	created, deleted := n[gateway.InstrumentCreated], n[gateway.InstrumentDeleted]
	ok := len(ids) == len(r.Events)
	switch {
	case r.MirrorOf != "" || !r.DeletedAt.IsZero() && len(r.Events) == 0: // adopted as deleted: it never lived
		ok = ok && len(r.Events) == 0
	case r.Live():
		ok = ok && created == 1 && deleted == 0
	case !r.DeletedAt.IsZero():
		ok = ok && created == 1 && deleted == 1 && r.Events[len(r.Events)-1].Type == gateway.InstrumentDeleted
	case r.AliasOf != "":
		ok = ok && created <= 1 && deleted == created && len(r.Events) == created+deleted+n[gateway.InstrumentUpdated]+n[gateway.ProviderTokenChanged]
	default:
		ok = ok && len(r.Events) == 0
	}
	if ok {
		return nil
	}
	return []string{fmt.Sprintf("E: %s is %s, alive %v, deleted %v, and was told of as %v", r.ID, r.State, r.Live(), !r.DeletedAt.IsZero(), n)}
}
