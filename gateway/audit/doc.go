// Package audit keeps a log of who did what: append-only, and chained, so that a line
// that is changed, moved, left out or put in between is found.
//
// # File
//
// An entry is one line of JSON. Its members stand in a fixed order, "seq" first and
// "prev" and "hash" last:
//
//	{"seq":7,"time":"…","gateway":"…","action":"…",…,"prev":"<64 hex>","hash":"<64 hex>"}
//
// The hash is HMAC-SHA256 over the line's bytes from its first to the quote that ends
// "prev", which is the hash of the entry before: so each hash vouches for everything
// before it. The key is derived with HKDF-SHA256 from a reference key, with the chain's
// id, 16 random bytes, as salt: who can write the file and has no reference key cannot
// make a chain that fits.
//
// Every file begins with an entry audit.file, which names the chain and the id of the
// reference key. A chain goes on over files and starts of the process; its numbers begin
// at 1 and have no gaps. An entry audit.key goes on under another reference key, and is
// itself the first under it.
//
// What a chain cannot show by itself is that its end was cut off. The gateway logs the
// head (the number and hash of the newest entry) every hour and when it stops; a head
// that was noted elsewhere must be found in the files.
package audit
