package arrows

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

// published are the numbers in this repository that have a valid check digit: card
// numbers that schemes and processors publish for tests, which no bank gives out, and a
// few that are no card numbers, since no scheme's numbers begin like them.
func published() []string {
	return []string{
		// Visa
		"4111111111111111", "4242424242424242", "4012888888881881", "4000056655665556", "4222222222222", "4000000000000002", "4917610000000000",
		// Mastercard and Maestro
		"5555555555554444", "5105105105105100", "5200828282828210", "2223003122003222", "6304000000000000000", "6759649826438453",
		// American Express, Discover, Diners, JCB, UnionPay
		"378282246310005", "371449635398431", "378734493671000", "6011111111111117", "6011000990139424", "30569309025904", "38520000023237", "36227206271667",
		"3530111333300000", "3566002020360505", "6200000000000005",
		// Elo, Dankort, Hipercard
		"5066991111111118", "5019717010103742", "6062826786276634",
		// No card: a token of CyberSource's own, what has no issuer, and what lies below the smallest 64-bit integer.
		"7010000000016241111", "9999999999999995", "9223372036854775809",
	}
}

// digits are runs of digits, by themselves or in groups. One that is part of a longer run
// is no card number.
var digits = regexp.MustCompile(`[0-9](?:[ -]?[0-9]){12,}`)

// Whatever is in this repository and could be a card number is one that was published
// for tests.
func TestOnlyPublishedCardNumbers(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, n := range published() {
		require.True(t, normalize.Luhn(n), n)
		known[n] = true
	}
	files, numbers := 0, 0
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() {
			if name == ".git" || name == "bin" || name == "node_modules" {
				return filepath.SkipDir
			}
			return nil
		} else if name == "go.sum" || name == "go.mod" || name == "package-lock.json" {
			return nil // versions that are times
		}
		text, err := os.ReadFile(path)
		if err != nil || bytes.IndexByte(text, 0) >= 0 {
			return err // a program or an archive
		}
		files++
		for _, run := range digits.FindAll(text, -1) {
			for _, n := range cardLike(string(run)) {
				numbers++
				if !known[n] {
					t.Errorf("%s: %s… ends in %s, has a valid check digit and is not on the list of published test numbers", path, n[:4], n[len(n)-4:])
				}
			}
		}
		return nil
	}))
	require.Greater(t, files, 400)
	require.Greater(t, numbers, 200)
}

// cardLike are the numbers with a valid check digit in a run of digits: each of its
// groups that is as long as a card number is, or all of them together, if they are as
// short as people write them. Zeroes are no number.
func cardLike(run string) []string {
	groups := strings.FieldsFunc(run, func(r rune) bool { return r == ' ' || r == '-' })
	if len(groups) > 1 && !slices.ContainsFunc(groups, func(g string) bool { return len(g) < 3 || len(g) > 6 }) {
		groups = append(groups, strings.Join(groups, ""))
	}
	return slices.DeleteFunc(groups, func(n string) bool {
		return len(n) < 13 || len(n) > 19 || !normalize.Luhn(n) || strings.Trim(n, "0") == ""
	})
}
