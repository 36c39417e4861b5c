package tenants

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway/httpapi"
)

// TestTheMatrix walks operations x ways to name a subject x callers.
func TestTheMatrix(t *testing.T) {
	t.Parallel()
	ops, _ := document(t, filled(t))
	var cells atomic.Int64
	t.Cleanup(func() { t.Logf("%d cells of %d operations", cells.Load(), len(ops)) })
	for id, rows := range table() {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			w := filled(t)
			for _, row := range rows {
				cells.Add(int64(w.refusals(t, ops[id], row)))
				cells.Add(int64(w.strangers(t, row)))
			}
		})
	}
}

// refusals are the callers that may not: nothing is stored, sent or told.
func (w *world) refusals(t *testing.T, op documented, row cell) (cells int) {
	t.Helper()
	if op.scope == "" {
		return w.everybody(t, op, row)
	}
	before, sent := w.everything(t), w.sent()
	for name, s := range map[string]subject{"own": w.of(acme), "another's": w.of(globex), "nobody's": never()} {
		r := row.make(w, s)
		var answers []string
		for _, key := range notKeys() {
			r.key = key
			status, all, _ := w.send(t, r)
			require.Equal(t, http.StatusUnauthorized, status, "%s, %s: %s", row.name, name, all)
			answers = append(answers, all)
			cells++
		}
		require.Len(t, slices.Compact(answers), 1, "every bad key answers the same")
		r.key = w.keys[acme]
		inQuery := r
		inQuery.path += map[bool]string{true: "&", false: "?"}[strings.Contains(r.path, "?")] + "api_key=" + w.keys[acme]
		status, all, _ := w.send(t, inQuery)
		require.Equal(t, http.StatusUnauthorized, status, all)
		require.NotContains(t, all, w.keys[acme])
		cells++
		for _, scope := range httpapi.Scopes() {
			if scope == op.scope {
				continue
			}
			r.key = scoped(scope)
			status, all, _ := w.send(t, r)
			require.Equal(t, http.StatusForbidden, status, "%s, %s with %s: %s", row.name, name, scope, all)
			require.Contains(t, all, "insufficient_scope")
			cells++
		}
	}
	require.Equal(t, before, w.everything(t), "%s: who may not changes nothing", row.name)
	require.Equal(t, sent, w.sent(), "%s: who may not reaches no provider", row.name)
	return cells
}

// notKeys open nothing: no key, no key's form, nobody's key, and one that has ended.
func notKeys() []string {
	return []string{"", "nonsense", "pv_test_Nobody01_0123456789abcdefghijklmnopqrstuvwxyz", endedKey}
}

// everybody is who calls an operation that needs no key: a key makes no difference,
// whosever it is.
func (w *world) everybody(t *testing.T, op documented, row cell) (cells int) {
	t.Helper()
	before, sent := w.everything(t), w.sent()
	for _, s := range []subject{w.of(acme), w.of(globex), never()} {
		var answers []string
		for _, key := range append(notKeys(), w.keys[acme], w.keys[globex], scoped(httpapi.InstrumentsRead)) {
			r := row.make(w, s)
			r.key = key
			_, all, _ := w.send(t, r)
			answers = append(answers, blind(all, s))
			cells++
		}
		require.Len(t, slices.Compact(answers), 1, "%s %s, %s: a key makes no difference", op.method, op.path, row.name)
	}
	require.Equal(t, sent, w.sent(), "%s: no provider is asked on behalf of who has no key", row.name)
	if row.own >= http.StatusBadRequest {
		require.Equal(t, before, w.everything(t), "%s: what is refused changes nothing", row.name)
	}
	return cells
}

// strangers are what is another tenant's and what never existed: the same bytes, and
// the other tenant's things stay as they are. Then the caller's own is what it is.
func (w *world) strangers(t *testing.T, row cell) (cells int) {
	t.Helper()
	other, nobody, own := w.of(globex), never(), w.of(acme)
	before := w.globexSees(t)
	ask := func(s subject) (int, string) {
		r := row.make(w, s)
		r.key = w.keys[acme]
		status, all, _ := w.send(t, r)
		cells++
		return status, all
	}
	status, theirs := ask(other)
	require.Equal(t, row.gone, status, "%s, another's: %s", row.name, theirs)
	named := row.make(w, other)
	for _, id := range []string{w.ids[globex+"0"], w.ids[globex+"1"], w.ids[globex+"2"], w.ids[globex+"3"], other.fingerprint, other.event, other.customer} {
		if !strings.Contains(named.path+named.body, id) {
			require.NotContains(t, theirs, id, "%s: nothing of the other tenant is shown", row.name)
		}
	}
	if row.code != "" {
		require.Contains(t, theirs, `"code":"`+row.code+`"`)
		require.NotContains(t, theirs, other.word, "%s: nothing of the other tenant is told", row.name)
	}
	status, none := ask(nobody)
	require.Equal(t, row.gone, status, "%s, nobody's: %s", row.name, none)
	switch {
	case none == theirs:
	case row.code != "":
		require.Fail(t, "not the same bytes", "%s\n%s\n%s", row.name, none, theirs)
	default:
		require.Equal(t, blind(none, nobody), blind(theirs, other), "%s: the same but for the subject's name", row.name)
	}
	require.Equal(t, before, w.globexSees(t), "%s: the other tenant's things are as they were", row.name)
	status, mine := ask(own)
	require.Equal(t, row.own, status, "%s, own: %s", row.name, mine)
	return cells
}

// globexSees is what the other tenant can read of its own.
func (w *world) globexSees(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	s := w.of(globex)
	for _, path := range []string{
		"/v1/instruments?sort=created_at", "/v1/instruments/" + s.instrument + "?read=stored", "/v1/customers/" + s.customer,
		"/v1/customers/cus-of-nobody", "/v1/operations?state=unknown", "/v1/operations/" + s.operation, "/v1/operations?idempotency_key=" + s.key,
		"/v1/events?limit=100", "/v1/events/" + s.event,
	} {
		_, all, _ := w.send(t, request{method: http.MethodGet, path: path, key: w.keys[globex]})
		out.WriteString(all)
	}
	return out.String()
}

// TestAnotherTenantsCursorIsNoCursor uses cursors where they do not belong.
func TestAnotherTenantsCursorIsNoCursor(t *testing.T) {
	t.Parallel()
	w := filled(t)
	cells := 0
	for name, list := range lists() {
		own, _, _ := w.send(t, list(w, acme, w.ids[acme+name]))
		require.Contains(t, []int{http.StatusOK, http.StatusAccepted}, own, name)
		var answers []string
		for _, cursor := range []string{w.ids[globex+name], "bm9uc2Vuc2Utbm9uc2Vuc2U", "x"} {
			status, all, _ := w.send(t, list(w, acme, cursor))
			require.Equal(t, http.StatusBadRequest, status, "%s: %s", name, all)
			require.Contains(t, all, "invalid_cursor")
			answers = append(answers, all)
			cells++
		}
		require.Len(t, slices.Compact(answers), 1, "%s: another's cursor answers as a made up one", name)
		cells++
	}
	t.Logf("%d cells", cells)
}

// TestOtherVerbs sends every verb that a path does not have: 405, whoever asks and
// whatever the path names.
func TestOtherVerbs(t *testing.T) {
	t.Parallel()
	w := filled(t)
	_, doc := document(t, w)
	before, cells := w.everything(t), 0
	param := regexp.MustCompile(`\{[a-z_]+\}`)
	for path, item := range doc.Paths.Map() {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"} {
			if item.Operations()[method] != nil || takenForID(doc, method, path) {
				continue // served
			}
			var answers []string
			for _, named := range []string{w.of(globex).instrument, neverID} {
				for _, key := range []string{w.keys[acme], ""} {
					status, all, _ := w.send(t, request{method: method, path: param.ReplaceAllString(path, named), key: key})
					require.Equal(t, http.StatusMethodNotAllowed, status, "%s %s: %s", method, path, all)
					answers = append(answers, all)
					cells++
				}
			}
			require.Len(t, slices.Compact(answers), 1, "%s %s", method, path)
		}
	}
	require.Equal(t, before, w.everything(t))
	t.Logf("%d cells", cells)
}

// takenForID reports whether the last part of a path is read as an id with this method:
// GET /v1/events/replay asks for an event.
func takenForID(doc *openapi3.T, method, path string) bool {
	parent := path[:strings.LastIndex(path, "/")+1]
	for other, item := range doc.Paths.Map() {
		rest, under := strings.CutPrefix(other, parent)
		if under && other != path && strings.HasPrefix(rest, "{") && !strings.Contains(rest, "/") && item.Operations()[method] != nil {
			return true
		}
	}
	return false
}

// TestWhatIsNotKnownIsRefused sends every operation a parameter and members that it
// does not know, and members that are only read.
func TestWhatIsNotKnownIsRefused(t *testing.T) {
	t.Parallel()
	w := filled(t)
	ops, _ := document(t, w)
	before, sent, cells := w.everything(t), w.sent(), 0
	for id, rows := range table() {
		r := rows[0].make(w, w.of(acme))
		if r.key = w.keys[acme]; ops[id].scope == "" {
			continue
		}
		unknown := r
		unknown.path += map[bool]string{true: "&", false: "?"}[strings.Contains(r.path, "?")] + "nonsense=1"
		status, all, _ := w.send(t, unknown)
		require.Equal(t, http.StatusUnprocessableEntity, status, "%s: %s", id, all)
		cells++
		if !ops[id].body {
			if ops[id].method == http.MethodPost {
				unknown = r
				unknown.body = `{"nonsense":1}`
				status, all, _ = w.send(t, unknown)
				require.GreaterOrEqual(t, status, 400, "%s: %s", id, all)
				cells++
			}
			continue
		}
		for _, member := range []string{"nonsense", "tenant", "__proto__", "id", "status", "created_at", "updated_at", "provider_tokens", "object"} {
			unknown = r
			unknown.body = `{"` + member + `":"x"`
			if rest := strings.TrimPrefix(r.body, "{"); rest != "" && rest != "}" {
				unknown.body += "," + rest
			} else {
				unknown.body += "}"
			}
			status, all, _ = w.send(t, unknown)
			require.Contains(t, []int{http.StatusBadRequest, http.StatusUnprocessableEntity}, status, "%s with %s: %s", id, member, all)
			require.Contains(t, all, `"pointer":"/`+member+`"`, "%s", id)
			cells++
		}
	}
	require.Equal(t, before, w.everything(t))
	require.Equal(t, sent, w.sent())
	t.Logf("%d cells", cells)
}

// TestAPlaceAtAProviderIsOneTenants has one tenant name what another one has at a
// provider that both share: as an instrument to adopt, and as its customer's reference.
func TestAPlaceAtAProviderIsOneTenants(t *testing.T) {
	t.Parallel()
	w := filled(t)
	theirs := w.does(t, request{method: http.MethodGet, path: "/v1/instruments/" + w.ids[globex+"0"], key: w.keys[globex]})
	card := regexp.MustCompile(`card_\d+`).FindString(fmt.Sprint(theirs["provider_tokens"]))
	require.NotEmpty(t, card)
	known := w.does(t, request{method: http.MethodGet, path: "/v1/customers/" + customerOf(globex), key: w.keys[globex]})
	customer := regexp.MustCompile(`first:(\S+?)\]`).FindStringSubmatch(fmt.Sprint(known["provider_references"]))[1]
	before := w.globexSees(t)
	w.does(t, request{
		method: http.MethodPut, path: "/v1/customers/thief-mapped", key: w.keys[acme], body: `{"provider_references":{"first":"` + customer + `"}}`,
	})
	// What the provider says of a reference that it does not know is in the answer, and
	// nobody is asked about one that is another tenant's: the bytes differ, the code does not.
	adopt := func(as, card, key string) {
		status, all, _ := w.send(t, request{
			method: http.MethodPost, path: "/v1/instruments", key: w.keys[acme], headers: []string{"Idempotency-Key", key},
			body: `{"customer_id":"` + as + `","sources":[{"type":"provider_reference","provider":"first","references":{"card":"` + card + `"}}]}`,
		})
		require.Equal(t, http.StatusNotFound, status, all)
		require.Contains(t, all, `"code":"not_found","outcome":"rejected","retry":"never"`)
		require.NotContains(t, all, globex)
	}
	for _, as := range []string{"thief", "thief-mapped"} {
		adopt(as, "card_999999", as+"1")
		adopt(as, card, as+"2")
	}
	_, all, _ := w.send(t, request{method: http.MethodGet, path: "/v1/customers/thief-mapped/instruments", key: w.keys[acme]})
	require.Contains(t, all, `"data":[]`, "a list adopts nothing that another tenant has")
	require.Equal(t, before, w.globexSees(t))
}
