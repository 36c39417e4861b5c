package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/polyvault/polyvault/config"
	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/boltstore"
	"github.com/polyvault/polyvault/gateway/journal"
)

func newBackup() *cobra.Command {
	var file, out string
	cmd := &cobra.Command{
		Use:   "backup --config FILE --out FILE",
		Short: "Write all records, encrypted, to a file, while gateways serve",
		Long: `Write all records to a file, while gateways serve. The file is encrypted under the
first key of keys.reference: keep that key elsewhere, for without it the file is
worth nothing. A bbolt file that a running gateway has open is read through that
gateway, at admin_listen.`,
		Args: cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			c, err := loadConfig(file)
			if err != nil {
				return err
			}
			return backup(cmd, c, out)
		}),
	}
	cmd.Flags().StringVar(&file, "config", "", "the configuration file (required)")
	cmd.Flags().StringVar(&out, "out", "", "the file to write, or - for stdout (required)")
	for _, required := range []string{"config", "out"} {
		if err := cmd.MarkFlagRequired(required); err != nil {
			panic(err) // a mistake of ours: the flag is defined just above
		}
	}
	return cmd
}

func backup(cmd *cobra.Command, c *config.Config, out string) error {
	began := time.Now()
	progress := newProgress(cmd.ErrOrStderr(), "entries")
	var done journal.Contents
	write := func(w io.Writer) (err error) {
		done, err = writeBackup(cmd.Context(), c, w, progress)
		progress.end()
		return err
	}
	var err error
	if out == "-" {
		err = write(cmd.OutOrStdout())
	} else {
		err = wholeFile(out, write)
	}
	if err != nil {
		return err
	}
	errs := &printer{w: cmd.ErrOrStderr()}
	errs.printf("%d entries, %d bytes, %s, under the reference key %q\n",
		done.Entries, done.Bytes, time.Since(began).Round(time.Millisecond), done.KeyID)
	return errs.err
}

// wholeFile makes a file that is there only once it is whole and on the disk.
func wholeFile(name string, write func(io.Writer) error) (err error) {
	unready := name + ".tmp"
	f, err := os.OpenFile(filepath.Clean(unready), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(unready))
		}
	}()
	if err := errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(unready, name); err != nil {
		return err
	}
	return journal.SyncFolder(filepath.Dir(name))
}

// writeBackup writes to w what the store has, and reads it again on the way, so that
// it is known to be restorable.
func writeBackup(ctx context.Context, c *config.Config, w io.Writer, progress *progress) (journal.Contents, error) {
	source, err := backupSource(ctx, c)
	if err != nil {
		return journal.Contents{}, err
	}
	read, written := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := source(written)
		_ = written.CloseWithError(err) // it never fails
		ended <- err
	}()
	contents, err := journal.Read(io.TeeReader(read, w), referenceKeys(c), func(journal.Entry) error {
		progress.more(1)
		return nil
	})
	_ = read.CloseWithError(err) // it never fails
	if cause := <-ended; cause != nil {
		err = cause
	}
	return contents, err
}

// backupSource opens the store, or asks the gateway that has it open.
func backupSource(ctx context.Context, c *config.Config) (func(io.Writer) error, error) {
	if b := c.Store.Bolt; b != nil {
		if _, err := os.Stat(b.Path); err != nil {
			return nil, fmt.Errorf("there is no store to back up: %w", err)
		}
	}
	reading := *c
	if r := c.Store.Redis; r != nil {
		asIs := *r
		asIs.Durability = "dev" // a store that promises too little should be backed up all the more
		reading.Store.Redis = &asIs
	}
	store, err := openStore(ctx, &reading, newTelemetry(), zap.NewNop())
	if errors.Is(err, boltstore.ErrLocked) {
		if c.AdminListen == "" {
			return nil, fmt.Errorf("%w; a gateway that runs can be asked for a backup if it has an admin_listen", err)
		}
		return func(w io.Writer) error { return fetchBackup(ctx, c.AdminListen, w) }, nil
	}
	if err != nil {
		return nil, err
	}
	return func(w io.Writer) error {
		_, err := journal.Backup(ctx, store, referenceKeys(c)[0], w, nil)
		return errors.Join(err, store.Close())
	}, nil
}

// fetchBackup asks a running gateway.
func fetchBackup(ctx context.Context, admin string, w io.Writer) error {
	host, port, err := net.SplitHostPort(admin)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // one cannot dial "every address"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/backup", http.NoBody)
	if err != nil {
		return err
	}
	// A transport of its own: a proxy from the environment is no way to the same host.
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return fmt.Errorf("the store is open in another process, and no gateway answers at admin_listen: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the store is open in another process, and what answers at admin_listen gives no backup: %s", resp.Status)
	}
	_, err = io.Copy(w, resp.Body)
	return err
}

// serveBackup streams a backup. What breaks off has no end frame, and is refused by
// whoever reads it.
func serveBackup(store gateway.Store, key gateway.ReferenceKey, log *zap.Logger) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Cache-Control", "no-store")
		// It takes as long as it takes.
		if err := http.NewResponseController(w).SetWriteDeadline(time.Time{}); err != nil {
			log.Warn("a backup may be broken off by the write timeout", zap.Error(err))
		}
		entries, err := journal.Backup(r.Context(), store, key, w, nil)
		if err != nil {
			log.Error("a backup was broken off", zap.Uint64("entries", entries), zap.Error(err))
			panic(http.ErrAbortHandler) // the client must not take it for whole
		}
		log.Info("a backup was given out", zap.Uint64("entries", entries))
	}
}
