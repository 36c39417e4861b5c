package cybersourcetest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/standin"
)

// client is a plain client of the stand-in, with a signature of its own making.
type client struct {
	server *standin.Server
	base   string
}

func newClient(tb testing.TB, o Options) client {
	tb.Helper()
	server := New(o)
	srv := httptest.NewServer(server)
	tb.Cleanup(srv.Close)
	return client{server, srv.URL}
}

// result is an answer.
type result struct {
	status int
	header http.Header
	body   object
	raw    string
}

func (r result) id() string             { return stringAt(r.body, "id") }
func (r result) kind() string           { return stringAt(r.first(), "type") }
func (r result) details() any           { return r.first()["details"] }
func (r result) str(p ...string) string { return stringAt(r.body, p...) }

func (r result) first() object {
	errs, _ := r.body["errors"].([]any)
	if len(errs) == 0 {
		return nil
	}
	e, _ := errs[0].(object)
	return e
}

func (c client) do(tb testing.TB, method, target, body string, header ...string) result {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), method, c.base+target, strings.NewReader(body))
	require.NoError(tb, err)
	req.Header.Set("Content-Type", "application/json")
	sign(req, body)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(tb, err)
	defer func() { require.NoError(tb, resp.Body.Close()) }()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(tb, err)
	out := result{status: resp.StatusCode, header: resp.Header, raw: string(raw)}
	if len(raw) > 0 {
		require.NoError(tb, json.Unmarshal(raw, &out.body), "%s", raw)
	}
	require.NotEmpty(tb, out.header.Get("V-C-Correlation-Id"), "on every answer")
	require.NotEmpty(tb, out.header.Get("Uniquetransactionid"), "on every answer")
	return out
}

func sign(req *http.Request, body string) {
	date := time.Now().UTC().Format(http.TimeFormat)
	names := "host date request-target v-c-merchant-id"
	s := "host: " + req.URL.Host + "\ndate: " + date + "\nrequest-target: " + strings.ToLower(req.Method) + " " + req.URL.RequestURI() + "\n"
	if req.Method == http.MethodPost || req.Method == http.MethodPatch {
		sum := sha256.Sum256([]byte(body))
		digest := "SHA-256=" + base64.StdEncoding.EncodeToString(sum[:])
		req.Header.Set("Digest", digest)
		names = "host date request-target digest v-c-merchant-id"
		s += "digest: " + digest + "\n"
	}
	mac := hmac.New(sha256.New, []byte("unit-test-shared-secret-32bytes!"))
	mac.Write([]byte(s + "v-c-merchant-id: testmerchant"))
	req.Header.Set("Date", date)
	req.Header.Set("V-C-Merchant-Id", "testmerchant")
	req.Header.Set("Signature", `keyid="`+DefaultKeyID+`", algorithm="HmacSHA256", headers="`+names+
		`", signature="`+base64.StdEncoding.EncodeToString(mac.Sum(nil))+`"`)
}

const (
	customersPath   = "/tms/v2/customers"
	identifiersPath = "/tms/v1/instrumentidentifiers"
	visa            = "4111111111111111"
	mastercard      = "5555555555554444"
	noID            = "0123456789ABCDEF0123456789ABCDEF"
)

func (c client) customer(tb testing.TB) string {
	tb.Helper()
	r := c.do(tb, http.MethodPost, customersPath, `{"buyerInformation":{"merchantCustomerID":"cus-1"}}`)
	require.Equal(tb, http.StatusCreated, r.status, r.raw)
	return r.id()
}

func (c client) card(tb testing.TB, pan string) string {
	tb.Helper()
	r := c.do(tb, http.MethodPost, identifiersPath, `{"card":{"number":"`+pan+`"}}`)
	require.Contains(tb, []int{http.StatusOK, http.StatusCreated}, r.status, r.raw)
	return r.id()
}

func instrumentBody(identifier string) string {
	return `{"card":{"expirationMonth":"12","expirationYear":"2031","type":"001"},"billTo":{"locality":"SF","country":"US"},"instrumentIdentifier":{"id":"` + identifier + `"}}`
}

func (c client) instrument(tb testing.TB, customer, identifier string) string {
	tb.Helper()
	r := c.do(tb, http.MethodPost, customersPath+"/"+customer+"/payment-instruments", instrumentBody(identifier))
	require.Equal(tb, http.StatusCreated, r.status, r.raw)
	return r.id()
}
