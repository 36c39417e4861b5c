package main

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/polyvault/polyvault/adapters/bigcommerce/bigcommercetest"
	"github.com/polyvault/polyvault/adapters/cybersource/cybersourcetest"
	"github.com/polyvault/polyvault/adapters/rebilly/rebillytest"
)

// tlsPortOffset is how far above its port CyberSource's stand-in listens with TLS.
const tlsPortOffset = 1000

// sandboxOptions are where the stand-ins listen, and their credentials.
type sandboxOptions struct {
	cybersource, rebilly, bigcommerce string // host:port; "" leaves it out
	tlsCAOut                          string

	cybersourceOptions cybersourcetest.Options
	rebillyOptions     rebillytest.Options
	bigcommerceOptions bigcommercetest.Options
}

func newSandbox() *cobra.Command {
	var o sandboxOptions
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Run the stand-in providers only",
		Long: "Run stateful stand-ins of the three providers, for development and CI.\n" +
			"Each serves GET /_sandbox/state, PUT /_sandbox/faults, POST /_sandbox/seed, PUT /_sandbox/secrets and POST /_sandbox/reset beside the provider's API.\n" +
			"Seeding with {\"customers\", \"each\", \"first\", \"provider\"} makes customers with so many cards each, and answers a file for polyvault import.\n" +
			"Secrets are {\"secrets\": […]}: the credentials that are accepted from now on, more than one while they are exchanged;\n" +
			"CyberSource's are a key id, a colon and the shared secret. GET tells how often each was used.\n" +
			"PUT /_sandbox/webhooks says where webhooks of changes go and how they are signed: {\"url\", \"key_id\", \"key\"} for CyberSource,\n" +
			"{\"url\", \"username\", \"password\"} for Rebilly, {\"url\", \"secret\"} for BigCommerce. POST /_sandbox/change makes a change behind\n" +
			"the gateway's back: {\"instrument\", \"exp_month\", \"exp_year\", \"default\", \"gone\", \"quiet\"}.\n" +
			"A fault is {\"method\", \"path\", \"fault\", \"times\", \"delay_ms\", \"status\", \"probability\"}; all but \"fault\" may be left out:\n" +
			"without times it stays, with a probability below 1 it hits at random.",
		Args: cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error { return runSandbox(cmd, o) }),
	}
	f := cmd.Flags()
	f.StringVar(&o.cybersource, "cybersource", "127.0.0.1:9101", "address of CyberSource's stand-in; empty for none")
	f.StringVar(&o.rebilly, "rebilly", "127.0.0.1:9102", "address of Rebilly's stand-in; empty for none")
	f.StringVar(&o.bigcommerce, "bigcommerce", "127.0.0.1:9103", "address of BigCommerce's stand-in; empty for none")
	f.StringVar(&o.tlsCAOut, "tls-ca-out", "", "also serve CyberSource's stand-in with TLS on its port + 1000, and write the certificate authority to this file")
	cs := &o.cybersourceOptions
	f.StringVar(&cs.MerchantID, "cybersource-merchant-id", cybersourcetest.DefaultMerchantID, "CyberSource merchant")
	f.StringVar(&cs.KeyID, "cybersource-key-id", cybersourcetest.DefaultKeyID, "CyberSource key id")
	f.StringVar(&cs.SharedSecret, "cybersource-shared-secret", cybersourcetest.DefaultSharedSecret, "CyberSource shared secret, base64")
	rb := &o.rebillyOptions
	f.StringVar(&rb.Organization, "rebilly-organization-id", rebillytest.Organization, "Rebilly organization")
	f.StringVar(&rb.SecretKey, "rebilly-api-key", rebillytest.SecretKey, "Rebilly secret API key")
	bc := &o.bigcommerceOptions
	f.StringVar(&bc.StoreHash, "bigcommerce-store-hash", bigcommercetest.DefaultStoreHash, "BigCommerce store hash")
	f.StringVar(&bc.AccessToken, "bigcommerce-access-token", bigcommercetest.DefaultAccessToken, "BigCommerce access token")
	return cmd
}

func runSandbox(cmd *cobra.Command, o sandboxOptions) error {
	if !isBase64(o.cybersourceOptions.SharedSecret) {
		return usagef("--cybersource-shared-secret must be base64")
	}
	ctx, cancel := context.WithCancel(cmd.Context())
	var running []*standIn
	defer func() {
		cancel()
		for _, s := range running {
			_ = s.stop()
		}
	}()
	start := func(s *standIn, addr string) error {
		if addr == "" {
			return nil
		}
		running = append(running, s)
		return s.start(ctx, addr, nil)
	}
	cybersource := newStandIn("cybersource", cybersourcetest.New(o.cybersourceOptions))
	rebilly := newStandIn("rebilly", rebillytest.New(o.rebillyOptions))
	bigcommerce := newStandIn("bigcommerce", bigcommercetest.New(o.bigcommerceOptions))
	err := errors.Join(start(cybersource, o.cybersource), start(rebilly, o.rebilly), start(bigcommerce, o.bigcommerce))
	if err != nil {
		return err
	}
	out := &printer{w: cmd.OutOrStdout()}
	if o.cybersource != "" {
		out.printf("cybersource  %s  merchant_id %s  key_id %s  shared_secret %s\n", cybersource.url(),
			o.cybersourceOptions.MerchantID, o.cybersourceOptions.KeyID, o.cybersourceOptions.SharedSecret)
	}
	if o.cybersource != "" && o.tlsCAOut != "" {
		secure := newStandIn("cybersource", cybersource.server)
		if err := startTLS(ctx, secure, cybersource.addr, o.tlsCAOut); err != nil {
			return err
		}
		running = append(running, secure)
		out.printf("cybersource  %s  with TLS; certificate authority in %s\n", secure.url(), o.tlsCAOut)
	}
	if o.rebilly != "" {
		out.printf("rebilly      %s  organization_id %s  api_key %s\n", rebilly.url(), o.rebillyOptions.Organization, o.rebillyOptions.SecretKey)
	}
	if o.bigcommerce != "" {
		out.printf("bigcommerce  %s  store_hash %s  access_token %s  customers 1 to 100\n", bigcommerce.url(),
			o.bigcommerceOptions.StoreHash, o.bigcommerceOptions.AccessToken)
	}
	if out.err != nil {
		return out.err
	}
	return wait(ctx, running)
}

// startTLS serves a stand-in with TLS beside its plain address.
func startTLS(ctx context.Context, s *standIn, plain, caFile string) error {
	host, port, err := net.SplitHostPort(plain)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	ca, conf, err := newTLS()
	if err != nil {
		return err
	}
	//nolint:gosec // a certificate is public, and clients may run as other users
	if err := os.WriteFile(caFile, ca, 0o644); err != nil {
		return err
	}
	if n += tlsPortOffset; n > 65535 {
		n = 0 // a port above the last: any free one
	}
	return s.start(ctx, net.JoinHostPort(host, strconv.Itoa(n)), conf)
}

// wait returns when ctx is done, or with the error of the first stand-in that ends.
func wait(ctx context.Context, running []*standIn) error {
	ended := make(chan error, len(running))
	for _, s := range running {
		go func() {
			<-s.done
			ended <- s.err
		}()
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-ended:
		return err
	}
}
