package config

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// following is a watcher of files. A read of what it tells about is awaited generously,
// and what it must not tell about is provoked before something that it must.
func following(t *testing.T, files ...string) *Watcher {
	t.Helper()
	w, err := NewWatcher()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.Close()) })
	more, err := w.Follow(files)
	require.NoError(t, err)
	require.True(t, more)
	return w
}

func told(t *testing.T, w *Watcher, why string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	select {
	case <-w.Changed():
	case <-ctx.Done():
		require.Fail(t, "nothing was told", why)
	}
}

func put(t *testing.T, file, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
}

func TestTheWatcherNotices(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, file string){
		"a write in place": func(t *testing.T, file string) { t.Helper(); put(t, file, "two") },
		"an atomic rename": func(t *testing.T, file string) {
			t.Helper()
			put(t, file+".tmp", "two")
			require.NoError(t, os.Rename(file+".tmp", file))
		},
		"a deletion":  func(t *testing.T, file string) { t.Helper(); require.NoError(t, os.Remove(file)) },
		"permissions": func(t *testing.T, file string) { t.Helper(); require.NoError(t, os.Chmod(file, 0o640)) },
		"the folder taken away": func(t *testing.T, file string) {
			t.Helper()
			require.NoError(t, os.Rename(filepath.Dir(file), filepath.Dir(file)+".old"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := filepath.Join(t.TempDir(), "conf")
			require.NoError(t, os.Mkdir(folder, 0o700))
			file := filepath.Join(folder, "polyvault.yaml")
			put(t, file, "one")
			w := following(t, file)
			change(t, file)
			told(t, w, name)
		})
	}
}

// Kubernetes mounts a folder in which each file is a link to ..data/file, and ..data a
// link to a folder that is exchanged.
func TestTheWatcherNoticesASwappedLink(t *testing.T) {
	t.Parallel()
	mount := t.TempDir()
	version := func(name string) {
		require.NoError(t, os.Mkdir(filepath.Join(mount, name), 0o700))
		put(t, filepath.Join(mount, name, "polyvault.yaml"), name)
		require.NoError(t, os.Symlink(name, filepath.Join(mount, "..tmp")))
		require.NoError(t, os.Rename(filepath.Join(mount, "..tmp"), filepath.Join(mount, "..data")))
	}
	version("..2026_1")
	file := filepath.Join(mount, "polyvault.yaml")
	require.NoError(t, os.Symlink("..data/polyvault.yaml", file))
	w := following(t, file)
	old := "..2026_1"
	for _, next := range []string{"..2026_2", "..2026_3"} {
		version(next)
		told(t, w, next)
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, next, string(text))
		more, err := w.Follow([]string{file})
		require.NoError(t, err)
		require.True(t, more, "the folder that the link leads to now is another one")
		require.NoError(t, os.RemoveAll(filepath.Join(mount, old)))
		old = next
	}
	put(t, filepath.Join(mount, "..2026_3", "polyvault.yaml"), "in place, behind two links")
	told(t, w, "a write behind the links")
}

func TestTheWatcherFollowsAFolderThatIsExchanged(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	folder, file := filepath.Join(root, "conf"), filepath.Join(root, "conf", "secret")
	w := following(t, file)
	require.NoError(t, os.Mkdir(folder, 0o700))
	told(t, w, "a folder that was missing")
	for range 2 {
		_, err := w.Follow([]string{file})
		require.NoError(t, err)
		put(t, file, "one")
		told(t, w, "a file that was missing")
		require.NoError(t, os.Rename(folder, folder+".old"))
		told(t, w, "the folder is gone")
		_, err = w.Follow([]string{file})
		require.NoError(t, err)
		require.NoError(t, os.RemoveAll(folder+".old"))
		require.NoError(t, os.Mkdir(folder, 0o700))
		told(t, w, "the folder is back")
	}
}

func TestTheWatcherLeavesOtherFilesAlone(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file, other := filepath.Join(folder, "polyvault.yaml"), filepath.Join(t.TempDir(), "other")
	put(t, file, "one")
	w := following(t, file, other)
	require.Len(t, w.watched(), 2)
	_, err := w.Follow([]string{file})
	require.NoError(t, err)
	require.Equal(t, []string{folder}, w.watched(), "a folder that nothing is in any more is left alone")
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ { // a database beside the configuration
			select {
			case <-stop:
				return
			default:
				_ = os.WriteFile(filepath.Join(folder, "polyvault.db"), []byte{byte(i)}, 0o600)
				_ = os.WriteFile(other, []byte{byte(i)}, 0o600)
			}
		}
	}()
	time.Sleep(2 * settleMost)
	select {
	case <-w.Changed():
		require.Fail(t, "a file that is not the configuration's was told about")
	default:
	}
	put(t, file, "two")
	told(t, w, "a write among others' writes")
	close(stop)
	<-done
}

// Who writes all the time is heard of all the same.
func TestConstantWritesDoNotPutTheWatcherOff(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "polyvault.yaml")
	put(t, file, "one")
	w := following(t, file)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(settleTime / 10):
				_ = os.WriteFile(file, []byte(time.Now().String()), 0o600)
			}
		}
	}()
	told(t, w, "the first time")
	told(t, w, "and again")
	close(stop)
	<-done
}

func TestSpotsOfAFile(t *testing.T) {
	t.Parallel()
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	at := func(parts ...string) string { return filepath.Join(append([]string{root}, parts...)...) }
	require.NoError(t, os.MkdirAll(at("real", "deep"), 0o700))
	put(t, at("real", "file"), "")
	for link, target := range map[string]string{
		"short": "real", "absolute": at("real"), "round": "round", "up": "real/deep/../file", "dangling": "nowhere/file",
	} {
		require.NoError(t, os.Symlink(target, at(link)))
	}
	for file, want := range map[string][]string{
		"real/file":     {at("real", "file")},
		"short/file":    {at("short"), at("real", "file")},
		"absolute/file": {at("absolute"), at("real", "file")},
		"up":            {at("up"), at("real", "file")},
		"dangling":      {at("dangling"), at("nowhere")},
		"real/no/such":  {at("real", "no")},
	} {
		var got []string
		for _, s := range spotsOf(at(file)) {
			got = append(got, s.path())
		}
		require.Equal(t, want, got, file)
	}
	require.Len(t, spotsOf(at("round")), maxLinks+1)
}
