package audit

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/polyvault/polyvault/normalize"
)

// Entry is what is told of one action. Empty members are left out of the line. It never
// holds a body, card data, a provider's reference, a key or an e-mail address.
type Entry struct {
	Time       time.Time `json:"time"` // when it was answered; Append fills it in
	Action     string    `json:"action"`
	Tenant     string    `json:"tenant,omitempty"`
	APIKey     string    `json:"api_key,omitempty"` // its name
	Address    string    `json:"address,omitempty"` // the caller's
	RequestID  string    `json:"request_id,omitempty"`
	Item       int       `json:"item,omitempty"` // of a bulk request, from 1
	Instrument string    `json:"instrument_id,omitempty"`
	// Instruments are those that a list showed.
	Instruments []string `json:"instruments,omitempty"`
	Customer    string   `json:"customer_id,omitempty"`
	Operation   string   `json:"operation_id,omitempty"`
	Event       string   `json:"event_id,omitempty"`
	Provider    string   `json:"provider,omitempty"`
	Status      int      `json:"status,omitempty"`
	Code        string   `json:"code,omitempty"`
	Outcome     string   `json:"outcome,omitempty"`
	Replayed    bool     `json:"replayed,omitempty"` // the answer to an earlier request was given again
	Generation  int64    `json:"generation,omitempty"`
	Digest      string   `json:"digest,omitempty"`  // of the configuration, without its secrets
	Changed     []string `json:"changed,omitempty"` // keys of the configuration
	Count       uint64   `json:"count,omitempty"`
	Detail      string   `json:"detail,omitempty"`
}

// The actions of the log itself.
const (
	actionFile = "audit.file" // a file begins
	actionKey  = "audit.key"  // another reference key from here on
	actionTorn = "audit.torn" // what a crash left was cut off; the count is in bytes
	actionLost = "audit.lost" // as many entries could not be written
)

// hidden stands for text that must not be in the log.
const hidden = "[redacted]"

// maxDetail bounds an entry's free text, in bytes.
const maxDetail = 512

// line is an entry as it stands in a file, without prev and hash.
type line struct {
	Entry
	Seq     uint64 `json:"seq"`
	Gateway string `json:"gateway"`
	Chain   string `json:"chain,omitempty"` // of audit.file and audit.key
	Key     string `json:"key,omitempty"`   // the id of the reference key: of the same
}

// appendTo writes the line up to where prev follows. Members that a caller may have
// chosen are hidden if they hold what looks like a card number, whoever made the entry.
func (l *line) appendTo(b []byte) []byte {
	b = strconv.AppendUint(append(b, `{"seq":`...), l.Seq, 10)
	b = append(l.Time.UTC().AppendFormat(append(b, `,"time":"`...), time.RFC3339Nano), '"')
	b = appendText(b, "gateway", l.Gateway)
	b = appendText(b, "action", l.Action)
	b = appendText(b, "chain", l.Chain)
	b = appendText(b, "key", l.Key)
	b = appendText(b, "tenant", l.Tenant)
	b = appendText(b, "api_key", l.APIKey)
	b = appendText(b, "address", l.Address)
	b = appendText(b, "request_id", safe(l.RequestID))
	b = appendNumber(b, "item", uint64(max(l.Item, 0)))
	b = appendText(b, "instrument_id", safe(l.Instrument))
	b = appendTexts(b, "instruments", l.Instruments)
	b = appendText(b, "customer_id", safe(l.Customer))
	b = appendText(b, "operation_id", safe(l.Operation))
	b = appendText(b, "event_id", safe(l.Event))
	b = appendText(b, "provider", safe(l.Provider))
	b = appendNumber(b, "status", uint64(max(l.Status, 0)))
	b = appendText(b, "code", l.Code)
	b = appendText(b, "outcome", l.Outcome)
	if l.Replayed {
		b = append(b, `,"replayed":true`...)
	}
	b = appendNumber(b, "generation", uint64(max(l.Generation, 0)))
	b = appendText(b, "digest", l.Digest)
	b = appendTexts(b, "changed", l.Changed)
	b = appendNumber(b, "count", l.Count)
	return appendText(b, "detail", safe(cut(l.Detail, maxDetail)))
}

// safe hides what looks like a card number, and e-mail addresses.
func safe(s string) string {
	// Most text is an id, in which letters stand between the digits: a short look spares
	// it the long one.
	digits, long := 0, false
	for i := range len(s) {
		switch c := s[i]; {
		case c == '@':
			return hidden
		case c >= '0' && c <= '9':
			digits++
			long = long || digits >= 12
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			digits = 0
		case c >= utf8.RuneSelf:
			long = true // digits have other forms
		}
	}
	if long && normalize.ContainsCardNumber(s) {
		return hidden
	}
	return s
}

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func appendText(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendString(appendName(b, name), value)
}

func appendTexts(b []byte, name string, values []string) []byte {
	if len(values) == 0 {
		return b
	}
	b = append(appendName(b, name), '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, safe(v))
	}
	return append(b, ']')
}

func appendNumber(b []byte, name string, n uint64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendUint(appendName(b, name), n, 10)
}

func appendName(b []byte, name string) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	return append(b, '"', ':')
}

// appendString writes a JSON string. What is not plain ASCII is rare, and left to the
// library.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			if quoted, err := json.Marshal(s); err == nil { // it never fails for a string
				return append(b, quoted...)
			}
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
