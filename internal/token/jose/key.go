package jose

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// ErrPrivate says that a private key was shown where a public one belongs: whoever sent it must replace it.
var ErrPrivate = errors.New("this is a private key: make a new pair and send only the public part")

// Key is one public key that is fit to verify signatures.
type Key struct {
	ID string // kid, "" when the JWK has none
	// Algorithm is the one algorithm the key is for; "" leaves it to the key's type: RSA keys serve RS256 and PS256.
	Algorithm string

	kty    string // "EC", "OKP", "RSA"; "oct" in tests only
	public any    // *ecdsa.PublicKey, ed25519.PublicKey, *rsa.PublicKey; []byte of "oct"
	json   []byte // the canonical members of RFC 7638
}

// Thumbprint is the key's RFC 7638 thumbprint: base64url of a SHA-256.
func (k *Key) Thumbprint() string {
	sum := sha256.Sum256(k.json)
	return encode(sum[:])
}

// Same reports whether both are one key under one name and for one algorithm.
func (k *Key) Same(other *Key) bool {
	return k.ID == other.ID && k.Algorithm == other.Algorithm && bytes.Equal(k.json, other.json)
}

// MarshalJSON returns the key as a public JWK for verifying (RFC 7517).
func (k *Key) MarshalJSON() ([]byte, error) {
	if k.kty == "oct" {
		return nil, errors.New("a symmetric key is not shown")
	}
	var members map[string]string
	if err := json.Unmarshal(k.json, &members); err != nil {
		return nil, err
	}
	members["use"] = "sig"
	for name, v := range map[string]string{"kid": k.ID, "alg": k.Algorithm} {
		if v != "" {
			members[name] = v
		}
	}
	return json.Marshal(members)
}

// NewKey returns the Key of a public key that we made ourselves, named by its thumbprint.
func NewKey(public crypto.PublicKey) (*Key, error) {
	k := &Key{public: public}
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		point, err := p.Bytes() // 0x04 || X || Y
		if err != nil {
			return nil, err
		}
		if p.Curve != elliptic.P256() {
			return nil, errors.New("the curve is not P-256")
		}
		k.kty, k.Algorithm, k.json = "EC", "ES256", canonicalEC(point)
	case ed25519.PublicKey:
		k.kty, k.Algorithm, k.json = "OKP", "EdDSA", canonicalOKP(p)
	case *rsa.PublicKey:
		k.kty, k.Algorithm, k.json = "RSA", "PS256", canonicalRSA(p)
		if err := checkRSA(p); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("no JWK for a key of type %T", public)
	}
	k.ID = k.Thumbprint()
	return k, nil
}

// The canonical members of RFC 7638 section 3.2, in order of name and without spaces.
func canonicalEC(point []byte) []byte {
	return fmt.Appendf(nil, `{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`, encode(point[1:33]), encode(point[33:]))
}

func canonicalOKP(p ed25519.PublicKey) []byte {
	return fmt.Appendf(nil, `{"crv":"Ed25519","kty":"OKP","x":"%s"}`, encode(p))
}

func canonicalRSA(p *rsa.PublicKey) []byte {
	return fmt.Appendf(nil, `{"e":"AQAB","kty":"RSA","n":"%s"}`, encode(p.N.Bytes()))
}

// keyMembers are the JWK members whose exact spelling counts; private ones must not be there.
var (
	privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
	keyMembers     = append([]string{"kty", "use", "key_ops", "alg", "kid", "crv", "x", "y", "n", "e"}, privateMembers...)
)

// errOther says that a key is for something else: another type, curve, use or algorithm. A published set may hold such
// keys (RFC 7517 section 5).
var errOther = errors.New("not a key for verifying signatures here")

// ParseJWK reads one public JWK (RFC 7517) and checks that it is fit for use: EC P-256 on its curve, Ed25519 of
// full order, RSA of 2048 to 4096 bits with e=65537 and without the ROCA flaw; use, key_ops and alg must allow
// verifying. A private or symmetric key is ErrPrivate. Without kid the key is named by its thumbprint.
func ParseJWK(b []byte) (*Key, error) {
	k, err := parseJWK(b, false)
	if err == nil && k.ID == "" {
		k.ID = k.Thumbprint()
	}
	return k, err
}

func parseJWK(b []byte, symmetric bool) (*Key, error) {
	m, err := Members(b, "key", keyMembers)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": "))
	}
	var (
		kty, use, crv string
		k             Key
		ops           []string
	)
	for name, into := range map[string]any{"kty": &kty, "use": &use, "alg": &k.Algorithm, "kid": &k.ID, "crv": &crv, "key_ops": &ops} {
		if v, ok := m[name]; ok {
			if err := json.Unmarshal(v, into); err != nil {
				return nil, fmt.Errorf("%s has the wrong type", name)
			}
		}
	}
	for _, name := range privateMembers {
		if _, ok := m[name]; ok && (name != "k" || !symmetric) {
			return nil, ErrPrivate
		}
	}
	k.kty = kty
	switch {
	case use != "" && use != "sig", m["key_ops"] != nil && !slices.Contains(ops, "verify"):
		return nil, fmt.Errorf("%w: use or key_ops does not allow verifying", errOther)
	case kty == "EC" && crv == "P-256":
		err = k.ec(m)
	case kty == "OKP" && crv == "Ed25519":
		err = k.okp(m)
	case kty == "RSA":
		err = k.rsa(m)
	case kty == "oct" && symmetric:
		err = k.oct(m)
	default:
		return nil, fmt.Errorf("%w: kty is not EC with P-256, OKP with Ed25519, or RSA", errOther)
	}
	if err != nil {
		return nil, err
	}
	if k.Algorithm != "" {
		if a, ok := algorithms[k.Algorithm]; !ok || a.kty != kty {
			return nil, fmt.Errorf("%w: alg is not a signature algorithm of the key's type", errOther)
		}
	}
	return &k, nil
}

// bytesOf reads a member that holds base64url.
func bytesOf(m map[string]json.RawMessage, name string) ([]byte, error) {
	var text string
	if err := json.Unmarshal(m[name], &text); err != nil || text == "" || strings.ContainsAny(text, "\r\n") {
		return nil, fmt.Errorf("%s is missing or not a text", name)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%s is not canonical base64url", name)
	}
	return b, nil
}

// ec reads a P-256 point; both coordinates are 32 bytes (RFC 7518 section 6.2.1.2).
func (k *Key) ec(m map[string]json.RawMessage) error {
	x, errX := bytesOf(m, "x")
	y, errY := bytesOf(m, "y")
	if err := errors.Join(errX, errY); err != nil {
		return err
	}
	if len(x) != 32 || len(y) != 32 {
		return errors.New("x or y is not 32 bytes")
	}
	point := slices.Concat([]byte{4}, x, y)
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return errors.New("the point is not on the curve")
	}
	k.public, k.json = public, canonicalEC(point)
	return nil
}

// okp reads an Ed25519 key (RFC 8037 section 2) that generates the whole group: under a key of small order
// signatures can be made without a private key.
func (k *Key) okp(m map[string]json.RawMessage) error {
	x, err := bytesOf(m, "x")
	if err != nil {
		return err
	}
	if len(x) != ed25519.PublicKeySize || hasSmallOrder(x) {
		return errors.New("x is not an Ed25519 key of full order")
	}
	k.public, k.json = ed25519.PublicKey(x), canonicalOKP(x)
	return nil
}

func (k *Key) rsa(m map[string]json.RawMessage) error {
	n, errN := bytesOf(m, "n")
	e, errE := bytesOf(m, "e")
	if err := errors.Join(errN, errE); err != nil {
		return err
	}
	if !bytes.Equal(e, []byte{1, 0, 1}) {
		return errors.New("e is not 65537")
	}
	public := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}
	if err := checkRSA(public); err != nil {
		return err
	}
	k.public, k.json = public, canonicalRSA(public)
	return nil
}

func checkRSA(p *rsa.PublicKey) error {
	switch bits := p.N.BitLen(); {
	case bits < 2048 || bits > 4096:
		return errors.New("n is not of 2048 to 4096 bits")
	case p.E != 65537:
		return errors.New("e is not 65537")
	case p.N.Bit(0) == 0:
		return errors.New("n is even")
	case hasROCA(p.N):
		return errors.New("n has the ROCA flaw (CVE-2017-15361): make a new key")
	}
	return nil
}

func (k *Key) oct(m map[string]json.RawMessage) error {
	secret, err := bytesOf(m, "k")
	k.public, k.json = secret, []byte(`{"kty":"oct"}`)
	return err
}
