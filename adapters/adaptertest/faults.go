package adaptertest

import (
	"context"
	"net/http"
	"slices"
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
		_, err := creator.Create(ctx, b.createInput(b.source()))
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
		b.create() // and the adapter still works
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
