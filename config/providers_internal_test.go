package config

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/adaptertest/memvault"
)

// What a fourth provider type adds to this package is one line of providerTypes.
// From it come the decoding of its entries and their part of the schema.
func TestAProviderTypeIsOneLine(t *testing.T) {
	t.Parallel()
	entry := typeOf[memvault.Config]()
	c, err := entry.decode([]byte(`{"base_url":"https://api.memvault.example","api_key":"secret"}`))
	require.NoError(t, err)
	require.Empty(t, c.Validate())
	require.Equal(t, "https://api.memvault.example", c.BaseURL())
	names := make([]string, 0, len(entry.fields))
	for _, f := range entry.fields {
		names = append(names, f.name)
	}
	require.ElementsMatch(t, []string{"base_url", "api_key"}, names)
}
