package redisstore

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

func TestADumpAcrossTwoServersFails(t *testing.T) {
	t.Parallel()
	s := open(t, Config{Addrs: []string{redistest.Start(t)}})
	other := open(t, Config{Addrs: []string{redistest.Start(t)}})
	for _, each := range []*Store{s, other} {
		for i := range 2 * dumpPage {
			_, err := each.Write(t.Context(), gateway.Write{Key: strconv.Itoa(i), Nonce: "n"})
			require.NoError(t, err)
		}
	}
	calls := 0
	err := s.Dump(t.Context(), func(string, gateway.Entry) error {
		if calls++; calls == 1 {
			s.client = other.client // a failover
		}
		return nil
	})
	require.ErrorIs(t, err, gateway.ErrStore)
	require.ErrorIs(t, err, errMoved)
	require.NoError(t, s.Dump(t.Context(), func(string, gateway.Entry) error { return nil }), "the next one has one server")
}

func TestADumpWhileSlotsMoveFails(t *testing.T) {
	t.Parallel()
	s := open(t, Config{Addrs: redistest.StartCluster(t, 3), Cluster: true})
	none := func(string, gateway.Entry) error { return nil }
	require.NoError(t, s.Dump(t.Context(), none))
	ids := make(chan string, 3)
	require.NoError(t, s.eachMaster(t.Context(), func(ctx context.Context, master *redis.Client) error {
		id, err := master.ClusterMyID(ctx).Result()
		ids <- id
		return err
	}))
	first, second := <-ids, <-ids
	require.NoError(t, s.eachMaster(t.Context(), func(ctx context.Context, master *redis.Client) error {
		id, err := master.ClusterMyID(ctx).Result()
		if err != nil || id != first {
			return err
		}
		slots, err := ownSlots(ctx, master)
		if err != nil {
			return err
		}
		start, _, _ := strings.Cut(slots, "-")
		return master.Do(ctx, "CLUSTER", "SETSLOT", start, "MIGRATING", second).Err()
	}))
	require.ErrorContains(t, s.Dump(t.Context(), none), "being moved")
}

func TestAPrefixIsNoPattern(t *testing.T) {
	t.Parallel()
	addr := redistest.Start(t)
	for _, prefix := range []string{"p?[a-z]*\\:", "pxb:", "pxb\\:"} {
		s := open(t, Config{Addrs: []string{addr}, KeyPrefix: prefix})
		_, err := s.Write(t.Context(), gateway.Write{Key: "of " + prefix, Nonce: "n"})
		require.NoError(t, err)
		var keys []string
		require.NoError(t, s.Dump(t.Context(), func(key string, _ gateway.Entry) error {
			keys = append(keys, key)
			return nil
		}))
		require.Equal(t, []string{"of " + prefix}, keys)
	}
}
