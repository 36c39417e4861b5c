package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, the commit and the Go version",
		Args:  cobra.NoArgs,
		RunE: work(func(cmd *cobra.Command, _ []string) error {
			info, _ := debug.ReadBuildInfo()
			_, err := fmt.Fprintln(cmd.OutOrStdout(), versionLine(info))
			return err
		}),
	}
}

// build is what a binary was made from. What the build did not record is "unknown".
type build struct {
	version, revision, goVersion string
	modified                     bool // the tree was not that of the revision
}

func buildOf(info *debug.BuildInfo) build {
	b := build{goVersion: runtime.Version()}
	if info != nil {
		b.version = info.Main.Version
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				b.revision = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				b.modified = true
			}
		}
	}
	b.version, b.revision = cmp.Or(b.version, "unknown"), cmp.Or(b.revision, "unknown")
	return b
}

// versionLine is "polyvault VERSION (COMMIT) GO".
func versionLine(info *debug.BuildInfo) string {
	b, modified := buildOf(info), ""
	if b.modified {
		modified = ", modified"
	}
	return fmt.Sprintf("polyvault %s (%s%s) %s", b.version, b.revision, modified, b.goVersion)
}
