package catalog

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"portway/internal/catalog/pathtree"
	"portway/internal/datafile"
	"portway/internal/openapi"
	"portway/internal/schema"
)

// defaultBody is the largest body of an operation that does not say otherwise.
const defaultBody = 1 << 20

// api reads an API's policy and the contracts of its versions.
func (l *loader) api(id, file string, src []byte) {
	var f apiFile
	if p := datafile.Decode(file, "api", src, &f); p != nil {
		l.problems, l.partial = append(l.problems, p...), true
		return
	}
	a := &API{ID: id, Title: f.Title, Summary: f.Summary, Internal: f.Internal, Observe: f.Observe}
	l.versioning(a, file, &f)
	l.credentials(a, file, &f)
	names := make([]string, 0, len(f.Versions))
	for name := range f.Versions {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool { // v2 before v10
		if len(names[i]) != len(names[j]) {
			return len(names[i]) < len(names[j])
		}
		return names[i] < names[j]
	})
	if len(names) == 0 {
		l.fail(file, l.line("versions"), "an API has at least one version")
	}
	used := map[string]bool{}
	for _, name := range names {
		if v := l.version(a, name, file, &f, used); v != nil {
			a.Versions = append(a.Versions, v)
		} else {
			l.partial = true
		}
	}
	for key := range f.Operations {
		if !used[key] {
			l.fail(file, l.line("operations", key), "operations: %q is in no contract of this API", key)
		}
	}
	l.snap.APIs = append(l.snap.APIs, a)
}

func (l *loader) version(a *API, name, file string, f *apiFile, used map[string]bool) *Version {
	spec := a.ID + "/" + name + "/openapi.yaml"
	src := l.spec(a.ID, spec)
	if src == nil {
		l.fail(file, l.line("versions", name), "version %q has no contract specs/%s", name, spec)
		return nil
	}
	l.digest["specs/"+spec] = sha256.Sum256(src)
	doc, findings, err := openapi.Load(src, openapi.Options{File: "specs/" + spec})
	l.findings(findings)
	if err != nil {
		l.fail("specs/"+spec, 0, "%v", err)
		return nil
	}
	v := &Version{API: a, Name: name, Base: "/" + a.ID + "/" + name, Document: doc, names: doc.DeclaredNames()}
	if a.VersionHeader != "" {
		v.Base = "/" + a.ID
	}
	if base := f.Versions[name].Base; base != nil {
		v.Base = *base
	}
	v.Lifecycle = l.lifecycle(file, name, f)
	v.Headers = l.lifecycleHeaders(v)
	compiler, err := schema.NewCompiler(doc.Bundle, doc.Dialect)
	if err != nil {
		l.fail("specs/"+spec, 0, "%v", err)
		return nil
	}
	for i := range doc.Operations {
		op := &doc.Operations[i]
		key := op.ID
		policy, known := f.Operations[key]
		used[key] = used[key] || known
		if own, ok := f.Operations[name+"/"+op.ID]; ok {
			key = name + "/" + op.ID
			policy, known = own, true
			used[key] = true
		}
		if !known {
			l.partial = true
			l.fail(file, l.line("operations"), "operations: %q of version %s is not declared", op.ID, name)
			continue
		}
		r, warnings, err := newRoute(v, op, compiler)
		l.snap.Warnings = append(l.snap.Warnings, warnings...)
		if err != nil {
			l.partial = true
			l.fail("specs/"+spec, op.Line, "%s: %v", op.ID, err)
			continue
		}
		l.enforce(file, key, r, &policy)
		l.idempotency(file, key, r, &policy)
		l.modes(file, key, r, &policy, compiler)
		if err := l.snap.register(r); err != nil {
			l.fail(file, l.line("operations", key), "%v", err)
		}
		v.Routes = append(v.Routes, r)
	}
	return v
}

// spec reads a contract: the installation's own if it has one, except for a shipped API.
func (l *loader) spec(api, name string) []byte {
	order := []fs.FS{l.src.Specs, l.src.StdSpecs}
	if strings.HasPrefix(l.owners["apis/"+api], "policies/std/") {
		order = []fs.FS{l.src.StdSpecs}
	}
	for _, files := range order {
		if files == nil {
			continue
		}
		if src, err := fs.ReadFile(files, name); err == nil {
			return src
		}
	}
	return nil
}

// newRoute compiles the contract of one operation, with the defaults of enforcement.
func newRoute(v *Version, op *openapi.Operation, c *schema.Compiler) (*Route, []openapi.Finding, error) {
	r := &Route{ID: v.API.ID + "/" + v.Name + "/" + op.ID, API: v.API, Version: v, Operation: op, Method: op.Method,
		Template: v.Base + op.Path, Anonymous: op.NoAuth, Cost: 1, BodyLimit: defaultBody, Timeout: 30 * time.Second,
		Bodies: map[string]*schema.Schema{}, Parameters: map[string]*schema.Schema{}}
	var warnings []openapi.Finding
	compile := func(pointer string) (*schema.Schema, error) {
		s, findings, err := c.Compile(pointer, schema.Request)
		for _, f := range findings {
			warnings = append(warnings, openapi.Finding{File: v.Document.Title, Line: op.Line, Severity: openapi.SeverityWarning,
				Rule: "schema.not_checked", Where: f.Pointer, Message: f.Message})
		}
		return s, err
	}
	for _, alternative := range op.Security {
		for _, requirement := range alternative {
			r.Scopes = append(r.Scopes, requirement.Scopes...)
		}
	}
	if op.RequestBody != nil {
		r.BodyRequired = op.RequestBody.Required
		for _, m := range op.RequestBody.Content {
			media := strings.ToLower(strings.TrimSpace(strings.SplitN(m.Type, ";", 2)[0]))
			var s *schema.Schema
			if m.Pointer != "" && isJSON(media) {
				var err error
				if s, err = compile(m.Pointer); err != nil {
					return nil, warnings, err
				}
			}
			r.Bodies[media] = s
		}
	}
	for i := range op.Parameters {
		p := &op.Parameters[i]
		if p.Pointer == "" {
			continue
		}
		s, err := compile(p.Pointer)
		if err != nil {
			return nil, warnings, fmt.Errorf("parameter %q: %w", p.Name, err)
		}
		r.Parameters[p.In+"."+p.Name] = s
	}
	r.Responses = responseTypes(op)
	return r, warnings, nil
}

func isJSON(media string) bool {
	return media == "application/json" || strings.HasSuffix(media, "+json")
}

// responseTypes lists the media types of success answers, once each.
func responseTypes(op *openapi.Operation) []string {
	var out []string
	seen := map[string]bool{}
	for _, response := range op.Responses {
		if !strings.HasPrefix(response.Status, "2") && response.Status != "default" {
			continue
		}
		for _, m := range response.Content {
			if t := strings.ToLower(m.Type); !seen[t] {
				seen[t] = true
				out = append(out, t)
			}
		}
	}
	return out
}

// enforce applies an operation's policy, which stands under key in the file.
func (l *loader) enforce(file, key string, r *Route, p *operationFile) {
	fail := func(member, format string, args ...any) {
		l.fail(file, l.line("operations", key, member), "operations.%s"+format, append([]any{key}, args...)...)
	}
	r.Dispatch, r.InFlight, r.Handler = p.Dispatch, p.InFlight, p.Handler
	if p.Cost < 0 || p.Timeout < 0 {
		fail("", ": cost and timeout are above zero")
	}
	if p.Cost > 0 {
		r.Cost = p.Cost
	}
	if p.Timeout > 0 {
		r.Timeout = p.Timeout
	}
	if p.Body != "" {
		n, err := parseSize(p.Body)
		if err != nil {
			fail("body", ".body: %v", err)
		}
		r.BodyLimit = n
	}
	defer l.bodies(r, p, fail)
	switch p.Dispatch {
	case Accept:
		if r.Handler != "" {
			return // a document: its statements follow from its format
		}
		r.Event = l.snap.Events[p.Event]
		r.Mapping = l.mappingByID(file, p.Mapping, "operations", key, "mapping")
		if r.Event == nil {
			fail("event", ": event type %q does not exist in specs/events", p.Event)
		}
		if r.Mapping == nil && p.Mapping == "" {
			fail("mapping", ": an accepted statement needs a mapping")
		}
	case Proxy:
		r.Up, r.Down = l.mappingByID(file, p.Up, "operations", key, "up"), l.mappingByID(file, p.Down, "operations", key, "down")
		r.Select = &Selector{Fixed: p.Backend.Fixed, Body: p.Backend.Body, PathPrefix: p.Backend.Path}
		ways := 0
		for _, way := range []string{p.Backend.Fixed, p.Backend.Body, p.Backend.Path} {
			if way != "" {
				ways++
			}
		}
		if ways != 1 {
			fail("backend", ": a proxied operation needs one of backend.fixed, backend.body and backend.path")
		}
		if id := r.Select.Fixed; id != "" && l.snap.Backends[id] == nil {
			fail("backend", ": backend %q does not exist in policies/backends", id)
		}
		if name := r.Select.PathPrefix; name != "" && !slices.Contains(pathtree.Names(r.Template), name) {
			fail("backend", ": backend.path %q is not a path parameter of the operation", name)
		}
	case Builtin:
		if r.Handler == "" {
			r.Handler = r.Operation.ID
		}
	default:
		fail("dispatch", ": dispatch is %q: use proxy, accept or builtin", p.Dispatch)
	}
}

// parseSize reads "512KiB", "1MiB" or a number of bytes.
func parseSize(s string) (int64, error) {
	unit := int64(1)
	digits := s
	for suffix, factor := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if cut, ok := strings.CutSuffix(s, suffix); ok {
			digits, unit = cut, factor
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n <= 0 || n > 1<<40/unit {
		return 0, fmt.Errorf("%q is not a size: use bytes, KiB, MiB or GiB", s)
	}
	return n * unit, nil
}

func (l *loader) lifecycle(file, name string, f *apiFile) Lifecycle {
	in := f.Versions[name].Lifecycle
	out := Lifecycle{State: in.State, Successor: in.Successor}
	switch in.State {
	case "":
		out.State = "stable"
	case "stable", "deprecated", "retired":
	default:
		l.fail(file, l.line("versions", name, "lifecycle", "state"), "versions.%s.lifecycle.state is %q: use stable, deprecated or retired", name, in.State)
	}
	date := func(what, s string) time.Time {
		if s == "" {
			return time.Time{}
		}
		t, err := time.Parse("2006-01-02", s)
		if err != nil {
			l.fail(file, l.line("versions", name, "lifecycle", what), "versions.%s.lifecycle.%s is not a date like 2026-11-30", name, what)
		}
		return t
	}
	out.DeprecatedAt = date("deprecated", in.Deprecated)
	out.SunsetAt = date("sunset", in.Sunset)
	if out.Deprecated() && out.DeprecatedAt.IsZero() {
		l.fail(file, l.line("versions", name, "lifecycle"), "versions.%s.lifecycle: a deprecated version says since when", name)
	}
	if !out.SunsetAt.IsZero() && out.SunsetAt.Before(out.DeprecatedAt) {
		l.fail(file, l.line("versions", name, "lifecycle", "sunset"), "versions.%s.lifecycle: the sunset comes before the deprecation", name)
	}
	if _, ok := f.Versions[in.Successor]; in.Successor != "" && !ok {
		l.fail(file, l.line("versions", name, "lifecycle", "successor"), "versions.%s.lifecycle.successor %q is not a version of this API", name, in.Successor)
	}
	return out
}

// lifecycleHeaders renders Deprecation (RFC 9745: a structured-field date), Sunset (RFC 8594: an HTTP date)
// and Link for a deprecated version.
func (l *loader) lifecycleHeaders(v *Version) [][2]string {
	c := &v.Lifecycle
	if !c.Deprecated() {
		return nil
	}
	out := [][2]string{{"Deprecation", "@" + strconv.FormatInt(c.DeprecatedAt.Unix(), 10)}}
	if !c.SunsetAt.IsZero() {
		out = append(out, [2]string{"Sunset", c.SunsetAt.UTC().Format(http.TimeFormat)})
	}
	if l.src.Links != nil {
		page := l.src.Links(v.API.ID, v.Name)
		link := fmt.Sprintf(`<%s>; rel="deprecation"; type="text/html"`, page)
		if !c.SunsetAt.IsZero() {
			link += fmt.Sprintf(`, <%s>; rel="sunset"; type="text/html"`, page)
		}
		if c.Successor != "" {
			link += fmt.Sprintf(`, <%s>; rel="successor-version"`, l.src.Links(v.API.ID, c.Successor))
		}
		out = append(out, [2]string{"Link", link})
	}
	return out
}
