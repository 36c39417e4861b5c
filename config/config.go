package config

import (
	"encoding/json"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// Config is the whole configuration, with defaults filled in and secrets resolved.
// It is plain data: cmd/polyvault builds the gateway from it.
type Config struct {
	Listen            string     `json:"listen"`       // host:port of the API; default 127.0.0.1:8080
	AdminListen       string     `json:"admin_listen"` // host:port of health, metrics, pprof and backups; default 127.0.0.1:9090, "" for none
	Store             Store      `json:"store"`
	Keys              Keys       `json:"keys"`
	Tenants           []Tenant   `json:"tenants"`
	Providers         []Provider `json:"providers"`
	Routes            []Route    `json:"routes"`
	Rehearsal         Rehearsal  `json:"rehearsal"`
	Deletes           Deletes    `json:"deletes"`
	Reads             Reads      `json:"reads"`
	Lease             Duration   `json:"lease"` // how long an attempt is left alone; at least 1s over every provider's timeout, up to 10m; default 30s
	Reconcile         Reconcile  `json:"reconcile"`
	InsecureProviders bool       `json:"insecure_providers"` // lets base_url be http or private, and credentials literal: stand-ins only
	Shutdown          Shutdown   `json:"shutdown"`
	Log               Log        `json:"log"`
	Audit             Audit      `json:"audit,omitzero"`
	Tracing           *Tracing   `json:"tracing,omitempty"`
	AdminPublic       bool       `json:"admin_public,omitempty"`    // lets admin_listen be an address of the public internet; default false
	Limits            Limits     `json:"limits"`                    // of every tenant that has none of its own
	TrustedProxies    []string   `json:"trusted_proxies,omitempty"` // networks such as 10.0.0.0/8, or addresses, whose X-Forwarded-For is believed; default none
	Events            Events     `json:"events"`
}

// Store says where the records are. Without a section it is a bbolt file.
type Store struct {
	Redis   *Redis   `json:"redis,omitempty"`
	Bolt    *Bolt    `json:"bolt,omitempty"`
	Journal *Journal `json:"journal,omitempty"`
	// Defaulted is true when the file had no store section.
	Defaulted bool `json:"-"`
}

// Journal is where each gateway appends what it writes to the store, encrypted, so
// that a store that is lost can be restored.
type Journal struct {
	Path string `json:"path"` // a folder; it should be on another disk than the store
}

// Redis is a Redis server, or its Sentinels, or a Cluster.
type Redis struct {
	URL              SecretRef `json:"url,omitzero"`          // redis:// or rediss://; a URL with a password only by reference
	Addrs            []string  `json:"addrs,omitempty"`       // host:port of the Sentinels or Cluster nodes, in place of url
	MasterName       string    `json:"master_name,omitempty"` // with addrs: they are Sentinels
	Cluster          bool      `json:"cluster,omitempty"`     // with addrs: they are Cluster nodes
	Username         string    `json:"username,omitempty"`
	Password         SecretRef `json:"password,omitzero"`
	SentinelUsername string    `json:"sentinel_username,omitempty"` // of the Sentinels themselves
	SentinelPassword SecretRef `json:"sentinel_password,omitzero"`
	TLS              bool      `json:"tls,omitempty"`          // with addrs; a rediss:// URL implies it
	KeyPrefix        string    `json:"key_prefix"`             // default "pv:"
	Durability       string    `json:"durability"`             // dev, standard (default) or strict
	Replicas         *int      `json:"replicas,omitempty"`     // with strict: how many must confirm each write, 0–9; default 1 with Sentinel or a Cluster, else 0
	DialTimeout      Duration  `json:"dial_timeout,omitempty"` // default: the store's
	ReadTimeout      Duration  `json:"read_timeout,omitempty"` // default: the store's
	PoolSize         int       `json:"pool_size,omitempty"`    // connections; default: the store's
}

// Bolt is an embedded store in one file.
type Bolt struct {
	Path string `json:"path"` // default ./polyvault.db
}

// Keys are the gateway's own secrets.
type Keys struct {
	Reference  ReferenceKeys  `json:"reference"`
	Encryption EncryptionKeys `json:"encryption,omitempty"` // what stored values are sealed under; default: derived from the reference keys
}

// Tenant is one merchant behind the gateway.
type Tenant struct {
	Name          string        `json:"name"`
	AcceptRawCard bool          `json:"accept_raw_card"` // default false
	Duplicates    string        `json:"duplicates"`      // update (default) or allow
	APIKeys       []APIKey      `json:"api_keys"`
	Limits        *TenantLimits `json:"limits,omitempty"` // replaces the limits of the top level as a whole; default those
	Events        *TenantEvents `json:"events,omitempty"`
}

// APIKey is one of a tenant's keys, of which only the digest is known.
type APIKey struct {
	Name   string   `json:"name"`
	SHA256 string   `json:"sha256"` // 64 hex digits, of the whole key
	Scopes []string `json:"scopes"`
	// NotAfter is when the key ends by itself, as in RFC 3339; "" for never.
	NotAfter string `json:"not_after,omitempty"`
}

// Provider is one configured adapter.
type Provider struct {
	Name        string   `json:"name"`
	Type        string   `json:"type"`
	Timeout     Duration `json:"timeout"`       // per call; up to 10s, which is the default
	MaxInFlight int      `json:"max_in_flight"` // calls at the same time, each for reads and for writes; default 64
	RetryBudget int      `json:"retry_budget"`  // creates a second that may come here after they were tried elsewhere; 1–100000, default 100
	Disabled    bool     `json:"disabled,omitempty"`
	Breaker     Breaker  `json:"breaker,omitzero"`
	Charges     Charges  `json:"charges,omitzero"`
	// Config is what was written for the adapter, with references unresolved and
	// literal credentials redacted: for showing.
	Config map[string]any `json:"config"`
	// Adapter is Config decoded, with references resolved.
	Adapter adapters.Config `json:"-"`
}

// Breaker shapes a provider's circuit breakers; what is zero has the gateway's default.
type Breaker struct {
	Window              Duration `json:"window,omitempty"`               // what rates are measured over; 1s–1h, default 60s
	MinRequests         int      `json:"min_requests,omitempty"`         // fewer never trip it by rate; default 20
	FailureRatio        float64  `json:"failure_ratio,omitempty"`        // above 0, up to 1; default 0.5
	ConsecutiveFailures int      `json:"consecutive_failures,omitempty"` // default 5
	SlowCall            Duration `json:"slow_call,omitempty"`            // a call that takes longer is slow; 10ms up to the timeout, default half of it
	SlowRatio           float64  `json:"slow_ratio,omitempty"`           // the share of slow calls that trips it; above 0, up to 1; default 0.8
	OpenFor             Duration `json:"open_for,omitempty"`             // the first time, doubled each time in a row; 100ms–10m, default 15s
	OpenForMax          Duration `json:"open_for_max,omitempty"`         // what the doubling ends at; open_for up to 1h, default 2m or open_for if that is longer
	Probes              int      `json:"probes,omitempty"`               // calls let through while half open; default 1
}

// Charges says what the merchant account behind a provider can charge, so that an
// instrument is resolved to where it can be charged. What is left out is not limited.
type Charges struct {
	Currencies []string `json:"currencies,omitempty"` // ISO 4217
	Countries  []string `json:"countries,omitempty"`  // ISO 3166-1 alpha-2
}

// Route is one routing rule; the first that matches wins.
type Route struct {
	Name      string         `json:"name"`
	Match     Match          `json:"match,omitzero"`
	Providers []string       `json:"providers"`         // in order of priority
	Strategy  string         `json:"strategy"`          // priority (default) or weighted
	Weights   map[string]int `json:"weights,omitempty"` // with weighted: each provider's share of the customers, 0–1000; 0 is a fallback only
	Mirrors   []string       `json:"mirrors,omitempty"` // providers that get a copy of what was stored
}

// Match says which requests a route is for. What is left out matches everything.
type Match struct {
	Tenant   []string               `json:"tenant,omitempty"`
	Country  []string               `json:"country,omitempty"`
	Currency []string               `json:"currency,omitempty"`
	Type     []normalize.Type       `json:"type,omitempty"`
	Brand    []normalize.Brand      `json:"brand,omitempty"`
	BIN      []string               `json:"bin,omitempty"`      // prefixes of the card number, 1–8 digits
	Customer *CustomerRange         `json:"customer,omitempty"` // a share of the customers
	Metadata map[string][]string    `json:"metadata,omitempty"` // every key must have one of its values
	Source   []normalize.SourceType `json:"source,omitempty"`
}

// CustomerRange is a share of each tenant's customers, always the same ones, in
// percent with up to two decimals: from From up to but not including Below.
type CustomerRange struct {
	From  float64 `json:"from"`  // 0–100, default 0
	Below float64 `json:"below"` // above From, up to 100, which is the default
}

// Rehearsal says whether what the routes decide is recorded, so that other routes can
// be rehearsed over the same requests.
type Rehearsal struct {
	Record   bool   `json:"record"`    // default false
	Path     string `json:"path"`      // default ./rehearsal.jsonl
	MaxBytes int    `json:"max_bytes"` // how large the file may be before it becomes PATH.1; 64 KiB–16 GiB, default 64 MiB
}

// Deletes says what a delete of a customer's default instrument does.
type Deletes struct {
	DefaultInstrument string `json:"default_instrument"` // promote (default) or refuse
}

// Reads says how reads behave when a provider is down.
type Reads struct {
	StaleIfError Duration `json:"stale_if_error"` // how old a stored view may be; default 24h, 0s serves none
}

// Reconcile says how creates whose effect is not known are followed up.
type Reconcile struct {
	Interval Duration `json:"interval"` // between two looks for work; 100ms–1m, default 1s
	Rate     int      `json:"rate"`     // records a second that each gateway looks up at each provider; 1–1000, default 20
	Settle   Duration `json:"settle"`   // what a provider may take to show what it stored; 100ms–10m, default 2s
}

// Shutdown says how the gateway ends.
type Shutdown struct {
	Delay   Duration `json:"delay"`   // between being not ready and closing the listener, for load balancers; default 0s
	Timeout Duration `json:"timeout"` // for requests in flight; default 20s
}

// Log shapes the log on stderr.
type Log struct {
	Level  string `json:"level"`  // debug, info (default), warn or error
	Format string `json:"format"` // json (default) or console
}

// defaults is the configuration that a file is decoded over.
func defaults() Config {
	return Config{
		Listen:      "127.0.0.1:8080",
		AdminListen: "127.0.0.1:9090",
		Deletes:     Deletes{DefaultInstrument: "promote"},
		Reads:       Reads{StaleIfError: Duration(24 * time.Hour)},
		Lease:       Duration(30 * time.Second),
		Reconcile:   Reconcile{Interval: Duration(time.Second), Rate: 20, Settle: Duration(2 * time.Second)},
		Rehearsal:   Rehearsal{Path: "./rehearsal.jsonl", MaxBytes: 64 << 20},
		Shutdown:    Shutdown{Timeout: Duration(20 * time.Second)},
		Log:         Log{Level: "info", Format: "json"},
		Limits:      defaultLimits(),
		Events:      defaultEvents(),
	}
}

// UnmarshalJSON fills in defaults.
func (p *Provider) UnmarshalJSON(b []byte) error {
	type plain Provider
	v := plain{Timeout: Duration(10 * time.Second), MaxInFlight: 64, RetryBudget: 100}
	err := json.Unmarshal(b, &v)
	*p = Provider(v)
	return err
}

// UnmarshalJSON fills in defaults.
func (t *Tenant) UnmarshalJSON(b []byte) error {
	type plain Tenant
	v := plain{Duplicates: "update"}
	err := json.Unmarshal(b, &v)
	*t = Tenant(v)
	return err
}

// UnmarshalJSON fills in defaults.
func (r *Route) UnmarshalJSON(b []byte) error {
	type plain Route
	v := plain{Strategy: "priority"}
	err := json.Unmarshal(b, &v)
	*r = Route(v)
	return err
}

// UnmarshalJSON fills in defaults.
func (r *CustomerRange) UnmarshalJSON(b []byte) error {
	type plain CustomerRange
	v := plain{Below: 100}
	err := json.Unmarshal(b, &v)
	*r = CustomerRange(v)
	return err
}

// UnmarshalJSON fills in defaults.
func (r *Redis) UnmarshalJSON(b []byte) error {
	type plain Redis
	v := plain{KeyPrefix: "pv:", Durability: "standard"}
	err := json.Unmarshal(b, &v)
	*r = Redis(v)
	return err
}

// UnmarshalJSON fills in defaults.
func (s *Bolt) UnmarshalJSON(b []byte) error {
	type plain Bolt
	v := plain{Path: "./polyvault.db"}
	err := json.Unmarshal(b, &v)
	*s = Bolt(v)
	return err
}
