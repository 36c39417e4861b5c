package httpapi

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/polyvault/polyvault/normalize"
)

// maxIdempotencyKey is the length of an idempotency key, in characters.
const maxIdempotencyKey = 255

// checkHeaders refuses what the operation cannot read, and makes of a list that
// came as several headers the one that the generated code expects (RFC 9110, 5.3).
func checkHeaders(h http.Header, op operation) error {
	for _, name := range []string{"If-Match", "If-None-Match"} {
		if values := h.Values(name); len(values) > 1 {
			h.Set(name, strings.Join(values, ", "))
		}
	}
	if !op.keyHeader {
		return nil
	}
	_, err := optionalKey(h)
	return err
}

const idempotencyHeader = "Idempotency-Key"

// idempotencyKey reads the header of a create.
func idempotencyKey(h http.Header) (string, error) {
	if len(h.Values(idempotencyHeader)) == 0 {
		return "", &normalize.Error{
			Code: normalize.IdempotencyKeyMissing, Outcome: normalize.NotSent, Msg: "send an Idempotency-Key header",
		}
	}
	return optionalKey(h)
}

// optionalKey reads the header of a change; "" if there is none.
func optionalKey(h http.Header) (string, error) {
	values := h.Values(idempotencyHeader)
	switch {
	case len(values) == 0:
		return "", nil
	case len(values) > 1:
		return "", invalidKey("send one Idempotency-Key header")
	}
	key, ok := parseIdempotencyKey(values[0])
	if !ok {
		return "", invalidKey("the idempotency key must be 1 to 255 visible ASCII characters, bare or as a quoted string")
	}
	return key, nil
}

func invalidKey(msg string) error {
	return &normalize.Error{Code: normalize.IdempotencyKeyInvalid, Outcome: normalize.NotSent, Msg: msg}
}

// parseIdempotencyKey reads a key that is bare or an RFC 8941 string: quoted, with
// \" and \\ as its only escapes. Both forms of the same key are the same key.
func parseIdempotencyKey(s string) (string, bool) {
	if quoted, ok := strings.CutPrefix(s, `"`); ok {
		if s, ok = unquote(quoted); !ok {
			return "", false
		}
	}
	if s == "" || len(s) > maxIdempotencyKey {
		return "", false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return "", false
		}
	}
	return s, true
}

// unquote reads up to the closing quote, which must be the end.
func unquote(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), i == len(s)-1
		case '\\':
			if i++; i == len(s) || s[i] != '"' && s[i] != '\\' {
				return "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", false
}

var entityTag = regexp.MustCompile(`^(W/)?"[\x21\x23-\x7e\x80-\xff]*"$`)

// entityTags reads a list of entity tags. It may not be empty; "*" stands alone.
func entityTags(h http.Header, name string) (tags []string, present, ok bool) {
	values := h.Values(name)
	if len(values) == 0 {
		return nil, false, true
	}
	list := strings.TrimSpace(strings.Join(values, ","))
	if list == "*" {
		return []string{"*"}, true, true
	}
	// A comma within a tag would split it; the gateway makes no such tags.
	for tag := range strings.SplitSeq(list, ",") {
		if tag = strings.TrimSpace(tag); tag == "" {
			continue // RFC 9110, 5.6.1: empty elements of a list are ignored
		}
		if !entityTag.MatchString(tag) {
			return nil, true, false
		}
		tags = append(tags, tag)
	}
	return tags, true, len(tags) > 0
}

// ifMatch reads the tags that an instrument must still have, as a list; "" for none.
// Weak tags stay in it: they never match, as a strong comparison asks.
func ifMatch(h http.Header) (string, error) {
	tags, present, ok := entityTags(h, "If-Match")
	if !present {
		return "", nil
	}
	if !ok {
		return "", normalize.Invalid(normalize.FieldError{
			Code: normalize.InvalidField, Message: `header "If-Match" must be entity tags in double quotes, or *`,
		})
	}
	return strings.Join(tags, ", "), nil
}

// notModified reports whether If-None-Match names the tag, by weak comparison. A
// header that cannot be read matches nothing: the caller gets the instrument.
func notModified(h http.Header, etag string) bool {
	tags, present, ok := entityTags(h, "If-None-Match")
	if !present || !ok {
		return false
	}
	for _, tag := range tags {
		if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
	}
	return false
}
