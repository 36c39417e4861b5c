// Package memvaulttest is memvault's harness for the conformance suite. A real
// provider's stands in its test file; this one is shared with the suite's own tests.
package memvaulttest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/adaptertest"
	"github.com/polyvault/polyvault/adapters/adaptertest/memvault"
	"github.com/polyvault/polyvault/adapters/standin"
	"github.com/polyvault/polyvault/normalize"
)

const (
	apiKey   = "mv_key_0123456789abcdef"
	customer = "cus_1"
)

// NewHarness implements [adaptertest.New].
func NewHarness(tb testing.TB) adaptertest.Harness {
	tb.Helper()
	vault := memvault.NewVault(apiKey)
	vault.AddCustomer(customer)
	return adaptertest.Harness{
		Standin: standin.New(vault),
		Open: func(tb testing.TB, base string) adapters.Adapter {
			tb.Helper()
			return open(tb, base, apiKey, adapters.NewHTTPClient(adapters.ClientOptions{}))
		},
		OpenWith: func(tb testing.TB, base string, hc *http.Client) adapters.Adapter {
			tb.Helper()
			return open(tb, base, apiKey, hc)
		},
		OpenBadCredentials: func(tb testing.TB, base string) adapters.Adapter {
			tb.Helper()
			return open(tb, base, "wrong", adapters.NewHTTPClient(adapters.ClientOptions{}))
		},
		Customer: customer,
		Source: func(_ testing.TB, n int) normalize.Source {
			return normalize.Source{Type: normalize.SourceCard, Card: &normalize.CardSource{
				Number: normalize.NewSecret(adaptertest.CardNumber(n)), ExpMonth: 12, ExpYear: 2098, CVC: normalize.NewSecret("123"), HolderName: "José O'Brien",
			}}
		},
		Missing:      normalize.References{"card": "card_999999"},
		CreateMethod: http.MethodPost,
		CreatePath:   "/customers/*/cards",
		ErrorBody:    func(status int) string { return fmt.Sprintf(`{"error":{"code":"refused_%d","message":"no"}}`, status) },
		Odd: func(w http.ResponseWriter, r *http.Request) {
			card := `{"id":"card_1","customer":"cus_1","state":"dreaming","scheme":"stardust","new":{"member":[1]},"month":1,"year":2090}`
			if strings.HasSuffix(r.URL.Path, "/cards") {
				card = `{"cards":[` + card + `,null],"next":"","total":2,"more":true}`
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, card)
		},
		Secrets:               []string{apiKey},
		DedupesCreate:         true,
		LimitsBeforeExecution: true,
	}
}

func open(tb testing.TB, base, key string, hc *http.Client) adapters.Adapter {
	tb.Helper()
	conf := memvault.Config{URL: base, APIKey: normalize.NewSecret(key)}
	require.Empty(tb, conf.Validate())
	a, err := conf.Open(adapters.Env{HTTP: hc})
	require.NoError(tb, err)
	return a
}
