package httpapi

import (
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// generation is what one configuration gives: who may call, and what serves them. The
// two are exchanged together, so that no request meets one of the old configuration
// and one of the new.
type generation struct {
	service service
	keys    keyring
	door    door
	ConfigStatus
}

// ConfigStatus says which configuration is in force.
type ConfigStatus struct {
	// Generation counts the configurations that this process has had in force, from 1.
	Generation int64     `json:"generation"`
	LoadedAt   time.Time `json:"config_loaded_at"`
	// Error says why a newer configuration was refused; nil if none was.
	Error *ConfigError `json:"config_error,omitempty"`
}

// ConfigError is a configuration that was refused.
type ConfigError struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"` // holds no secret: whoever may ask whether the gateway is ready can read it
}

// maxConfigError bounds the text of a refused configuration, in bytes.
const maxConfigError = 4 << 10

// Keyring finds API keys by their digest.
type Keyring struct {
	ring keyring
	Door Door // how those who have no key are met; the zero value has the defaults
}

// NewKeyring makes a keyring. It fails if a key is not valid.
func NewKeyring(keys []APIKey) (Keyring, error) {
	ring, err := newKeyring(keys)
	return Keyring{ring: ring}, err
}

// Swap puts another configuration's service and keys in force. Requests that have
// begun end with what they began with.
func (a *API) Swap(s service, keys Keyring) ConfigStatus {
	for {
		was := a.current.Load()
		next := &generation{s, keys.ring.after(was.keys), newDoor(keys.Door), ConfigStatus{Generation: was.Generation + 1, LoadedAt: a.now().UTC()}}
		if a.current.CompareAndSwap(was, next) {
			return next.ConfigStatus
		}
	}
}

// Refused notes that a newer configuration cannot be used, and why; "" that what is in
// force is what is wanted. The text must hold no secret.
func (a *API) Refused(text string) {
	for {
		was := a.current.Load()
		next := *was
		next.Error = nil
		if text != "" {
			next.Error = &ConfigError{At: a.now().UTC(), Text: cut(text, maxConfigError)}
		}
		if a.current.CompareAndSwap(was, &next) {
			return
		}
	}
}

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	const mark = " …"
	return strings.ToValidUTF8(s[:most-len(mark)], "") + mark
}

// ConfigStatus says which configuration is in force.
func (a *API) ConfigStatus() ConfigStatus { return a.current.Load().ConfigStatus }

// service is what serves the request: that of the configuration that was in force when
// the request was admitted.
func (a *API) service(c echo.Context) service { return exchangeOf(c).generation.service }
