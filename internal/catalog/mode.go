package catalog

import (
	"fmt"
	"strings"

	"portway/internal/catalog/response"
	"portway/internal/schema"
)

// Mode is what happens to a document that breaks its contract.
type Mode string

// The modes. Without one, requests are enforced and answers are not checked.
const (
	Off     Mode = "off"     // not checked; answers only
	Report  Mode = "report"  // passed on as it is, and counted
	Enforce Mode = "enforce" // refused, and counted
)

// Reports reports whether requests of an organisation that break the contract pass and are counted.
func (r *Route) Reports(organisation string) bool {
	return r.RequestMode == Report || r.ReportFor[organisation]
}

// Observed reports whether calls pass unmodified, checked and counted only (RULES 24).
func (r *Route) Observed() bool { return r.API != nil && r.API.Observe }

// generalTokens is how deep a generalised pointer reaches.
const generalTokens = 12

// Generalise makes a JSON Pointer into a document fit for counting: names the contract declares stay, and everything
// else (positions in lists, keys and names the sender chose) becomes "*". So it holds nothing of the document, and
// the contract bounds how many there are.
func (v *Version) Generalise(pointer string) string {
	if pointer == "" {
		return ""
	}
	rooted := strings.HasPrefix(pointer, "/")
	tokens := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	if len(tokens) > generalTokens {
		tokens = append(tokens[:generalTokens], "…")
	}
	for i, t := range tokens {
		if !v.names[strings.NewReplacer("~1", "/", "~0", "~").Replace(t)] && t != "…" {
			tokens[i] = "*"
		}
	}
	out := strings.Join(tokens, "/")
	if rooted {
		return "/" + out
	}
	return out
}

// modes applies what an operation's policy says about breaches of its contract, and compiles its answers if they are
// checked.
func (l *loader) modes(file, key string, r *Route, p *operationFile, c *schema.Compiler) {
	fail := func(member, format string, args ...any) {
		l.fail(file, l.line("operations", key, member), "operations.%s"+format, append([]any{key}, args...)...)
	}
	r.RequestMode, r.ResponseMode = p.Request, p.Response
	switch r.RequestMode {
	case "":
		r.RequestMode = Enforce
	case Enforce, Report:
	default:
		fail("request", ".request is %q: use enforce or report", p.Request)
	}
	switch r.ResponseMode {
	case "":
		r.ResponseMode = Off
		if r.Dispatch == Proxy {
			r.ResponseMode = Report
		}
	case Off, Report, Enforce:
		if r.Dispatch != Proxy {
			fail("response", ".response: only a proxied operation has a backend's answer to check")
		}
	default:
		fail("response", ".response is %q: use off, report or enforce", p.Response)
	}
	for i, slug := range p.Report.Partners {
		if r.ReportFor == nil {
			r.ReportFor = map[string]bool{}
		}
		if slug == "" || r.ReportFor[slug] {
			l.fail(file, l.line("operations", key, "report", "partners", i), "operations.%s.report.partners: every organisation is named once", key)
		}
		r.ReportFor[slug] = true
	}
	if r.Dispatch == Builtin && (r.RequestMode == Report || r.ReportFor != nil) {
		fail("request", ": what Portway itself answers cannot be report-only: its handlers rely on the contract")
	}
	r.Refs = p.Refs
	for i, ref := range p.Refs {
		if err := refPointer(r, ref); err != nil {
			l.fail(file, l.line("operations", key, "refs", i), "operations.%s.refs: %v", key, err)
		}
	}
	if r.API.Observe {
		l.observed(file, key, r, p)
	}
	if r.ResponseMode == Off || r.Dispatch != Proxy {
		return
	}
	compiled, warnings, err := response.Compile(r.Operation, c, r.Version.Document.Title)
	l.snap.Warnings = append(l.snap.Warnings, warnings...)
	if err != nil {
		l.fail("specs/"+r.API.ID+"/"+r.Version.Name+"/openapi.yaml", r.Operation.Line, "%s: %v", r.Operation.ID, err)
	}
	r.ResponseSchemas = compiled
}

// observed holds an operation to what an observed API promises: nothing of ours changes, or decides by, what passes.
func (l *loader) observed(file, key string, r *Route, p *operationFile) {
	switch {
	case r.Dispatch != Proxy || p.Backend.Fixed == "" || p.Up != "" || p.Down != "" || p.Fallback.Kind != "":
		l.fail(file, l.line("operations", key), "operations.%s: an observed API passes calls to one backend as they are: use dispatch: proxy, backend.fixed, no mapping and no fallback", key)
	case p.Request == Enforce || p.Response == Enforce:
		l.fail(file, l.line("operations", key), "operations.%s: an observed API refuses nothing: leave request and response out", key)
	}
	r.RequestMode = Report
	if p.Response == "" {
		r.ResponseMode = Report
	}
}

// observedBackends finds mappings that a backend has for operations that are observed. It runs when all APIs are read.
func (l *loader) observedBackends() {
	for _, a := range l.snap.APIs {
		if !a.Observe {
			continue
		}
		for _, v := range a.Versions {
			for _, r := range v.Routes {
				if r.Select == nil || l.snap.Backends[r.Select.Fixed] == nil {
					continue
				}
				b := l.snap.Backends[r.Select.Fixed]
				for _, key := range []string{v.Name + "/" + r.Operation.ID, r.Operation.ID} {
					if o := b.Operations[key]; o != nil && (o.Request != nil || o.Response != nil) {
						l.fail(l.owners["backends/"+b.ID], 0, "operations.%s: api %q is observed, so its calls pass without a mapping", key, a.ID)
					}
				}
			}
		}
	}
}

// refPointer checks where a business number of a call is read.
func refPointer(r *Route, ref RefRule) error {
	if ref.Scheme == "" || ref.Scope != "" {
		return fmt.Errorf("a number has a scheme, such as so, and a pointer")
	}
	part, name, ok := strings.Cut(strings.TrimPrefix(ref.Pointer, "/"), "/")
	if !strings.HasPrefix(ref.Pointer, "/") || !ok || name == "" {
		return fmt.Errorf("%q is not a pointer like /body/order or /path/order", ref.Pointer)
	}
	switch part {
	case "path", "query":
		for i := range r.Operation.Parameters {
			if p := &r.Operation.Parameters[i]; p.In == part && p.Name == name {
				return nil
			}
		}
		return fmt.Errorf("%q is not a %s parameter of the operation", name, part)
	case "answer":
		if r.Dispatch != Proxy {
			return fmt.Errorf("only a proxied operation has a backend's answer to read")
		}
		return nil
	case "body":
		return nil
	}
	return fmt.Errorf("%q is not a pointer like /body/order or /path/order", ref.Pointer)
}
