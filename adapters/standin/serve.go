package standin

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// Listen opens a listener for a stand-in on addr, "host:port"; port 0 picks one.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", addr)
}

// Serve serves the stand-in on l until ctx is done, over TLS if conf is not nil.
// The fault "refuse" closes the listening socket and every connection for a
// while, so that clients are really refused.
func (s *Server) Serve(ctx context.Context, l net.Listener, conf *tls.Config) error {
	p := &pausable{ctx: ctx, addr: l.Addr().String(), listener: l, conf: conf}
	s.mu.Lock()
	before := s.refuser
	s.refuser = func(d time.Duration) {
		if before != nil {
			before(d)
		}
		p.pause(d)
	}
	s.mu.Unlock()
	for {
		srv := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
		current, err := p.open()
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was asked to end
		}
		if err != nil {
			return err
		}
		p.attach(srv)
		stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
		err = srv.Serve(current)
		stop()
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was asked to end
		}
		if !errors.Is(err, http.ErrServerClosed) {
			return err
		}
	}
}

func (s *Server) refuse(d time.Duration) {
	s.mu.Lock()
	refuser := s.refuser
	s.mu.Unlock()
	if refuser != nil {
		refuser(d)
	}
}

// pausable is a listening address that can be closed for a while.
type pausable struct {
	ctx  context.Context //nolint:containedctx // it lives exactly as long as the Serve call that owns it
	addr string
	conf *tls.Config

	mu       sync.Mutex
	listener net.Listener // nil once used
	srv      *http.Server
	until    time.Time
}

// open returns a listener on the address, after the pause if there is one.
func (p *pausable) open() (net.Listener, error) {
	p.mu.Lock()
	l, until := p.listener, p.until
	p.listener = nil
	p.mu.Unlock()
	if l == nil {
		select {
		case <-time.After(time.Until(until)):
		case <-p.ctx.Done():
			return nil, p.ctx.Err()
		}
		var err error
		if l, err = Listen(p.ctx, p.addr); err != nil {
			return nil, err
		}
	}
	if p.conf != nil {
		l = tls.NewListener(l, p.conf)
	}
	return l, nil
}

func (p *pausable) attach(srv *http.Server) {
	p.mu.Lock()
	p.srv = srv
	p.mu.Unlock()
}

func (p *pausable) pause(d time.Duration) {
	p.mu.Lock()
	p.until = time.Now().Add(d)
	srv := p.srv
	p.mu.Unlock()
	if srv != nil {
		_ = srv.Close()
	}
}
