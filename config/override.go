package config

import (
	"reflect"
	"strconv"
	"strings"
)

// EnvPrefix begins the environment variables that override the file:
// POLYVAULT_STORE_REDIS_URL is store.redis.url. Variables that name no key are
// left alone: Kubernetes sets POLYVAULT_PORT and the like by itself, and secrets
// live there.
const EnvPrefix = "POLYVAULT_"

// key is one that the environment and flags can set: no member of a list.
type key struct {
	path   path
	typ    reflect.Type
	secret bool
}

// keys walks the configuration's type.
func keys(t reflect.Type, at path) []key {
	var out []key
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		typ := f.Type
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		member := at.with(name)
		switch {
		case typ == reflect.TypeFor[SecretRef](), typ == reflect.TypeFor[ReferenceKeys]():
			out = append(out, key{path: member, typ: typ, secret: true})
		case typ.Kind() == reflect.Struct:
			out = append(out, keys(typ, member)...)
		case typ.Kind() == reflect.Slice && typ.Elem().Kind() != reflect.String:
		default:
			out = append(out, key{path: member, typ: typ})
		}
	}
	return out
}

func (k key) env() string { return EnvPrefix + strings.ToUpper(strings.Join(k.path, "_")) }

// override puts the environment and the flags over the file's values.
func override(p *problems, o Options) {
	for _, k := range keys(reflect.TypeFor[Config](), nil) {
		name := k.env()
		value, found := o.LookupEnv(name)
		if found && k.secret && !isReference(value) {
			value = "env:" + name // a secret's value may stand in the environment
		}
		origin := "$" + name
		if v, ok := o.Flags[k.path.String()]; ok {
			value, found, origin = v, true, "--"+strings.NewReplacer("_", "-", ".", "-").Replace(k.path.String())
		}
		if found {
			p.doc.set(k.path, k.parse(value), origin)
		}
	}
}

// parse gives a text the key's type. What does not fit stays text, for the schema
// to refuse.
func (k key) parse(s string) any {
	switch k.typ.Kind() {
	case reflect.Bool:
		if v, err := strconv.ParseBool(s); err == nil {
			return v
		}
	case reflect.Int:
		if v, err := strconv.Atoi(s); err == nil {
			return v
		}
	case reflect.Float64:
		if v, err := strconv.ParseFloat(s, 64); err == nil {
			return v
		}
	case reflect.Slice:
		if k.secret {
			return s
		}
		var items []any
		for item := range strings.SplitSeq(s, ",") {
			items = append(items, strings.TrimSpace(item))
		}
		return items
	default:
	}
	return s
}

// set puts a value into the document, making the mappings around it. Where the
// file has something else than a mapping, the schema refuses that.
func (d *document) set(p path, v any, origin string) {
	m := d.root
	for i, token := range p[:len(p)-1] {
		inner, ok := m[token].(map[string]any)
		if !ok {
			if m[token] != nil {
				return
			}
			inner = map[string]any{}
			m[token] = inner
			d.origin[p[:i+1].pointer()] = origin
		}
		m = inner
	}
	m[p[len(p)-1]] = v
	d.origin[p.pointer()] = origin
	for pointer := range d.lines {
		if strings.HasPrefix(pointer, p.pointer()+"\x00") {
			delete(d.lines, pointer)
		}
	}
}
