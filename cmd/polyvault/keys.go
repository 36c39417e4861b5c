package main

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/polyvault/polyvault/gateway/httpapi"
)

func newKeys() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Make API keys, tell what the configuration's are, and rotate encryption keys",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return usagef("a command is required: new, check, list or rotate-at-rest")
		},
	}
	cmd.AddCommand(newKeysNew(), newKeysCheck(), newKeysList(), newKeysRotate())
	return cmd
}

func newKeysNew() *cobra.Command {
	var tenant, name, env string
	var scopes []string
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Print a new API key, once, and the line for the configuration that lets it in",
		Args:  cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			for _, s := range scopes {
				if !slices.Contains(scopeNames(), s) {
					return usagef("unknown scope %q; there are %s", s, strings.Join(scopeNames(), ", "))
				}
			}
			if env != "live" && env != "test" {
				return usagef("--env must be live or test")
			}
			key, err := httpapi.NewAPIKey(env)
			if err != nil {
				return err
			}
			errs := &printer{w: cmd.ErrOrStderr()}
			errs.printf("The key is shown this once. The line below it goes under api_keys of the tenant %s.\n", tenant)
			out := &printer{w: cmd.OutOrStdout()}
			out.printf("%s\n%s\n", key, keyLine(name, key, scopes))
			return out.err
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&tenant, "tenant", "", "the tenant that the key is for (required)")
	flags.StringSliceVar(&scopes, "scopes", nil, "what the key may do (required): "+strings.Join(scopeNames(), ", "))
	flags.StringVar(&name, "name", "api", "the key's name in the configuration and in logs")
	flags.StringVar(&env, "env", "live", "live or test; it only shows in the key")
	for _, required := range []string{"tenant", "scopes"} {
		if err := cmd.MarkFlagRequired(required); err != nil {
			panic(err) // a mistake of ours: the flag is defined just above
		}
	}
	return cmd
}

// keyLine is the key's entry in the configuration: its digest, never itself. A
// scope needs no quotes in YAML, since no space follows its colon.
func keyLine(name, key string, scopes []string) string {
	digest := httpapi.DigestAPIKey(key)
	return fmt.Sprintf(`- {name: %s, sha256: "%s", scopes: [%s]}`, name, hex.EncodeToString(digest[:]), strings.Join(scopes, ", "))
}
