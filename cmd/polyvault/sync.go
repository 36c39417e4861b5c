package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/polyvault/polyvault/gateway/client"
)

// syncTimeout is how long one page may take: a gateway ends it early while the
// providers are slow, but lets what it has begun come to its end.
const syncTimeout = 2 * time.Minute

func newSync() *cobra.Command {
	r := &remote{}
	var in client.SyncInput
	cmd := &cobra.Command{
		Use:   "sync (--customer ID | --provider NAME)",
		Short: "Compare instruments with what their providers have, and bring them in step",
		Long: "Compare the instruments of a customer, or all at a provider, with what the providers have, at a running gateway.\n" +
			"What is not in step is printed; the counts go to stderr. Without --repair nothing is changed.\n" +
			"Exits 0 if everything is in step or was repaired, and 1 if something is left or could not be compared.\n" +
			"The API key comes from " + keyVariable + " or --api-key-file; it needs instruments:write.",
		Args: cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			if in.CustomerID == "" && in.Provider == "" {
				return usagef("--customer or --provider is required")
			}
			c, err := r.openFor(syncTimeout)
			if err != nil {
				return err
			}
			return r.sync(cmd, c, in)
		}),
	}
	flags := cmd.Flags()
	r.flags(flags, "difference")
	flags.StringVar(&in.CustomerID, "customer", "", "compare this customer's instruments, at every provider or at --provider")
	flags.StringVar(&in.Provider, "provider", "", "compare the instruments at this provider")
	flags.BoolVar(&in.Repair, "repair", false, "take over what the primary has, bring mirrors to it, adopt what is unknown here, and mark what is absent as failed")
	return cmd
}

// sync goes through all pages and prints what is not in step.
func (r *remote) sync(cmd *cobra.Command, c *client.Client, in client.SyncInput) error {
	out := &driftPrinter{json: r.json, w: tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0), lines: json.NewEncoder(cmd.OutOrStdout())}
	n, err := out.pages(cmd.Context(), c, in, newProgress(cmd.ErrOrStderr(), "instruments compared"))
	if flushErr := out.w.Flush(); flushErr != nil {
		return flushErr
	}
	(&printer{w: cmd.ErrOrStderr()}).printf("%d instruments at %d places: %d in step, %d differ, %d absent, %d unreachable, %d unknown here; %d repaired\n",
		n.Instruments, n.Compared, n.InStep, n.Differing, n.Absent, n.Unreachable, n.UnknownHere, n.Repaired)
	if err != nil {
		return r.told(err)
	}
	if left := n.Compared - n.InStep - n.Repaired; left > 0 {
		return fmt.Errorf("%d not in step", left)
	}
	return nil
}

// driftPrinter writes a table, or a line of JSON each.
type driftPrinter struct {
	json  bool
	head  bool // the table's head was written
	w     *tabwriter.Writer
	lines *json.Encoder
}

func (p *driftPrinter) pages(ctx context.Context, c *client.Client, in client.SyncInput, shown *progress) (n client.DriftCounts, err error) {
	defer shown.end()
	for {
		page, err := c.SyncPage(ctx, in)
		if err != nil {
			return n, err
		}
		shown.end()
		for _, d := range page.Data {
			if err := p.print(d); err != nil {
				return n, err
			}
		}
		add(&n, page.Counts)
		shown.more(page.Counts.Instruments)
		if !page.HasMore {
			return n, nil
		}
		if page.NextCursor == "" || page.NextCursor == in.Cursor {
			return n, errors.New("the gateway does not say how to go on")
		}
		in.Cursor = page.NextCursor
	}
}

func add(n *client.DriftCounts, more client.DriftCounts) {
	n.Instruments += more.Instruments
	n.Compared += more.Compared
	n.InStep += more.InStep
	n.Differing += more.Differing
	n.Absent += more.Absent
	n.Unreachable += more.Unreachable
	n.UnknownHere += more.UnknownHere
	n.Repaired += more.Repaired
}

func (p *driftPrinter) print(d client.Drift) error {
	if p.json {
		return p.lines.Encode(d)
	}
	out := &printer{w: io.Writer(p.w)}
	if !p.head {
		p.head = true
		out.printf("INSTRUMENT\tCUSTOMER\tPROVIDER\tROLE\tSTATE\tREPAIRED\tHERE > THERE\n")
	}
	id, repaired := "-", "no"
	if d.InstrumentID != nil {
		id = *d.InstrumentID
	}
	if d.Repaired {
		repaired = "yes"
	} else if d.ErrorCode != "" {
		repaired = "no: " + d.ErrorCode
	}
	var diffs []string
	for _, diff := range d.Differences {
		diffs = append(diffs, fmt.Sprintf("%s %s > %s", diff.Field, cmp.Or(diff.Here, "-"), cmp.Or(diff.There, "-")))
	}
	out.printf("%s\t%s\t%s\t%s\t%s\t%s\t%s\n", id, d.CustomerID, d.Provider, cmp.Or(string(d.Role), "-"), d.State, repaired, strings.Join(diffs, ", "))
	return out.err
}
