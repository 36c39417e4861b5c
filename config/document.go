package config

import (
	"bytes"
	"errors"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxNodes bounds a file whose aliases multiply.
const maxNodes = 100_000

// document is a parsed file: its values, and where each of them stands.
type document struct {
	name   string
	root   map[string]any
	lines  map[string]int    // line of each key, by path
	origin map[string]string // the variable or flag that a value came from, by path
	nodes  int
}

// where returns the file and line of a key, or of the nearest one around it.
func (d *document) where(p path) (string, int) {
	for n := len(p); n >= 0; n-- {
		key := p[:n].pointer()
		if origin := d.origin[key]; origin != "" {
			return origin, 0
		}
		if line := d.lines[key]; line > 0 {
			return d.name, line
		}
	}
	return d.name, 1
}

var (
	// yamlLine finds the line in an error of the YAML library.
	yamlLine = regexp.MustCompile(`line (\d+): `)
	// fromParser finds the messages of its parser, which counts lines from 0. Its
	// scanner counts from 1.
	fromParser = regexp.MustCompile(`did not find expected (<document start>|node content|'-' indicator|key|',' or)`)
)

// parse reads YAML into plain values, remembering lines. koanf, which would merge
// as well, drops them.
func parse(name string, text []byte) (*document, *problems) {
	d := &document{name: name, root: map[string]any{}, lines: map[string]int{"": 1}, origin: map[string]string{}}
	p := &problems{doc: d, seen: map[string]bool{}}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var node yaml.Node
	if err := decoder.Decode(&node); errors.Is(err, io.EOF) {
		return d, p
	} else if err != nil {
		d.syntax(p, err)
		return d, p
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		p.add(nil, "holds more than one YAML document: keep one")
	}
	root, ok := d.value(node.Content[0], nil, p).(map[string]any)
	if !ok {
		p.add(nil, "must be a mapping of keys such as listen and providers")
		return d, p
	}
	d.root = root
	return d, p
}

func (d *document) syntax(p *problems, err error) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		d.lines[""], _ = strconv.Atoi(m[1])
		text = strings.Replace(text, m[0], "", 1)
		if fromParser.MatchString(text) {
			d.lines[""]++
		}
	}
	p.add(nil, "is not YAML: %s", text)
}

// value turns a node into a map, list, string, number, boolean or nil.
func (d *document) value(n *yaml.Node, at path, p *problems) any {
	if d.nodes++; d.nodes > maxNodes {
		p.add(nil, "is too large: aliases multiply it")
		return nil
	}
	if len(at) > 0 && d.lines[at.pointer()] == 0 {
		d.lines[at.pointer()] = n.Line
	}
	switch n.Kind {
	case yaml.MappingNode:
		return d.mapping(n, at, p)
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, item := range n.Content {
			list[i] = d.value(item, at.with(i), p)
		}
		return list
	case yaml.AliasNode:
		if n.Alias == nil || contains(n.Alias, n) {
			p.add(at, "refers to itself")
			return nil
		}
		return d.value(n.Alias, at, p)
	default:
		return scalar(n, at, p)
	}
}

func contains(n, wanted *yaml.Node) bool {
	for _, c := range n.Content {
		if c == wanted || contains(c, wanted) {
			return true
		}
	}
	return false
}

func (d *document) mapping(n *yaml.Node, at path, p *problems) any {
	m := make(map[string]any, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, member := n.Content[i], at.with(n.Content[i].Value)
		if _, dup := m[key.Value]; dup {
			p.list = append(p.list, Problem{
				File: d.name, Line: key.Line, Path: member.String(),
				Text: "is there twice, first on line " + strconv.Itoa(d.lines[member.pointer()]) + ": remove one",
			})
			continue
		}
		d.lines[member.pointer()] = key.Line
		m[key.Value] = d.value(n.Content[i+1], member, p)
	}
	return m
}

func scalar(n *yaml.Node, at path, p *problems) any {
	var v any
	if err := n.Decode(&v); err != nil {
		p.add(at, "is not a YAML value: put it in quotes")
		return nil
	}
	if f, ok := v.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
		p.add(at, "must be a finite number")
		return nil
	}
	switch v.(type) {
	case string, bool, int, int64, uint64, float64, nil:
		return v
	default: // a timestamp or binary, which no key wants
		return n.Value
	}
}

// get returns the value at path, nil if there is none.
func (d *document) get(p path) any {
	var v any = d.root
	for _, token := range p {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[token]
	}
	return v
}
