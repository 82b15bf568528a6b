package exchange

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"portway/internal/ident"
	"portway/internal/problem"
	"portway/internal/traffic"
)

// Pipeline is the request path: Inbound in order until the first error or response, then the route's
// dispatcher, then Outbound, then Finish, which sees every call.
type Pipeline struct {
	Inbound  []Stage
	Dispatch map[string]Stage // by catalog.Dispatch
	// Produced sees only what Dispatch produced; Every runs on every answer, refusals included. An error of either
	// replaces the answer, and the rest of Every still runs.
	Produced []Stage
	Every    []Stage
	// Finish records the call before the answer leaves; its error is logged and changes nothing.
	Finish func(ctx context.Context, x *Exchange) error
	// Docs is the address of the portal's problem pages, "http://…/problems/".
	Docs  string
	Clock ident.Clock
	Log   *slog.Logger
}

// Run takes an exchange through the stages and leaves a complete Response on it. It never panics: a
// panicking stage is an internal problem, and the process lives. After a streamed answer Complete follows.
func (p *Pipeline) Run(ctx context.Context, x *Exchange) {
	defer func() {
		if x.Response == nil || x.Response.Stream == nil {
			p.release(ctx, x)
		}
	}()
	x.mark = p.Clock.Now()
	if x.Trail == nil {
		x.Trail = make([]traffic.Step, 0, len(p.Inbound)+len(p.Produced)+len(p.Every)+1)
	}
	err := p.stages(ctx, x, p.Inbound, true)
	if err == nil && x.Response == nil {
		if err = p.dispatch(ctx, x); err == nil {
			err = p.stages(ctx, x, p.Produced, false)
		}
	}
	if err != nil {
		p.refuse(x, err)
	}
	for _, s := range p.Every {
		if err := p.stage(ctx, x, s); err != nil {
			p.refuse(x, err)
		}
	}
	x.Response.Header.Set("X-Request-Id", x.ID)
	if p.Finish != nil && x.Response.Stream == nil {
		p.finish(ctx, x)
	}
}

// dispatch answers by the route's dispatcher; no error means that there is a Response.
func (p *Pipeline) dispatch(ctx context.Context, x *Exchange) error {
	if x.Route == nil {
		return problem.New(problem.Internal, "no operation was chosen")
	}
	stage := p.Dispatch[string(x.Route.Dispatch)]
	if stage == nil {
		return problem.New(problem.Internal, "no dispatcher for this operation")
	}
	if err := p.stage(ctx, x, stage); err != nil {
		return err
	}
	if x.Response == nil {
		return problem.New(problem.Internal, "the call was not answered")
	}
	return nil
}

func (p *Pipeline) stages(ctx context.Context, x *Exchange, list []Stage, stopAtResponse bool) error {
	for _, s := range list {
		if err := p.stage(ctx, x, s); err != nil {
			return err
		}
		if stopAtResponse && x.Response != nil {
			return nil
		}
	}
	return nil
}

// stage runs one stage, times it, and turns a panic into an error.
func (p *Pipeline) stage(ctx context.Context, x *Exchange, s Stage) (err error) {
	before := x.Response
	x.note = ""
	defer func() {
		if r := recover(); r != nil {
			p.Log.ErrorContext(ctx, "panic", "request_id", x.ID, "stage", s.Name(), "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = problem.New(problem.Internal, "the gateway failed; the request id names this call in our log")
		}
		now := p.Clock.Now() // a stage's end is the next one's beginning: the clock is read once for each
		step := traffic.Step{Stage: s.Name(), Micros: now.Sub(x.mark).Microseconds(), Result: "passed", Note: x.note}
		x.mark = now
		if err != nil {
			step.Result = "refused"
		} else if before == nil && x.Response != nil {
			step.Result = "answered"
		}
		x.Trail = append(x.Trail, step)
	}()
	return s.Run(ctx, x)
}

// refuse replaces the answer by a problem. A cause goes to the log only.
func (p *Pipeline) refuse(x *Exchange, err error) {
	e := problem.From(err)
	x.Err = e
	if x.Response != nil && x.Response.Stream != nil {
		if err := x.Response.Stream.Close(); err != nil {
			p.Log.Warn("a replaced answer did not close", "request_id", x.ID, "error", err.Error())
		}
	}
	if e.Cause != nil || e.Status() >= 500 {
		cause := ""
		if e.Cause != nil {
			cause = e.Cause.Error()
		}
		p.Log.Error("call failed", "request_id", x.ID, "code", string(e.Code), "detail", e.Detail, "cause", cause)
	}
	r := &Response{Status: e.Status(), Body: e.Body(p.Docs, x.Request.Path, x.ID)}
	r.Header.Set("Content-Type", "application/problem+json")
	r.Header.Set("Cache-Control", "no-store")
	if e.RetryAfter > 0 {
		r.Header.Set("Retry-After", fmt.Sprint(problem.RetrySeconds(e.RetryAfter)))
	}
	for _, h := range e.Header {
		r.Header.Add(h[0], h[1])
	}
	x.Response = r
}

func (p *Pipeline) finish(ctx context.Context, x *Exchange) {
	defer func() {
		if r := recover(); r != nil {
			p.Log.ErrorContext(ctx, "panic", "request_id", x.ID, "stage", "finish", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		}
	}()
	if err := p.Finish(ctx, x); err != nil {
		p.Log.ErrorContext(ctx, "call not recorded", "request_id", x.ID, "error", err.Error())
	}
}

// release gives back what stages hold, each whether or not another fails.
func (p *Pipeline) release(ctx context.Context, x *Exchange) {
	for i := len(x.releases) - 1; i >= 0; i-- {
		func() {
			defer func() {
				if r := recover(); r != nil {
					p.Log.ErrorContext(ctx, "panic", "request_id", x.ID, "stage", "release", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
				}
			}()
			x.releases[i]()
		}()
	}
	x.releases = nil
}

// Took is how long the exchange has taken so far.
func (x *Exchange) Took(c ident.Clock) time.Duration { return c.Now().Sub(x.Received) }
