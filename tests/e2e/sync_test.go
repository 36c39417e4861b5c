package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/bigcommerce"
	"github.com/polyvault/polyvault/adapters/bigcommerce/bigcommercetest"
	"github.com/polyvault/polyvault/adapters/cybersource"
	"github.com/polyvault/polyvault/adapters/cybersource/cybersourcetest"
	"github.com/polyvault/polyvault/adapters/fault"
	"github.com/polyvault/polyvault/adapters/rebilly"
	"github.com/polyvault/polyvault/adapters/rebilly/rebillytest"
	"github.com/polyvault/polyvault/normalize"
)

// The providers of these tests.
const (
	cyb = "cybersource-us"
	reb = "rebilly-main"
	big = "bigcommerce-main"
)

// primaries are countries by the provider that a card from there is stored at; the
// other two mirror it.
func primaries() map[string]string { return map[string]string{cyb: "US", reb: "CA", big: "GB"} }

// startMirroring serves a gateway whose instruments live at all three providers.
func startMirroring(t *testing.T, s sandbox) gateway {
	t.Helper()
	g := gateway{}
	var digest string
	g.key, digest = apiKey("mirrored")
	listen := programs.FreePort(t)
	routes := ""
	for _, primary := range []string{cyb, reb, big} {
		mirrors := slices.DeleteFunc([]string{cyb, reb, big}, func(name string) bool { return name == primary })
		routes += fmt.Sprintf("  - {name: at-%s, match: {country: [%s]}, providers: [%s], mirrors: [%s]}\n",
			primary, primaries()[primary], primary, strings.Join(mirrors, ", "))
	}
	file := filepath.Join(t.TempDir(), "polyvault.yaml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `
listen: %s
admin_listen: %s
store: {bolt: {path: %s}}
keys: {reference: env:E2E_REFERENCE_KEY}
tenants:
  - name: acme
    accept_raw_card: true
    api_keys: [{name: all, sha256: %q, scopes: [%s]}]
providers:
  - {name: %s, type: cybersource, config: {base_url: "http://%s", merchant_id: testmerchant, key_id: %q, shared_secret: %q}}
  - {name: %s, type: rebilly, config: {base_url: "http://%s", organization_id: org_sandbox, api_key: %s}}
  - {name: %s, type: bigcommerce, charges: {currencies: [USD]}, config: {base_url: "http://%s", store_hash: %s, access_token: %s}}
routes:
%sreconcile: {interval: 100ms, settle: 100ms}
insecure_providers: true
log: {level: info, format: json}
`, listen, programs.FreePort(t), filepath.Join(t.TempDir(), "polyvault.db"), digest, allScopes,
		cyb, s.cybersource, cybersourcetest.DefaultKeyID, cybersourcetest.DefaultSharedSecret, reb, s.rebilly, rebillytest.SecretKey,
		big, s.bigcommerce, bigcommercetest.DefaultStoreHash, bigcommercetest.DefaultAccessToken, routes), 0o600))
	g.Process = programs.Polyvault(t, []string{"E2E_REFERENCE_KEY=" + newReferenceKey(t)}, "serve", "--config", file)
	g.url = "http://" + listen
	g.WaitFor(t, g.url+"/readyz")
	return g
}

// outOfBand are clients of the providers' own APIs, past the gateway.
func outOfBand(t *testing.T, s sandbox) map[string]adapters.Adapter {
	t.Helper()
	out := map[string]adapters.Adapter{}
	for name, c := range map[string]adapters.Config{
		cyb: cybersource.Config{
			URL: "http://" + s.cybersource, MerchantID: cybersourcetest.DefaultMerchantID, KeyID: cybersourcetest.DefaultKeyID,
			SharedSecret: normalize.NewSecret(cybersourcetest.DefaultSharedSecret),
		},
		reb: rebilly.Config{Base: "http://" + s.rebilly, APIKey: normalize.NewSecret(rebillytest.SecretKey)},
		big: bigcommerce.Config{
			URL: "http://" + s.bigcommerce, StoreHash: bigcommercetest.DefaultStoreHash, AccessToken: normalize.NewSecret(bigcommercetest.DefaultAccessToken),
		},
	} {
		a, err := c.Open(adapters.Env{HTTP: http.DefaultClient})
		require.NoError(t, err)
		out[name] = a
	}
	return out
}

// tripled stores a card at a provider and its mirrors, and returns its id and where it is.
func (g gateway) tripled(t *testing.T, customer, primary string, n int) (id string, at map[string]normalize.References) {
	t.Helper()
	g.call(t, http.StatusCreated, "PUT", "/v1/customers/"+customer, nil, object{"provider_references": object{big: fmt.Sprint(n)}})
	a := g.call(t, http.StatusCreated, "POST", "/v1/instruments", header{"Idempotency-Key": customer}, object{
		"customer_id": customer, "sources": []object{card("4111111111111111"), vaulted("v-"+customer, "1111")},
		"billing_address": address(), "country": primaries()[primary],
	})
	return a.str(t, "id"), g.places(t, a)
}

func (g gateway) places(t *testing.T, a answer) map[string]normalize.References {
	t.Helper()
	var ins normalize.Instrument
	require.NoError(t, json.Unmarshal(a.raw, &ins))
	at := map[string]normalize.References{}
	for _, token := range ins.ProviderTokens {
		require.Equal(t, normalize.StatusActive, token.Status, a.raw)
		at[token.Provider] = token.References
	}
	require.Len(t, at, 3)
	return at
}

// sync runs `polyvault sync` and returns what is not in step.
func (g gateway) sync(t *testing.T, args ...string) (drift []string, ok bool) {
	t.Helper()
	stdout, stderr, err := programs.Run(t, []string{"POLYVAULT_API_KEY=" + g.key}, append([]string{"sync", "--url", g.url, "--json"}, args...)...)
	require.Contains(t, stderr, "in step", "it did not come to its end")
	for line := range strings.Lines(stdout) {
		var d struct {
			Provider, State string
			ErrorCode       string `json:"error_code"`
			Differences     []struct{ Field, Here, There string }
		}
		require.NoError(t, json.Unmarshal([]byte(line), &d))
		s := d.Provider + " " + d.State
		for _, diff := range d.Differences {
			s += " " + diff.Field + ":" + diff.Here + ">" + diff.There
		}
		drift = append(drift, strings.TrimSpace(s+" "+d.ErrorCode))
	}
	return drift, err == nil
}

// becomes waits until what is not in step is what is wanted.
func (g gateway) becomes(t *testing.T, want []string, args ...string) {
	t.Helper()
	var left []string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if left, _ = g.sync(t, args...); slices.Equal(left, want) {
			return
		}
	}
	require.Equal(t, want, left)
}

func (g gateway) requireInStep(t *testing.T, args ...string) {
	t.Helper()
	g.becomes(t, nil, args...)
}

func set[T any](t *testing.T, a adapters.Adapter) T {
	t.Helper()
	op, ok := a.(T)
	require.True(t, ok)
	return op
}

// TestSync changes instruments past the gateway, at the providers' own APIs.
func TestSync(t *testing.T) {
	t.Parallel()
	s := startSandbox(t)
	g := startMirroring(t, s)
	direct := outOfBand(t, s)
	at := map[string]map[string]normalize.References{}
	ids := map[string]string{}
	for n, primary := range []string{cyb, reb, big} {
		ids[primary], at[primary] = g.tripled(t, "at-"+primary, primary, n+1)
		g.requireInStep(t, "--customer", "at-"+primary)
	}
	for _, provider := range []string{cyb, reb, big} {
		g.requireInStep(t, "--provider", provider)
	}
	g.resolves(t, ids, at)
	time.Sleep(200 * time.Millisecond) // the providers are sure to show it: see reconcile.settle

	month, year := 3, 2035
	address := normalize.Address{FirstName: "Ada", LastName: "Byron", Line1: "1 New Street", City: "Graz", PostalCode: "8010", Country: "AT"}
	for _, primary := range []string{cyb, reb} {
		_, err := set[adapters.Updater](t, direct[primary]).Update(t.Context(), at[primary][primary],
			adapters.UpdateInput{ExpMonth: &month, ExpYear: &year, BillingAddress: &address})
		require.NoError(t, err)
		report, ok := g.sync(t, "--customer", "at-"+primary)
		require.False(t, ok, "differences remain")
		require.Len(t, report, 1)
		require.Contains(t, report[0], primary+" present card.exp_month:12>3 card.exp_year:2031>2035 billing_address.city:Austin>Graz")
		again, _ := g.sync(t, "--customer", "at-"+primary)
		require.Equal(t, report, again, "a report repairs nothing")

		repaired, ok := g.sync(t, "--customer", "at-"+primary, "--repair")
		require.True(t, ok, repaired)
		require.Len(t, repaired, 3)
		other := map[string]string{cyb: reb, reb: cyb}[primary]
		// BigCommerce cannot change an expiry date, and it shows.
		g.becomes(t, []string{big + " present card.exp_month:3>12 card.exp_year:2035>2031 unsupported_operation"}, "--customer", "at-"+primary)
		mirror, err := direct[other].Get(t.Context(), at[primary][other])
		require.NoError(t, err)
		require.Equal(t, []any{3, 2035, "Graz"}, []any{mirror.Card.ExpMonth, mirror.Card.ExpYear, mirror.BillingAddress.City})
	}

	// BigCommerce can change the address: as the primary it is the truth.
	_, err := set[adapters.Updater](t, direct[big]).Update(t.Context(), at[big][big], adapters.UpdateInput{BillingAddress: &address})
	require.NoError(t, err)
	report, ok := g.sync(t, "--customer", "at-"+big)
	require.False(t, ok)
	require.Len(t, report, 1)
	_, ok = g.sync(t, "--customer", "at-"+big, "--repair")
	require.True(t, ok)
	g.requireInStep(t, "--customer", "at-"+big)

	// What is away says nothing; what is gone is marked, and no more offered.
	require.NoError(t, set[adapters.Deleter](t, direct[cyb]).Delete(t.Context(), at[big][cyb]))
	putFaults(t, s.cybersource, fault.Rule{Fault: fault.Status, Status: 500})
	report, ok = g.sync(t, "--customer", "at-"+big, "--repair")
	require.False(t, ok)
	require.Equal(t, []string{cyb + " unreachable provider_error"}, report)
	putFaults(t, s.cybersource)
	require.NotContains(t, string(g.call(t, http.StatusOK, "GET", "/v1/instruments/"+ids[big]+"?read=stored", nil, nil).raw), "failed")
	report, ok = g.sync(t, "--customer", "at-"+big, "--repair")
	require.True(t, ok, report)
	require.Equal(t, []string{cyb + " absent"}, report)
	g.requireInStep(t, "--customer", "at-"+big)
	resolution := string(g.call(t, http.StatusOK, "POST", "/v1/instruments/"+ids[big]+"/resolve", nil, nil).raw)
	require.Contains(t, resolution, `"excluded":[{"provider":"`+cyb+`","role":"mirror","reason":"token_failed"}]`)

	// What no record has is adopted.
	_, err = set[adapters.Creator](t, direct[reb]).Create(t.Context(), adapters.CreateInput{
		Customer: at[big][reb]["customer"], BillingAddress: &address,
		Source: normalize.Source{Type: normalize.SourceCard, Card: &normalize.CardSource{Number: normalize.NewSecret("5555555555554444"), ExpMonth: 1, ExpYear: 2032}},
	})
	require.NoError(t, err)
	report, ok = g.sync(t, "--provider", reb)
	require.False(t, ok)
	require.Equal(t, []string{reb + " unknown_here"}, report)
	_, ok = g.sync(t, "--provider", reb, "--repair")
	require.True(t, ok)
	g.requireInStep(t, "--provider", reb)
	list := g.call(t, http.StatusOK, "GET", "/v1/instruments?customer_id=at-"+big, nil, nil)
	require.Len(t, list.body["data"], 2)
}

// resolves holds what each provider's payment call needs against the places of the instruments.
func (g gateway) resolves(t *testing.T, ids map[string]string, at map[string]map[string]normalize.References) {
	t.Helper()
	for primary, id := range ids {
		var out struct {
			Candidates []struct {
				Provider, Role string
				Charge         json.RawMessage
			}
			Excluded []struct{ Provider, Reason string }
		}
		require.NoError(t, json.Unmarshal(g.call(t, http.StatusOK, "POST", "/v1/instruments/"+id+"/resolve", nil, nil).raw, &out))
		require.Len(t, out.Candidates, 3)
		require.Equal(t, primary, out.Candidates[0].Provider)
		for i, c := range out.Candidates {
			require.Equal(t, i == 0, c.Role == "primary")
			ref := at[primary][c.Provider]
			want := map[string]string{
				cyb: fmt.Sprintf(`{"paymentInformation":{"customer":{"id":%q},"paymentInstrument":{"id":%q},"instrumentIdentifier":{"id":%q}}}`,
					ref["customer"], ref["payment_instrument"], ref["instrument_identifier"]),
				reb: fmt.Sprintf(`{"customerId":%q,"paymentInstruction":{"paymentInstrumentId":%q}}`, ref["customer"], ref["instrument"]),
				big: fmt.Sprintf(`{"payment_method_id":"braintree.credit_card","instrument":{"type":"stored_card","token":%q},"cvv_required":null,
					"host":"payments.bigcommerce.com","accept":"application/vnd.bc.v1+json"}`, ref["token"]),
			}[c.Provider]
			require.JSONEq(t, want, string(c.Charge), c.Provider)
		}
		limited := g.call(t, http.StatusOK, "POST", "/v1/instruments/"+id+"/resolve", nil, object{"currency": "EUR", "exclude_providers": []string{cyb}})
		require.Contains(t, string(limited.raw), `"currency_not_supported"`)
		require.Contains(t, string(limited.raw), `"excluded_by_request"`)
	}
}
