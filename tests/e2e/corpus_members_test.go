package e2e

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// Every member that a request's body may have, as the contract lists them, has cases of
// the wrong type. An operation that the corpus does not know at all is named in the log.
func TestEveryMemberHasItsCases(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../gateway/httpapi/openapi.yaml")
	require.NoError(t, err)
	var doc object
	require.NoError(t, yaml.Unmarshal(raw, &doc))
	c := contract{t: t, doc: doc}

	bases, have := readBases(t), map[string]map[string]bool{}
	for _, one := range readCases[badCase](t, filepath.Join(corpus, "requests", "types.json")) {
		base := bases[one.Base]
		operation := base.Method + " " + base.Path
		if have[operation] == nil {
			have[operation] = map[string]bool{}
		}
		for pointer := range one.Set {
			have[operation][pointer] = true
		}
	}
	checked := 0
	for operation, schema := range c.bodies() {
		pointers := cases(have, operation)
		if pointers == nil {
			t.Logf("%s: no cases yet", operation)
			continue
		}
		c.sources = operation == "POST /v1/instruments"
		for _, member := range c.members(schema, "", 0) {
			require.True(t, slices.ContainsFunc(pointers, func(p string) bool { return fits(member, p) }), "%s: %s has no case of the wrong type", operation, member)
			checked++
		}
	}
	t.Logf("%d members have their cases", checked)
	require.Greater(t, checked, 100)
}

// cases are the pointers that the corpus sets in an operation's body; nil if there is none.
func cases(have map[string]map[string]bool, operation string) []string {
	for known, pointers := range have {
		if fits(operation, known) {
			return slices.Collect(maps.Keys(pointers))
		}
	}
	return nil
}

// fits compares segment by segment; one in braces stands for any.
func fits(pattern, s string) bool {
	want, got := strings.Split(pattern, "/"), strings.Split(s, "/")
	return slices.EqualFunc(want, got, func(w, g string) bool { return w == g || strings.HasPrefix(w, "{") })
}

// contract reads the OpenAPI document as far as bodies go.
type contract struct {
	t       *testing.T
	doc     object
	sources bool // the members of sources are wanted, too
}

// bodies are the JSON bodies' schemas, by method and path.
func (c contract) bodies() map[string]object {
	out := map[string]object{}
	for path, item := range c.object(c.doc["paths"]) {
		for method, op := range c.object(item) {
			operation, ok := op.(object)
			if !ok || operation["requestBody"] == nil {
				continue
			}
			content := c.object(c.object(operation["requestBody"])["content"])
			if media, ok := content["application/json"].(object); ok {
				out[strings.ToUpper(method)+" "+path] = c.object(media["schema"])
			}
		}
	}
	require.NotEmpty(c.t, out)
	return out
}

// members are the pointers of what a schema allows. Sources are the same everywhere, so
// that a create's stand for all.
func (c contract) members(schema object, at string, depth int) []string {
	require.Less(c.t, depth, 12, at)
	if ref, ok := schema["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/components/schemas/")
		if name == "Source" && !c.sources {
			return nil
		}
		return c.members(c.object(c.object(c.object(c.doc["components"])["schemas"])[name]), at, depth+1)
	}
	var out []string
	for _, kind := range []string{"oneOf", "anyOf"} {
		alternatives, _ := schema[kind].([]any)
		for _, one := range alternatives {
			out = append(out, c.members(c.object(one), at, depth+1)...)
		}
	}
	properties, _ := schema["properties"].(object)
	for name, property := range properties {
		out = append(append(out, at+"/"+name), c.members(c.object(property), at+"/"+name, depth+1)...)
	}
	if free, ok := schema["additionalProperties"].(object); ok {
		out = append(append(out, at+"/{key}"), c.members(free, at+"/{key}", depth+1)...)
	}
	if items, ok := schema["items"].(object); ok {
		out = append(append(out, at+"/0"), c.members(items, at+"/0", depth+1)...)
	}
	return out
}

func (c contract) object(v any) object {
	o, ok := v.(object)
	require.True(c.t, ok, "%v", v)
	return o
}
