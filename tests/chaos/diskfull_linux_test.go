package chaos

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// C26: no room is left where the store writes. A create is refused with nothing
// sent, and whatever was acknowledged is there. Once there is room again all goes on.
func TestC26DiskFull(t *testing.T) {
	t.Parallel()
	t.Run("bbolt", func(t *testing.T) {
		t.Parallel()
		onlyFull(t)
		disk := t.TempDir()
		mountSmall(t, disk)
		w := newWorldIn(t, 1, fmt.Sprintf("bolt: {path: %q}", filepath.Join(disk, "polyvault.db")))
		w.fillUp(t, disk, func() {})
	})
	for durability, fsync := range map[string]string{
		"strict":   "always",   // Redis ends itself when it cannot write
		"standard": "everysec", // Redis goes on, and refuses writes
	} {
		t.Run("redis "+durability, func(t *testing.T) {
			t.Parallel()
			onlyFull(t)
			redis := redistest.StartServer(t, "--appendonly", "yes", "--appendfsync", fsync, "--maxmemory-policy", "noeviction")
			redis.Stop()
			mountSmall(t, redis.Dir)
			redis.Restart(t)
			w := newWorldOver(t, 1, redis.Addr, durability)
			w.fillUp(t, redis.Dir, func() {
				if fsync == "always" {
					redis.Restart(t)
				}
			})
		})
	}
}

// fillUp creates instruments while the disk is filled and emptied again. recover is
// what an operator does once there is room.
func (w *world) fillUp(t *testing.T, disk string, recovered func()) {
	t.Helper()
	g := w.gateways[0]
	store := func(i int) answer {
		return g.create(t.Context(), fmt.Sprintf("k-%d", i), oneCard(fmt.Sprintf("cus-%d", i), "2031", "123"))
	}
	ids := map[string]bool{}
	i := 0
	for ; i < 20; i++ {
		a := store(i)
		require.Equal(t, http.StatusCreated, a.status, "%s", a.raw)
		ids[a.str("id")] = true
	}
	ballast := filepath.Join(disk, "ballast")
	fill(t, ballast)
	refused, unsettled := 0, 0
	for end := time.Now().Add(time.Minute); refused < 50; i++ {
		require.True(t, time.Now().Before(end), "the disk is full, but the store takes everything")
		fill(t, ballast) // what the store gave back
		before := w.sent(t, cybersource)
		switch a := store(i); a.status {
		case http.StatusCreated: // there was room for this one
			ids[a.str("id")] = true
		case http.StatusServiceUnavailable:
			refused++
			require.Equal(t, "store_unavailable", a.str("code"), "%s", a.raw)
			require.Equal(t, "not_sent", a.str("outcome"), "%s", a.raw)
			require.Equal(t, before, w.sent(t, cybersource), "no instrument was sent to the provider")
		default:
			require.Equal(t, http.StatusAccepted, a.status, "%s", a.raw)
			unsettled++ // there was room for the attempt, but not for its end
		}
	}
	require.NoError(t, os.Remove(ballast))
	recovered()
	for id := range ids {
		eventually(t, 20*time.Second, "what was acknowledged is there", func() bool {
			return g.send(t.Context(), "acme0000", http.MethodGet, "/v1/instruments/"+id+"?read=stored", "", nil).status == http.StatusOK
		})
	}
	for again := range i {
		a := w.until(t.Context(), 30*time.Second, fmt.Sprintf("k-%d", again), oneCard(fmt.Sprintf("cus-%d", again), "2031", "123"))
		require.Equal(t, http.StatusCreated, a.status, "%s", a.raw)
	}
	require.Len(t, w.live(t, cybersource), i)
	t.Logf("%d creates: %d acknowledged before there was room again, %d refused, %d unsettled", i, len(ids), refused, unsettled)
}

// mountSmall puts a file system with little room on a folder.
func mountSmall(t *testing.T, dir string) {
	t.Helper()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m")
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		t.Skipf("a small disk cannot be mounted here, which needs root: %v", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
}

// sent counts the requests at a provider to store an instrument. A customer may have
// been made before the store was full; it charges nobody.
func (w *world) sent(t *testing.T, provider string) int {
	t.Helper()
	n := 0
	for _, r := range w.state(t, provider).Requests {
		if ok, _ := path.Match(storePath(provider), r.Path); ok && r.Method == http.MethodPost {
			n++
		}
	}
	return n
}

// fill writes to a file until there is no room.
func fill(t *testing.T, file string) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	for chunk := 1 << 16; chunk > 0; chunk /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, chunk))
		}
		require.True(t, errors.Is(err, syscall.ENOSPC) || errors.Is(err, io.ErrShortWrite), "%v", err)
	}
}
