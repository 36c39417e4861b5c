package adaptertest

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/fault"
	"github.com/polyvault/polyvault/normalize"
)

// faultCase is a fault of the request that stores an instrument, and what is true after it.
type faultCase struct {
	rule     fault.Rule
	deadline time.Duration // of the call; 0 for none
	stored   bool
	codes    []normalize.Code
}

func faultCases() []faultCase {
	broken := []normalize.Code{normalize.ProviderBadResponse}
	late := []normalize.Code{normalize.ProviderTimeout}
	return []faultCase{
		{rule: fault.Rule{Fault: fault.Reset}, codes: broken},
		{rule: fault.Rule{Fault: fault.Hang}, deadline: 300 * time.Millisecond, codes: late},
		{rule: fault.Rule{Fault: fault.Status, Status: http.StatusInternalServerError}, codes: []normalize.Code{normalize.ProviderError}},
		{rule: fault.Rule{Fault: fault.Status, Status: http.StatusBadGateway}, codes: []normalize.Code{normalize.ProviderError}},
		{rule: fault.Rule{Fault: fault.StatusAfterCommit, Status: http.StatusInternalServerError}, stored: true, codes: []normalize.Code{normalize.ProviderError}},
		{rule: fault.Rule{Fault: fault.StatusAfterCommit, Status: http.StatusGatewayTimeout}, stored: true, codes: late},
		{rule: fault.Rule{Fault: fault.CommitThenDrop}, stored: true, codes: broken},
		{rule: fault.Rule{Fault: fault.CommitThenHang}, deadline: 300 * time.Millisecond, stored: true, codes: late},
		{rule: fault.Rule{Fault: fault.Truncate}, stored: true, codes: broken},
		{rule: fault.Rule{Fault: fault.MalformedJSON}, stored: true, codes: broken},
		{rule: fault.Rule{Fault: fault.HTML}, stored: true, codes: broken},
		{rule: fault.Rule{Fault: fault.HugeBody}, stored: true, codes: broken},
		{rule: fault.Rule{Fault: fault.GzipBomb}, stored: true, codes: broken},
		{rule: fault.Rule{Fault: fault.SlowBody, DelayMS: 30}, deadline: 300 * time.Millisecond, stored: true, codes: late},
	}
}

// checkFault: after a fault the outcome is unknown, nothing was sent twice, and
// nothing more was changed in an attempt to mend it.
func checkFault(c faultCase) func(*bench) {
	return func(b *bench) {
		creator := must[adapters.Creator](b)
		b.create() // so that the faulty request goes out on a reused connection
		before := b.createRequests()
		c.rule.Method, c.rule.Path, c.rule.Times = b.h.CreateMethod, b.h.CreatePath, 1
		b.h.Standin.Faults.Add(c.rule)
		ctx := b.ctx()
		if c.deadline > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, c.deadline)
			defer cancel()
		}
		read, start := b.wire.read.Load(), time.Now()
		known := b.listedKeys()
		source := b.source()
		_, err := creator.Create(ctx, b.createInput(source))
		took := time.Since(start)
		b.requireOutcome(err, normalize.Unknown, "create", c.codes...)
		if c.deadline > 0 {
			require.Less(b.tb, took, c.deadline+prompt, "the deadline was not kept")
		}
		require.Less(b.tb, b.wire.read.Load()-read, int64(2<<20), "an answer is read to a bound")
		require.Equal(b.tb, before+1, b.createRequests(), "the create was sent exactly once")
		want := 1
		if c.stored {
			want = 2
		}
		require.Equal(b.tb, want, b.live())
		b.requireNothingAfterCreate()
		require.Empty(b.tb, b.h.Standin.Faults.Rules(), "the fault was used")
		b.requireLookUp(known, source, c.stored)
		b.create() // and the adapter still works
	}
}

// listedKeys are the customer's instruments that a list shows; nil without a list.
func (b *bench) listedKeys() map[string]bool {
	b.tb.Helper()
	if _, ok := b.adapter.(adapters.Lister); !ok {
		return nil
	}
	out := map[string]bool{}
	for _, ins := range b.collect(adapters.ListInput{Customer: b.h.Customer}) {
		out[key(ins.References)] = true
	}
	return out
}

// requireLookUp: what a create has stored although its answer was lost shows in the
// customer's list, with all that tells it from another; what it has not, does not.
// This is how the gateway finds out.
func (b *bench) requireLookUp(known map[string]bool, source normalize.Source, stored bool) {
	b.tb.Helper()
	if known == nil {
		return
	}
	var found []adapters.Instrument
	for _, ins := range b.collect(adapters.ListInput{Customer: b.h.Customer}) {
		if !known[key(ins.References)] {
			found = append(found, ins)
		}
	}
	if !stored {
		require.Empty(b.tb, found, "a look-up shows what was never stored")
		return
	}
	require.Len(b.tb, found, 1, "a look-up must show what was stored although the answer was lost")
	got := found[0]
	if c := source.Card; c != nil {
		n := c.Number.Reveal()
		require.NotNil(b.tb, got.Card)
		require.Equal(b.tb, normalize.Last4Of(n), got.Card.Last4)
		require.Equal(b.tb, [2]int{c.ExpMonth, c.ExpYear}, [2]int{got.Card.ExpMonth, got.Card.ExpYear})
		require.True(b.tb, got.Card.BIN == "" || strings.HasPrefix(n, got.Card.BIN), "BIN %q", got.Card.BIN)
	}
	if v := source.VaultedToken; v != nil && v.Last4 != "" {
		require.Equal(b.tb, v.Last4, got.Card.Last4)
		require.Equal(b.tb, [2]int{v.ExpMonth, v.ExpYear}, [2]int{got.Card.ExpMonth, got.Card.ExpYear})
	}
	again, err := b.adapter.Get(b.ctx(), got.References)
	if len(b.h.HiddenReferences) == 0 {
		b.requireNoError(err, "get what the look-up found")
		require.Equal(b.tb, got.Type, again.Type)
	}
}

// requireNothingAfterCreate: an unknown outcome is left for the gateway to find out about.
func (b *bench) requireNothingAfterCreate() {
	b.tb.Helper()
	for _, r := range slices.Backward(b.state().Requests) {
		if b.matchesCreate(r.Method, r.Path) {
			return
		}
		require.False(b.tb, mutates(r), "%s %s followed a create of unknown outcome", r.Method, r.Path)
	}
}

// checkRateLimited: the stand-in's own 429.
func checkRateLimited(b *bench) {
	c := must[adapters.Creator](b)
	b.h.Standin.Faults.Add(fault.Rule{Method: b.h.CreateMethod, Path: b.h.CreatePath, Fault: fault.RateLimited, Times: 1})
	want := normalize.Unknown
	if b.h.LimitsBeforeExecution {
		want = normalize.NotSent
	}
	_, err := c.Create(b.ctx(), b.createInput(b.source()))
	b.requireOutcome(err, want, "create", normalize.ProviderRateLimited)
	require.Equal(b.tb, 1, b.createRequests(), "adapters do not retry")
	require.Zero(b.tb, b.live())
}

// checkHugeRead: reads are bounded too.
func checkHugeRead(b *bench) {
	b.answer(anyRequest, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		page := make([]byte, 1<<20)
		for i := range page {
			page[i] = ' '
		}
		for range 100 {
			if _, err := w.Write(page); err != nil {
				return
			}
		}
	})
	for _, op := range b.operations() {
		if op.mutates {
			continue
		}
		read := b.wire.read.Load()
		b.requireOutcome(op.call(b.ctx(), b.h.Missing), normalize.Unknown, op.name, normalize.ProviderBadResponse)
		require.Less(b.tb, b.wire.read.Load()-read, int64(2<<20), "an answer is read to a bound")
	}
}
