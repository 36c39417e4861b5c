package rebilly

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

var _ adapters.Notifier = (*Adapter)(nil)

// WebhookCredential is what Rebilly's webhooks authenticate with (HTTP Basic).
type WebhookCredential struct {
	Username string           `json:"username"` // up to 255 bytes, without a colon
	Password normalize.Secret `json:"password"`
}

func (c Config) webhookProblems() []string {
	problems := rest.HeaderProblems("webhook_headers", c.WebhookHeaders)
	if len(c.WebhookCredentials) > rest.MaxWebhookSecrets {
		problems = append(problems, "webhook_credentials: must be a list of up to 10")
	}
	for _, w := range c.WebhookCredentials {
		if w.Username == "" || len(w.Username) > 255 || strings.Contains(w.Username, ":") || w.Password.IsZero() {
			problems = append(problems, "webhook_credentials: each needs a username without a colon, and a password")
			break
		}
	}
	return problems
}

// event is the part of a webhook that is read. Its body is a template that the merchant
// may change, so that all of it may be missing.
type event struct {
	CardID       string `json:"paymentCardId"`       // of payment-card-…
	InstrumentID string `json:"paymentInstrumentId"` // of payment-instrument-modified
	CustomerID   string `json:"customerId"`          // of customer-…
	Embedded     struct {
		Card       *wireRevision `json:"paymentCard"`
		Instrument *wireRevision `json:"paymentInstrument"`
	} `json:"_embedded"`
}

type wireRevision struct {
	Revision int64 `json:"revision"`
}

// Notices implements [adapters.Notifier]. Rebilly signs nothing: its webhooks have
// credentials, a header, or both, and no time.
func (a *Adapter) Notices(header http.Header, body []byte, _ time.Time) ([]adapters.Notice, error) {
	if len(a.webhookCredentials) == 0 && len(a.webhookHeaders) == 0 {
		return nil, adapters.NoWebhooks()
	}
	if header == nil {
		return nil, nil
	}
	if !a.authentic(header) {
		return nil, adapters.NotAuthentic()
	}
	var e event
	if json.Unmarshal(body, &e) != nil {
		return nil, adapters.UnreadableNotice()
	}
	id, seen := e.InstrumentID, e.Embedded.Instrument
	if id == "" {
		id, seen = e.CardID, e.Embedded.Card
	}
	switch {
	case id == "" && e.CustomerID == "":
		return nil, nil
	case id == "" && validID(e.CustomerID):
		return []adapters.Notice{{NoticeNames: adapters.NoticeNames{Customer: e.CustomerID}}}, nil
	case !validID(id):
		return nil, adapters.UnreadableNotice()
	}
	n := adapters.Notice{References: normalize.References{refInstrument: id}, NoticeNames: adapters.NoticeNames{Instrument: id}}
	if seen != nil && seen.Revision > 0 {
		// One state of one instrument is one event. Without the revision, two changes
		// look the same, and none is taken for a repetition.
		n.Revision, n.ID = seen.Revision, id+"/"+strconv.FormatInt(seen.Revision, 10)
	}
	return []adapters.Notice{n}, nil
}

// authentic compares with every credential and every header, whatever was found before.
func (a *Adapter) authentic(header http.Header) bool {
	username, password, given := (&http.Request{Header: header}).BasicAuth()
	given = given && len(header.Values("Authorization")) == 1
	known := len(a.webhookCredentials) == 0
	for _, w := range a.webhookCredentials {
		name := rest.SameSecret(username, normalize.NewSecret(w.Username))
		known = rest.SameSecret(password, w.Password) && name && given || known
	}
	marked := rest.HasHeader(header, a.webhookHeaders) || len(a.webhookHeaders) == 0
	return known && marked
}

// NoticeNames implements [adapters.Notifier].
func (*Adapter) NoticeNames(ref normalize.References) adapters.NoticeNames {
	return adapters.NoticeNames{Instrument: ref[refInstrument], Customer: ref[refCustomer]}
}
