package normalize_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

// A number stays a number in the digits of any script, whatever nobody sees between them,
// and however its groups are kept apart.
func TestANumberIsFoundInAnyScript(t *testing.T) {
	t.Parallel()
	const number = "4111111111111111"
	written := func(zero rune) string {
		return strings.Map(func(r rune) rune { return zero + r - '0' }, number)
	}
	for name, zero := range map[string]rune{
		"ASCII": '0', "full-width": '０', "Arabic": '٠', "Persian": '۰', "Devanagari": '०', "Bengali": '০', "Tamil": '௦', "Thai": '๐',
		"Tibetan": '༠', "Khmer": '០', "Mongolian": '᠐', "bold": '𝟎', "double-struck": '𝟘', "sans-serif": '𝟢', "monospace": '𝟶',
	} {
		require.True(t, normalize.ContainsCardNumber("x"+written(zero)+"x"), name)
	}
	for name, between := range map[string]string{
		"zero-width space": "\u200b", "zero-width joiner": "\u200d", "zero-width non-joiner": "\u200c", "word joiner": "\u2060", "soft hyphen": "\u00ad",
		"left-to-right mark": "\u200e", "isolate": "\u2066", "byte order mark": "\ufeff", "no-break space": "\u00a0", "thin space": "\u2009",
		"narrow no-break space": "\u202f", "ideographic space": "\u3000", "hyphen": "\u2010", "no-break hyphen": "\u2011", "figure dash": "\u2012",
		"en dash": "–", "em dash": "—", "full-width dash": "－", "space": " ", "dash": "-", "dot": ".", "underscore": "_", "dash between spaces": " -",
	} {
		require.True(t, normalize.ContainsCardNumber("4111"+between+"1111"+between+"1111"+between+"1111"), name)
	}
	for _, s := range []string{"4111x1111x1111x1111", "4111  -  1111  -  1111  -  1111", "4111111111111112", "٤١١١"} {
		require.False(t, normalize.ContainsCardNumber(s), s)
	}
}
