package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"path"
	"sort"
	"strings"

	"portway/internal/datafile"
	"portway/internal/edi"
	"portway/internal/ident"
	"portway/internal/mapping"
	"portway/internal/openapi"
	"portway/internal/schema"
)

// Sources is where a Snapshot is read from.
type Sources struct {
	// Specs holds <api>/<version>/openapi.yaml and events/<type>.schema.json; Policies holds the folders apis,
	// plans, backends, mappings and routes. Either may be nil.
	Specs    fs.FS
	Policies fs.FS
	// Std is the shipped part, always read: Portway's own contract and policies, guides and tables. The same id in
	// Std and Policies is an error that names both.
	StdSpecs    fs.FS
	StdPolicies fs.FS
	// ResolveURL turns a backend URL of a policy file into an absolute one: "env:NAME", or a name the running
	// program serves itself. It returns "" when there is none in this installation.
	ResolveURL func(string) (string, error)
	// Links builds the address of a version's page in the portal, for Link headers.
	Links func(api, version string) string
	Clock ident.Clock
}

// loader gathers a Snapshot and every problem on the way.
type loader struct {
	src      Sources
	snap     *Snapshot
	problems datafile.Problems
	owners   map[string]string // "kind/id" → file
	digest   map[string][32]byte
	text     []byte // of the policy file that is being read
	partial  bool   // an API or a version could not be read: its operations are not known
	plans    []readPlan
}

// Load reads, resolves and compiles everything. On any problem it returns all of them and no Snapshot. Cost
// grows with the number of operations and the size of their schemas.
func Load(src Sources) (*Snapshot, datafile.Problems) {
	l := &loader{src: src, owners: map[string]string{}, digest: map[string][32]byte{}, snap: &Snapshot{
		Loaded: src.Clock.Now(), Plans: map[string]*Plan{}, Backends: map[string]*Backend{},
		Events: map[string]*EventType{}, Mappings: map[string]*mapping.Mapping{}, Guides: map[string]*edi.Guide{},
		Issuers: map[string]*Issuer{},
	}}
	l.each("mappings", "policies/mappings", l.mapping)
	l.each("std/guides/x12", "policies/std/guides/x12", l.guide)
	l.each("plans", "policies/plans", l.plan)
	l.each("issuers", "policies/issuers", l.issuer)
	l.events()
	l.each("backends", "policies/backends", l.backend)
	l.each("routes", "policies/routes", l.route)
	l.each("apis", "policies/apis", l.api)
	l.headers()
	l.observedBackends()
	l.backendOperations()
	l.planOperations()
	if l.problems.Err() != nil { // which also puts them in order
		return nil, l.problems
	}
	l.seal()
	return l.snap, nil
}

// seal puts lists in order and computes the digest.
func (l *loader) seal() {
	sort.Slice(l.snap.APIs, func(i, j int) bool { return l.snap.APIs[i].ID < l.snap.APIs[j].ID })
	sort.Slice(l.snap.Routes, func(i, j int) bool { return l.snap.Routes[i].ID < l.snap.Routes[j].ID })
	names := make([]string, 0, len(l.digest))
	for n := range l.digest {
		names = append(names, n)
	}
	sort.Strings(names)
	h := sha256.New()
	for _, n := range names {
		sum := l.digest[n]
		h.Write([]byte(n))
		h.Write(sum[:])
	}
	l.snap.Digest = hex.EncodeToString(h.Sum(nil))
}

func (l *loader) fail(file string, line int, format string, args ...any) {
	l.problems.Add(file, line, format, args...)
}

// line is the line of a value of the policy file that is being read; see datafile.Line.
func (l *loader) line(path ...any) int { return datafile.Line(l.text, path...) }

// own records that a file defines an object, or fails when another file does.
func (l *loader) own(key, id, file string) bool {
	if owner, taken := l.owners[key]; taken {
		l.fail(file, 0, "%q is already defined in %s", id, owner)
		return false
	}
	l.owners[key] = file
	return true
}

// each reads every YAML file of a policy folder, shipped ones first. Folders below "std/" exist only there.
func (l *loader) each(folder, shown string, read func(id, file string, src []byte)) {
	sources := []struct {
		files  fs.FS
		folder string
	}{{l.src.StdPolicies, folder}, {l.src.Policies, folder}}
	if !strings.HasPrefix(folder, "std/") {
		sources[0].folder = "std/" + folder
	}
	for i, s := range sources {
		if s.files == nil || (i == 1 && strings.HasPrefix(folder, "std/")) {
			continue
		}
		entries, err := fs.ReadDir(s.files, s.folder)
		if err != nil {
			continue // a folder that is not there holds nothing
		}
		for _, e := range entries {
			id, isYAML := strings.CutSuffix(e.Name(), ".yaml")
			if e.IsDir() || !isYAML {
				continue
			}
			name := path.Join(s.folder, e.Name())
			src, err := fs.ReadFile(s.files, name)
			if err != nil {
				l.fail("policies/"+name, 0, "%v", err)
				continue
			}
			if !l.own(folder+"/"+id, id, "policies/"+name) {
				continue
			}
			l.digest["policies/"+name] = sha256.Sum256(src)
			l.text = src
			read(id, "policies/"+name, src)
		}
	}
}

func (l *loader) mapping(id, file string, src []byte) {
	m, problems := mapping.Compile(file, src)
	l.problems = append(l.problems, problems...)
	l.snap.Mappings[id] = m
}

func (l *loader) guide(_, file string, src []byte) {
	g, problems := edi.LoadGuide(file, src)
	l.problems = append(l.problems, problems...)
	if g != nil {
		l.snap.Guides[g.Format+"/"+g.Set+"/"+g.Version] = g
	}
}

func (l *loader) events() {
	for i, files := range []fs.FS{l.src.StdSpecs, l.src.Specs} {
		if files == nil {
			continue
		}
		entries, err := fs.ReadDir(files, "events")
		if err != nil {
			continue
		}
		for _, e := range entries {
			name, isSchema := strings.CutSuffix(e.Name(), ".schema.json")
			if !isSchema {
				continue
			}
			file := "events/" + e.Name()
			src, err := fs.ReadFile(files, file)
			if err != nil {
				l.fail("specs/"+file, 0, "%v", err)
				continue
			}
			if !l.own("events/"+name, name, "specs/"+file) {
				continue
			}
			if i == 0 {
				l.owners["events/"+name] = "the shipped specs/" + file
			}
			l.digest["specs/"+file] = sha256.Sum256(src)
			l.event(name, "specs/"+file, src)
		}
	}
}

func (l *loader) event(name, file string, src []byte) {
	var doc struct {
		Title string    `json:"title"`
		Meta  eventMeta `json:"x-portway"`
	}
	if err := json.Unmarshal(src, &doc); err != nil {
		l.fail(file, 0, "%v", err)
		return
	}
	if doc.Meta.Lane != "critical" && doc.Meta.Lane != "normal" && doc.Meta.Lane != "bulk" {
		l.fail(file, 0, "x-portway.lane is %q: use critical, normal or bulk", doc.Meta.Lane)
	}
	c, err := schema.NewCompiler(src, schema.Draft202012)
	if err != nil {
		l.fail(file, 0, "%v", err)
		return
	}
	compiled, findings, err := c.Compile("", schema.Either)
	if err != nil {
		l.fail(file, 0, "%v", err)
		return
	}
	for _, f := range findings {
		l.fail(file, 0, "%s: %s", f.Pointer, f.Message)
	}
	l.snap.Events[name] = &EventType{Name: name, Title: doc.Title, Schema: compiled, Raw: src, Entity: doc.Meta.Entity,
		EntityKey: doc.Meta.EntityKey, Time: doc.Meta.Time, Lane: doc.Meta.Lane, BusinessKey: doc.Meta.BusinessKey,
		Fingerprint: doc.Meta.Fingerprint, Refs: doc.Meta.Refs}
}

func (l *loader) mappingByID(file, id string, path ...any) *mapping.Mapping {
	if id == "" {
		return nil
	}
	m, ok := l.snap.Mappings[id]
	if !ok {
		l.fail(file, l.line(path...), "mapping %q does not exist in policies/mappings", id)
	}
	return m
}

func (l *loader) route(id, file string, src []byte) {
	var f routeFile
	if p := datafile.Decode(file, "route", src, &f); p != nil {
		l.problems = append(l.problems, p...)
		return
	}
	b := l.snap.Backends[f.Backend]
	if b == nil {
		l.fail(file, l.line("backend"), "backend %q does not exist in policies/backends", f.Backend)
	}
	if len(f.Events) == 0 {
		l.fail(file, l.line("events"), "a route names the event types it brings")
	}
	for i, e := range f.Events {
		if l.snap.Events[e] == nil {
			l.fail(file, l.line("events", i), "event type %q does not exist in specs/events", e)
		}
	}
	if !strings.HasPrefix(f.Path, "/") {
		l.fail(file, l.line("path"), "path does not begin with a slash")
	}
	for i, wait := range f.Schedule {
		if wait < 0 {
			l.fail(file, l.line("schedule", i), "a wait is below zero")
		}
	}
	l.snap.Routes = append(l.snap.Routes, &DeliveryRoute{ID: id, Events: f.Events, Backend: b, Path: f.Path,
		Answers: f.Answers, Schedule: f.Schedule})
}

// findings keeps the warnings of a contract and turns its errors into problems: our own contracts must be
// without error.
func (l *loader) findings(list []openapi.Finding) {
	for _, f := range list {
		if f.Severity == openapi.SeverityError {
			l.fail(f.File, f.Line, "%s: %s", f.Rule, f.Message)
			continue
		}
		l.snap.Warnings = append(l.snap.Warnings, f)
	}
}
