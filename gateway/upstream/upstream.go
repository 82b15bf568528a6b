// Package upstream is the proxy dispatch: one call to the chosen backend and its answer back.
package upstream

import (
	"context"
	"strings"

	"portway/gateway/exchange"
	"portway/internal/ident"
	"portway/internal/outbound"
)

// Send is the dispatcher of proxied operations.
type Send struct {
	Client *outbound.Client
	Clock  ident.Clock
}

// Name is "proxy".
func (*Send) Name() string { return "proxy" }

// Run makes the call that mediate prepared and sets Response and UpstreamTook, or refuses with
// backend.unreachable, backend.timeout or backend.bad_answer. It sends at most once whatever cannot be repeated.
func (s *Send) Run(ctx context.Context, x *exchange.Exchange) error {
	up := x.Upstream
	req := outbound.Request{Method: up.Method, URL: up.URL, ContentType: up.ContentType, Accept: up.Accept,
		Language: x.Request.Header.Get("Accept-Language"), Key: x.Request.Header.Get("Idempotency-Key"),
		Body: up.Body, Timeout: x.Route.Timeout,
		Identity: outbound.Identity{RequestID: x.ID, Environment: x.Environment}}
	if b := x.Backend.Timeout; b > 0 && (req.Timeout == 0 || b < req.Timeout) {
		req.Timeout = b
	}
	if x.Caller != nil {
		req.Identity.Organisation, req.Identity.Application = x.Caller.OrgSlug, x.Caller.Application
	}
	began := s.Clock.Now()
	answer, err := s.Client.Send(ctx, x.Backend, x.Environment, req)
	x.UpstreamTook = s.Clock.Now().Sub(began)
	if err != nil {
		return err
	}
	x.Response = &exchange.Response{Status: answer.Status, Body: answer.Body}
	for _, h := range answer.Header {
		if passes(h[0]) {
			x.Response.Header.Add(h[0], h[1])
		}
	}
	return nil
}

// passes reports whether a header of a backend's answer reaches the caller. The list is closed: it names
// what speaks of the representation, and nothing that speaks of the backend.
func passes(name string) bool {
	switch strings.ToLower(name) {
	case "content-type", "content-language", "content-disposition", "content-location", "etag", "last-modified",
		"expires", "location", "retry-after", "cache-control", "vary", "allow", "accept-ranges", "content-range":
		return true
	}
	return false
}
