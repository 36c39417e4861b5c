package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// statusLine is "201 Created" and the headers that tell a story.
func statusLine(status int, h http.Header) string {
	parts := []string{fmt.Sprintf("%d %s", status, http.StatusText(status))}
	for _, name := range []string{"Gateway-Provider", "Gateway-Outcome", "Idempotent-Replayed", "Gateway-Stale", "Age", "ETag"} {
		if v := h.Get(name); v != "" {
			parts = append(parts, name+": "+v)
		}
	}
	return strings.Join(parts, "  ")
}

// show prints the members of an answer that it names, separated by spaces. A name
// such as "attempts[provider,outcome]" is of a list, whose items get a line each with
// these members of theirs.
func (p *printer) show(body map[string]any, names string) {
	var plain, lists []string
	for name := range strings.FieldsSeq(names) {
		if strings.HasSuffix(name, "]") {
			lists = append(lists, name)
		} else {
			plain = append(plain, name)
		}
	}
	if len(plain) > 0 {
		p.printf("    %s\n", oneLine(body, plain...))
	}
	for _, list := range lists {
		name, members, _ := strings.Cut(strings.TrimSuffix(list, "]"), "[")
		for _, item := range objects(body, name) {
			p.printf("    %s: %s\n", name, oneLine(item, strings.Split(members, ",")...))
		}
	}
}

// objects returns a member that is a list of objects.
func objects(m map[string]any, name string) []map[string]any {
	items, _ := m[name].([]any)
	var out []map[string]any
	for _, item := range items {
		if m, ok := item.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// text returns a member that is a string; "" if it is none.
func text(m map[string]any, name string) string {
	s, _ := m[name].(string)
	return s
}

// object returns a member that is an object; nil if it is none.
func object(m map[string]any, name string) map[string]any {
	o, _ := m[name].(map[string]any)
	return o
}

// oneLine is JSON of some members of m, in the order of names, as far as they are set.
func oneLine(m map[string]any, names ...string) string {
	var b bytes.Buffer
	for _, name := range names {
		v, ok := m[name]
		if !ok || v == nil {
			continue
		}
		value, err := json.Marshal(brief(v))
		if err != nil {
			continue // it was JSON before
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q: %s", name, value)
	}
	return "{" + b.String() + "}"
}

// longest is how many characters of a provider's id are shown in full.
const longest = 28

// brief leaves out what is empty and cuts providers' long ids, so that a line shows
// what there is. Ids of instruments stay whole: they are in the next call's path.
func brief(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, member := range v {
			if member != nil && member != "" {
				out[name] = brief(member)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = brief(item)
		}
		return out
	case string:
		if len(v) > longest && !strings.Contains(v, " ") && !strings.HasPrefix(v, "ins_") {
			return v[:8] + "…"
		}
		return v
	default:
		return v
	}
}
