package httpapi

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/audit"
	"github.com/polyvault/polyvault/normalize"
)

// AuditLog is where it is told who did what, as [audit.Log] is.
type AuditLog interface {
	// Append adds entries. What fails is told by the log: the answer is given all the same.
	Append(entries ...audit.Entry) error
	// Ready fails if nothing should be done that cannot be told now.
	Ready() error
}

// auditor tells the audit log of answers.
type auditor struct {
	log       AuditLog // nil for none
	table     map[string]auditing
	strangers strangers
}

func newAuditor(log AuditLog, now func() time.Time) auditor {
	return auditor{log: log, table: auditTable(), strangers: strangers{now: now}}
}

// of is what is told of an operation: one that is not in the table is told of always.
func (a *auditor) of(id string) auditing {
	if what, ok := a.table[id]; ok {
		return what
	}
	return auditing{id, auditAll}
}

// watch has the answer told before it is sent: a log that waits for the disk holds it up
// until then.
func (a *auditor) watch(c echo.Context, x *exchange, op operation) {
	if _, named := a.table[x.operation]; a.log == nil || op.scope == public && !named {
		return
	}
	x.told = &told{}
	c.Response().Before(func() {
		if entries := a.entries(c, x, a.of(x.operation)); len(entries) > 0 {
			_ = a.log.Append(entries...) // told by the log itself
		}
	})
}

// ready refuses what would change something while that cannot be told.
func (a *auditor) ready(id string) error {
	if a.log == nil || a.of(id).which != auditChanges {
		return nil
	}
	if err := a.log.Ready(); err != nil {
		return &normalize.Error{
			Code: normalize.AuditUnavailable, Outcome: normalize.NotSent, Err: err,
			Msg: "the gateway's audit log cannot be written, and nothing is changed without it",
		}
	}
	return nil
}

// told is what the handlers note for the audit log.
type told struct {
	customer    string // of the request
	count       uint64 // of what was done at once
	instruments []string
	items       []audit.Entry // of a bulk request
}

// toldCustomer notes whom a request is about.
func toldCustomer(c echo.Context, id string) {
	if t := exchangeOf(c).told; t != nil {
		t.customer = id
	}
}

// toldInstrument notes an instrument that is answered with.
func toldInstrument(x *exchange, ins *normalize.Instrument) {
	if t := x.told; t != nil {
		if t.instruments = append(t.instruments, ins.ID); len(t.instruments) == 1 && t.customer == "" {
			t.customer = ins.CustomerID
		}
	}
}

// toldReplay notes what events are delivered once more.
func toldReplay(c echo.Context, instrument string, count int) {
	if t := exchangeOf(c).told; t != nil {
		t.count = uint64(max(count, 0))
		if instrument != "" {
			t.instruments = append(t.instruments, instrument)
		}
	}
}

// toldDrift notes the instruments that were compared.
func toldDrift(c echo.Context, customer string, page gateway.DriftPage) {
	t := exchangeOf(c).told
	if t == nil {
		return
	}
	t.customer = customer
	for _, d := range page.Data {
		if d.InstrumentID != nil {
			t.instruments = append(t.instruments, *d.InstrumentID)
		}
	}
}

// toldItems notes what became of the items of a bulk request; about says what each was about.
func toldItems(c echo.Context, out bulkResult, about func(i int) (instrument, customer string)) {
	t := exchangeOf(c).told
	if t == nil {
		return
	}
	for i, item := range out.Data {
		e := audit.Entry{Item: i + 1, Status: item.Status, Outcome: string(normalize.Applied), Replayed: item.Replayed}
		e.Instrument, e.Customer = about(i)
		switch {
		case item.Problem != nil:
			e.Code, e.Outcome, e.Operation = string(item.Problem.Code), string(item.Problem.Outcome), item.Problem.OperationID
		case item.Operation != nil:
			e.Operation, e.Outcome = item.Operation.ID, string(item.Operation.Outcome)
		case item.Instrument != nil:
			e.Instrument = item.Instrument.ID
			if len(item.Instrument.ProviderTokens) > 0 {
				e.Provider = item.Instrument.ProviderTokens[0].Provider
			}
		}
		t.items = append(t.items, e)
	}
}

// entries are what is told of an answer whose status is known; none if it is not told.
func (a *auditor) entries(c echo.Context, x *exchange, what auditing) []audit.Entry {
	status := c.Response().Status
	switch {
	case isRefusal(x, status) || what.which == auditAll || what.which == auditChanges:
	case what.which == auditReferences && status < 300 && x.caller.may(ReferencesRead):
	default:
		return nil
	}
	e := audit.Entry{Action: what.action, RequestID: x.requestID, Address: c.RealIP(), Status: status, Code: string(x.code)}
	if x.caller == nil {
		aboutPath(c, &e)
		if status < 300 {
			return []audit.Entry{e} // it was the provider's own
		}
		return a.strangers.admit(e)
	}
	e.Tenant, e.APIKey = x.caller.Tenant, x.caller.Name
	if items := x.told.items; len(items) > 0 && status < 300 {
		for i := range items {
			items[i].Action, items[i].RequestID, items[i].Address = e.Action, e.RequestID, e.Address
			items[i].Tenant, items[i].APIKey = e.Tenant, e.APIKey
		}
		return items
	}
	aboutPath(c, &e)
	aboutAnswer(c, x, &e)
	if e.Outcome == "" && what.which == auditChanges && status < 300 {
		e.Outcome = string(normalize.Applied)
	}
	return []audit.Entry{e}
}

// isRefusal reports whether somebody was refused for who they are, or are not.
func isRefusal(x *exchange, status int) bool {
	if x.caller != nil {
		return x.code == normalize.InsufficientScope
	}
	return status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusTooManyRequests
}

// isRecordID reports whether s has the form of the ids of instruments and operations:
// a prefix, and 20 to 40 of a-z 0-9. A pattern would take ten times as long.
func isRecordID(s string) bool {
	prefix, rest, found := strings.Cut(s, "_")
	return found && madeOf(prefix, 2, 4, base62[36:]) && len(rest) >= 20 && len(rest) <= 40 && !strings.ContainsFunc(rest, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z')
	})
}

const invalidName = "[invalid]"

// fit keeps out of the log what a caller made up.
func fit(name string, ok bool) string {
	if name != "" && !ok {
		return invalidName
	}
	return name
}

func fitCustomer(id string) string { return fit(id, normalize.ValidCustomerID(id)) }

// aboutPath tells what the path names.
func aboutPath(c echo.Context, e *audit.Entry) {
	for i, name := range c.ParamNames() {
		v := c.ParamValues()[i]
		if strings.Contains(v, "%") {
			if plain, err := url.PathUnescape(v); err == nil {
				v = plain
			}
		}
		switch name {
		case "instrument_id":
			e.Instrument = fit(v, isRecordID(v))
		case "customer_id":
			e.Customer = fitCustomer(v)
		case "operation_id":
			e.Operation = fit(v, isRecordID(v))
		case "event_id":
			e.Event = fit(v, isRecordID(v))
		case "provider", "provider_name":
			e.Provider = fit(v, namePattern.MatchString(v))
		}
	}
}

// aboutAnswer tells what the answer shows.
func aboutAnswer(c echo.Context, x *exchange, e *audit.Entry) {
	h := c.Response().Header()
	e.Outcome, e.Replayed = h.Get("Gateway-Outcome"), h.Get("Idempotent-Replayed") != ""
	if e.Provider == "" {
		e.Provider = h.Get("Gateway-Provider")
	}
	switch shown := x.told.instruments; {
	case len(shown) == 1:
		e.Instrument = shown[0]
		if e.Customer == "" {
			e.Customer = x.told.customer // the request's, which was accepted, or the instrument's
		}
	case len(shown) > 1:
		e.Instruments = shown
	}
	e.Count = x.told.count
	if e.Customer == "" && len(e.Instruments) == 0 {
		e.Customer = fitCustomer(x.told.customer)
	}
	if id, ok := strings.CutPrefix(h.Get("Location"), "/v1/operations/"); ok {
		e.Operation = id
	}
	if f, ok := errors.AsType[*gateway.Failure](x.err); ok {
		e.Operation = f.OperationID
	}
}

// maxStrangers is how many refusals of callers without a valid API key are told one by
// one in a minute: whoever knocks must not fill the disk.
const maxStrangers = 600

// strangers bounds what callers without a valid API key can write into the log.
type strangers struct {
	now func() time.Time

	mu     sync.Mutex
	minute time.Time
	count  uint64 // in this minute
	untold uint64 // of them
}

// admit returns what is to be told: the entry, or nothing of it, and in the next minute
// how many were left out.
func (s *strangers) admit(e audit.Entry) []audit.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []audit.Entry
	if minute := s.now().Truncate(time.Minute); !minute.Equal(s.minute) {
		if s.untold > 0 {
			out = append(out, audit.Entry{
				Action: "callers.refused", Status: http.StatusUnauthorized, Count: s.untold,
				Detail: "refusals of callers without a valid API key that are not told one by one, in the minute of " + s.minute.UTC().Format(time.RFC3339),
			})
		}
		s.minute, s.count, s.untold = minute, 0, 0
	}
	if s.count++; s.count > maxStrangers {
		s.untold++
		return out
	}
	return append(out, e)
}
