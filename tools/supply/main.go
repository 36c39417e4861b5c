// Command supply tells what the binary is made of:
//
//	supply licences          writes third_party.csv: every module that is compiled, with its licence
//	supply licences -check   fails if that file does not say what is compiled now
//	supply sbom BINARY       writes a CycloneDX bill of materials of a built binary to stdout
//
// It looks for the repository's root from where it runs, which may be the folder tools.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

// table is where the licences are written down.
const table = "third_party.csv"

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "supply:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	if _, err := os.Stat("supply"); err == nil { // in tools
		if err := os.Chdir(".."); err != nil {
			return err
		}
	}
	if len(args) == 0 {
		return errors.New("say licences or sbom")
	}
	f := flag.NewFlagSet(args[0], flag.ContinueOnError)
	check := f.Bool("check", false, "write nothing, and fail if something differs")
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	switch {
	case args[0] == "licences" && *check:
		return checkLicences()
	case args[0] == "licences":
		return writeLicences()
	case args[0] == "sbom" && f.NArg() == 1:
		return writeSBOM(f.Arg(0), out)
	default:
		return errors.New("say licences, licences -check, or sbom BINARY")
	}
}
