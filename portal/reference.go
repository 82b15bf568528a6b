package portal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/openapi"
	"portway/internal/problem"
	"portway/internal/traffic"
	"portway/web/component"
	"portway/web/page"
)

// reference is the documentation of a version, or of one operation of it, from the contract the gateway enforces.
func (p *Portal) reference(v *visit) error {
	ver, err := p.version(v)
	if err != nil {
		return err
	}
	usage, err := p.usage(v)
	if err != nil {
		return err
	}
	doc := newSchemas(ver.Document)
	view := page.Reference{Slug: ver.API.ID, API: ver.API.Title, Version: ver.Name, Summary: ver.API.Summary,
		Description: p.markdown.html(ver.Document.Description), Lifecycle: lifecycle(ver.Lifecycle.State),
		Catalogue: "/apis", Overview: versionPath(ver), Document: versionPath(ver) + "/openapi.json", Selected: v.Params("operation"),
		Servers: []page.Server{{Environment: string(ident.Sandbox), URL: p.GatewayURL + ver.Base}, {Environment: string(ident.Live), URL: p.GatewayURL + ver.Base}}}
	for i := len(ver.API.Versions) - 1; i >= 0; i-- {
		other := ver.API.Versions[i]
		link := component.Link{Label: other.Name, Href: versionPath(other)}
		if other == ver {
			link.Href = ""
		}
		view.Versions = append(view.Versions, link)
	}
	view.Deprecation = p.deprecation(ver, usage)
	p.limits(v, ver, &view)
	found := view.Selected == ""
	for _, r := range ver.Routes {
		found = found || r.Operation.ID == view.Selected
		view.Groups = grouped(view.Groups, ver.Document, r, p.operation(r, doc))
	}
	if !found {
		return fiber.ErrNotFound
	}
	return p.render(v, fiber.StatusOK, page.ReferencePage(p.frame(v, "/apis"), view))
}

// version finds the version an address names.
func (p *Portal) version(v *visit) (*catalog.Version, error) {
	if a, ok := p.Snapshot().API(v.Params("api")); ok && !a.Internal {
		if ver, ok := a.Version(v.Params("version")); ok {
			return ver, nil
		}
	}
	return nil, fiber.ErrNotFound
}

// document serves the version's OpenAPI document, references resolved.
func (p *Portal) document(v *visit) error {
	ver, err := p.version(v)
	if err != nil {
		return err
	}
	v.Set("Content-Type", "application/json")
	v.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="%s-%s.openapi.json"`, ver.API.ID, ver.Name))
	v.Set("Cache-Control", "no-store")
	return v.Send(ver.Document.Bundle)
}

func (p *Portal) deprecation(ver *catalog.Version, usage []traffic.Usage) *page.Deprecation {
	life := &ver.Lifecycle
	if !life.Deprecated() {
		return nil
	}
	now := p.Clock.Now()
	d := &page.Deprecation{Since: life.DeprecatedAt, Sunset: life.SunsetAt, Now: now, Retired: life.State == "retired",
		CallsByDay: make([]int, usageWindow/(24*time.Hour))}
	for _, u := range usage {
		if u.API != ver.API.ID || u.Version != ver.Name {
			continue
		}
		d.Calls += int(u.Calls)
		if day := len(d.CallsByDay) - 1 - int(now.Sub(u.Hour)/(24*time.Hour)); day >= 0 && day < len(d.CallsByDay) {
			d.CallsByDay[day] += int(u.Calls)
		}
	}
	if next, ok := ver.API.Version(life.Successor); ok {
		d.Successor = component.Link{Label: ver.API.Title + " " + next.Name, Href: versionPath(next)}
	}
	return d
}

// limits shows those of the plan under which the reader's application uses the API.
func (p *Portal) limits(v *visit, ver *catalog.Version, view *page.Reference) {
	if v.app == nil {
		return
	}
	view.Application = v.app.Name
	for _, s := range v.org.Subscriptions {
		if s.Application != v.app.ID || s.API != ver.API.ID {
			continue
		}
		if plan := p.Snapshot().Plans[s.Plan]; plan != nil {
			view.Plan = plan.Name
			for _, l := range plan.Limits {
				view.Limits = append(view.Limits, page.Limit{Label: strings.ToUpper(l.Name[:1]) + l.Name[1:], Value: strconv.Itoa(l.Rate),
					Unit: "per " + period(l.Per), Note: "up to " + strconv.Itoa(l.Burst) + " at once"})
			}
			return
		}
	}
}

func period(d time.Duration) string {
	switch d {
	case time.Second:
		return "second"
	case time.Minute:
		return "minute"
	case time.Hour:
		return "hour"
	}
	return d.String()
}

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

func (p *Portal) operation(r *catalog.Route, doc *schemas) page.Operation {
	op := r.Operation
	out := page.Operation{ID: op.ID, Href: versionPath(r.Version) + "/" + op.ID, Method: op.Method, Path: r.Template, Title: op.Summary,
		Description: p.markdown.html(op.Description), Scopes: r.Scopes, Later: later(r), InFlight: r.InFlight,
		Lifecycle: lifecycle(r.Version.Lifecycle.State), BodyRequired: r.BodyRequired}
	if out.Title == "" {
		out.Title = op.ID
	}
	if out.Later {
		out.StatusPath = "/v1/events/{eventId}"
	}
	for i := range op.Parameters {
		param := &op.Parameters[i]
		kind, detail := doc.kind(param.Pointer)
		out.Parameters = append(out.Parameters, page.Parameter{Name: param.Name, In: param.In, Kind: kind, Detail: detail,
			Meaning: plain(param.Description), Required: param.Required})
	}
	if op.RequestBody != nil {
		for _, m := range op.RequestBody.Content {
			out.BodyType = m.Type
			out.Fields = doc.fields(m.Pointer)
			if len(m.Examples) > 0 {
				out.Example = exampleText(m.Examples[0].Value)
			}
			break
		}
	}
	out.Responses = responses(op)
	out.Problems = problemsOf(r)
	out.Curl = p.curl(r, out.Example, out.BodyType)
	return out
}

func responses(op *openapi.Operation) []page.Response {
	var out []page.Response
	for _, r := range op.Responses {
		status, err := strconv.Atoi(r.Status)
		if err != nil {
			continue // "default" and ranges say nothing a reader can look for
		}
		row := page.Response{Status: status, Meaning: plain(r.Description)}
		for _, m := range r.Content {
			if status < 300 && len(m.Examples) > 0 {
				row.Example = exampleText(m.Examples[0].Value)
				break
			}
		}
		out = append(out, row)
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Status < out[j].Status })
	return out
}

// exampleText shows a JSON example indented; an example that is one string, such as an EDI file, is shown as
// the text it is.
func exampleText(raw []byte) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var out bytes.Buffer
	if json.Indent(&out, raw, "", "  ") != nil {
		return string(raw)
	}
	return out.String()
}

// plain is a description's first paragraph on one line, for a cell of a table.
func plain(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n\n")
	return strings.Join(strings.Fields(s), " ")
}

// problemsOf lists the codes an operation can be refused with, from what is enforced for it.
func problemsOf(r *catalog.Route) []page.ProblemRef {
	var codes []problem.Code
	if !r.Anonymous {
		codes = append(codes, problem.AuthMissing, problem.AuthInvalidToken, problem.AuthExpired, problem.AuthEnvironment,
			problem.AuthNotSubscribed, problem.AuthScope, problem.RateExceeded)
	}
	if len(r.Operation.Parameters) > 0 {
		codes = append(codes, problem.ParameterInvalid)
	}
	if len(r.Bodies) > 0 {
		codes = append(codes, problem.BodyMalformed, problem.BodyTooLarge, problem.BodyContentType, problem.SchemaViolation)
	}
	switch r.Dispatch {
	case catalog.Accept:
		codes = append(codes, problem.BusinessConflict, problem.StoreUnavailable)
		if r.Event != nil && r.Event.Entity == "order" {
			codes = append(codes, problem.OrderUnknown, problem.OrderState, problem.OrderVersion, problem.OrderTooLate)
		}
	case catalog.Proxy:
		codes = append(codes, problem.BackendUnreachable, problem.BackendTimeout, problem.BackendBadAnswer)
	}
	out := make([]page.ProblemRef, len(codes))
	for i, c := range codes {
		out[i] = problemRef(c)
	}
	return out
}

// curl is a command that works once the token is filled in; it holds no secret.
func (p *Portal) curl(r *catalog.Route, example, bodyType string) string {
	path := r.Template
	for i := range r.Operation.Parameters {
		param := &r.Operation.Parameters[i]
		if param.In == "path" && param.Example != nil {
			path = strings.ReplaceAll(path, "{"+param.Name+"}", fmt.Sprint(param.Example))
		}
	}
	lines := []string{"curl -X " + r.Method + " '" + p.GatewayURL + path + "'"}
	if r.Method == "GET" {
		lines[0] = "curl '" + p.GatewayURL + path + "'"
	}
	if !r.Anonymous {
		lines = append(lines, `  -H "Authorization: Bearer $TOKEN"`)
	}
	if bodyType != "" {
		lines = append(lines, "  -H 'Content-Type: "+bodyType+"'")
		if example != "" {
			lines = append(lines, "  --data-binary '"+strings.ReplaceAll(example, "'", `'\''`)+"'")
		} else {
			lines = append(lines, "  --data-binary @body")
		}
	}
	return strings.Join(lines, " \\\n")
}
