package rebilly

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

// Rebilly's hosts [S26].
const (
	liveHost    = "api.rebilly.com"
	sandboxHost = "api-sandbox.rebilly.com"
)

// Config is what an operator says about one Rebilly organization.
type Config struct {
	// Base is the address without the organization, e.g. "https://api-sandbox.rebilly.com".
	Base string `json:"base_url"`
	// OrganizationID is up to 50 characters, like "org_…". Empty means the API
	// key's own default organization.
	OrganizationID string `json:"organization_id"`
	// APIKey is a secret key, "sk_sandbox_…" or "sk_live_…".
	APIKey normalize.Secret `json:"api_key"`
	// OrganizationHeader names the organization in the header Organization-Id,
	// as Rebilly's API did until 2021, and not in the path.
	OrganizationHeader bool `json:"organization_header"`
	// WebhookCredentials are what Rebilly's webhooks authenticate with: two while one is
	// replaced. A webhook must have one of them.
	WebhookCredentials []WebhookCredential `json:"webhook_credentials"`
	// WebhookHeaders are headers of a webhook's own, of which it must have one as well,
	// if any are named. With neither, webhooks are not taken: they carry no signature.
	WebhookHeaders []rest.WebhookHeader `json:"webhook_headers"`
}

var _ adapters.Config = Config{}

// Validate implements [adapters.Config].
func (c Config) Validate() []string {
	var problems []string
	base, err := url.Parse(c.Base)
	switch {
	case c.Base == "":
		problems = append(problems, "base_url is required, e.g. https://"+sandboxHost)
	case err != nil || base.Host == "" || base.RawQuery != "" || base.Fragment != "" || base.User != nil:
		problems = append(problems, "base_url must be a plain URL such as https://"+sandboxHost)
	}
	if c.OrganizationID != "" && !validID(c.OrganizationID) {
		problems = append(problems, "organization_id must be up to 50 of A-Z a-z 0-9 _ . @ ~ -")
	}
	if c.OrganizationHeader && c.OrganizationID == "" {
		problems = append(problems, "organization_header needs an organization_id")
	}
	return slices.Concat(problems, c.keyProblems(base), c.webhookProblems())
}

// keyProblems checks the key's form, "type_environment_payload" [DOC], and that
// a key for one environment is not sent to the other.
func (c Config) keyProblems(base *url.URL) []string {
	key, host := c.APIKey.Reveal(), ""
	if base != nil {
		host = strings.ToLower(base.Hostname())
	}
	switch {
	case key == "":
		return []string{"api_key is required"}
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return []string{"api_key must be printable ASCII without spaces"}
	case strings.HasPrefix(key, "pk_"):
		return []string{"api_key must be a secret key (sk_…): a publishable key may only make tokens"}
	case strings.HasPrefix(key, "sk_live_") && host == sandboxHost:
		return []string{"api_key is for the live environment, but base_url is the sandbox"}
	case strings.HasPrefix(key, "sk_sandbox_") && host == liveHost:
		return []string{"api_key is for the sandbox, but base_url is the live environment"}
	}
	return nil
}

// BaseURL implements [adapters.Config].
func (c Config) BaseURL() string { return c.Base }

// AllowedHosts implements [adapters.Config].
func (c Config) AllowedHosts() []string { return []string{liveHost, sandboxHost} }

// Open implements [adapters.Config].
func (c Config) Open(env adapters.Env) (adapters.Adapter, error) {
	if problems := c.Validate(); len(problems) > 0 {
		return nil, &normalize.Error{
			Code: normalize.ProviderMisconfigured, Outcome: normalize.NotSent, Op: "open", Msg: strings.Join(problems, "; "),
		}
	}
	base, err := url.Parse(c.Base)
	if err != nil {
		return nil, &normalize.Error{
			Code: normalize.ProviderMisconfigured, Outcome: normalize.NotSent, Op: "open", Msg: "base_url must be a plain URL",
		}
	}
	if c.OrganizationID != "" && !c.OrganizationHeader {
		base.Path = strings.TrimSuffix(base.Path, "/") + "/organizations/" + c.OrganizationID
		base.RawPath = ""
	}
	now := env.Now
	if now == nil {
		now = time.Now
	}
	a := &Adapter{now: now, webhookCredentials: c.WebhookCredentials, webhookHeaders: c.WebhookHeaders}
	a.client = rest.Client{HTTP: env.HTTP, Base: base, Authorize: func(req *http.Request, _ []byte) error {
		req.Header.Set("REB-APIKEY", c.APIKey.Reveal())
		if c.OrganizationHeader {
			req.Header.Set("Organization-Id", c.OrganizationID)
		}
		return nil
	}}
	return a, nil
}
