package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/config"
	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/boltstore"
	"github.com/polyvault/polyvault/gateway/httpapi"
	"github.com/polyvault/polyvault/gateway/journal"
	"github.com/polyvault/polyvault/gateway/redisstore"
)

// openTimeout bounds the checks of a store at the start.
const openTimeout = 10 * time.Second

// openStore opens the configured store. It does not wait for one that is away:
// what starts the gateway knows better when to try again. tel is shown the store.
func openStore(ctx context.Context, c *config.Config, tel *telemetry, log *zap.Logger) (gateway.Store, error) {
	if bolt := c.Store.Bolt; bolt != nil {
		if c.Store.Defaulted {
			log.Warn("NO STORE IS CONFIGURED: records are kept in one local file, for one gateway only; set store.redis for more", zap.String("path", bolt.Path))
		}
		return boltstore.Open(boltstore.Config{Path: bolt.Path})
	}
	r := c.Store.Redis
	rc := redisstore.Config{
		URL: r.URL.Value.Reveal(), Addrs: r.Addrs, MasterName: r.MasterName, Cluster: r.Cluster,
		Username: r.Username, Password: r.Password.Value, KeyPrefix: r.KeyPrefix,
		SentinelUsername: r.SentinelUsername, SentinelPassword: r.SentinelPassword.Value,
		DialTimeout: time.Duration(r.DialTimeout), ReadTimeout: time.Duration(r.ReadTimeout), PoolSize: r.PoolSize,
		Durability: redisstore.Durability(r.Durability), Trace: tel.redisTrace(),
	}
	if r.Replicas != nil {
		if rc.Replicas = *r.Replicas; rc.Replicas == 0 {
			rc.Replicas = -1 // the store takes 0 for its default
		}
	}
	if r.TLS {
		rc.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if rc.Durability == redisstore.Dev {
		log.Warn("DURABILITY IS dev: a restart of Redis loses records; never use it with real instruments")
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	store, err := redisstore.Open(ctx, rc)
	if err != nil {
		return nil, err
	}
	tel.redis = store
	for _, warning := range store.Warnings() {
		log.Warn("the store is not set up for records: " + warning)
	}
	return store, nil
}

// openJournaled opens the configured store for a gateway: with its journal, if it
// is to have one.
func openJournaled(ctx context.Context, c *config.Config, tel *telemetry, log *zap.Logger) (gateway.Store, error) {
	store, err := openStore(ctx, c, tel, log)
	if err != nil || c.Store.Journal == nil {
		return store, err
	}
	j, err := journal.Open(journal.Config{ //nolint:contextcheck // ctx is the start's; the journal outlives it
		Folder: c.Store.Journal.Path, Key: referenceKeys(c)[0],
		// A journal promises what its store does.
		Sync: c.Store.Redis == nil || redisstore.Durability(c.Store.Redis.Durability) == redisstore.Strict,
		OnError: func(err error) {
			log.Error("the journal lacks entries that the store has: make a backup", zap.Error(err))
		},
	})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return journal.Wrap(store, j), nil
}

func referenceKeys(c *config.Config) gateway.Keys {
	var out gateway.Keys
	for _, k := range c.Keys.Reference {
		out = append(out, gateway.ReferenceKey{ID: k.ID, Secret: k.Bytes})
	}
	return out
}

// gatewayConfig is what the gateway takes from a configuration whose providers are open.
func gatewayConfig(c *config.Config, opened map[string]openedProvider, store gateway.Store, log *zap.Logger) gateway.Config {
	gc := gateway.Config{
		Store: store, Keys: referenceKeys(c), Encryption: encryptionKeys(c), Owner: owner(), Log: log,
		StaleIfError:   time.Duration(c.Reads.StaleIfError),
		Lease:          time.Duration(c.Lease),
		PromoteDefault: c.Deletes.DefaultInstrument == "promote",
		ReconcileEvery: time.Duration(c.Reconcile.Interval),
		ReconcileRate:  float64(c.Reconcile.Rate),
		Settle:         time.Duration(c.Reconcile.Settle),
		Events:         eventConfig(c),
	}
	if gc.StaleIfError == 0 {
		gc.StaleIfError = -1 // the gateway takes 0 for its default
	}
	for _, t := range c.Tenants {
		gc.Tenants = append(gc.Tenants, gateway.Tenant{
			Name: t.Name, AcceptRawCard: t.AcceptRawCard, Duplicates: gateway.Duplicates(t.Duplicates),
			Limits: gatewayLimits(c.LimitsOf(t)), Events: eventEndpoints(t),
		})
	}
	gc.Routes = gatewayRoutes(c)
	for _, p := range c.Providers {
		gc.Providers = append(gc.Providers, gateway.ProviderConfig{
			Name: p.Name, Adapter: opened[p.Name].adapter, Timeout: time.Duration(p.Timeout), MaxInFlight: p.MaxInFlight, Disabled: p.Disabled,
			RetryBudget: float64(p.RetryBudget),
			Charges:     gateway.Charges(p.Charges),
			Breaker: gateway.BreakerConfig{
				Window: time.Duration(p.Breaker.Window), MinRequests: p.Breaker.MinRequests, FailureRatio: p.Breaker.FailureRatio,
				ConsecutiveFailures: p.Breaker.ConsecutiveFailures, Probes: p.Breaker.Probes,
				SlowCall: time.Duration(p.Breaker.SlowCall), SlowRatio: p.Breaker.SlowRatio,
				OpenFor: time.Duration(p.Breaker.OpenFor), OpenForMax: time.Duration(p.Breaker.OpenForMax),
			},
		})
	}
	return gc
}

func gatewayRoutes(c *config.Config) []gateway.Route {
	out := make([]gateway.Route, len(c.Routes))
	for i, r := range c.Routes {
		m := r.Match
		out[i] = gateway.Route{
			Name: r.Name, Providers: r.Providers, Strategy: gateway.Strategy(r.Strategy), Weights: r.Weights, Mirrors: r.Mirrors,
			Match: gateway.Match{
				Tenant: m.Tenant, Country: m.Country, Currency: m.Currency, Type: m.Type, Brand: m.Brand,
				BIN: m.BIN, Metadata: m.Metadata, Source: m.Source,
			},
		}
		if share := m.Customer; share != nil {
			out[i].Match.Customer = &gateway.CustomerRange{From: hundredths(share.From), Below: hundredths(share.Below)}
		}
	}
	return out
}

// hundredths turns percent into the gateway's unit. The configuration has at most two
// decimals, of which a float64 may be a little less.
func hundredths(percent float64) int { return int(math.Round(percent * 100)) }

func apiKeys(c *config.Config) ([]httpapi.APIKey, error) {
	var keys []httpapi.APIKey
	for _, t := range c.Tenants {
		for _, k := range t.APIKeys {
			digest, err := httpapi.ParseDigest(k.SHA256)
			if err != nil {
				return nil, fmt.Errorf("API key %s of tenant %s: sha256 %w", k.Name, t.Name, err)
			}
			key := httpapi.APIKey{Tenant: t.Name, Name: k.Name, SHA256: digest, NotAfter: k.End()}
			for _, s := range k.Scopes {
				key.Scopes = append(key.Scopes, httpapi.Scope(s))
			}
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// owner names this process in leases: the host, for whoever reads a record, and
// a random part, since two gateways may share a host.
func owner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails: it ends the process instead
	return host + "-" + hex.EncodeToString(b)
}
