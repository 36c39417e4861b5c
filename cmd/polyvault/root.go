package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// run is main without the process: it ends when the command does, or soon after
// ctx is done.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot() //nolint:contextcheck // commands get the context when they are executed
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	if failed := (*failure)(nil); errors.As(err, &failed) {
		if failed.err != nil {
			_, _ = fmt.Fprintln(stderr, "polyvault: "+failed.Error())
		}
		return exitFailure
	}
	_, _ = fmt.Fprintf(stderr, "polyvault: %v\nRun '%s --help' for usage.\n", err, cmd.CommandPath())
	return exitUsage
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "polyvault",
		Short:         "One API for payment instruments stored at CyberSource, Rebilly and BigCommerce",
		Args:          cobra.NoArgs,
		SilenceErrors: true, // run prints them, once
		SilenceUsage:  true,
		RunE:          func(*cobra.Command, []string) error { return errors.New("a command is required") },
	}
	root.AddCommand(
		newServe(), newDemo(), newSandbox(), newConfig(), newKeys(), newOperations(), newEvents(), newRoutes(), newImport(), newSync(), newBackup(), newRestore(), newAudit(), newHealthcheck(),
		newVersion(),
	)
	return root
}

// failure is an error of the work itself. Every other error of a command is about
// how it was called.
type failure struct{ err error } // nil: it has been told already

func (f *failure) Error() string {
	if f.err == nil {
		return "failed"
	}
	return f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

// work makes a RunE of fn, whose errors are failures unless they are [usageError].
func work(fn func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := fn(cmd, args)
		usage, failed := (*usageError)(nil), (*failure)(nil)
		if err == nil || errors.As(err, &usage) || errors.As(err, &failed) {
			return err
		}
		return &failure{err}
	}
}

// usageError is a wrong argument that only the command itself can tell.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// printer writes lines and remembers the first error, such as a closed pipe.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}
