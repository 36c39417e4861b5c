package config

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/polyvault/polyvault/normalize"
)

// check reports what only the whole can show: names, ranges and hosts.
func check(p *problems, c *Config, scopes []string) {
	checkAddress(p, at("listen"), c.Listen)
	checkAddress(p, at("admin_listen"), c.AdminListen)
	if c.AdminListen != "" && c.AdminListen == c.Listen && !strings.HasSuffix(c.Listen, ":0") {
		p.add(at("admin_listen"), "must differ from listen")
	}
	checkAdmin(p, c)
	checkTracing(p, c.Tracing)
	checkLease(p, c)
	checkRange(p, at("reconcile", "interval"), c.Reconcile.Interval, 100*time.Millisecond, time.Minute)
	checkRange(p, at("reconcile", "settle"), c.Reconcile.Settle, 100*time.Millisecond, 10*time.Minute)
	checkRange(p, at("reads", "stale_if_error"), c.Reads.StaleIfError, 0, 90*24*time.Hour)
	checkRange(p, at("shutdown", "delay"), c.Shutdown.Delay, 0, 10*time.Minute)
	checkRange(p, at("shutdown", "timeout"), c.Shutdown.Timeout, time.Second, 10*time.Minute)
	checkReferenceKeys(p, c)
	checkEncryptionKeys(p, c)
	if c.Store.Redis != nil && c.Store.Bolt != nil {
		p.add(at("store"), "must have exactly one of redis and bolt")
	} else {
		checkRedis(p, c.Store.Redis)
	}
	checkTenants(p, c, scopes)
	checkProviders(p, c)
	checkRoutes(p, c)
	checkAudit(p, c)
	checkLimits(p, c)
	checkEvents(p, c)
}

// checkLease keeps an attempt's call inside its lease: a call that outlives it would
// be taken for a dead gateway's.
func checkLease(p *problems, c *Config) {
	least := time.Second
	for _, provider := range c.Providers {
		least = max(least, time.Duration(provider.Timeout)+time.Second)
	}
	checkRange(p, at("lease"), c.Lease, least, 10*time.Minute)
}

func checkRange(p *problems, where path, d Duration, low, high time.Duration) {
	if v := time.Duration(d); v < low || v > high {
		p.add(where, "must be from %s to %s", show(low), show(high))
	}
}

func show(d time.Duration) string {
	b, err := Duration(d).MarshalJSON()
	if err != nil {
		return d.String()
	}
	return strings.Trim(string(b), `"`)
}

func checkAddress(p *problems, where path, address string) {
	if address == "" {
		return
	}
	_, port, err := net.SplitHostPort(address)
	if n, portErr := strconv.Atoi(port); err != nil || portErr != nil || n > 65535 {
		p.add(where, "must be a host and a port up to 65535, such as 127.0.0.1:8080")
	}
}

func checkReferenceKeys(p *problems, c *Config) {
	seen := map[string]bool{}
	for i, k := range c.Keys.Reference {
		if k.ID != "" && seen[k.ID] {
			p.add(at("keys", "reference", i, "id"), "is used twice: give each key an id of its own")
		}
		seen[k.ID] = true
	}
}

func checkRedis(p *problems, r *Redis) {
	if r == nil {
		return
	}
	where := at("store", "redis")
	switch {
	case r.URL.IsZero() && len(r.Addrs) == 0:
		if !p.has(where.with("url")) && !p.has(where.with("addrs")) {
			p.add(where, "needs a url, or addrs (with master_name for Sentinel, with cluster: true for a Cluster)")
		}
	case !r.URL.IsZero() && len(r.Addrs) > 0:
		p.add(where.with("addrs"), "stands beside url: keep one of them")
	case r.MasterName != "" && r.Cluster:
		p.add(where.with("cluster"), "stands beside master_name, which is for Sentinel: keep one of them")
	case len(r.Addrs) > 1 && r.MasterName == "" && !r.Cluster:
		p.add(where.with("addrs"), "names several servers: they need master_name (Sentinel) or cluster: true")
	case r.MasterName == "" && (r.SentinelUsername != "" || !r.SentinelPassword.IsZero()):
		p.add(where.with("master_name"), "is missing: sentinel_username and sentinel_password go with it")
	case !r.URL.IsZero() && (r.MasterName != "" || r.Cluster || r.TLS):
		p.add(where.with("url"), "is for one server: master_name, cluster and tls go with addrs (a rediss:// URL uses TLS)")
	}
	if r.Replicas != nil && r.Durability != "strict" {
		p.add(where.with("replicas"), "goes with durability: strict, where each write waits for them")
	}
	if r.DialTimeout != 0 {
		checkRange(p, where.with("dial_timeout"), r.DialTimeout, 10*time.Millisecond, time.Minute)
	}
	if r.ReadTimeout != 0 {
		checkRange(p, where.with("read_timeout"), r.ReadTimeout, 10*time.Millisecond, time.Minute)
	}
}

func checkTenants(p *problems, c *Config, scopes []string) {
	names, digests := unique{}, unique{}
	for i, t := range c.Tenants {
		names.check(p, at("tenants", i, "name"), t.Name)
		keyNames := unique{}
		for j, k := range t.APIKeys {
			where := at("tenants", i, "api_keys", j)
			keyNames.check(p, where.with("name"), k.Name)
			digests.check(p, where.with("sha256"), strings.ToLower(k.SHA256))
			for n, scope := range k.Scopes {
				if len(scopes) > 0 && scope != "" && !slices.Contains(scopes, scope) {
					p.add(where.with("scopes", n), "unknown scope; there are %s", strings.Join(scopes, ", "))
				}
			}
		}
	}
}

func checkProviders(p *problems, c *Config) {
	names := unique{}
	for i, provider := range c.Providers {
		where := at("providers", i)
		names.check(p, where.with("name"), provider.Name)
		checkRange(p, where.with("timeout"), provider.Timeout, 100*time.Millisecond, 10*time.Second)
		checkBreaker(p, where.with("breaker"), provider)
		checkCurrencies(p, where.with("charges", "currencies"), provider.Charges.Currencies)
		checkCountries(p, where.with("charges", "countries"), provider.Charges.Countries)
		if provider.Adapter != nil {
			checkBaseURL(p, where.with("config", "base_url"), provider, c.InsecureProviders)
		}
	}
}

// checkBreaker checks what is not left to its default.
func checkBreaker(p *problems, where path, provider Provider) {
	b := provider.Breaker
	openFor := b.OpenFor
	if openFor == 0 {
		openFor = Duration(15 * time.Second)
	}
	for _, c := range []struct {
		key       string
		is        Duration
		low, high time.Duration
	}{
		{"window", b.Window, time.Second, time.Hour},
		{"slow_call", b.SlowCall, 10 * time.Millisecond, time.Duration(provider.Timeout)},
		{"open_for", b.OpenFor, 100 * time.Millisecond, 10 * time.Minute},
		{"open_for_max", b.OpenForMax, time.Duration(openFor), time.Hour},
	} {
		if c.is != 0 {
			checkRange(p, where.with(c.key), c.is, c.low, c.high)
		}
	}
}

// checkBaseURL keeps credentials from being sent in the clear or to a stranger.
// insecure_providers opens that for stand-ins, but never for a provider's real host.
func checkBaseURL(p *problems, where path, provider Provider, insecure bool) {
	u, err := url.Parse(provider.Adapter.BaseURL())
	if err != nil || u.Host == "" {
		p.add(where, "must be a URL such as https://%s", provider.Adapter.AllowedHosts()[0])
		return
	}
	known := allowedHost(provider.Adapter.AllowedHosts(), u.Hostname())
	switch {
	case u.Scheme != "https" && (known || !insecure):
		p.add(where, "must be https; insecure_providers: true allows http for stand-ins")
	case !known && !insecure:
		p.add(where, "is not a known host of %s (%s); insecure_providers: true allows another for stand-ins",
			provider.Type, strings.Join(provider.Adapter.AllowedHosts(), ", "))
	}
}

func allowedHost(allowed []string, host string) bool {
	host = strings.ToLower(host)
	if _, err := netip.ParseAddr(host); err == nil {
		return false
	}
	return slices.ContainsFunc(allowed, func(a string) bool {
		suffix, wild := strings.CutPrefix(a, "*")
		return wild && strings.HasSuffix(host, suffix) && len(host) > len(suffix) || a == host
	})
}

func checkCountries(p *problems, where path, countries []string) {
	for i, country := range countries {
		if country != "" && !normalize.ValidCountry(country) {
			p.add(where.with(i), "must be an ISO 3166-1 alpha-2 code in upper case, such as US")
		}
	}
}

func checkCurrencies(p *problems, where path, currencies []string) {
	for i, currency := range currencies {
		if currency != "" && !normalize.ValidCurrency(currency) {
			p.add(where.with(i), "must be an ISO 4217 code in upper case, such as USD")
		}
	}
}

func joined[T any](items []T, name func(T) string) string {
	out := make([]string, len(items))
	for i, item := range items {
		out[i] = name(item)
	}
	return strings.Join(out, ", ")
}

// unique finds what is used twice.
type unique map[string]path

func (u unique) check(p *problems, where path, s string) {
	if s == "" {
		return
	}
	if first, dup := u[s]; dup {
		_, line := p.doc.where(first)
		p.add(where, "is used twice, first on line %s: change one", strconv.Itoa(line))
		return
	}
	u[s] = where
}
