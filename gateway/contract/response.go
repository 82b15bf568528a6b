package contract

import (
	"context"
	"strings"

	"portway/gateway/exchange"
	"portway/internal/catalog"
	"portway/internal/problem"
	"portway/internal/traffic"
)

// maxChecked is the largest answer that is checked against its schema: 4 MiB.
const maxChecked = 4 << 20

// ValidateResponse holds a backend's answer to the contract of the operation, as the caller would get it: after its
// mapping, or as it came where there is none. A bad answer is the backend's fault and ours to tell: it is counted
// under the backend's name, and never a 4xx.
type ValidateResponse struct{}

// Name is "validate-answer".
func (ValidateResponse) Name() string { return "validate-answer" }

// Run counts what the answer breaks; where the operation enforces its contract it refuses it with backend.bad_answer.
// A streamed answer has its status and media type checked only, and so has one above 4 MiB. Run also finds the
// business numbers of the answer.
func (ValidateResponse) Run(_ context.Context, x *exchange.Exchange) error {
	if x.Route.Dispatch != catalog.Proxy || x.Response == nil {
		return nil
	}
	referAnswer(x)
	mode := x.Route.ResponseMode
	if mode != catalog.Report && mode != catalog.Enforce {
		return nil
	}
	violations := answer(x)
	if len(violations) == 0 {
		return nil
	}
	x.Break(traffic.Response, violations, mode == catalog.Enforce)
	if mode == catalog.Report {
		return nil
	}
	if x.Backend == nil {
		return problem.New(problem.BackendBadAnswer, "the backend's answer breaks the contract of the operation")
	}
	return problem.New(problem.BackendBadAnswer, "the answer of backend %q breaks the contract of the operation", x.Backend.ID)
}

// answer lists where the response does not fit what the operation declares. That a backend is overloaded or failing
// without a declaration (429 and 5xx) breaks no contract.
func answer(x *exchange.Exchange) []problem.Violation {
	r := x.Response
	media := ""
	if t := r.Header.Get("Content-Type"); t != "" {
		media, _, _ = strings.Cut(t, ";")
		media = strings.ToLower(strings.TrimSpace(media))
	}
	schemas := x.Route.ResponseSchemas
	bodiless := x.Request.Method == "HEAD" || r.Status == 204 || r.Status == 304
	empty := r.Stream == nil && len(r.Body) == 0
	found, declared, where := schemas.Find(r.Status, media)
	switch {
	case !declared && where == "status":
		if r.Status == 429 || r.Status >= 500 {
			return nil
		}
		return []problem.Violation{{Keyword: "status", Message: "has a status the operation does not declare"}}
	case bodiless:
		return nil
	case empty:
		if schemas.Content(r.Status) {
			return []problem.Violation{{Keyword: "required", Message: "must have a body"}}
		}
		return nil
	case !declared:
		return []problem.Violation{{Keyword: "contentType", Message: "has a media type the operation does not declare for its status"}}
	case found == nil || !IsJSON(media) || r.Stream != nil || len(r.Body) > maxChecked:
		return nil
	}
	return found.Validate(r.Body)
}
