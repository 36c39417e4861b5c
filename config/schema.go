package config

import (
	_ "embed" // the schema is a file of its own, so that editors can check it
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/polyvault/polyvault/normalize"
)

//go:embed schema.json
var schemaText string

const schemaURL = "https://polyvault.dev/schema/config.json"

// Schema returns the JSON Schema (2020-12) of the configuration file. The keys of
// each provider's config come from the adapters.
func Schema() ([]byte, error) {
	schema, err := schemaDocument()
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(schema, "", "  ")
}

func schemaDocument() (map[string]any, error) {
	var schema map[string]any
	if err := json.Unmarshal([]byte(schemaText), &schema); err != nil {
		return nil, fmt.Errorf("config: schema.json: %w", err)
	}
	provider := member(member(schema, "$defs"), "provider")
	types := providerTypes()
	var names, rules []any
	for _, name := range slices.Sorted(maps.Keys(types)) {
		names = append(names, name)
		keys := map[string]any{}
		for _, f := range types[name].fields {
			keys[f.name] = f.schema
		}
		rules = append(rules, map[string]any{
			"if": map[string]any{"properties": map[string]any{"type": map[string]any{"const": name}}, "required": []any{"type"}},
			"then": map[string]any{"properties": map[string]any{"config": map[string]any{
				"type": "object", "additionalProperties": false, "properties": keys,
			}}},
		})
	}
	member(member(provider, "properties"), "type")["enum"] = names
	provider["allOf"] = rules
	return schema, nil
}

func member(m map[string]any, name string) map[string]any {
	v, _ := m[name].(map[string]any) // schema.json is ours: a test walks it
	return v
}

// checkSchema reports what the schema refuses, and takes values of a wrong type
// out of the document, so that the rest can be decoded and checked as well.
func checkSchema(p *problems) error {
	schema, err := schemaDocument()
	if err != nil {
		return err
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(schemaURL, schema); err != nil {
		return fmt.Errorf("config: schema: %w", err)
	}
	compiled, err := compiler.Compile(schemaURL)
	if err != nil {
		return fmt.Errorf("config: schema: %w", err)
	}
	failed := &jsonschema.ValidationError{}
	if errors.As(compiled.Validate(p.doc.root), &failed) {
		w := &schemaWalk{p: p, schema: schema}
		w.walk(failed)
	}
	return nil
}

// schemaWalk turns the validator's tree of causes into problems.
type schemaWalk struct {
	p      *problems
	schema map[string]any
}

func (w *schemaWalk) walk(e *jsonschema.ValidationError) {
	_, alternatives := e.ErrorKind.(*kind.AnyOf)
	if len(e.Causes) > 0 && !alternatives {
		for _, cause := range e.Causes {
			w.walk(cause)
		}
		return
	}
	where := path(e.InstanceLocation)
	described := w.describe(e.SchemaURL)
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		known := w.known(e.SchemaURL)
		for _, name := range slices.Sorted(slices.Values(k.Properties)) {
			if normalize.ContainsCardNumber(name) {
				w.p.add(where, "holds an unknown key that looks like a card number, which is not shown")
				continue
			}
			w.p.add(where.with(name), "unknown key; the keys here are %s", known)
		}
	case *kind.Required:
		for _, name := range k.Missing {
			w.p.add(where.with(name), "is missing: add it")
		}
	case *kind.Type:
		w.p.doc.remove(where)
		if k.Got == "null" {
			w.p.add(where, "is empty: give it a value, or remove the key")
			return
		}
		w.p.add(where, "must be %s, not %s", orElse(described, wanted(k.Want)), wanted([]string{k.Got}))
	case *kind.Enum:
		if _, text := k.Got.(string); !text {
			w.p.doc.remove(where) // it could not be decoded
		}
		w.p.add(where, "must be one of %s", list(k.Want))
	case *kind.Maximum:
		if !k.Got.IsInt() || !k.Got.Num().IsInt64() {
			w.p.doc.remove(where) // it could not be decoded
		}
		w.p.add(where, "must be %s", orElse(described, "valid"))
	case *kind.MinItems:
		w.p.add(where, "must not be empty")
	case *kind.UniqueItems:
		w.p.add(where, "holds the same entry twice")
	case *kind.MinProperties, *kind.MaxProperties:
		w.p.add(where, "must have exactly %s", described)
	default:
		if alternatives || strings.HasSuffix(e.SchemaURL, "/duration") {
			w.p.doc.remove(where) // it could not be decoded
		}
		w.p.add(where, "must be %s", orElse(described, "valid"))
	}
}

// schemaAt returns the part of the schema that a location such as "…#/$defs/name" names.
func (w *schemaWalk) schemaAt(location string) map[string]any {
	_, pointer, _ := strings.Cut(location, "#")
	var v any = w.schema
	for token := range strings.SplitSeq(strings.Trim(pointer, "/"), "/") {
		switch parent := v.(type) {
		case map[string]any:
			v = parent[token]
		case []any:
			var i int
			if _, err := fmt.Sscanf(token, "%d", &i); err != nil || i < 0 || i >= len(parent) {
				return nil
			}
			v = parent[i]
		}
	}
	m, _ := v.(map[string]any)
	return m
}

func (w *schemaWalk) describe(location string) string {
	s, _ := w.schemaAt(location)["description"].(string)
	return s
}

func (w *schemaWalk) known(location string) string {
	schema := w.schema
	if _, pointer, _ := strings.Cut(location, "#"); pointer != "" {
		schema = w.schemaAt(location)
	}
	return strings.Join(slices.Sorted(maps.Keys(member(schema, "properties"))), ", ")
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func list(values []any) string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = fmt.Sprint(v)
	}
	return strings.Join(out, ", ")
}

// wanted names JSON types as people who write YAML know them.
func wanted(types []string) string {
	names := map[string]string{
		"object": "a mapping", "array": "a list", "string": "text", "boolean": "true or false",
		"integer": "a whole number", "number": "a number",
	}
	out := make([]string, len(types))
	for i, t := range types {
		out[i] = names[t]
	}
	return strings.Join(out, " or ")
}

// remove takes a value out of the document.
func (d *document) remove(p path) {
	var v any = d.root
	for i, token := range p {
		last := i == len(p)-1
		switch parent := v.(type) {
		case map[string]any:
			if last {
				delete(parent, token)
				return
			}
			v = parent[token]
		case []any:
			var n int
			if _, err := fmt.Sscanf(token, "%d", &n); err != nil || n >= len(parent) {
				return
			}
			if last {
				// The places after it must keep their numbers, which problems are told by.
				parent[n] = nil
				return
			}
			v = parent[n]
		}
	}
}
