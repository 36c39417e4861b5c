package arrows

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/bigcommerce"
	"github.com/polyvault/polyvault/adapters/cybersource"
	"github.com/polyvault/polyvault/adapters/rebilly"
)

// The README's capability table says what the adapters' method sets say.
func TestReadmeCapabilities(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, table, ok := strings.Cut(string(readme), "| capability | cybersource | rebilly | bigcommerce |\n")
	require.True(t, ok, "the README has no capability table")
	table, _, _ = strings.Cut(table, "\n\n")
	columns := []adapters.Adapter{&cybersource.Adapter{}, &rebilly.Adapter{}, &bigcommerce.Adapter{}}
	var rows []string
	for _, line := range strings.Split(table, "\n")[1:] {
		cells := strings.Split(strings.Trim(line, "| "), "|")
		require.Len(t, cells, 4, line)
		name := adapters.Capability(strings.TrimSpace(cells[0]))
		rows = append(rows, string(name))
		for i, a := range columns {
			want := "no"
			if slices.Contains(adapters.Capabilities(a), name) {
				want = "yes"
			}
			require.Equal(t, want, strings.TrimSpace(cells[i+1]), "%s of %T", name, a)
		}
	}
	for _, a := range columns {
		for _, c := range adapters.Capabilities(a) {
			require.Contains(t, rows, string(c), "the README leaves a capability out")
		}
	}
}
