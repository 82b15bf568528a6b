package mediate

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"portway/gateway/exchange"
	"portway/internal/catalog"
	"portway/internal/catalog/egress"
	"portway/internal/problem"
	"portway/internal/schema"
)

// Outbound puts a backend's answer into our words. What the backend's policy says about its status comes first (RULES
// 15). Without a mapping, status and body of any other answer pass unchanged; with one, an answer that is no success
// becomes a problem of ours, which never holds the backend's text. A streamed answer is a success and passes.
type Outbound struct{}

// Name is "mediate-answer".
func (Outbound) Name() string { return "mediate-answer" }

// Run replaces Response, or refuses with resource.not_found, resource.conflict, backend.rejected, backend.unavailable,
// backend.timeout or backend.bad_answer.
func (Outbound) Run(ctx context.Context, x *exchange.Exchange) error {
	if x.Route.Dispatch != catalog.Proxy || x.Call == nil || x.Response.Stream != nil || x.Route.Observed() {
		return nil
	}
	steps := downward(x)
	status := x.Response.Status
	meaning := x.Backend.Answers.Meaning(status)
	switch {
	case meaning == egress.MeansDone, meaning == egress.MeansAlready:
		if status < 200 || status > 299 {
			status = 200
			x.Response.Status = declaredStatus(x.Route, status)
		}
	case meaning != "":
		return classified(x, meaning)
	case len(steps) > 0 && (status < 200 || status > 299):
		return refusal(x)
	}
	if len(steps) == 0 {
		return nil
	}
	in := map[string]any{"status": json.Number(strconv.Itoa(status)), "body": nil, "request": x.Upstream.Input}
	body := x.Response.Body
	for i, m := range steps {
		if i > 0 || len(body) > 0 {
			decoded, err := schema.Decode(body, schema.Limits{})
			if err != nil {
				lied(x, "json", "must be strict JSON")
				return problem.Wrap(problem.BackendBadAnswer, err, "backend %q did not answer with strict JSON", x.Backend.ID)
			}
			in["body"] = decoded
		}
		var err error
		if body, err = response(ctx, x, m, in); err != nil {
			return err
		}
	}
	x.Response = &exchange.Response{Status: declaredStatus(x.Route, status), Body: body}
	x.Response.Header.Set("Content-Type", "application/json")
	return nil
}

// The waits a caller is told when the backend names none.
const (
	lockedWait    = 2 * time.Second
	transientWait = 5 * time.Second
)

// classified is the problem for an answer that the backend's policy says is no success.
func classified(x *exchange.Exchange, m egress.Meaning) error {
	id := x.Backend.ID
	if m == egress.MeansRejected {
		return problem.New(problem.BackendRejected, "backend %q does not accept the request as it is", id)
	}
	p, wait := problem.New(problem.BackendUnavailable, "backend %q cannot do this at the moment", id), transientWait
	if m == egress.MeansLocked {
		p, wait = problem.New(problem.BackendUnavailable, "backend %q is working on the resource", id), lockedWait
	}
	if p.RetryAfter = retryAfter(x.Response.Header.Get("Retry-After")); p.RetryAfter == 0 {
		p.RetryAfter = wait
	}
	return p
}

// refusal is the problem for an answer that is no success.
func refusal(x *exchange.Exchange) error {
	id := x.Backend.ID
	switch status := x.Response.Status; {
	case status == 404 || status == 410:
		return problem.New(problem.NotFound, "backend %q has no such resource", id)
	case status == 409:
		return problem.New(problem.Conflict, "backend %q refuses because of the state of the resource", id)
	case status == 429 || status == 503:
		p := problem.New(problem.BackendUnavailable, "backend %q takes no calls at the moment", id)
		p.RetryAfter = retryAfter(x.Response.Header.Get("Retry-After"))
		return p
	case status == 400 || status == 422:
		return problem.New(problem.BackendRejected, "backend %q does not accept the request as it is", id)
	case status == 504:
		return problem.New(problem.BackendTimeout, "backend %q waited too long for its own backend", id)
	default:
		return problem.New(problem.BackendBadAnswer, "backend %q answered with status %d", id, status)
	}
}

// retryAfter reads a delay in seconds of at most an hour; 0 if there is none.
func retryAfter(s string) time.Duration {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 3600 {
		return 0
	}
	return time.Duration(n) * time.Second
}

// declaredStatus keeps the backend's success status if the operation declares it, and takes the first that
// the operation declares otherwise.
func declaredStatus(r *catalog.Route, status int) int {
	first := 0
	for _, response := range r.Operation.Responses {
		n, err := strconv.Atoi(response.Status)
		if err != nil || n < 200 || n > 299 {
			continue
		}
		if n == status {
			return status
		}
		if first == 0 {
			first = n
		}
	}
	if first != 0 {
		return first
	}
	return status
}
