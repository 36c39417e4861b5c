package canaries

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/fault"
	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// collect reads everything that the gateway left behind, and ends it.
func (w *world) collect(t *testing.T) sinks {
	t.Helper()
	s := sinks{}
	out, _, err := programs.Run(t, w.env, "config", "show", filepath.Join(w.dir, "polyvault.yaml"))
	require.NoError(t, err)
	s["config show"] = []byte(out)
	stop := w.hanging(t)
	for _, path := range []string{
		"/metrics", "/debug/pprof/heap?gc=1", "/debug/pprof/heap?gc=1&debug=1", "/debug/pprof/allocs?debug=1", "/debug/pprof/goroutine?debug=2", "/debug/pprof/goroutine?debug=1",
		"/debug/pprof/cmdline", "/debug/pprof/threadcreate?debug=1", "/debug/pprof/", "/debug/pprof/trace?seconds=1", "/debug/pprof/profile?seconds=1",
	} {
		raw, err := w.fetch(t.Context(), path)
		require.NoError(t, err)
		if z, err := gzip.NewReader(bytes.NewReader(raw)); err == nil {
			raw, err = io.ReadAll(z)
			require.NoError(t, err)
		}
		s[path] = raw
	}
	backup, err := w.fetch(t.Context(), "/backup")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(w.dir, "backup"), backup, 0o600))
	if limits := w.Limits(); limits != "" {
		require.Regexp(t, `Max core file size +0 +0 `, limits, "no core is written")
	}
	w.Quit(t)
	stop()
	require.Contains(t, w.Log.String(), "SIGQUIT", "the stacks are in the log")
	s["log and stacks"] = []byte(w.Log.String())
	s["answers"] = w.answers.Bytes()
	s["rehearsal"] = w.read(t, "rehearsal.jsonl")
	s["journal"] = w.read(t, "journal")
	s["backup"] = w.read(t, "backup")
	s["restored from the backup"] = w.restored(t, "from-backup.db", "backup")
	s["restored from the journal"] = w.restored(t, "from-journal.db", "journal")
	s["the backup, opened"] = w.opened(t, "from-backup.db")
	s["the journal, opened"] = w.opened(t, "from-journal.db")
	s["audit log"] = w.read(t, "audit.jsonl")
	s["events that were taken"], s["events that were refused"], s["spans"] = w.events.all(t), w.refusals.all(t), w.spans.all(t)
	return s
}

// hanging keeps creates in flight, whose cards are in memory now.
func (w *world) hanging(t *testing.T) (stop func()) {
	t.Helper()
	w.fail(t, rebilly, fault.Rule{Fault: fault.Hang, DelayMS: 1000})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i, number := range canaries() {
		body := create(fmt.Sprintf("hanging-%d", i), card(number))
		body["provider"] = rebilly
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				req := w.request(t, "POST", "/v1/instruments", body).WithContext(ctx)
				req.Header.Set("Idempotency-Key", fmt.Sprintf("hanging-%d-%d", i, n))
				if _, err := w.do(req); err != nil {
					time.Sleep(10 * time.Millisecond) // the gateway is gone
				}
			}
		})
	}
	time.Sleep(200 * time.Millisecond)
	return func() { cancel(); wg.Wait() }
}

// read is a file, or all files of a folder, of the gateway's.
func (w *world) read(t *testing.T, name string) []byte {
	t.Helper()
	return readAll(t, filepath.Join(w.dir, name))
}

func readAll(t *testing.T, root string) []byte {
	t.Helper()
	var out []byte
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		out = append(out, b...)
		return err
	}))
	return out
}

// restored is the plaintext of a backup or of the journals: a bbolt file made of them.
func (w *world) restored(t *testing.T, file, from string) []byte {
	t.Helper()
	path := filepath.Join(w.dir, file)
	config := filepath.Join(w.dir, file+".yaml")
	require.NoError(t, os.WriteFile(config, []byte(w.config("127.0.0.1:1", "127.0.0.1:2", fmt.Sprintf("bolt: {path: %q}", path))), 0o600))
	_, stderr, err := programs.Run(t, w.env, "restore", "--config", config, filepath.Join(w.dir, from))
	require.NoError(t, err, "%s", stderr)
	return readAll(t, path)
}

// redisSinks are what a Redis server knows: its files, every key and value, and every
// command that it was ever given.
type redisSinks struct {
	*redistest.Server
	mu       sync.Mutex
	commands bytes.Buffer
}

func startRedis(t *testing.T) *redisSinks {
	t.Helper()
	// Without compression, or a search of its files would prove nothing.
	r := &redisSinks{Server: redistest.StartServer(t, "--appendonly", "yes", "--aof-use-rdb-preamble", "no", "--rdbcompression", "no", "--auto-aof-rewrite-percentage", "0")}
	r.listen(t)
	return r
}

// listen writes down every command from now on.
func (r *redisSinks) listen(t *testing.T) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", r.Addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = io.WriteString(conn, "MONITOR\r\n")
	require.NoError(t, err)
	go func() {
		b := make([]byte, 1<<16)
		for {
			n, err := conn.Read(b)
			r.mu.Lock()
			r.commands.Write(b[:n])
			r.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
}

func (r *redisSinks) collect(t *testing.T, s sinks) {
	t.Helper()
	require.Equal(t, "OK", r.Do(t, "SAVE"))
	s["Redis's files"] = readAll(t, r.Dir)
	db := redis.NewClient(&redis.Options{Addr: r.Addr})
	defer func() { _ = db.Close() }()
	var all bytes.Buffer
	keys := db.Scan(t.Context(), 0, "*", 1000).Iterator()
	for keys.Next(t.Context()) {
		dump(t, db, &all, keys.Val())
	}
	require.NoError(t, keys.Err())
	s["Redis's keys and values"] = all.Bytes()
	r.mu.Lock()
	defer r.mu.Unlock()
	s["what Redis was told"] = bytes.Clone(r.commands.Bytes())
}

// appended is what Redis has appended to its file of all writes.
func (r *redisSinks) appended(t *testing.T) []byte {
	t.Helper()
	var out []byte
	require.NoError(t, filepath.WalkDir(r.Dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".aof" { // in a folder of their own since Redis 7
			out = append(out, readAll(t, path)...)
		}
		return err
	}))
	return out
}

func dump(t *testing.T, db *redis.Client, out io.Writer, key string) {
	t.Helper()
	ctx := t.Context()
	var value any
	var err error
	switch kind := db.Type(ctx, key).Val(); kind {
	case "string":
		value, err = db.Get(ctx, key).Result()
	case "hash":
		value, err = db.HGetAll(ctx, key).Result()
	case "set":
		value, err = db.SMembers(ctx, key).Result()
	case "zset":
		value, err = db.ZRangeWithScores(ctx, key, 0, -1).Result()
	case "list":
		value, err = db.LRange(ctx, key, 0, -1).Result()
	default:
		require.Contains(t, []string{"none", "stream"}, kind, "teach the search about %s", key)
		if kind == "stream" {
			value, err = db.XRange(ctx, key, "-", "+").Result()
		}
	}
	require.NoError(t, err)
	_, _ = fmt.Fprintf(out, "%s %v\n", key, value)
}

// wants says what each sink must hold, so that it is known to have been read: what a
// caller wrote where callers may write, or what the sink always tells.
func wants(name string) string {
	switch {
	case name == "journal" || name == "backup":
		return "" // encrypted: what is restored from them is looked at
	case sealed(name):
		return "ins_"
	case name == "log and stacks":
		return `"operation":"createInstrument"`
	case name == "config show":
		return "accept_raw_card"
	case name == "audit log":
		return `"instrument.create"`
	case name == "spans":
		return "createInstrument"
	case name == "/metrics":
		return rebilly
	case name == "/debug/pprof/cmdline":
		return "serve"
	case strings.HasPrefix(name, "/debug/pprof/goroutine"):
		return "httpapi"
	case strings.HasPrefix(name, "/debug/pprof/"):
		return "o"
	default:
		return marker
	}
}

// sealed reports whether a sink is the store as it lies there: what callers wrote into
// it cannot be read.
func sealed(name string) bool {
	return slices.Contains([]string{
		"Redis's files", "Redis's keys and values", "what Redis was told", "bbolt's file", "restored from the backup", "restored from the journal",
	}, name)
}

// areRead fails for a sink that does not hold what it must.
func (s sinks) areRead(t *testing.T) {
	t.Helper()
	for name, text := range s {
		require.NotEmpty(t, text, name)
		require.True(t, bytes.Contains(text, []byte(wants(name))), "%s does not hold %q: is it read?", name, wants(name))
		require.False(t, sealed(name) && bytes.Contains(text, []byte(marker)), "%s has metadata in the clear", name)
	}
}
