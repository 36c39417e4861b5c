package fault

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"time"
)

const hugeBytes = 100 << 20

// Options are the parts of a fault that only the handler's owner can supply. Nil members have defaults.
type Options struct {
	RateLimited http.HandlerFunc          // the provider's own 429
	Refuse      func(pause time.Duration) // stops accepting connections
}

// Handler returns next with the set's rules in front of it.
func (s *Set) Handler(next http.Handler, o Options) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rule, ok := s.Take(r.Method, r.URL.Path)
		if !ok {
			next.ServeHTTP(w, r)
			return
		}
		rule.serve(w, r, next, o)
	})
}

func (r Rule) serve(w http.ResponseWriter, req *http.Request, next http.Handler, o Options) {
	switch r.Fault {
	case Refuse:
		if o.Refuse != nil {
			o.Refuse(r.delay(time.Second))
		}
		drop(w)
	case Reset:
		_, _ = io.Copy(io.Discard, req.Body)
		drop(w)
	case Hang:
		wait(req, r.delay(time.Minute))
		drop(w)
	case Delay:
		// Waiting reads the body to its end, and the handler is to have it, too.
		body, _ := io.ReadAll(req.Body)
		wait(req, r.delay(0))
		req.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, req)
	case Status:
		writeStatus(w, r.Status)
	case Echo:
		r.echo(w, req)
	case RateLimited:
		if o.RateLimited == nil {
			writeStatus(w, http.StatusTooManyRequests)
			return
		}
		o.RateLimited(w, req)
	default:
		r.serveAfterCommit(w, req, run(next, req))
	}
}

// serveAfterCommit spoils the answer of a request that has been executed.
func (r Rule) serveAfterCommit(w http.ResponseWriter, req *http.Request, rec *recorder) {
	switch r.Fault {
	case StatusAfterCommit:
		writeStatus(w, r.Status)
	case CommitThenDrop:
		drop(w)
	case CommitThenHang:
		wait(req, r.delay(time.Minute))
		drop(w)
	case Truncate:
		rec.copyHeader(w, rec.body.Len())
		_, _ = w.Write(rec.body.Bytes()[:rec.body.Len()/2])
		flush(w)
		drop(w)
	case SlowBody:
		rec.copyHeader(w, rec.body.Len())
		for i := range rec.body.Len() {
			if !wait(req, r.delay(time.Second)) {
				return
			}
			_, _ = w.Write(rec.body.Bytes()[i : i+1])
			flush(w)
		}
	case HugeBody:
		rec.copyHeader(w, -1)
		_ = rec.padded(w)
	case GzipBomb:
		rec.header.Set("Content-Encoding", "gzip")
		rec.copyHeader(w, -1)
		z := gzip.NewWriter(w)
		if rec.padded(z) == nil {
			_ = z.Close()
		}
	case MalformedJSON:
		rec.copyHeader(w, -1)
		_, _ = io.WriteString(w, `{"id":"brok`)
	case HTML:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(rec.status)
		_, _ = io.WriteString(w, "<!doctype html><title>Bad gateway</title><h1>Something went wrong</h1>")
	default: // served without executing
	}
}

// padded writes the answer, and much behind it.
func (r *recorder) padded(w io.Writer) error {
	if _, err := w.Write(r.body.Bytes()); err != nil {
		return err
	}
	pad := bytes.Repeat([]byte(" "), 1<<20)
	for range hugeBytes / len(pad) {
		if _, err := w.Write(pad); err != nil {
			return err
		}
	}
	return nil
}

func (r Rule) delay(def time.Duration) time.Duration {
	if r.DelayMS == 0 {
		return def
	}
	return time.Duration(r.DelayMS) * time.Millisecond
}

// wait returns true after d, or false as soon as the client is gone.
func wait(req *http.Request, d time.Duration) bool {
	// The server notices a client that hangs up only once the body has been read.
	_, _ = io.Copy(io.Discard, req.Body)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-req.Context().Done():
		return false
	}
}

func writeStatus(w http.ResponseWriter, status int) {
	if status == 0 {
		status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"message":"fault: status %d"}`, status)
}

// drop resets the connection; the client sees it break.
func drop(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil { // HTTP/2: end the stream
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

// recorder keeps an answer instead of sending it.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func run(next http.Handler, req *http.Request) *recorder {
	rec := &recorder{header: http.Header{}, status: http.StatusOK}
	next.ServeHTTP(rec, req)
	return rec
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

// copyHeader sends the recorded header; length -1 leaves Content-Length out.
func (r *recorder) copyHeader(w http.ResponseWriter, length int) {
	maps.Copy(w.Header(), r.header)
	w.Header().Del("Content-Length")
	if length >= 0 {
		w.Header().Set("Content-Length", strconv.Itoa(length))
	}
	w.WriteHeader(r.status)
}
