package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/polyvault/polyvault/config"
	"github.com/polyvault/polyvault/gateway/httpapi"
)

func newConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check and show a configuration file",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return usagef("a command is required: validate, show or schema") },
	}
	cmd.AddCommand(
		&cobra.Command{
			Use:   "validate FILE",
			Short: "Report every problem of a configuration file, with line numbers",
			Args:  cobra.ExactArgs(1),
			RunE: work(func(cmd *cobra.Command, args []string) error {
				if _, err := loadConfig(args[0]); err != nil {
					return err
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is valid\n", args[0])
				return err
			}),
		},
		&cobra.Command{
			Use:   "show FILE",
			Short: "Print the effective configuration, secrets by reference only",
			Args:  cobra.ExactArgs(1),
			RunE: work(func(cmd *cobra.Command, args []string) error {
				c, err := loadConfig(args[0])
				if err != nil {
					return err
				}
				text, err := c.Show()
				if err != nil {
					return err
				}
				_, err = cmd.OutOrStdout().Write(text)
				return err
			}),
		},
		&cobra.Command{
			Use:   "schema",
			Short: "Print the JSON Schema of the configuration file",
			Args:  cobra.NoArgs,
			RunE: work(func(cmd *cobra.Command, _ []string) error {
				text, err := config.Schema()
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), string(text))
				return err
			}),
		},
	)
	return cmd
}

// loadConfig loads a file for this binary: with its environment and its scopes.
func loadConfig(file string) (*config.Config, error) {
	return loadConfigWith(file, loadOptions(nil))
}

func loadConfigWith(file string, o config.Options) (*config.Config, error) {
	c, _, err := fileSource(file, o)()
	return c, unusable(err)
}

func loadOptions(flags map[string]string) config.Options {
	return config.Options{LookupEnv: os.LookupEnv, Flags: flags, Scopes: scopeNames()}
}

// unusable introduces the problems of a configuration.
func unusable(err error) error {
	if problems := config.Problems(nil); errors.As(err, &problems) {
		return fmt.Errorf("the configuration cannot be used:\n%w", err)
	}
	return err
}

func scopeNames() []string {
	var out []string
	for _, s := range httpapi.Scopes() {
		out = append(out, string(s))
	}
	return out
}
