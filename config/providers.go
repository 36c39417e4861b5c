package config

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/bigcommerce"
	"github.com/polyvault/polyvault/adapters/cybersource"
	"github.com/polyvault/polyvault/adapters/rebilly"
	"github.com/polyvault/polyvault/normalize"
)

// providerTypes names every provider type: this is the line that a new adapter adds.
func providerTypes() map[string]providerType {
	return map[string]providerType{
		"bigcommerce": typeOf[bigcommerce.Config](),
		"cybersource": typeOf[cybersource.Config](),
		"rebilly":     typeOf[rebilly.Config](),
	}
}

// providerType is how one adapter's part of the file is read.
type providerType struct {
	decode func([]byte) (adapters.Config, error)
	fields []field
}

// secret reports whether a key is a credential, or holds some.
func (t providerType) secret(key string) bool {
	return slices.ContainsFunc(t.fields, func(f field) bool { return f.name == key && f.holdsSecret() })
}

// field is one key of an adapter's Config: text, a number, true or false, a credential,
// or a list of these or of mappings.
type field struct {
	name   string
	list   bool
	secret bool    // its value, or each of the list, is a credential
	fields []field // of each mapping in the list
	schema map[string]any
}

func (f field) holdsSecret() bool {
	return f.secret || slices.ContainsFunc(f.fields, field.holdsSecret)
}

// typeOf reads the keys off the adapter's Config, so that the file's schema
// follows it without a second list.
func typeOf[C adapters.Config]() providerType {
	return providerType{fields: fieldsOf(reflect.TypeFor[C]()), decode: func(b []byte) (adapters.Config, error) {
		var c C
		err := json.Unmarshal(b, &c)
		return c, err
	}}
}

func fieldsOf(t reflect.Type) []field {
	var out []field
	for f := range t.Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			out = append(out, fieldOf(name, f.Type))
		}
	}
	return out
}

func fieldOf(name string, t reflect.Type) field {
	switch {
	case t == reflect.TypeFor[normalize.Secret]():
		return field{name: name, secret: true, schema: map[string]any{"$ref": "#/$defs/secret"}}
	case t.Kind() == reflect.Slice:
		item := fieldOf(name, t.Elem())
		return field{
			name: name, list: true, secret: item.secret, fields: item.fields,
			schema: map[string]any{"type": "array", "items": item.schema, "description": "a list"},
		}
	case t.Kind() == reflect.Struct:
		fields := fieldsOf(t)
		keys, names := map[string]any{}, make([]any, len(fields))
		for i, f := range fields {
			keys[f.name], names[i] = f.schema, f.name
		}
		return field{name: name, fields: fields, schema: map[string]any{
			"type": "object", "additionalProperties": false, "properties": keys, "required": names,
		}}
	default:
		return field{name: name, schema: plainSchema(t.Kind())}
	}
}

func plainSchema(kind reflect.Kind) map[string]any {
	switch kind {
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int:
		return map[string]any{"type": "integer"}
	default:
		return map[string]any{"type": "string"}
	}
}
