package adaptertest

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// checkProbe: a probe is one read, it succeeds at a provider that answers, and at an
// empty one as well as at one with instruments.
func checkProbe(b *bench) {
	p := must[adapters.Prober](b)
	before := b.requests()
	b.requireNoError(p.Probe(b.ctx()), "probe of an empty provider")
	require.Equal(b.tb, before+1, b.requests(), "a probe is one request")
	if is[adapters.Creator](b.adapter) {
		b.create()
	}
	live := b.live()
	before = b.requests()
	b.requireNoError(p.Probe(b.ctx()), "probe")
	for _, r := range b.state().Requests[before:] {
		require.False(b.tb, mutates(r), "%s %s: a probe changes nothing", r.Method, r.Path)
	}
	require.Equal(b.tb, live, b.live())
}

// checkProbeFails: a probe tells a provider that answers from whatever else does.
func checkProbeFails(b *bench) {
	p := must[adapters.Prober](b)
	for _, status := range []int{http.StatusNotFound, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable} {
		b.answer(anyRequest, answer{contentType: "text/html", body: htmlPage}.serve(status))
		e := b.seen(p.Probe(b.ctx()), "probe")
		require.NotEqual(b.tb, normalize.NotFound, e.Code, "somebody else's %d", status)
	}
	for status, code := range map[int]normalize.Code{
		http.StatusUnauthorized: normalize.ProviderMisconfigured, http.StatusForbidden: normalize.ProviderMisconfigured,
		http.StatusInternalServerError: normalize.ProviderError, http.StatusServiceUnavailable: normalize.ProviderError,
	} {
		b.answer(anyRequest, answer{contentType: "application/json", body: b.h.ErrorBody(status)}.serve(status))
		require.Equal(b.tb, code, b.seen(p.Probe(b.ctx()), "probe").Code, "%d", status)
	}
	for _, body := range []string{"", "{", htmlPage} {
		b.answer(anyRequest, answer{contentType: "application/json", body: body}.serve(http.StatusOK))
		b.note(p.Probe(b.ctx()), "a probe answered with 200 and no sense")
	}
	b.front.Store(nil)
	bad, ok := b.h.OpenBadCredentials(b.tb, b.base).(adapters.Prober)
	require.True(b.tb, ok)
	require.Equal(b.tb, normalize.ProviderMisconfigured, b.seen(bad.Probe(b.ctx()), "probe with wrong credentials").Code)
}

// checkProbeHangs: a probe ends with its deadline.
func checkProbeHangs(b *bench) {
	p := must[adapters.Prober](b)
	b.answer(anyRequest, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithTimeout(b.ctx(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	e := b.seen(p.Probe(ctx), "probe")
	require.Equal(b.tb, normalize.ProviderTimeout, e.Code)
	require.Less(b.tb, time.Since(begin), prompt, "the deadline was not kept")
}
