package canaries

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
)

// written is a number as programs write it down, by means that have nothing to do with
// how it is looked for.
func written(number string, r *rand.Rand) map[string]string {
	out := map[string]string{
		"plain": number, "spaced": grouped(number, " "), "dashed": grouped(number, "-"), "hex": hex.EncodeToString([]byte(number)),
		"query": url.Values{"q": {grouped(number, " ")}}.Encode(), "path": (&url.URL{Path: grouped(number, " ")}).String(),
		"JSON": fmt.Sprintf(`{"metadata":{"k":%q}}`, number), "quoted": fmt.Sprintf("%q", grouped(number, "\u00a0")),
	}
	if strings.Contains(out["quoted"], `\u`) {
		delete(out, "quoted")
	}
	for before := range 6 {
		for after := range 3 {
			text := letters(r, before) + number + letters(r, after)
			name := fmt.Sprintf("base64 after %d before %d", before, after)
			out[name] = base64.StdEncoding.EncodeToString([]byte(text))
			out["raw "+name] = base64.RawURLEncoding.EncodeToString([]byte(text))
			out["spaced "+name] = base64.StdEncoding.EncodeToString([]byte(letters(r, before) + grouped(number, " ") + letters(r, after)))
		}
	}
	return out
}

func letters(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + r.IntN(26))
	}
	return string(b)
}
