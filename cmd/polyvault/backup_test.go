package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/polyvault/polyvault/adapters/rebilly/rebillytest"
	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/boltstore"
	"github.com/polyvault/polyvault/gateway/journal"
	"github.com/polyvault/polyvault/gateway/redisstore"
	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// vault is a gateway's configuration over one provider.
type vault struct {
	provider *httptest.Server
	key      string // an API key
	line     string
}

func newVault(t *testing.T) *vault {
	t.Helper()
	v := &vault{provider: httptest.NewServer(rebillytest.New(rebillytest.Options{}))}
	t.Cleanup(v.provider.Close)
	v.key, v.line = newKey(t, "instruments:read,instruments:write")
	return v
}

// config writes a configuration with a store section.
func (v *vault) config(t *testing.T, store string) (file string) {
	t.Helper()
	return gatewayConfigFile(t, v.provider.URL, v.line, "store: {"+store+"}\n")
}

func onBolt(path string) string { return fmt.Sprintf("bolt: {path: %q}", path) }

func onRedis(addr string) string { return fmt.Sprintf(`redis: {url: "redis://%s/0"}`, addr) }

func withJournal(store, folder string) string {
	return store + fmt.Sprintf(", journal: {path: %q}", folder)
}

// create stores a card and returns the instrument's id.
func (v *vault) create(t *testing.T, api, number, idempotencyKey string) (id string) {
	t.Helper()
	status, body := request(t, "POST", api+"/v1/instruments", v.key, strings.Replace(cardBody, "4111111111111111", number, 1), "Idempotency-Key", idempotencyKey)
	require.Equal(t, 201, status, body)
	var created struct{ ID string }
	require.NoError(t, json.Unmarshal([]byte(body), &created))
	return created.ID
}

// resolves starts a gateway and shows that instruments are there by their ids.
func (v *vault) resolves(t *testing.T, file string, ids ...string) {
	t.Helper()
	r := start(t, "serve", "--config", file)
	api := address(t, r, "listening")
	for _, id := range ids {
		status, body := request(t, "GET", api+"/v1/instruments/"+id, v.key, "")
		require.Equal(t, 200, status, body)
	}
	require.Equal(t, exitOK, r.stop(t))
}

const (
	visa       = "4111111111111111"
	mastercard = "5555555555554444"
	amex       = "378282246310005"
)

func succeeds(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	code, stdout, stderr := execute(t, args...)
	require.Equal(t, exitOK, code, stderr)
	return stdout, stderr
}

func flush(t *testing.T, addr string) {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer func() { require.NoError(t, client.Close()) }()
	require.NoError(t, client.FlushAll(t.Context()).Err())
}

// C25 of the design: everything is lost, and comes back from a backup and what the
// journal has since, by its old ids.
func TestALostRedisIsRestoredFromBackupAndJournal(t *testing.T) {
	t.Parallel()
	v, addr, folder := newVault(t), redistest.Start(t), filepath.Join(t.TempDir(), "journal")
	file := v.config(t, withJournal(onRedis(addr), folder))
	out := filepath.Join(t.TempDir(), "backup")

	r := start(t, "serve", "--config", file)
	api := address(t, r, "listening")
	first := v.create(t, api, visa, "one")
	stdout, stderr := succeeds(t, "backup", "--config", file, "--out", out)
	require.Empty(t, stdout)
	require.Regexp(t, `^2 entries, \d+ bytes, \S+s, under the reference key "k1"\n$`, stderr, "the instrument and its customer; no progress where no terminal is")
	second := v.create(t, api, mastercard, "two")
	require.Equal(t, exitOK, r.stop(t))
	flush(t, addr)

	stdout, _ = succeeds(t, "restore", "--config", file, "--dry-run", out, folder)
	require.Contains(t, stdout, "nothing was written")
	stdout, _ = succeeds(t, "restore", "--config", file, folder, out)
	require.Regexp(t, `files 2\nentries read \d+\nwritten 3\nreplaced \d+\nalready there \d+\ntime \S+s\n`, stdout)
	stdout, _ = succeeds(t, "restore", "--config", file, out, folder)
	require.Contains(t, stdout, "written 0\nreplaced 0\n", "again does nothing")
	v.resolves(t, file, first, second)

	r = start(t, "serve", "--config", file)
	require.Equal(t, first, v.create(t, address(t, r, "listening"), visa, "one"), "the same key answers the same instrument")
	_, state := request(t, "GET", v.provider.URL+"/_sandbox/state", "", "")
	var ledger struct{ Instruments []struct{ Live bool } }
	require.NoError(t, json.Unmarshal([]byte(state), &ledger))
	require.Len(t, ledger.Instruments, 2, "nothing was stored again")

	for _, name := range append(journalFiles(t, folder), out) {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, secret := range []string{first, second, "cus-1", "411111", "1111", "Lovelace", "canary", "acme", "rebilly"} {
			require.False(t, bytes.Contains(b, []byte(secret)), "%s is in %s", secret, name)
		}
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	}
}

func journalFiles(t *testing.T, folder string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(folder, "*"+journal.Extension))
	require.NoError(t, err)
	require.NotEmpty(t, names)
	return names
}

// A gateway has its bbolt file for itself; it gives the backup out.
func TestABboltFileIsBackedUpThroughItsGateway(t *testing.T) {
	t.Parallel()
	v, path := newVault(t), filepath.Join(t.TempDir(), "p.db")
	file := v.config(t, onBolt(path))
	r := start(t, "serve", "--config", file)
	id := v.create(t, address(t, r, "listening"), visa, "one")

	text, err := os.ReadFile(file)
	require.NoError(t, err)
	admin := strings.TrimPrefix(address(t, r, "admin listening"), "http://")
	known := writeFile(t, "polyvault.yaml", strings.Replace(string(text), "admin_listen: 127.0.0.1:0", "admin_listen: "+admin, 1))
	out := filepath.Join(t.TempDir(), "backup")
	succeeds(t, "backup", "--config", known, "--out", out)

	code, _, stderr := execute(t, "restore", "--config", file, out)
	require.Equal(t, exitFailure, code)
	require.Contains(t, stderr, "stop the gateway before you restore")
	deaf := writeFile(t, "polyvault.yaml", strings.Replace(string(text), "admin_listen: 127.0.0.1:0", `admin_listen: ""`, 1))
	code, _, stderr = execute(t, "backup", "--config", deaf, "--out", out+"2")
	require.Equal(t, exitFailure, code)
	require.Contains(t, stderr, "if it has an admin_listen")

	require.Equal(t, exitOK, r.stop(t))
	code, _, stderr = execute(t, "backup", "--config", v.config(t, onBolt(path+".none")), "--out", out+"2")
	require.Equal(t, exitFailure, code)
	require.Contains(t, stderr, "there is no store to back up")
	_, err = os.Stat(path + ".none")
	require.ErrorIs(t, err, os.ErrNotExist)

	// Onwards to Redis, and back to another file.
	server, back := redistest.Start(t), filepath.Join(t.TempDir(), "p.db")
	redisFile, boltFile := v.config(t, onRedis(server)), v.config(t, onBolt(back))
	succeeds(t, "restore", "--config", redisFile, out)
	v.resolves(t, redisFile, id)
	stdout, _ := succeeds(t, "backup", "--config", redisFile, "--out", "-")
	succeeds(t, "restore", "--config", boltFile, writeFile(t, "from redis", stdout))
	v.resolves(t, boltFile, id)
	left, err := filepath.Glob(filepath.Join(filepath.Dir(out), "*.tmp"))
	require.NoError(t, err)
	require.Empty(t, left)
}

// breaking is a store that goes away in the middle of a dump.
type breaking struct{ gateway.Store }

func (b breaking) Dump(_ context.Context, fn func(string, gateway.Entry) error) error {
	for i := range 1000 {
		if err := fn(fmt.Sprint(i), gateway.Entry{Value: make([]byte, 100), Version: 1}); err != nil {
			return err
		}
	}
	return gateway.ErrStore
}

func TestABackupThatBreaksOffIsAnError(t *testing.T) {
	t.Parallel()
	key := gateway.ReferenceKey{ID: "k1", Secret: []byte("canary-reference-key-of-32-bytes")}
	server := httptest.NewServer(serveBackup(breaking{}, key, zap.NewNop()))
	t.Cleanup(server.Close)
	var b bytes.Buffer
	require.Error(t, fetchBackup(t.Context(), strings.TrimPrefix(server.URL, "http://"), &b))
	require.NotZero(t, b.Len())
	_, err := journal.Read(&b, gateway.Keys{key}, func(journal.Entry) error { return nil })
	require.ErrorIs(t, err, journal.ErrDamaged)
	out := filepath.Join(t.TempDir(), "backup")
	require.ErrorIs(t, wholeFile(out, func(io.Writer) error { return gateway.ErrStore }), gateway.ErrStore)
	left, err := os.ReadDir(filepath.Dir(out))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestARestoreRefusesWhatItCannotTrust(t *testing.T) {
	t.Parallel()
	v, folder := newVault(t), t.TempDir()
	file := v.config(t, onBolt(filepath.Join(folder, "p.db")))
	entries := func(kind string, n int) string {
		name := filepath.Join(t.TempDir(), kind)
		store, err := boltstore.Open(boltstore.Config{Path: name + ".db"})
		require.NoError(t, err)
		fill(t, store, n)
		var b bytes.Buffer
		_, err = journal.Backup(t.Context(), store, gateway.ReferenceKey{ID: "k1", Secret: []byte("canary-reference-key-of-32-bytes")}, &b, nil)
		require.NoError(t, err)
		require.NoError(t, store.Close())
		require.NoError(t, os.WriteFile(name, b.Bytes(), 0o600))
		return name
	}
	good := entries("good", 3)
	whole, err := os.ReadFile(good)
	require.NoError(t, err)
	middle := bytes.Clone(whole)
	middle[len(middle)/2] ^= 1
	otherKey := writeFile(t, "key", base64.StdEncoding.EncodeToString([]byte("another reference key, of 32 byte")))
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	other := func(keys string) string {
		at := strings.Index(string(text), "keys: {reference:")
		end := at + strings.Index(string(text[at:]), "\n")
		return writeFile(t, "polyvault.yaml", string(text[:at])+keys+string(text[end:]))
	}

	for name, tc := range map[string]struct {
		config string
		files  []string
		says   []string
	}{
		"a damaged backup":          {file, []string{good, writeFile(t, "damaged", string(middle))}, []string{"damaged: the file is damaged at byte ", "cannot be read"}},
		"a backup that is cut off":  {file, []string{good, writeFile(t, "cut", string(whole[:len(whole)-1]))}, []string{"cut: the file is damaged at byte "}},
		"something else":            {file, []string{good, writeFile(t, "notes", "notes")}, []string{"notes: not a journal or backup"}},
		"a file that is not there":  {file, []string{good, "/nonexistent"}, []string{"/nonexistent", "no such file"}},
		"a folder without journals": {file, []string{good, t.TempDir()}, []string{"the folder has no journal in it"}},
		"a key by another name":     {other("keys: {reference: [{id: k7, value: \"file:" + otherKey + "\"}]}"), []string{good}, []string{`it is "k1", and the configuration has "k7": add it to keys.reference`}},
		"another key by that name":  {other("keys: {reference: \"file:" + otherKey + "\"}"), []string{good}, []string{`the key "k1" of the configuration is another than the file's`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := execute(t, append([]string{"restore", "--config", tc.config}, tc.files...)...)
			require.Equal(t, exitFailure, code)
			require.Empty(t, stdout)
			for _, text := range tc.says {
				require.Contains(t, stderr, text)
			}
			_, err := os.Stat(filepath.Join(folder, "p.db"))
			require.ErrorIs(t, err, os.ErrNotExist, "nothing is written, not even opened, before all files are checked")
		})
	}
}

// A gateway that was killed leaves half an entry, which is no reason to refuse the rest.
func TestAJournalsTornTailIsLeftOutWithAWord(t *testing.T) {
	t.Parallel()
	v, folder := newVault(t), t.TempDir()
	file := v.config(t, withJournal(onBolt(filepath.Join(t.TempDir(), "p.db")), folder))
	r := start(t, "serve", "--config", file)
	id := v.create(t, address(t, r, "listening"), visa, "one")
	require.Equal(t, exitOK, r.stop(t))
	name := journalFiles(t, folder)[0]
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString("half an entry")
	require.NoError(t, err)
	require.NoError(t, f.Close())

	fresh := v.config(t, onBolt(filepath.Join(t.TempDir(), "p.db")))
	stdout, stderr := succeeds(t, "restore", "--config", fresh, folder)
	require.Contains(t, stderr, name+": the last 13 bytes")
	require.Contains(t, stdout, "written 2\n")
	v.resolves(t, fresh, id)
}

func TestServeRefusesAJournalThatItCannotWrite(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	path := filepath.Join(t.TempDir(), "p.db")
	code, _, stderr := execute(t, "serve", "--config", v.config(t, withJournal(onBolt(path), "/dev/null/journal")))
	require.Equal(t, exitFailure, code)
	require.Contains(t, stderr, "journal: open: the folder must be one that this user may create or write to")
	store, err := boltstore.Open(boltstore.Config{Path: path})
	require.NoError(t, err, "the store is let go of")
	require.NoError(t, store.Close())
}

// fill writes entries of a usual size.
func fill(t *testing.T, s gateway.Store, n int) {
	t.Helper()
	value := bytes.Repeat([]byte("v"), 1500)
	for i := range n {
		_, err := s.Write(t.Context(), gateway.Write{Key: fmt.Sprintf("other/acme/%d", i), Value: value, Nonce: "n", Version: 3})
		require.NoError(t, err)
	}
}

// TestTheTimeOfARestore is a measurement, told with -v.
func TestTheTimeOfARestore(t *testing.T) {
	if testing.Short() {
		t.Skip("a measurement")
	}
	const entries = 10_000
	v, from, to := newVault(t), redistest.Start(t), redistest.Start(t)
	store, err := redisstore.Open(t.Context(), redisstore.Config{URL: "redis://" + from})
	require.NoError(t, err)
	fill(t, store, entries)
	require.NoError(t, store.Close())
	out := filepath.Join(t.TempDir(), "backup")
	_, stderr := succeeds(t, "backup", "--config", v.config(t, onRedis(from)), "--out", out)
	t.Logf("backup of Redis: %s", strings.TrimSpace(stderr))
	for name, store := range map[string]string{"Redis": onRedis(to), "bbolt": onBolt(filepath.Join(t.TempDir(), "p.db"))} {
		began := time.Now()
		stdout, _ := succeeds(t, "restore", "--config", v.config(t, store), out)
		t.Logf("restore of %d entries into %s: %s", entries, name, time.Since(began).Round(time.Millisecond))
		require.Contains(t, stdout, fmt.Sprintf("written %d\n", entries))
	}
}
