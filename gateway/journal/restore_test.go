package journal

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/boltstore"
)

func boltAt(tb testing.TB, path string) gateway.Store {
	tb.Helper()
	s, err := boltstore.Open(boltstore.Config{Path: path})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, s.Close()) })
	return s
}

// contents is all that a store keeps for ever.
func contents(tb testing.TB, s gateway.Store) map[string]string {
	tb.Helper()
	out := map[string]string{}
	require.NoError(tb, s.Dump(tb.Context(), func(key string, e gateway.Entry) error {
		out[key] = fmt.Sprintf("%d %s", e.Version, e.Value)
		return nil
	}))
	return out
}

// TestFilesBringBackWhatWasAnswered writes at random through several gateways that
// share a store, each with a journal and some killed in the middle of an append,
// with backups in between. From the files in any order, some of them twice, comes
// the store as it was.
func TestFilesBringBackWhatWasAnswered(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 0))
			store := boltAt(t, filepath.Join(t.TempDir(), "p.db"))
			var files [][]byte
			var journals []*Journal
			folders := map[*Journal]string{}
			begin := func() *Journal {
				folder := t.TempDir()
				j, err := Open(Config{Folder: folder, Key: testKey("k1"), MaxBytes: 600})
				require.NoError(t, err)
				folders[j] = folder
				return j
			}
			end := func(j *Journal) {
				require.NoError(t, j.Close())
				names, err := filepath.Glob(filepath.Join(folders[j], "*"))
				require.NoError(t, err)
				for _, name := range names {
					b, err := os.ReadFile(name)
					require.NoError(t, err)
					if random.IntN(2) == 0 { // it was killed while it wrote the next one
						b = append(b, "the beginning of a frame, or what was on the disk before"[:random.IntN(50)]...)
					}
					files = append(files, b)
				}
			}
			for range 3 {
				journals = append(journals, begin())
			}
			versions := map[string]uint64{}
			for i := range 60 {
				at := random.IntN(len(journals))
				switch random.IntN(15) {
				case 0:
					end(journals[at])
					journals[at] = begin()
				case 1:
					var b bytes.Buffer
					_, err := Backup(t.Context(), store, testKey("k1"), &b, nil)
					require.NoError(t, err)
					files = append(files, b.Bytes())
				default:
					key := fmt.Sprint("other/", random.IntN(8))
					out, err := Wrap(store, journals[at]).Write(t.Context(), gateway.Write{
						Key: key, Expect: versions[key], Value: fmt.Append(nil, i), Nonce: fmt.Sprint(i),
					})
					require.NoError(t, err)
					versions[key] = out.Current.Version
				}
			}
			for _, j := range journals {
				end(j)
			}
			files = append(files, files[:len(files)/2]...)
			random.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
			sealer, err := gateway.NewSealer(ring("k1"), nil)
			require.NoError(t, err)
			restored := boltAt(t, filepath.Join(t.TempDir(), "p.db"))
			for _, b := range slices.Concat(files, files[:1]) {
				_, err := Read(bytes.NewReader(b), ring("k1"), func(e Entry) error {
					_, err := gateway.Restore(t.Context(), restored, sealer, e.Key, gateway.Entry{Value: e.Value, Version: e.Version}, false)
					return err
				})
				require.NoError(t, err)
			}
			require.Equal(t, contents(t, store), contents(t, restored))
		})
	}
}
