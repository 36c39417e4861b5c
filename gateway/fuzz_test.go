package gateway

import (
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

// FuzzCursor: no cursor that the gateway did not make for this very list is read.
func FuzzCursor(f *testing.F) {
	s := &Service{keys: Keys{{ID: "k2", Secret: make([]byte, 32)}, {ID: "k1", Secret: []byte("0123456789abcdef0123456789abcdef")}}}
	good := s.cursor("2026-11-20T10:00:00Z ins_1", "list", "acme")
	f.Add(good, "list", "acme")
	f.Add(good, "list", "other")
	f.Add(good[:len(good)-1], "list", "acme")
	f.Add("", "", "")
	f.Add(base64.RawURLEncoding.EncodeToString([]byte("12345678x")), "list", "acme")
	f.Fuzz(func(t *testing.T, cursor, kind, tenant string) {
		place, err := s.place(cursor, kind, tenant)
		switch {
		case err != nil:
			require.Equal(t, normalize.InvalidCursor, normalize.CodeOf(err))
		case cursor != "":
			// What was read is what would be written, by the key that it was written with.
			again := base64.RawURLEncoding.EncodeToString(append(s.keys[0].mac("cursor", place, kind, tenant)[:cursorMAC], place...))
			older := base64.RawURLEncoding.EncodeToString(append(s.keys[1].mac("cursor", place, kind, tenant)[:cursorMAC], place...))
			require.Contains(t, []string{again, older}, cursor)
		}
	})
}

// FuzzDecodeRecord: whatever lies in the store is read or refused, never a panic, and
// what was read is written and read again as the same.
func FuzzDecodeRecord(f *testing.F) {
	f.Add([]byte(`{"schema":1}`))
	f.Add(Record{Schema: schemaVersion, ID: "ins_00000000000000000000000000", Tenant: "acme"}.encode())
	f.Add([]byte(`{"schema":1,"attempts":[{"number":9}],"state":7}`))
	f.Add([]byte("\xff{"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRecord(b)
		if err != nil {
			require.ErrorIs(t, err, ErrStore)
			return
		}
		_, _, _ = r.live(), r.unfinished(), r.toStep()
		written := r.encode()
		again, err := decodeRecord(written)
		require.NoError(t, err, "%s", written)
		require.Equal(t, string(written), string(again.encode()))
	})
}
