package gateway

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// State is where a record is on its way to an end. See ARCHITECTURE.md for the machine.
type State string

// The states of a record.
const (
	StateReserved  State = "reserved"  // the key is taken; no attempt may be running
	StateSending   State = "sending"   // an attempt was written down and may be at the provider
	StateUnknown   State = "unknown"   // an attempt ended without proof of its effect
	StateCompleted State = "completed" // the instrument exists
	StateFailed    State = "failed"    // it provably does not
	StateManual    State = "manual"    // the gateway cannot find out; an operator must
)

// The schema is written into every entry, so that a later release can tell what it reads.
const (
	clearSchema   = 1 // nothing is sealed
	schemaVersion = 2
)

// Record is the durable state of one instrument. It is changed only by the
// methods below, which are pure: they return a changed copy, or an error if the
// transition is not allowed, and the caller writes it by compare-and-swap.
type Record struct {
	Schema     int               `json:"schema"`
	ID         string            `json:"id"`
	Tenant     string            `json:"tenant"`
	CustomerID string            `json:"customer"`
	State      State             `json:"state"`
	Fence      uint64            `json:"fence"`              // grows with every owner; only the current one may change the record
	Owner      string            `json:"owner,omitempty"`    // the gateway that drives it
	LeaseEnd   time.Time         `json:"lease_end,omitzero"` // on the store's clock
	DigestKey  string            `json:"digest_key,omitempty"`
	Digest     map[string]string `json:"digest,omitempty"` // of the request, by member; see requestDigest
	Attempts   []Attempt         `json:"attempts,omitempty"`
	Passed     []AttemptView     `json:"passed,omitempty"`   // candidates that were not tried in the last run, with why
	Tokens     []Token           `json:"tokens,omitempty"`   // the primary first
	View       *View             `json:"view,omitempty"`     // the instrument as last seen; nil until completed
	Answer     *Answer           `json:"answer,omitempty"`   // what the create was answered, for replay
	AliasOf    string            `json:"alias_of,omitempty"` // the instrument that this request turned out to name
	Want       *Want             `json:"want,omitempty"`     // what the running attempt is to store; nil once it is known
	AbsentAt   time.Time         `json:"absent_at,omitzero"` // when a look-up first found nothing
	Tries      int               `json:"tries,omitempty"`    // look-ups that could not be made
	DueAt      time.Time         `json:"due_at,omitzero"`    // when the reconciler looks again
	Pinned     string            `json:"pinned,omitempty"`   // the only provider that may be tried again
	Late       []Token           `json:"late,omitempty"`     // results that came after their fence, not disposed of yet
	Doubt      *Doubt            `json:"doubt,omitempty"`    // an attempt that lost its fence without a result
	Held       bool              `json:"held,omitempty"`     // deactivated by the gateway, where the provider cannot
	KeyTaken   bool              `json:"taken,omitempty"`    // refused: the idempotency key is a change's
	DeletedAt  time.Time         `json:"deleted_at,omitzero"`
	Claims     []string          `json:"claims,omitempty"`    // names held in the store, released with the instrument
	Plan       []Token           `json:"plan,omitempty"`      // the mirrors that the instrument gets once it is complete
	Mirrored   int               `json:"mirrored,omitempty"`  // mirrors that were ever begun: each has a record of its own
	MirrorOf   string            `json:"mirror_of,omitempty"` // the instrument whose mirror this record stores; see mirror.go
	Attached   bool              `json:"attached,omitempty"`  // of a mirror: its instrument knows where it is
	CreatedAt  time.Time         `json:"created_at"`
	UpdatedAt  time.Time         `json:"updated_at"`            // when the instrument last changed
	Named      []string          `json:"named,omitempty"`       // indexes by which notices find the record; see noticeIndexes
	Refresh    []Refresh         `json:"refresh,omitempty"`     // providers that are to be asked, since they gave notice
	Events     []PendingEvent    `json:"events,omitempty"`      // of changes that are in the record, not relayed yet; see event.go
	ExpiryTold string            `json:"expiry_told,omitempty"` // the expiry date, YYYYMM, of which an event told that it is near
	Skew       uint64            `json:"skew,omitempty"`        // how far a restore set the store's version ahead of the record's own; see merged
}

// Attempt is one try to store the instrument at one provider, written down before it is sent.
type Attempt struct {
	Provider string            `json:"provider"`
	Fence    uint64            `json:"fence"`
	Outcome  normalize.Outcome `json:"outcome,omitempty"` // "" while it runs
	Code     normalize.Code    `json:"code,omitempty"`
	At       time.Time         `json:"at"`
	MS       int64             `json:"ms,omitempty"`
}

// Token is where the instrument lives at one provider.
type Token struct {
	Provider       string               `json:"provider"`
	ProviderType   string               `json:"type"`
	Role           normalize.Role       `json:"role"`
	Status         normalize.Status     `json:"status"`
	ProviderStatus string               `json:"provider_status,omitempty"`
	References     normalize.References `json:"refs,omitempty"`
	Version        string               `json:"version,omitempty"` // the provider's, for conditional changes
	SyncedAt       time.Time            `json:"synced_at"`
	Record         string               `json:"record,omitempty"` // of a mirror: the record that stores it
	Until          time.Time            `json:"until,omitzero"`   // while pending: when whoever stores it must have ended
	Code           normalize.Code       `json:"code,omitempty"`   // of a failed mirror: why
	Behind         *Behind              `json:"behind,omitempty"` // what was changed and has not reached the provider
}

// View is what an instrument shows, as last seen at its provider. No number, no security code.
type View struct {
	Type           normalize.Type         `json:"type"`
	Default        bool                   `json:"default,omitempty"`
	Card           *normalize.Card        `json:"card,omitempty"`
	BankAccount    *normalize.BankAccount `json:"bank_account,omitempty"`
	PayPal         *normalize.PayPal      `json:"paypal,omitempty"`
	BillingAddress *normalize.Address     `json:"billing_address,omitempty"`
	Fingerprint    string                 `json:"fingerprint,omitempty"`
	FingerprintOf  string                 `json:"fingerprint_of,omitempty"`
	Metadata       map[string]string      `json:"metadata,omitempty"`
}

// Answer is the final answer to a create, replayed for the same key. While the
// instrument is as it was created, the answer is not kept twice: it is the record
// itself, as it stood at At.
type Answer struct {
	At           time.Time             `json:"at,omitzero"`
	Instrument   *normalize.Instrument `json:"instrument,omitempty"` // nil until the instrument changes
	Deduplicated bool                  `json:"deduplicated,omitempty"`
	Attempts     []AttemptView         `json:"attempts,omitempty"` // with the candidates that were passed over; of an Error
	Error        *SavedError           `json:"error,omitempty"`
}

// SavedError is the part of a rejection that is replayed.
type SavedError struct {
	Code         normalize.Code         `json:"code"`
	Msg          string                 `json:"msg"`
	Fields       []normalize.FieldError `json:"fields,omitempty"`
	Provider     string                 `json:"provider,omitempty"`
	HTTPStatus   int                    `json:"http_status,omitempty"`
	ProviderCode string                 `json:"provider_code,omitempty"`
	RequestID    string                 `json:"request_id,omitempty"`
}

// errTransition is returned for a change that the record's state does not allow.
var errTransition = errors.New("transition not allowed")

func (r Record) refuse(to string) (Record, error) {
	return r, fmt.Errorf("record %s in state %s: %s: %w", r.ID, r.State, to, errTransition)
}

// newRecord reserves an id for a request.
func newRecord(id, tenant, customer string, key ReferenceKey, digest map[string]string, now time.Time) Record {
	return Record{
		Schema: schemaVersion, ID: id, Tenant: tenant, CustomerID: customer, State: StateReserved,
		DigestKey: key.ID, Digest: digest, CreatedAt: now, UpdatedAt: now,
	}
}

// maxAttempts bounds the attempts that a record remembers: a key that is tried
// again and again while nothing can be sent must not grow its record for ever.
const maxAttempts = 32

// begin starts an attempt: RESERVED, or FAILED without an answer -> SENDING. It
// needs a proof of not executed for every earlier attempt, so that the oldest ones
// may be forgotten.
func (r Record) begin(provider, owner string, now time.Time, lease time.Duration) (Record, error) {
	retriable := r.State == StateReserved || r.State == StateFailed && r.Answer == nil
	if !retriable || r.leased(now) && r.Owner != owner {
		return r.refuse("begin")
	}
	for _, a := range r.Attempts {
		if a.Outcome != normalize.NotSent {
			return r.refuse("begin after an attempt that may have been executed")
		}
	}
	if r.Pinned != "" && r.Pinned != provider {
		return r.refuse("begin at another provider than the one that was looked at")
	}
	r.AbsentAt, r.Tries, r.DueAt, r.KeyTaken = time.Time{}, 0, time.Time{}, false
	r.State, r.Owner, r.Fence, r.LeaseEnd = StateSending, owner, r.Fence+1, now.Add(lease)
	earlier := r.Attempts[max(0, len(r.Attempts)-maxAttempts+1):]
	r.Attempts = append(slices.Clone(earlier), Attempt{Provider: provider, Fence: r.Fence, At: now})
	return r, nil
}

// ended writes down what became of the running attempt. SENDING is left only with
// evidence: NotSent -> RESERVED, Rejected -> FAILED, Unknown -> UNKNOWN.
func (r Record) ended(err *normalize.Error, now time.Time) (Record, error) {
	if r.State != StateSending || len(r.Attempts) == 0 {
		return r.refuse("end an attempt")
	}
	r = r.withEnd(err.Outcome, attemptCode(err), now)
	switch err.Outcome {
	case normalize.NotSent:
		r.State = StateReserved
	case normalize.Rejected:
		r.State, r.Claims = StateFailed, nil
		r.Answer = &Answer{Error: savedError(err)}
		return r.released(), nil
	default:
		r.State = StateUnknown
		return r.released(), nil
	}
	return r, nil
}

// withEnd closes the running attempt. An outcome that proves nothing is Unknown:
// an empty one would read as an attempt that still runs.
func (r Record) withEnd(o normalize.Outcome, code normalize.Code, now time.Time) Record {
	if o != normalize.NotSent && o != normalize.Rejected && o != normalize.Applied {
		o = normalize.Unknown
	}
	r.Attempts = slices.Clone(r.Attempts)
	last := &r.Attempts[len(r.Attempts)-1]
	last.Outcome, last.Code, last.MS = o, code, max(0, now.Sub(last.At).Milliseconds())
	return r
}

// failed gives up with nothing sent: RESERVED -> FAILED, and the same key may try
// again. It lets go of its claims, since another request may take them before that.
func (r Record) failed() (Record, error) {
	if r.State != StateReserved {
		return r.refuse("fail")
	}
	r.State, r.Claims = StateFailed, nil
	return r.released(), nil
}

// complete makes the instrument exist: SENDING, or UNKNOWN or FAILED without an
// answer once it was found -> COMPLETED. The mapping, the view and the answer are
// written in one step.
func (r Record) complete(t Token, v View, now time.Time) (Record, error) {
	if !r.open() || len(r.Attempts) == 0 {
		return r.refuse("complete")
	}
	r = r.withEnd(normalize.Applied, "", now)
	r.State, r.Tokens, r.View, r.UpdatedAt = StateCompleted, []Token{t}, &v, now
	r = r.settled().planned(now)
	r.Answer = &Answer{At: now}
	return r, nil
}

// open reports whether the instrument may still come to exist under this record.
func (r Record) open() bool {
	switch r.State {
	case StateSending, StateUnknown, StateManual:
		return true
	case StateFailed:
		return r.Answer == nil
	default:
		return false
	}
}

// settled ends everything that waits.
func (r Record) settled() Record {
	r.Want, r.AbsentAt, r.Tries, r.DueAt, r.Pinned = nil, time.Time{}, 0, time.Time{}, ""
	return r.released()
}

// alias ends a request that turned out to name an instrument which is there
// already: its answer is that instrument's.
func (r Record) alias(of Record, now time.Time) (Record, error) {
	sent := r.open() && len(r.Attempts) > 0
	if !sent && r.State != StateReserved && !r.live() || !of.live() || of.ID == r.ID {
		return r.refuse("alias")
	}
	if sent {
		r = r.withEnd(normalize.Applied, "", now)
	}
	answer := of.instrument(now)
	r.State, r.AliasOf, r.Tokens, r.View, r.Claims, r.Plan = StateCompleted, of.ID, nil, nil, nil, nil
	r.Answer = &Answer{Instrument: &answer, Deduplicated: true}
	return r.settled(), nil
}

// changed stores what a provider showed: COMPLETED -> COMPLETED.
func (r Record) changed(t Token, v View, now time.Time) (Record, error) {
	if !r.live() {
		return r.refuse("change")
	}
	r = r.withAnswerKept()
	r.Tokens = slices.Clone(r.Tokens)
	i := r.tokenAt(t.Provider)
	if i < 0 {
		return r.refuse("change a token it does not have")
	}
	before := r.Tokens[i]
	t.Record, t.Behind = before.Record, before.Behind
	before.SyncedAt, before.Version = t.SyncedAt, t.Version
	if !reflect.DeepEqual(before, t) || !reflect.DeepEqual(*r.View, v) {
		r = r.touched(now) // that it was looked at is no change
	}
	shown := *r.View
	r.Tokens[i], r.View = t, &v
	if what, differs := v.since(shown); differs && r.MirrorOf == "" && len(r.Tokens) > 1 {
		r = r.behind(t.Provider, what, now) // mirrors follow the instrument, whoever changed it
	}
	return r, nil
}

// hold sets or lifts the gateway's own deactivation.
func (r Record) hold(on bool, now time.Time) (Record, error) {
	if !r.live() {
		return r.refuse("hold")
	}
	r = r.withAnswerKept()
	r.Held = on
	return r.touched(now), nil
}

// deleted ends the instrument's life. The record stays, so that the id answers
// 410 and the key replays for ever. The number is free to be stored again; the
// place is not given up, or a provider that still lists the instrument, or keeps
// it (ScopeGateway), would have it adopted anew under another id. Its mirrors go
// from where scope says as well.
func (r Record) deleted(scope DeleteScope, now time.Time) (Record, error) {
	if !r.live() {
		return r.refuse("delete")
	}
	r = r.withAnswerKept()
	r.DeletedAt = now
	r = r.touched(now)
	if len(r.Tokens) > 1 {
		r = r.behind(r.primary().Provider, Behind{Delete: scope}, now)
	}
	return r.withoutNumber(), nil
}

// withoutNumber lets go of the claims on the card or account number.
func (r Record) withoutNumber() Record {
	r.Claims = slices.DeleteFunc(slices.Clone(r.Claims), isNumberClaim)
	return r
}

// touched moves updated_at, from which the entity tag is made: forward always, so
// that two changes never share a tag.
func (r Record) touched(now time.Time) Record {
	if !now.After(r.UpdatedAt) {
		now = r.UpdatedAt.Add(time.Microsecond)
	}
	r.UpdatedAt = now
	return r
}

// answered is the instrument that the create was answered with.
func (r Record) answered() normalize.Instrument {
	if r.Answer.Instrument != nil {
		return *r.Answer.Instrument
	}
	return r.instrument(r.Answer.At)
}

// withAnswerKept writes the answer out, before a change that would alter it.
func (r Record) withAnswerKept() Record {
	if r.Answer == nil || r.Answer.Instrument != nil || r.Answer.Error != nil {
		return r
	}
	kept := *r.Answer
	ins := r.instrument(kept.At)
	kept.Instrument = &ins
	r.Answer = &kept
	return r
}

// released ends the owner's lease.
func (r Record) released() Record {
	r.Owner, r.LeaseEnd = "", time.Time{}
	return r
}

// leased reports whether an owner may still be driving the record.
func (r Record) leased(now time.Time) bool { return now.Before(r.LeaseEnd) }

// live reports whether the instrument exists under this id.
func (r Record) live() bool {
	return r.State == StateCompleted && r.AliasOf == "" && r.DeletedAt.IsZero() && r.View != nil && len(r.Tokens) > 0
}

// unfinished reports whether something may still be going on.
func (r Record) unfinished() bool {
	return r.State == StateReserved || r.State == StateSending || r.State == StateUnknown
}

// primary returns the token that the instrument lives at.
func (r Record) primary() Token { return r.Tokens[0] }

// outcome is what is known of the request's effect.
func (r Record) outcome() normalize.Outcome {
	switch r.State {
	case StateCompleted:
		return normalize.Applied
	case StateFailed:
		if r.Answer != nil {
			return normalize.Rejected
		}
		return normalize.NotSent
	case StateReserved:
		return normalize.NotSent
	default:
		return normalize.Unknown
	}
}

func savedError(e *normalize.Error) *SavedError {
	return &SavedError{
		Code: e.Code, Msg: e.Msg, Fields: e.Fields, Provider: e.Provider,
		HTTPStatus: e.HTTPStatus, ProviderCode: e.ProviderCode, RequestID: e.RequestID,
	}
}

func (s *SavedError) err() *normalize.Error {
	return &normalize.Error{
		Code: s.Code, Outcome: normalize.Rejected, Op: "create", Msg: s.Msg, Fields: s.Fields, Provider: s.Provider,
		HTTPStatus: s.HTTPStatus, ProviderCode: s.ProviderCode, RequestID: s.RequestID,
	}
}

// tokenOf makes a token from what a provider answered.
func tokenOf(p *Provider, role normalize.Role, ins adapters.Instrument, now time.Time) Token {
	return Token{
		Provider: p.Name(), ProviderType: p.Type(), Role: role, Status: ins.Status, ProviderStatus: ins.ProviderStatus,
		References: ins.References, Version: ins.Version, SyncedAt: now,
	}
}
