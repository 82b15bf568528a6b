package contract

import (
	"sort"
	"strconv"

	"portway/internal/catalog"
	"portway/internal/openapi"
	"portway/internal/problem"
	"portway/web/page"
)

// grouped puts an operation under its first tag, in the order tags appear.
func grouped(groups []page.OperationGroup, doc *openapi.Document, r *catalog.Route, o page.Operation) []page.OperationGroup {
	name := doc.Title
	if len(r.Operation.Tags) > 0 {
		name = r.Operation.Tags[0]
	}
	for i := range groups {
		if groups[i].Name == name {
			groups[i].Operations = append(groups[i].Operations, o)
			return groups
		}
	}
	return append(groups, page.OperationGroup{Name: name, Operations: []page.Operation{o}})
}

func (c *Reader) operation(r *catalog.Route, doc *schemas) page.Operation {
	op := r.Operation
	out := page.Operation{ID: op.ID, Href: OperationPath(r.Version, op.ID), Method: op.Method, Path: r.Template, Title: op.Summary,
		Description: c.markdown.html(op.Description), Scopes: r.Scopes, Later: Later(r), StatusPath: statusPath(r), InFlight: r.InFlight,
		Lifecycle: Lifecycle(r.Version.Lifecycle.State), BodyRequired: r.BodyRequired}
	if out.Title == "" {
		out.Title = op.ID
	}
	if op.Deprecated {
		out.Lifecycle = Lifecycle("deprecated")
	}
	if h := r.Version.API.VersionHeader; h != "" {
		out.Parameters = append(out.Parameters, page.Parameter{Name: h, In: "header", Kind: "string", Detail: "always " + r.Version.Name,
			Meaning: "Chooses this version.", Required: r.Version.API.VersionDefault == ""})
	}
	for i := range op.Parameters {
		param := &op.Parameters[i]
		kind, detail := doc.kind(param.Pointer)
		out.Parameters = append(out.Parameters, page.Parameter{Name: param.Name, In: param.In, Kind: kind, Detail: detail,
			Meaning: c.markdown.text(param.Description), Required: param.Required})
	}
	if op.RequestBody != nil && len(op.RequestBody.Content) > 0 {
		m := op.RequestBody.Content[0]
		out.BodyType = m.Type
		out.Fields = doc.fields(m.Pointer)
		if len(m.Examples) > 0 {
			out.Example = exampleText(m.Type, m.Examples[0].Value)
		}
	}
	out.Responses = c.responses(op)
	out.Problems = problemsOf(r)
	out.Curl = curl(c.gateway, r, out.Example, out.BodyType)
	return out
}

// statusPath is where the outcome of an accepted statement or document can be read.
func statusPath(r *catalog.Route) string {
	switch {
	case !Later(r):
		return ""
	case r.Event == nil:
		return "/v1/documents/{documentId}"
	default:
		return "/v1/events/{eventId}"
	}
}

func (c *Reader) responses(op *openapi.Operation) []page.Response {
	var out []page.Response
	for _, r := range op.Responses {
		status, err := strconv.Atoi(r.Status)
		if err != nil {
			continue // "default" and ranges say nothing a reader can look for
		}
		row := page.Response{Status: status, Meaning: c.markdown.text(r.Description)}
		for _, m := range r.Content {
			if status < 300 && len(m.Examples) > 0 {
				row.Example = exampleText(m.Type, m.Examples[0].Value)
				break
			}
		}
		out = append(out, row)
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Status < out[j].Status })
	return out
}

// problemsOf lists the codes an operation can be refused with, from what is enforced for it.
func problemsOf(r *catalog.Route) []page.ProblemRef {
	var codes []problem.Code
	if r.Dispatch == catalog.Builtin && r.Anonymous {
		return nil // the OAuth endpoints have errors of their own (RFC 6749 section 5.2)
	}
	if !r.Anonymous {
		codes = append(codes, problem.AuthMissing, problem.AuthInvalidToken, problem.AuthExpired, problem.AuthEnvironment,
			problem.AuthNotSubscribed, problem.AuthScope, problem.RateExceeded)
	}
	if r.Version.API.VersionHeader != "" {
		codes = append(codes, problem.VersionUnknown)
	}
	if len(r.Operation.Parameters) > 0 {
		codes = append(codes, problem.ParameterInvalid)
	}
	if len(r.Bodies) > 0 {
		codes = append(codes, problem.BodyTooLarge, problem.BodyContentType)
	}
	for _, compiled := range r.Bodies {
		if compiled != nil {
			codes = append(codes, problem.BodyMalformed, problem.SchemaViolation)
			break
		}
	}
	switch r.Dispatch {
	case catalog.Accept:
		codes = append(codes, problem.StoreUnavailable)
		switch {
		case r.Event == nil: // documents
			codes = append(codes, problem.EDIUnreadable, problem.EDIUnknownConnection, problem.EDIDuplicate)
		case r.Event.Entity == "order":
			codes = append(codes, problem.BusinessConflict, problem.OrderUnknown, problem.OrderState, problem.OrderVersion, problem.OrderTooLate)
		default:
			codes = append(codes, problem.BusinessConflict)
		}
	case catalog.Proxy:
		codes = append(codes, problem.BackendUnreachable, problem.BackendTimeout, problem.BackendBadAnswer)
	}
	out := make([]page.ProblemRef, len(codes))
	for i, c := range codes {
		out[i] = Problem(c)
	}
	return out
}
