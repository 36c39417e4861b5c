package adaptertest

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// requireAllUnsent requires that every operation fails as not sent.
func (b *bench) requireAllUnsent(what string) {
	b.tb.Helper()
	ops := b.operations() // may mint one-time tokens at the stand-in
	before := b.requests()
	for _, op := range ops {
		b.requireUnsent(op.call(b.ctx(), b.h.Missing), before, what+": "+op.name)
	}
}

func checkDialRefused(b *bench) {
	var lc net.ListenConfig
	l, err := lc.Listen(b.ctx(), "tcp", "127.0.0.1:0")
	require.NoError(b.tb, err)
	base := "http://" + l.Addr().String()
	require.NoError(b.tb, l.Close())
	b.adapter = b.h.OpenWith(b.tb, base, b.client(b.wire))
	b.requireAllUnsent("a closed port")
}

func checkBadTLS(b *bench) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(b.ServeHTTP))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	b.tb.Cleanup(srv.Close)
	b.adapter = b.h.OpenWith(b.tb, srv.URL, b.client(b.wire))
	b.requireAllUnsent("a certificate of an unknown authority")
}

func checkNoName(b *bench) {
	t := newTransport(b.tb)
	t.DialContext = func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "provider.invalid", IsNotFound: true}}
	}
	b.wire.next = t
	b.adapter = b.h.OpenWith(b.tb, "http://provider.invalid", b.client(b.wire))
	b.requireAllUnsent("a host that does not exist")
}

func checkContextDone(b *bench) {
	ctx, cancel := context.WithCancel(b.ctx())
	ops := b.operations()
	cancel()
	before := b.requests()
	for _, op := range ops {
		b.requireUnsent(op.call(ctx, b.h.Missing), before, "a cancelled context: "+op.name)
	}
	past, cancel := context.WithDeadline(b.ctx(), time.Now().Add(-time.Second))
	defer cancel()
	for _, op := range ops {
		b.requireUnsent(op.call(past, b.h.Missing), before, "a deadline that is past: "+op.name)
	}
}

// checkCancel: a call in the middle of an exchange returns once its context is done.
func checkCancel(b *bench) {
	ref := b.existing()
	for _, op := range b.operations() {
		entered := make(chan struct{}, 16)
		b.answer(op.fails, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // the server notices a hang-up only after the body
			entered <- struct{}{}
			<-r.Context().Done()
		})
		ctx, cancel := context.WithCancel(b.ctx())
		done := make(chan error, 1)
		go func() { done <- op.call(ctx, ref) }()
		select {
		case <-entered:
		case err := <-done:
			require.Fail(b.tb, "the call ended before its answer", "%s: %v", op.name, err)
		}
		cancel()
		select {
		case err := <-done:
			if e := b.seen(err, op.name); op.mutates {
				require.Equal(b.tb, normalize.Unknown, e.Outcome, op.name)
			}
		case <-time.After(prompt):
			require.Fail(b.tb, "a cancelled call does not return", op.name)
		}
		b.settle()
		require.LessOrEqual(b.tb, len(entered), 1, "%s: sent again", op.name)
	}
}

// checkRedirects: no redirect is followed, so no credential and no card leaves for another host.
func checkRedirects(b *bench) {
	var elsewhere atomic.Int64
	other := b.serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		elsewhere.Add(1)
		w.WriteHeader(http.StatusOK)
	}))
	ref := b.existing()
	for _, op := range b.operations() {
		for _, status := range []int{301, 302, 303, 307, 308} {
			for _, location := range []string{other + "/elsewhere", "//" + other[len("http://"):] + "/x/y", "/", ""} {
				b.answer(op.fails, func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					w.Header().Set("Location", location)
					w.WriteHeader(status)
				})
				e := b.seen(op.call(b.ctx(), ref), op.name)
				if op.mutates {
					require.Equal(b.tb, normalize.Unknown, e.Outcome, "%s answered with %d", op.name, status)
				}
			}
		}
	}
	require.Zero(b.tb, elsewhere.Load(), "a redirect was followed")
}

func checkCredentials(b *bench) {
	b.adapter = b.h.OpenBadCredentials(b.tb, b.base)
	_, err := b.adapter.Get(b.ctx(), b.h.Missing)
	b.requireOutcome(err, normalize.Rejected, "get", normalize.ProviderMisconfigured)
	if l, ok := b.adapter.(adapters.Lister); ok {
		_, err := l.List(b.ctx(), adapters.ListInput{Customer: b.h.Customer})
		b.requireOutcome(err, normalize.Rejected, "list", normalize.ProviderMisconfigured)
	}
	if c, ok := b.adapter.(adapters.Creator); ok {
		_, err := c.Create(b.ctx(), b.createInput(b.source()))
		b.requireOutcome(err, normalize.Rejected, "create", normalize.ProviderMisconfigured)
	}
	require.Zero(b.tb, b.live())
}
