package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/config"
	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/rehearsal"
)

// openRecorder opens what decisions are recorded in; recorder is nil if they are not.
func openRecorder(c *config.Config, log *zap.Logger) (recorder gateway.Recorder, closeIt func() error, err error) {
	if !c.Rehearsal.Record {
		return nil, func() error { return nil }, nil
	}
	f, err := rehearsal.Open(rehearsal.Config{Path: c.Rehearsal.Path, MaxBytes: int64(c.Rehearsal.MaxBytes), Log: log})
	if err != nil {
		return nil, nil, err
	}
	return f, f.Close, nil
}

func newRoutes() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "routes",
		Short: "Try out routes before they are used",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return usagef("a command is required: rehearse") },
	}
	cmd.AddCommand(newRehearse())
	return cmd
}

func newRehearse() *cobra.Command {
	var next, requests, against string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "rehearse --config NEW --requests FILE",
		Short: "Show which recorded requests would go another way with a new configuration",
		Long: `Show which recorded requests would go another way with a new configuration. FILE is
what a gateway wrote that has rehearsal: {record: true}. Nothing is sent anywhere, and no
secret needs to be there. It does not fail because something moves.`,
		Args: cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			report, err := rehearse(next, against, requests)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(report)
			}
			return printRehearsal(cmd.OutOrStdout(), report)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&next, "config", "", "the new configuration (required)")
	f.StringVar(&requests, "requests", "", "the recorded requests (required)")
	f.StringVar(&against, "against", "", "compare with what this configuration decides; default: with what was decided")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	for _, name := range []string{"config", "requests"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // a mistake of ours: the flag is defined just above
		}
	}
	return cmd
}

func rehearse(next, against, requests string) (report rehearsal.Report, err error) {
	setup, err := loadSetup(next)
	if err != nil {
		return report, err
	}
	var old *rehearsal.Setup
	if against != "" {
		before, err := loadSetup(against)
		if err != nil {
			return report, err
		}
		old = &before
	}
	f, err := os.Open(filepath.Clean(requests))
	if err != nil {
		return report, fmt.Errorf("cannot read the recorded requests: %w", err)
	}
	report, err = rehearsal.Compare(f, old, setup)
	if err := errors.Join(err, f.Close()); err != nil {
		return report, fmt.Errorf("%s: %w", requests, err)
	}
	return report, nil
}

// loadSetup reads a configuration for what it would decide. The adapters are opened for
// what they accept, with made-up credentials, and are never called.
func loadSetup(file string) (rehearsal.Setup, error) {
	c, err := loadConfigWith(file, config.Options{LookupEnv: os.LookupEnv, Scopes: scopeNames(), WithoutSecrets: true})
	if err != nil {
		return rehearsal.Setup{}, err
	}
	out := rehearsal.Setup{Routes: gatewayRoutes(c)}
	for _, p := range c.Providers {
		adapter, err := p.Adapter.Open(adapters.Env{HTTP: &http.Client{}})
		if err != nil {
			return out, fmt.Errorf("provider %s: %w", p.Name, err)
		}
		out.Providers = append(out.Providers, gateway.FactsOf(p.Name, adapter, p.Disabled))
	}
	return out, nil
}

// printRehearsal is the report for people.
func printRehearsal(w io.Writer, r rehearsal.Report) error {
	p := &printer{w: w}
	p.printf("%s, recorded from %s to %s\n\n", requestCount(r.Requests), r.First.Format(time.RFC3339), r.Last.Format(time.RFC3339))
	p.printf("%8d to another provider\n%8d to other mirrors only\n%8d by another route only\n%8d unchanged\n", r.OtherProvider, r.OtherMirrors, r.OtherRoute, r.Unchanged)
	if r.OtherFallbacks > 0 {
		p.printf("\n%s would have other providers to fall back on.\n", requestCount(r.OtherFallbacks))
	}
	if r.Uncertain > 0 {
		p.printf("\n%s cannot be told for sure: the routes match on a metadata key, or on digits of the\ncard number, that were not recorded. They are shown as if that did not match.\n", requestCount(r.Uncertain))
	}
	if r.Unfinished {
		p.printf("\nThe last line of the file has no end yet, and is left out.\n")
	}
	for _, m := range r.Moves {
		p.printf("\n%s\n  from %s\n    to %s\n", requestCount(m.Count), destination(m.From), destination(m.To))
		printExamples(p, m.Examples)
	}
	if r.Untaken > 0 {
		p.printf("\nNOBODY WOULD TAKE %s any more:\n", requestCount(r.Untaken))
		printExamples(p, r.UntakenExamples)
	}
	return p.err
}

func requestCount(n int) string {
	if n == 1 {
		return "1 request"
	}
	return fmt.Sprintf("%d requests", n)
}

// destination is "ROUTE: PROVIDER and mirrors A, B".
func destination(d rehearsal.Destination) string {
	route, provider := d.Route, d.Provider
	if route == "" {
		route = "no route"
	}
	if provider == "" {
		provider = "nobody"
	}
	if len(d.Mirrors) > 0 {
		return route + ": " + provider + ", mirrored at " + strings.Join(d.Mirrors, ", ")
	}
	return route + ": " + provider
}

func printExamples(p *printer, examples []rehearsal.Example) {
	for _, e := range examples {
		parts := []string{e.Time.Format(time.RFC3339), e.Tenant}
		for _, s := range []string{e.Type, e.Brand, e.Country} {
			if s != "" {
				parts = append(parts, s)
			}
		}
		if e.Customer != 0 {
			parts = append(parts, fmt.Sprintf("customer %016x", uint64(e.Customer)))
		}
		p.printf("      %s\n", strings.Join(parts, " "))
	}
}
