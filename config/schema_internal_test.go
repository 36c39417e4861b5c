package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSchemaKeepsInStepWithTheStruct walks both: a key that only one of them has
// is either refused although it is read, or accepted although it does nothing.
func TestSchemaKeepsInStepWithTheStruct(t *testing.T) {
	t.Parallel()
	schema, err := schemaDocument()
	require.NoError(t, err)
	w := &schemaWalk{schema: schema}
	compare(t, w, schema, reflect.TypeFor[Config](), "config")
}

func compare(t *testing.T, w *schemaWalk, schema map[string]any, typ reflect.Type, where string) {
	t.Helper()
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if ref, ok := schema["$ref"].(string); ok {
		schema = w.schemaAt(ref)
		require.NotNil(t, schema, "%s: %s is in the schema", where, ref)
	}
	switch {
	case typ == reflect.TypeFor[SecretRef](), typ == reflect.TypeFor[Duration]():
		require.Equal(t, "string", schema["type"], where)
	case typ.Kind() == reflect.Slice:
		compare(t, w, member(schema, "items"), typ.Elem(), where+"[]")
	case typ.Kind() == reflect.Struct:
		require.Equal(t, false, schema["additionalProperties"], "%s refuses unknown keys", where)
		fields := map[string]reflect.Type{}
		for f := range typ.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name != "-" {
				fields[name] = f.Type
			}
		}
		properties := member(schema, "properties")
		require.Equal(t, slices.Sorted(maps.Keys(fields)), slices.Sorted(maps.Keys(properties)), where)
		for name, fieldType := range fields {
			compare(t, w, member(properties, name), fieldType, where+"."+name)
		}
	}
}
