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

// secret reports whether a key is a credential.
func (t providerType) secret(key string) bool {
	return slices.ContainsFunc(t.fields, func(f field) bool { return f.secret && f.name == key })
}

// field is one key of an adapter's Config.
type field struct {
	name   string
	secret bool
	schema map[string]any
}

// typeOf reads the keys off the adapter's Config, so that the file's schema
// follows it without a second list.
func typeOf[C adapters.Config]() providerType {
	t := providerType{decode: func(b []byte) (adapters.Config, error) {
		var c C
		err := json.Unmarshal(b, &c)
		return c, err
	}}
	for f := range reflect.TypeFor[C]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		secret := f.Type == reflect.TypeFor[normalize.Secret]()
		t.fields = append(t.fields, field{name: name, secret: secret, schema: fieldSchema(f.Type.Kind(), secret)})
	}
	return t
}

func fieldSchema(kind reflect.Kind, secret bool) map[string]any {
	switch {
	case secret:
		return map[string]any{"$ref": "#/$defs/secret"}
	case kind == reflect.Bool:
		return map[string]any{"type": "boolean"}
	case kind == reflect.Int:
		return map[string]any{"type": "integer"}
	default:
		return map[string]any{"type": "string"}
	}
}
