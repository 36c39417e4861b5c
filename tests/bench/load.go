package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// target is one way to make a request.
type target struct {
	name     string
	addr     string
	status   int                  // what a good answer has
	next     func(n int64) []byte // the n-th request, as bytes
	sequence *atomic.Int64        // counts the requests of every target, so that no two are the same
}

type result struct {
	rate          float64 // requests a second
	p50, p99, max float64 // milliseconds
}

// load keeps connections busy for d. The client writes prepared bytes and reads
// answers, and little else, so that it is not what is measured.
func load(ctx context.Context, t target, connections int, d time.Duration) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, d+10*time.Second)
	defer cancel()
	var mu sync.Mutex
	var all []float64
	var firstErr error
	var wg sync.WaitGroup
	start := time.Now()
	for range connections {
		wg.Go(func() {
			took, err := t.drive(ctx, start.Add(d))
			mu.Lock()
			defer mu.Unlock()
			if all = append(all, took...); err != nil && firstErr == nil {
				firstErr = err
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(start)
	if firstErr != nil {
		return result{}, firstErr
	}
	if len(all) == 0 {
		return result{}, fmt.Errorf("no request was answered")
	}
	slices.Sort(all)
	at := func(q float64) float64 { return all[int(q*float64(len(all)-1))] }
	return result{rate: float64(len(all)) / elapsed.Seconds(), p50: at(0.5), p99: at(0.99), max: at(1)}, nil
}

func (t target) drive(ctx context.Context, until time.Time) (took []float64, err error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", t.addr)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	r := bufio.NewReader(conn)
	for time.Now().Before(until) {
		request := t.next(t.sequence.Add(1))
		begin := time.Now()
		if _, err := conn.Write(request); err != nil {
			return took, err
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return took, err
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return took, err
		}
		took = append(took, ms(time.Since(begin)))
		if resp.StatusCode != t.status {
			return took, fmt.Errorf("answered %d, not %d: %.300s", resp.StatusCode, t.status, body)
		}
	}
	return took, nil
}
