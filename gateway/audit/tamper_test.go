package audit

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

// small is a log of a few lines, as its file holds it.
func small(t testing.TB, n int) []byte {
	t.Helper()
	c := testConfig(t)
	write(t, c, n)
	return content(t, c.Path)
}

func faultsOf(t testing.TB, b []byte, heads ...string) Report {
	t.Helper()
	r, err := Verify([]Source{source("a", b)}, testKeys(), heads...)
	require.NoError(t, err)
	return r
}

func TestEveryFlippedByteIsFound(t *testing.T) {
	t.Parallel()
	b := small(t, 3)
	require.Empty(t, faultsOf(t, b).Faults)
	for i := range b {
		for _, bit := range []byte{0x01, 0x20, 0x80} {
			changed := bytes.Clone(b)
			changed[i] ^= bit
			r := faultsOf(t, changed)
			require.NotEmptyf(t, r.Faults, "byte %d of %d, ^%#x: %q", i, len(b), bit, changed[max(0, i-20):min(len(b), i+20)])
			line := 1 + bytes.Count(b[:i], []byte("\n"))
			require.Equal(t, line, r.Faults[0].Line, "byte %d", i)
		}
	}
}

func TestEveryChangedLineIsFound(t *testing.T) {
	t.Parallel()
	ls := strings.SplitAfter(string(small(t, 6)), "\n")
	ls = ls[:len(ls)-1]
	other := strings.SplitAfter(string(small(t, 6)), "\n")
	join := func(ls []string) []byte { return []byte(strings.Join(ls, "")) }
	for i := range ls {
		without := slices.Delete(slices.Clone(ls), i, i+1)
		if i < len(ls)-1 {
			r := faultsOf(t, join(without))
			require.NotEmpty(t, r.Faults, "line %d left out", i+1)
			require.Equal(t, i+1, r.Faults[0].Line)
		}
		for j := range len(ls) + 1 {
			r := faultsOf(t, join(slices.Insert(slices.Clone(ls), j, ls[i])))
			require.NotEmpty(t, r.Faults, "line %d again at %d", i+1, j+1)
		}
		foreign := slices.Clone(ls)
		foreign[i] = other[i]
		require.NotEmpty(t, faultsOf(t, join(foreign)).Faults, "line %d of another chain in its place", i+1)
		for j := range i {
			swapped := slices.Clone(ls)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			require.NotEmpty(t, faultsOf(t, join(swapped)).Faults, "lines %d and %d exchanged", i+1, j+1)
		}
	}
	require.NotEmpty(t, faultsOf(t, nil).Faults, "an empty file")
}

// What is cut off at the end is only found by a head that was noted elsewhere.
func TestACutOffEndIsFoundByItsHead(t *testing.T) {
	t.Parallel()
	b := small(t, 6)
	whole := faultsOf(t, b)
	head := whole.Chains[0].Head
	require.Equal(t, map[string]uint64{head: 7}, faultsOf(t, b, head).Heads)
	short := b[:bytes.LastIndexByte(b[:len(b)-1], '\n')+1]
	r := faultsOf(t, short, head)
	require.Empty(t, r.Faults)
	require.Equal(t, map[string]uint64{head: 0}, r.Heads)
	noted := r.Chains[0].Head
	require.Equal(t, uint64(6), faultsOf(t, b, noted).Heads[noted], "a head of an hour ago is in the middle")
	for cut := len(short) + 1; cut < len(b); cut++ {
		require.NotEmpty(t, faultsOf(t, b[:cut]).Faults, "cut in the middle of a line, at %d", cut)
	}
}

// Who has no key can make a chain that is linked, but none that fits.
func TestAChainThatWasMadeAnewIsFound(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.Keys = Keys{{"k1", []byte(strings.Repeat("x", 32))}}
	write(t, c, 3)
	b := content(t, c.Path)
	r, err := Verify([]Source{source("a", b)}, nil)
	require.NoError(t, err)
	require.Empty(t, r.Faults, "without a key only the links are checked")
	require.Contains(t, faultsOf(t, b).Faults[0].What, "its hash does not fit")
	// Links are checked without a key, too.
	ls := bytes.SplitAfter(b, []byte("\n"))
	r, err = Verify([]Source{source("a", slices.Concat(ls[0], ls[2]))}, nil)
	require.NoError(t, err)
	require.NotEmpty(t, r.Faults)
}

// Whatever is read, nothing panics, and the only logs that verify are those that were
// written, cut at the end of a line.
func FuzzVerify(f *testing.F) {
	genuine := small(f, 4)
	f.Add(genuine)
	f.Add(genuine[:len(genuine)/2])
	f.Add([]byte(`{"seq":1,"action":"audit.file","prev":"","hash":""}` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Verify([]Source{source("a", b)}, testKeys())
		require.NoError(t, err)
		for _, err := range List([]Source{source("a", b)}, Query{}) {
			require.NoError(t, err)
		}
		if len(r.Faults) > 0 {
			return
		}
		// The fuzzer's own corpus may hold logs of earlier runs: they were written as well.
		require.Equal(t, "gw-1", r.Chains[0].Gateways[0])
		if bytes.HasPrefix(b, genuine[:100]) {
			require.True(t, bytes.HasPrefix(genuine, b) && b[len(b)-1] == '\n', "a changed chain was accepted: %q", b)
		}
	})
}

// FuzzChange changes a log that is genuine, in one place.
func FuzzChange(f *testing.F) {
	f.Add(10, 1, []byte("x"))
	f.Add(0, 0, []byte("\n"))
	f.Fuzz(func(t *testing.T, at, gone int, put []byte) {
		b := small(t, 2)
		if at < 0 || gone < 0 || at > len(b) || gone > len(b)-at {
			return
		}
		changed := slices.Concat(b[:at], put, b[at+gone:])
		r := faultsOf(t, changed)
		if len(r.Faults) == 0 {
			require.True(t, bytes.HasPrefix(b, changed), "a changed chain was accepted")
		}
	})
}

// The short look must never spare what the long one would find.
func FuzzSafe(f *testing.F) {
	for _, s := range []string{"ins_4111111111111111", "a4111-1111-1111-1111b", "4111 1111.1111_1111", "４１１１111111111111", "ada@example.com", "ins_0h7kq2m4n6p8r0s2t4v6w8x0z2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		require.Equal(t, strings.Contains(s, "@") || normalize.ContainsCardNumber(s), safe(s) != s)
	})
}

// Two histories of one chain, as after a file was put back from a copy: entries of both,
// with numbers that fit, are no chain.
func TestTwoHistoriesOfOneChainAreFound(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	write(t, c, 2)
	before := content(t, c.Path)
	write(t, c, 3)
	one := bytes.SplitAfter(content(t, c.Path), []byte("\n"))
	require.NoError(t, os.WriteFile(c.Path, before, 0o600))
	write(t, c, 3)
	two := bytes.SplitAfter(content(t, c.Path), []byte("\n"))
	require.Len(t, one, len(two))
	require.Empty(t, faultsOf(t, bytes.Join(one, nil)).Faults)
	r := faultsOf(t, slices.Concat(bytes.Join(one[:5], nil), bytes.Join(two[5:], nil)))
	require.Len(t, r.Faults, 1)
	require.Equal(t, 6, r.Faults[0].Line)
	require.Contains(t, r.Faults[0].What, "entry 5 was put in the place of the one that it follows on")
}
