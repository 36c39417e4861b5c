package httpapi

import (
	"net/http"
	"time"
)

// Server returns a server with limits against slow and greedy clients. The write
// timeout is long since an import may wait for a hundred calls to providers; each
// call has its own deadline.
func Server(addr string, handler http.Handler) *http.Server {
	return &http.Server{
		Addr: addr, Handler: handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      3 * time.Minute,
		IdleTimeout:       90 * time.Second,
		// net/http allows 4 KiB more than this.
		MaxHeaderBytes: 12 << 10,
	}
}
