package ident

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
)

// ErrCursor says that a cursor was not issued by this installation or not for this list.
var ErrCursor = errors.New("cursor is not one of ours: start again without it")

// Cursors signs and opens the opaque positions handed to callers.
type Cursors struct{ key []byte }

// NewCursors returns Cursors that sign with key (32 random bytes, kept for the life of the installation).
func NewCursors(key []byte) *Cursors { return &Cursors{key: append([]byte(nil), key...)} }

// Seal returns the cursor for a position of the list named scope (for example "orders/feed/<org>").
func (c *Cursors) Seal(scope string, position int64) string {
	p := strconv.FormatInt(position, 36)
	return p + "." + c.mac(scope, p)
}

// Open returns the position of a cursor sealed for scope, or ErrCursor.
func (c *Cursors) Open(scope, cursor string) (int64, error) {
	p, mac, ok := strings.Cut(cursor, ".")
	if !ok {
		return 0, ErrCursor
	}
	if !hmac.Equal([]byte(mac), []byte(c.mac(scope, p))) { // as text, so that a cursor has one spelling
		return 0, ErrCursor
	}
	n, err := strconv.ParseInt(p, 36, 64)
	if err != nil || n < 0 {
		return 0, ErrCursor
	}
	return n, nil
}

// mac is the first 96 bits of HMAC-SHA-256 in base64url.
func (c *Cursors) mac(scope, p string) string {
	m := hmac.New(sha256.New, c.key)
	m.Write([]byte(scope))
	m.Write([]byte{0})
	m.Write([]byte(p))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:12])
}
