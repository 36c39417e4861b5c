package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/polyvault/polyvault/gateway/client"
)

// eventFlags select events.
type eventFlags struct {
	since, until, typ, state, id string
}

func newEvents() *cobra.Command {
	r := &remote{}
	cmd := &cobra.Command{
		Use:   "events",
		Short: "List what a tenant's endpoints were told of, and tell them once more",
		Long: "List what the endpoints of the API key's tenant were told of, and tell them once more, at a running gateway.\n" +
			"The API key comes from " + keyVariable + " or --api-key-file; it needs events:read, and events:write for replay.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return usagef("a command is required: list or replay") },
	}
	r.flags(cmd.PersistentFlags(), "event")
	cmd.AddCommand(newEventsList(r), newEventsReplay(r))
	return cmd
}

func (f *eventFlags) add(cmd *cobra.Command, state string) {
	flags := cmd.Flags()
	flags.StringVar(&f.since, "since", "", "events from this time on, as in 2026-01-31T12:00:00Z, or from so long ago, as in 2h")
	flags.StringVar(&f.until, "until", "", "events before this time, or from longer ago")
	flags.StringVar(&f.typ, "type", "", "events of this type, such as instrument.created")
	flags.StringVar(&f.state, "state", state, "failed: those that were given up at some endpoint; all: every one")
	flags.StringVar(&f.id, "id", "", "this event")
}

// parse reads the times and the state.
func (f *eventFlags) parse(now time.Time) (in client.ListEventsParams, err error) {
	for _, t := range []struct {
		name, text string
		to         **time.Time
	}{{"--since", f.since, &in.Since}, {"--until", f.until, &in.Until}} {
		if t.text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, t.text)
		if ago, agoErr := time.ParseDuration(t.text); agoErr == nil && ago >= 0 {
			at, err = now.Add(-ago), nil
		}
		if err != nil {
			return in, usagef("%s must be a time such as 2026-01-31T12:00:00Z, or how long ago, such as 2h", t.name)
		}
		at = at.UTC()
		*t.to = &at
	}
	if f.state != "failed" && f.state != "all" {
		return in, usagef("--state must be failed or all")
	}
	state := client.EventSelection(f.state)
	in.DeliveryState = &state
	if f.typ != "" {
		typ := client.EventType(f.typ)
		in.EventType = &typ
	}
	if f.id != "" && (f.since != "" || f.until != "" || f.typ != "") {
		return in, usagef("--id names one event: leave --since, --until and --type out")
	}
	return in, nil
}

func newEventsList(r *remote) *cobra.Command {
	f := &eventFlags{}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List events, the newest first",
		Args:  cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			in, err := f.parse(time.Now())
			if err != nil {
				return err
			}
			c, err := r.open()
			if err != nil {
				return err
			}
			if f.id != "" {
				e, err := c.Event(cmd.Context(), f.id)
				if err != nil {
					return r.told(err)
				}
				return r.printEvents(cmd, []client.Event{e})
			}
			var events []client.Event
			for e, err := range c.Events(cmd.Context(), in) {
				if err != nil {
					return r.told(err)
				}
				events = append(events, e)
			}
			return r.printEvents(cmd, events)
		}),
	}
	f.add(cmd, "all")
	return cmd
}

func newEventsReplay(r *remote) *cobra.Command {
	f := &eventFlags{}
	cmd := &cobra.Command{
		Use:   "replay (--id ID | --since TIME)",
		Short: "Have events delivered once more, under the ids that they have",
		Args:  cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			in, err := f.parse(time.Now())
			if err != nil {
				return err
			}
			if f.id == "" && in.Since == nil {
				return usagef("--id or --since is required")
			}
			c, err := r.open()
			if err != nil {
				return err
			}
			if f.id != "" {
				e, err := c.ReplayEvent(cmd.Context(), f.id)
				if err != nil {
					return r.told(err)
				}
				return r.printEvents(cmd, []client.Event{e})
			}
			return r.replayAll(cmd, c, in)
		}),
	}
	f.add(cmd, "failed")
	return cmd
}

// replayAll goes through all pages of a selection. A range without an end ends now:
// what happens meanwhile is told anyway.
func (r *remote) replayAll(cmd *cobra.Command, c *client.Client, in client.ListEventsParams) error {
	until := time.Now().UTC()
	if in.Until == nil {
		in.Until = &until
	}
	page := client.ReplayEventsParams{
		Since: *in.Since, Until: in.Until, EventType: in.EventType, DeliveryState: in.DeliveryState, Limit: new(100),
	}
	total := 0
	for {
		done, err := c.ReplayEvents(cmd.Context(), page)
		if total += done.Replayed; err != nil {
			return fmt.Errorf("after %d events: %w", total, r.told(err))
		}
		if !done.HasMore {
			break
		}
		page.Cursor = &done.NextCursor
	}
	out := &printer{w: cmd.OutOrStdout()}
	switch {
	case r.json:
		out.printf("{\"replayed\":%d}\n", total)
	case total == 0 && *in.DeliveryState == "failed":
		out.printf("no event of that time was given up: --state all sends those again that were delivered\n")
	default:
		out.printf("%d to be delivered once more\n", total)
	}
	return out.err
}

// whyNot is how the last try failed.
func whyNot(d client.EventDelivery) string {
	if d.LastStatus != 0 {
		return fmt.Sprintf("%s %d", d.LastError, d.LastStatus)
	}
	return d.LastError // there was no answer
}

func (r *remote) printEvents(cmd *cobra.Command, events []client.Event) error {
	if r.json {
		enc := json.NewEncoder(cmd.OutOrStdout())
		for _, e := range events {
			if err := enc.Encode(e); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	out := &printer{w: w}
	out.printf("ID\tTYPE\tABOUT\tOCCURRED\tSTATE\tENDPOINTS\n")
	for _, e := range events {
		about := e.InstrumentID
		if about == "" {
			about = e.Provider
		}
		ends := make([]string, len(e.Deliveries))
		for i, d := range e.Deliveries {
			ends[i] = d.Host + " " + string(d.State)
			if d.LastError != "" && d.State != client.DeliveryStateDelivered {
				ends[i] += fmt.Sprintf(" (%s, tries %d)", whyNot(d), d.Tries)
			}
		}
		out.printf("%s\t%s\t%s\t%s\t%s\t%s\n", e.ID, e.Type, about, e.OccurredAt.Format(time.RFC3339), e.State, strings.Join(ends, ", "))
	}
	return errors.Join(out.err, w.Flush())
}
