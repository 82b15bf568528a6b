// Package token is Portway's JOSE profile over golang-jwt's primitives: it issues and verifies ES256 access
// tokens (RFC 9068) and publishes the verification keys (RFC 7517).
package token

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"portway/internal/secret"
)

// Keeper keeps installation secrets. PutOnce returns the value kept under name, which is value itself if
// there was none: nodes that start together agree on one.
type Keeper interface {
	PutOnce(ctx context.Context, name string, value []byte) ([]byte, error)
}

// key is one signing key with its public name.
type key struct {
	id      string
	private *ecdsa.PrivateKey
}

// KeyRing holds the signing keys of this installation; the last one signs, all verify.
type KeyRing struct {
	keys []key
	byID map[string]*ecdsa.PublicKey
	jwks []byte
}

const keyName = "token/signing-key/1"

// OpenKeyRing reads the signing key from the keeper, making it the first time. It is kept sealed.
func OpenKeyRing(ctx context.Context, keeper Keeper, sealer *secret.Sealer) (*KeyRing, error) {
	fresh, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(fresh)
	if err != nil {
		return nil, err
	}
	kept, err := keeper.PutOnce(ctx, keyName, sealer.Seal(keyName, der))
	if err != nil {
		return nil, err
	}
	plain, err := sealer.Open(keyName, kept)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() {
		return nil, fmt.Errorf("signing key: not an ECDSA P-256 key")
	}
	return newKeyRing(private)
}

func newKeyRing(private ...*ecdsa.PrivateKey) (*KeyRing, error) {
	ring := &KeyRing{byID: map[string]*ecdsa.PublicKey{}}
	type jwk struct {
		Kty string `json:"kty"`
		Crv string `json:"crv"`
		X   string `json:"x"`
		Y   string `json:"y"`
		Kid string `json:"kid"`
		Alg string `json:"alg"`
		Use string `json:"use"`
	}
	set := struct {
		Keys []jwk `json:"keys"`
	}{Keys: []jwk{}}
	for _, p := range private {
		point, err := p.PublicKey.Bytes() // 0x04 || X || Y
		if err != nil {
			return nil, err
		}
		x, y := b64(point[1:33]), b64(point[33:])
		// The key's id is its RFC 7638 thumbprint: members in lexicographic order, no spaces.
		sum := sha256.Sum256([]byte(`{"crv":"P-256","kty":"EC","x":"` + x + `","y":"` + y + `"}`))
		k := key{id: b64(sum[:]), private: p}
		ring.keys = append(ring.keys, k)
		ring.byID[k.id] = &p.PublicKey
		set.Keys = append(set.Keys, jwk{Kty: "EC", Crv: "P-256", X: x, Y: y, Kid: k.id, Alg: "ES256", Use: "sig"})
	}
	var err error
	ring.jwks, err = json.Marshal(set)
	return ring, err
}

// JWKS is the JSON Web Key Set (RFC 7517) with the public keys.
func (r *KeyRing) JWKS() []byte { return r.jwks }

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
