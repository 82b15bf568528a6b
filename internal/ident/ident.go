// Package ident holds what every room needs to name things and to know the time:
// the Clock, UUIDv7 identifiers, short numbers people read aloud, and signed cursors.
package ident

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Clock tells the time. Time enters every package through one, so that tests own it.
type Clock interface {
	Now() time.Time
}

// System is the machine's clock.
type System struct{}

// Now returns the current time.
func (System) Now() time.Time { return time.Now() }

// Manual is a Clock that moves only when told to; it is safe for concurrent use.
type Manual struct {
	mu  sync.Mutex
	now time.Time
}

// NewManual returns a Manual clock standing at start.
func NewManual(start time.Time) *Manual { return &Manual{now: start} }

// Now returns the time the clock stands at.
func (m *Manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// Advance moves the clock forward by d.
func (m *Manual) Advance(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = m.now.Add(d)
}

// Rev is the revision of a mutable row: 1 when created, one more at every change.
// A writer states the Rev it read; a stale one is refused as problem.Conflict.
type Rev int64

// NewID returns a UUIDv7 (RFC 9562 section 5.7) in its 36-character form: 48 bits of
// Unix milliseconds from clock, then random bits. It panics if the system has no randomness.
func NewID(clock Clock) string {
	var b [16]byte
	ms := uint64(clock.Now().UnixMilli())
	binary.BigEndian.PutUint64(b[:8], ms<<16)
	if _, err := rand.Read(b[6:]); err != nil {
		panic("ident: no randomness: " + err.Error())
	}
	b[6] = b[6]&0x0f | 0x70
	b[8] = b[8]&0x3f | 0x80
	var out [36]byte
	hex.Encode(out[0:8], b[0:4])
	out[8] = '-'
	hex.Encode(out[9:13], b[4:6])
	out[13] = '-'
	hex.Encode(out[14:18], b[6:8])
	out[18] = '-'
	hex.Encode(out[19:23], b[8:10])
	out[23] = '-'
	hex.Encode(out[24:36], b[10:16])
	return string(out[:])
}

// ValidID reports whether s has the form of a UUIDv7 as NewID writes it.
func ValidID(s string) bool {
	if len(s) != 36 || s[14] != '7' || (s[19] != '8' && s[19] != '9' && s[19] != 'a' && s[19] != 'b') {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case (c < '0' || c > '9') && (c < 'a' || c > 'f'):
			return false
		}
	}
	return true
}

// crockford is the alphabet of short numbers: no I, L, O or U.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// ShortNumber derives from a UUIDv7 the number people read aloud: seven characters of its
// random part and a check character, as in "8KX493TD". The check is a weighted sum over the field of 32 elements,
// so that any one changed character and any two neighbours exchanged are noticed.
// It returns "" when id is not a UUIDv7. It is a name for people, not a key: look-ups use the id.
func ShortNumber(id string) string {
	if !ValidID(id) {
		return ""
	}
	raw, err := hex.DecodeString(id[24:])
	if err != nil || len(raw) != 6 {
		return ""
	}
	n := uint64(raw[1])<<32 | uint64(raw[2])<<24 | uint64(raw[3])<<16 | uint64(raw[4])<<8 | uint64(raw[5])
	var out [8]byte
	for i := 6; i >= 0; i-- {
		out[i] = crockford[n&31]
		n >>= 5
	}
	out[7] = checkCharacter(string(out[:7]))
	return string(out[:])
}

// ValidShortNumber reports whether s has the form of a short number and its last character is its check character.
func ValidShortNumber(s string) bool {
	if len(s) != 8 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if strings.IndexByte(crockford, s[i]) < 0 {
			return false
		}
	}
	return checkCharacter(s[:7]) == s[7]
}

// checkCharacter multiplies the i-th character's value by x^(i+1) in GF(2^5), modulus x^5+x^2+1, and adds. Every
// weight is different and none is 1 or 0, which is the check character's own: a single change or a swap of
// neighbours, the check character included, always changes the sum.
func checkCharacter(s string) byte {
	sum := 0
	for i := len(s) - 1; i >= 0; i-- {
		sum ^= strings.IndexByte(crockford, s[i])
		if sum <<= 1; sum > 31 {
			sum ^= 0b100101
		}
	}
	return crockford[sum]
}

// Secret returns n random bytes as lower-case hexadecimal, for tokens of n*8 bits.
func Secret(n int) string {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		panic(fmt.Sprintf("ident: no randomness: %v", err))
	}
	return hex.EncodeToString(b)
}
