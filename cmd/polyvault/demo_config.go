package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/polyvault/polyvault/adapters/bigcommerce/bigcommercetest"
	"github.com/polyvault/polyvault/adapters/cybersource/cybersourcetest"
	"github.com/polyvault/polyvault/adapters/rebilly/rebillytest"
)

// configFile is where the demo's configuration is.
func (d *demo) configFile() string { return filepath.Join(d.folder, "polyvault.yaml") }

// writeConfig writes the configuration with a given order of providers for cards
// from the US.
func (d *demo) writeConfig(cardProviders []string) error {
	keyFile := filepath.Join(d.folder, "reference.key")
	if _, err := os.Stat(keyFile); errors.Is(err, os.ErrNotExist) {
		b := make([]byte, 32)
		_, _ = rand.Read(b) // never fails: it ends the process instead
		if err := os.WriteFile(keyFile, []byte(base64.StdEncoding.EncodeToString(b)), 0o600); err != nil {
			return err
		}
	}
	text := fmt.Sprintf(demoConfig, d.folder, keyLine("demo", d.key, scopeNames()), d.cybersource.url(), d.rebilly.url(), d.bigcommerce.url(),
		cardProviders[0], cardProviders[1])
	return wholeFile(d.configFile(), func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
}

// demoConfig has shorter times than a gateway would have by default: who takes a
// provider down and up again by hand wants to see what comes of it.
const demoConfig = `admin_listen: ""
store:
  bolt: {path: %s/polyvault.db}
keys:
  reference: file:reference.key
tenants:
  - name: demo
    accept_raw_card: true
    api_keys:
      %s
providers:
  - name: cybersource-us
    type: cybersource
    breaker: {consecutive_failures: 3, open_for: 1s, open_for_max: 4s}
    config:
      base_url: %s
      merchant_id: ` + cybersourcetest.DefaultMerchantID + `
      key_id: ` + cybersourcetest.DefaultKeyID + `
      shared_secret: ` + cybersourcetest.DefaultSharedSecret + `
  - name: rebilly-main
    type: rebilly
    breaker: {consecutive_failures: 3, open_for: 1s, open_for_max: 4s}
    config:
      base_url: %s
      organization_id: ` + rebillytest.Organization + `
      api_key: ` + rebillytest.SecretKey + `
  - name: bigcommerce-main
    type: bigcommerce
    breaker: {consecutive_failures: 3, open_for: 1s, open_for_max: 4s}
    charges: {currencies: [USD]}
    config:
      base_url: %s
      store_hash: ` + bigcommercetest.DefaultStoreHash + `
      access_token: ` + bigcommercetest.DefaultAccessToken + `
routes:
  - name: us-cards
    match: {country: [US], source: [card]}
    providers: [%s, %s]
    mirrors: [bigcommerce-main]
  - name: vaulted
    match: {source: [vaulted_token]}
    providers: [bigcommerce-main]
  - name: default
    providers: [rebilly-main, cybersource-us]
reconcile: {interval: 200ms, settle: 200ms}
log: {level: error, format: console}
insecure_providers: true
`
