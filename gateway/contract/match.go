// Package contract holds a call to what the catalog says about its operation: which operation it is, who may
// call it, what it may send, what a backend may answer, and what the version's lifecycle adds to the answer.
package contract

import (
	"context"
	"fmt"
	"strings"

	"portway/gateway/exchange"
	"portway/internal/problem"
)

// Match finds the operation of the call in the pinned snapshot. There is no other matcher: everything after
// it works on the operation it chose.
type Match struct{}

// Name is "match".
func (Match) Name() string { return "match" }

// Run sets Route and PathParams, or refuses with route.unknown, version.unknown, route.method or
// version.retired. HEAD is served wherever GET is. Where a header chooses the version, the version is chosen first and
// the operation among its own, so that versions with the same paths never answer for one another.
func (Match) Run(_ context.Context, x *exchange.Exchange) error {
	find := x.Snapshot.Match
	api := x.Snapshot.ByHeader(x.Request.Path)
	if api != nil {
		v, err := named(api, x.Request.Header)
		if err != nil {
			return err
		}
		find = v.Match
	}
	m := find(x.Request.Method, x.Request.Path)
	if m.Route == nil && x.Request.Method == "HEAD" {
		if get := find("GET", x.Request.Path); get.Route != nil {
			m = get
		}
	}
	if m.Route == nil {
		if len(m.Allow) > 0 {
			allow := strings.Join(allowed(m.Allow), ", ")
			p := problem.New(problem.RouteMethod, "the operation has no such method (have %s)", allow)
			p.Header = [][2]string{{"Allow", allow}}
			return varies(p, api)
		}
		if api != nil {
			return varies(problem.New(problem.RouteUnknown, "api %q has no operation with this path in the version its %s header names", api.ID, api.VersionHeader), api)
		}
		return unknown(x)
	}
	x.Route, x.PathParams = m.Route, m.Path
	if v := m.Route.Version; v.Lifecycle.State == "retired" {
		if s := v.Lifecycle.Successor; s != "" {
			return problem.New(problem.VersionRetired, "api %q version %q was retired; its successor is %q", v.API.ID, v.Name, s)
		}
		return problem.New(problem.VersionRetired, "api %q version %q was retired", v.API.ID, v.Name)
	}
	return nil
}

// allowed adds HEAD where GET is.
func allowed(methods []string) []string {
	out := make([]string, 0, len(methods)+1)
	head := false
	for _, m := range methods {
		head = head || m == "HEAD"
	}
	for _, m := range methods {
		out = append(out, m)
		if m == "GET" && !head {
			out = append(out, "HEAD")
		}
	}
	return out
}

// Lifecycle puts what the version says on every answer of a matched operation: its lifecycle as Deprecation (RFC
// 9745), Sunset (RFC 8594) and Link, and, where a header chose it, its name in that header and in Vary, so that no
// cache gives one version's answer to a caller of another.
type Lifecycle struct{}

// Name is "lifecycle".
func (Lifecycle) Name() string { return "lifecycle" }

// Run adds the headers.
func (Lifecycle) Run(_ context.Context, x *exchange.Exchange) error {
	if x.Route == nil || x.Response == nil {
		return nil
	}
	v := x.Route.Version
	if header := v.API.VersionHeader; header != "" {
		x.Response.Header.Set(header, v.Name)
		x.Response.Header.Add("Vary", header)
	}
	for _, h := range v.Headers {
		x.Response.Header.Add(h[0], h[1])
	}
	return nil
}

// Authorize decides whether the caller may use the operation: environment, subscription, scope.
type Authorize struct{}

// Name is "authorize".
func (Authorize) Name() string { return "authorize" }

// Run sets Grant, or refuses with auth.environment_mismatch, auth.not_subscribed or auth.insufficient_scope.
// A scope counts when the token has it and the subscription still gives it; a caller without a token, by API key or
// open access, has what its subscription gives, and so has one whose external issuer knows no scopes.
func (Authorize) Run(_ context.Context, x *exchange.Exchange) error {
	if x.HostEnvironment != "" && x.Environment != "" && x.HostEnvironment != x.Environment {
		return problem.New(problem.AuthEnvironment, "this host serves %s, the credential belongs to %s", x.HostEnvironment, x.Environment)
	}
	if x.Route.Anonymous {
		return nil
	}
	if x.Caller == nil {
		return problem.New(problem.AuthMissing, "the operation needs a caller")
	}
	grant := x.Caller.Subscriptions[x.Route.API.ID]
	if grant == nil {
		return problem.New(problem.AuthNotSubscribed, "the application has no %s subscription to api %q", x.Environment, x.Route.API.ID)
	}
	x.Grant = grant
	if len(x.Route.Scopes) == 0 {
		return nil
	}
	for _, scope := range x.Route.Scopes {
		if grant.Scopes[scope] && (x.Token.ID == "" || x.Token.Unlimited || x.Token.Scopes[scope]) {
			return nil
		}
	}
	p := problem.New(problem.AuthScope, "the operation needs scope %s", strings.Join(x.Route.Scopes, " or "))
	// One of the scopes suffices; RFC 6750 section 3.1 can only name a set, so it names the first.
	p.Header = [][2]string{{"WWW-Authenticate", fmt.Sprintf(`Bearer realm="portway", error="insufficient_scope", scope="%s"`, x.Route.Scopes[0])}}
	return p
}
