package bigcommercetest

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the hash that BigCommerce writes into its webhooks
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/polyvault/polyvault/adapters/standin"
)

var errNoChange = errors.New("there is no such instrument, or no such change")

// Change implements [standin.Webhooker].
func (s *server) Change(c standin.Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(c.Instrument)
	if i == nil {
		return errNoChange
	}
	if c.ExpYear != 0 {
		i.month, i.year = c.ExpMonth, c.ExpYear
	}
	if c.Default {
		s.makeDefault(i)
	}
	if c.Gone {
		i.deleted, i.isDef = s.opts.Now(), false
	}
	return nil
}

// Webhook implements [standin.Webhooker]. BigCommerce tells of nothing but another default.
func (s *server) Webhook(conf standin.Webhooks, c standin.Change, at time.Time) *standin.Webhook {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(c.Instrument)
	if i == nil || !c.Default {
		return nil
	}
	body := WebhookBody(s.opts.StoreHash, i.customer, at)
	return &standin.Webhook{Header: WebhookHeader(conf.Secret, randomHex(16), body, at), Body: body}
}

// WebhookBody is the webhook of a customer whose default has changed.
func WebhookBody(store string, customer int, at time.Time) []byte {
	const scope = "store/customer/payment/instrument/default/updated"
	data := fmt.Sprintf(`{"type":"customer","id":%d}`, customer)
	sum := sha1.Sum([]byte(data + strconv.FormatInt(at.UnixNano(), 10))) //nolint:gosec // see above
	return fmt.Appendf(nil, `{"scope":"%s","store_id":"1025646","data":%s,"hash":"%s","created_at":%d,"producer":"stores/%s"}`,
		scope, data, hex.EncodeToString(sum[:]), at.Unix(), store)
}

// WebhookHeader signs a webhook after the Standard Webhooks, under the secret's bytes.
func WebhookHeader(secret, id string, body []byte, at time.Time) http.Header {
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = fmt.Fprintf(mac, "%s.%d.%s", id, at.Unix(), body)
	return http.Header{
		"Webhook-Id": {id}, "Webhook-Timestamp": {strconv.FormatInt(at.Unix(), 10)},
		"Webhook-Signature": {"v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))},
	}
}
