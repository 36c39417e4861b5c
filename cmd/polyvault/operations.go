package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/polyvault/polyvault/gateway/client"
)

// keyVariable holds the API key for the commands that call a gateway.
const keyVariable = "POLYVAULT_API_KEY"

// remote is how a running gateway is called.
type remote struct {
	url, keyFile string
	json         bool
}

func newOperations() *cobra.Command {
	r := &remote{}
	cmd := &cobra.Command{
		Use:   "operations",
		Short: "Show and settle creates of which nobody knows yet what became of them",
		Long: "Show and settle creates of which nobody knows yet what became of them, at a running gateway.\n" +
			"The API key comes from " + keyVariable + " or --api-key-file; it needs instruments:read, and instruments:write for retry and fail.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return usagef("a command is required: list, show, retry or fail")
		},
	}
	r.flags(cmd.PersistentFlags(), "operation")
	cmd.AddCommand(
		newOperationsList(r),
		r.onOne("show", "Print an operation", (*client.Client).Operation),
		r.onOne("retry", "Have an operation in state unknown or manual looked at again now", (*client.Client).RetryOperation),
		r.onOne("fail", "Assert, having looked at the provider, that an operation in state manual stored nothing", (*client.Client).FailOperation),
	)
	return cmd
}

func newOperationsList(r *remote) *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the operations in a state, the oldest first",
		Args:  cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			if state != "manual" && state != "unknown" {
				return usagef("--state must be manual or unknown")
			}
			c, err := r.open()
			if err != nil {
				return err
			}
			var ops []client.Operation
			for op, err := range c.Operations(cmd.Context(), client.UndecidedState(state)) {
				if err != nil {
					return r.told(err)
				}
				ops = append(ops, op)
			}
			return r.print(cmd, ops)
		}),
	}
	cmd.Flags().StringVar(&state, "state", "manual", "manual: an operator must decide; unknown: the gateway still asks the provider")
	return cmd
}

// onOne is a command about one operation.
func (r *remote) onOne(name, short string, do func(*client.Client, context.Context, string) (client.Operation, error)) *cobra.Command {
	return &cobra.Command{
		Use:   name + " ID",
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: work(func(cmd *cobra.Command, args []string) error {
			c, err := r.open()
			if err != nil {
				return err
			}
			op, err := do(c, cmd.Context(), args[0])
			if err != nil {
				return r.told(err)
			}
			if r.json {
				return r.print(cmd, []client.Operation{op})
			}
			return printOperation(cmd, op)
		}),
	}
}

// flagSet is what flags are added to.
type flagSet interface {
	StringVar(p *string, name, value, usage string)
	BoolVar(p *bool, name string, value bool, usage string)
}

// flags adds what every command needs that calls a gateway.
func (r *remote) flags(flags flagSet, item string) {
	flags.StringVar(&r.url, "url", "http://127.0.0.1:8080", "the gateway's address")
	flags.StringVar(&r.keyFile, "api-key-file", "", "a file with the API key; default: "+keyVariable)
	flags.BoolVar(&r.json, "json", false, "print JSON, one "+item+" a line")
}

func (r *remote) open() (*client.Client, error) { return r.openFor(30 * time.Second) }

// openFor makes a client whose calls may take that long.
func (r *remote) openFor(timeout time.Duration) (*client.Client, error) {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	return r.openWith(client.Options{HTTP: &http.Client{Transport: transport, Timeout: timeout}, Retries: 2})
}

func (r *remote) openWith(o client.Options) (*client.Client, error) {
	key := os.Getenv(keyVariable)
	if r.keyFile != "" {
		b, err := os.ReadFile(r.keyFile)
		if err != nil {
			return nil, fmt.Errorf("the API key cannot be read: %w", err)
		}
		key = string(b)
	}
	if key = strings.TrimSpace(key); key == "" {
		return nil, usagef("an API key is required: set %s, or --api-key-file", keyVariable)
	}
	c, err := client.New(r.url, key, o)
	if err != nil {
		return nil, usagef("--url must be the address of a gateway, such as http://127.0.0.1:8080")
	}
	return c, nil
}

// told words the client's error for a terminal.
func (r *remote) told(err error) error {
	e, ok := errors.AsType[*client.Error](err)
	switch {
	case !ok:
		return err
	case e.Status == 0:
		return fmt.Errorf("the gateway at %s does not answer: %w", r.url, e.Err)
	case e.Code == "":
		return fmt.Errorf("%s: %s", r.url, e.Detail)
	default:
		return fmt.Errorf("%s: %s (request %s)", e.Code, e.Detail, e.RequestID)
	}
}

func (r *remote) print(cmd *cobra.Command, ops []client.Operation) error {
	if r.json {
		enc := json.NewEncoder(cmd.OutOrStdout())
		for _, op := range ops {
			if err := enc.Encode(op); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	out := &printer{w: w}
	out.printf("ID\tSTATE\tPROVIDER\tLAST CODE\tCREATED\n")
	for _, op := range ops {
		provider, code := "-", "-"
		if n := len(op.Attempts); n > 0 {
			provider = op.Attempts[n-1].Provider
			if op.Attempts[n-1].Code != "" {
				code = op.Attempts[n-1].Code
			}
		}
		out.printf("%s\t%s\t%s\t%s\t%s\n", op.ID, op.State, provider, code, op.CreatedAt.Format(time.RFC3339))
	}
	return errors.Join(out.err, w.Flush())
}

func printOperation(cmd *cobra.Command, op client.Operation) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	out := &printer{w: w}
	out.printf("operation\t%s\nstate\t%s\noutcome\t%s\n", op.ID, op.State, op.Outcome)
	if op.InstrumentID != "" {
		out.printf("instrument\t%s\n", op.InstrumentID)
	}
	out.printf("created\t%s\nupdated\t%s\n", op.CreatedAt.Format(time.RFC3339), op.UpdatedAt.Format(time.RFC3339))
	for i, a := range op.Attempts {
		out.printf("attempt %d\t%s: %s %s, %d ms\n", i+1, a.Provider, a.Outcome, a.Code, a.Ms)
	}
	if op.Advice != "" {
		out.printf("advice\t%s\n", op.Advice)
	}
	return errors.Join(out.err, w.Flush())
}
