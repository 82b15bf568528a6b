package golden_test

import (
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"portway/internal/catalog"
	"portway/internal/catalog/golden"
	"portway/internal/ident"
	"portway/policies"
	"portway/specs"
)

const (
	api      = "kind: api\nschema: 1\ntitle: Things\nversions: {v1: {}}\noperations: {getThing: {dispatch: proxy, backend: {fixed: store}, down: down}}\n"
	contract = "openapi: 3.0.3\ninfo: {title: Things, version: '1'}\npaths: {/things: {get: {operationId: getThing, responses: {'200': {description: ok}}}}}\n"
	backend  = "kind: backend\nschema: 1\nname: Store\nurls: {live: \"http://127.0.0.1:1\"}\n"
	untested = "kind: mapping\nschema: 1\nversion: 1\nsource: {format: json}\ntarget: json\nfields:\n  - {to: name, expr: .body.name, type: string}\n"
	tested   = untested + "tests:\n  - {name: good, in: cases/in.json, out: cases/out.json}\n"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	const mapping = "policies/mappings/down.yaml"
	for name, c := range map[string]struct {
		files map[string]string // below mappings/
		want  []string
	}{
		"passes":                 {map[string]string{"down.yaml": tested, "cases/in.json": `{"body":{"name":"a"}}`, "cases/out.json": `{"name":"a"}`}, nil},
		"fails":                  {map[string]string{"down.yaml": tested, "cases/in.json": `{"body":{"name":"a"}}`, "cases/out.json": `{"name":"b","more":1}`}, []string{mapping + `:9: case "good" (cases/in.json): /more is missing`, mapping + `:9: case "good" (cases/in.json): /name is a, want b`}},
		"input is gone":          {map[string]string{"down.yaml": tested, "cases/out.json": `{}`}, []string{mapping + `:9: case "good" (cases/in.json): open `}},
		"input is no JSON":       {map[string]string{"down.yaml": tested, "cases/in.json": `{"a":1,"a":2}`}, []string{mapping + `:9: case "good"`}},
		"none, used by nobody":   {map[string]string{"down.yaml": tested, "cases/in.json": `{"body":{"name":"a"}}`, "cases/out.json": `{"name":"a"}`, "other.yaml": untested}, nil},
		"none, between versions": {map[string]string{"down.yaml": untested}, []string{mapping + ": a mapping between versions needs at least one case under tests"}},
	} {
		files := fstest.MapFS{"apis/things.yaml": {Data: []byte(api)}, "backends/store.yaml": {Data: []byte(backend)}}
		for file, text := range c.files {
			files["mappings/"+file] = &fstest.MapFile{Data: []byte(text)}
		}
		src := catalog.Sources{Specs: fstest.MapFS{"things/v1/openapi.yaml": {Data: []byte(contract)}}, Policies: maps.Clone(files), Clock: ident.System{},
			ResolveURL: func(s string) (string, error) { return s, nil }}
		s, problems := catalog.Load(src)
		if problems != nil {
			t.Fatalf("%s: %v", name, problems)
		}
		got := golden.Check(s, src)
		if len(got) != len(c.want) {
			t.Errorf("%s: %v", name, got)
			continue
		}
		for i, w := range c.want {
			if !strings.Contains(got[i].Error(), w) {
				t.Errorf("%s: got %q, want %q", name, got[i].Error(), w)
			}
		}
	}
}

// TestShippedCases runs those of the example set.
func TestShippedCases(t *testing.T) {
	t.Parallel()
	src := catalog.Sources{Policies: policies.Files, StdSpecs: specs.Files, StdPolicies: policies.Files, Clock: ident.System{},
		ResolveURL: func(s string) (string, error) { return s, nil }}
	s, problems := catalog.Load(src)
	if problems != nil {
		t.Fatal(problems)
	}
	if problems := golden.Check(s, src); problems != nil {
		t.Error(problems)
	}
	if len(s.Mappings) < 10 {
		t.Errorf("only %d mappings", len(s.Mappings))
	}
}
