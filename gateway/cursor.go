package gateway

import (
	"crypto/hmac"
	"encoding/base64"

	"github.com/polyvault/polyvault/normalize"
)

const cursorMAC = 8

// cursor writes a place in a list so that it can only be used to go on with the
// same list: context is what the list was asked with.
func (s *Service) cursor(place string, context ...string) string {
	mac := s.current().mac(append([]string{"cursor", place}, context...)...)[:cursorMAC]
	return base64.RawURLEncoding.EncodeToString(append(mac, place...))
}

// place reads a cursor; "" for the empty one, which is the start.
func (s *Service) place(cursor string, context ...string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil && len(raw) > cursorMAC {
		place := string(raw[cursorMAC:])
		for _, key := range s.keys {
			if hmac.Equal(raw[:cursorMAC], key.mac(append([]string{"cursor", place}, context...)...)[:cursorMAC]) {
				return place, nil
			}
		}
	}
	return "", &normalize.Error{
		Code: normalize.InvalidCursor, Outcome: normalize.NotSent, Op: "list",
		Msg: "the cursor does not belong to this list: start again without it",
	}
}
