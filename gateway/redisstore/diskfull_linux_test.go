package redisstore

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// smallDisk runs a server whose append-only file is on a disk of 1 MiB. fill takes
// what is free of it, empty gives it back.
func smallDisk(t *testing.T, fsync string) (server *redistest.Server, fill, empty func()) {
	t.Helper()
	server = redistest.StartServer(t, "--appendfsync", fsync, "--enable-protected-configs", "yes")
	if err := syscall.Mount("tmpfs", server.Dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("a full disk takes the right to mount one, which root has: %v", err)
	}
	t.Cleanup(func() {
		server.Stop()
		require.NoError(t, syscall.Unmount(server.Dir, 0))
	})
	server.Do(t, "CONFIG", "SET", "dir", server.Dir) // it was in what is mounted over now
	server.Do(t, "CONFIG", "SET", "appendonly", "yes")
	require.Eventually(t, func() bool { // the file is written anew first
		text, ok := server.Do(t, "INFO", "persistence").(string)
		info := parseInfo(text)
		return ok && info["aof_rewrite_in_progress"] == "0" && info["aof_rewrite_scheduled"] == "0"
	}, 10*time.Second, 10*time.Millisecond)
	ballast := filepath.Join(server.Dir, "ballast")
	fill = func() {
		err := os.WriteFile(ballast, make([]byte, 2<<20), 0o600)
		require.ErrorIs(t, err, syscall.ENOSPC)
	}
	return server, fill, func() { require.NoError(t, os.Remove(ballast)) }
}

func TestFullDiskRefusesTheWholeWrite(t *testing.T) {
	t.Parallel()
	server, fill, empty := smallDisk(t, "everysec")
	s := open(t, on(server.Addr))
	fill()
	// Without strict the last write is acknowledged that the disk cannot take.
	require.Eventually(t, func() bool {
		_, err := s.Write(t.Context(), gateway.Write{Key: "big", Value: make([]byte, 8<<10), Nonce: "n"})
		return errors.Is(err, gateway.ErrStore)
	}, 10*time.Second, 10*time.Millisecond)
	requireRefused(t, s, "MISCONF")
	require.Zero(t, server.Do(t, "EXISTS", "pv:{k}", "pv:claim:{c}", "pv:idx:{i}"))
	_, err := s.Load(t.Context(), "big")
	require.NoError(t, err, "it can still be read")
	empty()
	requireWhole(t, s)
}

func TestFullDiskLosesNothingThatStrictAcknowledged(t *testing.T) {
	t.Parallel()
	server, fill, empty := smallDisk(t, "always")
	s := open(t, Config{Addrs: []string{server.Addr}, Durability: Strict})
	mustWrite(t, s, note("kept", "n"))
	fill()
	for n := range 3 { // the server ends rather than acknowledge it
		_, err := s.Write(t.Context(), gateway.Write{Key: "big", Value: make([]byte, 64<<10), Nonce: string(rune('a' + n))})
		require.ErrorIs(t, err, gateway.ErrStore)
	}
	empty()
	// The arguments say that there is no file; this is what an operator has in redis.conf.
	server.Restart(t, "--appendonly", "yes")
	loaded, err := s.Load(t.Context(), "kept", "big")
	require.NoError(t, err)
	require.Equal(t, uint64(1), loaded.Entries[0].Version)
	require.Zero(t, loaded.Entries[1].Version)
	requireWhole(t, s)
}
