package adapters

import (
	"net/http"
	"time"
)

// Config is a provider's own part of the configuration file, decoded strictly.
// Its fields carry `json` tags; credentials are of type [normalize.Secret].
type Config interface {
	// Validate returns what is wrong, one message for each problem, each beginning
	// with the key's name.
	Validate() []string
	// BaseURL is where the provider is, for the checks that all providers share
	// (https, no loopback, the hosts the type allows).
	BaseURL() string
	// AllowedHosts lists the hosts that the provider's API is known to live at.
	// A leading "*." allows every name below it.
	AllowedHosts() []string
	// Open makes the adapter. It makes no network call.
	Open(env Env) (Adapter, error)
}

// Env is what an adapter gets from outside. Its zero value is not usable: HTTP must be set.
type Env struct {
	HTTP *http.Client     // see rest.NewClient: redirects are never followed
	Now  func() time.Time // for signatures and expiry; default time.Now
}
