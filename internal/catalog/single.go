package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"sort"
	"strings"
	"time"

	"portway/internal/datafile"
	"portway/internal/ident"
	"portway/internal/openapi"
	"portway/internal/schema"
)

// Single adds someone else's contract to a Snapshot with no configuration but defaults: every operation is
// proxied to one backend in both environments, and needs a subscription to the API named id under plan. An
// operation whose schema cannot be compiled is left out with a warning. The document's paths are served
// below its first server's path. A backend URL without a path keeps that path; one with a path replaces it.
func Single(src Sources, id, backend, plan string, doc *openapi.Document) (*Snapshot, datafile.Problems) {
	snap, problems := Load(src)
	if problems != nil {
		return nil, problems
	}
	target, err := url.Parse(backend)
	if err != nil || target.Host == "" || !isBackendURL(backend) {
		return nil, datafile.Problems{{File: "--backend", Message: "give an absolute http or https address without user, query and fragment"}}
	}
	if _, taken := snap.API(id); taken || snap.Backends[id] != nil {
		return nil, datafile.Problems{{File: "--spec", Message: fmt.Sprintf("%q is already an API or a backend of this installation", id)}}
	}
	base := strings.TrimSuffix(target.String(), "/")
	if strings.Trim(target.Path, "/") == "" {
		base += doc.BasePath
	}
	b := &Backend{ID: id, Name: doc.Title, Timeout: 30 * time.Second, Operations: map[string]*BackendOperation{},
		URLs: map[ident.Environment]string{ident.Sandbox: base, ident.Live: base}}
	a := &API{ID: id, Title: doc.Title}
	v := &Version{API: a, Name: "v1", Base: doc.BasePath, Document: doc, names: doc.DeclaredNames(), Lifecycle: Lifecycle{State: "stable"}}
	a.Versions = []*Version{v}
	compiler, err := schema.NewCompiler(doc.Bundle, doc.Dialect)
	if err != nil {
		return nil, datafile.Problems{{File: "--spec", Message: err.Error()}}
	}
	for i := range doc.Operations {
		op := &doc.Operations[i]
		r, warnings, err := newRoute(v, op, compiler)
		snap.Warnings = append(snap.Warnings, warnings...)
		if err != nil {
			snap.Warnings = append(snap.Warnings, openapi.Finding{File: "--spec", Line: op.Line, Severity: openapi.SeverityWarning,
				Rule: "operation.left_out", Where: op.Method + " " + op.Path, Message: err.Error()})
			continue
		}
		r.Scopes, r.Anonymous, r.Dispatch, r.Select = nil, false, Proxy, &Selector{Fixed: id}
		r.Idempotency.Key = r.keyMode()
		b.Operations[op.ID] = &BackendOperation{}
		if err := snap.register(r); err != nil {
			problems = append(problems, datafile.Problem{File: "--spec", Line: op.Line,
				Message: fmt.Sprintf("%v: a path of the document clashes with another or with Portway's own", err)})
			continue
		}
		v.Routes = append(v.Routes, r)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	if snap.Plans[plan] == nil {
		return nil, datafile.Problems{{File: "policies/plans", Message: fmt.Sprintf("plan %q does not exist", plan)}}
	}
	snap.Backends[id] = b
	snap.APIs = append(snap.APIs, a)
	sort.Slice(snap.APIs, func(i, j int) bool { return snap.APIs[i].ID < snap.APIs[j].ID })
	sum := sha256.Sum256([]byte(snap.Digest + "\n" + base + "\n" + string(doc.Raw)))
	snap.Digest = hex.EncodeToString(sum[:])
	return snap, nil
}
