// Package fourth shows what a new provider type costs: memvault is one folder
// (adapters/adaptertest/memvault), and with the one line that config/providers.go
// would have for it, a gateway over it goes through the whole life cycle, by HTTP
// and with the typed client.
package fourth

import (
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/adaptertest/memvault/memvaulttest"
	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/boltstore"
	"github.com/polyvault/polyvault/gateway/client"
	"github.com/polyvault/polyvault/gateway/httpapi"
)

func TestAGatewayOverAFourthProvider(t *testing.T) {
	t.Parallel()
	harness := memvaulttest.NewHarness(t)
	vault := httptest.NewServer(harness.Standin)
	t.Cleanup(vault.Close)
	c := newClient(t, gateway.ProviderConfig{Name: "memory", Adapter: harness.Open(t, vault.URL)})
	ctx := t.Context()

	in := client.CreateInstrument{
		CustomerID: "cus-1",
		Sources:    []client.Source{client.FromCard(client.CardSource{Number: "4111111111111111", ExpMonth: 12, ExpYear: 2098})},
	}
	first, err := c.Create(ctx, in, "order-1")
	require.NoError(t, err)
	require.Equal(t, "memory", first.Provider)
	replayed, err := c.Create(ctx, in, "order-1")
	require.NoError(t, err)
	require.True(t, replayed.Replayed)
	same, err := c.Create(ctx, in, "order-2")
	require.NoError(t, err)
	require.True(t, same.Deduplicated)
	require.Equal(t, first.Instrument.ID, same.Instrument.ID, "the same card of the same customer is one instrument")

	id := first.Instrument.ID
	read, err := c.Get(ctx, id, client.GetOptions{})
	require.NoError(t, err)
	unchanged, err := c.Get(ctx, id, client.GetOptions{IfNoneMatch: read.ETag})
	require.NoError(t, err)
	require.True(t, unchanged.NotModified)
	changed, err := c.Update(ctx, id, client.Update{Card: &client.Expiry{Month: 6, Year: 2097}}, read.ETag)
	require.NoError(t, err)
	require.Equal(t, 6, changed.Instrument.Card.ExpMonth)
	_, err = c.Update(ctx, id, client.Update{Default: true}, read.ETag)
	require.ErrorContains(t, err, "version_mismatch")
	made, err := c.Update(ctx, id, client.Update{Default: true}, "")
	require.NoError(t, err)
	require.True(t, made.Instrument.Default)

	page, err := c.CustomerPage(ctx, "cus-1", client.ListCustomerInstrumentsParams{})
	require.NoError(t, err)
	require.Len(t, page.Data, 1)
	off, err := c.Deactivate(ctx, id)
	require.NoError(t, err)
	require.Equal(t, client.InstrumentStatusDeactivated, off.Instrument.Status, "held by the gateway: memvault cannot")
	require.NoError(t, c.Delete(ctx, id, ""))
	_, err = c.Get(ctx, id, client.GetOptions{})
	require.ErrorContains(t, err, "instrument_deleted")
}

// newClient serves a gateway with one provider, and returns a client of it.
func newClient(t *testing.T, p gateway.ProviderConfig) *client.Client {
	t.Helper()
	store, err := boltstore.Open(boltstore.Config{Path: filepath.Join(t.TempDir(), "polyvault.db")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	service, err := gateway.New(gateway.Config{
		Store: store, Owner: "test", Keys: gateway.Keys{{ID: "k1", Secret: make([]byte, 32)}},
		Providers: []gateway.ProviderConfig{p},
		Routes:    []gateway.Route{{Name: "all", Providers: []string{p.Name}}},
		Tenants:   []gateway.Tenant{{Name: "acme", AcceptRawCard: true}},
	})
	require.NoError(t, err)
	key, err := httpapi.NewAPIKey("test")
	require.NoError(t, err)
	api, err := httpapi.New(httpapi.Config{
		Service: service,
		Keys:    []httpapi.APIKey{{Tenant: "acme", Name: "test", SHA256: httpapi.DigestAPIKey(key), Scopes: httpapi.Scopes()}},
	})
	require.NoError(t, err)
	server := httptest.NewServer(api.Handler())
	t.Cleanup(server.Close)
	c, err := client.New(server.URL, key, client.Options{})
	require.NoError(t, err)
	return c
}
