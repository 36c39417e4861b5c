package rebilly

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

func TestFilters(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ clauses, want string }{ // want "" is UnsupportedOperation
		{"status:active", "status:active,inactive"},
		{"status:!active", "status:!active,!inactive"},
		{"status:verification_needed,expired", "status:verification-needed,expired"},
		{"status:pending", ""},
		{"status:!deactivated;type:card", "status:!deactivated;method:payment-card"},
		{"type:bank_account,paypal", "method:ach,paypal"},
		{"type:other", "method:!payment-card,!ach,!paypal"},
		{"type:!other", "method:payment-card,ach,paypal"},
		{"type:card,other", "method:!ach,!paypal"},
		{"type:!card,!other", "method:ach,paypal"},
		{"type:card,bank_account,paypal,other", ""},
		{"type:crypto", ""},
		{"brand:visa,mastercard,amex", "brand:Visa,MasterCard,American Express"},
		{"brand:!diners", "brand:!Diners Club"},
		{"brand:other", "brand:Solo,Electron,Voyager,Switch,Laser,AstroPay Card"},
		{"brand:elo", ""},
		{"bin:411111;last4:1111", "bin:411111;last4:1111"},
		{"last4:1000..2000", ""},
		{"exp_month:1,02", "expMonth:1,2"},
		{"exp_year:2030..2040", "expYear:2030..2040"},
		{"exp_year:2030..", "expYear:2030.."},
		{"exp_year:..2040", "expYear:..2040"},
		{"created_at:2026-01-01T00:00:00Z..2026-02-01T00:00:00+01:00", "createdTime:2026-01-01T00:00:00Z..2026-01-31T23:00:00Z"},
		{"created_at:2026-01-01T00:00:00Z..;created_at:2026-01-02T00:00:00Z..", "createdTime:2026-01-02T00:00:00Z.."},
		{"created_at:2026-01-01T00:00:00Z", "createdTime:2026-01-01T00:00:00Z"},
		{"updated_at:..2026-02-01T00:00:00Z", "updatedTime:..2026-02-01T00:00:00Z"},
		{"billing_address.country:US,CA", "billingAddress.country:US,CA"},
		{"metadata.tier:gold", "customFields.tier:gold"},
		{"metadata.a.b:gold", ""},
		{"customer_id:shopper", ""},
		{"provider:rebilly-main", ""},
		{"default:true", ""},
		{"fingerprint:fp_1", ""},
		{"expires_before:2030-01-01", ""},
	} {
		clauses, ok := normalize.ParseFilter(c.clauses)
		require.True(t, ok, c.clauses)
		f, err := newFilter("cus_1", clauses)
		if c.want == "" {
			require.NotNil(t, err, c.clauses)
			require.Equal(t, normalize.UnsupportedOperation, err.Code, c.clauses)
			require.Equal(t, normalize.NotSent, err.Outcome)
			continue
		}
		require.Nil(t, err, c.clauses)
		require.Equal(t, "customerId:cus_1;"+c.want, f.String(), c.clauses)
	}
}

// TestNoValueBecomesACondition: the filter language has no escaping.
func TestNoValueBecomesACondition(t *testing.T) {
	t.Parallel()
	evil := []string{"a;customerId:b", "a,b", "!a", "a!", "@list", "a@b", "a..b", "..", ".", "a.", ".a", "", "a\nb", "a\x00", "\xff", strings.Repeat("a", 256)}
	for _, v := range evil {
		for _, field := range []string{"bin", "last4", "metadata.tier", "billing_address.country", "exp_year", "created_at", "updated_at"} {
			_, err := newFilter("", []normalize.Clause{{Field: field, Values: []string{"2030", v}}})
			require.NotNil(t, err, "%s:%q", field, v)
			require.Equal(t, normalize.InvalidField, err.Code, "%s:%q", field, v)
			require.Equal(t, normalize.NotSent, err.Outcome)
			require.NotContains(t, err.Error(), "customerId:b")
		}
		for _, field := range []string{"exp_year", "created_at"} {
			_, err := newFilter("", []normalize.Clause{{Field: field, From: "x" + v}})
			require.NotNil(t, err, "%s:%q..", field, v)
		}
		if v == "" {
			continue
		}
		_, err := newFilter(v, nil)
		require.NotNil(t, err, "customer %q", v)
		require.Equal(t, "/customer_id", err.Fields[0].Pointer)
	}
	_, err := newFilter("", []normalize.Clause{{Field: "exp_year", Values: []string{}}})
	require.NotNil(t, err, "no values at all")
}

func TestSortKeys(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "createdTime", "created_at": "createdTime", "-created_at": "-createdTime", "-updated_at,created_at": "-updatedTime,createdTime",
		"last_payment_at": "lastPaymentTime", "exp_year": "", "--created_at": "", "createdTime": "",
	} {
		var keys []string
		if in != "" {
			keys = strings.Split(in, ",")
		}
		got, err := sortKeys(keys)
		require.Equal(t, want, got)
		require.Equal(t, want == "", err != nil)
		if err != nil {
			require.Equal(t, normalize.UnsupportedOperation, err.Code)
		}
	}
}

func TestBadCursorsAreRefused(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"x", "!!!", b64(`{}`), b64(`{"o":-1}`), b64(`{"o":"1"}`), b64(`{"o":1,"x":2}`), b64(`{"o":1}{}`), b64(`{"a":"yesterday"}`), b64(`[]`), b64(`null`),
		b64(`{"o":1,"t":-1}`), b64(`{"o":1,"n":-2}`), strings.Repeat("A", maxCursor+1),
	} {
		_, _, err := listQuery(SearchInput{ListInput: adapters.ListInput{Cursor: s}})
		require.NotNil(t, err, "%.40s", s)
		require.Equal(t, normalize.InvalidCursor, err.Code, "%.40s", s)
		require.Equal(t, normalize.NotSent, err.Outcome)
	}
	_, _, err := listQuery(SearchInput{ListInput: adapters.ListInput{Limit: 1001}})
	require.Equal(t, normalize.OutOfRange, err.Code)
}

func TestACursorNarrowsTheRangeThatIsThere(t *testing.T) {
	t.Parallel()
	next := cursor{After: "2026-01-05T00:00:00Z"}.encode()
	for _, c := range []struct{ sort, filter, want string }{ // want "" is UnsupportedOperation
		{"created_at", "", "createdTime:2026-01-05T00:00:00Z.."},
		{"-created_at", "", "createdTime:..2026-01-05T00:00:00Z"},
		{"created_at", "created_at:2026-01-01T00:00:00Z..2026-01-09T00:00:00Z", "createdTime:2026-01-05T00:00:00Z..2026-01-09T00:00:00Z"},
		{"-created_at", "created_at:2026-01-01T00:00:00Z..2026-01-09T00:00:00Z", "createdTime:2026-01-01T00:00:00Z..2026-01-05T00:00:00Z"},
		{"created_at", "created_at:!2026-01-06T00:00:00Z", ""},
		{"updated_at", "", ""},
	} {
		clauses, ok := normalize.ParseFilter(c.filter)
		require.True(t, ok)
		_, q, err := listQuery(SearchInput{ListInput: adapters.ListInput{Cursor: next, Sort: []string{c.sort}, Filter: clauses}})
		require.Equal(t, c.want == "", err != nil, c.filter)
		require.Equal(t, c.want, q.Get("filter"), c.filter)
	}
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func rowsAt(at time.Time, from, n int) []wireInstrument {
	var out []wireInstrument
	for i := range n {
		out = append(out, wireInstrument{ID: text("i" + string(rune('a'+from+i))), CreatedTime: text(at.Format(time.RFC3339))})
	}
	return out
}

func TestTheCursorBehindAPage(t *testing.T) {
	t.Parallel()
	at, later := noon, noon.Add(time.Second)
	one := append(rowsAt(at, 0, 2), rowsAt(later, 2, 1)...)
	require.Equal(t, cursor{Offset: 3, Last: stamp(later), Ties: 1}, cursor{}.next(one, 9, "created_at"), "a row count until the largest offset")
	require.Equal(t, cursor{Offset: 1000, Last: stamp(at), Ties: 7}, cursor{Offset: 998, Last: stamp(at), Ties: 5}.next(rowsAt(at, 0, 2), 3000, "created_at"))
	require.Equal(t, cursor{Offset: 1, Last: stamp(later), Ties: 1}, cursor{Last: stamp(at), Ties: 5}.next(rowsAt(later, 0, 1), 9, "created_at"), "ties end with their second")
	require.Equal(t, cursor{Offset: 5, After: stamp(at), Total: 3000, Seen: marks(rowsAt(at, 0, 2))},
		cursor{Offset: 999, Last: stamp(at), Ties: 5}.next(rowsAt(at, 0, 2), 3000, "-created_at"), "past it, the rows of the last second, less those seen")
	require.Equal(t, cursor{Offset: 1001, Last: stamp(at), Ties: 2}, cursor{Offset: 999}.next(rowsAt(at, 0, 2), 3000, "updated_at"), "other orders cannot go on")
	past := cursor{After: stamp(at), Total: 3000, Seen: marks(rowsAt(at, 0, 1))}
	require.Equal(t, cursor{After: stamp(later), Total: 3000, Seen: marks(rowsAt(later, 2, 1))}, past.next(one, 5, "created_at"))
	require.Equal(t, cursor{Offset: 2, After: stamp(at), Total: 3000}, past.next(rowsAt(at, 0, 2), 5, "created_at"), "a page of one second is counted through")
	for _, c := range []cursor{past, {Offset: 3, Last: stamp(at), Ties: 2}} {
		got, ok := decodeCursor(c.encode())
		require.True(t, ok)
		require.Equal(t, c, got)
	}
}

// An empty list proves that an instrument is absent, and an absent one may be stored
// again. So rows that cannot be read are never read as none.
func TestRowsThatCannotBeReadAreNoEmptyList(t *testing.T) {
	t.Parallel()
	for body, bad := range map[string]bool{`[null,null]`: true, `[{}]`: true, `[7]`: true, `[{"id":".."}]`: true, `[]`: false, `[null,{"id":"inst_1"}]`: false} {
		_, err := scripted(t, body).List(t.Context(), adapters.ListInput{})
		require.Equal(t, bad, normalize.CodeOf(err) == normalize.ProviderBadResponse, body)
	}
}

func TestAnAnswerAboutAnotherInstrumentIsNone(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"id":"inst_2","method":"payment-card"}`, `{"id":7}`, `{}`} {
		_, err := scripted(t, body).Get(t.Context(), normalize.References{"instrument": "inst_1"})
		require.Equal(t, normalize.ProviderBadResponse, normalize.CodeOf(err), body)
	}
}

// scripted is an adapter whose provider answers everything with body.
func scripted(t *testing.T, body string) *Adapter {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
	t.Cleanup(srv.Close)
	a, err := Config{Base: srv.URL, APIKey: normalize.NewSecret("sk_sandbox_x")}.Open(adapters.Env{HTTP: srv.Client()})
	require.NoError(t, err)
	out, ok := a.(*Adapter)
	require.True(t, ok)
	return out
}

// FuzzCursor: a forged cursor is refused or read, and leads to a query within Rebilly's limits.
func FuzzCursor(f *testing.F) {
	f.Add(cursor{Offset: 5}.encode())
	f.Add(cursor{After: stamp(noon), Seen: []string{"a"}, Total: -1}.encode())
	f.Add(b64(`{"o":99999999999999999999}`))
	f.Fuzz(func(t *testing.T, s string) {
		_, q, err := listQuery(SearchInput{ListInput: adapters.ListInput{Cursor: s, Customer: "cus_1", Limit: 10}})
		if err != nil {
			require.Equal(t, normalize.NotSent, err.Outcome)
			return
		}
		require.True(t, q.Get("filter") == "customerId:cus_1" || strings.HasPrefix(q.Get("filter"), "customerId:cus_1;createdTime:"))
		require.LessOrEqual(t, len(q.Get("offset")), 4)
	})
}
