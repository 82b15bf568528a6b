// Package upstream is the proxy dispatch: one call to the chosen backend and its answer back.
package upstream

import (
	"context"
	"strings"

	"portway/gateway/exchange"
	"portway/internal/ident"
	"portway/internal/outbound"
	"portway/internal/problem"
)

// Send is the dispatcher of proxied operations.
type Send struct {
	Client *outbound.Client
	Clock  ident.Clock
}

// Name is "proxy".
func (*Send) Name() string { return "proxy" }

// Run makes the call that mediate prepared and sets Response, UpstreamStatus and UpstreamTook, or refuses with backend.unreachable,
// backend.unavailable, backend.timeout or backend.bad_answer. What cannot be repeated is sent at most once.
func (s *Send) Run(ctx context.Context, x *exchange.Exchange) error {
	up := x.Upstream
	req := outbound.Request{Method: up.Method, Path: up.Path, ContentType: up.ContentType, Accept: up.Accept,
		Language: x.Request.Header.Get("Accept-Language"), Key: up.Key,
		Body: up.Body, Timeout: x.Route.Timeout, Limit: x.Route.AnswerLimit,
		Identity: outbound.Identity{RequestID: x.ID, Environment: x.Environment}}
	if b := x.Backend.Timeout; b > 0 && (req.Timeout == 0 || b < req.Timeout) {
		req.Timeout = b
	}
	if x.Caller != nil {
		req.Org, req.Identity.Organisation, req.Identity.Application = x.Caller.Org, x.Caller.OrgSlug, x.Caller.Application
	}
	began := s.Clock.Now()
	answer, err := s.send(ctx, x, req)
	x.UpstreamTook = s.Clock.Now().Sub(began)
	if err != nil {
		return err
	}
	x.UpstreamStatus = answer.Status
	x.Response = &exchange.Response{Status: answer.Status, Body: answer.Body}
	if answer.Stream != nil {
		x.Response.Stream = exchange.NewStream(answer.Stream, answer.Length)
	}
	for _, h := range answer.Header {
		switch {
		case passes(h[0]):
			x.Response.Header.Add(h[0], h[1])
		case strings.EqualFold(h[0], "Content-Encoding") && !strings.EqualFold(h[1], "identity"):
			// It was not asked for, and nobody behind us would know.
			return problem.New(problem.BackendBadAnswer, "backend %q answered in a content coding that was not asked for", x.Backend.ID)
		}
	}
	return nil
}

// send holds both bodies in memory, or neither of those that the operation streams.
func (s *Send) send(ctx context.Context, x *exchange.Exchange, req outbound.Request) (*outbound.Answer, error) {
	down := x.Route.Stream.Down() && req.Method != "HEAD"
	if x.Stream == nil && !down {
		return s.Client.Send(ctx, x.Backend, x.Environment, req)
	}
	if x.Stream != nil {
		req.Stream, req.Length = x.Stream, x.Stream.Length
	}
	return s.Client.Stream(ctx, x.Backend, x.Environment, req, down)
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
