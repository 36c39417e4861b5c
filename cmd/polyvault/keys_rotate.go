package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/polyvault/polyvault/config"
	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/boltstore"
)

// rotateAtOnce is how many values are sealed at the same time.
const rotateAtOnce = 16

func newKeysRotate() *cobra.Command {
	var file string
	var dryRun, offline bool
	cmd := &cobra.Command{
		Use:   "rotate-at-rest --config FILE",
		Short: "Seal everything in the store under the current encryption key, now",
		Long: `Seal everything in the store under the current encryption key, now, and open all of it
on the way. Gateways do the same by themselves, in the background; this is for who does
not want to wait, or wants to know. They may be serving, but not with the same bbolt
file. It may be stopped at any point and begun again. Printed are the values under each
key; "none" is what an earlier release stored in the clear. It fails if a value cannot be
opened, and names its record.`,
		Args: cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			c, err := loadConfig(file)
			if err != nil {
				return err
			}
			return rotateAtRest(cmd, c, dryRun, offline)
		}),
	}
	cmd.Flags().StringVar(&file, "config", "", "the configuration file (required)")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "count and open, and write nothing")
	cmd.Flags().BoolVar(&offline, "offline", false, "no gateway is running: allow a key that none of them has sealed under yet")
	if err := cmd.MarkFlagRequired("config"); err != nil {
		panic(err) // a mistake of ours: the flag is defined just above
	}
	return cmd
}

func rotateAtRest(cmd *cobra.Command, c *config.Config, dryRun, offline bool) (err error) {
	began := time.Now()
	sealer, err := sealerOf(c)
	if err != nil {
		return err
	}
	if b := c.Store.Bolt; b != nil {
		if _, err := os.Stat(b.Path); err != nil {
			return fmt.Errorf("there is no store: %w", err)
		}
	}
	store, err := openStore(cmd.Context(), c, newTelemetry(), zap.NewNop())
	if errors.Is(err, boltstore.ErrLocked) {
		return fmt.Errorf("%w: leave it to the gateway that has it open, which seals in the background, or stop that gateway first", err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if !dryRun && !offline && c.Store.Bolt == nil {
		if err := gateway.MayReseal(cmd.Context(), store, sealer); err != nil {
			return fmt.Errorf("%w; with --offline it is done all the same, for when no gateway is running", err)
		}
	}
	at, err := store.Load(cmd.Context())
	if err != nil {
		return err
	}
	counting := newCountedProgress(cmd.ErrOrStderr(), "values")
	r := gateway.Resealing{Store: store, Sealer: sealer, Tenants: tenantNames(c), DryRun: dryRun, Verify: true, AtOnce: rotateAtOnce, Pace: counting.pace}
	done, err := r.Run(cmd.Context())
	counting.end()
	if err == nil && !dryRun {
		err = gateway.NoteResealed(cmd.Context(), store, sealer, done, at.Now)
	}
	return errors.Join(err, printResealed(cmd, sealer, done, dryRun, time.Since(began)))
}

func tenantNames(c *config.Config) []string {
	names := make([]string, len(c.Tenants))
	for i, t := range c.Tenants {
		names[i] = t.Name
	}
	return names
}

// printResealed prints what became of the values: keys of the ring first, in its order.
func printResealed(cmd *cobra.Command, sealer *gateway.Sealer, done gateway.Resealed, dryRun bool, took time.Duration) error {
	out := &printer{w: cmd.OutOrStdout()}
	if dryRun {
		out.printf("nothing was written: this was a dry run\n")
	}
	ring := sealer.KeyIDs()
	for i, id := range ring {
		mark := ""
		if i == 0 {
			mark = " (current)"
		}
		out.printf("key %s%s: %d\n", id, mark, done.Values[id])
	}
	for _, id := range done.KeysOf() {
		if !slices.Contains(ring, id) {
			out.printf("key %s (not in the ring): %d\n", id, done.Values[id])
		}
	}
	word := "sealed now"
	if dryRun {
		word = "to be sealed"
	}
	out.printf("%s %d\nleft to their requests %d\nunreadable %d\ntime %s\n", word, done.Resealed, done.Waiting, len(done.Unreadable), took.Round(time.Millisecond))
	if len(done.Unreadable) == 0 {
		return out.err
	}
	errs := &printer{w: cmd.ErrOrStderr()}
	for _, key := range done.Unreadable {
		errs.printf("cannot be opened: %s\n", key)
	}
	return errors.Join(out.err, errs.err, fmt.Errorf("%d values cannot be opened, the first since: %w", len(done.Unreadable), done.Why))
}
