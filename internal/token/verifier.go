package token

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/token/jose"
	"portway/internal/token/jwks"
)

// Verified is a token whose signature, issuer, audience and times are good. It is shared between calls: nobody
// changes it. Whether it was revoked, and whether it is bound to a certificate (CheckBinding), is for the caller to
// check at every call.
type Verified struct {
	Claims
	// Scopes are the scopes of the token.
	Scopes map[string]bool
	// External is the policy of the issuer, nil for our own tokens.
	External *catalog.Issuer
	// Application is "organisation/application" by slug for which an external token stands; "" when ClientID says it.
	Application string
	// Identity is who the external issuer says is calling, for the record.
	Identity string

	key    *jose.Key
	issuer *issuer // nil for our own tokens
}

// VerifierOptions are what a Verifier needs.
type VerifierOptions struct {
	Own *Profile
	Log *slog.Logger
	// Cache is how many verified tokens are remembered, rounded up to a power of two; zero is 8192. Each takes as much
	// memory as its token twice, at most 24 KiB.
	Cache int
	// Transport fetches key sets; nil is the verifier's own.
	Transport http.RoundTripper
}

// Verifier checks access tokens: our own, and those of the external issuers of the catalogue. It is safe for
// concurrent use.
type Verifier struct {
	own     *Profile
	options jwks.Options
	clock   ident.Clock
	cache   *cache
	issuers atomic.Pointer[map[string]*issuer]
	apply   sync.Mutex
}

// NewVerifier returns a Verifier of our own tokens; Apply adds the external issuers, Run keeps their keys.
func NewVerifier(o VerifierOptions) *Verifier {
	if o.Cache <= 0 {
		o.Cache = 8192
	}
	v := &Verifier{own: o.Own, clock: o.Own.Clock, cache: newCache(o.Cache),
		options: jwks.Options{Clock: o.Own.Clock, Log: o.Log, Transport: o.Transport}}
	v.issuers.Store(&map[string]*issuer{})
	return v
}

// Apply takes over the issuers of a snapshot, by the value of iss. Keys already fetched stay while their address does;
// tokens of an issuer whose policy is gone are refused at once. Our own issuer cannot be replaced. Policies come from
// catalog.Load, which checks them; the error names an address keys cannot come from.
func (v *Verifier) Apply(policies map[string]*catalog.Issuer) error {
	v.apply.Lock()
	defer v.apply.Unlock()
	sources := map[string]*jwks.Source{}
	for _, i := range *v.issuers.Load() {
		sources[i.policy.JWKS] = i.source
	}
	next := map[string]*issuer{}
	for iss, p := range policies {
		source := sources[p.JWKS]
		if source == nil {
			var err error
			if source, err = jwks.New(p.JWKS, v.options); err != nil {
				return err
			}
			sources[p.JWKS] = source
		}
		next[iss] = newIssuer(p, source)
	}
	v.issuers.Store(&next)
	return nil
}

// Run fetches the keys of the issuers ahead of need, until ctx ends.
func (v *Verifier) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		for _, i := range *v.issuers.Load() {
			i.source.Begin() // which does not wait: an issuer that hangs holds up no other
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Status is how the keys of every external issuer are doing, by the value of iss.
func (v *Verifier) Status() map[string]jwks.Status {
	out := map[string]jwks.Status{}
	for iss, i := range *v.issuers.Load() {
		out[iss] = i.source.Status()
	}
	return out
}

// Verify checks a token. It returns ErrExpired for a token that was good once, ErrUnavailable when its issuer's keys
// are not known, and an error wrapping ErrInvalid for everything else. Only the keys of a configured issuer are ever
// fetched; ctx bounds how long a call waits for that.
func (v *Verifier) Verify(ctx context.Context, raw string) (*Verified, error) {
	now := v.clock.Now()
	if found := v.cache.get(raw, now); found != nil && v.current(found, now) {
		return found, nil
	}
	m, err := jose.Parse(raw)
	if err != nil {
		return nil, err
	}
	members, err := jose.Members(m.Payload, "claims", claimNames)
	if err != nil {
		return nil, err
	}
	var iss string
	if err := json.Unmarshal(members["iss"], &iss); err != nil {
		return nil, refused("iss is missing or not a text")
	}
	out, err := v.verify(ctx, iss, m, members, now)
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(out.Scope)
	out.Scopes = make(map[string]bool, len(fields))
	for _, scope := range fields {
		out.Scopes[scope] = true
	}
	v.cache.put(raw, out, now)
	return out, nil
}

func (v *Verifier) verify(ctx context.Context, iss string, m *jose.Message, members map[string]json.RawMessage, now time.Time) (*Verified, error) {
	if iss == v.own.Issuer {
		c, key, err := v.own.verify(m)
		if err != nil {
			return nil, err
		}
		return &Verified{Claims: c, key: key}, nil
	}
	i := (*v.issuers.Load())[iss]
	if i == nil {
		return nil, refused("iss is not an issuer known here")
	}
	out, err := i.verify(ctx, m, members, now)
	if err != nil {
		return nil, err
	}
	out.issuer = i
	return out, nil
}

// current reports whether what was verified before would verify again: its key is still there, its issuer's policy is
// the same, and its time has come and not gone.
func (v *Verifier) current(found *Verified, now time.Time) bool {
	if now.Unix() >= found.Expires || found.NotBefore > now.Add(leeway).Unix() || found.IssuedAt > now.Add(leeway).Unix() {
		return false
	}
	if found.issuer == nil {
		return v.own.Ring.find(found.key.ID, now) == found.key
	}
	return (*v.issuers.Load())[found.Issuer] == found.issuer && found.issuer.source.Find(found.key.ID) == found.key
}
