// Package contract holds a call to what the catalog says about its operation: which operation it is, who may
// call it, what it may send, and what the version's lifecycle adds to the answer.
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
// version.retired. HEAD is served wherever GET is.
func (Match) Run(_ context.Context, x *exchange.Exchange) error {
	m := x.Snapshot.Match(x.Request.Method, x.Request.Path)
	if m.Route == nil && x.Request.Method == "HEAD" {
		if get := x.Snapshot.Match("GET", x.Request.Path); get.Route != nil {
			m = get
		}
	}
	if m.Route == nil {
		if len(m.Allow) > 0 {
			allow := strings.Join(allowed(m.Allow), ", ")
			p := problem.New(problem.RouteMethod, "the operation has no such method (have %s)", allow)
			p.Header = [][2]string{{"Allow", allow}}
			return p
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

// unknown tells an unknown version from an unknown path. Only what has the form of a version is repeated.
func unknown(x *exchange.Exchange) error {
	segments := strings.SplitN(strings.TrimPrefix(x.Request.Path, "/"), "/", 3)
	if len(segments) < 2 || !isVersion(segments[1]) {
		return problem.New(problem.RouteUnknown, "no operation has this path")
	}
	api, versions := x.Snapshot.Versions(x.Request.Path)
	if api == nil {
		return problem.New(problem.RouteUnknown, "no operation has this path")
	}
	for _, v := range versions {
		if v == segments[1] {
			return problem.New(problem.RouteUnknown, "api %q version %q has no operation with this path", api.ID, v)
		}
	}
	p := problem.New(problem.VersionUnknown, "api %q has no version %q (have %s)", api.ID, segments[1], strings.Join(versions, ", "))
	p.Extra = map[string]any{"versions": versions}
	return p
}

// isVersion reports whether s is "v" and one to four digits.
func isVersion(s string) bool {
	if len(s) < 2 || len(s) > 5 || s[0] != 'v' {
		return false
	}
	for i := 1; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// Lifecycle puts the lifecycle headers of the version on every answer of a matched operation: Deprecation
// (RFC 9745), Sunset (RFC 8594) and Link.
type Lifecycle struct{}

// Name is "lifecycle".
func (Lifecycle) Name() string { return "lifecycle" }

// Run adds the headers.
func (Lifecycle) Run(_ context.Context, x *exchange.Exchange) error {
	if x.Route == nil || x.Response == nil {
		return nil
	}
	for _, h := range x.Route.Version.Headers {
		x.Response.Header.Add(h[0], h[1])
	}
	return nil
}

// Authorize decides whether the caller may use the operation: environment, subscription, scope.
type Authorize struct{}

// Name is "authorize".
func (Authorize) Name() string { return "authorize" }

// Run sets Grant, or refuses with auth.environment_mismatch, auth.not_subscribed or auth.insufficient_scope.
// A scope counts when the token has it and the subscription still gives it; a caller without a token, which
// only open access has, has what its subscription gives.
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
		if grant.Scopes[scope] && (x.Token.ID == "" || x.Token.Scopes[scope]) {
			return nil
		}
	}
	p := problem.New(problem.AuthScope, "the operation needs scope %s", strings.Join(x.Route.Scopes, " or "))
	// One of the scopes suffices; RFC 6750 section 3.1 can only name a set, so it names the first.
	p.Header = [][2]string{{"WWW-Authenticate", fmt.Sprintf(`Bearer realm="portway", error="insufficient_scope", scope="%s"`, x.Route.Scopes[0])}}
	return p
}
