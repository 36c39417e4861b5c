package gateway

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/normalize"
)

// What an operator sees of creates that are not finished, and can do about them.

// undecided reports whether nobody knows what became of the record's last attempt.
func (r Record) undecided() bool { return r.State == StateUnknown || r.State == StateManual }

// retried has an undecided record looked at again now: UNKNOWN, or MANUAL -> UNKNOWN.
func (r Record) retried(now time.Time) (Record, error) {
	if !r.undecided() || r.leased(now) {
		return r.refuse("look again")
	}
	r.State, r.AbsentAt, r.Tries, r.DueAt = StateUnknown, time.Time{}, 0, now
	return r.released(), nil
}

// asserted takes an operator's word that the provider has nothing: MANUAL ->
// FAILED. As after two look-ups that found nothing, the same key may try again, at
// the same provider.
func (r Record) asserted(now time.Time) (Record, error) {
	if r.State != StateManual || len(r.Attempts) == 0 {
		return r.refuse("assert that it was not stored")
	}
	return r.notStored(now), nil
}

// advice is what can be done about an undecided operation; "" if nothing need be.
func (r Record) advice() string {
	switch r.State {
	case StateUnknown:
		return "the gateway asks the provider by itself until it knows: wait, or retry the operation to have it asked at once"
	case StateManual:
		return "the provider could not be asked for more than a day: mend what its attempts and the log show, then retry the operation; " +
			"or look for the instrument at the provider, and fail the operation only if it is not there"
	case StateReserved, StateSending, StateCompleted, StateFailed:
	}
	return ""
}

// ListOperations returns a tenant's operations in one of the states unknown and
// manual, the oldest first.
func (s *Service) ListOperations(ctx context.Context, tenant string, in ListOperationsInput) (OperationPage, error) {
	limit, errs := checkLimit(in.Limit)
	if in.State != StateUnknown && in.State != StateManual {
		errs = append(errs, normalize.FieldError{Pointer: "/state", Code: normalize.InvalidField, Message: "must be unknown or manual"})
	}
	if len(errs) > 0 {
		return OperationPage{}, normalize.Invalid(errs...)
	}
	about := []string{"operations", tenant, string(in.State)}
	after, err := s.place(in.Cursor, about...)
	if err != nil {
		return OperationPage{}, err
	}
	out := OperationPage{Data: []Operation{}}
	for {
		members, err := s.store.Scan(ctx, indexByState(tenant, in.State), after, limit+1, false)
		if err != nil {
			return OperationPage{}, storeError("list_operations", err)
		}
		recs, err := s.loadMembers(ctx, "list_operations", members)
		if err != nil {
			return OperationPage{}, err
		}
		for i, rec := range recs {
			// An index may be behind its records for a moment.
			if rec != nil && rec.Tenant == tenant && rec.State == in.State {
				if len(out.Data) == limit {
					out.HasMore, out.NextCursor = true, s.cursor(after, about...)
					return out, nil
				}
				out.Data = append(out.Data, rec.operation())
			}
			after = members[i]
		}
		if len(members) <= limit {
			return out, nil
		}
	}
}

// RetryOperation has an operation whose outcome is unknown looked at again now, by
// whichever gateway is first. While one is looking already it changes nothing.
func (s *Service) RetryOperation(ctx context.Context, tenant, id string) (Operation, error) {
	return s.operate(ctx, "retry_operation", tenant, id, func(r Record, now time.Time) (Record, error) {
		if r.undecided() && r.leased(now) {
			return r, errBeingLookedAt
		}
		return r.retried(now)
	}, "only an operation in state unknown or manual can be looked at again")
}

var errBeingLookedAt = errors.New("a gateway is asking the provider about it now")

// FailOperation takes an operator's word that the provider does not have what a
// create in state manual was to store. The same idempotency key may try again.
func (s *Service) FailOperation(ctx context.Context, tenant, id string) (Operation, error) {
	op, err := s.operate(ctx, "fail_operation", tenant, id, Record.asserted,
		"only an operation in state manual can be failed; retry it first if the gateway has not given up")
	if err == nil {
		s.log.Warn("an operator asserted that an instrument was not stored", zap.String("instrument", id), zap.String("tenant", tenant))
	}
	return op, err
}

func (s *Service) operate(ctx context.Context, name, tenant, id string, fn func(Record, time.Time) (Record, error), refusal string) (Operation, error) {
	ctx = context.WithoutCancel(ctx)
	now, err := s.nowAtStore(ctx)
	if err != nil {
		return Operation{}, err
	}
	if !ValidInstrumentID(id) {
		return Operation{}, notFound(name)
	}
	recs, err := s.load(ctx, name, id)
	if err != nil {
		return Operation{}, err
	}
	if recs[0] == nil || recs[0].Tenant != tenant {
		return Operation{}, notFound(name)
	}
	for cur, tries := *recs[0], 0; tries < 10; tries++ {
		next, err := fn(cur.Record, now)
		if errors.Is(err, errBeingLookedAt) {
			return cur.operation(), nil // a write would take the record from who looks
		}
		if err != nil {
			return Operation{}, &normalize.Error{Code: normalize.InvalidState, Outcome: normalize.NotSent, Op: name, Msg: refusal, Err: err}
		}
		after, _, err := s.put(ctx, name, cur, next)
		if !errors.Is(err, errChanged) {
			return after.operation(), err
		}
		cur = after
	}
	return Operation{}, &normalize.Error{
		Code: normalize.Conflict, Outcome: normalize.NotSent, Op: name, Msg: "the operation is being worked on: try again", RetryAfter: time.Second,
	}
}
