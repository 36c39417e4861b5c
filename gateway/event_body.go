package gateway

import (
	"encoding/json"
	"time"

	"github.com/polyvault/polyvault/normalize"
)

// eventBody is what an endpoint is sent.
type eventBody struct {
	ID        string    `json:"id"` // as in the header webhook-id: the same at every try and every replay
	Type      EventType `json:"type"`
	Timestamp time.Time `json:"timestamp"` // when it happened
	Data      any       `json:"data"`
}

// instrumentData is what an event about an instrument tells. The instrument is shown as
// it stood when the event was relayed, so that it may show later changes as well:
// updated_at orders the events of one instrument.
type instrumentData struct {
	ID         string                `json:"id"`
	CustomerID string                `json:"customer_id"`
	UpdatedAt  time.Time             `json:"updated_at"`
	Provider   string                `json:"provider,omitempty"`  // of provider_token.changed
	ExpiresAt  time.Time             `json:"expires_at,omitzero"` // of instrument.expiring
	Instrument *normalize.Instrument `json:"instrument"`          // without references; null once it is deleted
}

// providerData is what an event about a provider tells.
type providerData struct {
	Provider  string    `json:"provider"`
	DownSince time.Time `json:"down_since"`
}

// instrumentEvent is the event of a pending one, as its record stands now.
func instrumentEvent(r Record, p PendingEvent, now time.Time) event {
	data := instrumentData{ID: r.ID, CustomerID: r.CustomerID, UpdatedAt: r.UpdatedAt, Provider: p.Provider}
	if r.live() {
		ins := r.instrument(now)
		for i := range ins.ProviderTokens {
			ins.ProviderTokens[i].References = nil
		}
		data.Instrument = &ins
		if end, ok := r.expiresAt(); ok && p.Type == InstrumentExpiring {
			data.ExpiresAt = end
		}
	}
	e := newEvent(r.Tenant, p, data)
	e.Instrument = r.ID
	return e
}

func newEvent(tenant string, p PendingEvent, data any) event {
	b, err := json.Marshal(eventBody{ID: p.ID, Type: p.Type, Timestamp: p.At, Data: data})
	if err != nil {
		panic("gateway: an event's body is always encodable: " + err.Error())
	}
	return event{
		Schema: schemaVersion, ID: p.ID, Tenant: tenant, Type: p.Type, Provider: p.Provider, OccurredAt: p.At, Body: string(b), Deliveries: []delivery{},
	}
}
