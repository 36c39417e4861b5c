// Package journal keeps the store's entries in encrypted files: a journal that each
// gateway appends every change to, and backups. From both, in any order, a store
// can be rebuilt.
//
// # File
//
// A header: the magic "PVJOURNL", the version of this format (1 byte), the kind (1
// byte, 'J' or 'B'), an id of the file (16 random bytes), the length of the id of
// the reference key (1 byte), that id, and a check value (8 bytes) by which a wrong
// key is noticed. Then frames: length of the sealed part (4
// bytes, big endian), number of the frame (8 bytes, from 0), CRC-32C of the header,
// length and number (4 bytes), nonce (12 random bytes), and an entry under
// AES-256-GCM. The additional data are the header and the frame's number, so that a
// frame can be neither moved nor left out unseen. The key of each file is derived
// with HKDF-SHA256 from the reference key, with the file's id as salt.
//
// An entry is its kind (1 byte: 'e'), the time it was written (8 bytes, Unix
// microseconds), its version (8 bytes), the length of its key (2 bytes), the key and
// the value. A backup ends with a frame of kind 'z' and the number of entries (8
// bytes). A journal just stops, in the middle of a frame if its process died.
package journal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/polyvault/polyvault/gateway"
)

const (
	magic   = "PVJOURNL"
	version = 1
	purpose = "polyvault journal"
	check   = "polyvault journal check"

	fileIDSize = 16
	fixedHead  = len(magic) + 1 + 1 + fileIDSize + 1 // before the key's id
	checkSize  = 8                                   // after it
	maxKeyID   = 64

	frameHead = 4 + 8 + 4
	nonceSize = 12
	tagSize   = 16

	entryHead = 1 + 8 + 8 + 2
	maxPlain  = entryHead + gateway.MaxName + 1<<20 // the largest value of a store
	maxSealed = nonceSize + maxPlain + tagSize
)

// Kind is what a file is.
type Kind byte

// The kinds of files.
const (
	KindJournal Kind = 'J' // has no end: its process may have died
	KindBackup  Kind = 'B' // is complete only with its end
)

const (
	frameEntry byte = 'e'
	frameEnd   byte = 'z'
)

// Entry is one entry of a store, as it was written at a time.
type Entry struct {
	Key     string
	Value   []byte
	Version uint64
	At      time.Time
}

// header begins every file.
type header struct {
	kind   Kind
	fileID [fileIDSize]byte
	keyID  string
}

func newHeader(kind Kind, keyID string) header {
	h := header{kind: kind, keyID: keyID}
	_, _ = rand.Read(h.fileID[:]) // never fails: it ends the process instead
	return h
}

func (h header) encode() []byte {
	b := append([]byte(magic), version, byte(h.kind))
	b = append(b, h.fileID[:]...)
	b = append(b, byte(len(h.keyID))) //nolint:gosec // a validated ring has ids of at most maxKeyID
	return append(b, h.keyID...)
}

// sealer encrypts and decrypts the frames of one file.
type sealer struct {
	head []byte // the encoded header, check value included
	aead cipher.AEAD
}

func newSealer(h header, key gateway.ReferenceKey) (*sealer, error) {
	if len(key.ID) > maxKeyID {
		return nil, fmt.Errorf("the reference key's id has more than %d bytes", maxKeyID)
	}
	secret, err := hkdf.Key(sha256.New, key.Secret, h.fileID[:], purpose, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	head := h.encode()
	value, err := hkdf.Key(sha256.New, key.Secret, h.fileID[:], check+string(head), checkSize)
	return &sealer{head: append(head, value...), aead: aead}, err
}

// seal appends the frame that holds plain to out.
func (s *sealer) seal(out []byte, number uint64, plain []byte) []byte {
	out = s.appendHead(out, uint32(nonceSize+len(plain)+tagSize), number) //nolint:gosec // at most maxSealed
	var nonce [nonceSize]byte
	_, _ = rand.Read(nonce[:]) // random, so that a frame that is written anew never shares one
	out = append(out, nonce[:]...)
	return s.aead.Seal(out, nonce[:], plain, s.additional(number))
}

// open decrypts the sealed part of a frame.
func (s *sealer) open(number uint64, sealed []byte) ([]byte, error) {
	if len(sealed) < nonceSize+tagSize {
		return nil, errors.New("a frame that is too short")
	}
	return s.aead.Open(nil, sealed[:nonceSize], sealed[nonceSize:], s.additional(number))
}

func (s *sealer) additional(number uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte{}, s.head...), number)
}

func (s *sealer) appendHead(out []byte, length uint32, number uint64) []byte {
	start := len(out)
	out = binary.BigEndian.AppendUint32(out, length)
	out = binary.BigEndian.AppendUint64(out, number)
	return binary.BigEndian.AppendUint32(out, s.sum(out[start:]))
}

// parseHead reads what is before a frame's sealed part. Its sum tells a frame from
// what is none; that it is genuine is shown by opening it.
func (s *sealer) parseHead(b []byte) (length int, number uint64, ok bool) {
	if len(b) < frameHead || s.sum(b[:12]) != binary.BigEndian.Uint32(b[12:]) {
		return 0, 0, false
	}
	n := binary.BigEndian.Uint32(b)
	if n < nonceSize+tagSize || n > maxSealed {
		return 0, 0, false
	}
	return int(n), binary.BigEndian.Uint64(b[4:]), true
}

func (s *sealer) sum(frame []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(s.head, table), table, frame)
}

func (e Entry) encode() []byte {
	b := make([]byte, 0, entryHead+len(e.Key)+len(e.Value))
	b = append(b, frameEntry)
	b = binary.BigEndian.AppendUint64(b, uint64(e.At.UnixMicro()))
	b = binary.BigEndian.AppendUint64(b, e.Version)
	b = binary.BigEndian.AppendUint16(b, uint16(len(e.Key))) //nolint:gosec // at most MaxName
	b = append(b, e.Key...)
	return append(b, e.Value...)
}

func decodeEntry(b []byte) (Entry, error) {
	if len(b) < entryHead || len(b) < entryHead+int(binary.BigEndian.Uint16(b[17:])) {
		return Entry{}, errors.New("an entry in a form that this release does not know")
	}
	end := entryHead + int(binary.BigEndian.Uint16(b[17:]))
	return Entry{
		At:      time.UnixMicro(int64(binary.BigEndian.Uint64(b[1:]))), //nolint:gosec // as it was written
		Version: binary.BigEndian.Uint64(b[9:]),
		Key:     string(b[entryHead:end]),
		Value:   b[end:],
	}, nil
}

func encodeEnd(entries uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{frameEnd}, entries)
}

func decodeEnd(b []byte) (entries uint64, ok bool) {
	if len(b) != 9 || b[0] != frameEnd {
		return 0, false
	}
	return binary.BigEndian.Uint64(b[1:]), true
}
