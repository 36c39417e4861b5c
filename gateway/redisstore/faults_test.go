package redisstore

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

func forget(ctx context.Context, master *redis.Client) error { return master.ScriptFlush(ctx).Err() }

func TestForgottenScriptsAreSentAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]Config{
		"one server": {Addrs: []string{redistest.Start(t)}},
		"cluster":    {Addrs: redistest.StartCluster(t, 3), Cluster: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, c)
			for version := range uint64(3) {
				require.NoError(t, s.eachMaster(t.Context(), forget))
				out, err := s.Write(t.Context(), busyWrite(version))
				require.NoError(t, err)
				require.True(t, out.Applied)
				require.Equal(t, version+1, out.Current.Version)
				require.Equal(t, []string{"o", "o"}, out.Owners)
				require.Equal(t, version+1, out.Loaded[0].Version)
			}
			require.NoError(t, s.eachMaster(t.Context(), forget))
			_, err := s.Load(t.Context(), "k")
			require.NoError(t, err)
		})
	}
}

func TestLostReplyIsNotASecondWrite(t *testing.T) {
	t.Parallel()
	p := startProxy(t, redistest.Start(t))
	s := open(t, Config{Addrs: []string{p.addr}, PoolSize: 1})
	for version := range uint64(5) {
		p.severing.Store(true)
		out, err := s.Write(t.Context(), busyWrite(version))
		require.NoError(t, err)
		require.False(t, p.severing.Load(), "the reply was not lost")
		require.True(t, out.Applied)
		require.Equal(t, version+1, out.Current.Version)
	}
	loaded, err := s.Load(t.Context(), "k")
	require.NoError(t, err)
	require.Equal(t, uint64(5), loaded.Entries[0].Version)
}

func TestClusterWriteSentAgainMendsItsIndexes(t *testing.T) {
	t.Parallel()
	s := open(t, Config{Addrs: redistest.StartCluster(t, 3), Cluster: true})
	w := busyWrite(0)
	_, err := s.Write(t.Context(), w)
	require.NoError(t, err)
	// As if the process had died between the two round trips.
	require.NoError(t, s.client.ZRem(t.Context(), s.indexKey("j"), "m").Err())
	out, err := s.Write(t.Context(), w)
	require.NoError(t, err)
	require.True(t, out.Applied)
	members, err := s.Scan(t.Context(), "j", "", 10, false)
	require.NoError(t, err)
	require.Equal(t, []string{"m"}, members)
}

func TestServerOutOfMemoryRefusesTheWholeWrite(t *testing.T) {
	t.Parallel()
	s := open(t, Config{Addrs: []string{redistest.Start(t)}})
	w := busyWrite(0)
	w.Claims = nil
	require.NoError(t, s.client.ConfigSet(t.Context(), "maxmemory", "1").Err())
	_, err := s.Write(t.Context(), w)
	require.ErrorIs(t, err, gateway.ErrStore)
	require.ErrorContains(t, err, "OOM")
	require.NoError(t, s.client.ConfigSet(t.Context(), "maxmemory", "0").Err())
	require.Equal(t, []string{"pv:replids"}, s.client.Keys(t.Context(), "*").Val())
}

func TestServerAway(t *testing.T) {
	t.Parallel()
	server := redistest.StartServer(t)
	s := open(t, Config{Addrs: []string{server.Addr}})
	server.Stop()
	_, errLoad := s.Load(t.Context(), "secret")
	_, errWrite := s.Write(t.Context(), gateway.Write{Key: "secret", Value: []byte("secret"), Nonce: "secret"})
	_, errScan := s.Scan(t.Context(), "secret", "secret", 1, false)
	for _, err := range []error{errLoad, errWrite, errScan, s.Ping(t.Context())} {
		require.ErrorIs(t, err, gateway.ErrStore)
		require.ErrorContains(t, err, server.Addr)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestSilentServerIsLeftAtTheDeadline(t *testing.T) {
	t.Parallel()
	s := open(t, Config{Addrs: []string{redistest.Start(t)}})
	require.NoError(t, s.client.Do(t.Context(), "CLIENT", "PAUSE", 60_000, "ALL").Err())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, err := s.Load(ctx, "k")
	require.ErrorIs(t, err, gateway.ErrStore)
	require.Less(t, time.Since(begun), time.Second, "the read timeout, not the deadline, ended the call")
}

// TestErrorsTellNoArguments is about errors of Redis that quote what they were asked.
func TestErrorsTellNoArguments(t *testing.T) {
	t.Parallel()
	addr := redistest.Start(t, "--rename-command", "EVALSHA", "", "--rename-command", "ZRANGE", "")
	s := open(t, Config{Addrs: []string{addr}})
	_, err := s.Write(t.Context(), gateway.Write{Key: "secret", Value: []byte("secret"), Nonce: "secret", Add: []gateway.Member{{Index: "secret", Member: "secret"}}})
	require.ErrorIs(t, err, gateway.ErrStore)
	require.ErrorContains(t, err, "store: redis: write: ERR unknown command")
	require.NotContains(t, err.Error(), "secret")
	_, err = s.Scan(t.Context(), "secret", "secret", 1, false)
	require.ErrorContains(t, err, "ERR unknown command")
	require.NotContains(t, err.Error(), "secret")

	unreadable := errors.New("redis: can't parse reply " + strconv.Quote("secret"))
	require.NotContains(t, failed("load", unreadable).Error(), "secret")
	require.ErrorIs(t, failed("load", unreadable), unreadable)
}

func TestForeignDataIsAnError(t *testing.T) {
	t.Parallel()
	s := open(t, Config{Addrs: []string{redistest.Start(t)}})
	for key, fields := range map[string][]any{
		"no data":     {"v", "1"},
		"no number":   {"v", "one", "d", "x"},
		"too large":   {"v", strings.Repeat("9", 30), "d", "x"},
		"of no store": nil,
	} {
		if fields == nil {
			require.NoError(t, s.client.Set(t.Context(), s.entryKey(key), "x", 0).Err())
		} else {
			require.NoError(t, s.client.HSet(t.Context(), s.entryKey(key), fields...).Err())
		}
		_, err := s.Load(t.Context(), key)
		require.ErrorIs(t, err, gateway.ErrStore, key)
		_, err = s.Write(t.Context(), gateway.Write{Key: key, Nonce: "n"})
		require.ErrorIs(t, err, gateway.ErrStore, key)
	}
}
