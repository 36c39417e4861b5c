package cybersourcetest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/polyvault/polyvault/adapters/standin"
)

// What a webhook's signature covers is disputed: the official plug-ins check the payload
// member, others the whole body.
const (
	SignsMember = "member"
	SignsBody   = "body"
)

var errNoChange = errors.New("there is no such instrument, or no such change")

// Change implements [standin.Webhooker].
func (v *vault) Change(c standin.Change) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	p := v.instruments[c.Instrument]
	if p == nil || p.deleted {
		return errNoChange
	}
	if c.ExpYear != 0 {
		card, _ := p.doc["card"].(object)
		card = maps.Clone(card)
		card["expirationMonth"], card["expirationYear"] = fmt.Sprintf("%02d", c.ExpMonth), fmt.Sprint(c.ExpYear)
		p.doc = maps.Clone(p.doc)
		p.doc["card"] = card
	}
	owner := v.customers[p.customer]
	if c.Default {
		v.makeDefault(owner, p)
	}
	if p.tag = newTag(); c.Gone {
		if p.deleted = true; owner.defaultID == p.id {
			owner.defaultID = ""
		}
	}
	return nil
}

// Webhook implements [standin.Webhooker].
func (v *vault) Webhook(conf standin.Webhooks, c standin.Change, at time.Time) *standin.Webhook {
	v.mu.Lock()
	defer v.mu.Unlock()
	p := v.instruments[c.Instrument]
	if p == nil {
		return nil
	}
	body, payload := WebhookBody(p.identifier, randomHex(16))
	signed := payload
	if conf.Variant == SignsBody {
		signed = body
	}
	header, err := WebhookHeader(conf.KeyID, conf.Key, signed, at)
	if err != nil {
		return nil
	}
	return &standin.Webhook{Header: header, Body: body}
}

// WebhookBody is the webhook of a card that an issuer has updated, and its payload
// member. It names the instrument identifier, and neither the instrument nor what changed.
func WebhookBody(identifier, event string) (body, payload []byte) {
	payload = fmt.Appendf(nil, `{"data":{"reason":"CARD_UPDATED","id":"%s","type":"tokenizedCardUpdates","version":"1.0",`+
		`"_links":{"instrumentIdentifiers":[{"href":"/tms/v1/instrumentidentifiers/%s","id":"%s"}]}},"organizationId":"%s"}`,
		event, identifier, identifier, DefaultMerchantID)
	body = fmt.Appendf(nil, `{"eventType":"tms.networktoken.updated","webhookId":"w-1","productId":"tokenManagement","organizationId":"%s",`+
		`"eventDate":"2026-02-28T20:40:39","transactionTraceId":"%s","retryNumber":0,"requestType":"NEW","payload":%s}`,
		DefaultMerchantID, event, payload)
	return body, payload
}

// WebhookHeader signs a webhook; signed is its payload member, or all of it.
func WebhookHeader(keyID, key string, signed []byte, at time.Time) (http.Header, error) {
	secret, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		return nil, errors.New("cybersourcetest: the webhooks' key must be base64")
	}
	mac := hmac.New(sha256.New, secret)
	_, _ = fmt.Fprintf(mac, "%d.%s", at.UnixMilli(), signed)
	sig := base64.StdEncoding.EncodeToString(mac.Sum(nil))
	return http.Header{"V-C-Signature": {fmt.Sprintf("t=%d;keyId=%s;sig=%s", at.UnixMilli(), keyID, sig)}}, nil
}
