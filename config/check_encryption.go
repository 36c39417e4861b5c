package config

import (
	"slices"
	"strings"
)

// checkEncryptionKeys reports what only the whole ring, beside the reference keys, can show.
func checkEncryptionKeys(p *problems, c *Config) {
	seen := map[string]bool{}
	for i, k := range c.Keys.Encryption {
		where := at("keys", "encryption", i)
		if k.ID != "" && seen[k.ID] {
			p.add(where.with("id"), "is used twice: give each key an id of its own")
		}
		seen[k.ID] = true
		of, derived := strings.CutPrefix(k.ID, derivedPrefix)
		switch {
		case derived && !slices.ContainsFunc(c.Keys.Reference, func(r ReferenceKey) bool { return r.ID == of }):
			p.add(where.with("id"), "is derived from the reference key %s, which is not in keys.reference", of)
		case derived && !k.Value.IsZero():
			p.add(where.with("value"), "does not go with the key %s, which is derived from the reference key %s: leave it out, or choose an id without r-", k.ID, of)
		case !derived && k.ID != "" && k.Value.IsZero() && !p.has(where.with("value")):
			p.add(where, "needs a value: env:NAME or file:/path")
		}
	}
}
