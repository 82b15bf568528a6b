package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"portway/internal/ident"
	"portway/internal/token/jose"
)

// The ways a token can be refused. The caller learns only invalid or expired; the log gets the text.
var (
	ErrInvalid = jose.ErrInvalid
	ErrExpired = errors.New("token expired")
	// ErrUnavailable says that the token cannot be judged now: its issuer's keys are not known, or what was presented
	// before cannot be looked up. It is our failure, not the caller's.
	ErrUnavailable = errors.New("the token cannot be checked at the moment")
)

// MaxBytes is the longest token that is looked at.
const MaxBytes = jose.MaxBytes

// leeway is how far clocks may differ.
const leeway = 30 * time.Second

// Claims are the claims of our access tokens (RFC 9068 section 2.2), with the environment and organisation.
type Claims struct {
	Issuer      string            `json:"iss"`
	Audience    string            `json:"aud"`
	Subject     string            `json:"sub"`
	ClientID    string            `json:"client_id"`
	ID          string            `json:"jti"`
	Scope       string            `json:"scope"`
	Environment ident.Environment `json:"env"`
	Org         ident.OrgID       `json:"org"`              // on whose behalf
	Vendor      ident.OrgID       `json:"vendor,omitempty"` // the software vendor that acts for Org, "" when Org acts itself
	IssuedAt    int64             `json:"iat"`
	NotBefore   int64             `json:"nbf,omitempty"`
	Expires     int64             `json:"exp"`
	// Confirmation binds the token to what its presenter must prove to have (RFC 7800); zero for a bearer token.
	Confirmation Confirmation `json:"cnf,omitzero"`
}

// claimNames are the claims whose exact spelling counts.
var claimNames = []string{"iss", "aud", "sub", "client_id", "jti", "scope", "scp", "env", "org", "vendor", "iat", "nbf", "exp", "cnf"}

// Profile says which tokens are ours and how long they may live.
type Profile struct {
	Issuer   string // exact
	Audience string // exact
	Lifetime time.Duration
	Ring     *KeyRing
	Clock    ident.Clock
}

// Grant is what an access token is issued for. Scope is what it may do, already capped.
type Grant struct {
	ClientID    string
	Org         ident.OrgID
	Vendor      ident.OrgID // the software vendor that acts for Org, "" when Org acts itself
	Environment ident.Environment
	Scope       string
	// Lifetime is by policy; zero, and anything longer than the profile's, is the profile's.
	Lifetime time.Duration
	// Certificate is the thumbprint the token is bound to (CertificateThumbprint), "" for a bearer token.
	Certificate string
}

// Issue signs an access token for a client: typ at+jwt, ES256.
func (p *Profile) Issue(g Grant) (raw string, c Claims, err error) {
	now := p.Clock.Now()
	if g.Lifetime <= 0 || g.Lifetime > p.Lifetime {
		g.Lifetime = p.Lifetime
	}
	c = Claims{Issuer: p.Issuer, Audience: p.Audience, Subject: g.ClientID, ClientID: g.ClientID, ID: ident.NewID(p.Clock),
		Scope: g.Scope, Environment: g.Environment, Org: g.Org, Vendor: g.Vendor, IssuedAt: now.Unix(), Expires: now.Add(g.Lifetime).Unix(),
		Confirmation: Confirmation{Certificate: g.Certificate}}
	body, err := json.Marshal(c)
	if err != nil {
		return "", c, err
	}
	signer, err := p.Ring.signer(now)
	if err != nil {
		return "", c, err
	}
	raw, err = jose.Sign("at+jwt", signer.ID, signer.private, body)
	return raw, c, err
}

// ownRules are those of RFC 9068 section 4 for tokens that we signed.
var ownRules = &jose.Rules{Types: []string{"at+jwt", "application/at+jwt"}, Algorithms: []string{"ES256"}}

// Verify checks one of our tokens, cheap checks first: size, shape, canonical base64url, strict JSON, type, algorithm,
// claims, then the signature. It returns ErrExpired for a token that was good once, and an error wrapping ErrInvalid
// for everything else. It never fetches anything. Revocation and binding are the caller's to check.
func (p *Profile) Verify(raw string) (Claims, error) {
	m, err := jose.Parse(raw)
	if err != nil {
		return Claims{}, err
	}
	if err := ownRules.Admit(m.Header); err != nil {
		return Claims{}, err
	}
	if _, err := jose.Members(m.Payload, "claims", claimNames); err != nil {
		return Claims{}, err
	}
	c, _, err := p.verify(m)
	return c, err
}

// verify checks a message whose claims are strict JSON. A key that is not there is refused before anything is computed.
func (p *Profile) verify(m *jose.Message) (Claims, *jose.Key, error) {
	var c Claims
	if err := ownRules.Admit(m.Header); err != nil {
		return c, nil, err
	}
	key := p.Ring.find(m.Header.KeyID, p.Clock.Now())
	if key == nil {
		return c, nil, refused("kid is not one of our keys")
	}
	if err := json.Unmarshal(m.Payload, &c); err != nil {
		return c, nil, refused("a claim has the wrong type")
	}
	checked := p.check(&c)
	if checked != nil && !errors.Is(checked, ErrExpired) {
		return c, nil, checked
	}
	// Only what we signed is told that it has expired.
	if err := ownRules.Verify(m, key); err != nil {
		return c, nil, err
	}
	return c, key, checked
}

func (p *Profile) check(c *Claims) error {
	switch {
	case c.Issuer != p.Issuer:
		return refused("iss is not ours")
	case c.Audience != p.Audience:
		return refused("aud is not this gateway")
	case c.ClientID == "" || c.Subject != c.ClientID || c.ID == "" || !c.Environment.Valid() || c.Org == "":
		return refused("a required claim is missing")
	}
	return c.checkTimes(p.Clock.Now(), p.Lifetime)
}

// checkTimes holds exp, iat and nbf against now and the longest life allowed. The last check is of exp: what else is
// wrong makes a token invalid, not expired.
func (c *Claims) checkTimes(now time.Time, longest time.Duration) error {
	switch {
	case c.Expires <= 0 || c.IssuedAt <= 0:
		return refused("exp or iat is missing")
	case c.Expires > maxTime || c.IssuedAt > maxTime || c.NotBefore > maxTime || c.NotBefore < 0:
		return refused("a time is out of range")
	case c.Expires-c.IssuedAt > int64((longest+leeway)/time.Second):
		return refused("lives longer than the policy allows")
	case time.Unix(c.IssuedAt, 0).After(now.Add(leeway)) || time.Unix(c.NotBefore, 0).After(now.Add(leeway)):
		return refused("not valid yet")
	case !time.Unix(c.Expires, 0).Add(leeway).After(now):
		return ErrExpired
	}
	return nil
}

// maxTime is the end of the year 9999 in Unix seconds: beyond it, sums of times are not worth trusting.
const maxTime = 253402300799

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}
