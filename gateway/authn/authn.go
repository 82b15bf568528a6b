// Package authn says who is calling, and runs the OAuth 2.0 endpoints where callers get their tokens.
package authn

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"portway/gateway/exchange"
	"portway/internal/partner"
	"portway/internal/problem"
	"portway/internal/token"
)

// Identify is the stage that turns the Authorization header into a Caller. Anonymous operations pass
// without one; a token that is sent anyway is not looked at.
type Identify struct {
	Profile   *token.Profile
	Directory *partner.Directory
	Log       *slog.Logger
	// Open, if set, is the caller of every call without a token: open access, for "serve --insecure-no-auth".
	Open *partner.Caller
}

// Name is "identify".
func (*Identify) Name() string { return "identify" }

// Run sets Caller, Token and Environment, or refuses with an auth.* problem. What was wrong with a token goes
// to the log, never to the caller.
func (s *Identify) Run(ctx context.Context, x *exchange.Exchange) error {
	if x.Route.Anonymous {
		return nil
	}
	if s.Open != nil {
		x.Caller, x.Environment = s.Open, s.Open.Environment
		x.Note("open access")
		return nil
	}
	raw, err := bearer(x.Request.Header)
	if err != nil {
		return err
	}
	if s.Directory.Stale() {
		return unavailable()
	}
	claims, err := s.Profile.Verify(raw)
	if err != nil {
		s.Log.InfoContext(ctx, "token refused", "request_id", x.ID, "reason", err.Error())
		if errors.Is(err, token.ErrExpired) {
			return challenge(problem.AuthExpired, "the access token has expired")
		}
		return challenge(problem.AuthInvalidToken, "the access token is not acceptable here")
	}
	caller, ok := s.Directory.Client(claims.ClientID)
	if !ok || caller.Environment != claims.Environment || caller.Org != claims.Org {
		s.Log.InfoContext(ctx, "token refused", "request_id", x.ID, "reason", "the client is unknown or changed")
		return challenge(problem.AuthInvalidToken, "the access token is not acceptable here")
	}
	if err := usable(caller, s.Profile.Clock.Now()); err != nil {
		return err
	}
	x.Caller, x.Environment = caller, caller.Environment
	x.Token = exchange.Token{ID: claims.ID, Scopes: map[string]bool{}, Expires: time.Unix(claims.Expires, 0)}
	for _, scope := range strings.Fields(claims.Scope) {
		x.Token.Scopes[scope] = true
	}
	return nil
}

// unavailable is the refusal while revocations may have been missed.
func unavailable() *problem.Error {
	p := problem.New(problem.AuthUnavailable, "callers cannot be checked at the moment")
	p.RetryAfter = 5 * time.Second
	return p
}

// usable refuses callers that are known but not active: a revoked credential like an unknown one, a
// suspended organisation or application by name.
func usable(c *partner.Caller, now time.Time) error {
	switch {
	case !c.Active && c.Reason == "credential":
		return challenge(problem.AuthInvalidToken, "the access token is not acceptable here")
	case !c.Active:
		return problem.New(problem.AuthSuspended, "the %s is not active", c.Reason)
	case c.ExpiresAt != 0 && c.ExpiresAt <= now.UnixMicro():
		return challenge(problem.AuthExpired, "the credential has expired")
	}
	return nil
}

// bearer takes the token out of exactly one Authorization header (RFC 6750 section 2.1).
func bearer(h exchange.Header) (string, error) {
	values := h.Values("Authorization")
	if len(values) == 0 {
		p := problem.New(problem.AuthMissing, "send \"Authorization: Bearer\" with an access token")
		p.Header = [][2]string{{"WWW-Authenticate", `Bearer realm="portway"`}}
		return "", p
	}
	scheme, raw, ok := strings.Cut(values[0], " ")
	if len(values) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") || raw == "" || strings.ContainsAny(raw, " ,") {
		return "", challenge(problem.AuthInvalidToken, "send one Authorization header of the form \"Bearer <token>\"")
	}
	return raw, nil
}

func challenge(code problem.Code, detail string) *problem.Error {
	p := problem.New(code, "%s", detail)
	p.Header = [][2]string{{"WWW-Authenticate", `Bearer realm="portway", error="invalid_token"`}}
	return p
}
