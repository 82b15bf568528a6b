// Package jose verifies and makes compact JSON Web Signatures (RFC 7515) over golang-jwt's primitives, by rules
// that the primitives do not keep: strict encoding, no header that steers verification, one key by its kid, and keys
// that are fit for use (RFC 7517, RFC 7518, RFC 8725). It knows bytes, not claims, and never fetches anything.
package jose

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"portway/internal/schema"
)

// ErrInvalid is wrapped by every refusal of a message.
var ErrInvalid = errors.New("token refused")

// MaxBytes is the longest compact message that is looked at.
const MaxBytes = 8 << 10

// How deep the JSON of headers, claims and keys may nest, and how many members one object may have.
const maxDepth, maxMembers = 16, 128

// Header holds the members of a JOSE header that count; others are ignored unless they are forbidden.
type Header struct {
	Algorithm string // alg
	Type      string // typ, "" when absent
	KeyID     string // kid
}

// Message is a compact JWS that was read and not yet verified: nothing in it may be believed.
type Message struct {
	Header  Header
	Payload []byte

	signed    string // what the signature is over
	signature []byte
}

// forbidden are header members that would steer verification: extensions that must be understood (crit), unencoded
// payloads (b64), keys and addresses of keys chosen by the sender, and compression.
var forbidden = []string{"crit", "b64", "jwk", "jku", "x5u", "x5c", "zip"}

// known are the header members whose exact spelling counts.
var known = append([]string{"alg", "typ", "kid", "cty"}, forbidden...)

// Parse reads a compact JWS, cheap checks first: length, exactly three parts, canonical base64url without padding,
// then the header as strict JSON without duplicate, case-variant or forbidden members. Errors wrap ErrInvalid.
func Parse(raw string) (*Message, error) {
	if len(raw) > MaxBytes {
		return nil, refused("longer than %d bytes", MaxBytes)
	}
	head, rest, _ := strings.Cut(raw, ".")
	payload, signature, ok := strings.Cut(rest, ".")
	if !ok || strings.IndexByte(signature, '.') >= 0 {
		return nil, refused("not three parts")
	}
	m := &Message{signed: raw[:len(head)+1+len(payload)]}
	h, err := decode(head, "header")
	if err != nil {
		return nil, err
	}
	if m.Payload, err = decode(payload, "payload"); err != nil {
		return nil, err
	}
	if m.signature, err = decode(signature, "signature"); err != nil {
		return nil, err
	}
	return m, m.Header.read(h)
}

// decode reads canonical unpadded base64url. The decoder would skip line ends, so they are refused first.
func decode(part, what string) ([]byte, error) {
	if strings.ContainsAny(part, "\r\n") {
		return nil, refused("a line end inside the %s", what)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, refused("the %s is not canonical base64url", what)
	}
	return b, nil
}

func (h *Header) read(b []byte) error {
	members, err := Members(b, "header", known)
	if err != nil {
		return err
	}
	for _, name := range forbidden {
		if _, ok := members[name]; ok {
			return refused("the header tries to steer verification")
		}
	}
	for name, into := range map[string]*string{"alg": &h.Algorithm, "typ": &h.Type, "kid": &h.KeyID} {
		v, ok := members[name]
		if !ok {
			continue
		}
		// An empty text would pass for an absent member.
		if err := json.Unmarshal(v, into); err != nil || *into == "" {
			return refused("%s is not a text", name)
		}
	}
	return nil
}

// Members reads one strict JSON object: no duplicate members, nothing after it, and none whose name differs from an
// exact one only by case, which a lenient reader behind us could take for it. Errors wrap ErrInvalid.
func Members(b []byte, what string, exact []string) (map[string]json.RawMessage, error) {
	if err := schema.Scan(b, schema.Limits{Depth: maxDepth, Members: maxMembers}); err != nil {
		return nil, refused("the %s is not strict JSON", what)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(b, &members); err != nil || members == nil {
		return nil, refused("the %s is not an object", what)
	}
	for name := range members {
		if slices.Contains(exact, name) {
			continue
		}
		for _, e := range exact {
			if strings.EqualFold(e, name) {
				return nil, refused("the %s has a member in another spelling", what)
			}
		}
	}
	return members, nil
}

// Rules say which messages are acceptable for one use.
type Rules struct {
	// Types are the acceptable values of typ; "" stands for an absent one (RFC 8725 section 3.11).
	Types []string
	// Algorithms are the acceptable values of alg (RFC 7518 section 3.1); symmetric ones are never acceptable.
	Algorithms []string

	// symmetric and anyKeyID serve test vectors, which use HMAC and key ids of a wider form.
	symmetric, anyKeyID bool
}

// Admit checks the header by the rules: typ, alg, and the form of kid. Errors wrap ErrInvalid.
func (r *Rules) Admit(h Header) error {
	switch {
	case !slices.Contains(r.Types, h.Type):
		return refused("typ is not one of %q", r.Types)
	case !slices.Contains(r.Algorithms, h.Algorithm) || isSymmetric(h.Algorithm) && !r.symmetric:
		return refused("alg is not one of %v", r.Algorithms)
	case !r.anyKeyID && !ValidKeyID(h.KeyID):
		return refused("kid is missing or malformed")
	}
	return nil
}

// Verify checks the header by the rules and the signature by key, which the caller found by the header's kid.
// Errors wrap ErrInvalid.
func (r *Rules) Verify(m *Message, key *Key) error {
	if err := r.Admit(m.Header); err != nil {
		return err
	}
	if key == nil || key.ID != m.Header.KeyID {
		return refused("kid is not one of the keys")
	}
	a, ok := algorithms[m.Header.Algorithm]
	if !ok || !a.fits(key) {
		return refused("the key is not for this alg")
	}
	if err := a.verify(m.signed, m.signature, key); err != nil {
		return refused("the signature does not verify")
	}
	return nil
}

// ValidKeyID reports whether kid is 1 to 128 unreserved characters (RFC 3986 section 2.3).
func ValidKeyID(kid string) bool {
	if kid == "" || len(kid) > 128 {
		return false
	}
	for i := 0; i < len(kid); i++ {
		switch c := kid[i]; {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '~' || c == '-':
		default:
			return false
		}
	}
	return true
}

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}
