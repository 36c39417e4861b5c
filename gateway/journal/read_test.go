package journal

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/boltstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testKey(id string) gateway.ReferenceKey {
	return gateway.ReferenceKey{ID: id, Secret: []byte(strings.Repeat(id+"-secret-", 8))}
}

func ring(ids ...string) gateway.Keys {
	var out gateway.Keys
	for _, id := range ids {
		out = append(out, testKey(id))
	}
	return out
}

func testEntry(i int) Entry {
	return Entry{Key: fmt.Sprintf("key-%03d", i), Value: []byte(fmt.Sprintf("value-%03d", i)), Version: uint64(i + 1), At: time.UnixMicro(int64(i))}
}

// journalOf writes entries and returns the folder.
func journalOf(tb testing.TB, entries ...Entry) (folder string) {
	tb.Helper()
	folder = tb.TempDir()
	j, err := Open(Config{Folder: folder, Key: testKey("k1")})
	require.NoError(tb, err)
	for _, e := range entries {
		require.NoError(tb, j.Append(tb.Context(), e))
	}
	require.NoError(tb, j.Close())
	return folder
}

func files(tb testing.TB, folder string) []string {
	tb.Helper()
	names, err := filepath.Glob(filepath.Join(folder, "*"+Extension))
	require.NoError(tb, err)
	return names
}

// oneFile returns the bytes of the folder's only file.
func oneFile(tb testing.TB, folder string) []byte {
	tb.Helper()
	names := files(tb, folder)
	require.Len(tb, names, 1)
	b, err := os.ReadFile(names[0])
	require.NoError(tb, err)
	return b
}

func read(b []byte, keys gateway.Keys) (out []Entry, c Contents, err error) {
	c, err = Read(bytes.NewReader(b), keys, func(e Entry) error {
		out = append(out, e)
		return nil
	})
	return out, c, err
}

func tenEntries() []Entry {
	var out []Entry
	for i := range 10 {
		out = append(out, testEntry(i))
	}
	return out
}

// frames cuts a file into its header and its frames.
func frames(tb testing.TB, b []byte) (head []byte, out [][]byte) {
	tb.Helper()
	size := fixedHead + int(b[fixedHead-1]) + checkSize
	head, b = b[:size], b[size:]
	s := &sealer{head: head}
	for len(b) > 0 {
		n, _, ok := s.parseHead(b)
		require.True(tb, ok)
		out = append(out, b[:frameHead+n])
		b = b[frameHead+n:]
	}
	return head, out
}

func TestWhatIsAppendedIsRead(t *testing.T) {
	t.Parallel()
	b := oneFile(t, journalOf(t, tenEntries()...))
	got, c, err := read(b, ring("k2", "k1"))
	require.NoError(t, err)
	require.Equal(t, tenEntries(), got)
	require.Equal(t, Contents{Kind: KindJournal, KeyID: "k1", Entries: 10, Bytes: int64(len(b))}, c)
}

func TestNothingIsReadableWithoutTheKey(t *testing.T) {
	t.Parallel()
	b := oneFile(t, journalOf(t, tenEntries()...))
	for _, text := range []string{"key-", "value-", "secret"} {
		require.NotContains(t, string(b), text)
	}
	_, c, err := read(b, ring("k2", "k3"))
	require.ErrorIs(t, err, ErrNoKey)
	require.ErrorContains(t, err, `it is "k1", and the configuration has "k2", "k3"`)
	require.Zero(t, c.Entries)

	other := gateway.Keys{{ID: "k1", Secret: testKey("k2").Secret}}
	_, _, err = read(b, other)
	require.ErrorIs(t, err, ErrNoKey)
	require.ErrorContains(t, err, "is another than the file's")
}

func TestAJournalMayEndAnywhere(t *testing.T) {
	t.Parallel()
	b := oneFile(t, journalOf(t, tenEntries()[:3]...))
	head, all := frames(t, b)
	for cut := len(head); cut < len(b); cut++ {
		whole, size := 0, len(head)
		for size+len(all[whole]) <= cut {
			size += len(all[whole])
			whole++
		}
		got, c, err := read(b[:cut], ring("k1"))
		require.NoError(t, err, "cut at %d", cut)
		require.Equal(t, tenEntries()[:whole], append([]Entry{}, got...))
		require.Equal(t, int64(cut-size), c.Torn, "cut at %d", cut)
		// A crash may leave the size without the bytes.
		_, c, err = read(append(slices.Clone(b[:cut]), make([]byte, 5000)...), ring("k1"))
		require.NoError(t, err)
		require.Equal(t, uint64(whole), c.Entries)
		require.Equal(t, int64(cut-size+5000), c.Torn)
	}
	for cut := range len(head) {
		_, _, err := read(b[:cut], ring("k1"))
		require.Error(t, err, "a header is on the disk before its file has a name")
	}
}

func TestAChangedByteIsNoticed(t *testing.T) {
	t.Parallel()
	b := oneFile(t, journalOf(t, tenEntries()[:3]...))
	head, all := frames(t, b)
	last := len(b) - len(all[len(all)-1])
	for i := range b {
		changed := slices.Clone(b)
		changed[i] ^= 0x10
		got, c, err := read(changed, ring("k1"))
		if i >= last {
			require.NoError(t, err, "a damaged end and one that was never written are the same")
			require.Len(t, got, 2)
			require.Positive(t, c.Torn)
			continue
		}
		require.Error(t, err, "byte %d", i)
		if i < len(head) {
			continue
		}
		start := len(head)
		for _, f := range all {
			if i < start+len(f) {
				break
			}
			start += len(f)
		}
		require.ErrorIs(t, err, ErrDamaged)
		require.ErrorContains(t, err, fmt.Sprintf("at byte %d:", start))
	}
}

func TestFramesStayInTheirPlaces(t *testing.T) {
	t.Parallel()
	b := oneFile(t, journalOf(t, tenEntries()...))
	head, all := frames(t, b)
	_, foreign := frames(t, oneFile(t, journalOf(t, tenEntries()...)))
	join := func(frames ...[]byte) []byte { return slices.Concat(append([][]byte{head}, frames...)...) }
	s := &sealer{head: head}
	// as is a frame with the head of another place.
	as := func(frame []byte, number uint64) []byte {
		return append(s.appendHead(nil, uint32(len(frame)-frameHead), number), frame[frameHead:]...)
	}
	for name, tc := range map[string]struct {
		file []byte
		says string
	}{
		"moved":         {join(all[0], as(all[2], 1), all[2]), "frame 1 cannot be read there, but frame 2 can at byte"},
		"left out":      {join(all[0], all[2], all[3]), "frame 1 cannot be read there, but frame 2 can at byte"},
		"swapped":       {join(all[1], all[0]), "frame 0 cannot be read there, but frame 1 can at byte"},
		"repeated":      {join(all[0], all[0], all[1]), "frame 1 cannot be read there, but frame 0 can at byte"},
		"of other file": {join(all[0], foreign[1], all[2]), "frame 1 cannot be read there, but frame 2 can at byte"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := read(tc.file, ring("k1"))
			require.ErrorIs(t, err, ErrDamaged)
			require.ErrorContains(t, err, tc.says)
		})
	}
}

func backupOf(tb testing.TB, n int) []byte {
	tb.Helper()
	s, err := boltstore.Open(boltstore.Config{Path: filepath.Join(tb.TempDir(), "p.db")})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, s.Close()) })
	for i := range n {
		e := testEntry(i)
		_, err := s.Write(tb.Context(), gateway.Write{Key: e.Key, Value: e.Value, Version: e.Version, Nonce: "n"})
		require.NoError(tb, err)
	}
	var b bytes.Buffer
	told := uint64(0)
	entries, err := Backup(tb.Context(), s, testKey("k1"), &b, func(n uint64) { told = n })
	require.NoError(tb, err)
	require.Equal(tb, uint64(n), entries)
	require.Equal(tb, uint64(n), told)
	return b.Bytes()
}

func TestABackupIsWholeOrRefused(t *testing.T) {
	t.Parallel()
	b := backupOf(t, 3)
	got, c, err := read(b, ring("k1"))
	require.NoError(t, err)
	require.Len(t, got, 3)
	require.Equal(t, KindBackup, c.Kind)
	for i, e := range got {
		require.Equal(t, testEntry(i).Key, e.Key)
		require.Equal(t, testEntry(i).Value, e.Value)
		require.Equal(t, testEntry(i).Version, e.Version)
		require.WithinDuration(t, time.Now(), e.At, time.Minute)
	}
	for cut := range b {
		_, _, err := read(b[:cut], ring("k1"))
		require.Error(t, err, "cut at %d", cut)
	}
	for i := range b {
		changed := slices.Clone(b)
		changed[i] ^= 1
		_, _, err := read(changed, ring("k1"))
		require.Error(t, err, "byte %d", i)
	}
	_, _, err = read(append(slices.Clone(b), 0), ring("k1"))
	require.ErrorContains(t, err, "something follows the end")
	_, all := frames(t, b)
	_, _, err = read(b[:len(b)-len(all[3])], ring("k1"))
	require.ErrorContains(t, err, "the backup is cut off")
}

func TestABackupsEndCountsItsEntries(t *testing.T) {
	t.Parallel()
	s, err := newSealer(newHeader(KindBackup, "k1"), testKey("k1"))
	require.NoError(t, err)
	b := s.seal(append([]byte{}, s.head...), 0, testEntry(0).encode())
	_, _, err = read(s.seal(slices.Clone(b), 1, encodeEnd(1)), ring("k1"))
	require.NoError(t, err)
	_, _, err = read(s.seal(slices.Clone(b), 1, encodeEnd(2)), ring("k1"))
	require.ErrorIs(t, err, ErrDamaged)
	require.ErrorContains(t, err, "1 entries are in it, and 2 were written")
	_, _, err = read(s.seal(slices.Clone(b), 1, []byte("x")), ring("k1"))
	require.ErrorIs(t, err, ErrNotOurs)
}

func TestABackupEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	s, err := boltstore.Open(boltstore.Config{Path: filepath.Join(t.TempDir(), "p.db")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Backup(ctx, s, testKey("k1"), &bytes.Buffer{}, nil)
	require.ErrorIs(t, err, context.Canceled)
}

func FuzzRead(f *testing.F) {
	f.Add(oneFile(f, journalOf(f, tenEntries()...)))
	f.Add(backupOf(f, 2))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, c, err := read(b, ring("k1"))
		if err == nil {
			require.Equal(t, int64(len(b)), c.Bytes+c.Torn)
		}
	})
}
