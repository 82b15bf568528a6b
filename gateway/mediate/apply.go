package mediate

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"portway/gateway/exchange"
	"portway/internal/mapping"
	"portway/internal/problem"
	"portway/internal/traffic"
)

// request maps the caller's document. Every place that cannot be mapped is a violation of the caller's.
func request(ctx context.Context, m *mapping.Mapping, input, vars map[string]any) ([]byte, error) {
	r, violations := m.Apply(ctx, input, mapping.Env{Vars: vars})
	if late(violations) {
		return nil, tooLate()
	}
	if len(violations) > 0 || r == nil {
		for i := range violations {
			place(&violations[i])
		}
		p := problem.New(problem.MappingFailed, "the document cannot be put into the backend's words; every place is listed under violations")
		p.Violations = violations
		return nil, p
	}
	return json.Marshal(r.Data)
}

// response maps a backend's answer. What is wrong with it is our log's business.
func response(ctx context.Context, x *exchange.Exchange, m *mapping.Mapping, input map[string]any) ([]byte, error) {
	r, violations := m.Apply(ctx, input, mapping.Env{Vars: vars(x)})
	if late(violations) {
		return nil, tooLate()
	}
	if len(violations) > 0 || r == nil {
		lied(x, "mapping", "cannot be put into the words of the contract")
		return nil, problem.Wrap(problem.BackendBadAnswer, fmt.Errorf("%v", violations), "the answer of backend %q cannot be put into our words", x.Backend.ID)
	}
	return json.Marshal(r.Data)
}

// lied counts an answer that breaks the contract before it could be held to it.
func lied(x *exchange.Exchange, keyword, message string) {
	x.Break(traffic.Response, []problem.Violation{{Keyword: keyword, Message: message}}, true)
}

// late reports whether a mapping was stopped by its deadline: our load, not the document's fault.
func late(violations []problem.Violation) bool {
	for i := range violations {
		if violations[i].Keyword == "deadline" {
			return true
		}
	}
	return false
}

func tooLate() error {
	p := problem.New(problem.StoreUnavailable, "the document could not be translated in time")
	p.RetryAfter = time.Second
	return p
}

// place turns a pointer into a mapping's input ("/body/lines/0", "/path/order") into one of the call's parts.
func place(v *problem.Violation) {
	for _, part := range []string{"body", "path", "query"} {
		rest, ok := strings.CutPrefix(v.Pointer, "/"+part)
		if !ok || rest != "" && rest[0] != '/' {
			continue
		}
		v.In, v.Pointer = part, rest
		if part != "body" {
			v.Pointer = strings.TrimPrefix(rest, "/")
		}
		return
	}
	v.In = "document" // a place of the backend's document, not of the call
}
