package mediate

import (
	"context"

	"portway/gateway/exchange"
	"portway/internal/intake"
	"portway/internal/problem"
)

// Intake takes statements in; *intake.Intake is one.
type Intake interface {
	// JSON takes one statement in JSON, by the route's mapping and event type.
	JSON(ctx context.Context, c intake.Call) (intake.Answer, error)
	// X12 takes an interchange.
	X12(ctx context.Context, c intake.Call) (intake.Answer, error)
}

// Accept answers statements: they are stored before the answer leaves, not proxied.
type Accept struct {
	Intake Intake
}

// Name is "accept".
func (*Accept) Name() string { return "accept" }

// Run hands the call to intake and turns its answer into the response.
func (s *Accept) Run(ctx context.Context, x *exchange.Exchange) error {
	if x.Caller == nil {
		return problem.New(problem.AuthMissing, "a statement needs a caller")
	}
	path, err := decoded(x.PathParams)
	if err != nil {
		return err
	}
	call := intake.Call{
		RequestID: x.ID, Org: x.Caller.Org, OrgSlug: x.Caller.OrgSlug, Application: x.Caller.Application,
		AppSlug: x.Caller.AppSlug, Environment: x.Environment, Route: x.Route, Path: path, Params: x.Params,
		Body: x.Body, ContentType: x.MediaType, Key: x.Key, Snapshot: x.Snapshot,
	}
	take := s.Intake.JSON
	if x.Route.Handler == "receiveX12" {
		take = s.Intake.X12
	}
	answer, err := take(ctx, call)
	if err != nil {
		return err
	}
	x.EventID = answer.EventID
	x.Response = &exchange.Response{Status: answer.Status, Body: answer.Body}
	for _, h := range answer.Header {
		x.Response.Header.Add(h[0], h[1])
	}
	if answer.ContentType != "" {
		x.Response.Header.Set("Content-Type", answer.ContentType)
	}
	return nil
}
