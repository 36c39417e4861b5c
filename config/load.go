package config

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// maxFile is the largest configuration file, in bytes.
const maxFile = 1 << 20

// Options are what a configuration depends on besides its file.
type Options struct {
	// LookupEnv finds an environment variable. Default [os.LookupEnv].
	LookupEnv func(string) (string, bool)
	// Flags are values from the command line by key, such as "listen". They win
	// over the environment, which wins over the file.
	Flags map[string]string
	// Scopes are those that API keys can have. Empty accepts every scope.
	Scopes []string
	// WithoutSecrets looks nothing up: what a reference stands for need not be there.
	// Such a configuration tells what it would do, and cannot be run: its credentials
	// are made up.
	WithoutSecrets bool
	// Opened is called with the name of each file before it is read: the configuration
	// itself, and those of file: references. nil: nobody wants to know.
	Opened func(file string)
}

// Load reads and checks a configuration file. If anything is wrong with its
// content the error is [Problems], which lists everything.
func Load(file string, o Options) (*Config, error) {
	if o.Opened != nil {
		o.Opened(file)
	}
	f, err := os.Open(filepath.Clean(file))
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	if len(text) > maxFile {
		return nil, Problems{{File: file, Line: 1, Text: "is larger than 1 MiB"}}
	}
	return Parse(file, text, o)
}

// Parse is [Load] for a text that is in hand. Problems call it name; relative
// file: references are relative to name's folder.
func Parse(name string, text []byte, o Options) (*Config, error) {
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	doc, p := parse(name, text)
	if err := p.err(); err != nil {
		return nil, err // the shape is not known: everything else would follow from that
	}
	override(p, o)
	if err := checkSchema(p); err != nil {
		return nil, err
	}
	plain, err := json.Marshal(doc.root)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	c := defaults()
	if err := json.Unmarshal(plain, &c); err != nil {
		// The schema has a problem for every value of a wrong type, and took it out.
		p.add(nil, "cannot be read: run polyvault config schema for what it may hold")
		return nil, p.err()
	}
	if c.Store.Redis == nil && c.Store.Bolt == nil {
		c.Store.Bolt = &Bolt{Path: "./polyvault.db"}
		c.Store.Defaulted = true
	}
	r := &resolver{problems: p, lookup: o.LookupEnv, opened: o.Opened, folder: filepath.Dir(name), without: o.WithoutSecrets}
	r.resolve(&c)
	check(p, &c, o.Scopes)
	if err := p.err(); err != nil {
		return nil, err
	}
	return &c, nil
}
