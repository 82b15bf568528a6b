package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// algorithm is one way to sign (RFC 7518 section 3, RFC 8037) and the kind of key it takes.
type algorithm struct {
	method jwt.SigningMethod
	kty    string
	hash   crypto.Hash // symmetric: the key is at least as long
}

var algorithms = map[string]algorithm{
	"ES256": {method: jwt.SigningMethodES256, kty: "EC"},
	"EdDSA": {method: jwt.SigningMethodEdDSA, kty: "OKP"},
	"RS256": {method: jwt.SigningMethodRS256, kty: "RSA"},
	"RS384": {method: jwt.SigningMethodRS384, kty: "RSA"},
	"RS512": {method: jwt.SigningMethodRS512, kty: "RSA"},
	"PS256": {method: pss(jwt.SigningMethodPS256), kty: "RSA"},
	"PS384": {method: pss(jwt.SigningMethodPS384), kty: "RSA"},
	"PS512": {method: pss(jwt.SigningMethodPS512), kty: "RSA"},
	"HS256": {method: jwt.SigningMethodHS256, kty: "oct", hash: crypto.SHA256},
	"HS384": {method: jwt.SigningMethodHS384, kty: "oct", hash: crypto.SHA384},
	"HS512": {method: jwt.SigningMethodHS512, kty: "oct", hash: crypto.SHA512},
}

// pss is a PSS method whose salt is exactly as long as the hash (RFC 7518 section 3.5); the library's own accepts any.
func pss(m *jwt.SigningMethodRSAPSS) jwt.SigningMethod {
	return &jwt.SigningMethodRSAPSS{SigningMethodRSA: m.SigningMethodRSA, Options: &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}}
}

func isSymmetric(alg string) bool { return strings.HasPrefix(alg, "HS") }

// fits reports whether the key may be used with the algorithm: by its type, by the alg it names, by its length.
func (a *algorithm) fits(k *Key) bool {
	if k.kty != a.kty || k.Algorithm != "" && k.Algorithm != a.method.Alg() {
		return false
	}
	secret, symmetric := k.public.([]byte)
	return !symmetric || len(secret) >= a.hash.Size()
}

func (a *algorithm) verify(signed string, signature []byte, k *Key) error {
	if a.kty == "EC" && len(signature) == 64 && (allZero(signature[:32]) || allZero(signature[32:])) {
		return errors.New("r or s is zero") // the primitive refuses it too; we do not depend on that
	}
	if public, ok := k.public.(*rsa.PublicKey); ok && len(signature) != public.Size() {
		return errors.New("the signature is not as long as the modulus")
	}
	return a.method.Verify(signed, signature, k.public)
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// Sign makes a compact JWS of payload: header members alg, typ and kid. The private key is ECDSA P-256 (ES256),
// Ed25519 (EdDSA) or RSA (PS256).
func Sign(typ, kid string, private crypto.Signer, payload []byte) (string, error) {
	var alg string
	switch p := private.(type) {
	case *ecdsa.PrivateKey:
		alg = "ES256"
	case ed25519.PrivateKey:
		alg = "EdDSA"
	case *rsa.PrivateKey:
		alg = "PS256"
	default:
		return "", fmt.Errorf("no algorithm for a key of type %T", p)
	}
	head, err := json.Marshal(struct {
		Alg string `json:"alg"`
		Typ string `json:"typ,omitempty"`
		Kid string `json:"kid"`
	}{alg, typ, kid})
	if err != nil {
		return "", err
	}
	signing := encode(head) + "." + encode(payload)
	signature, err := algorithms[alg].method.Sign(signing, private)
	if err != nil {
		return "", err
	}
	return signing + "." + encode(signature), nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
