package rebilly

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"time"
)

// cursor says where a list goes on. Up to Rebilly's largest offset it counts
// rows. From there on it asks for what was created no earlier (in descending
// order: no later) than the last row, and leaves out the rows with that very
// time that were shown already. Times have whole seconds at Rebilly, so rows
// that share one are common.
type cursor struct {
	Offset int    `json:"o,omitempty"` // rows to skip; after After, within its range
	After  string `json:"a,omitempty"` // RFC 3339; set past the largest offset only
	Total  int    `json:"n,omitempty"` // of the whole list, set with After; -1 if it was not told
	// Seen are marks of the rows at the boundary on the page before.
	Seen []string `json:"s,omitempty"`
	// Last and Ties are kept before the largest offset is reached: the last row's
	// time, and how many rows in a row had it, over all pages.
	Last string `json:"l,omitempty"`
	Ties int    `json:"t,omitempty"`
}

// maxCursor bounds what is decoded: 1000 marks need some 20 kB.
const maxCursor = 32 << 10

func (c cursor) encode() string {
	b, err := json.Marshal(c)
	if err != nil {
		return "" // cannot happen: it is made of integers and strings
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// decodeCursor reads what encode made; it reports false for anything else.
func decodeCursor(s string) (cursor, bool) {
	if s == "" {
		return cursor{}, true
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(s) > maxCursor {
		return cursor{}, false
	}
	var c cursor
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if d.Decode(&c) != nil || d.More() {
		return cursor{}, false
	}
	ok := c.Offset >= 0 && c.Ties >= 0 && c.Total >= -1 && len(c.Seen) <= maxLimit &&
		(c.After == "" || !text(c.After).time().IsZero())
	return c, ok && (c.Offset > 0 || c.After != "")
}

// mark stands for an id in a cursor.
func mark(id string) string {
	sum := sha256.Sum256([]byte(id))
	return base64.RawURLEncoding.EncodeToString(sum[:8])
}

func (c cursor) saw(id string) bool { return len(c.Seen) > 0 && slices.Contains(c.Seen, mark(id)) }

// next returns the cursor behind rows, the whole page that c led to, which is
// not empty. by is the first sort key.
func (c cursor) next(rows []wireInstrument, total int, by string) cursor {
	last := rows[len(rows)-1].CreatedTime.time()
	ties := 0
	for ties < len(rows) && rows[len(rows)-1-ties].CreatedTime.time().Equal(last) {
		ties++
	}
	at := last.Format(time.RFC3339Nano)
	if c.After != "" {
		if at == c.After { // a whole page of one second: count through it
			return cursor{Offset: c.Offset + len(rows), After: c.After, Total: c.Total}
		}
		return cursor{After: at, Total: c.Total, Seen: marks(rows[len(rows)-ties:])}
	}
	all := ties // with those on the pages before
	if ties == len(rows) && c.Last == at {
		all += c.Ties
	}
	offset := c.Offset + len(rows)
	if offset <= maxOffset || last.IsZero() || by != "created_at" && by != "-created_at" {
		return cursor{Offset: offset, Last: at, Ties: all}
	}
	return cursor{Offset: all - ties, After: at, Total: total, Seen: marks(rows[len(rows)-ties:])}
}

func marks(rows []wireInstrument) []string {
	out := make([]string, 0, len(rows))
	for _, w := range rows {
		out = append(out, mark(string(w.ID)))
	}
	return out
}
