package journal

import (
	"bufio"
	"context"
	"io"
	"time"

	"github.com/polyvault/polyvault/gateway"
)

// Backup writes every entry of a store to w, encrypted under the key, while others
// write. Progress, if it is not nil, is told after each entry how many there are.
func Backup(ctx context.Context, store gateway.Store, key gateway.ReferenceKey, w io.Writer, progress func(entries uint64)) (entries uint64, err error) {
	h := newHeader(KindBackup, key.ID)
	s, err := newSealer(h, key)
	if err != nil {
		return 0, err
	}
	out := bufio.NewWriterSize(w, 1<<16)
	if _, err := out.Write(s.head); err != nil {
		return 0, err
	}
	var frame []byte
	add := func(plain []byte) error {
		frame = s.seal(frame[:0], entries, plain)
		_, err := out.Write(frame)
		return err
	}
	err = store.Dump(ctx, func(k string, e gateway.Entry) error {
		err := add(Entry{Key: k, Value: e.Value, Version: e.Version, At: time.Now()}.encode())
		if err != nil {
			return err
		}
		if entries++; progress != nil {
			progress(entries)
		}
		return nil
	})
	if err != nil {
		return entries, err
	}
	if err := add(encodeEnd(entries)); err != nil {
		return entries, err
	}
	return entries, out.Flush()
}
