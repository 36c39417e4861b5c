package gateway

import (
	"context"
	"fmt"
	"time"
)

// Rate is a token bucket: PerSecond tokens come in a second, and Burst are the most
// that lie in it. The zero value is no limit.
type Rate struct {
	PerSecond float64 // above 0
	Burst     int     // 1 or more
}

func (r Rate) limits() bool { return r.PerSecond > 0 && r.Burst > 0 }

// Span is a number in any span of time. The zero value is no limit.
type Span struct {
	Limit int // 1 or more
	Per   time.Duration
}

func (s Span) limits() bool { return s.Limit > 0 && s.Per > 0 }

// Limits bounds what a tenant may ask for. What is zero is not limited.
type Limits struct {
	Tenant Rate // requests of all the tenant's API keys together
	Key    Rate // requests of each API key
	// Creates that were let through, by customer and by the caller's address. A create
	// that is sent again counts once; one that only adopts what is stored does not.
	CreatesPerCustomer, CreatesPerAddress Span
	// DeclinesPerCustomer counts cards that a provider declined. At the limit the
	// customer's creates are refused.
	DeclinesPerCustomer Span
}

// Buckets is a store that keeps limits for all gateways that share it, by its own
// clock. What it keeps goes away once it limits nothing any more. Losing it is no
// harm but that a limit begins anew. Methods are safe for concurrent use and fail as
// those of [Store] do; each is one round trip.
type Buckets interface {
	// Draw takes up to want tokens, 1 or more, from the bucket under key. A bucket
	// that does not exist is full.
	Draw(ctx context.Context, key string, r Rate, want int) (Drawn, error)
	// Count does each of the counts, in their order.
	Count(ctx context.Context, counts ...Count) ([]Counted, error)
}

// Drawn is the result of a Draw.
type Drawn struct {
	Granted int           // 0 to want
	Left    float64       // tokens that lie in the bucket now
	Wait    time.Duration // until a token will be there; 0 if one was granted
}

// Count is something that counts towards a span, under a name: the same name counts
// once in a span.
type Count struct {
	Key  string
	Span Span
	Name string
	Do   CountAction
}

// CountAction says what a Count does.
type CountAction int

// The actions of a Count.
const (
	CountLook CountAction = iota // asks only whether another one fits in
	CountTake                    // counts, if it fits in
	CountNote                    // counts whatever was there: the oldest is forgotten for it
	CountDrop                    // takes it back
)

// Counted is the result of a Count.
type Counted struct {
	OK   bool          // it fits in, or its name is counted already
	Wait time.Duration // until another one will fit in; 0 if OK
}

// ValidateDraw reports what no store may accept.
func ValidateDraw(key string, r Rate, want int) error {
	switch {
	case key == "" || len(key) > MaxName:
		return fmt.Errorf("a bucket's key must have 1 to %d bytes", MaxName)
	case !r.limits() || want < 1:
		return fmt.Errorf("a bucket must have a rate and a burst above 0, and at least one token must be wanted")
	}
	return nil
}

// Validate reports what no store may accept.
func (c Count) Validate() error {
	switch {
	case c.Key == "" || len(c.Key) > MaxName || len(c.Name) > MaxName:
		return fmt.Errorf("a count's key must have 1 to %d bytes, and its name no more", MaxName)
	case !c.Span.limits():
		return fmt.Errorf("a count must have a limit and a span above 0")
	case c.Name == "" && c.Do != CountLook:
		return fmt.Errorf("what counts must have a name")
	}
	return nil
}
