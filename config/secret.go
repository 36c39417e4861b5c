package config

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/polyvault/polyvault/normalize"
)

// maxSecretFile is the largest secret in a file, in bytes.
const maxSecretFile = 64 << 10

// resolver turns references into values. Problems name the variable or file and
// never the value.
type resolver struct {
	problems *problems
	lookup   func(string) (string, bool)
	opened   func(file string)
	folder   string // relative file: references start here
	without  bool   // nothing is looked up: every reference stands for madeUp
}

// madeUp stands for every secret that is not looked up: base64 of 32 bytes, which is
// what most of them are, and no secret.
const madeUp = "bWFkZSB1cDogbm90IGEgc2VjcmV0LCBub3QgdXNlZC4="

func (r *resolver) resolve(c *Config) {
	_, list := r.problems.doc.get(at("keys", "reference")).([]any)
	for i := range c.Keys.Reference {
		where := at("keys", "reference")
		if list {
			where = where.with(i, "value")
		}
		r.referenceKey(&c.Keys.Reference[i], where)
	}
	r.encryptionKeys(c.Keys.Encryption)
	if redis := c.Store.Redis; redis != nil {
		r.redisURL(&redis.URL)
		redis.Password.Value, _ = r.value(at("store", "redis", "password"), redis.Password.ref, false)
		redis.SentinelPassword.Value, _ = r.value(at("store", "redis", "sentinel_password"), redis.SentinelPassword.ref, false)
	}
	r.events(c)
	for i := range c.Providers {
		r.provider(&c.Providers[i], at("providers", i, "config"), c.InsecureProviders)
	}
}

func (r *resolver) referenceKey(k *ReferenceKey, where path) {
	value, ok := r.value(where, k.Value.ref, false)
	if !ok {
		return
	}
	decoded, err := base64.StdEncoding.DecodeString(value.Reveal())
	if err != nil || len(decoded) < 32 {
		r.problems.add(where, "must resolve to base64 of 32 bytes or more: make one with openssl rand -base64 32")
		return
	}
	k.Value.Value, k.Bytes = value, decoded
}

// redisURL may be literal unless it holds a password.
func (r *resolver) redisURL(s *SecretRef) {
	if s.IsZero() {
		return
	}
	where := at("store", "redis", "url")
	if isReference(s.ref) {
		s.Value, _ = r.value(where, s.ref, false)
	} else {
		s.Value, s.plain = normalize.NewSecret(s.ref), true
	}
	if s.Value.IsZero() || r.without && !s.plain {
		return
	}
	u, err := url.Parse(s.Value.Reveal())
	if err != nil || u.Scheme != "redis" && u.Scheme != "rediss" || u.Host == "" {
		s.plain = false
		r.problems.add(where, "must be a URL such as redis://127.0.0.1:6379/0, or rediss:// for TLS")
		return
	}
	if _, secret := u.User.Password(); s.plain && secret {
		s.plain = false
		r.problems.add(where, "holds a password: put it into store.redis.password as env:NAME or file:/path, or refer to the whole URL so")
	}
}

// provider resolves an adapter's credentials and decodes its Config.
func (r *resolver) provider(p *Provider, where path, literals bool) {
	typ, known := providerTypes()[p.Type]
	if !known || p.Config == nil {
		return // the schema has said so
	}
	resolved := r.credentials(typ.fields, p.Config, where, literals)
	text, err := json.Marshal(resolved)
	if err == nil {
		p.Adapter, err = typ.decode(text)
	}
	if err != nil {
		r.problems.add(where, "cannot be read as the configuration of a %s provider", p.Type)
		return
	}
	for _, problem := range p.Adapter.Validate() {
		key, text := splitProblem(problem)
		if r.without && typ.secret(key) {
			continue
		}
		r.problems.add(where.with(key), "%s", text)
	}
}

// credentials returns a mapping with the references in it resolved, and leaves in the
// mapping itself what may be shown.
func (r *resolver) credentials(fields []field, written map[string]any, where path, literals bool) map[string]any {
	resolved := maps.Clone(written)
	for _, f := range fields {
		value, found := written[f.name]
		if !found || !f.holdsSecret() {
			continue
		}
		here := where.with(f.name)
		list, isList := value.([]any)
		if !f.list || !isList {
			delete(resolved, f.name)
			if v, ok := r.credential(f, &value, here, literals); ok {
				resolved[f.name], written[f.name] = v, value
			}
			continue
		}
		values := []any{}
		for i := range list {
			if v, ok := r.credential(f, &list[i], here.with(i), literals); ok {
				values = append(values, v)
			}
		}
		resolved[f.name] = values
	}
	return resolved
}

// credential resolves one value, and leaves in it what may be shown. Of a wrong type it
// is nothing: the schema has said so.
func (r *resolver) credential(f field, value *any, where path, literals bool) (any, bool) {
	switch v := (*value).(type) {
	case map[string]any:
		return r.credentials(f.fields, v, where, literals), true
	case string:
		secret, ok := r.value(where, v, literals)
		if ok {
			*value = shown(v, false)
		}
		return secret.Reveal(), ok && f.secret
	default:
		return nil, false
	}
}

// splitProblem takes the key's name off an adapter's message.
func splitProblem(s string) (name, text string) {
	end := strings.IndexFunc(s, func(c rune) bool { return c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') })
	if end < 0 {
		return s, "is not valid"
	}
	return s[:end], strings.TrimLeft(s[end:], ": ")
}

// value resolves one reference.
func (r *resolver) value(where path, ref string, literals bool) (normalize.Secret, bool) {
	switch {
	case ref == "": // left out, or the schema has said so
	case r.without && isReference(ref):
		return normalize.NewSecret(madeUp), true
	case strings.HasPrefix(ref, "env:"):
		name := strings.TrimPrefix(ref, "env:")
		v, found := r.lookup(name)
		if found && v != "" {
			return normalize.NewSecret(v), true
		}
		r.problems.add(where, "the environment variable %s is not set: set it, or refer to another", name)
	case strings.HasPrefix(ref, "file:"):
		return r.file(where, strings.TrimPrefix(ref, "file:"))
	case literals:
		return normalize.NewSecret(ref), true
	default:
		r.problems.add(where, "must not hold the secret itself: write env:NAME or file:/path")
	}
	return normalize.Secret{}, false
}

func (r *resolver) file(where path, name string) (normalize.Secret, bool) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(r.folder, name)
	}
	if r.opened != nil {
		r.opened(name)
	}
	f, err := os.Open(filepath.Clean(name))
	if err != nil {
		r.problems.add(where, "the secret's file cannot be opened: %s", err)
		return normalize.Secret{}, false
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	switch v := strings.TrimRight(string(b), "\r\n"); {
	case err != nil:
		r.problems.add(where, "the secret's file cannot be read: %s", err)
	case len(b) > maxSecretFile:
		r.problems.add(where, "the secret's file %s is larger than 64 KiB", name)
	case v == "":
		r.problems.add(where, "the secret's file %s is empty", name)
	default:
		return normalize.NewSecret(v), true
	}
	return normalize.Secret{}, false
}
