package rebillytest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/polyvault/polyvault/adapters/standin"
)

var errNoChange = errors.New("there is no such instrument, or no such change")

// Change implements [standin.Webhooker].
func (p *provider) Change(c standin.Change) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.byID[c.Instrument]
	if i == nil || i.deactivated {
		return errNoChange
	}
	if c.ExpYear != 0 {
		i.expMonth, i.expYear = c.ExpMonth, c.ExpYear
	}
	owner := p.customers[i.customer]
	if c.Default && owner != nil {
		owner.defaultID = i.id
		owner.touch(p.opts.Now())
	}
	if i.deactivated = c.Gone; c.Gone && owner != nil && owner.defaultID == i.id {
		owner.defaultID = ""
	}
	i.touch(p.opts.Now())
	return nil
}

// Webhook implements [standin.Webhooker].
func (p *provider) Webhook(conf standin.Webhooks, c standin.Change, _ time.Time) *standin.Webhook {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.byID[c.Instrument]
	if i == nil {
		return nil
	}
	return &standin.Webhook{Header: WebhookHeader(conf.Username, conf.Password), Body: WebhookBody(i.id, i.revision)}
}

// WebhookHeader is what Rebilly's webhooks authenticate with: nothing is signed.
func WebhookHeader(username, password string) http.Header {
	return http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(username+":"+password))}}
}

// WebhookBody is the webhook of an instrument that was changed; without a revision, one
// whose template leaves the instrument out.
func WebhookBody(instrument string, revision int) []byte {
	o := object{
		"eventType": "payment-instrument-modified", "paymentInstrumentId": instrument,
		"_links": []object{{"rel": "paymentInstrument", "href": "https://api-sandbox.rebilly.com/payment-instruments/" + instrument}},
	}
	if revision > 0 {
		o["_embedded"] = object{"paymentInstrument": object{"id": instrument, "revision": revision}}
	}
	b, _ := json.Marshal(o) // of texts and numbers only
	return b
}
