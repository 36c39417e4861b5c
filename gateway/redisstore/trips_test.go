package redisstore

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// proxy forwards to a server and counts round trips: how often, over all
// connections, a request follows a reply.
type proxy struct {
	addr  string
	trips atomic.Int64

	mu       sync.Mutex
	replied  bool
	severing atomic.Bool // cut a connection instead of passing a reply on
}

func startProxy(tb testing.TB, server string) *proxy {
	tb.Helper()
	l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	p := &proxy{addr: l.Addr().String(), replied: true}
	var wg sync.WaitGroup
	tb.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", server) //nolint:noctx // ends with the client's connection
			if err != nil {
				_ = client.Close()
				continue
			}
			wg.Go(func() { p.pump(client, upstream, p.request) })
			wg.Go(func() { p.pump(upstream, client, p.reply) })
		}
	})
	return p
}

// pump copies until either side ends, or pass says to cut.
func (p *proxy) pump(from, to net.Conn, pass func() bool) {
	defer func() { _, _ = from.Close(), to.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil || !pass() {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (p *proxy) request() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.replied {
		p.trips.Add(1)
	}
	p.replied = false
	return true
}

func (p *proxy) reply() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.replied = true
	return !p.severing.CompareAndSwap(true, false)
}

// counter counts the commands and pipelines of a client. A Cluster's client
// sends a pipeline to all nodes at the same time.
type counter struct{ atomic.Int64 }

func (c *counter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *counter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.Add(1)
		return next(ctx, cmd)
	}
}

func (c *counter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.Add(1)
		return next(ctx, cmds)
	}
}
