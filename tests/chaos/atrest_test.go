package chaos

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/fault"
	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// Whoever has a dump of Redis, or the bbolt file, reads no provider's reference in it,
// no address and no answer, whatever the gateway has done.
func TestTheStoreTellsNothing(t *testing.T) {
	t.Parallel()
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		redis := redistest.StartServer(t, "--rdbcompression", "no")
		w, l := newTellingWorld(t, fmt.Sprintf(`redis: {url: "redis://%s/0", durability: dev}`, redis.Addr))
		all := w.doesEverything(t)
		l.heardOf(t, all)
		w.notReadable(t, redisTexts(t, redis), all)
	})
	t.Run("bbolt", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "polyvault.db")
		w, l := newTellingWorld(t, fmt.Sprintf("bolt: {path: %q}", file))
		all := w.doesEverything(t)
		l.heardOf(t, all)
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		w.notReadable(t, string(text), all)
	})
}

// telling is the section of a tenant that has two endpoints for events. Nobody listens at
// the other one, so that the store has events that wait as well; its path may be read
// nowhere.
func telling(l *listener) string {
	return fmt.Sprintf("events: {endpoints: [{url: %q, secrets: [env:CHAOS_EVENT_SECRET]}, {url: %q, secrets: [env:CHAOS_EVENT_SECRET]}]}",
		l.url, "http://127.0.0.1:9/CANARY-PATH")
}

// newTellingWorld is a world of one gateway that tells of events.
func newTellingWorld(t *testing.T, store string) (*world, *listener) {
	t.Helper()
	l := listen(t)
	w := newWorldIn(t, 0, store)
	w.gateways = append(w.gateways, w.newGatewayAs(t, settings{events: telling(l)}))
	return w, l
}

// heardOf waits until every instrument was told of.
func (l *listener) heardOf(t *testing.T, all []acknowledged) {
	t.Helper()
	eventually(t, 30*time.Second, "everything was told of", func() bool {
		created := l.of("instrument.created")
		return !slices.ContainsFunc(all, func(a acknowledged) bool { return !created[a.id] })
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	require.Empty(t, l.wrong)
}

// doesEverything uses the API in every way that stores something.
func (w *world) doesEverything(t *testing.T) []acknowledged {
	t.Helper()
	g := w.gateways[0]
	var all []acknowledged
	w.know(t, 1)
	for _, provider := range providers() {
		key := "at-rest-" + provider
		a := g.create(t.Context(), key, create(1, provider))
		require.Equal(t, http.StatusCreated, a.status, "%s", a.raw)
		all = append(all, acknowledged{key: key, id: a.str("id")})
		changed := g.send(t.Context(), "acme0000", http.MethodPatch, "/v1/instruments/"+a.str("id"), key+"-change",
			object{"metadata": object{"note": "CANARY-METADATA"}})
		require.Equal(t, http.StatusOK, changed.status, "%s", changed.raw)
	}
	// Ambiguous: the provider stores, and its answer is lost.
	w.fail(t, rebilly, fault.Rule{Fault: fault.CommitThenDrop, Times: 1})
	body := create(2, rebilly)
	body["customer_id"] = "cus-ambiguous"
	a := w.until(t.Context(), 20*time.Second, "at-rest-ambiguous", body)
	require.Contains(t, []int{http.StatusCreated, http.StatusOK}, a.status, "%s", a.raw)
	all = append(all, acknowledged{key: "at-rest-ambiguous", id: a.str("id")})
	// Rejected, and the rejection replayed.
	body = create(3, cybersource)
	body["customer_id"] = "cus-declined"
	address, ok := body["billing_address"].(object)
	require.True(t, ok)
	address["postal_code"] = "CANARY-POSTAL"
	first := g.create(t.Context(), "at-rest-odd", body)
	second := g.create(t.Context(), "at-rest-odd", body)
	require.Equal(t, first.status, second.status, "%s", second.raw)
	return all
}

// notReadable checks that a store's text holds neither what providers call what they
// have, nor what instruments tell of people. That the text is the store's shows in the
// instruments' own ids, which may be read.
func (w *world) notReadable(t *testing.T, text string, all []acknowledged) {
	t.Helper()
	for _, s := range sample(all) {
		require.True(t, holds(text, s.id), "the check sees the store: %s", s.id)
	}
	require.True(t, holds(text, "evt/acme/evt_"), "the check sees events")
	found := 0
	for _, provider := range providers() {
		for _, ins := range sample(w.live(t, provider)) {
			found++
			require.GreaterOrEqual(t, len(ins.ID), 8, "a reference that is no accident")
			require.False(t, holds(text, ins.ID), "a reference at %s can be read in the store: %s", provider, ins.ID)
		}
	}
	require.Positive(t, found)
	for _, word := range []string{"Analytical", "Byron", `"78701"`, "CANARY", `"411111"`, "postal_code", `"refs"`, `"answer"`, `"billing_address"`, `"metadata"`} {
		require.False(t, holds(text, word), "%s can be read in the store", word)
	}
}

// holds is strings.Contains for texts that are too long to be printed by a failure.
func holds(text, word string) bool { return strings.Contains(text, word) }

// sample is some of many, from the first to the last.
func sample[T any](all []T) []T {
	const most = 200
	var out []T
	for i := 0; i < len(all); i += 1 + len(all)/most {
		out = append(out, all[i])
	}
	return out
}

// redisTexts is a dump of everything in a Redis that does not compress.
func redisTexts(t *testing.T, redis *redistest.Server) string {
	t.Helper()
	const page = `local out = {}
for _, key in ipairs(ARGV) do out[#out+1] = key; out[#out+1] = redis.call('DUMP', key) or '' end
return table.concat(out, '\n')`
	keys, ok := redis.Do(t, "KEYS", "*").([]any)
	require.True(t, ok)
	var out strings.Builder
	for some := range slices.Chunk(keys, 500) {
		text, ok := redis.Do(t, append([]any{"EVAL", page, 0}, some...)...).(string)
		require.True(t, ok)
		out.WriteString(text)
	}
	return out.String()
}
