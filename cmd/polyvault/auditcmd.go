package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/polyvault/polyvault/gateway/audit"
)

func newAudit() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Check and search audit logs",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return usagef("a command is required: verify or list") },
	}
	cmd.AddCommand(newAuditVerify(), newAuditList())
	return cmd
}

func newAuditVerify() *cobra.Command {
	var file string
	var heads []string
	cmd := &cobra.Command{
		Use:   "verify [--config FILE] FILE...",
		Short: "Check that audit logs hold what was written, and all of it",
		Long: `Check that audit logs hold what was written: no line changed, moved, put in or left
out. Name all files of a log, in any order; - is stdin. The keys come from the gateway's
configuration: without it only the links from line to line are checked, which whoever
rewrites the whole file can make anew.

That the end of a log was cut off, its newest files included, cannot be seen in what is
left. The gateway logs the head (the newest entry's hash) every hour and when it stops:
--expect-head fails unless one of the entries has that hash. Nor can it be seen that the
oldest files are missing: the number of the first entry says so.`,
		Args: cobra.MinimumNArgs(1),
		RunE: work(func(cmd *cobra.Command, args []string) error {
			var keys audit.Keys
			if file != "" {
				c, err := loadConfig(file)
				if err != nil {
					return err
				}
				keys = auditKeys(c)
			}
			for i, h := range heads {
				if heads[i] = strings.ToLower(h); !auditHash.MatchString(heads[i]) {
					return usagef("--expect-head must be 64 hexadecimal digits")
				}
			}
			sources, err := auditSources(cmd, args)
			if err != nil {
				return err
			}
			report, err := audit.Verify(sources, keys, heads...)
			if err != nil {
				return err
			}
			return printVerified(cmd, report, heads, keys != nil)
		}),
	}
	cmd.Flags().StringVar(&file, "config", "", "the gateway's configuration file, for keys.reference")
	cmd.Flags().StringSliceVar(&heads, "expect-head", nil, "a head that was noted elsewhere: an entry must have this hash")
	return cmd
}

var auditHash = regexp.MustCompile(`^[0-9a-f]{64}$`)

// auditSources are the files of the command line, without those that hold what a crash left.
func auditSources(cmd *cobra.Command, args []string) ([]audit.Source, error) {
	var out []audit.Source
	errs := &printer{w: cmd.ErrOrStderr()}
	for _, name := range args {
		switch {
		case name == "-":
			out = append(out, audit.Source{Name: "stdin", Open: stdinOnce(cmd.InOrStdin())})
		case strings.Contains(filepath.Base(name), ".torn-"):
			errs.printf("%s holds what a crash left of a line, and is not looked at\n", name)
		default:
			if _, err := os.Stat(name); err != nil {
				return nil, err
			}
			out = append(out, audit.Source{Name: name, Open: func() (io.ReadCloser, error) {
				f, err := os.Open(filepath.Clean(name))
				return &growing{File: f}, err
			}})
		}
	}
	if len(out) == 0 {
		return nil, usagef("none of these files is an audit log")
	}
	return out, errs.err
}

// stdinOnce reads stdin into memory, since files are opened twice.
func stdinOnce(in io.Reader) func() (io.ReadCloser, error) {
	var text []byte
	read := false
	return func() (io.ReadCloser, error) {
		if !read {
			b, err := io.ReadAll(in)
			if err != nil {
				return nil, err
			}
			text, read = b, true
		}
		return io.NopCloser(strings.NewReader(string(text))), nil
	}
}

// growing is a file that a gateway may be writing: a line that is there in part only is
// waited for, for a moment.
type growing struct {
	*os.File
	inLine bool
	waited time.Duration
}

func (g *growing) Read(b []byte) (int, error) {
	const pause, patience = 20 * time.Millisecond, time.Second
	for {
		n, err := g.File.Read(b)
		if n > 0 {
			g.inLine = b[n-1] != '\n'
			return n, err
		}
		if !errors.Is(err, io.EOF) || !g.inLine || g.waited >= patience {
			return n, err
		}
		time.Sleep(pause)
		g.waited += pause
	}
}

func printVerified(cmd *cobra.Command, r audit.Report, heads []string, keyed bool) error {
	p := &printer{w: cmd.OutOrStdout()}
	for _, c := range r.Chains {
		p.printf("chain %s: entries %d to %d, %s to %s, by %s\n", c.Chain, c.First, c.Last,
			c.Begin.Format(time.RFC3339Nano), c.End.Format(time.RFC3339Nano), strings.Join(c.Gateways, ", "))
		if c.First > 1 {
			p.printf("  entries 1 to %d are not in these files\n", c.First-1)
		}
		p.printf("  head %s\n", c.Head)
	}
	failed := len(r.Faults)
	for _, f := range r.Faults {
		p.printf("FAULT %s\n", f)
	}
	for _, h := range heads {
		if n := r.Heads[h]; n > 0 {
			p.printf("the expected head is entry %d\n", n)
			continue
		}
		failed++
		p.printf("FAULT no entry has the expected head %s: the end of the log is missing, or it is of another log\n", h)
	}
	if !keyed {
		p.printf("NOT CHECKED: the hashes, which need the keys of --config\n")
	}
	switch {
	case p.err != nil:
		return p.err
	case failed > 0:
		return &failure{fmt.Errorf("the audit log is not as it was written (faults: %d)", failed)}
	}
	p.printf("ok\n")
	return p.err
}

func newAuditList() *cobra.Command {
	var q audit.Query
	var file, customer, since, until string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list FILE...",
		Short: "Print what audit logs tell, of several gateways in the order of time",
		Long: `Print what audit logs tell, of several gateways in the order of time; - is stdin. What
is asked for must all be the same. It does not check the logs: polyvault audit verify does.`,
		Args: cobra.MinimumNArgs(1),
		RunE: work(func(cmd *cobra.Command, args []string) (err error) {
			if q.Since, err = parseTime("--since", since); err != nil {
				return err
			}
			if q.Until, err = parseTime("--until", until); err != nil {
				return err
			}
			if customer != "" {
				q.Customer = []string{customer}
			}
			if customer != "" && file != "" {
				c, err := loadConfig(file)
				if err != nil {
					return err
				}
				for _, k := range auditKeys(c) {
					q.Customer = append(q.Customer, k.CustomerName(q.Tenant, customer))
				}
			}
			sources, err := auditSources(cmd, args)
			if err != nil {
				return err
			}
			p := &printer{w: cmd.OutOrStdout()}
			for r, err := range audit.List(sources, q) {
				switch {
				case err != nil:
					return err
				case asJSON:
					p.printf("%s\n", r.Line)
				default:
					p.printf("%s\n", auditText(r))
				}
			}
			return p.err
		}),
	}
	f := cmd.Flags()
	f.StringVar(&q.Instrument, "instrument", "", "an instrument's id; lists that showed it and its operation included")
	f.StringVar(&customer, "customer", "", "a customer's id; one that the log hides needs --config and --tenant")
	f.StringVar(&q.Tenant, "tenant", "", "a tenant")
	f.StringVar(&q.APIKey, "key", "", "the name of an API key")
	f.StringVar(&q.Action, "action", "", "an action, such as instrument.create")
	f.StringVar(&q.Code, "code", "", "an error code, such as invalid_api_key")
	f.StringVar(&q.RequestID, "request", "", "the id of a request")
	f.StringVar(&since, "since", "", "a time (RFC 3339), or how long ago (24h); that time included")
	f.StringVar(&until, "until", "", "a time (RFC 3339), or how long ago (1h); that time excluded")
	f.StringVar(&file, "config", "", "the gateway's configuration file, for customers whose ids the log hides")
	f.BoolVar(&asJSON, "json", false, "print the entries as they stand in the log, one a line")
	return cmd
}

// parseTime reads a time, or how long ago it was; the zero time if nothing was said.
func parseTime(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(s); err == nil && ago >= 0 {
		return time.Now().Add(-ago), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, usagef("%s must be a time such as 2026-11-21T10:00:00Z, or how long ago, such as 24h", flag)
	}
	return t, nil
}

// auditText is an entry for people: time, action, who from where, result, about what.
func auditText(r audit.Record) string {
	who := r.Tenant + "/" + r.APIKey
	if r.Tenant == "" {
		who = "-"
	}
	parts := []string{r.Time.Format("2006-01-02T15:04:05.000Z07:00"), r.Action, who}
	if r.Address != "" {
		parts = append(parts, r.Address)
	}
	if r.Status != 0 {
		parts = append(parts, fmt.Sprint(r.Status))
	}
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+"="+plain(value))
		}
	}
	add("code", r.Code)
	add("outcome", r.Outcome)
	add("instrument", r.Instrument)
	add("instruments", strings.Join(r.Instruments, ","))
	add("customer", r.Customer)
	add("operation", r.Operation)
	add("event", r.Event)
	add("provider", r.Provider)
	if r.Item > 0 {
		add("item", fmt.Sprint(r.Item))
	}
	if r.Replayed {
		add("replayed", "true")
	}
	if r.Generation > 0 {
		add("generation", fmt.Sprint(r.Generation))
	}
	add("changed", strings.Join(r.Changed, ","))
	add("digest", r.Digest)
	if r.Count > 0 {
		add("count", fmt.Sprint(r.Count))
	}
	add("detail", r.Detail)
	add("request", r.RequestID)
	add("gateway", r.Gateway)
	return strings.Join(parts, " ")
}

// plain quotes what has spaces or could confuse a terminal.
func plain(s string) string {
	for _, c := range s {
		if c <= ' ' || c > '~' || c == '"' {
			b, err := json.Marshal(s)
			if err != nil {
				return "?"
			}
			return string(b)
		}
	}
	return s
}
