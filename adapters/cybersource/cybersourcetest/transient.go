package cybersourcetest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"
)

// TransientCard describes the card behind a transient token. Empty members take
// those of a Visa test card.
type TransientCard struct {
	BIN      string    // 6 digits; default "411111"
	Last4    string    // 4 digits; default "1111"
	ExpMonth string    // "MM"; default "12"
	ExpYear  string    // "YYYY"; default "2031"
	Type     string    // three digits; default "001"
	Expires  time.Time // of the token; zero for never
}

// MintTransientToken makes a transient token as a checkout page would get one. It
// has the form of a JWT whose payload describes the card under "data" and names
// itself under "jti". The stand-in does not verify its signature, which is a real
// token's business between the page and the provider; it takes any string of that
// form, once, and fills in what "data" leaves out.
func MintTransientToken(c TransientCard) string {
	or := func(s, def string) string {
		if s == "" {
			return def
		}
		return s
	}
	payload := object{
		"iss": "Flex/08", "type": "mf-2.0.0", "jti": randomHex(32),
		"data": object{
			"number": or(c.BIN, "411111") + "XXXXXX" + or(c.Last4, "1111"), "type": or(c.Type, "001"),
			"expirationMonth": or(c.ExpMonth, "12"), "expirationYear": or(c.ExpYear, "2031"),
		},
	}
	if !c.Expires.IsZero() {
		payload["exp"] = c.Expires.Unix()
	}
	part := func(o object) string {
		b, _ := json.Marshal(o) // strings and numbers only: it cannot fail
		return base64.RawURLEncoding.EncodeToString(b)
	}
	signature := sha256.Sum256([]byte(randomHex(32)))
	return part(object{"alg": "RS256", "kid": "standin"}) + "." + part(payload) + "." + base64.RawURLEncoding.EncodeToString(signature[:])
}

// transient is what a transient token says.
type transient struct {
	id      string
	mask    string
	card    object // expiry and type, for the payment instrument
	expires time.Time
}

// readTransient reads a token; false if it has not the form of one.
func readTransient(token string) (transient, bool) {
	parts := strings.Split(token, ".")
	var p struct {
		ID      string `json:"jti"`
		Expires int64  `json:"exp"`
		Data    struct {
			Number string `json:"number"`
			Type   string `json:"type"`
			Month  string `json:"expirationMonth"`
			Year   string `json:"expirationYear"`
		} `json:"data"`
	}
	if len(parts) != 3 || !decodePart(parts[1], &p) {
		return transient{}, false
	}
	t := transient{id: p.ID, mask: p.Data.Number, card: object{
		"expirationMonth": "12", "expirationYear": "2031", "type": "001",
	}}
	if t.id == "" {
		sum := sha256.Sum256([]byte(token))
		t.id = hex.EncodeToString(sum[:])
	}
	if len(t.mask) < 12 || !strings.Contains(t.mask, "X") {
		t.mask = "411111XXXXXX1111"
	}
	if monthPattern.MatchString(p.Data.Month) && yearPattern.MatchString(p.Data.Year) {
		t.card["expirationMonth"], t.card["expirationYear"] = p.Data.Month, p.Data.Year
	}
	if typePattern.MatchString(p.Data.Type) {
		t.card["type"] = p.Data.Type
	}
	if p.Expires != 0 {
		t.expires = time.Unix(p.Expires, 0)
	}
	return t, true
}
