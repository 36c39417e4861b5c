package bigcommerce

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

// DefaultBaseURL is where the management API of every store lives; there is no
// test host, a sandbox is a store of its own.
const DefaultBaseURL = "https://api.bigcommerce.com"

// storeHashPattern is what stands in a path, so nothing that could leave its segment.
var storeHashPattern = regexp.MustCompile(`^[A-Za-z0-9]{1,32}$`)

// Config configures the adapter for one BigCommerce store.
type Config struct {
	// URL is the API's scheme and host; default [DefaultBaseURL].
	URL string `json:"base_url"`
	// StoreHash names the store, e.g. "abc123": 1–32 letters and digits.
	StoreHash string `json:"store_hash"`
	// AccessToken is an API account's token, sent as X-Auth-Token. It needs the
	// scopes store_stored_payment_instruments and store_v2_customers_read_only,
	// and store_payments_methods_read for PaymentMethods.
	AccessToken normalize.Secret `json:"access_token"`
	// WebhookSecrets are client secrets of API accounts, which sign the webhooks that
	// their accounts made: two while an account is replaced. If there are any, a webhook
	// must be signed with one of them.
	WebhookSecrets []normalize.Secret `json:"webhook_secrets"`
	// WebhookHeaders are headers that a webhook was made with, of which it must have one
	// as well, if any are named. With neither, webhooks are not taken.
	WebhookHeaders []rest.WebhookHeader `json:"webhook_headers"`
}

var _ adapters.Config = Config{}

// Validate implements [adapters.Config].
func (c Config) Validate() []string {
	var problems []string
	if u, err := url.Parse(c.BaseURL()); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		problems = append(problems, "base_url: must be a URL of a scheme and a host only, e.g. "+DefaultBaseURL)
	}
	if !storeHashPattern.MatchString(c.StoreHash) {
		problems = append(problems, "store_hash: must be 1 to 32 letters and digits")
	}
	switch token := c.AccessToken.Reveal(); {
	case token == "":
		problems = append(problems, "access_token: is required")
	case strings.ContainsFunc(token, notVisibleASCII):
		problems = append(problems, "access_token: must be visible ASCII characters only")
	}
	return append(problems, c.webhookProblems()...)
}

func notVisibleASCII(r rune) bool { return r <= ' ' || r > '~' }

// BaseURL implements [adapters.Config].
func (c Config) BaseURL() string {
	if c.URL == "" {
		return DefaultBaseURL
	}
	return c.URL
}

// AllowedHosts implements [adapters.Config].
func (Config) AllowedHosts() []string { return []string{"api.bigcommerce.com"} }

// Open implements [adapters.Config].
func (c Config) Open(env adapters.Env) (adapters.Adapter, error) {
	if problems := c.Validate(); len(problems) > 0 {
		return nil, &normalize.Error{
			Code: normalize.ProviderMisconfigured, Outcome: normalize.NotSent, Op: "open", Msg: strings.Join(problems, "; "),
		}
	}
	base, err := url.Parse(strings.TrimSuffix(c.BaseURL(), "/") + "/stores/" + c.StoreHash + "/v3")
	if err != nil {
		return nil, &normalize.Error{
			Code: normalize.ProviderMisconfigured, Outcome: normalize.NotSent, Op: "open", Msg: "base_url: is not a URL",
		}
	}
	now := env.Now
	if now == nil {
		now = time.Now
	}
	token := c.AccessToken
	return &Adapter{now: now, producer: "stores/" + c.StoreHash, webhookSecrets: c.WebhookSecrets, webhookHeaders: c.WebhookHeaders, client: rest.Client{
		HTTP: env.HTTP,
		Base: base,
		Authorize: func(req *http.Request, _ []byte) error {
			req.Header.Set("X-Auth-Token", token.Reveal())
			req.Header.Set("User-Agent", "polyvault")
			return nil
		},
	}}, nil
}
