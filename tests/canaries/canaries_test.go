package canaries

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Published card numbers and a security code go through every endpoint, in every
// member, parameter and header, and through every way to fail. Afterwards none of them
// is in the store, sealed or not, the journal, a backup, the rehearsal's record, the log,
// the audit log, a profile, the metrics, a span, an event, the stacks of a crash or an answer.
func TestNoCardDataIsLeftBehind(t *testing.T) {
	t.Parallel()
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		r := startRedis(t)
		w := newWorld(t, func(dir string) string {
			return fmt.Sprintf("redis: {url: \"redis://%s/0\"}\n  journal: {path: %q}", r.Addr, filepath.Join(dir, "journal"))
		})
		w.run(t, func() {
			r.Stop()
			w.without(t)
			r.Restart(t)
			r.listen(t)
			require.Eventually(t, func() bool {
				return w.send(t, http.MethodGet, "/v1/instruments?limit=1", "", nil).status == http.StatusOK
			}, 20*time.Second, 100*time.Millisecond, "the store is back")
		})
		s := w.collect(t)
		r.collect(t, s)
		s["everything that Redis ever had, opened"] = w.history(t, r.appended(t))
		w.judge(t, s)
	})
	t.Run("bbolt", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, func(dir string) string {
			return fmt.Sprintf("bolt: {path: %q}\n  journal: {path: %q}", filepath.Join(dir, "store.db"), filepath.Join(dir, "journal"))
		})
		w.run(t, func() {})
		s := w.collect(t)
		s["bbolt's file"] = w.read(t, "store.db")
		s["bbolt's file, opened"] = w.opened(t, "store.db")
		w.judge(t, s)
	})
}

// run sends everything. storeDown is in between, while there is something to store.
func (w *world) run(t *testing.T, storeDown func()) {
	t.Helper()
	c := &next{}
	id := w.stored(t, c)
	w.succeeded(t)
	w.told(t, id)
	w.event = w.anEvent(t)
	w.flood(t, c, id)
	w.notices(t, c)
	w.refused(t, c)
	w.raw(t, c)
	storeDown()
	w.failing(t, c, w.stored(t, c))
	time.Sleep(2 * time.Second) // the reconciler looks after what is unknown
	w.used(t, id, c)
	w.eventsAgain(t)
}

// without sends cards while there is no store.
func (w *world) without(t *testing.T) {
	t.Helper()
	for i, number := range canaries() {
		a := w.send(t, http.MethodPost, "/v1/instruments", fmt.Sprintf("without-%d", i), create("cus-1", card(number)))
		require.Equal(t, http.StatusServiceUnavailable, a.status, "%v", a.body)
		w.send(t, http.MethodGet, "/v1/customers/cus-1", "", nil)
	}
}

func (w *world) judge(t *testing.T, s sinks) {
	t.Helper()
	s.areRead(t)
	s.clean(t)
	planted := s.seesWhatIsPlanted(t)
	size := 0
	for _, text := range s {
		size += len(text)
	}
	operations, failures := visited(t, s["/metrics"])
	t.Logf("%d requests (%v) of %d operations, which failed in %d ways by status, %d sinks of %d KiB: no number; %d planted forms, all found", w.sent, w.status, operations, failures, len(s), size>>10, planted)
}
