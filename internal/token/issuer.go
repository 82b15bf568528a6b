package token

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/token/jose"
	"portway/internal/token/jwks"
)

// issuer is an external issuer at work: its policy and its keys. A changed policy makes a new one.
type issuer struct {
	policy *catalog.Issuer
	rules  jose.Rules
	source *jwks.Source
}

func newIssuer(p *catalog.Issuer, source *jwks.Source) *issuer {
	i := &issuer{policy: p, source: source, rules: jose.Rules{Algorithms: p.Algorithms}}
	switch {
	case p.Profile == catalog.ProfileRFC9068:
		i.rules.Types = ownRules.Types
	case p.Untyped:
		i.rules.Types = []string{"JWT", ""}
	default:
		i.rules.Types = []string{"JWT"}
	}
	return i
}

// maxIdentity is the longest identity an issuer may name.
const maxIdentity = 256

// verify checks a message by the issuer's policy. Everything that costs nothing comes before the keys, so that only a
// token that would be good but for its signature can ask for a fetch.
func (i *issuer) verify(ctx context.Context, m *jose.Message, members map[string]json.RawMessage, now time.Time) (*Verified, error) {
	if err := i.rules.Admit(m.Header); err != nil {
		return nil, err
	}
	v, err := i.read(members)
	if err != nil {
		return nil, err
	}
	expired := v.checkTimes(now, i.policy.MaxLifetime)
	if expired != nil && !errors.Is(expired, ErrExpired) {
		return nil, expired
	}
	if v.key = i.source.Find(m.Header.KeyID); v.key == nil && expired == nil {
		v.key, err = i.source.Key(ctx, m.Header.KeyID)
		switch {
		case errors.Is(err, jwks.ErrUnknown):
			return nil, refused("kid is not one of the issuer's keys")
		case err != nil:
			return nil, errors.Join(ErrUnavailable, err)
		}
	}
	if err := i.rules.Verify(m, v.key); err != nil {
		return nil, err
	}
	return v, expired
}

// read takes the claims over that count, and says for whom the token stands.
func (i *issuer) read(members map[string]json.RawMessage) (*Verified, error) {
	v := &Verified{External: i.policy}
	c := &v.Claims
	c.Issuer = i.policy.Issuer
	if !audience(members["aud"], i.policy.Audience) {
		return nil, refused("aud is not what the issuer's policy says")
	}
	c.Audience = i.policy.Audience
	for name, into := range map[string]*string{"sub": &c.Subject, "jti": &c.ID, "client_id": &c.ClientID} {
		if raw, ok := members[name]; ok && json.Unmarshal(raw, into) != nil {
			return nil, refused("%s is not a text", name)
		}
	}
	if i.policy.Profile == catalog.ProfileRFC9068 && (c.Subject == "" || c.ID == "" || c.ClientID == "") {
		return nil, refused("a required claim is missing")
	}
	for name, into := range map[string]*int64{"exp": &c.Expires, "iat": &c.IssuedAt, "nbf": &c.NotBefore} {
		if raw, ok := members[name]; ok && !numericDate(raw, into) {
			return nil, refused("%s is not a time", name)
		}
	}
	var ok bool
	if c.Scope, ok = scopes(members); !ok {
		return nil, refused("scope is not a list of scopes")
	}
	if raw, bound := members["cnf"]; bound {
		if err := json.Unmarshal(raw, &c.Confirmation); err != nil || string(raw) == "null" {
			return nil, refused("cnf is not a certificate thumbprint")
		}
	}
	return v, i.identify(v, members)
}

// identify applies the policy's rules of identity and environment.
func (i *issuer) identify(v *Verified, members map[string]json.RawMessage) error {
	var identity string
	if err := json.Unmarshal(members[i.policy.IdentityClaim], &identity); err != nil || identity == "" || len(identity) > maxIdentity {
		return refused("the identity claim is missing or malformed")
	}
	v.Identity = identity
	v.ClientID, v.Application = "", i.policy.Application
	if v.Application == "" {
		if v.ClientID = i.policy.Clients[identity]; v.ClientID == "" {
			return refused("the identity stands for no client here")
		}
	}
	v.Environment = i.policy.Environment
	if v.Environment == "" {
		var env ident.Environment
		if err := json.Unmarshal(members[i.policy.EnvironmentClaim], &env); err != nil || !env.Valid() {
			return refused("the environment claim is neither sandbox nor live")
		}
		v.Environment = env
	}
	return nil
}

// audience reports whether aud is exactly want: the text, or a list of only it (RFC 7519 section 4.1.3).
func audience(raw json.RawMessage, want string) bool {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return one == want
	}
	var list []string
	return json.Unmarshal(raw, &list) == nil && len(list) == 1 && list[0] == want
}

// numericDate reads a NumericDate (RFC 7519 section 2), a number of seconds that may have a fraction.
func numericDate(raw json.RawMessage, into *int64) bool {
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || f < 0 || f > maxTime {
		return false
	}
	*into = int64(f)
	return true
}

// scopes reads "scope" (RFC 8693 section 4.2), or "scp" as some issuers call it, a text or a list.
func scopes(members map[string]json.RawMessage) (string, bool) {
	raw, ok := members["scope"]
	if !ok {
		if raw, ok = members["scp"]; !ok {
			return "", true
		}
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text, string(raw) != "null"
	}
	var list []string
	if json.Unmarshal(raw, &list) != nil || slices.ContainsFunc(list, func(s string) bool { return s == "" || strings.ContainsAny(s, " \t\r\n") }) {
		return "", false
	}
	return strings.Join(list, " "), true
}
