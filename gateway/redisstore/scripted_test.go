package redisstore

import (
	"bufio"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// scripted is a proxy that takes one command after the other, and gives its own
// reply to some.
type scripted struct {
	addr string

	mu       sync.Mutex
	commands [][]string
}

// startScripted forwards to a server what answer has no reply for, in RESP. Commands
// come in lower case.
func startScripted(tb testing.TB, server string, answer func(args []string) (reply string, ok bool)) *scripted {
	tb.Helper()
	l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	p := &scripted{addr: l.Addr().String()}
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
			wg.Go(func() {
				defer func() { _ = client.Close() }()
				upstream, err := net.Dial("tcp", server) //nolint:noctx // ends with the client's connection
				if err != nil {
					return
				}
				defer func() { _ = upstream.Close() }()
				_ = p.serve(client, upstream, answer)
			})
		}
	})
	return p
}

func (p *scripted) serve(client, upstream net.Conn, answer func([]string) (string, bool)) error {
	requests, replies := bufio.NewReader(client), bufio.NewReader(upstream)
	for {
		raw, args, err := readRESP(requests)
		if err != nil {
			return err
		}
		args[0] = strings.ToLower(args[0])
		p.mu.Lock()
		p.commands = append(p.commands, args)
		reply, own := answer(args)
		p.mu.Unlock()
		if !own {
			if _, err := io.WriteString(upstream, raw); err != nil {
				return err
			}
			if reply, _, err = readRESP(replies); err != nil {
				return err
			}
		}
		if _, err := io.WriteString(client, reply); err != nil {
			return err
		}
	}
}

// change runs f while no answer is given.
func (p *scripted) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// sent are the commands so far.
func (p *scripted) sent() [][]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.commands)
}

// readRESP reads one value and returns it as it came, and the strings in it.
func readRESP(r *bufio.Reader) (raw string, items []string, err error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", nil, err
	}
	if len(line) < 3 {
		return "", nil, errors.New("no RESP")
	}
	n, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
	switch line[0] {
	case '$':
		if n < 0 {
			return line, nil, nil
		}
		body := make([]byte, n+2)
		if _, err := io.ReadFull(r, body); err != nil {
			return "", nil, err
		}
		return line + string(body), []string{string(body[:n])}, nil
	case '*':
		raw = line
		for range n {
			part, strs, err := readRESP(r)
			if err != nil {
				return "", nil, err
			}
			raw, items = raw+part, append(items, strs...)
		}
		return raw, items, nil
	}
	return line, nil, nil
}
