package token

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"portway/internal/ident"
	"portway/internal/schema"
)

// The ways a token can be refused. The caller learns only invalid or expired; the log gets the text.
var (
	ErrInvalid = errors.New("token refused")
	ErrExpired = errors.New("token expired")
)

// MaxBytes is the longest token that is looked at.
const MaxBytes = 8 << 10

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
	Org         ident.OrgID       `json:"org"`
	IssuedAt    int64             `json:"iat"`
	NotBefore   int64             `json:"nbf,omitempty"`
	Expires     int64             `json:"exp"`
}

// Profile says which tokens are ours and how long they may live.
type Profile struct {
	Issuer   string // exact
	Audience string // exact
	Lifetime time.Duration
	Ring     *KeyRing
	Clock    ident.Clock
}

// Issue signs an access token for a client: typ at+jwt, ES256. Scope is what the token may do, already capped.
func (p *Profile) Issue(clientID string, org ident.OrgID, env ident.Environment, scope string) (raw string, c Claims, err error) {
	now := p.Clock.Now()
	c = Claims{Issuer: p.Issuer, Audience: p.Audience, Subject: clientID, ClientID: clientID, ID: ident.NewID(p.Clock),
		Scope: scope, Environment: env, Org: org, IssuedAt: now.Unix(), Expires: now.Add(p.Lifetime).Unix()}
	signer := p.Ring.keys[len(p.Ring.keys)-1]
	head, err := json.Marshal(struct {
		Alg string `json:"alg"`
		Typ string `json:"typ"`
		Kid string `json:"kid"`
	}{"ES256", "at+jwt", signer.id})
	if err != nil {
		return "", c, err
	}
	body, err := json.Marshal(c)
	if err != nil {
		return "", c, err
	}
	signing := b64(head) + "." + b64(body)
	sig, err := jwt.SigningMethodES256.Sign(signing, signer.private)
	if err != nil {
		return "", c, err
	}
	return signing + "." + b64(sig), c, nil
}

var kidForm = regexp.MustCompile(`^[A-Za-z0-9._~-]{1,128}$`)

// header is the JOSE header; every member that could steer verification is listed, to be refused.
type header struct {
	Alg  string           `json:"alg"`
	Typ  string           `json:"typ"`
	Kid  string           `json:"kid"`
	Crit *json.RawMessage `json:"crit"`
	B64  *json.RawMessage `json:"b64"`
	JWK  *json.RawMessage `json:"jwk"`
	JKU  *json.RawMessage `json:"jku"`
	X5U  *json.RawMessage `json:"x5u"`
	X5C  *json.RawMessage `json:"x5c"`
	Zip  *json.RawMessage `json:"zip"`
}

// Verify checks a token by the profile, cheap checks first: size, shape, canonical base64url, strict JSON,
// type, algorithm, key, signature, then claims. It returns ErrExpired for a token that was good once, and an
// error wrapping ErrInvalid for everything else. It never fetches anything.
func (p *Profile) Verify(raw string) (Claims, error) {
	var c Claims
	if len(raw) > MaxBytes {
		return c, refused("longer than %d bytes", MaxBytes)
	}
	if strings.ContainsAny(raw, "\r\n") { // which the decoder would skip
		return c, refused("a line end inside")
	}
	parts := strings.SplitN(raw, ".", 4)
	if len(parts) != 3 {
		return c, refused("not three parts")
	}
	var h header
	if err := decode(parts[0], &h, "header"); err != nil {
		return c, err
	}
	switch {
	case h.Typ != "at+jwt" && h.Typ != "application/at+jwt":
		return c, refused("typ is not at+jwt")
	case h.Alg != "ES256":
		return c, refused("alg is not ES256")
	case h.Crit != nil || h.B64 != nil || h.JWK != nil || h.JKU != nil || h.X5U != nil || h.X5C != nil || h.Zip != nil:
		return c, refused("the header tries to steer verification")
	case !kidForm.MatchString(h.Kid):
		return c, refused("kid is missing or malformed")
	}
	public := p.Ring.byID[h.Kid]
	if public == nil {
		return c, refused("kid is not one of our keys")
	}
	sig, err := base64.RawURLEncoding.Strict().DecodeString(parts[2])
	if err != nil {
		return c, refused("the signature is not canonical base64url")
	}
	if err := jwt.SigningMethodES256.Verify(parts[0]+"."+parts[1], sig, public); err != nil {
		return c, refused("the signature does not verify")
	}
	if err := decode(parts[1], &c, "claims"); err != nil {
		return c, err
	}
	return c, p.check(&c)
}

func (p *Profile) check(c *Claims) error {
	now := p.Clock.Now()
	switch {
	case c.Issuer != p.Issuer:
		return refused("iss is not ours")
	case c.Audience != p.Audience:
		return refused("aud is not this gateway")
	case c.ClientID == "" || c.Subject != c.ClientID || c.ID == "" || !c.Environment.Valid() || c.Org == "":
		return refused("a required claim is missing")
	case c.Expires <= 0 || c.IssuedAt <= 0:
		return refused("exp or iat is missing")
	case c.Expires-c.IssuedAt > int64((p.Lifetime+leeway)/time.Second):
		return refused("lives longer than the policy allows")
	case time.Unix(c.IssuedAt, 0).After(now.Add(leeway)) || time.Unix(c.NotBefore, 0).After(now.Add(leeway)):
		return refused("not valid yet")
	case !time.Unix(c.Expires, 0).Add(leeway).After(now):
		return ErrExpired
	}
	return nil
}

// decode reads one part: canonical unpadded base64url, strict JSON without duplicate members, and member
// names in exactly our spelling (encoding/json would fold case).
func decode(part string, into any, what string) error {
	b, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return refused("the %s is not canonical base64url", what)
	}
	if err := schema.Scan(b, schema.Limits{Depth: 8}); err != nil {
		return refused("the %s is not strict JSON", what)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(b, &members); err != nil {
		return refused("the %s is not an object", what)
	}
	for name := range members {
		if strings.ToLower(name) != name {
			return refused("the %s has a member in another spelling", what)
		}
	}
	if err := json.Unmarshal(b, into); err != nil {
		return refused("a member of the %s has the wrong type", what)
	}
	return nil
}

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}
