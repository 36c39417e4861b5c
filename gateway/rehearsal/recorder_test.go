package rehearsal

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/normalize"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// numbered is a decision that can be told from others.
func numbered(n int) gateway.RecordedDecision {
	return gateway.RecordedDecision{
		Time: time.Unix(int64(n), 0).UTC(),
		RouteRequest: gateway.RouteRequest{
			Tenant: "acme", Customer: gateway.HashCustomer("acme", fmt.Sprint(n)), Type: normalize.TypeCard,
			Sources: []gateway.RouteSource{{Type: normalize.SourceCard}},
		},
		Decision: gateway.Decided{Route: "all", Candidates: []gateway.RecordedCandidate{{Provider: "a"}}},
	}
}

// numbers reads a file back.
func numbers(t *testing.T, path string) []int {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	var out []int
	unfinished, err := Read(f, func(d gateway.RecordedDecision) error {
		out = append(out, int(d.Time.Unix()))
		return nil
	})
	require.NoError(t, err)
	require.False(t, unfinished)
	return out
}

func TestWhatIsRecordedCanBeReadAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "r.jsonl")
	require.NoError(t, os.WriteFile(path, []byte(`{"time":"1970-01-01T00:00:01Z","tenant":"acme","source_types":["card"]}`+"\n"+`{"time":"1970-`), 0o644))
	f, err := Open(Config{Path: path})
	require.NoError(t, err)
	for n := 2; n <= 900; n++ {
		f.Record(numbered(n))
	}
	require.NoError(t, f.Close())
	require.NoError(t, f.Close(), "again does no harm")
	f.Record(numbered(901))
	got := numbers(t, path)
	require.Len(t, got, 900, "what was there stays, and a line that was begun is taken off")
	for i, n := range got {
		require.Equal(t, i+1, n)
	}
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode(), "only the owner may read it")
}

func TestAFileThatIsFullBecomesTheOneBefore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "r.jsonl")
	const limit = 64 << 10
	f, err := Open(Config{Path: path, MaxBytes: limit})
	require.NoError(t, err)
	for n := 1; n <= 1000; n++ {
		f.Record(numbered(n))
		if n%50 == 0 {
			require.Eventually(t, func() bool { return len(f.queue) == 0 }, 10*time.Second, time.Millisecond)
		}
	}
	require.NoError(t, f.Close())
	got := append(numbers(t, path+".1"), numbers(t, path)...)
	require.Equal(t, 1000, got[len(got)-1])
	for i := range got[1:] {
		require.Equal(t, got[i]+1, got[i+1], "nothing is lost between the two")
	}
	for _, name := range []string{path, path + ".1"} {
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.LessOrEqual(t, info.Size(), int64(limit))
		require.Equal(t, os.FileMode(0o600), info.Mode())
	}
}

func TestNobodyWaitsForTheFile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.WarnLevel)
		path := filepath.Join(t.TempDir(), "r.jsonl")
		f, err := prepare(Config{Path: path, Log: zap.New(core)})
		require.NoError(t, err)
		for n := range waiting + 500 {
			f.Record(numbered(n + 1)) // nobody writes yet: this returns all the same
		}
		go f.write()
		time.Sleep(5*time.Minute + time.Second)
		require.Equal(t, 1, logs.Len(), "told once, and not again while nothing is dropped")
		require.EqualValues(t, 500, logs.All()[0].ContextMap()["dropped"])
		require.Len(t, numbers(t, path), waiting)
		require.NoError(t, f.Close())
	})
}

func TestADiskThatFailsIsToldOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.WarnLevel)
		folder := filepath.Join(t.TempDir(), "gone")
		require.NoError(t, os.Mkdir(folder, 0o700))
		path := filepath.Join(folder, "r.jsonl")
		f, err := Open(Config{Path: path, Log: zap.New(core)})
		require.NoError(t, err)
		f.Record(numbered(1))
		synctest.Wait()
		require.NoError(t, f.file.Close()) // every write fails from here on
		require.NoError(t, os.RemoveAll(folder))
		for n := range 120 {
			f.Record(numbered(2 + n))
			time.Sleep(time.Second)
		}
		time.Sleep(time.Millisecond)
		require.Equal(t, 2, logs.Len(), "in two minutes")
		require.Contains(t, logs.All()[1].ContextMap()["last_error"], "no such file")
		require.NoError(t, os.Mkdir(folder, 0o700))
		f.Record(numbered(500))
		require.NoError(t, f.Close())
		require.Equal(t, []int{500}, numbers(t, path), "it goes on as soon as it can")
	})
}

func TestOpenSaysWhyItCannot(t *testing.T) {
	t.Parallel()
	_, err := Open(Config{Path: filepath.Join(t.TempDir(), "no", "r.jsonl")})
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "decisions cannot be recorded")
}

func TestReadNamesTheLine(t *testing.T) {
	t.Parallel()
	good := `{"time":"2026-03-01T12:00:00Z","tenant":"acme","source_types":["card"],"decision":{}}` + "\n"
	for name, tc := range map[string]struct{ text, want string }{
		"no JSON":                  {good + "hello\n" + good, "line 2 is not a recorded request: invalid character 'h' looking for beginning of value: remove the line, or record again"},
		"something else in JSON":   {good + good + "{}\n", "line 3 is not a recorded request: it lacks time, tenant or source_types: remove the line, or record again"},
		"an empty line":            {"\n" + good, "line 1 is not a recorded request: unexpected end of JSON input: remove the line, or record again"},
		"an unknown source type":   {strings.Replace(good, `"card"`, `"cheque"`, 1), "line 1 is not a recorded request: is no source type: remove the line, or record again"},
		"a customer that is none":  {strings.Replace(good, `"tenant"`, `"customer":"x","tenant"`, 1), "line 1 is not a recorded request: must be 16 hex digits: remove the line, or record again"},
		"a line that never ends":   {good + strings.Repeat("x", maxLine+1), "line 2 is not a recorded request: it is longer than 1 MiB: remove the line, or record again"},
		"a member of a wrong type": {strings.Replace(good, `"acme"`, "1", 1), "line 1 is not a recorded request: json: cannot unmarshal number into Go struct field RecordedDecision.RouteRequest.tenant of type string: remove the line, or record again"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Read(strings.NewReader(tc.text), func(gateway.RecordedDecision) error { return nil })
			require.EqualError(t, err, tc.want)
		})
	}
	n := 0
	unfinished, err := Read(strings.NewReader(good+good[:20]), func(gateway.RecordedDecision) error { n++; return nil })
	require.NoError(t, err)
	require.True(t, unfinished)
	require.Equal(t, 1, n)
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"time":"2026-03-01T12:00:00Z","tenant":"acme","customer":"00000000000000ff","source_types":["provider_reference:a"],"decision":{}}` + "\n"))
	f.Add([]byte("\n{"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = Compare(strings.NewReader(string(b)), nil, Setup{Routes: []gateway.Route{{Name: "r", Providers: []string{"a"}}}})
	})
}
