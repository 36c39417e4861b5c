package cybersource_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/cybersource"
	"github.com/polyvault/polyvault/adapters/cybersource/cybersourcetest"
	"github.com/polyvault/polyvault/normalize"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// captured is a signed request, to be sent again in parts or changed.
type captured struct {
	method, path, query, host string
	header                    http.Header
	body                      []byte
}

func capture(tb testing.TB, base string, change func(*cybersource.Config, *adapters.Env), f func(*cybersource.Adapter)) captured {
	tb.Helper()
	var c captured
	a := open(tb, base, func(conf *cybersource.Config, env *adapters.Env) {
		env.HTTP = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			c = captured{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Host, r.Header.Clone(), nil}
			if r.Body != nil {
				var err error
				c.body, err = io.ReadAll(r.Body)
				require.NoError(tb, err)
			}
			return nil, http.ErrHandlerTimeout
		})}
		if change != nil {
			change(conf, env)
		}
	})
	f(a)
	require.NotEmpty(tb, c.method, "nothing was sent")
	return c
}

// send sends the request to the stand-in as it stands and returns the status.
func (c captured) send(tb testing.TB, base string) int {
	tb.Helper()
	target := base + c.path
	if c.query != "" {
		target += "?" + c.query
	}
	req, err := http.NewRequestWithContext(tb.Context(), c.method, target, bytes.NewReader(c.body))
	require.NoError(tb, err)
	req.Host, req.Header = c.host, c.header
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(tb, err)
	defer func() { require.NoError(tb, resp.Body.Close()) }()
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(tb, err)
	return resp.StatusCode
}

// flip flips one bit of one character.
func flip(s string, i int, bit byte) string {
	b := []byte(s)
	b[i] ^= 1 << bit
	return string(b)
}

func TestTamperedRequestsAreRefused(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(cybersourcetest.New(cybersourcetest.Options{}))
	t.Cleanup(srv.Close)
	list := func() captured {
		return capture(t, srv.URL, nil, func(a *cybersource.Adapter) {
			_, _ = a.List(t.Context(), adapters.ListInput{Customer: missingID, Limit: 10, Cursor: "20"})
		})
	}
	create := func() captured {
		return capture(t, srv.URL, nil, func(a *cybersource.Adapter) {
			_, _ = a.CreateCustomer(t.Context(), adapters.CustomerInput{Key: "cus_1", MerchantID: "cus-1"})
		})
	}
	require.Equal(t, http.StatusNotFound, list().send(t, srv.URL), "untouched, it passes authentication")
	require.Equal(t, http.StatusCreated, create().send(t, srv.URL), "untouched, it passes authentication")
	for name, c := range map[string]struct {
		from   func() captured
		change func(*captured)
	}{
		"method":             {list, func(c *captured) { c.method = http.MethodDelete }},
		"method with a body": {create, func(c *captured) { c.method = http.MethodPatch }},
		"path, in case only": {list, func(c *captured) { c.path = flip(c.path, len("/tms/v2/customers/0123456789A"), 5) }},
		"path":               {create, func(c *captured) { c.path = flip(c.path, 2, 0) }},
		"query":              {list, func(c *captured) { c.query = flip(c.query, len("limit=1"), 0) }},
		"query dropped":      {list, func(c *captured) { c.query = "" }},
		"host":               {list, func(c *captured) { c.host = "localhost" }},
		"date":               {list, func(c *captured) { c.header.Set("Date", time.Now().Add(time.Second).UTC().Format(http.TimeFormat)) }},
		"date dropped":       {list, func(c *captured) { c.header.Del("Date") }},
		"digest":             {create, func(c *captured) { c.header.Set("Digest", flip(c.header.Get("Digest"), 12, 0)) }},
		"digest dropped":     {create, func(c *captured) { c.header.Del("Digest") }},
		"body":               {create, func(c *captured) { c.body = []byte(flip(string(c.body), len(c.body)-5, 0)) }},
		"body dropped":       {create, func(c *captured) { c.body = nil }},
		"body with a digest to match": {create, func(c *captured) {
			c.body = []byte(`{}`)
			c.header.Set("Digest", "SHA-256=RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=")
		}},
		"merchant id":         {list, func(c *captured) { c.header.Set("V-C-Merchant-Id", flip("testmerchant", 3, 1)) }},
		"merchant id dropped": {list, func(c *captured) { c.header.Del("V-C-Merchant-Id") }},
		"no signature":        {list, func(c *captured) { c.header.Del("Signature") }},
		"old parentheses": {list, func(c *captured) {
			c.header.Set("Signature", `keyid="`+cybersourcetest.DefaultKeyID+`", algorithm="HmacSHA256", headers="host date (request-target) v-c-merchant-id", signature="x"`)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := c.from()
			c.change(&r)
			require.Equal(t, http.StatusUnauthorized, r.send(t, srv.URL))
		})
	}
	t.Run("every bit of the signature header", func(t *testing.T) {
		t.Parallel()
		r := list()
		whole := r.header.Get("Signature")
		for i := range whole {
			for bit := range byte(7) {
				changed := flip(whole, i, bit)
				if changed[i] < ' ' || changed[i] == 0x7f {
					continue // net/http refuses to send it
				}
				r.header.Set("Signature", changed)
				require.Equal(t, http.StatusUnauthorized, r.send(t, srv.URL), "bit %d of character %d", bit, i)
			}
		}
	})
}

func TestAuthenticationBounds(t *testing.T) {
	t.Parallel()
	now := time.Now()
	srv := httptest.NewServer(cybersourcetest.New(cybersourcetest.Options{
		Now: func() time.Time { return now }, PortfolioID: "portfolio",
	}))
	t.Cleanup(srv.Close)
	status := func(change func(*cybersource.Config, *adapters.Env)) int {
		return capture(t, srv.URL, change, func(a *cybersource.Adapter) {
			_, _ = a.GetCustomer(t.Context(), missingID)
		}).send(t, srv.URL)
	}
	at := func(d time.Duration) func(*cybersource.Config, *adapters.Env) {
		return func(c *cybersource.Config, e *adapters.Env) {
			c.PortfolioID = "portfolio"
			e.Now = func() time.Time { return now.Add(d) }
		}
	}
	require.Equal(t, http.StatusNotFound, status(at(4*time.Minute)), "a clock may be off a little")
	require.Equal(t, http.StatusNotFound, status(at(-4*time.Minute)))
	require.Equal(t, http.StatusUnauthorized, status(at(6*time.Minute)))
	require.Equal(t, http.StatusUnauthorized, status(at(-6*time.Minute)))
	require.Equal(t, http.StatusUnauthorized, status(nil), "a meta key signs its portfolio")
	require.Equal(t, http.StatusUnauthorized, status(func(c *cybersource.Config, _ *adapters.Env) {
		c.PortfolioID, c.MerchantID = "portfolio", "othermerchant"
	}))
}

func TestSecretThatIsNotBase64IsRefused(t *testing.T) {
	t.Parallel()
	c := cybersource.Config{URL: "https://x.example", MerchantID: "m", KeyID: "k", SharedSecret: normalize.NewSecret("no base64!")}
	_, err := c.Open(adapters.Env{HTTP: http.DefaultClient})
	require.Equal(t, normalize.ProviderMisconfigured, normalize.CodeOf(err))
	require.NotContains(t, err.Error(), "no base64!")
}
