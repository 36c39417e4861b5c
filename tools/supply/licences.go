package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// row is one module and its licence. Versions are left out, so that an update whose
// licence is the same one changes nothing.
type row struct {
	module, licence string
	in              string // "binary", or "tests"
	digest          string // SHA-256 of the licence's text
}

// allowed are the licences under which a module may be compiled into the binary: none of
// them asks for more than that its text is passed on.
func allowed() []string {
	return []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0", "Unlicense", "MIT AND Apache-2.0", bothLicences}
}

// bothLicences is the Apache licence, with parts of the source under another one.
const bothLicences = "Apache-2.0 AND BSD-3-Clause"

// kinds are what each licence says and no other does, in the order in which they are looked for.
func kinds() []struct{ name, text string } {
	return []struct{ name, text string }{
		{"MPL-2.0", "Mozilla Public License"}, // it names the GNU licences, too
		{"AGPL", "GNU AFFERO GENERAL PUBLIC LICENSE"},
		{"LGPL", "GNU LESSER GENERAL PUBLIC LICENSE"},
		{"GPL", "GNU GENERAL PUBLIC LICENSE"},
		{"Unlicense", "This is free and unencumbered software released into the public domain"},
		{"ISC", "Permission to use, copy, modify, and/or distribute this software for any purpose"},
		{"ISC", "Permission to use, copy, modify, and distribute this software for any purpose"},
		{"BSD-3-Clause", "may be used to endorse or promote"},
		{"BSD-2-Clause", "Redistributions in binary form must reproduce"},
		{"MIT AND Apache-2.0", "This project is covered by two different licenses: MIT and Apache"},
		{"Apache-2.0", "Apache License"},
		{"MIT", "Permission is hereby granted, free of charge, to any person obtaining a copy"},
	}
}

var (
	licenceFile = regexp.MustCompile(`(?i)^(licen[sc]e|copying|unlicense)([.-].*)?$`)
	space       = regexp.MustCompile(`\s+`)
)

// classify names a licence by its text.
func classify(text []byte) string {
	plain := strings.ToLower(space.ReplaceAllString(string(text), " "))
	if strings.Contains(plain, "apache license version 2.0") && strings.Contains(plain, "may be used to endorse or promote") {
		return bothLicences
	}
	for _, k := range kinds() {
		if strings.Contains(plain, strings.ToLower(k.text)) {
			return k.name
		}
	}
	return "unknown"
}

// rows are the modules that are compiled now.
func rows() ([]row, error) {
	binary, err := modules("./cmd/polyvault")
	if err != nil {
		return nil, err
	}
	all, err := modules("-test", "./...")
	if err != nil {
		return nil, err
	}
	var out []row
	for module, dir := range all {
		text, err := licenceOf(dir)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", module, err)
		}
		r := row{module, classify(text), "tests", digest(text)}
		if _, ok := binary[module]; ok {
			r.in = "binary"
		}
		out = append(out, r)
	}
	// The page of the API's reference is not a Go module.
	text, err := os.ReadFile("gateway/httpapi/docs/reference.LICENSE")
	if err != nil {
		return nil, err
	}
	out = append(out, row{"@scalar/api-reference", classify(text), "binary", digest(text)})
	slices.SortFunc(out, func(a, b row) int { return cmp.Compare(a.module, b.module) })
	return out, nil
}

// modules are the modules that packages are compiled from, with their folders.
func modules(packages ...string) (map[string]string, error) {
	args := append([]string{"list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Dir}}{{end}}{{end}}"}, packages...)
	cmd := exec.Command("go", args...)
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if path, dir, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			out[path] = dir
		}
	}
	return out, nil
}

func licenceOf(dir string) ([]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []byte
	for _, e := range entries {
		if !e.IsDir() && licenceFile.MatchString(e.Name()) && filepath.Ext(e.Name()) != ".go" {
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				return nil, err
			}
			out = append(out, text...)
		}
	}
	if out == nil {
		return nil, errors.New("it has no licence")
	}
	return out, nil
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// written is the table as it should be.
func written() ([]byte, error) {
	list, err := rows()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.Write([]string{"module", "licence", "in", "sha256 of its text"})
	for _, r := range list {
		if !slices.Contains(allowed(), r.licence) {
			return nil, fmt.Errorf("%s is under %s, which is not on the list of licences that may be used: use another module, or let a person decide and add the licence to tools/supply", r.module, r.licence)
		}
		_ = w.Write([]string{r.module, r.licence, r.in, r.digest})
	}
	w.Flush()
	return b.Bytes(), w.Error()
}

func writeLicences() error {
	b, err := written()
	if err != nil {
		return err
	}
	return os.WriteFile(table, b, 0o644)
}

func checkLicences() error {
	want, err := written()
	if err != nil {
		return err
	}
	is, err := os.ReadFile(table)
	if err != nil {
		return err
	}
	known := strings.Split(string(is), "\n")
	var differ []string
	for _, line := range strings.Split(string(want), "\n") {
		if !slices.Contains(known, line) {
			differ = append(differ, line)
		}
	}
	if len(differ) > 0 {
		return fmt.Errorf("%s does not know these modules, or their licences changed: look at them, then run make licences\n%s", table, strings.Join(differ, "\n"))
	}
	if !bytes.Equal(want, is) {
		return fmt.Errorf("%s names modules that are not used any more: run make licences", table)
	}
	return nil
}
