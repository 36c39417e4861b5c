package canaries

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

type object = map[string]any

// endpoint is one operation of the contract.
type endpoint struct {
	id, method, path string
	params           []string // of the path
	query            []string
	headers          []string
	members          []string // of the body, by pointer; nil if it has none
}

// endpoints reads all operations from the contract, so that a new one cannot be left out.
func endpoints(t *testing.T) []endpoint {
	t.Helper()
	raw, err := os.ReadFile("../../gateway/httpapi/openapi.yaml")
	require.NoError(t, err)
	var doc object
	require.NoError(t, yaml.Unmarshal(raw, &doc))
	c := contract{doc}
	paths := c.object(doc["paths"])
	var out []endpoint
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		item := c.object(paths[path])
		for _, method := range []string{"get", "post", "put", "patch", "delete"} {
			if item[method] == nil {
				continue
			}
			op := c.object(item[method])
			e := endpoint{method: strings.ToUpper(method), path: path}
			e.id, _ = op["operationId"].(string)
			for _, p := range slices.Concat(c.list(item["parameters"]), c.list(op["parameters"])) {
				param := c.object(p)
				name, _ := param["name"].(string)
				switch param["in"] {
				case "path":
					e.params = append(e.params, name)
				case "query":
					e.query = append(e.query, name)
				case "header":
					e.headers = append(e.headers, name)
				}
			}
			if body := op["requestBody"]; body != nil {
				for _, media := range c.object(c.object(body)["content"]) {
					e.members = c.members(c.object(media)["schema"], "", 0)
				}
				slices.Sort(e.members)
				e.members = slices.Compact(e.members)
			}
			out = append(out, e)
		}
	}
	require.Greater(t, len(out), 25)
	return out
}

// contract is an OpenAPI document that resolves its references.
type contract struct{ doc object }

func (c contract) object(v any) object {
	o, _ := v.(object)
	if ref, ok := o["$ref"].(string); ok {
		at := c.doc
		for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			at = c.object(at[name])
		}
		return at
	}
	return o
}

func (c contract) list(v any) []any {
	l, _ := v.([]any)
	return l
}

// members are the pointers of everything that a schema knows, with a member that is not
// known beside each, and a number for the name of one.
func (c contract) members(schema any, at string, depth int) []string {
	s := c.object(schema)
	if depth > 8 {
		return nil
	}
	out := []string{at}
	for _, list := range []string{"oneOf", "anyOf", "allOf"} {
		for _, branch := range c.list(s[list]) {
			out = append(out, c.members(branch, at, depth+1)...)
		}
	}
	if s["items"] != nil {
		out = append(out, c.members(s["items"], at+"/0", depth+1)...)
	}
	properties := c.object(s["properties"])
	for name, p := range properties {
		out = append(out, c.members(p, at+"/"+name, depth+1)...)
	}
	if len(properties) > 0 || s["additionalProperties"] != nil {
		out = append(out, at+"/unknown", at+"/$NUMBER")
	}
	if extra, ok := s["additionalProperties"].(object); ok {
		out = append(out, c.members(extra, at+"/any", depth+1)...)
	}
	return out
}

// with is a copy of doc in which the member at the pointer is v; what is missing on the way is made.
func with(doc any, pointer []string, v any) any {
	if len(pointer) == 0 {
		return v
	}
	if pointer[0] == "0" {
		list, _ := doc.([]any)
		list = slices.Clone(list)
		if len(list) == 0 {
			list = []any{nil}
		}
		list[0] = with(list[0], pointer[1:], v)
		return list
	}
	o, _ := doc.(object)
	o = maps.Clone(o)
	if o == nil {
		o = object{}
	}
	o[pointer[0]] = with(o[pointer[0]], pointer[1:], v)
	return o
}
