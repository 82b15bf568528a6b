// Package authn says who is calling, and runs the OAuth 2.0 endpoints where callers get their tokens.
package authn

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"strings"
	"time"

	"portway/gateway/exchange"
	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/problem"
	"portway/internal/secret"
	"portway/internal/token"
)

// Identify is the stage that turns an access token or API key into a Caller. Anonymous operations pass without one; a
// credential that is sent anyway is not looked at.
type Identify struct {
	Verifier  *token.Verifier
	Directory *partner.Directory
	Clock     ident.Clock
	Log       *slog.Logger
	// Open, if set, is the caller of every call without a token: open access, for "serve --insecure-no-auth".
	Open *partner.Caller
}

// Name is "identify".
func (*Identify) Name() string { return "identify" }

// Run sets Caller, Token and Environment, or refuses with an auth.* problem. What was wrong with a token or key goes
// to the log, never to the caller.
func (s *Identify) Run(ctx context.Context, x *exchange.Exchange) error {
	if x.Route.Anonymous {
		if x.Route.Dispatch == catalog.Proxy { // it has no caller to say which backend: the host name does, live otherwise
			x.Environment = x.HostEnvironment
			if x.Environment == "" {
				x.Environment = ident.Live
			}
		}
		return nil
	}
	if s.Open != nil {
		x.Caller, x.Environment = s.Open, s.Open.Environment
		x.Note("open access")
		return nil
	}
	raw, isKey, err := presented(x.Request.Header)
	if err != nil {
		return err
	}
	if s.Directory.Stale() {
		return unavailable()
	}
	var caller *partner.Caller
	var said exchange.Token
	if isKey {
		caller, err = s.byKey(ctx, x, raw)
	} else {
		caller, said, err = s.byToken(ctx, x, raw)
	}
	if err != nil {
		return err
	}
	if err := usable(caller, s.Clock.Now()); err != nil {
		return err
	}
	x.Caller, x.Environment, x.Token = caller, caller.Environment, said
	if caller.Vendor != nil {
		x.Note("a vendor's application acts for the organisation")
	}
	if !fromAllowedAddress(ctx, s.Log, x, caller) {
		return problem.New(problem.AuthAddress, "this address is not on the application's list")
	}
	return nil
}

// byToken finds the caller of an access token: ours, or one of an external issuer.
func (s *Identify) byToken(ctx context.Context, x *exchange.Exchange, raw string) (*partner.Caller, exchange.Token, error) {
	v, err := s.Verifier.Verify(ctx, raw)
	if err != nil {
		s.refused(ctx, x, err.Error())
		switch {
		case errors.Is(err, token.ErrUnavailable):
			return nil, exchange.Token{}, unavailable()
		case errors.Is(err, token.ErrExpired):
			return nil, exchange.Token{}, challenge(problem.AuthExpired, "the access token has expired")
		}
		return nil, exchange.Token{}, notAcceptable()
	}
	caller, reason := s.callerOf(v)
	switch {
	case reason != "":
	case v.External == nil && s.Directory.Revoked(v.ID):
		reason = "the token was revoked"
	case v.IssuedAt <= caller.RevokedBefore/1e6: // whole seconds: those of the same second are void too
		reason = "the client's earlier tokens were revoked"
	default:
		reason = binding(x, v)
	}
	if reason != "" {
		s.refused(ctx, x, reason)
		return nil, exchange.Token{}, notAcceptable()
	}
	said := exchange.Token{ID: v.ID, Scopes: v.Scopes, Expires: time.Unix(v.Expires, 0)}
	if v.External != nil {
		said.ID, said.Unlimited = v.External.ID+"/"+v.ID, v.Scope == ""
	}
	return caller, said, nil
}

// callerOf maps a token to the caller it stands for, or says why there is none.
func (s *Identify) callerOf(v *token.Verified) (*partner.Caller, string) {
	const unknown = "the client is unknown or changed"
	if v.External != nil {
		c, ok := s.Directory.Client(v.ClientID)
		if v.Application != "" {
			c, ok = s.Directory.Application(v.Application, v.Environment)
		}
		// A vendor's call names for whom it is, and tokens of others do not.
		if !ok || c.Environment != v.Environment || c.Kind == partner.KindVendor {
			return nil, unknown
		}
		return c, ""
	}
	c, ok := s.Directory.Client(v.ClientID)
	if ok && (v.Vendor != "" || c.Kind == partner.KindVendor) {
		if c.Org != v.Vendor {
			return nil, unknown
		}
		if c, ok = s.Directory.Acting(c, v.Org); !ok {
			return nil, "the vendor has no grant of the organisation"
		}
	}
	if !ok || c.Environment != v.Environment || c.Org != v.Org || c.CredentialKind == partner.APIKey {
		return nil, unknown
	}
	return c, ""
}

// binding says why a token bound to a certificate may not be used over this connection, "" when it may.
func binding(x *exchange.Exchange, v *token.Verified) string {
	if v.Confirmation == (token.Confirmation{}) {
		return ""
	}
	var cert *x509.Certificate
	if len(x.Request.PeerCertificate) > 0 {
		var err error
		if cert, err = x509.ParseCertificate(x.Request.PeerCertificate); err != nil {
			return "the certificate of the connection cannot be read"
		}
	}
	if err := v.CheckBinding(cert); err != nil {
		return err.Error()
	}
	return ""
}

// byKey finds the caller of an API key. A malformed key is refused without a look-up, and so is any key where the API
// takes none.
func (s *Identify) byKey(ctx context.Context, x *exchange.Exchange, raw string) (*partner.Caller, error) {
	if !x.Route.API.APIKeys {
		s.refused(ctx, x, "the API takes no API keys")
		return nil, challenge(problem.AuthInvalidToken, "this API takes access tokens, no API keys")
	}
	env, ok := partner.APIKeyEnvironment(raw)
	if !ok {
		s.refused(ctx, x, "the API key is malformed")
		return nil, notAcceptable()
	}
	c, ok := s.Directory.Key(secret.Hash(raw))
	if !ok || c.Environment != env || c.Kind == partner.KindVendor {
		s.refused(ctx, x, "the API key is unknown")
		return nil, notAcceptable()
	}
	return c, nil
}

func (s *Identify) refused(ctx context.Context, x *exchange.Exchange, reason string) {
	s.Log.InfoContext(ctx, "credential refused", "event", "auth.refused", "request_id", x.ID, "route", x.Route.ID, "reason", reason)
}

// unavailable is the refusal while revocations may have been missed, or an issuer's keys are not known.
func unavailable() *problem.Error {
	p := problem.New(problem.AuthUnavailable, "callers cannot be checked at the moment")
	p.RetryAfter = 5 * time.Second
	return p
}

// usable refuses callers that are known but not active: a revoked credential or grant like an unknown one, a
// suspended organisation or application by name.
func usable(c *partner.Caller, now time.Time) error {
	switch {
	case !c.Active && (c.Reason == "credential" || c.Reason == "grant"):
		return notAcceptable()
	case !c.Active:
		return problem.New(problem.AuthSuspended, "the %s is not active", c.Reason)
	case c.ExpiresAt != 0 && c.ExpiresAt <= now.UnixMicro():
		return challenge(problem.AuthExpired, "the credential has expired")
	}
	return nil
}

// presented takes the one credential of a call: an access token in the Authorization header (RFC 6750 section 2.1), or
// an API key there or in X-Api-Key.
func presented(h exchange.Header) (raw string, isKey bool, err error) {
	values, keys := h.Values("Authorization"), h.Values("X-Api-Key")
	switch {
	case len(values)+len(keys) > 1:
		return "", false, challenge(problem.AuthInvalidToken, "send one credential: one Authorization header or one X-Api-Key")
	case len(keys) == 1:
		return keys[0], true, nil
	case len(values) == 0:
		p := problem.New(problem.AuthMissing, "send \"Authorization: Bearer\" with an access token")
		p.Header = [][2]string{{"WWW-Authenticate", `Bearer realm="portway"`}}
		return "", false, p
	}
	scheme, raw, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || raw == "" || strings.ContainsAny(raw, " ,") {
		return "", false, challenge(problem.AuthInvalidToken, "send one Authorization header of the form \"Bearer <token>\"")
	}
	return raw, partner.IsAPIKey(raw), nil
}

// notAcceptable is the one answer to every bad credential.
func notAcceptable() *problem.Error {
	return challenge(problem.AuthInvalidToken, "the access token is not acceptable here")
}

func challenge(code problem.Code, detail string) *problem.Error {
	p := problem.New(code, "%s", detail)
	p.Header = [][2]string{{"WWW-Authenticate", `Bearer realm="portway", error="invalid_token"`}}
	return p
}

// fromAllowedAddress holds the client's address against the application's list, and notes what it finds: in mode log a
// foreign address passes. The address is the connection's, or the one a trusted proxy names; what callers write into
// headers counts for nothing.
func fromAllowedAddress(ctx context.Context, log *slog.Logger, x *exchange.Exchange, c *partner.Caller) bool {
	if c.Addresses == nil || c.Addresses.Contains(x.Request.Remote) {
		return true
	}
	log.WarnContext(ctx, "address not on the list", "event", "auth.address", "request_id", x.ID, "org", string(c.Org), "app", c.Application,
		"client", c.ClientID, "remote", x.Request.Remote.String(), "enforced", c.Addresses.Enforce)
	x.Note("the address is not on the application's list")
	return !c.Addresses.Enforce
}
