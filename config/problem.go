package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Problem is one thing wrong with the configuration. Its text never holds a value
// of the configuration, which might be a secret in the wrong place.
type Problem struct {
	File string // the file, or the variable or flag that the value came from
	Line int    // 1 and up; 0 if it is not in a file
	Path string // path.to.key, "" for the whole
	Text string // what is wrong and what to do
}

// String is "FILE:LINE: path.to.key: text".
func (p Problem) String() string {
	s := p.File
	if p.Line > 0 {
		s += ":" + strconv.Itoa(p.Line)
	}
	if p.Path != "" {
		s += ": " + p.Path
	}
	return s + ": " + p.Text
}

// Problems is every problem of a configuration, in the order of the file. It is
// the error of [Load].
type Problems []Problem

// Error implements error: one line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// problems collects, and knows where keys stand.
type problems struct {
	doc  *document
	list Problems
	seen map[string]bool // pointers that have a problem
}

// add reports a problem of the key at path. A second problem of one key is left
// out: it mostly follows from the first.
func (p *problems) add(at path, format string, args ...any) {
	if p.seen[at.pointer()] {
		return
	}
	p.seen[at.pointer()] = true
	file, line := p.doc.where(at)
	p.list = append(p.list, Problem{File: file, Line: line, Path: at.String(), Text: fmt.Sprintf(format, args...)})
}

// has reports whether the key at path has a problem.
func (p *problems) has(at path) bool { return p.seen[at.pointer()] }

// err is nil if there were none.
func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	slices.SortStableFunc(p.list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.File, b.File), cmp.Compare(a.Path, b.Path))
	})
	return p.list
}

// path is where a key stands: member names and list positions.
type path []string

func at(tokens ...any) path {
	p := make(path, len(tokens))
	for i, t := range tokens {
		p[i] = fmt.Sprint(t)
	}
	return p
}

func (p path) with(tokens ...any) path { return append(slices.Clone(p), at(tokens...)...) }

// pointer is a key for maps. A zero byte cannot stand in YAML.
func (p path) pointer() string { return strings.Join(p, "\x00") }

// String is "providers[1].config.base_url".
func (p path) String() string {
	var b strings.Builder
	for _, token := range p {
		switch _, err := strconv.Atoi(token); {
		case err == nil:
			b.WriteString("[" + token + "]")
		case b.Len() > 0:
			b.WriteString("." + token)
		default:
			b.WriteString(token)
		}
	}
	return b.String()
}
