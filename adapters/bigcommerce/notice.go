package bigcommerce

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

var _ adapters.Notifier = (*Adapter)(nil)

func (c Config) webhookProblems() []string {
	problems := rest.HeaderProblems("webhook_headers", c.WebhookHeaders)
	if len(c.WebhookSecrets) > rest.MaxWebhookSecrets {
		problems = append(problems, "webhook_secrets: must be a list of up to 10")
	}
	for _, s := range c.WebhookSecrets {
		if s.IsZero() || strings.ContainsFunc(s.Reveal(), notVisibleASCII) {
			problems = append(problems, "webhook_secrets: must be visible ASCII characters only, and not empty")
			break
		}
	}
	return problems
}

// event is a webhook's body. It names a customer, and neither the instrument that is
// the default now nor the one that was.
type event struct {
	Scope    string `json:"scope"`
	Producer string `json:"producer"` // "stores/" and the store's hash
	Hash     string `json:"hash"`     // the same for every delivery; of the body, and no proof of who made it
	Data     struct {
		Type string      `json:"type"`
		ID   json.Number `json:"id"`
	} `json:"data"`
}

var (
	hashPattern       = regexp.MustCompile(`^[0-9a-f]{40}$`)
	customerIDPattern = regexp.MustCompile(`^[1-9][0-9]{0,18}$`)
)

// instrumentScope begins the events that concern instruments. There is one today, for
// a customer's default.
const instrumentScope = "store/customer/payment/instrument/"

// Notices implements [adapters.Notifier]. A webhook has a signature after the Standard
// Webhooks, a header that it was made with, or both. An API account may have webhooks in
// several stores, all signed with the same secret: another store's is refused.
func (a *Adapter) Notices(header http.Header, body []byte, now time.Time) ([]adapters.Notice, error) {
	if len(a.webhookSecrets) == 0 && len(a.webhookHeaders) == 0 {
		return nil, adapters.NoWebhooks()
	}
	if header == nil {
		return nil, nil
	}
	id, signed := a.signed(header, body, now)
	marked := rest.HasHeader(header, a.webhookHeaders) || len(a.webhookHeaders) == 0
	if !marked || !signed && len(a.webhookSecrets) > 0 {
		return nil, adapters.NotAuthentic()
	}
	var e event
	switch err := json.Unmarshal(body, &e); {
	case err != nil:
		return nil, adapters.UnreadableNotice()
	case e.Producer != a.producer:
		return nil, adapters.NotAuthentic()
	case !strings.HasPrefix(e.Scope, instrumentScope):
		return nil, nil
	case e.Data.Type != "customer" || !customerIDPattern.MatchString(e.Data.ID.String()):
		return nil, adapters.UnreadableNotice()
	}
	if !signed && hashPattern.MatchString(e.Hash) {
		id = e.Hash
	}
	return []adapters.Notice{{ID: id, NoticeNames: adapters.NoticeNames{Customer: e.Data.ID.String()}}}, nil
}

// signed checks the signature: HMAC-SHA256 over "id.timestamp.body" under the secret's
// own bytes, in one of the list's entries "v1,<base64>".
func (a *Adapter) signed(header http.Header, body []byte, now time.Time) (id string, ok bool) {
	for _, name := range []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
		if len(header.Values(name)) != 1 {
			return "", false
		}
	}
	id, at := header.Get("Webhook-Id"), header.Get("Webhook-Timestamp")
	seconds, err := strconv.ParseUint(at, 10, 40)
	if err != nil || id == "" || !adapters.Fresh(time.Unix(int64(seconds), 0), now) {
		return "", false
	}
	for _, secret := range a.webhookSecrets {
		mac := hmac.New(sha256.New, []byte(secret.Reveal()))
		_, _ = mac.Write([]byte(id + "." + at + "."))
		_, _ = mac.Write(body)
		want := mac.Sum(nil)
		for given := range strings.SplitSeq(header.Get("Webhook-Signature"), " ") {
			text, v1 := strings.CutPrefix(given, "v1,")
			sum, err := base64.StdEncoding.DecodeString(text)
			ok = hmac.Equal(sum, want) && v1 && err == nil || ok
		}
	}
	return id, ok
}

// NoticeNames implements [adapters.Notifier].
func (*Adapter) NoticeNames(ref normalize.References) adapters.NoticeNames {
	return adapters.NoticeNames{Customer: ref[refCustomer]}
}
