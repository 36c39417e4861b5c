package cybersource

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
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

// WebhookKey is a shared secret of webhook subscriptions (POST /kms/egress/v2/keys-sym).
type WebhookKey struct {
	KeyID string           `json:"key_id"` // 1–64 of A-Z a-z 0-9 . _ -
	Key   normalize.Secret `json:"key"`    // base64, as it was answered
}

func webhookProblems(keys []WebhookKey) []string {
	if len(keys) > rest.MaxWebhookSecrets {
		return []string{"webhook_keys: must be a list of up to 10"}
	}
	seen := map[string]bool{}
	for _, k := range keys {
		key, err := base64.StdEncoding.DecodeString(k.Key.Reveal())
		if !merchantPattern.MatchString(k.KeyID) || err != nil || len(key) == 0 {
			return []string{"webhook_keys: each needs a key_id of 1 to 64 of A-Z a-z 0-9 . _ - and a key in base64"}
		}
		if seen[k.KeyID] {
			return []string{"webhook_keys: holds a key_id twice"}
		}
		seen[k.KeyID] = true
	}
	return nil
}

// webhookMACs are the keys by their ids.
func webhookMACs(keys []WebhookKey) (map[string]func(string) []byte, error) {
	out := map[string]func(string) []byte{}
	for _, k := range keys {
		key, err := base64.StdEncoding.DecodeString(k.Key.Reveal())
		if err != nil {
			return nil, errNotBase64
		}
		out[k.KeyID] = macWith(key)
	}
	return out, nil
}

// envelope is the part of a notice that is read. In the variant that signs the payload
// only, the rest of it is anybody's.
type envelope struct {
	TraceID string          `json:"transactionTraceId"`
	Payload json.RawMessage `json:"payload"`
}

// payload is what changed: a network token, and the instrument identifiers it belongs to.
type payload struct {
	Data struct {
		Links struct {
			Identifiers []struct {
				ID string `json:"id"`
			} `json:"instrumentIdentifiers"`
		} `json:"_links"`
	} `json:"data"`
}

// Notices implements [adapters.Notifier]. CyberSource signs either the payload member,
// as its plug-ins check it, or the whole body, as others do: both are tried. What the
// signature does not cover is not read.
func (a *Adapter) Notices(header http.Header, body []byte, now time.Time) ([]adapters.Notice, error) {
	if len(a.webhooks) == 0 {
		return nil, adapters.NoWebhooks()
	}
	if header == nil {
		return nil, nil
	}
	sig, ok := parseSignature(header.Values("V-C-Signature"))
	mac, known := a.webhooks[sig.keyID]
	if !ok || !known || !adapters.Fresh(sig.at, now) {
		return nil, adapters.NotAuthentic()
	}
	var e envelope
	err := json.Unmarshal(body, &e)
	whole := hmac.Equal(mac(sig.time+"."+string(body)), sig.sum)
	member := hmac.Equal(mac(sig.time+"."+string(e.Payload)), sig.sum) && len(e.Payload) > 0 && err == nil
	switch {
	case !whole && !member:
		return nil, adapters.NotAuthentic()
	case err != nil:
		return nil, adapters.UnreadableNotice()
	}
	id := e.TraceID
	if !whole || id == "" {
		sum := sha256.Sum256(e.Payload)
		id = hex.EncodeToString(sum[:])
	}
	return noticesOf(id, e.Payload)
}

// noticesOf reads the payload, which is an object, or a list of them in older plug-ins.
func noticesOf(id string, raw json.RawMessage) ([]adapters.Notice, error) {
	var list []payload
	if json.Unmarshal(raw, &list) != nil {
		var one payload
		if json.Unmarshal(raw, &one) != nil {
			return nil, adapters.UnreadableNotice()
		}
		list = []payload{one}
	}
	var out []adapters.Notice
	for _, p := range list {
		for _, identifier := range p.Data.Links.Identifiers {
			if !idPattern.MatchString(identifier.ID) {
				return nil, adapters.UnreadableNotice()
			}
			name := strings.ToUpper(identifier.ID)
			out = append(out, adapters.Notice{ID: id + "/" + name, NoticeNames: adapters.NoticeNames{Card: name}})
		}
	}
	return out, nil
}

// NoticeNames implements [adapters.Notifier]: notices name instrument identifiers,
// which stand for numbers and are shared by payment instruments.
func (*Adapter) NoticeNames(ref normalize.References) adapters.NoticeNames {
	return adapters.NoticeNames{Card: strings.ToUpper(ref[refInstrumentIdentifier])}
}

// webhookSignature is the header v-c-signature.
type webhookSignature struct {
	time  string // as it was signed
	at    time.Time
	keyID string
	sum   []byte
}

// parseSignature reads "t=<Unix ms>;keyId=<id>;sig=<base64>". Base64 ends in "=", so
// that each part is cut at its first one only.
func parseSignature(values []string) (s webhookSignature, ok bool) {
	if len(values) != 1 {
		return s, false
	}
	given := map[string]string{}
	for part := range strings.SplitSeq(values[0], ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if _, twice := given[name]; twice {
			return s, false
		}
		given[name] = value
	}
	ms, err := strconv.ParseUint(given["t"], 10, 53)
	if err != nil {
		return s, false
	}
	s.time, s.at, s.keyID = given["t"], time.UnixMilli(int64(ms)), given["keyId"]
	s.sum, err = base64.StdEncoding.DecodeString(given["sig"])
	return s, err == nil && len(s.sum) == sha256.Size
}
