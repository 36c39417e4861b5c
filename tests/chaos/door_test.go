package chaos

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// door is an address in front of a stand-in. While it is shut its connections are
// refused, as if nobody were there, and the stand-in can still be asked what it has.
type door struct {
	addr, behind string

	mu       sync.Mutex
	listener net.Listener // nil while it is shut
	conns    map[net.Conn]struct{}
}

func newDoor(t *testing.T, behind string) *door {
	t.Helper()
	d := &door{addr: programs.FreePort(t), behind: behind, conns: map[net.Conn]struct{}{}}
	d.open(t)
	t.Cleanup(d.shut)
	return d
}

func (d *door) open(t *testing.T) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", d.addr)
	require.NoError(t, err)
	d.mu.Lock()
	d.listener = l
	d.mu.Unlock()
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go d.pass(l, in)
		}
	}()
}

// shut ends the connections that are there as well.
func (d *door) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listener != nil {
		_ = d.listener.Close()
	}
	d.listener = nil
	for c := range d.conns {
		_ = c.Close()
	}
	clear(d.conns)
}

func (d *door) pass(l net.Listener, in net.Conn) {
	out, err := (&net.Dialer{Timeout: time.Second}).Dial("tcp", d.behind)
	if err != nil {
		_ = in.Close()
		return
	}
	d.mu.Lock()
	shut := d.listener != l
	if !shut {
		d.conns[in], d.conns[out] = struct{}{}, struct{}{}
	}
	d.mu.Unlock()
	if shut {
		_, _ = in.Close(), out.Close()
		return
	}
	go func() {
		_, _ = io.Copy(out, in)
		_ = out.Close()
	}()
	_, _ = io.Copy(in, out)
	_ = in.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.conns, in)
	delete(d.conns, out)
}
