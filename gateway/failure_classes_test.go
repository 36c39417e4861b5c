package gateway_test

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/polyvault/polyvault/adapters/fault"
	"github.com/polyvault/polyvault/normalize"
)

// told is what a provider's breaker learns of a call.
type told string

const (
	nothing  told = "nothing" // the call was not admitted, or not made
	failure  told = "failure"
	success  told = "success" // the provider answered, definitively
	excluded told = "excluded"
)

// class is one way in which a call to a provider can fail, and what it proves.
type class struct {
	name    string
	outcome normalize.Outcome
	code    normalize.Code // of the problem, and of the attempt unless that has its own
	breaker told

	attempt  normalize.Code // of the attempt; "" for code
	executed bool           // the provider does what it was asked for, and only its answer is lost
	reaches  bool           // the provider gets the request
	status   int            // what the provider answers; 0 if that is not the point

	shape shaping
	meet  func(*failureWorld, op) // makes the next requests of the operation meet it
}

// classes are all of them, by what they prove.
func classes() []class {
	return slices.Concat(refusedHere(), unsent(), declaredUnexecuted(), rejections(), ambiguities())
}

// refusedHere are refused by the gateway itself, before the provider is called.
func refusedHere() []class {
	out := []class{
		{name: "breaker open", attempt: "breaker_open", shape: touchy, meet: func(w *failureWorld, o op) { w.trip(o.reads) }},
		{name: "half-open full", attempt: "breaker_open", shape: touchy, meet: func(w *failureWorld, o op) { w.trip(o.reads); w.reopen(); w.occupy(o.reads) }},
		{name: "bulkhead full", attempt: "bulkhead_full", shape: narrow, meet: func(w *failureWorld, o op) { w.occupy(o.reads) }},
	}
	for i := range out {
		out[i].outcome, out[i].code, out[i].breaker = normalize.NotSent, normalize.ProviderUnavailable, nothing
	}
	return out
}

// unsent are those in which no usable connection was got.
func unsent() []class {
	out := []class{
		{name: "the deadline is over before a connection", meet: by(noTime)},
		{name: "DNS: no such host", meet: by(noSuchHost)},
		{name: "dial refused", meet: by(dialRefused)},
		{name: "dial without an answer", meet: by(dialHangs)},
		{name: "TLS handshake: no TLS there", meet: by(noTLS)},
		{name: "TLS handshake: silence", meet: by(silentTLS)},
		{name: "TLS verification: unknown authority", meet: by(unknownAuthority)},
		{name: "proxy refuses CONNECT", meet: by(badProxy)},
		{name: "no connection free in the pool", meet: by(poolExhausted)},
	}
	for i := range out {
		out[i].outcome, out[i].code, out[i].breaker = normalize.NotSent, normalize.ProviderUnavailable, failure
	}
	return out
}

// declaredUnexecuted are refused by the provider before it executes anything, where
// its documentation says so: CyberSource's does not.
func declaredUnexecuted() []class {
	return []class{
		{
			name: "429 in the provider's own form", outcome: normalize.NotSent, code: normalize.ProviderRateLimited, breaker: excluded,
			reaches: true, status: 429, meet: byFault(fault.Rule{Fault: fault.RateLimited}),
		},
		{
			name: "503 with Retry-After", outcome: normalize.Unknown, code: normalize.ProviderError, breaker: failure,
			reaches: true, status: 503, meet: byAnswer(unavailableUntil),
		},
	}
}

// rejections are definitive: 4xx in the provider's own error form.
func rejections() []class {
	out := []class{
		{status: 400, code: normalize.InvalidField, breaker: success},
		{status: 401, code: normalize.ProviderMisconfigured, breaker: excluded},
		{status: 403, code: normalize.ProviderMisconfigured, breaker: excluded},
		{status: 404, code: normalize.InstrumentDeleted, breaker: success},
		{status: 409, code: normalize.Conflict, breaker: success},
		{status: 422, code: normalize.InvalidField, breaker: success},
	}
	for i, c := range out {
		out[i].name, out[i].outcome, out[i].reaches = fmt.Sprintf("%d in the provider's own form", c.status), normalize.Rejected, true
		out[i].meet = byAnswer(ownError(c.status))
	}
	return out
}

// ambiguities prove nothing: a connection was got, and then something went wrong.
func ambiguities() []class {
	const (
		timeout = normalize.ProviderTimeout
		bad     = normalize.ProviderBadResponse
		failed  = normalize.ProviderError
	)
	out := []class{
		{name: "no answer", code: timeout, meet: byFault(fault.Rule{Fault: fault.Hang})},
		{name: "no answer after it was done", code: timeout, executed: true, meet: byFault(fault.Rule{Fault: fault.CommitThenHang})},
		{name: "an answer too slow", code: timeout, executed: true, meet: byFault(fault.Rule{Fault: fault.SlowBody})},
		{name: "EOF", code: bad, meet: byFault(fault.Rule{Fault: fault.Reset})},
		{name: "EOF after it was done", code: bad, executed: true, meet: byFault(fault.Rule{Fault: fault.CommitThenDrop})},
		{name: "reset after it was done", code: bad, executed: true, meet: resetAfter},
		{name: "truncated", code: bad, executed: true, meet: byFault(fault.Rule{Fault: fault.Truncate})},
		{name: "100 MB", code: bad, executed: true, meet: byFault(fault.Rule{Fault: fault.HugeBody})},
		{name: "2xx, malformed JSON", code: bad, executed: true, status: 200, meet: byFault(fault.Rule{Fault: fault.MalformedJSON})},
		{name: "2xx, HTML", code: bad, executed: true, status: 200, meet: byFault(fault.Rule{Fault: fault.HTML})},
		{name: "2xx without a reference", code: bad, status: 201, meet: byAnswer(emptyObject)},
		{name: "redirect", code: bad, status: 307, meet: byAnswer(redirect)},
		{name: "408", code: timeout, status: 408, meet: byAnswer(ownError(408))},
		{name: "a foreign 400", code: bad, status: 400, meet: byAnswer(foreign(400))},
		{name: "a foreign 404", code: bad, status: 404, meet: byAnswer(foreign(404))},
		{name: "a foreign 422", code: bad, status: 422, meet: byAnswer(foreign(422))},
	}
	for _, status := range []int{500, 502, 503, 504, 507, 520, 529, 599} {
		code := failed
		if status == http.StatusGatewayTimeout {
			code = timeout
		}
		out = append(out,
			class{name: fmt.Sprint(status), code: code, status: status, meet: byFault(fault.Rule{Fault: fault.Status, Status: status})},
			class{
				name: fmt.Sprintf("%d after it was done", status), code: code, status: status, executed: true,
				meet: byFault(fault.Rule{Fault: fault.StatusAfterCommit, Status: status}),
			})
	}
	for i := range out {
		out[i].outcome, out[i].breaker, out[i].reaches = normalize.Unknown, failure, true
	}
	return out
}

// exception is where a provider's documentation, or an operation's nature, gives a
// class another meaning than its row. "" stands for all of them.
type exception struct {
	provider, op, class string
	change              func(*class)
	why                 string
}

func means(o normalize.Outcome, c normalize.Code, b told) func(*class) {
	return func(x *class) { x.outcome, x.code, x.breaker = o, c, b }
}

func code(c normalize.Code) func(*class) { return func(x *class) { x.code = c } }

// done makes a class a success.
func done(x *class) { x.outcome, x.code, x.breaker, x.executed = normalize.Applied, "", success, true }

// exceptions apply in their order.
func exceptions() []exception {
	const own = " in the provider's own form"
	misconfigured := means(normalize.Rejected, normalize.ProviderMisconfigured, excluded)
	out := []exception{
		{cyb, "", "429" + own, means(normalize.Unknown, normalize.ProviderRateLimited, excluded), "nothing says that it was not executed"},
		{"", opCreate, "404" + own, code(normalize.NotFound), "it is no instrument of the gateway's that is not there"},
		{"", opCustomer, "404" + own, code(normalize.NotFound), "likewise"},
		{"", opIdentifier, "404" + own, code(normalize.NotFound), "likewise"},
		{"", opList, "404" + own, code(normalize.NotFound), "it is the customer that is not there"},
		{cyb, opCreate, "404" + own, code(normalize.InvalidField), "the path names the customer"},
		{big, opCreate, "404" + own, misconfigured, "the path names the store only"},
		{"", opDelete, "404" + own, done, "it is gone, as was wanted"},
		{"", opVault, "404" + own, done, "it is gone, as was wanted"},
		{cyb, opDelete, "409" + own, code(normalize.DefaultInstrumentInUse), "the documented meaning of 409 there"},
		{cyb, opVault, "409" + own, code(normalize.DefaultInstrumentInUse), "the documented meaning of 409 there"},
		{big, opDelete, "422" + own, code(normalize.InvalidState), "the vault does not let go of it"},
		{big, opVault, "422" + own, code(normalize.InvalidState), "the vault does not let go of it"},
	}
	for _, p := range []string{cyb, big} {
		for _, op := range []string{opDelete, opVault} {
			for _, c := range []string{
				"2xx, malformed JSON", "2xx, HTML", "2xx without a reference", "an answer too slow", "truncated", "100 MB",
			} {
				out = append(out, exception{p, op, c, done, "the status, 204, says all, and has no body"})
			}
		}
	}
	return out
}

// at is the class as it is for one provider's operation.
func (c class) at(provider, op string) class {
	for _, x := range exceptions() {
		if (x.provider == "" || x.provider == provider) && (x.op == "" || x.op == op) && x.class == c.name {
			x.change(&c)
		}
	}
	return c
}
