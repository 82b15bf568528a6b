package catalog

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"portway/internal/ident"
)

// A small installation: one API in two versions with every dispatch.
var goodFiles = map[string]string{
	"specs/things/v1/openapi.yaml": `openapi: 3.0.3
info: {title: Things, version: "1"}
paths:
  /things:
    post:
      operationId: createThing
      security: [{oauth: ["things:write"]}]
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [name], properties: {name: {type: string}}}}}}
      responses: {"202": {description: ok, content: {application/json: {schema: {type: object}}}}}
  /things/{id}:
    get:
      operationId: getThing
      security: [{oauth: ["things:read"]}, {oauth: ["things:admin"]}]
      parameters: [{name: id, in: path, required: true, schema: {type: string, maxLength: 5}}]
      responses: {"200": {description: ok, content: {application/json: {schema: {type: object}}, text/plain: {schema: {type: string}}}}, "404": {description: no, content: {application/problem+json: {schema: {type: object}}}}}
components: {securitySchemes: {oauth: {type: oauth2, flows: {clientCredentials: {tokenUrl: /t, scopes: {"things:read": r, "things:write": w, "things:admin": a}}}}}}
`,
	"specs/things/v2/openapi.yaml": `openapi: 3.1.0
info: {title: Things, version: "2"}
paths:
  /things/{id}:
    get:
      operationId: getThing
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
      responses: {"200": {description: ok}}
  /me:
    get: {operationId: me, responses: {"200": {description: ok}}}
`,
	"specs/events/thing.created.v1.schema.json": `{"title":"Thing created","type":"object","required":["name"],"properties":{"name":{"type":"string"}},
		"x-portway":{"entity":"thing","entityKey":"/name","lane":"normal","businessKey":["/name"],"fingerprint":["/name"],"refs":[{"scheme":"thing","pointer":"/name"}]}}`,
	"policies/apis/things.yaml": `kind: api
schema: 1
title: Things
summary: All things.
versions:
  v1:
    lifecycle: {state: deprecated, deprecated: "2026-09-01", sunset: "2027-03-31", successor: v2}
  v2: {}
operations:
  createThing: {dispatch: accept, event: thing.created.v1, mapping: thing-created, inFlight: true, body: 64KiB, cost: 3}
  v1/getThing: {dispatch: proxy, backend: {fixed: store}, timeout: 2s}
  getThing: {dispatch: proxy, backend: {path: id}}
  me: {dispatch: builtin}
`,
	"policies/mappings/thing-created.yaml": "kind: mapping\nschema: 1\nversion: 1\nsource: {format: json}\ntarget: thing.created.v1\nfields:\n  - {to: name, expr: .body.name, type: string}\n",
	"policies/backends/store.yaml": `kind: backend
schema: 1
name: Store
urls: {sandbox: "http://127.0.0.1:1/base/", live: "env:STORE_URL"}
headers: {X-Key: "env:KEY"}
vars: {account: A1}
operations:
  getThing: {method: GET, path: "/items/{id}"}
`,
	"policies/plans/standard.yaml": "kind: plan\nschema: 1\nname: Standard\nlimits:\n  - {name: burst, rate: 20, per: 1s, burst: 40}\n",
	"policies/routes/store.yaml":   "kind: route\nschema: 1\nevents: [thing.created.v1]\nbackend: store\npath: /events\nanswers: {done: [200], already: [409], rejected: [422]}\nschedule: [0s, 5s, 5m]\n",
}

// sources lays the files out, each path below specs/ or policies/; std files begin with "std:".
func sources(files map[string]string) Sources {
	parts := map[string]fstest.MapFS{}
	for name, text := range files {
		where := "own"
		if rest, ok := strings.CutPrefix(name, "std:"); ok {
			where, name = "std", rest
		}
		root, rest, _ := strings.Cut(name, "/")
		if parts[where+root] == nil {
			parts[where+root] = fstest.MapFS{}
		}
		parts[where+root][rest] = &fstest.MapFile{Data: []byte(text)}
	}
	src := Sources{Clock: ident.NewManual(time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)),
		ResolveURL: func(ref string) (string, error) {
			switch ref {
			case "env:STORE_URL":
				return "https://store.example", nil
			case "env:UNSET":
				return "", errors.New("environment variable UNSET is empty")
			}
			return ref, nil
		},
		Links: func(api, version string) string { return "https://portal.example/apis/" + api + "/" + version }}
	if fs := parts["ownspecs"]; fs != nil {
		src.Specs = fs
	}
	if fs := parts["ownpolicies"]; fs != nil {
		src.Policies = fs
	}
	if fs := parts["stdspecs"]; fs != nil {
		src.StdSpecs = fs
	}
	if fs := parts["stdpolicies"]; fs != nil {
		src.StdPolicies = fs
	}
	return src
}

// with returns the good files with changes: path → text, or "path" → "old → new" replacements.
func with(changes map[string]string) map[string]string {
	files := maps.Clone(goodFiles)
	for name, text := range changes {
		if old, replacement, ok := strings.Cut(text, " → "); ok {
			if !strings.Contains(files[name], old) {
				panic(name + " does not hold " + old)
			}
			files[name] = strings.ReplaceAll(files[name], old, replacement)
			continue
		}
		files[name] = text
		if text == "-" {
			delete(files, name)
		}
	}
	return files
}

func TestLoadGood(t *testing.T) {
	t.Parallel()
	s, problems := Load(sources(goodFiles))
	if problems != nil {
		t.Fatal(problems.Error())
	}
	a, ok := s.API("things")
	if !ok || a.Title != "Things" || a.Summary != "All things." || a.Internal || len(a.Versions) != 2 {
		t.Fatalf("API %+v", a)
	}
	create := s.Match("POST", "/things/v1/things").Route
	if create == nil || create.ID != "things/v1/createThing" || create.Dispatch != Accept || create.Event != s.Events["thing.created.v1"] ||
		create.Mapping != s.Mappings["thing-created"] || create.Mapping == nil || !create.InFlight || create.BodyLimit != 64<<10 || create.Cost != 3 || !create.BodyRequired ||
		create.Bodies["application/json"] == nil || create.Anonymous || cmp.Diff([]string{"things:write"}, create.Scopes) != "" {
		t.Errorf("createThing %+v", create)
	}
	m := s.Match("GET", "/things/v1/things/7")
	if get := m.Route; get == nil || m.Path["id"] != "7" || get.Dispatch != Proxy || get.Select.Fixed != "store" || get.Timeout != 2*time.Second || get.Cost != 1 ||
		get.BodyLimit != 1<<20 || get.Parameters["path.id"] == nil || cmp.Diff([]string{"things:read", "things:admin"}, get.Scopes) != "" ||
		cmp.Diff([]string{"application/json", "text/plain"}, get.Responses) != "" {
		t.Errorf("getThing of v1 %+v", get)
	}
	if get := s.Match("GET", "/things/v2/things/7").Route; get == nil || get.Select.PathPrefix != "id" || get.Timeout != 30*time.Second || !get.Anonymous {
		t.Errorf("getThing of v2 %+v", get)
	}
	if me := s.Match("GET", "/things/v2/me").Route; me == nil || me.Dispatch != Builtin || me.Handler != "me" {
		t.Errorf("me %+v", me)
	}
	b := s.Backends["store"]
	if b.URLs[ident.Sandbox] != "http://127.0.0.1:1/base" || b.URLs[ident.Live] != "https://store.example" || b.Timeout != 15*time.Second || b.Vars["account"] != "A1" ||
		b.Operations["getThing"].Path != "/items/{id}" {
		t.Errorf("backend %+v", b)
	}
	if e := s.Events["thing.created.v1"]; e.Title != "Thing created" || e.Lane != "normal" || e.EntityKey != "/name" || len(e.Refs) != 1 || e.Schema == nil {
		t.Errorf("event %+v", e)
	}
	if r, ok := s.Route("store"); !ok || r.Path != "/events" || len(r.Schedule) != 3 || r.Answers.Already[0] != 409 {
		t.Errorf("route %+v", r)
	}
	if got := s.Subscribers("thing.created.v1", ident.Live); len(got) != 1 || len(s.Subscribers("other.v1", ident.Live)) != 0 {
		t.Errorf("subscribers %v", got)
	}
	if _, ok := a.Version("v2"); !ok {
		t.Error("a version is not found by name")
	}
	if _, ok := s.API("nothing"); ok {
		t.Error("an API that is not there is found")
	}
}

// A route brings nothing to an environment its backend has no address in.
func TestSubscribersNeedAnAddress(t *testing.T) {
	t.Parallel()
	s, problems := Load(sources(with(map[string]string{"policies/backends/store.yaml": `, live: "env:STORE_URL" → `})))
	if problems != nil {
		t.Fatal(problems.Error())
	}
	if len(s.Subscribers("thing.created.v1", ident.Sandbox)) != 1 || len(s.Subscribers("thing.created.v1", ident.Live)) != 0 {
		t.Error("sandbox events go live, or none go at all")
	}
}

// TestLifecycleHeaders pins the bytes: RFC 9745 wants @ and Unix seconds, RFC 8594 an HTTP date, RFC 8288 links.
func TestLifecycleHeaders(t *testing.T) {
	t.Parallel()
	s, problems := Load(sources(goodFiles))
	if problems != nil {
		t.Fatal(problems.Error())
	}
	a, _ := s.API("things")
	want := [][2]string{
		{"Deprecation", "@1788220800"},
		{"Sunset", "Wed, 31 Mar 2027 00:00:00 GMT"},
		{"Link", `<https://portal.example/apis/things/v1>; rel="deprecation"; type="text/html", <https://portal.example/apis/things/v1>; rel="sunset"; type="text/html", <https://portal.example/apis/things/v2>; rel="successor-version"`},
	}
	if d := cmp.Diff(want, a.Versions[0].Headers); d != "" {
		t.Errorf("headers of a deprecated version (-want +got):\n%s", d)
	}
	if a.Versions[1].Headers != nil || a.Versions[1].Lifecycle.State != "stable" {
		t.Errorf("a stable version has headers %v", a.Versions[1].Headers)
	}
	s, problems = Load(sources(with(map[string]string{"policies/apis/things.yaml": `, sunset: "2027-03-31", successor: v2 → `})))
	if problems != nil {
		t.Fatal(problems.Error())
	}
	a, _ = s.API("things")
	want = [][2]string{{"Deprecation", "@1788220800"}, {"Link", `<https://portal.example/apis/things/v1>; rel="deprecation"; type="text/html"`}}
	if d := cmp.Diff(want, a.Versions[0].Headers); d != "" {
		t.Errorf("headers without a sunset (-want +got):\n%s", d)
	}
}

func TestVersionsAreInOrder(t *testing.T) {
	t.Parallel()
	files := maps.Clone(goodFiles)
	text := files["specs/things/v2/openapi.yaml"]
	files["specs/things/v10/openapi.yaml"] = text
	files["policies/apis/things.yaml"] = strings.Replace(files["policies/apis/things.yaml"], "  v2: {}\n", "  v2: {}\n  v10: {}\n", 1)
	s, problems := Load(sources(files))
	if problems != nil {
		t.Fatal(problems.Error())
	}
	var names []string
	for _, v := range s.APIs[0].Versions {
		names = append(names, v.Name)
	}
	if d := cmp.Diff([]string{"v1", "v2", "v10"}, names); d != "" {
		t.Errorf("versions, oldest first (-want +got):\n%s", d)
	}
}

// TestLoadBad changes one thing of the good files at a time; the answer is that problem alone, with its place.
func TestLoadBad(t *testing.T) {
	t.Parallel()
	const api, backend, route, plan = "policies/apis/things.yaml", "policies/backends/store.yaml", "policies/routes/store.yaml", "policies/plans/standard.yaml"
	const v1 = "specs/things/v1/openapi.yaml"
	event := "specs/events/thing.created.v1.schema.json"
	tests := map[string]struct {
		changes map[string]string
		want    []string
	}{
		"unknown event":               {map[string]string{api: "event: thing.created.v1 → event: thing.lost.v1"}, []string{api + `:10: operations.createThing: event type "thing.lost.v1" does not exist in specs/events`}},
		"unknown mapping":             {map[string]string{api: "mapping: thing-created → mapping: other"}, []string{api + `:10: mapping "other" does not exist in policies/mappings`}},
		"no mapping":                  {map[string]string{api: "mapping: thing-created,  → "}, nil},
		"unknown backend":             {map[string]string{api: "{fixed: store} → {fixed: shop}"}, []string{api + `:11: operations.v1/getThing: backend "shop" does not exist in policies/backends`}},
		"no backend":                  {map[string]string{api: "backend: {fixed: store},  → "}, nil},
		"two ways to a backend":       {map[string]string{api: "{fixed: store} → {fixed: store, path: id}"}, []string{api + ":11: operations.v1/getThing: a proxied operation needs one of"}},
		"path parameter unknown":      {map[string]string{api: "{path: id} → {path: thingId}"}, []string{api + `:12: operations.getThing: backend.path "thingId" is not a path parameter`}},
		"dispatch unknown":            {map[string]string{api: "{dispatch: builtin} → {dispatch: magic}"}, []string{api + `:13: operations.me: dispatch is "magic": use proxy, accept or builtin`}},
		"dispatch missing":            {map[string]string{api: "{dispatch: builtin} → {inFlight: true}"}, []string{api + `:13: operations.me: dispatch is ""`}},
		"operation not declared":      {map[string]string{api: "  me: {dispatch: builtin}\n → "}, []string{api + `:9: operations: "me" of version v2 is not declared`}},
		"operation in no contract":    {map[string]string{api: "  me: { →   mine: {dispatch: builtin}\n  me: {"}, []string{api + `:13: operations: "mine" is in no contract of this API`}},
		"version key in no contract":  {map[string]string{api: "v1/getThing: → v3/getThing: {dispatch: builtin}\n  v1/getThing:"}, nil},
		"no contract":                 {map[string]string{v1: "-"}, []string{api + `:6: version "v1" has no contract specs/things/v1/openapi.yaml`, `operations: "createThing" is in no contract`, `operations: "v1/getThing" is in no contract`}},
		"contract without a document": {map[string]string{v1: "- a list\n"}, []string{v1, `"createThing" is in no contract`, `"v1/getThing" is in no contract`}},
		"no versions":                 {map[string]string{"policies/apis/empty.yaml": "kind: api\nschema: 1\ntitle: E\n"}, []string{"policies/apis/empty.yaml:1: an API has at least one version"}},
		"size":                        {map[string]string{api: "64KiB → 64KB"}, []string{api + `:10: operations.createThing.body: "64KB" is not a size: use bytes, KiB, MiB or GiB`}},
		"size of nothing":             {map[string]string{api: "64KiB → 0"}, []string{api + `:10: operations.createThing.body: "0" is not a size`}},
		"size below zero":             {map[string]string{api: "64KiB → -1MiB"}, []string{":10: "}},
		"size too large":              {map[string]string{api: "64KiB → 9999999GiB"}, []string{":10: "}},
		"cost below zero":             {map[string]string{api: "cost: 3 → cost: -3"}, []string{":10: operations.createThing: cost and timeout"}},
		"state unknown":               {map[string]string{api: "state: deprecated → state: old"}, []string{api + `:7: versions.v1.lifecycle.state is "old": use stable, deprecated or retired`}},
		"a date that is none":         {map[string]string{api: `sunset: "2027-03-31" → sunset: "2027-02-30"`}, []string{api + ":7: versions.v1.lifecycle.sunset is not a date like 2026-11-30"}},
		"deprecated since never":      {map[string]string{api: `deprecated: "2026-09-01",  → `}, nil},
		"sunset before deprecation":   {map[string]string{api: `sunset: "2027-03-31" → sunset: "2026-08-31"`}, []string{api + ":7: versions.v1.lifecycle: the sunset comes before the deprecation"}},
		"successor unknown":           {map[string]string{api: "successor: v2 → successor: v3"}, []string{api + `:7: versions.v1.lifecycle.successor "v3" is not a version of this API`}},
		"unknown key":                 {map[string]string{api: "cost: 3 → costs: 3"}, []string{api + `:10: unknown key "costs"`}},
		"two versions on one base":    {map[string]string{api: "  v2: {} →   v2: {base: /things/v1}"}, []string{`GET /things/v1/things/{id} is both "things/v1/getThing" and "things/v2/getThing"`}},
		"backend environment":         {map[string]string{backend: "sandbox: → staging:"}, []string{backend + `:4: urls: environment "staging": use sandbox or live`}},
		"backend unset":               {map[string]string{backend: "env:STORE_URL → env:UNSET"}, []string{backend + ":4: urls.live: environment variable UNSET is empty"}},
		"backend without scheme":      {map[string]string{backend: "http://127.0.0.1:1/base/ → 127.0.0.1:1"}, []string{backend + ":4: urls.sandbox is not an absolute"}},
		"backend with a password":     {map[string]string{backend: "http://127.0.0.1:1/base/ → http://u:hunter2@127.0.0.1:1"}, []string{backend + ":4: urls.sandbox is not an absolute"}},
		"backend mapping":             {map[string]string{backend: `path: "/items/{id}" → path: /items, request: a, response: b`}, []string{backend + `:8: mapping "a" does not exist`, backend + `:8: mapping "b" does not exist`}},
		"backend path":                {map[string]string{backend: "/items/{id} → items/{id}"}, []string{backend + ":8: operations.getThing.path does not begin with a slash"}},
		"backend operation":           {map[string]string{backend: "getThing: → getThings:"}, []string{backend + `: operations: "getThings" is in no contract`}},
		"route backend":               {map[string]string{route: "backend: store → backend: shop"}, []string{route + `:4: backend "shop" does not exist in policies/backends`}},
		"route event":                 {map[string]string{route: "[thing.created.v1] → [thing.created.v1, thing.lost.v1]"}, []string{route + `:3: event type "thing.lost.v1" does not exist`}},
		"route without events":        {map[string]string{route: "[thing.created.v1] → []"}, []string{route + ":3: a route names the event types"}},
		"route path":                  {map[string]string{route: "path: /events → path: events"}, []string{route + ":5: path does not begin with a slash"}},
		"route schedule":              {map[string]string{route: "[0s, 5s, 5m] → [0s, -5s]"}, []string{route + ":7: a wait is below zero"}},
		"plan limit":                  {map[string]string{plan: "rate: 20 → rate: 0"}, []string{plan + ":5: every limit needs its own name"}},
		"plan limit twice":            {map[string]string{plan: "limits:\n → limits:\n  - {name: burst, rate: 1, per: 1s, burst: 1}\n"}, []string{plan + ":6: every limit needs its own name"}},
		"plan beyond counting":        {map[string]string{plan: "per: 1s → per: 10ns"}, []string{plan + ":5: limit \"burst\" is beyond what can be counted"}},
		"plan burst beyond counting":  {map[string]string{plan: "per: 1s, burst: 40 → per: 8760h, burst: 9000000000"}, []string{plan + ":5: limit \"burst\" is beyond what can be counted"}},
		"event lane":                  {map[string]string{event: `"lane":"normal" → "lane":"fast"`}, []string{event + `: x-portway.lane is "fast": use critical, normal or bulk`}},
		"event not JSON":              {map[string]string{event: "{"}, []string{event + ": ", `event type "thing.created.v1" does not exist`, `event type "thing.created.v1" does not exist`}},
		"event pattern not RE2":       {map[string]string{event: `"name":{"type":"string"} → "name":{"type":"string","pattern":"(?=x)"}`}, []string{event + ": "}},
		"mapping broken":              {map[string]string{"policies/mappings/thing-created.yaml": ".body.name → .body.["}, []string{"policies/mappings/thing-created.yaml:7: "}},
		"wrong kind":                  {map[string]string{plan: "kind: plan → kind: plans"}, []string{plan + `:1: kind is "plans"`}},
	}
	// Cases whose list is easier to say as parts.
	parts := map[string][]string{
		"no mapping":                 {api + ":10: operations.createThing: an accepted statement needs a mapping"},
		"no backend":                 {api + ":11: operations.v1/getThing: a proxied operation needs one of backend.fixed, backend.body and backend.path"},
		"version key in no contract": {api + `:11: operations: "v3/getThing" is in no contract of this API`},
		"deprecated since never":     {api + ":7: versions.v1.lifecycle: a deprecated version says since when"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := tt.want
			if want == nil {
				want = parts[name]
			}
			s, problems := Load(sources(with(tt.changes)))
			if s != nil || len(problems) != len(want) {
				t.Errorf("%d problems, want %d:\n%v", len(problems), len(want), problems)
			}
			for _, w := range want {
				if !strings.Contains(problems.Error(), w) {
					t.Errorf("nothing says %q in\n%v", w, problems)
				}
			}
			if strings.Contains(problems.Error(), "hunter2") {
				t.Error("a secret is echoed")
			}
		})
	}
}

// All problems of all files come at once, in order, and in the same order every time.
func TestLoadReportsEverythingInOrder(t *testing.T) {
	t.Parallel()
	files := with(map[string]string{
		"policies/apis/things.yaml":     "dispatch: builtin → dispatch: magic",
		"policies/backends/store.yaml":  "sandbox: → staging:",
		"policies/plans/standard.yaml":  "rate: 20 → rate: 0",
		"policies/routes/store.yaml":    "backend: store → backend: shop",
		"policies/mappings/second.yaml": "kind: nothing\nschema: 1\n",
	})
	first := ""
	for range 20 {
		_, problems := Load(sources(files))
		if first == "" {
			first = problems.Error()
		}
		if problems.Error() != first {
			t.Fatalf("the order changes:\n%s\n---\n%s", first, problems.Error())
		}
	}
	at := -1
	for _, file := range []string{"policies/apis/things.yaml:13", "policies/backends/store.yaml:4", "policies/mappings/second.yaml", "policies/plans/standard.yaml:5", "policies/routes/store.yaml:4"} {
		i := strings.Index(first, file)
		if i <= at {
			t.Errorf("%s is missing or out of order in\n%s", file, first)
		}
		at = i
	}
}

func TestOneOwner(t *testing.T) {
	t.Parallel()
	for own, std := range map[string]string{
		"policies/plans/standard.yaml":              "std:policies/std/plans/standard.yaml",
		"policies/backends/store.yaml":              "std:policies/std/backends/store.yaml",
		"policies/mappings/thing-created.yaml":      "std:policies/std/mappings/thing-created.yaml",
		"policies/routes/store.yaml":                "std:policies/std/routes/store.yaml",
		"policies/apis/things.yaml":                 "std:policies/std/apis/things.yaml",
		"specs/events/thing.created.v1.schema.json": "std:specs/events/thing.created.v1.schema.json",
	} {
		files := maps.Clone(goodFiles)
		files[std] = files[own]
		if strings.Contains(own, "apis/") { // a shipped API comes with its shipped contract
			files["std:specs/things/v1/openapi.yaml"] = files["specs/things/v1/openapi.yaml"]
			files["std:specs/things/v2/openapi.yaml"] = files["specs/things/v2/openapi.yaml"]
		}
		_, problems := Load(sources(files))
		if len(problems) != 1 || !strings.Contains(problems.Error(), "is already defined in") || strings.Count(problems.Error(), strings.TrimPrefix(std, "std:")) == 0 ||
			!strings.Contains(problems.Error(), own) {
			t.Errorf("%s beside %s: %v", own, std, problems)
		}
	}
}

// The contract of a shipped API is the shipped one, whatever lies in the installation's folder.
func TestShippedContractCannotBeReplaced(t *testing.T) {
	t.Parallel()
	files := map[string]string{"std:policies/std/apis/own.yaml": "kind: api\nschema: 1\ntitle: Own\nversions: {v1: {base: /v1}}\noperations: {me: {dispatch: builtin}}\n",
		"std:specs/own/v1/openapi.yaml": "openapi: 3.0.3\ninfo: {title: Shipped, version: '1'}\npaths: {/me: {get: {operationId: me, responses: {'200': {description: ok}}}}}\n",
		"specs/own/v1/openapi.yaml":     "openapi: 3.0.3\ninfo: {title: Replaced, version: '1'}\npaths: {/me: {get: {operationId: me, responses: {'200': {description: ok}}}}}\n",
		"policies/plans/p.yaml":         "kind: plan\nschema: 1\nname: P\n"}
	s, problems := Load(sources(files))
	if problems != nil {
		t.Fatal(problems.Error())
	}
	if title := s.APIs[0].Versions[0].Document.Title; title != "Shipped" {
		t.Errorf("the contract is %q", title)
	}
	if s.Match("GET", "/v1/me").Route == nil {
		t.Error("the base is not that of the policy")
	}
}

func TestDigest(t *testing.T) {
	t.Parallel()
	digest := func(files map[string]string) string {
		s, problems := Load(sources(files))
		if problems != nil {
			t.Fatal(problems.Error())
		}
		return s.Digest
	}
	first := digest(goodFiles)
	for range 5 {
		if got := digest(maps.Clone(goodFiles)); got != first || len(got) != 64 {
			t.Fatalf("the same files have digests %s and %s", first, got)
		}
	}
	seen := map[string]string{first: "nothing"}
	for name := range goodFiles {
		change := "# a comment\n" + goodFiles[name]
		if strings.HasSuffix(name, ".json") {
			change = " " + goodFiles[name]
		}
		d := digest(with(map[string]string{name: change}))
		if other, ok := seen[d]; ok {
			t.Errorf("changing %s gives the digest of changing %s", name, other)
		}
		seen[d] = name
	}
}

func TestEmptyInstallation(t *testing.T) {
	t.Parallel()
	s, problems := Load(Sources{Clock: ident.System{}})
	if problems != nil || len(s.APIs) != 0 || s.Match("GET", "/").Route != nil || s.Digest == "" {
		t.Errorf("%+v, %v", s, problems)
	}
}
