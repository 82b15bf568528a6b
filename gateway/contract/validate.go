package contract

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"portway/gateway/exchange"
	"portway/internal/openapi"
	"portway/internal/problem"
	"portway/internal/schema"
	"portway/internal/traffic"
)

// Validate checks parameters and body against the compiled contract and reports every violation at once.
type Validate struct{}

// Name is "validate".
func (Validate) Name() string { return "validate" }

// Run sets Params, or refuses: with parameter.invalid (parameter.unknown, if nothing else is wrong) when a
// parameter is, with body.malformed when only the body is and it is no strict JSON, with schema.violation
// when only the body breaks its schema. The violations always list both. Where the operation, or its policy for the
// caller, is report-only, the call passes and what it broke is counted; what nobody could read is refused even then,
// unless the API is observed. Run also finds the business numbers of the call.
func (Validate) Run(_ context.Context, x *exchange.Exchange) error {
	params, violations := parameters(x)
	refer(x, params)
	code := problem.ParameterInvalid
	if len(violations) > 0 && all(violations, "undeclared") {
		code = problem.ParameterUnknown
	}
	inBody, malformed := body(x)
	switch {
	case len(violations) > 0:
	case malformed:
		code = problem.BodyMalformed
	default:
		code = problem.SchemaViolation
	}
	violations = append(violations, inBody...)
	if len(violations) == 0 {
		x.Params = params
		return nil
	}
	report := x.Route.Observed() || x.Route.Reports(organisation(x)) && !malformed
	x.Break(traffic.Request, violations, !report)
	if report {
		x.Params = params
		return nil
	}
	p := problem.New(code, "%s", summary(len(violations)))
	p.Violations = violations
	return p
}

// organisation is the slug of the caller's, "" for nobody.
func organisation(x *exchange.Exchange) string {
	if x.Caller == nil {
		return ""
	}
	return x.Caller.OrgSlug
}

func summary(n int) string {
	if n == 1 {
		return "one place does not fit the contract of the operation; see violations"
	}
	return "several places do not fit the contract of the operation; see violations"
}

func all(violations []problem.Violation, keyword string) bool {
	for _, v := range violations {
		if v.Keyword != keyword {
			return false
		}
	}
	return true
}

// parameters decodes what the operation declares and checks each value against its schema. Undeclared query
// parameters are violations: what the contract does not know is not forwarded.
func parameters(x *exchange.Exchange) (map[string]any, []problem.Violation) {
	params, violations := x.Route.Operation.DecodeParameters(openapi.Call{
		Path:     x.PathParams,
		RawQuery: x.Request.Query,
		Header:   x.Request.Header.Values,
		Cookie:   func(name string) []string { return cookies(x.Request.Header, name) },
		Strict:   true,
	})
	for key, value := range params {
		s := x.Route.Parameters[key]
		if s == nil {
			continue
		}
		in, name, _ := strings.Cut(key, ".")
		for _, v := range s.ValidateValue(value, in) {
			v.Pointer = name + v.Pointer
			violations = append(violations, v)
		}
	}
	slices.SortStableFunc(violations, func(a, b problem.Violation) int {
		return cmp.Or(strings.Compare(a.In, b.In), strings.Compare(a.Pointer, b.Pointer))
	})
	return params, violations
}

// cookies returns the values of a cookie (RFC 6265 section 4.2.1).
func cookies(h exchange.Header, name string) []string {
	var out []string
	for _, line := range h.Values("Cookie") {
		for pair := range strings.SplitSeq(line, ";") {
			n, v, ok := strings.Cut(strings.TrimSpace(pair), "=")
			if ok && n == name {
				out = append(out, v)
			}
		}
	}
	return out
}

// body checks a JSON body: first that every parser reads it alike, then its schema. Other media types are
// their handlers' business.
func body(x *exchange.Exchange) (violations []problem.Violation, malformed bool) {
	if len(x.Body) == 0 || !IsJSON(x.MediaType) {
		return nil, false
	}
	if err := schema.Scan(x.Body, schema.Limits{}); err != nil {
		v := problem.Violation{In: "body", Keyword: "json", Message: "must be strict JSON"}
		var where *schema.ScanError
		if errors.As(err, &where) {
			v.Pointer, v.Message = where.Pointer, where.Reason
		}
		return []problem.Violation{v}, true
	}
	key, ok := declared(x, x.MediaType)
	if !ok || x.Route.Bodies[key] == nil {
		return nil, false
	}
	return x.Route.Bodies[key].Validate(x.Body), false
}

// IsJSON reports whether a media type is JSON or built on it (RFC 6839 section 3.1).
func IsJSON(media string) bool {
	return media == "application/json" || strings.HasSuffix(media, "+json")
}
