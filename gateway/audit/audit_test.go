package audit

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func testKeys() Keys {
	return Keys{{"k1", []byte(strings.Repeat("1", 32))}, {"k0", []byte(strings.Repeat("0", 32))}}
}

func testConfig(t testing.TB) Config {
	t.Helper()
	return Config{Path: filepath.Join(t.TempDir(), "audit.log"), Gateway: "gw-1", Settings: Settings{Keys: testKeys()}}
}

func open(t testing.TB, c Config) *Log {
	t.Helper()
	l, err := Open(c)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// write writes n entries in one life of a log.
func write(t testing.TB, c Config, n int) {
	t.Helper()
	l := open(t, c)
	for i := range n {
		require.NoError(t, l.Append(entryNo(i)))
	}
	require.NoError(t, l.Close())
}

func entryNo(i int) Entry {
	return Entry{
		Action: "instrument.create", Tenant: "acme", APIKey: "checkout", Address: "10.0.0.1", RequestID: fmt.Sprintf("req-%d", i),
		Instrument: fmt.Sprintf("ins_%026d", i%7), Customer: "cus-1", Provider: "rebilly-main", Status: 201, Outcome: "applied",
	}
}

func source(name string, b []byte) Source {
	return Source{name, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }}
}

func fileSource(name string) Source {
	return Source{name, func() (io.ReadCloser, error) { return os.Open(name) }}
}

// files are those of a log, the oldest first.
func files(t testing.TB, path string) []string {
	t.Helper()
	var out []string
	for n := 1; ; n++ {
		name := fmt.Sprintf("%s.%d", path, n)
		if _, err := os.Stat(name); err != nil {
			break
		}
		out = append([]string{name}, out...)
	}
	return append(out, path)
}

func sources(t testing.TB, path string) []Source {
	t.Helper()
	var out []Source
	for _, name := range files(t, path) {
		out = append(out, fileSource(name))
	}
	return out
}

func verified(t testing.TB, s []Source) Report {
	t.Helper()
	r, err := Verify(s, testKeys())
	require.NoError(t, err)
	require.Empty(t, r.Faults)
	return r
}

func content(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}

func TestWhatIsWrittenIsReadAgain(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	now := time.Date(2026, 11, 21, 10, 0, 0, 123456789, time.FixedZone("x", 3600))
	c.Now = func() time.Time { return now }
	l := open(t, c)
	whole := Entry{
		Action: "a\"b\\c\n\x01é\u2028", Tenant: "acme", APIKey: "k", Address: "::1", RequestID: "r", Item: 3, Instrument: "ins_1", Instruments: []string{"ins_1", "ins_2"},
		Customer: "cus", Operation: "op", Event: "evt_1", Provider: "p", Status: 201, Code: "c", Outcome: "applied", Replayed: true, Generation: 7, Digest: "d",
		Changed: []string{"routes"}, Count: 5, Detail: "text <b>",
	}
	require.NoError(t, l.Append(whole, Entry{Action: "second"}))
	require.NoError(t, l.Close())
	r := verified(t, sources(t, c.Path))
	require.Len(t, r.Chains, 1)
	require.Equal(t, uint64(3), r.Chains[0].Entries)
	require.Equal(t, Head{Chain: r.Chains[0].Chain, Seq: 3, Hash: r.Chains[0].Head}, l.Status().Head)
	var got []Record
	for rec, err := range List(sources(t, c.Path), Query{}) {
		require.NoError(t, err)
		got = append(got, rec)
	}
	require.Len(t, got, 3)
	require.Equal(t, actionFile, got[0].Action)
	whole.Time = now.UTC()
	require.Equal(t, whole, got[1].Entry)
	require.Equal(t, "gw-1", got[1].Gateway)
	info, err := os.Stat(c.Path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestWhatMustNotBeToldIsHidden(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	l := open(t, c)
	number := "4111111111111111"
	require.NoError(t, l.Append(Entry{
		Action: "x", Tenant: "acme", RequestID: number, Instrument: number, Customer: number, Operation: number, Provider: number, Detail: "of " + number,
		Instruments: []string{number}, Changed: []string{number},
	}, Entry{Action: "x", Tenant: "acme", Customer: "ada@example.com"}, Entry{Action: "x", Detail: strings.Repeat("x", 5000)}))
	require.NoError(t, l.Close())
	text := string(content(t, c.Path))
	require.NotContains(t, text, number)
	require.NotContains(t, text, "example.com")
	require.Less(t, len(text), 3000)
	name := testKeys()[0].CustomerName("acme", "ada@example.com")
	require.Regexp(t, `^hashed:[0-9a-f]{32}$`, name)
	require.NotEqual(t, name, testKeys()[0].CustomerName("globex", "ada@example.com"))
	require.NotEqual(t, name, testKeys()[1].CustomerName("acme", "ada@example.com"))
	found := 0
	for _, err := range List(sources(t, c.Path), Query{Customer: []string{name}}) {
		require.NoError(t, err)
		found++
	}
	require.Equal(t, 1, found, "a customer is found by the name that the key gives")
}

func TestTheChainGoesOnOverStartsAndFiles(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.MaxBytes = 3000
	for range 5 {
		write(t, c, 11)
	}
	require.Greater(t, len(files(t, c.Path)), 5)
	r := verified(t, sources(t, c.Path))
	require.Len(t, r.Chains, 1)
	require.Equal(t, r.Chains[0].Entries, r.Chains[0].Last)
	require.Equal(t, uint64(1), r.Chains[0].First)
	var all []byte
	for _, name := range files(t, c.Path) {
		all = append(all, content(t, name)...)
	}
	require.Equal(t, r.Chains[0].Head, verified(t, []Source{source("all", all)}).Chains[0].Head, "concatenated files are one log")
	backwards := sources(t, c.Path)
	for i, j := 0, len(backwards)-1; i < j; i, j = i+1, j-1 {
		backwards[i], backwards[j] = backwards[j], backwards[i]
	}
	verified(t, backwards)
	// Without the oldest it is a chain whose beginning was not given; without one in the
	// middle it is a fault.
	some := sources(t, c.Path)
	require.Greater(t, verified(t, some[1:]).Chains[0].First, uint64(1))
	r, err := Verify(append(some[:2:2], some[3:]...), testKeys())
	require.NoError(t, err)
	require.Len(t, r.Faults, 1)
	require.Contains(t, r.Faults[0].Error(), "line 1: entries are missing before it")
}

func TestOnlySoManyFilesAreKept(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.MaxBytes, c.Keep = 2000, 2
	write(t, c, 60)
	require.Len(t, files(t, c.Path), 3)
	verified(t, sources(t, c.Path))
	list, err := os.ReadDir(filepath.Dir(c.Path))
	require.NoError(t, err)
	require.Len(t, list, 3)
}

func TestAnotherReferenceKeyGoesOn(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	l := open(t, c)
	require.NoError(t, l.Append(entryNo(1)))
	next := Key{"k2", []byte(strings.Repeat("2", 32))}
	s := c.Settings
	s.Keys = append(Keys{next}, s.Keys...)
	require.Eventually(t, func() bool { return l.Status().Written == 2 }, time.Second, time.Millisecond)
	l.Use(s)
	require.NoError(t, l.Append(entryNo(2)))
	require.NoError(t, l.Close())
	c.Settings = s
	write(t, c, 1) // and over a start
	b := content(t, c.Path)
	require.Contains(t, string(b), `"key":"k2"`)
	r, err := Verify([]Source{source("a", b)}, s.Keys)
	require.NoError(t, err)
	require.Empty(t, r.Faults)
	r, err = Verify([]Source{source("a", b)}, testKeys())
	require.NoError(t, err)
	require.Contains(t, r.Faults[0].Error(), `line 3: it names the reference key "k2"`)
	// A start that does not know the key of the end does not go on.
	c.Settings = Settings{Keys: testKeys()}
	_, err = Open(c)
	require.ErrorContains(t, err, "its last entry does not fit its hash")
	require.Equal(t, b, content(t, c.Path), "and leaves the file as it is")
}

func TestATornEndIsPutAside(t *testing.T) {
	t.Parallel()
	for name, torn := range map[string]string{
		"half a line": `{"seq":7,"time":"20`, "a whole line that does not fit": strings.Repeat("x", 300) + "\n", "zeros": strings.Repeat("\x00", 5000), "many": "a\nb\n\n\nc",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := testConfig(t)
			core, logs := observer.New(zap.WarnLevel)
			c.Log = zap.New(core)
			write(t, c, 3)
			f, err := os.OpenFile(c.Path, os.O_APPEND|os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = f.WriteString(torn)
			require.NoError(t, err)
			require.NoError(t, f.Close())
			write(t, c, 2)
			require.Equal(t, uint64(1+3+1+1+2), verified(t, sources(t, c.Path)).Chains[0].Entries)
			require.Contains(t, string(content(t, c.Path)), `"action":"audit.torn"`)
			put, err := filepath.Glob(c.Path + ".torn-*")
			require.NoError(t, err)
			require.Len(t, put, 1)
			require.Equal(t, torn, string(content(t, put[0])))
			require.Equal(t, 1, logs.FilterMessageSnippet("torn by a crash").Len(), "never silently")
		})
	}
}

func TestAFileTornAtItsBeginningGoesOnFromTheOneBefore(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	write(t, c, 3)
	require.NoError(t, os.Rename(c.Path, c.Path+".1"))
	require.NoError(t, os.WriteFile(c.Path, []byte(`{"seq":6,"ti`), 0o600))
	write(t, c, 2)
	r := verified(t, sources(t, c.Path))
	require.Len(t, r.Chains, 1)
	require.Equal(t, uint64(4+1+1+2), r.Chains[0].Last)
}

func TestTwoGatewaysDoNotShareAFile(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	open(t, c)
	_, err := Open(c)
	require.ErrorContains(t, err, "give each a file of its own")
}

func TestAFileThatWasMovedAwayIsBegunAnew(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	l := open(t, c)
	require.NoError(t, l.Append(entryNo(1)))
	require.NoError(t, os.Rename(c.Path, c.Path+".1")) // as logrotate does
	l.Reopen()
	require.NoError(t, l.Append(entryNo(2)))
	require.NoError(t, l.Close())
	require.Len(t, files(t, c.Path), 2)
	require.Len(t, verified(t, sources(t, c.Path)).Chains, 1)
}

func TestAStreamIsOneChainAStart(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	for range 2 {
		write(t, Config{Out: &out, Gateway: "gw", Settings: Settings{Keys: testKeys()}}, 3)
	}
	r := verified(t, []Source{source("stdout", out.Bytes())})
	require.Len(t, r.Chains, 2)
}

func TestAppendWaitsForTheDiskIfItIsTo(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.Sync = true
	l := open(t, c)
	for i := range 20 {
		require.NoError(t, l.Append(entryNo(i)))
		require.Contains(t, string(content(t, c.Path)), fmt.Sprintf(`"req-%d"`, i))
	}
}
