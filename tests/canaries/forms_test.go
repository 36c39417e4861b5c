package canaries

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// canaries are card numbers that schemes and processors publish for tests: of every
// length and brand that is in use.
func canaries() []string {
	return []string{
		"4111111111111111", "4242424242424242", "4012888888881881", "4000056655665556", "4222222222222",
		"5555555555554444", "5105105105105100", "5200828282828210", "2223003122003222",
		"378282246310005", "371449635398431", "378734493671000",
		"6011111111111117", "6011000990139424",
		"30569309025904", "38520000023237",
		"3530111333300000", "3566002020360505",
		"6200000000000005", "6304000000000000000",
	}
}

// The security codes are sent with every card. securityCode has a valid form, and is
// looked for by how often it stands alone; longCode is refused, and no chance makes it.
const (
	securityCode = "7391"
	longCode     = "7391739173917391739"
)

// form is a way in which a card number can be written down.
type form struct{ name, text string }

// formsOf are the ways in which one number is looked for. Base64 has three of each
// text: what comes before it shifts it by no, one or two bytes.
func formsOf(number string) []form {
	written := []form{{"plain", number}}
	for name, sep := range map[string]string{"spaced": " ", "dashed": "-", "dotted": ".", "underscored": "_", "with hard spaces": "\u00a0"} {
		written = append(written, form{name, grouped(number, sep)})
	}
	if len(number) == 15 { // as American Express prints it
		written = append(written, form{"spaced 4-6-5", number[:4] + " " + number[4:10] + " " + number[10:]}, form{"dashed 4-6-5", number[:4] + "-" + number[4:10] + "-" + number[10:]})
	}
	var out []form
	for _, w := range written {
		out = append(out, w)
		for shift := range 3 {
			out = append(out,
				form{fmt.Sprintf("%s, base64 shifted by %d", w.name, shift), encoded(base64.StdEncoding, w.text, shift)},
				form{fmt.Sprintf("%s, base64 for URLs shifted by %d", w.name, shift), encoded(base64.URLEncoding, w.text, shift)})
		}
		if escaped := url.QueryEscape(w.text); escaped != w.text {
			out = append(out, form{w.name + ", in a query", escaped}, form{w.name + ", in a path", url.PathEscape(w.text)})
		}
	}
	percent, unicode, wide := &strings.Builder{}, &strings.Builder{}, &strings.Builder{}
	for _, d := range []byte(number) {
		fmt.Fprintf(percent, "%%%X", d)
		fmt.Fprintf(unicode, `\u%04x`, d)
		wide.WriteRune('０' + rune(d-'0'))
	}
	out = append(out, form{"hex", hex.EncodeToString([]byte(number))}, form{"percent", percent.String()}, form{"escaped", unicode.String()}, form{"full width", wide.String()})
	// Different alphabets often write the same.
	slices.SortFunc(out, func(a, b form) int { return strings.Compare(a.text, b.text) })
	return slices.CompactFunc(out, func(a, b form) bool { return a.text == b.text })
}

// encoded is the part of text's base64 that does not depend on its neighbours, if
// shift bytes come before it.
func encoded(e *base64.Encoding, text string, shift int) string {
	all := e.WithPadding(base64.NoPadding).EncodeToString([]byte(strings.Repeat("\x00", shift) + text))
	first := (shift*8 + 5) / 6 // a character that also holds bits of what comes before
	last := len(all)
	if (shift+len(text))%3 != 0 {
		last-- // it also holds bits of what comes after
	}
	return all[first:last]
}

func grouped(number, sep string) string {
	var groups []string
	for group := range slices.Chunk([]byte(number), 4) {
		groups = append(groups, string(group))
	}
	return strings.Join(groups, sep)
}
