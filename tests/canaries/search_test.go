package canaries

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// needle is one text that must be nowhere.
type needle struct{ what, text string }

// needles are all forms of all numbers, and the code that is too long.
var needles = sync.OnceValue(func() []needle {
	var out []needle
	for _, number := range append(canaries(), longCode) {
		for _, f := range formsOf(number) {
			out = append(out, needle{number + " " + f.name, f.text})
		}
	}
	return out
})

// namedCode is a security code by its name, in JSON or another notation.
var namedCode = regexp.MustCompile(`(?i)"?(cvc|cvv|cvn|security_?code|verification_?value)"?\s*[:=]\s*"?[0-9]{3,4}\b`)

// byStart are the needles by their first two bytes, so that one pass over a text looks
// for all of them.
var byStart = sync.OnceValue(func() *[1 << 16][]int {
	var out [1 << 16][]int
	for i, n := range needles() {
		at := int(n.text[0])<<8 | int(n.text[1])
		out[at] = append(out[at], i)
	}
	return &out
})

// found are the needles that a text holds, each with what stands around it.
func found(text []byte) []string {
	all, starts := needles(), byStart()
	seen := make([]bool, len(all))
	var out []string
	for at := 0; at+1 < len(text); at++ {
		for _, i := range starts[int(text[at])<<8|int(text[at+1])] {
			if n := all[i]; !seen[i] && len(text)-at >= len(n.text) && string(text[at:at+len(n.text)]) == n.text {
				seen[i] = true
				out = append(out, fmt.Sprintf("%s, in %q", n.what, text[max(0, at-60):min(len(text), at+len(n.text)+40)]))
			}
		}
	}
	if m := namedCode.Find(text); m != nil {
		out = append(out, fmt.Sprintf("a security code, as %q", m))
	}
	if n, most := codes(text); n > most {
		out = append(out, fmt.Sprintf("%s %d times by itself: any other four digits at most %d times", securityCode, n, most))
	}
	return out
}

// alone are four digits that are no part of a longer number or word.
var alone = regexp.MustCompile(`\b[0-9]{4}\b`)

// codes counts how often the security code stands by itself, and how often chance could
// put it there: a few times more than the most frequent of many other four digits. It
// was sent some thousand times, so that a way out that it had would show.
func codes(text []byte) (n, most int) {
	seen := map[string]int{}
	for _, m := range alone.FindAll(text, -1) {
		seen[string(m)]++
	}
	for other := 7300; other < 7500; other++ {
		if s := strconv.Itoa(other); s != securityCode {
			most = max(most, seen[s])
		}
	}
	return seen[securityCode], most + 3
}

// sinks are everything that a gateway left behind, by name.
type sinks map[string][]byte

// clean fails for each number in each sink.
func (s sinks) clean(t *testing.T) {
	t.Helper()
	for name, text := range s {
		for _, hit := range found(text) {
			t.Errorf("%s has %s", name, hit)
		}
	}
}

// seesWhatIsPlanted plants every form of every number in every sink, each at a place
// of its own, and all of them are found: the search is not blind, however large or odd a
// sink is.
func (s sinks) seesWhatIsPlanted(t *testing.T) (planted int) {
	t.Helper()
	all := needles()
	for name, text := range s {
		var b bytes.Buffer
		for i, n := range all {
			b.Write(text[len(text)*i/len(all) : len(text)*(i+1)/len(all)])
			b.WriteByte('\n')
			b.WriteString(n.text)
			b.WriteByte('\n')
		}
		hits := found(b.Bytes())
		for _, n := range all {
			require.True(t, slices.ContainsFunc(hits, func(h string) bool { return strings.HasPrefix(h, n.what+", in ") }), "%s in %s", n.what, name)
			planted++
		}
		for _, code := range []string{`"cvc":"` + securityCode + `"`, "cvv=123", strings.Repeat(" "+securityCode+",", 1000)} {
			require.NotEmpty(t, found(slices.Concat(text[max(0, len(text)-1<<16):], []byte(code))), "%.8s in %s", code, name)
			planted++
		}
	}
	return planted
}

// What is encoded by the libraries that would do it is found, whatever is around it.
func TestTheSearchFindsEveryForm(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for _, number := range canaries() {
		for name, text := range written(number, r) {
			hits := found([]byte("before " + text + " after"))
			require.NotEmpty(t, hits, "%s %s: %s", number, name, text)
			require.True(t, slices.ContainsFunc(hits, func(h string) bool { return strings.HasPrefix(h, number) }), "%v", hits)
		}
	}
	for _, text := range []string{`{"cvc":"123"}`, `cvv: 1234`, strings.Repeat("x 7391 y", 4), longCode, `"verificationValue":"7391"`} {
		require.NotEmpty(t, found([]byte(text)), text)
	}
	for _, text := range []string{"", "411111******1111", `{"bin":"411111","last4":"1111"}`, "1732190000000123456", `"cvc":null`, "the code 7391, once"} {
		require.Empty(t, found([]byte(text)), text)
	}
}
