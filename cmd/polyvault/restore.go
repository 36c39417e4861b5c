package main

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/polyvault/polyvault/config"
	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/boltstore"
	"github.com/polyvault/polyvault/gateway/journal"
)

func newRestore() *cobra.Command {
	var file string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "restore --config FILE FILE|FOLDER...",
		Short: "Bring the records of backups and journals back into the store",
		Long: `Bring the records of backups and journals back into the store, in any order and any
number of times: what the store has, or has a later state of, stays. Of a folder all
journal files are read. Every file is read and checked before anything is written.
Give it the last backup and the journals of all gateways; they may be serving, but
not with the bbolt file that is restored. Make a backup afterwards: what is restored
is not in the journals that are written now.`,
		Args: cobra.MinimumNArgs(1),
		RunE: work(func(cmd *cobra.Command, args []string) error {
			c, err := loadConfig(file)
			if err != nil {
				return err
			}
			return restore(cmd, c, args, dryRun)
		}),
	}
	cmd.Flags().StringVar(&file, "config", "", "the configuration file (required)")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "check the files and say what would be written, an entry that is in several files each time")
	if err := cmd.MarkFlagRequired("config"); err != nil {
		panic(err) // a mistake of ours: the flag is defined just above
	}
	return cmd
}

func restore(cmd *cobra.Command, c *config.Config, args []string, dryRun bool) error {
	began := time.Now()
	names, err := restoreFiles(args)
	if err != nil {
		return err
	}
	sealer, err := sealerOf(c)
	if err != nil {
		return err
	}
	errs := &printer{w: cmd.ErrOrStderr()}
	for _, name := range names {
		contents, err := readFile(name, referenceKeys(c), func(e journal.Entry) error {
			return errors.Join(cmd.Context().Err(), sealer.Check(e.Key, gateway.Entry{Value: e.Value, Version: e.Version}))
		})
		if err != nil {
			return err
		}
		if contents.Torn > 0 {
			errs.printf("%s: the last %d bytes, after byte %d, are no whole entry and are left out: its gateway was stopped while it wrote\n",
				name, contents.Torn, contents.Bytes)
		}
	}
	store, err := openStore(cmd.Context(), c, newTelemetry(), zap.NewNop())
	if errors.Is(err, boltstore.ErrLocked) {
		return fmt.Errorf("%w: stop the gateway before you restore", err)
	}
	if err != nil {
		return err
	}
	r := newRestorer(cmd.Context(), store, sealer, dryRun)
	progress := newProgress(cmd.ErrOrStderr(), "entries")
	for _, name := range names {
		_, err = readFile(name, referenceKeys(c), func(e journal.Entry) error {
			progress.more(1)
			return r.add(e)
		})
		if err != nil {
			break
		}
	}
	err = errors.Join(err, r.wait(), store.Close())
	progress.end()
	out := &printer{w: cmd.OutOrStdout()}
	if dryRun {
		out.printf("nothing was written: this was a dry run\n")
	}
	out.printf("files %d\nentries read %d\nwritten %d\nreplaced %d\nalready there %d\ntime %s\n",
		len(names), r.read.Load(), r.fresh.Load(), r.replaced.Load(), r.there.Load(), time.Since(began).Round(time.Millisecond))
	return errors.Join(err, errs.err, out.err)
}

// restoreFiles are the files that are named, and the journal files of folders.
func restoreFiles(args []string) ([]string, error) {
	var out []string
	for _, arg := range args {
		info, err := os.Stat(arg)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			out = append(out, arg)
			continue
		}
		before := len(out)
		err = filepath.WalkDir(arg, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && filepath.Ext(path) == journal.Extension {
				out = append(out, path)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		if len(out) == before {
			return nil, fmt.Errorf("%s: the folder has no journal in it: no file ends in %s", arg, journal.Extension)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// readFile reads a backup or journal; its errors name the file.
func readFile(name string, keys gateway.Keys, fn func(journal.Entry) error) (journal.Contents, error) {
	f, err := os.Open(filepath.Clean(name))
	if err != nil {
		return journal.Contents{}, err
	}
	contents, err := journal.Read(io.Reader(f), keys, fn)
	if err := errors.Join(err, f.Close()); err != nil {
		return contents, fmt.Errorf("%s: %w", name, err)
	}
	return contents, nil
}

// restorer writes entries at the same time, but those of one key in their order.
type restorer struct {
	ctx    context.Context //nolint:containedctx // it is one restore's, and no longer
	store  gateway.Store
	sealer *gateway.Sealer
	dryRun bool
	group  *errgroup.Group
	lanes  []chan journal.Entry
	seed   maphash.Seed

	read, fresh, replaced, there atomic.Uint64
}

// restoreLanes is how many writes are under way: enough to fill a bbolt transaction.
const restoreLanes = 64

func newRestorer(ctx context.Context, store gateway.Store, sealer *gateway.Sealer, dryRun bool) *restorer {
	r := &restorer{store: store, sealer: sealer, dryRun: dryRun, seed: maphash.MakeSeed()}
	r.group, r.ctx = errgroup.WithContext(ctx)
	for range restoreLanes {
		lane := make(chan journal.Entry, 4)
		r.lanes = append(r.lanes, lane)
		r.group.Go(func() error { return r.run(lane) })
	}
	return r
}

func (r *restorer) add(e journal.Entry) error {
	select {
	case r.lanes[maphash.String(r.seed, e.Key)%restoreLanes] <- e:
		r.read.Add(1)
		return nil
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	}
}

func (r *restorer) run(lane <-chan journal.Entry) error {
	for e := range lane {
		done, err := gateway.Restore(r.ctx, r.store, r.sealer, e.Key, gateway.Entry{Value: e.Value, Version: e.Version}, r.dryRun)
		if err != nil {
			return fmt.Errorf("an entry cannot be restored: %w", err)
		}
		switch done {
		case gateway.RestoredNew:
			r.fresh.Add(1)
		case gateway.RestoredOver:
			r.replaced.Add(1)
		case gateway.RestoredNothing:
			r.there.Add(1)
		}
	}
	return nil
}

// wait ends the restore.
func (r *restorer) wait() error {
	for _, lane := range r.lanes {
		close(lane)
	}
	return r.group.Wait()
}
