package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/polyvault/polyvault/cmd/polyvault/internal/importer"
	"github.com/polyvault/polyvault/gateway/client"
)

// importTimeout is more than the gateway takes for 100 items at slow providers.
const importTimeout = 3 * time.Minute

// noticeEvery is how often the user is told what is being waited for.
const noticeEvery = 10 * time.Second

func newImport() *cobra.Command {
	r := &remote{}
	o := importer.Options{}
	format := ""
	cmd := &cobra.Command{
		Use:   "import FILE.jsonl|FILE.csv",
		Short: "Adopt instruments that providers store already, in bulk",
		Long: `Adopt instruments that providers store already, through a running gateway: each
line of the file names one by its references at the provider. A line of JSON is
  {"customer_id":"cus-42","provider":"rebilly-main","references":{"instrument":"inst_…"},"metadata":{"plan":"gold"}}
A CSV file's first line names the columns; what is not customer_id, provider or
metadata.NAME is a reference, and an empty cell is no value:
  customer_id,provider,customer,payment_instrument,metadata.plan
A value must end on its line, and a line has at most 64 KiB.

There is one result a line in FILE.results.jsonl, in the order of the lines: stored,
existing or failed, with the instrument's id or the problem. It is also how far the
import came: killed at any point and run again it goes on there. Nothing is stored
twice, however often and from wherever a file is imported. A line that cannot be used
has failed, and is no reason to stop. A gateway that does not answer, or lines whose
provider is down, are waited for as long as --patience says.

The API key comes from ` + keyVariable + ` or --api-key-file; it needs instruments:write.
Exit code 0: every line is stored; 1: lines have failed, or the import did not come to
its end; 2: it was called wrongly.`,
		Args: cobra.ExactArgs(1),
		RunE: work(func(cmd *cobra.Command, args []string) error {
			o.File = args[0]
			if err := checkImport(&o, format); err != nil {
				return err
			}
			c, err := r.openWith(client.Options{
				HTTP: &http.Client{
					Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: o.Concurrency},
					Timeout:   importTimeout,
				},
				Retries: -1, // the importer does, and knows what may be waited for
			})
			if err != nil {
				return err
			}
			o.Gateway = c
			return runImport(cmd, o)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&r.url, "url", "http://127.0.0.1:8080", "the gateway's address")
	f.StringVar(&r.keyFile, "api-key-file", "", "a file with the API key; default: "+keyVariable)
	f.StringVar(&format, "format", "", "jsonl or csv; default: by the file's name")
	f.StringVar(&o.Provider, "provider", "", "the provider of lines that name none")
	f.StringVar(&o.Results, "results", "", "the file of results; default: FILE.results.jsonl")
	f.IntVar(&o.Concurrency, "concurrency", 4, "requests at a time, of up to 100 lines each; 1 to 64. The gateway works on 8 lines of each at once:\n"+
		"keep 8 times this below the providers' max_in_flight, which checkouts share")
	f.DurationVar(&o.Patience, "patience", 2*time.Minute, "how long a gateway or a provider that is down is waited for; more than the gateway's lease")
	f.BoolVar(&o.RetryFailed, "retry-failed", false, "try lines again that failed in an earlier run")
	f.BoolVar(&o.Restart, "restart", false, "forget the results of earlier runs, and begin at the first line")
	cmd.MarkFlagsMutuallyExclusive("retry-failed", "restart")
	return cmd
}

func checkImport(o *importer.Options, format string) error {
	if format == "" {
		switch strings.ToLower(filepath.Ext(o.File)) {
		case ".csv":
			format = "csv"
		case ".jsonl", ".ndjson":
			format = "jsonl"
		default:
			return usagef("the file must be named .jsonl or .csv, or --format must say which it is")
		}
	}
	switch {
	case format != "csv" && format != "jsonl":
		return usagef("--format must be jsonl or csv")
	case o.Concurrency < 1 || o.Concurrency > 64:
		return usagef("--concurrency must be from 1 to 64")
	case o.Patience <= 0:
		return usagef("--patience must be more than 0")
	}
	o.CSV = format == "csv"
	if o.Results == "" {
		o.Results = o.File + ".results.jsonl"
	}
	return nil
}

func runImport(cmd *cobra.Command, o importer.Options) error {
	began := time.Now()
	bar, err := newImportBar(cmd.ErrOrStderr(), o.File)
	if err != nil {
		return err
	}
	o.Progress, o.Notice = bar.progress, bar.notice
	sum, err := importer.Run(cmd.Context(), o)
	bar.end()
	took := time.Since(began)
	out := &printer{w: cmd.OutOrStdout()}
	out.printf("lines %d\nstored %d\nexisting %d\nfailed %d\n", sum.Lines(), sum.Stored, sum.Existing, sum.Failed)
	for _, code := range slices.Sorted(maps.Keys(sum.Codes)) {
		out.printf("  %s %d\n", code, sum.Codes[code])
	}
	out.printf("done before %d\nresults %s\ntime %s\n", sum.Earlier, o.Results, took.Round(time.Millisecond))
	if done := sum.Lines() - sum.Earlier; done > 0 {
		out.printf("lines/s %.0f\n", float64(done)/took.Seconds())
	}
	switch {
	case errors.Is(err, importer.ErrInterrupted):
		return fmt.Errorf("stopped after line %d of %s: run the same command again to go on", sum.LastLine, o.File)
	case errors.Is(err, importer.ErrChanged):
		return err
	case err != nil && sum.LastLine > 0:
		return fmt.Errorf("%w\nstopped after line %d of %s: once that is mended, run the same command again to go on", err, sum.LastLine, o.File)
	case err != nil:
		return err
	case sum.Failed > 0:
		return errors.Join(out.err, fmt.Errorf("%d lines have failed: see %s; --retry-failed tries them again", sum.Failed, o.Results))
	}
	return out.err
}

// importBar shows how far an import is, on a terminal; elsewhere it only says what is
// being waited for.
type importBar struct {
	w    io.Writer
	pool *mpb.Progress // nil: not a terminal
	bar  *mpb.Bar

	mu    sync.Mutex
	noted time.Time
}

func newImportBar(w io.Writer, file string) (*importBar, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	b := &importBar{w: w}
	if newProgress(w, "").w == nil {
		return b, nil
	}
	b.pool = mpb.New(mpb.WithOutput(w))
	b.bar = b.pool.AddBar(info.Size(),
		mpb.PrependDecorators(decor.CountersKibiByte("% .1f / % .1f")),
		mpb.AppendDecorators(decor.Percentage(), decor.Name("  "), decor.AverageETA(decor.ET_STYLE_GO)))
	return b, nil
}

func (b *importBar) progress(bytes int64) {
	if b.bar != nil {
		b.bar.SetCurrent(bytes)
	}
}

func (b *importBar) notice(waitingFor string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := time.Now(); now.Sub(b.noted) >= noticeEvery {
		b.noted = now
		w := b.w
		if b.pool != nil {
			w = b.pool // above the bar
		}
		_, _ = fmt.Fprintf(w, "waiting: %s\n", waitingFor)
	}
}

func (b *importBar) end() {
	if b.pool != nil {
		b.bar.Abort(false)
		b.pool.Wait()
	}
}
