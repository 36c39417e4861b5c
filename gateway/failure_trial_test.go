package gateway_test

import (
	"net/http"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters/fault"
	"github.com/polyvault/polyvault/normalize"
)

// learned checks what the breaker was told since the trial began.
func (tr *trial) learned() {
	tr.tb.Helper()
	now, got := tr.counts(), []told{}
	for i, what := range []told{success, failure, excluded} {
		if now[i] != tr.told[i] {
			got = append(got, what)
		}
	}
	want := []told{tr.class.breaker}
	if tr.class.breaker == nothing {
		want = []told{}
	}
	require.Equal(tr.tb, want, got, "what the breaker was told")
}

// reached checks how many requests the provider got: none unless it is one that reaches it.
func (tr *trial) reached() {
	tr.tb.Helper()
	n := tr.lines[tr.provider].requests("", "") - tr.sent
	if tr.class.reaches {
		require.Positive(tr.tb, n, "the provider was asked")
	} else {
		require.Zero(tr.tb, n, "the provider got a request")
	}
}

// nobodyElse checks that no other provider heard of it.
func (tr *trial) nobodyElse() {
	tr.tb.Helper()
	for name, l := range tr.lines {
		if name != tr.provider {
			require.Empty(tr.tb, l.arrived, "%s was called", name)
		}
	}
}

// problem checks an answer that is one.
func (tr *trial) problem(r reply, keyed bool) {
	tr.tb.Helper()
	c := tr.class
	require.Equal(tr.tb, statusOf(c.code), r.status, r.raw)
	require.Equal(tr.tb, string(c.code), r.str("code"), r.raw)
	require.Equal(tr.tb, string(c.outcome), r.str("outcome"), r.raw)
	retry := normalize.RetryNever
	switch {
	case c.outcome == normalize.Unknown && keyed:
		retry = normalize.RetrySameKey
	case c.outcome == normalize.Unknown, c.outcome == normalize.NotSent, c.code == normalize.Conflict && !keyed:
		retry = normalize.RetrySafe
	}
	require.Equal(tr.tb, string(retry), r.str("retry"), r.raw)
	require.NotContains(tr.tb, r.raw, "4000000000000", "a card number")
}

// statusOf is the table of the API's documentation.
func statusOf(c normalize.Code) int {
	return map[normalize.Code]int{
		normalize.NotFound: 404, normalize.InstrumentDeleted: 410, normalize.Conflict: 409, normalize.DefaultInstrumentInUse: 409,
		normalize.InvalidState: 409, normalize.InvalidField: 422, normalize.ProviderRateLimited: 429, normalize.ProviderError: 502,
		normalize.ProviderBadResponse: 502, normalize.ProviderMisconfigured: 502, normalize.ProviderUnavailable: 503,
		normalize.ProviderTimeout: 504,
	}[c]
}

// attempted checks the first attempt of a list of them.
func (tr *trial) attempted(list []object) {
	tr.tb.Helper()
	want := tr.class.attempt
	if want == "" {
		want = tr.class.code
	}
	require.NotEmpty(tr.tb, list)
	code, _ := list[0]["code"].(string)
	require.Equal(tr.tb, []any{tr.provider, string(tr.class.outcome), string(want)},
		[]any{list[0]["provider"], list[0]["outcome"], code}, "the first attempt")
}

// create is at two providers: only what is provably not sent goes on to the second.
func (tr *trial) create() {
	t := tr.tb
	a := tr.again()
	tr.learned()
	tr.reached()
	switch tr.class.outcome {
	case normalize.NotSent:
		a.must(t, http.StatusCreated)
		require.Equal(t, tr.next, a.header.Get("Gateway-Provider"))
		require.Equal(t, tr.stored, tr.live(tr.provider))
		require.Equal(t, 1, tr.live(tr.next))
		if tr.class.breaker != nothing {
			tr.attempted(tr.operation().list("attempts"))
		}
		return
	case normalize.Rejected:
		tr.problem(a, true)
		tr.attempted(a.list("attempts"))
		sent := tr.lines[tr.provider].requests("", "")
		again := tr.again()
		require.Equal(t, []any{a.status, "true", a.str("code")}, []any{again.status, again.header.Get("Idempotent-Replayed"), again.str("code")})
		require.Equal(t, sent, tr.lines[tr.provider].requests("", ""), "a rejection is saved")
	default:
		want := http.StatusAccepted
		if tr.class.executed {
			want = http.StatusCreated // found at once, and then the attempt is one that succeeded
			tr.class.outcome, tr.class.code = normalize.Applied, ""
		}
		a.must(t, want)
		tr.attempted(tr.operation().list("attempts"))
		tr.heal()
		time.Sleep(time.Minute)
		tr.again().must(t, http.StatusCreated)
		require.Equal(t, tr.stored+1, tr.live(tr.provider), "one instrument more")
	}
	tr.nobodyElse()
}

// again sends the create, for the first time or once more.
func (tr *trial) again() reply { return tr.failureWorld.create("key", shopper, 2, "") }

// createAlone is at one provider: what is not sent is told, and may be sent again.
func (tr *trial) createAlone() {
	t := tr.tb
	a := tr.failureWorld.create("key", shopper, 2, tr.provider)
	tr.learned()
	tr.reached()
	tr.problem(a, true)
	tr.attempted(a.list("attempts"))
	tr.heal()
	time.Sleep(time.Minute)
	tr.failureWorld.create("key", shopper, 2, tr.provider).must(t, http.StatusCreated)
	require.Equal(t, tr.stored+1, tr.live(tr.provider))
	tr.nobodyElse()
}

// createStep is a step before the instrument itself: what is not known of it is no
// effect that matters, so another provider may be tried.
func (tr *trial) createStep() {
	t := tr.tb
	customer := shopper
	if tr.op.name == opCustomer {
		customer = "cus-new"
	}
	a := tr.failureWorld.create("key", customer, 2, "")
	if !tr.op.exists(tr.provider) {
		// The provider makes no customers: that is said before anything is sent.
		a.must(t, http.StatusCreated)
		require.Equal(t, tr.next, a.header.Get("Gateway-Provider"))
		require.Equal(t, tr.sent, tr.lines[tr.provider].requests("", ""))
		return
	}
	tr.learned()
	tr.reached()
	s := op{name: opCreate}.spoiler(tr.provider)
	require.Equal(t, 2, tr.lines[tr.provider].requests(s.method, s.path), "nothing was sent to store it")
	if tr.class.outcome == normalize.Rejected {
		tr.problem(a, true)
		tr.attempted(a.list("attempts"))
		tr.nobodyElse()
		return
	}
	a.must(t, http.StatusCreated)
	require.Equal(t, tr.next, a.header.Get("Gateway-Provider"))
	require.Equal(t, tr.stored, tr.live(tr.provider))
	if tr.class.breaker != nothing {
		tr.class.outcome = normalize.NotSent
		tr.attempted(tr.operation().list("attempts"))
	}
}

// change is an update, a deactivation or a deletion, under a key.
func (tr *trial) change() {
	t := tr.tb
	send := func() reply {
		path := "/v1/instruments/" + tr.target
		switch tr.op.name {
		case opUpdate:
			return tr.ask("PATCH", path, "change", object{"billing_address": object{"line1": "2 Side St"}})
		case opDefault:
			return tr.ask("PATCH", path, "change", object{"default": true})
		case opDeactivate:
			return tr.ask("POST", path+"/deactivate", "change", nil)
		case opVault:
			return tr.ask("DELETE", path+"?scope=vault", "change", nil)
		default:
			return tr.ask("DELETE", path, "change", nil)
		}
	}
	a := send()
	if !tr.op.exists(tr.provider) {
		a.must(t, http.StatusOK)
		require.Equal(t, "deactivated", a.str("status"), "held by the gateway, without the provider")
		require.Equal(t, tr.sent, tr.lines[tr.provider].requests("", ""))
		return
	}
	tr.learned()
	tr.reached()
	if tr.class.outcome == normalize.Applied {
		require.Equal(t, 2, a.status/100, a.raw)
		tr.nobodyElse()
		return
	}
	tr.problem(a, true)
	tr.heal()
	time.Sleep(time.Minute)
	again := send()
	if tr.class.outcome == normalize.Rejected {
		require.Equal(t, []any{a.status, a.str("code")}, []any{again.status, again.str("code")}, "a rejection is saved")
	} else {
		require.Equal(t, 2, again.status/100, again.raw)
	}
	tr.nobodyElse()
}

// get answers what is stored, and says so, unless the provider itself speaks about the instrument.
func (tr *trial) get() {
	t := tr.tb
	a := tr.ask("GET", "/v1/instruments/"+tr.target, "", nil)
	tr.learned()
	tr.reached()
	if tr.class.outcome == normalize.Rejected && tr.class.breaker == success {
		tr.problem(a, false)
	} else {
		a.must(t, http.StatusOK)
		require.Equal(t, "true", a.header.Get("Gateway-Stale"))
	}
	tr.heal()
	time.Sleep(time.Minute)
	fresh := tr.ask("GET", "/v1/instruments/"+tr.target, "", nil).must(t, http.StatusOK)
	require.Empty(t, fresh.header.Get("Gateway-Stale"))
	require.Equal(t, "active", fresh.str("status"))
	tr.nobodyElse()
}

// list never fails for one provider: it shows what was last seen there.
func (tr *trial) list() {
	t := tr.tb
	a := tr.ask("GET", "/v1/customers/"+shopper+"/instruments", "", nil).must(t, http.StatusOK)
	tr.learned()
	tr.reached()
	require.Equal(t, true, a.body["incomplete"], a.raw)
	require.Len(t, a.list("data"), 2, a.raw)
	for _, s := range a.list("sources") {
		if s["provider"] == tr.provider {
			require.Equal(t, []any{"stored", string(tr.class.code)}, []any{s["status"], s["code"]}, a.raw)
		}
	}
}

// lookUp is what the reconciler asks about a create in doubt: that it gets no answer
// is never taken for absence.
func (tr *trial) lookUp() {
	t := tr.tb
	l, create, look := tr.lines[tr.provider], op{name: opCreate}.spoiler(tr.provider), tr.op.spoiler(tr.provider)
	l.standin.Faults.Add(fault.Rule{Method: create.method, Path: create.path, Fault: fault.CommitThenDrop})
	if s := l.spoiler; s != nil {
		s.method, s.path = look.method, look.path // the create itself gets through
	}
	tr.again().must(t, http.StatusAccepted)
	time.Sleep(5 * time.Second)
	require.Equal(t, "unknown", tr.operation().str("state"), "a look-up that fails proves nothing")
	tr.heal()
	time.Sleep(5 * time.Minute)
	require.Equal(t, "completed", tr.operation().str("state"))
	require.Equal(t, tr.stored+1, tr.live(tr.provider))
	tr.nobodyElse()
}
