package catalog

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"portway/internal/catalog/egress"
	"portway/internal/datafile"
	"portway/internal/ident"
)

type backendFile struct {
	datafile.Head `yaml:",inline"`
	egress.Policy `yaml:",inline"`
	Name          string                          `yaml:"name"`
	URLs          map[string]string               `yaml:"urls"`
	Headers       map[string]string               `yaml:"headers"`
	Vars          map[string]any                  `yaml:"vars"`
	Timeout       time.Duration                   `yaml:"timeout"`
	Answers       Answers                         `yaml:"answers"`
	Operations    map[string]backendOperationFile `yaml:"operations"`
}

type backendOperationFile struct {
	Method     string            `yaml:"method"`
	Path       string            `yaml:"path"`
	Query      map[string]string `yaml:"query"`
	Request    string            `yaml:"request"`
	Response   string            `yaml:"response"`
	Repeatable bool              `yaml:"repeatable"`
}

func (l *loader) backend(id, file string, src []byte) {
	var f backendFile
	if p := datafile.Decode(file, "backend", src, &f); p != nil {
		l.problems = append(l.problems, p...)
		return
	}
	b := &Backend{ID: id, Name: f.Name, URLs: map[ident.Environment]string{}, Headers: f.Headers, Vars: f.Vars, Timeout: f.Timeout, Policy: f.Policy,
		Answers: f.Answers, Operations: map[string]*BackendOperation{}}
	b.Targets = map[ident.Environment][]egress.Target{}
	if b.Timeout == 0 {
		b.Timeout = 15 * time.Second
	}
	for env, ref := range f.URLs {
		l.targets(b, file, ident.Environment(env), []egress.Target{{URL: ref}}, "urls")
	}
	for env, list := range f.Targets {
		if _, both := f.URLs[string(env)]; both {
			l.fail(file, l.line("targets", string(env)), "targets.%s: urls has this environment, too; give one of them", env)
			continue
		}
		l.targets(b, file, env, list, "targets")
	}
	for op, o := range f.Operations {
		b.Operations[op] = &BackendOperation{Method: o.Method, Path: o.Path, Query: o.Query, Repeatable: o.Repeatable,
			Request:  l.mappingByID(file, o.Request, "operations", op, "request"),
			Response: l.mappingByID(file, o.Response, "operations", op, "response")}
		if o.Path != "" && !strings.HasPrefix(o.Path, "/") {
			l.fail(file, l.line("operations", op, "path"), "operations.%s.path does not begin with a slash", op)
		}
	}
	b.Check(b.Timeout, func(member, message string) { l.fail(file, l.line(member), "%s", message) })
	l.tokenURL(b, file)
	l.backendAnswers(b, file)
	l.snap.Backends[id] = b
}

// targets resolves the addresses of a backend in an environment, which stand under member.
func (l *loader) targets(b *Backend, file string, env ident.Environment, list []egress.Target, member string) {
	where, path := member+"."+string(env), []any{member, string(env)}
	if !env.Valid() {
		l.fail(file, l.line(path...), "%s: environment %q: use sandbox or live", member, env)
		return
	}
	if len(list) == 0 {
		l.fail(file, l.line(path...), "%s has no address", where)
	}
	for i, t := range list {
		at := path
		if member == "targets" {
			at = append(slices.Clone(path), i)
		}
		resolved, err := l.src.ResolveURL(t.URL)
		switch {
		case err != nil:
			l.fail(file, l.line(at...), "%s: %v", where, err)
			continue
		case !isBackendURL(resolved) || resolved == "" && member == "targets":
			l.fail(file, l.line(at...), "%s is not an absolute http or https address without user, query and fragment", where)
			continue
		case t.Weight < 0 || t.Weight > 1000:
			l.fail(file, l.line(at...), "%s: a weight is between 1 and 1000", where)
		}
		b.Targets[env] = append(b.Targets[env], egress.Target{URL: strings.TrimSuffix(resolved, "/"), Weight: max(t.Weight, 1)})
	}
	if len(b.Targets[env]) > 0 {
		b.URLs[env] = b.Targets[env][0].URL
	}
}

// tokenURL resolves the address of a backend's token endpoint.
func (l *loader) tokenURL(b *Backend, file string) {
	a := b.Auth.OAuth
	if a == nil {
		return
	}
	resolved, err := l.src.ResolveURL(a.TokenURL)
	if err != nil || resolved == "" || !isBackendURL(resolved) {
		l.fail(file, l.line("auth"), "auth.oauth.tokenUrl is not an absolute http or https address without user, query and fragment")
	}
	a.TokenURL = resolved
}

// backendAnswers checks that every listed status is one, and listed once.
func (l *loader) backendAnswers(b *Backend, file string) {
	seen := map[int]bool{}
	for _, list := range [][]int{b.Answers.Done, b.Answers.Already, b.Answers.Rejected, b.Answers.Locked, b.Answers.Transient} {
		for _, status := range list {
			if status < 100 || status > 599 || seen[status] {
				l.fail(file, l.line("answers"), "answers: %d is no HTTP status, or listed twice", status)
			}
			seen[status] = true
		}
	}
}

// isBackendURL reports whether s is an address to call, none at all, or a reference that was left unresolved, as a
// check without the running program does.
func isBackendURL(s string) bool {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return false
	case s == "", u.Scheme == "env", u.Scheme == "file", u.Scheme == "demo":
		return true
	}
	return (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == "" && !u.ForceQuery
}

// backendOperations finds operations of backends that no API has: a misspelt one would be served as if it were
// not there. It runs when all APIs are read.
func (l *loader) backendOperations() {
	if l.partial {
		return
	}
	known := map[string]bool{}
	for _, a := range l.snap.APIs {
		for _, v := range a.Versions {
			for _, r := range v.Routes {
				known[r.Operation.ID], known[v.Name+"/"+r.Operation.ID] = true, true
			}
		}
	}
	for id, b := range l.snap.Backends {
		for op := range b.Operations {
			if !known[op] {
				l.fail(l.owners["backends/"+id], 0, "operations: %q is in no contract", op)
			}
		}
	}
}

// bodies applies what an operation says of its bodies: streaming, the largest answer and the fallback.
func (l *loader) bodies(r *Route, p *operationFile, fail func(member, format string, args ...any)) {
	r.Stream, r.Fallback = p.Stream, p.Fallback
	if p.Answer != "" {
		n, err := parseSize(p.Answer)
		if err != nil {
			fail("answer", ".answer: %v", err)
		}
		r.AnswerLimit = n
	}
	if s := p.Stream; s != "" && !s.Up() && !s.Down() {
		fail("stream", ".stream is %q: use up, down or both", s)
	}
	if p.Stream != "" && p.Dispatch != Proxy {
		fail("stream", ": only a proxied operation streams")
	}
	up, down := l.mapped(r)
	if r.Stream.Up() {
		for media, s := range r.Bodies {
			if s != nil {
				fail("stream", ": a streamed body is not checked, but the contract has a schema for %s", media)
			}
		}
		if up || r.Up != nil || p.Backend.Body != "" {
			fail("stream", ": a streamed body is not read: no mapping of the request, and no backend chosen by the body")
		}
	}
	if r.Stream.Down() && (down || r.Down != nil) {
		fail("stream", ": a streamed answer is not read: no mapping of the answer")
	}
	if r.Stream.Down() && (p.Response == Enforce || p.Response == Report) {
		fail("stream", ": a streamed answer is not checked: response is off")
	}
	switch f := r.Fallback; f.Kind {
	case "", "fail":
		r.Fallback = egress.Fallback{}
	case "last_good":
		if p.Dispatch != Proxy || r.Method != "GET" && r.Method != "HEAD" || r.Stream != "" || f.MaxAge <= 0 {
			fail("fallback", ".fallback: last_good is for proxied reads that are not streamed, with a maxAge above zero")
		}
	default:
		fail("fallback", ".fallback.kind is %q: use last_good or fail", f.Kind)
	}
}

// mapped reports whether a backend that may serve a route maps its requests or answers.
func (l *loader) mapped(r *Route) (up, down bool) {
	for id, b := range l.snap.Backends {
		if r.Select == nil || r.Select.Fixed != "" && r.Select.Fixed != id {
			continue
		}
		for _, key := range []string{r.Version.Name + "/" + r.Operation.ID, r.Operation.ID} {
			if o := b.Operations[key]; o != nil {
				up, down = up || o.Request != nil, down || o.Response != nil
				break
			}
		}
	}
	return up, down
}
