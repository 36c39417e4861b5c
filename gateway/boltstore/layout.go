package boltstore

import (
	"encoding/binary"
	"time"

	"github.com/polyvault/polyvault/gateway"
)

const (
	bucketEntries = "entries"
	bucketExpiry  = "expiry"
	bucketClaims  = "claims"
	bucketIndexes = "indexes"
	bucketMeta    = "meta"
	keyFormat     = "format"
	format        = "1"
)

// record is an entry as it is in the file.
type record struct {
	version uint64
	expiry  uint64 // Unix milliseconds; 0: never
	nonce   []byte
	data    []byte
}

const recordHead = 8 + 8 + 1

func (r record) encode() []byte {
	b := make([]byte, 0, recordHead+len(r.nonce)+len(r.data))
	b = binary.BigEndian.AppendUint64(b, r.version)
	b = binary.BigEndian.AppendUint64(b, r.expiry)
	b = append(b, byte(len(r.nonce))) //nolint:gosec // validated: at most 64
	b = append(b, r.nonce...)
	return append(b, r.data...)
}

// decode returns a record that shares b, or the zero record for nil.
func decode(b []byte) (record, error) {
	if b == nil {
		return record{}, nil
	}
	if len(b) < recordHead || len(b) < recordHead+int(b[recordHead-1]) {
		return record{}, errDamaged
	}
	end := recordHead + int(b[recordHead-1])
	return record{
		version: binary.BigEndian.Uint64(b),
		expiry:  binary.BigEndian.Uint64(b[8:]),
		nonce:   b[recordHead:end],
		data:    b[end:],
	}, nil
}

func (r record) over(now time.Time) bool {
	return r.expiry != 0 && millis(now) >= r.expiry
}

// entry copies the data: bbolt's memory is gone with the transaction.
func (r record) entry() gateway.Entry {
	if r.version == 0 {
		return gateway.Entry{}
	}
	return gateway.Entry{Value: append([]byte{}, r.data...), Version: r.version}
}

// millis is never negative for a clock after 1970.
func millis(t time.Time) uint64 { return uint64(max(t.UnixMilli(), 0)) }

func expiryKey(expiry uint64, key []byte) []byte {
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(key)), expiry), key...)
}

// indexPrefix begins the rows of an index. The length in front keeps an index
// apart from one whose name begins with its own.
func indexPrefix(index string) []byte {
	b := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(index)), uint16(len(index))) //nolint:gosec // validated: at most MaxName
	return append(b, index...)
}

func indexRow(m gateway.Member) []byte { return append(indexPrefix(m.Index), m.Member...) }
