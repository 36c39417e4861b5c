package main

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/polyvault/polyvault/adapters/bigcommerce/bigcommercetest"
	"github.com/polyvault/polyvault/adapters/cybersource/cybersourcetest"
	"github.com/polyvault/polyvault/adapters/rebilly/rebillytest"
	"github.com/polyvault/polyvault/config"
	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/httpapi"
)

func newDemo() *cobra.Command {
	var listen, key string
	var tour bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run everything with nothing installed: three stand-in providers, the gateway, an embedded store",
		Args:  cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) (err error) {
			if key != "" && !httpapi.ValidAPIKey(key) {
				return usagef("--api-key must have the form pv_<env>_<8 characters>_<22 to 128 characters>, of A-Z a-z 0-9")
			}
			if tour && !cmd.Flags().Changed("listen") {
				listen = "127.0.0.1:0" // beside whatever runs already
			}
			d, err := startDemo(cmd.Context(), listen, key, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, d.close(cmd.Context())) }()
			out := &printer{w: cmd.OutOrStdout()}
			if tour {
				return runTour(cmd.Context(), d, out)
			}
			d.introduce(out)
			if out.err != nil {
				return out.err
			}
			select {
			case <-cmd.Context().Done():
				return nil
			case err := <-d.server.ended:
				d.server.ended <- nil
				return err
			}
		}),
	}
	f := cmd.Flags()
	f.StringVar(&listen, "listen", "127.0.0.1:8080", "host:port of the API; the tour takes any free port")
	f.StringVar(&key, "api-key", "", "the API key to accept; default a new one")
	f.BoolVar(&tour, "tour", false, "walk through the API, print every call and answer, and end")
	return cmd
}

// demo is the gateway and its stand-in providers in one process. It runs off a
// configuration file like any other gateway.
type demo struct {
	folder string
	key    string
	store  gateway.Store
	live   *live
	server *server

	stops                             []func() // of what runs in the background
	cybersource, rebilly, bigcommerce *standIn
}

func startDemo(ctx context.Context, listen, key string, stderr io.Writer) (_ *demo, err error) {
	d := &demo{key: key}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close(ctx))
		}
	}()
	log, level, err := newLogger(config.Log{Level: "error", Format: "console"}, stderr)
	if err != nil {
		return nil, err
	}
	if d.key == "" {
		if d.key, err = httpapi.NewAPIKey("test"); err != nil {
			return nil, err
		}
	}
	if d.folder, err = os.MkdirTemp("", "polyvault-demo-"); err != nil {
		return nil, err
	}
	// Stand-ins end with the demo, not with ctx: a request in flight is still answered.
	background := context.WithoutCancel(ctx)
	d.cybersource = newStandIn("cybersource", cybersourcetest.New(cybersourcetest.Options{}))
	d.rebilly = newStandIn("rebilly", rebillytest.New(rebillytest.Options{}))
	d.bigcommerce = newStandIn("bigcommerce", bigcommercetest.New(bigcommercetest.Options{}))
	for _, s := range d.standIns() {
		if err := s.start(background, "127.0.0.1:0", nil); err != nil {
			return nil, err
		}
	}
	if err := d.writeConfig([]string{"cybersource-us", "rebilly-main"}); err != nil {
		return nil, err
	}
	// The process' environment is left out: a variable for another gateway on this
	// machine must not point the demo at its store.
	none := func(string) (string, bool) { return "", false }
	read := fileSource(d.configFile(), config.Options{LookupEnv: none, Scopes: scopeNames()})
	c, files, err := read()
	if err != nil {
		return nil, err
	}
	tel := newTelemetry()
	if d.store, err = openStore(ctx, c, tel, log); err != nil {
		return nil, err
	}
	if d.live, err = newLive(read, c, files, d.store, nil, tel, log, level); err != nil { //nolint:contextcheck // requests bring their own
		return nil, err
	}
	d.stops = append(d.stops, d.live.close, inBackground(ctx, d.live.service.Reconcile),
		inBackground(ctx, func(ctx context.Context) { d.live.follow(ctx, nil) }))
	d.server, err = serveOn(ctx, listen, d.live.api.Handler(), log)
	return d, err
}

func (d *demo) standIns() []*standIn { return []*standIn{d.cybersource, d.rebilly, d.bigcommerce} }

// close stops everything and removes the folder. ctx may be over already.
func (d *demo) close(ctx context.Context) error {
	var errs []error
	for _, stop := range d.stops {
		stop()
	}
	if d.server != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		errs = append(errs, d.server.shutdown(ctx))
	}
	if d.store != nil {
		errs = append(errs, d.store.Close())
	}
	for _, s := range d.standIns() {
		if s != nil {
			errs = append(errs, s.stop())
		}
	}
	if d.folder != "" {
		errs = append(errs, os.RemoveAll(d.folder))
	}
	return errors.Join(errs...)
}

// introduce prints what a newcomer needs.
func (d *demo) introduce(out *printer) {
	out.printf("polyvault demo\n\n  API      http://%s   documentation at /docs\n  key      %s\n", d.server.addr, d.key)
	for _, s := range d.standIns() {
		out.printf("  %-11s  %s   its state: %s/_sandbox/state\n", s.name, s.url(), s.url())
	}
	out.printf(`
Store a card (a published test number):

  curl -si http://%s/v1/instruments \
    -H 'Authorization: Bearer %s' \
    -H 'Content-Type: application/json' -H "Idempotency-Key: $(date +%%s)" \
    -d '{"customer_id":"cus-42","country":"US","sources":[{"type":"card","number":"4111111111111111","exp_month":12,"exp_year":2031}],
         "billing_address":{"first_name":"Ada","last_name":"Lovelace","line1":"1 Main St","city":"Austin","region":"TX","postal_code":"78701","country":"US"}}'

Switch a route by editing the file; the next request goes by it:

  %s

polyvault demo --tour walks through the rest. Ctrl-C ends; nothing is kept.
`, d.server.addr, d.key, d.configFile())
}
