package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/polyvault/polyvault/config"
	"github.com/polyvault/polyvault/gateway/httpapi"
)

// maxKeyInput bounds what is read of a key, in bytes. The longest key has 157.
const maxKeyInput = 4 << 10

func newKeysCheck() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Tell which entry of the configuration an API key belongs to; the key is read from stdin and never shown",
		Args:  cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxKeyInput+1))
			if err != nil {
				return fmt.Errorf("the key cannot be read from stdin: %w", err)
			}
			key := strings.TrimSpace(string(text))
			if !httpapi.ValidAPIKey(key) {
				return errors.New("what came on stdin does not have the form of an API key, pv_<env>_<8 characters>_<secret>")
			}
			c, err := loadConfig(file)
			if err != nil {
				return err
			}
			tenant, entry, ok := entryOf(c, key)
			if !ok {
				return errors.New("no entry of the configuration has this key: it is refused")
			}
			out := &printer{w: cmd.OutOrStdout()}
			out.printf("tenant: %s\nname: %s\nscopes: %s\nnot_after: %s\n", tenant, entry.Name, strings.Join(entry.Scopes, ", "), endOf(entry))
			if end := entry.End(); !end.IsZero() && !time.Now().Before(end) {
				return errors.Join(out.err, errors.New("the key's time is over: it is refused"))
			}
			return out.err
		}),
	}
	configFlag(cmd, &file)
	return cmd
}

func newKeysList() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "list --config FILE",
		Short: "List the API keys of the configuration: tenant, name, scopes and when they end",
		Args:  cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			c, err := loadConfig(file)
			if err != nil {
				return err
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			out := &printer{w: table}
			out.printf("TENANT\tNAME\tSHA256\tNOT AFTER\tSCOPES\n")
			for _, t := range c.Tenants {
				for _, k := range t.APIKeys {
					// Enough of the digest to tell two keys apart, and no more.
					out.printf("%s\t%s\t%s…\t%s\t%s\n", t.Name, k.Name, strings.ToLower(k.SHA256[:8]), endOf(k), strings.Join(k.Scopes, ","))
				}
			}
			return errors.Join(out.err, table.Flush())
		}),
	}
	configFlag(cmd, &file)
	return cmd
}

func configFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "config", "", "the configuration file (required)")
	if err := cmd.MarkFlagRequired("config"); err != nil {
		panic(err) // a mistake of ours: the flag is defined just above
	}
}

// entryOf finds a key by its digest. Time tells nothing here: who runs the command
// has the configuration.
func entryOf(c *config.Config, key string) (tenant string, entry config.APIKey, ok bool) {
	digest := httpapi.DigestAPIKey(key)
	want := hex.EncodeToString(digest[:])
	for _, t := range c.Tenants {
		if i := slices.IndexFunc(t.APIKeys, func(k config.APIKey) bool { return strings.EqualFold(k.SHA256, want) }); i >= 0 {
			return t.Name, t.APIKeys[i], true
		}
	}
	return "", config.APIKey{}, false
}

// endOf says when a key ends.
func endOf(k config.APIKey) string {
	end := k.End()
	switch {
	case end.IsZero():
		return "never"
	case !time.Now().Before(end):
		return end.UTC().Format(time.RFC3339) + " (over)"
	default:
		return end.UTC().Format(time.RFC3339)
	}
}
