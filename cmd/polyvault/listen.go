package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"

	"go.uber.org/zap"

	"github.com/polyvault/polyvault/gateway/httpapi"
)

// server is an HTTP server that serves.
type server struct {
	http  *http.Server
	addr  string     // as bound: port 0 has become a real one
	ended chan error // one error, once it no longer serves; nil after shutdown
}

// serveOn listens on addr and serves until shutdown. The error of an address that
// is taken comes at once.
func serveOn(ctx context.Context, addr string, h http.Handler, log *zap.Logger) (*server, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen: %w", explainListen(err))
	}
	s := &server{http: httpapi.Server(addr, h), addr: l.Addr().String(), ended: make(chan error, 1)}
	if s.http.ErrorLog, err = zap.NewStdLogAt(log, zap.DebugLevel); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	go func() {
		err := s.http.Serve(l)
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
		s.ended <- err
	}()
	return s, nil
}

// shutdown stops listening and waits for the requests in flight until ctx is
// done, then breaks them off.
func (s *server) shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests in flight were broken off: %w", err), s.http.Close())
	}
	return errors.Join(err, <-s.ended)
}

// warnOfReach tells that an admin listener, which asks for no key, can be reached from
// other machines. Addresses of the public internet the configuration refuses.
func warnOfReach(addr string, log *zap.Logger) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil || host == "localhost" {
		return
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		log.Warn("admin_listen can be reached from other machines and asks for no key: keep all but your monitoring away from it",
			zap.String("admin_listen", addr))
	}
}

// explainListen says what to do about the usual reasons.
func explainListen(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w: stop what uses it, or choose another address", err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w: ports below 1024 need privileges; choose a higher one", err)
	default:
		return err
	}
}
