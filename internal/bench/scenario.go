package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"sync"
	"time"
)

// scenario is one line of the workload's table.
type scenario struct {
	post    bool   // POST /v1/shipments with a body, else GET of one
	invalid bool   // the body breaks a pattern
	token   string // "", "RS256" or "ES256"
	fresh   bool   // every request carries a token never seen before
	limit   bool   // a rate limit per client, never reached
	schema  bool   // parameters and body are validated
	all     bool   // call records, access log, response validation in report mode
	want    int    // status; 400 stands for any 4xx
}

var scenarios = map[string]*scenario{
	"S0":  {want: 200},
	"P0":  {post: true, want: 201},
	"S1":  {token: "RS256", want: 200},
	"S1E": {token: "ES256", want: 200},
	"S2":  {token: "RS256", limit: true, want: 200},
	"S3":  {token: "RS256", limit: true, schema: true, post: true, want: 201},
	"S4":  {token: "RS256", limit: true, schema: true, post: true, invalid: true, want: 400},
	"S3+": {token: "RS256", limit: true, schema: true, post: true, all: true, want: 201},
	"S1c": {token: "RS256", fresh: true, want: 200},
	"S3c": {token: "RS256", fresh: true, limit: true, schema: true, post: true, want: 201},
}

// issuer is the foreign issuer the tokens come from.
const (
	tokenAudience = "shipments-api"
	freshTokens   = 30_000
	clients       = 100
)

type keys struct {
	once sync.Once
	rsa  *rsa.PrivateKey
	ec   *ecdsa.PrivateKey
	err  error
}

func (k *keys) load() error {
	k.once.Do(func() {
		if k.rsa, k.err = rsa.GenerateKey(rand.Reader, 2048); k.err == nil {
			k.ec, k.err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		}
	})
	return k.err
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwks is the issuer's key set.
func (k *keys) jwks() ([]byte, error) {
	point, err := k.ec.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"keys": []map[string]string{
		{"kty": "RSA", "kid": "bench-rs", "alg": "RS256", "use": "sig", "n": b64(k.rsa.N.Bytes()), "e": b64(big.NewInt(int64(k.rsa.E)).Bytes())},
		{"kty": "EC", "crv": "P-256", "kid": "bench-es", "alg": "ES256", "use": "sig", "x": b64(point[1:33]), "y": b64(point[33:])},
	}})
}

// token signs one token of a client.
func (k *keys) token(alg, issuer string, client, serial int) (string, error) {
	kid := "bench-rs"
	if alg == "ES256" {
		kid = "bench-es"
	}
	now := time.Now().Unix()
	head, err := json.Marshal(map[string]string{"alg": alg, "typ": "JWT", "kid": kid})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{"iss": issuer, "aud": tokenAudience, "sub": fmt.Sprintf("client-%04d", client),
		"scope": "shipments:read shipments:write", "iat": now, "nbf": now, "exp": now + 365*24*3600, "jti": fmt.Sprintf("%d-%d-%d", client, serial, now)})
	if err != nil {
		return "", err
	}
	signing := b64(head) + "." + b64(claims)
	sum := sha256.Sum256([]byte(signing))
	var sig []byte
	if alg == "RS256" {
		if sig, err = rsa.SignPKCS1v15(rand.Reader, k.rsa, crypto.SHA256, sum[:]); err != nil {
			return "", err
		}
	} else {
		r, s, err := ecdsa.Sign(rand.Reader, k.ec, sum[:])
		if err != nil {
			return "", err
		}
		sig = make([]byte, 64)
		r.FillBytes(sig[:32])
		s.FillBytes(sig[32:])
	}
	return signing + "." + b64(sig), nil
}

// tokens makes the tokens of a scenario: one a client, or so many that none comes twice.
func (k *keys) tokens(s *scenario, issuer string) ([]string, error) {
	if s.token == "" {
		return nil, nil
	}
	n := clients
	if s.fresh {
		n = freshTokens
	}
	out := make([]string, n)
	var err error
	for i := range out {
		if out[i], err = k.token(s.token, issuer, i%clients, i); err != nil {
			return nil, err
		}
	}
	return out, nil
}
