package canaries

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/boltstore"
)

// opener opens what is sealed in stored values, so that the search sees what is in
// there. It is written after the description of the form and shares nothing with the
// gateway's own code; what it cannot open fails the test.
type opener struct {
	keys map[string][]byte // id -> 32 bytes
	out  bytes.Buffer
	n    int
}

func newOpener(t *testing.T, reference, encryption []byte) *opener {
	t.Helper()
	derived, err := hkdf.Key(sha256.New, reference, nil, "polyvault encryption at rest", 32)
	require.NoError(t, err)
	return &opener{keys: map[string][]byte{"e1": encryption, "r-k1": derived}}
}

// entry opens all of one stored value. Values without anything sealed are kept as they are.
func (o *opener) entry(t *testing.T, key string, value []byte) {
	t.Helper()
	var v object
	if json.Unmarshal(value, &v) != nil {
		return // an index, a claim or a number
	}
	o.out.WriteString(key + " ")
	o.out.Write(value)
	o.out.WriteByte('\n')
	by, _ := v["sealed_by"].(string)
	if by == "" {
		return
	}
	tenant, _ := v["tenant"].(string)
	id, _ := v["id"].(string)
	sealed := 0
	each(v, func(text string) {
		raw, err := base64.StdEncoding.DecodeString(text)
		require.NoError(t, err, "%s", key)
		plain, ok := o.open(by, raw, [][2]string{{tenant, id}, {tenant, key}, {"", key}})
		require.True(t, ok, "%s has something sealed under %s that does not open: has its form changed?", key, by)
		o.out.Write(plain)
		o.out.WriteByte('\n')
		o.n++
		sealed++
	})
	require.Positive(t, sealed, "%s says that something is sealed", key)
}

// each finds the sealed texts of a value: those of members named sealed.
func each(v any, do func(string)) {
	switch v := v.(type) {
	case object:
		for name, member := range v {
			switch member := member.(type) {
			case string:
				if name == "sealed" {
					do(member)
				}
			case object:
				for _, inner := range member {
					if text, ok := inner.(string); ok && name == "sealed" {
						do(text)
					}
				}
				each(member, do)
			default:
				each(member, do)
			}
		}
	case []any:
		for _, member := range v {
			each(member, do)
		}
	}
}

// open tries every place and provider that a sealed text may be bound to.
func (o *opener) open(by string, sealed []byte, places [][2]string) ([]byte, bool) {
	for _, at := range places {
		key, err := hkdf.Expand(sha256.New, o.keys[by], bound(at[0], at[1], "polyvault sealed record"), 32)
		if err != nil {
			return nil, false
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, false
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, false
		}
		for _, provider := range []string{"", cybersource, rebilly, bigcommerce} {
			if plain, err := aead.Open(nil, nil, sealed, []byte(bound(at[0], at[1], provider))); err == nil {
				return plain, true
			}
		}
	}
	return nil, false
}

func bound(parts ...string) string {
	var b []byte
	for _, p := range parts {
		b = append(binary.AppendUvarint(b, uint64(len(p))), p...)
	}
	return string(b)
}

// opened is everything in a bbolt file of the gateway's, with what is sealed opened.
func (w *world) opened(t *testing.T, file string) []byte {
	t.Helper()
	s, err := boltstore.Open(boltstore.Config{Path: filepath.Join(w.dir, file)})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	o := newOpener(t, w.reference, w.encryption)
	require.NoError(t, s.Dump(t.Context(), func(key string, e gateway.Entry) error {
		o.entry(t, key, e.Value)
		return nil
	}))
	require.Positive(t, o.n, "%s has something sealed", file)
	return o.out.Bytes()
}

// history is every value that was ever written to an entry, by Redis's append-only
// file, with what is sealed opened.
func (w *world) history(t *testing.T, aof []byte) []byte {
	t.Helper()
	o := newOpener(t, w.reference, w.encryption)
	in := bufio.NewReader(bytes.NewReader(aof))
	commands := 0
	for {
		args, err := command(in)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err, "after %d commands", commands)
		commands++
		if len(args) < 2 || !strings.EqualFold(args[0], "HSET") {
			continue
		}
		key := strings.TrimSuffix(strings.TrimPrefix(args[1], "pv:{"), "}")
		for i := 2; i+1 < len(args); i += 2 {
			if args[i] == "d" {
				o.entry(t, key, []byte(args[i+1]))
			}
		}
	}
	require.Greater(t, o.n, 1000, "of %d commands", commands)
	return o.out.Bytes()
}

// command reads one command of Redis's protocol.
func command(in *bufio.Reader) ([]string, error) {
	var n int
	line, err := in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Sscanf(line, "*%d", &n); err != nil {
		return nil, fmt.Errorf("%q is no command", line)
	}
	args := make([]string, n)
	for i := range args {
		var size int
		if line, err = in.ReadString('\n'); err != nil {
			return nil, err
		}
		if _, err := fmt.Sscanf(line, "$%d", &size); err != nil {
			return nil, fmt.Errorf("%q is no argument", line)
		}
		text := make([]byte, size+2)
		if _, err := io.ReadFull(in, text); err != nil {
			return nil, err
		}
		args[i] = string(text[:size])
	}
	return args, nil
}
