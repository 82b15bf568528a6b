package token

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"portway/internal/ident"
	"portway/internal/token/jose"
)

// KeySet is the public keys a client registered.
type KeySet = jose.Set

// ErrPrivateKey says that a client sent the private part of a key: the pair must be replaced.
var ErrPrivateKey = jose.ErrPrivate

// ParseKeySet reads a JWK Set (RFC 7517 section 5) that a client registers: public keys only, each fit for use and
// under its own kid, which is the key's RFC 7638 thumbprint where it has none. The error names every bad key by its
// place, and wraps ErrPrivateKey when a private key was sent.
func ParseKeySet(b []byte) (*KeySet, error) {
	set, err := jose.ParseSet(b)
	if err == nil && set.Len() == 0 {
		err = errors.New("the key set has no key")
	}
	return set, err
}

// Once tells whether something was seen before, for all nodes. First reports whether key was not presented before;
// it remembers it until then. An error means that it cannot be known, and what was presented must be refused.
type Once interface {
	First(ctx context.Context, key string, until time.Time) (bool, error)
}

// AssertionRules are what a client assertion is held against.
type AssertionRules struct {
	Issuer   string // ours: the one acceptable audience
	ClientID string // who asks
	Keys     *KeySet
	Clock    ident.Clock
	Seen     Once
}

// Assertion holds the claims of a verified client assertion.
type Assertion struct {
	ClientID string
	ID       string // jti
	Expires  time.Time
}

const (
	// maxAssertion is the longest life of an assertion.
	maxAssertion = 5 * time.Minute
	// maxAssertionID is the longest jti that is remembered.
	maxAssertionID = 256
)

// assertionRules are the rules of the signature; typ is explicit (draft-ietf-oauth-rfc7523bis) or of before.
var assertionRules = &jose.Rules{Types: []string{"client-authentication+jwt", "JWT", ""}, Algorithms: []string{"ES256", "PS256", "EdDSA", "RS256"}}

type assertionClaims struct {
	Issuer    string          `json:"iss"`
	Subject   string          `json:"sub"`
	Audience  json.RawMessage `json:"aud"`
	ID        string          `json:"jti"`
	Expires   json.RawMessage `json:"exp"`
	IssuedAt  json.RawMessage `json:"iat"`
	NotBefore json.RawMessage `json:"nbf"`
}

// AssertionClient returns the client an assertion claims to come from, so that its keys can be looked up. Nothing is
// verified. The error wraps ErrInvalid.
func AssertionClient(raw string) (string, error) {
	_, c, err := readAssertion(raw)
	if err != nil {
		return "", err
	}
	return c.Subject, nil
}

func readAssertion(raw string) (*jose.Message, *assertionClaims, error) {
	m, err := jose.Parse(raw)
	if err != nil {
		return nil, nil, err
	}
	if _, err := jose.Members(m.Payload, "claims", claimNames); err != nil {
		return nil, nil, err
	}
	var c assertionClaims
	if err := json.Unmarshal(m.Payload, &c); err != nil {
		return nil, nil, refused("a claim has the wrong type")
	}
	if c.Subject == "" || c.Issuer != c.Subject {
		return nil, nil, refused("iss and sub are not one client")
	}
	return m, &c, nil
}

// VerifyAssertion checks a client assertion (RFC 7523 section 3, and draft-ietf-oauth-rfc7523bis on the audience):
// signed by a registered key, iss and sub the client, aud exactly our issuer identifier as one text, a life of at most
// five minutes, and a jti that was not presented before. The jti is spent only when all else is good. The error wraps
// ErrInvalid, or ErrUnavailable when Seen cannot tell.
func VerifyAssertion(ctx context.Context, raw string, r AssertionRules) (Assertion, error) {
	m, c, err := readAssertion(raw)
	if err != nil {
		return Assertion{}, err
	}
	var audience string
	var times Claims
	switch now := r.Clock.Now(); {
	case r.ClientID == "" || c.Subject != r.ClientID:
		return Assertion{}, refused("the assertion is of another client")
	case json.Unmarshal(c.Audience, &audience) != nil || audience != r.Issuer || r.Issuer == "":
		return Assertion{}, refused("aud is not exactly the issuer identifier, as one text")
	case c.ID == "" || len(c.ID) > maxAssertionID:
		return Assertion{}, refused("jti is missing or too long")
	case !numericDate(c.Expires, &times.Expires):
		return Assertion{}, refused("exp is missing or not a time")
	case c.IssuedAt != nil && !numericDate(c.IssuedAt, &times.IssuedAt), c.NotBefore != nil && !numericDate(c.NotBefore, &times.NotBefore):
		return Assertion{}, refused("iat or nbf is not a time")
	default:
		if c.IssuedAt == nil {
			times.IssuedAt = now.Unix() // optional here; then exp is held against now
		}
		if err := times.checkTimes(now, maxAssertion); errors.Is(err, ErrExpired) {
			return Assertion{}, refused("the assertion has expired")
		} else if err != nil {
			return Assertion{}, err
		}
		// An iat to come, within the leeway, does not buy a longer life.
		if time.Unix(times.Expires, 0).After(now.Add(maxAssertion + leeway)) {
			return Assertion{}, refused("lives longer than %s", maxAssertion)
		}
	}
	if err := assertionRules.Verify(m, r.Keys.Find(m.Header.KeyID)); err != nil {
		return Assertion{}, err
	}
	out := Assertion{ClientID: c.Subject, ID: c.ID, Expires: time.Unix(times.Expires, 0)}
	first, err := r.Seen.First(ctx, "assertion/"+c.Subject+"/"+c.ID, out.Expires.Add(2*leeway))
	switch {
	case err != nil:
		return Assertion{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	case !first:
		return Assertion{}, refused("the assertion was presented before")
	}
	return out, nil
}
