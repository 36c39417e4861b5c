package journal

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
)

// TestARealFullDisk is the same on a file system of 64 KiB.
func TestARealFullDisk(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("a small file system cannot be mounted here (%v): run this test as root", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(folder, 0)) })
	j, err := Open(Config{Folder: folder, Key: testKey("k1"), Sync: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, j.Close()) })
	e := testEntry(0)
	e.Value = make([]byte, 4000)
	kept := 0
	for err = j.Append(t.Context(), e); err == nil; err = j.Append(t.Context(), e) {
		kept++
		require.Less(t, kept, 100)
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.ErrorIs(t, err, gateway.ErrStore)
	require.Len(t, readAll(t, folder), kept)
	require.NoError(t, syscall.Mount("tmpfs", folder, "tmpfs", syscall.MS_REMOUNT, "size=128k"))
	require.NoError(t, j.Append(t.Context(), e), "once there is room again it goes on")
	require.Len(t, readAll(t, folder), kept+1)
}
