package cybersource

import (
	"encoding/base64"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

// Type is the adapter's name in the configuration.
const Type = "cybersource"

// Config is CyberSource's part of the configuration.
type Config struct {
	URL          string           `json:"base_url"`      // e.g. https://apitest.cybersource.com
	MerchantID   string           `json:"merchant_id"`   // the transacting merchant
	KeyID        string           `json:"key_id"`        // of the shared secret
	SharedSecret normalize.Secret `json:"shared_secret"` // base64, as the Business Center shows it
	ProfileID    string           `json:"profile_id"`    // UUID of a TMS profile; "" uses the merchant's own vault
	PortfolioID  string           `json:"portfolio_id"`  // only with a meta key: the portfolio that the key belongs to
	Currency     string           `json:"currency"`      // ISO 4217, of the zero-amount authorizations and bank accounts; default USD
	// WebhookKeys are the shared secrets that notices are signed with, each with the id
	// that the signature names: two while one is replaced. Without any, notices are not taken.
	WebhookKeys []WebhookKey `json:"webhook_keys"`
}

var _ adapters.Config = Config{}

var (
	merchantPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	profilePattern  = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)
)

// Validate implements [adapters.Config].
func (c Config) Validate() []string {
	var problems []string
	check := func(ok bool, problem string) {
		if !ok {
			problems = append(problems, problem)
		}
	}
	check(validBaseURL(c.URL), "base_url: must be an absolute http(s) URL without user, query or fragment")
	check(merchantPattern.MatchString(c.MerchantID), "merchant_id: must be 1 to 64 of A-Z a-z 0-9 . _ -")
	check(merchantPattern.MatchString(c.KeyID), "key_id: must be 1 to 64 of A-Z a-z 0-9 . _ -")
	_, err := c.key()
	check(err == nil && !c.SharedSecret.IsZero(), "shared_secret: must be base64, and not empty")
	check(c.ProfileID == "" || profilePattern.MatchString(c.ProfileID), "profile_id: must be a UUID of 36 characters")
	check(c.PortfolioID == "" || merchantPattern.MatchString(c.PortfolioID), "portfolio_id: must be 1 to 64 of A-Z a-z 0-9 . _ -")
	check(c.Currency == "" || normalize.ValidCurrency(c.Currency), "currency: must be an ISO 4217 code in upper case")
	return append(problems, webhookProblems(c.WebhookKeys)...)
}

func validBaseURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" &&
		u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

// key returns the bytes that requests are signed with.
func (c Config) key() ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(c.SharedSecret.Reveal())
	if err != nil {
		// The decoder's error tells a position in the secret only, but nobody needs it.
		return nil, errNotBase64
	}
	return b, nil
}

// BaseURL implements [adapters.Config].
func (c Config) BaseURL() string { return c.URL }

// AllowedHosts implements [adapters.Config]: test, production, production in
// India, and the twins under Visa's brand.
func (c Config) AllowedHosts() []string {
	return []string{
		"apitest.cybersource.com", "api.cybersource.com", "api.in.cybersource.com",
		"apitest.visaacceptance.com", "api.visaacceptance.com",
	}
}

// Open implements [adapters.Config].
func (c Config) Open(env adapters.Env) (adapters.Adapter, error) {
	if problems := c.Validate(); len(problems) > 0 {
		return nil, misconfigured(strings.Join(problems, "; "))
	}
	base, err := url.Parse(c.URL)
	if err != nil {
		return nil, misconfigured("base_url: cannot be parsed")
	}
	key, err := c.key()
	if err != nil {
		return nil, misconfigured("shared_secret: " + err.Error())
	}
	if env.Now == nil {
		env.Now = time.Now
	}
	if c.Currency == "" {
		c.Currency = "USD"
	}
	s := signer{merchantID: c.MerchantID, signedID: c.MerchantID, keyID: c.KeyID, mac: macWith(key), now: env.Now}
	if c.PortfolioID != "" {
		s.signedID = c.PortfolioID
	}
	hooks, err := webhookMACs(c.WebhookKeys)
	if err != nil {
		return nil, misconfigured("webhook_keys: " + err.Error())
	}
	return &Adapter{
		webhooks:  hooks,
		client:    &rest.Client{HTTP: env.HTTP, Base: base, Authorize: s.authorize},
		vault:     vault(c),
		profileID: c.ProfileID,
		currency:  c.Currency,
		now:       env.Now,
	}, nil
}

func misconfigured(msg string) *normalize.Error {
	return &normalize.Error{Code: normalize.ProviderMisconfigured, Outcome: normalize.NotSent, Op: "open", Msg: msg}
}

// vault names the scope within which instrument identifiers can be compared:
// the profile, which selects a vault, else the merchant.
func vault(c Config) string {
	if c.ProfileID != "" {
		return strings.ToLower(c.ProfileID)
	}
	return c.MerchantID
}
