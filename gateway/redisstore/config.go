// Package redisstore keeps the gateway's records in Redis 6.2 or later: one
// server, a master watched by Sentinels, or a Cluster.
//
// # Keys
//
// With the default prefix "pv:" an entry is the hash pv:{key} with the fields v
// (version), n (nonce of the last write) and d (data); a claim is the string
// pv:claim:{key}; an index is the sorted set pv:idx:{index}, every score 0. The
// braces make each of them a hash slot of its own, whatever it contains. The hash
// pv:replids has the replication ids of the masters that were met, each with the
// time of that in microseconds, or 0 if the store was new then.
//
// # Round trips
//
// Load, Scan and Write are one pipeline each. A script does the compare-and-swap
// on the server. On one server and with Sentinel the same script changes the
// indexes, so a write is atomic but for its claims. On a Cluster the indexes live
// in other slots than the entry, where a script cannot reach: a write with index
// changes is a second pipeline after the first, sent only if the entry was
// written. If the process dies between the two an index lacks a change until the
// same write is tried again, and two writers of one entry may reach an index in
// the other order; so whoever reads an index checks what it says against the
// entries, and an index can be rebuilt from them.
//
// # Durability
//
// Under [Strict] a WAITAOF (Redis 7.2 and later) or a WAIT stands behind what a write
// sends to each server, in the same pipeline. If it falls short the write is an error,
// may have happened, and can be sent again. Before 7.2 the reply itself comes after the
// master's fsync (appendfsync always), and replicas confirm what they have in memory.
// Load and Scan wait for nothing: they may show what is not durable yet. Where memory
// is full a write that would only find another's entry is refused, too.
//
// A restart and a failover are noticed by the master's replication id: see
// [Store.ForgotAt].
package redisstore

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/polyvault/polyvault/normalize"
)

// Durability says what the operator expects to survive a failure of Redis.
type Durability string

const (
	// Dev promises nothing. It is for tests and demonstrations.
	Dev Durability = "dev"
	// Standard survives a crash of any process; a power cut or a failover may
	// lose the last second. It needs an append-only file.
	Standard Durability = "standard"
	// Strict survives a power cut, and the loss of as many servers as Replicas says:
	// a write returns only when it is on the master's disk and so many replicas have
	// it, on theirs too if they are Redis 7.2 or later. [Open] refuses a server that
	// cannot promise it as far as the server tells.
	Strict Durability = "strict"
)

// Config says where Redis is. URL or Addrs must be set; every other field has a
// usable zero value.
type Config struct {
	// URL is redis://[user[:password]@]host[:port][/database], or rediss:// for
	// TLS. Options in a query are refused: they are fields of Config.
	URL string
	// Addrs, instead of URL, are host:port of one server, of the Sentinels, or of
	// some nodes of the Cluster, from which the others are learnt.
	Addrs      []string
	MasterName string // the master's name at the Sentinels; "" without Sentinel
	Cluster    bool   // the addresses are nodes of a Redis Cluster

	Username string           // ACL user; default the user in URL, or Redis' own "default"
	Password normalize.Secret // default the password in URL, or none
	// SentinelUsername and SentinelPassword are for the Sentinels themselves; default none.
	SentinelUsername string
	SentinelPassword normalize.Secret
	TLS              *tls.Config // default none, or TLS 1.2 and later with the system's roots for rediss://

	KeyPrefix   string        // before every key; default "pv:"
	DialTimeout time.Duration // to connect, including TLS; default 2s
	ReadTimeout time.Duration // to write a request, and again to read its reply; default 2s
	PoolSize    int           // connections per server; default 10 per CPU
	Durability  Durability    // default Standard
	Trace       Trace         // is told of what is sent to the servers; default none
	// Replicas must confirm each write under [Strict]. Where fewer than that can be
	// reached nothing is written, so have one more. Up to 9; default 1 with Sentinel or
	// Cluster, else none; -1 for none there too, which gives up what a failover loses.
	Replicas int
}

const (
	defaultPrefix  = "pv:"
	defaultTimeout = 2 * time.Second
	maxReplicas    = 9
)

// Validate returns what is wrong, one message for each problem, each beginning
// with the field's name. A message never holds a credential.
func (c Config) Validate() []string {
	var problems []string
	switch {
	case c.URL == "" && len(c.Addrs) == 0:
		problems = append(problems, "URL: set it, or Addrs")
	case c.URL != "" && len(c.Addrs) > 0:
		problems = append(problems, "URL: set either URL or Addrs, not both")
	case c.URL != "":
		if problem := checkURL(c.URL, c.Cluster); problem != "" {
			problems = append(problems, "URL: "+problem)
		}
	case len(c.Addrs) > 1 && !c.Cluster && c.MasterName == "":
		problems = append(problems, "Addrs: several addresses need Cluster, or MasterName for Sentinel")
	}
	if c.Cluster && c.MasterName != "" {
		problems = append(problems, "MasterName: a Cluster has no Sentinels; set either MasterName or Cluster")
	}
	switch c.Durability {
	case "", Dev, Standard, Strict:
	default:
		problems = append(problems, `Durability: must be "dev", "standard" or "strict"`)
	}
	if c.Replicas < -1 || c.Replicas > maxReplicas {
		problems = append(problems, fmt.Sprintf("Replicas: must be from -1 to %d", maxReplicas))
	}
	if c.DialTimeout < 0 || c.ReadTimeout < 0 {
		problems = append(problems, "DialTimeout, ReadTimeout: must not be negative")
	}
	if c.PoolSize < 0 {
		problems = append(problems, "PoolSize: must not be negative")
	}
	return problems
}

// checkURL does not quote the URL, nor the parser's error that quotes it: there
// may be a password in it.
func checkURL(raw string, cluster bool) string {
	const form = "must be redis://[user[:password]@]host[:port][/database], or rediss:// for TLS"
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "redis" && u.Scheme != "rediss") || u.Host == "" {
		return form
	}
	if u.RawQuery != "" {
		return "must not have a query; set the fields of the configuration instead"
	}
	opts, err := redis.ParseURL(raw)
	if err != nil {
		return form
	}
	if cluster && opts.DB != 0 {
		return "a Cluster has only database 0"
	}
	return ""
}

// options fills in the defaults. The configuration must be valid.
func (c Config) options() (*redis.UniversalOptions, error) {
	if problems := c.Validate(); len(problems) > 0 {
		return nil, errors.New(strings.Join(problems, "; "))
	}
	o := &redis.UniversalOptions{
		Protocol:         2, // nothing of RESP3 is used, and its push messages cost a look at every reply
		Addrs:            c.Addrs,
		MasterName:       c.MasterName,
		Username:         c.Username,
		Password:         c.Password.Reveal(),
		SentinelUsername: c.SentinelUsername,
		SentinelPassword: c.SentinelPassword.Reveal(),
		TLSConfig:        c.TLS,
		DialTimeout:      orDefault(c.DialTimeout),
		ReadTimeout:      orDefault(c.ReadTimeout),
		WriteTimeout:     orDefault(c.ReadTimeout),
		PoolSize:         c.PoolSize,
		// A caller's deadline would otherwise not reach the socket.
		ContextTimeoutEnabled: true,
		// The commands are tried again already; dialling five times within each
		// try would only delay the answer that the server is away.
		DialerRetries:            1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if c.URL == "" {
		return o, nil
	}
	parsed, err := redis.ParseURL(c.URL)
	if err != nil {
		return nil, errors.New("URL: cannot be read") // its error would quote the URL
	}
	o.Addrs, o.DB = []string{parsed.Addr}, parsed.DB
	if c.Username == "" {
		o.Username = parsed.Username
	}
	if c.Password.IsZero() {
		o.Password = parsed.Password
	}
	if c.TLS == nil {
		o.TLSConfig = parsed.TLSConfig
	}
	return o, nil
}

// barrier is what every write waits for; whether there is WAITAOF is not known yet.
func (c Config) barrier() barrier {
	if c.Durability != Strict {
		return barrier{}
	}
	// Half of what a reply may take, so that the server says how many there were.
	b := barrier{replicas: max(c.Replicas, 0), timeout: max(orDefault(c.ReadTimeout)/2, time.Millisecond)} // 0 would be for ever
	if c.Replicas == 0 && !c.alone() {
		b.replicas = 1
	}
	return b
}

// alone reports whether no other server takes the place of the one that is configured.
func (c Config) alone() bool { return !c.Cluster && c.MasterName == "" && c.Replicas <= 0 }

func orDefault(d time.Duration) time.Duration {
	if d == 0 {
		return defaultTimeout
	}
	return d
}

// where names the addresses for an error; they hold no credential.
func where(o *redis.UniversalOptions) string {
	if o.MasterName != "" {
		return fmt.Sprintf("master %q of the Sentinels at %s", o.MasterName, strings.Join(o.Addrs, ", "))
	}
	return strings.Join(o.Addrs, ", ")
}
