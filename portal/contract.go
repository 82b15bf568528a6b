package portal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"sync"

	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/openapi"
	"portway/internal/problem"
	"portway/web/page"
)

// contracts keeps the versions of one Snapshot as people read them. It is emptied when the Snapshot is swapped.
type contracts struct {
	gateway  string
	markdown *markdown

	mu    sync.Mutex
	snap  *catalog.Snapshot
	known map[*catalog.Version]*contract
}

// contract is a version as its reference shows it, whoever reads. It is not changed once made.
type contract struct {
	description page.SafeHTML
	servers     []page.Server
	groups      []page.OperationGroup
	operations  map[string]bool // by id
}

func newContracts(gateway string) *contracts {
	return &contracts{gateway: gateway, markdown: newMarkdown()}
}

// of returns the contract of a version of snap. The first reader waits while it is made, a few milliseconds for
// each 100 kB of document.
func (c *contracts) of(snap *catalog.Snapshot, ver *catalog.Version) *contract {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.snap != snap {
		c.snap, c.known = snap, map[*catalog.Version]*contract{}
	}
	if known := c.known[ver]; known != nil {
		return known
	}
	doc := &schemas{markdown: c.markdown}
	doc.parse(ver.Document.Bundle)
	out := &contract{description: c.markdown.html(ver.Document.Description), servers: servers(c.gateway, ver, environments(snap, ver)),
		operations: map[string]bool{}}
	for _, r := range ver.Routes {
		out.operations[r.Operation.ID] = true
		out.groups = grouped(out.groups, ver.Document, r, c.operation(r, doc))
	}
	c.known[ver] = out
	return out
}

// environments are those in which at least one operation of the version is served.
func environments(snap *catalog.Snapshot, ver *catalog.Version) []string {
	var out []string
	for _, env := range []ident.Environment{ident.Sandbox, ident.Live} {
		for _, r := range ver.Routes {
			if r.Select != nil && r.Select.Fixed != "" && (snap.Backends[r.Select.Fixed] == nil || snap.Backends[r.Select.Fixed].URLs[env] == "") {
				continue
			}
			out = append(out, string(env))
			break
		}
	}
	return out
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

func (c *contracts) operation(r *catalog.Route, doc *schemas) page.Operation {
	op := r.Operation
	out := page.Operation{ID: op.ID, Href: operationPath(r.Version, op.ID), Method: op.Method, Path: r.Template, Title: op.Summary,
		Description: c.markdown.html(op.Description), Scopes: r.Scopes, Later: later(r), StatusPath: statusPath(r), InFlight: r.InFlight,
		Lifecycle: lifecycle(r.Version.Lifecycle.State), BodyRequired: r.BodyRequired}
	if out.Title == "" {
		out.Title = op.ID
	}
	if op.Deprecated {
		out.Lifecycle = lifecycle("deprecated")
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

// operationPath is the page of an operation; ids of other people's documents hold slashes.
func operationPath(v *catalog.Version, id string) string {
	return versionPath(v) + "/" + url.PathEscape(id)
}

// statusPath is where the outcome of an accepted statement or document can be read.
func statusPath(r *catalog.Route) string {
	switch {
	case !later(r):
		return ""
	case r.Event == nil:
		return "/v1/documents/{documentId}"
	default:
		return "/v1/events/{eventId}"
	}
}

func (c *contracts) responses(op *openapi.Operation) []page.Response {
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

// exampleText shows an example as it goes over the wire: JSON indented, a form encoded, and an example that is
// one string, such as an EDI file, as the text it is.
func exampleText(mediaType string, raw []byte) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var fields map[string]any
	if mediaType == "application/x-www-form-urlencoded" && json.Unmarshal(raw, &fields) == nil {
		values := url.Values{}
		for k, v := range fields {
			values.Set(k, fmt.Sprint(v))
		}
		return values.Encode()
	}
	var out bytes.Buffer
	if json.Indent(&out, raw, "", "  ") != nil {
		return string(raw)
	}
	return out.String()
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
		out[i] = problemRef(c)
	}
	return out
}

// curl is a command that works once the token is filled in; it holds no secret.
func curl(gateway string, r *catalog.Route, example, bodyType string) string {
	path, query, headers := r.Template, url.Values{}, []string(nil)
	for i := range r.Operation.Parameters {
		param := &r.Operation.Parameters[i]
		value := "{" + param.Name + "}"
		if param.Example != nil {
			value = fmt.Sprint(param.Example)
		}
		switch {
		case param.In == "path" && param.Example != nil:
			path = strings.ReplaceAll(path, "{"+param.Name+"}", url.PathEscape(value))
		case param.In == "query" && param.Required:
			query.Set(param.Name, value)
		case param.In == "header" && param.Required:
			headers = append(headers, param.Name+": "+value)
		}
	}
	target := gateway + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	lines := []string{"curl " + quoted(target)}
	if r.Method != "GET" {
		lines[0] = "curl -X " + r.Method + " " + quoted(target)
	}
	if !r.Anonymous {
		lines = append(lines, `  -H "Authorization: Bearer $TOKEN"`)
	}
	for _, h := range headers {
		lines = append(lines, "  -H "+quoted(h))
	}
	if bodyType != "" {
		lines = append(lines, "  -H "+quoted("Content-Type: "+bodyType))
		if example != "" {
			lines = append(lines, "  --data-binary "+quoted(example))
		} else {
			lines = append(lines, "  --data-binary @body")
		}
	}
	return strings.Join(lines, " \\\n")
}

// quoted is a word of a POSIX shell command.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
