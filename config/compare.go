package config

import (
	"reflect"
	"slices"
	"strings"
)

// Changes is what differs between two configurations, by name and without a value.
type Changes struct {
	Keys []string // such as "routes" and "reads.stale_if_error"; lists are named as a whole
	// Restart are those of the keys that only another start takes into use.
	Restart []string

	ProvidersAdded, ProvidersRemoved, ProvidersChanged []string
	Routes, Tenants                                    []string // that were added, removed or changed
}

// None reports whether nothing differs, secrets included.
func (c Changes) None() bool { return len(c.Keys) == 0 }

// reloadable are the keys that a running gateway takes into use, with all below them.
// Every other key needs another start, so that a new one does until it is known to
// need none.
func reloadable() []string {
	return []string{
		"keys", "tenants", "providers", "routes", "deletes", "reads", "lease", "reconcile", "insecure_providers", "shutdown", "log.level",
		"audit.sync", "audit.required", "audit.max_bytes", "audit.keep",
		"limits", "trusted_proxies", "events",
	}
}

// Compare tells what differs between a configuration and the next one.
func Compare(was, is *Config) Changes {
	var c Changes
	differing(reflect.ValueOf(*was), reflect.ValueOf(*is), nil, &c.Keys)
	for _, key := range c.Keys {
		if !slices.ContainsFunc(reloadable(), func(r string) bool { return key == r || strings.HasPrefix(key, r+".") }) {
			c.Restart = append(c.Restart, key)
		}
	}
	if is.Store.Journal != nil && len(was.Keys.Reference) > 0 && len(is.Keys.Reference) > 0 && was.Keys.Reference[0].ID != is.Keys.Reference[0].ID {
		// The journal's file is encrypted under the first key until the gateway ends.
		c.Restart = append(c.Restart, "keys.reference")
	}
	name := func(p Provider) string { return p.Name }
	c.ProvidersAdded, c.ProvidersRemoved, c.ProvidersChanged = compareLists(was.Providers, is.Providers, name)
	c.Routes = concat(compareLists(was.Routes, is.Routes, func(r Route) string { return r.Name }))
	c.Tenants = concat(compareLists(was.Tenants, is.Tenants, func(t Tenant) string { return t.Name }))
	return c
}

// differing collects the keys below a structure whose values differ.
func differing(was, is reflect.Value, at path, keys *[]string) {
	for f, v := range was.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		other := is.FieldByIndex(f.Index)
		if v.Kind() == reflect.Pointer && !v.IsNil() && !other.IsNil() {
			v, other = v.Elem(), other.Elem()
		}
		switch {
		case reflect.DeepEqual(v.Interface(), other.Interface()):
		case v.Kind() == reflect.Struct && other.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[SecretRef]():
			differing(v, other, at.with(name), keys)
		default:
			*keys = append(*keys, at.with(name).String())
		}
	}
}

// compareLists tells by name what was added to a list, removed from it and changed in it.
func compareLists[T any](was, is []T, name func(T) string) (added, removed, changed []string) {
	before := map[string]T{}
	for _, item := range was {
		before[name(item)] = item
	}
	for _, item := range is {
		old, known := before[name(item)]
		delete(before, name(item))
		switch {
		case !known:
			added = append(added, name(item))
		case !reflect.DeepEqual(old, item):
			changed = append(changed, name(item))
		}
	}
	for _, item := range was {
		if _, gone := before[name(item)]; gone {
			removed = append(removed, name(item))
		}
	}
	return added, removed, changed
}

func concat(added, removed, changed []string) []string {
	return slices.Concat(added, removed, changed)
}
