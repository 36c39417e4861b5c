package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/boltstore"
	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// withRing is a configuration file with an encryption section.
func withRing(t *testing.T, file, ring string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return writeFile(t, "polyvault.yaml", strings.Replace(string(text), "keys: {", "keys: {encryption: "+ring+", ", 1))
}

func encryptionKeyFile(t *testing.T, n int) string {
	t.Helper()
	return writeFile(t, "key", base64.StdEncoding.EncodeToString([]byte(fmt.Sprintf("no secret, but 32 bytes: key %3d", n))))
}

// Everything is sealed under the current key at once, in both stores; what it says can
// be relied on; and a backup from before needs the old key.
func TestKeysRotateAtRest(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]string{"bbolt": onBolt(filepath.Join(t.TempDir(), "p.db")), "redis": onRedis(redistest.Start(t))} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVault(t)
			file := v.config(t, store)
			r := start(t, "serve", "--config", file)
			api := address(t, r, "listening")
			ids := []string{v.create(t, api, visa, "one"), v.create(t, api, mastercard, "two")}
			if name == "bbolt" {
				code, _, stderr := execute(t, "keys", "rotate-at-rest", "--config", file)
				require.Equal(t, exitFailure, code)
				require.Contains(t, stderr, "leave it to the gateway that has it open, which seals in the background, or stop that gateway first")
			}
			require.Equal(t, exitOK, r.stop(t))

			backup := filepath.Join(t.TempDir(), "backup")
			e1 := fmt.Sprintf("[{id: e1, value: %q}]", "file:"+encryptionKeyFile(t, 1))
			next := withRing(t, file, e1)
			stdout, stderr := succeeds(t, "keys", "rotate-at-rest", "--config", next, "--dry-run")
			require.Empty(t, stderr)
			require.Regexp(t, `^nothing was written: this was a dry run\nkey e1 \(current\): 0\nkey r-k1: 3\nto be sealed 3\nleft to their requests 0\nunreadable 0\ntime \S+\n$`, stdout)
			if name == "redis" {
				code, _, stderr := execute(t, "keys", "rotate-at-rest", "--config", next)
				require.Equal(t, exitFailure, code)
				require.Contains(t, stderr, `no gateway has sealed under the encryption key "e1" yet`)
			}
			stdout, _ = succeeds(t, "keys", "rotate-at-rest", "--config", next, "--offline")
			require.Contains(t, stdout, "key e1 (current): 3\nkey r-k1: 0\nsealed now 3\n")
			stdout, _ = succeeds(t, "keys", "rotate-at-rest", "--config", next)
			require.Contains(t, stdout, "key e1 (current): 3\nkey r-k1: 0\nsealed now 0\n", "again does nothing")
			succeeds(t, "backup", "--config", next, "--out", backup)
			v.resolves(t, next, ids...)

			// Without the key nothing opens, and it is said which, and of what.
			code, stdout, stderr := execute(t, "keys", "rotate-at-rest", "--config", file, "--dry-run")
			require.Equal(t, exitFailure, code)
			require.Contains(t, stdout, "key e1 (not in the ring): 3\n")
			for _, id := range ids {
				require.Contains(t, stderr, "cannot be opened: "+id+"\n")
			}
			require.Contains(t, stderr, `sealed under the encryption key "e1", which is not in the ring`)

			path := filepath.Join(t.TempDir(), "restored.db")
			code, stdout, stderr = execute(t, "restore", "--config", v.config(t, onBolt(path)), backup)
			require.Equal(t, exitFailure, code)
			require.Empty(t, stdout)
			require.Contains(t, stderr, `sealed under the encryption key "e1", which is not in the ring: put that key back`)
			_, err := os.Stat(path)
			require.ErrorIs(t, err, os.ErrNotExist, "nothing is written, not even opened")
			restored := withRing(t, v.config(t, onBolt(path)), e1)
			succeeds(t, "restore", "--config", restored, backup)
			v.resolves(t, restored, ids...)
		})
	}
}

// A value that was moved in the store is named, and fails the command.
func TestKeysRotateNamesWhatDoesNotOpen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "p.db")
	v := newVault(t)
	file := v.config(t, onBolt(path))
	r := start(t, "serve", "--config", file)
	api := address(t, r, "listening")
	one, two := v.create(t, api, visa, "one"), v.create(t, api, mastercard, "two")
	require.Equal(t, exitOK, r.stop(t))
	store, err := boltstore.Open(boltstore.Config{Path: path})
	require.NoError(t, err)
	loaded, err := store.Load(t.Context(), one, two)
	require.NoError(t, err)
	_, err = store.Write(t.Context(), gateway.Write{Key: two, Expect: loaded.Entries[1].Version, Value: loaded.Entries[0].Value, Nonce: "n"})
	require.NoError(t, err)
	require.NoError(t, store.Close())
	code, stdout, stderr := execute(t, "keys", "rotate-at-rest", "--config", file)
	require.Equal(t, exitFailure, code)
	require.Contains(t, stdout, "unreadable 1\n")
	require.Contains(t, stderr, "cannot be opened: "+two+"\n")
	require.NotContains(t, stderr, "cannot be opened: "+one)
}
