package contract_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"portway/gateway/contract"
	"portway/gateway/exchange"
	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/problem"
)

// oldContract and newContract share paths and differ in everything a path has: names of parameters, methods, and what
// is literal.
const (
	oldContract = `
openapi: 3.1.0
info: {title: Things, version: "1"}
paths:
  /things/{id}:
    get: {operationId: getThing, parameters: [{name: id, in: path, required: true, schema: {type: string}}], responses: {'200': {description: ok}}}
    delete: {operationId: dropThing, parameters: [{name: id, in: path, required: true, schema: {type: string}}], responses: {'204': {description: ok}}}
`
	newContract = `
openapi: 3.1.0
info: {title: Things, version: "2"}
paths:
  /things/{number}:
    get: {operationId: getThing, parameters: [{name: number, in: path, required: true, schema: {type: string}}], responses: {'200': {description: ok}}}
  /things/recent:
    get: {operationId: listRecent, responses: {'200': {description: ok}}}
`
)

func headed(t testing.TB, choice string) *catalog.Snapshot {
	t.Helper()
	operations := "\n  getThing: {dispatch: builtin}\n  dropThing: {dispatch: builtin}\n  listRecent: {dispatch: builtin}\n"
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	snap, problems := catalog.Load(catalog.Sources{
		Specs: fstest.MapFS{"things/v0/openapi.yaml": file(oldContract), "things/v1/openapi.yaml": file(oldContract), "things/v2/openapi.yaml": file(newContract)},
		Policies: fstest.MapFS{"apis/things.yaml": file("kind: api\nschema: 1\ntitle: Things\nversion: " + choice +
			"\nversions:\n  v0: {lifecycle: {state: retired, deprecated: \"2026-01-01\", successor: v2}}\n  v1: {}\n  v2: {}\noperations:" + operations)},
		Clock: ident.System{},
	})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return snap
}

// TestVersionByHeader: the header decides before the path does, so that versions with the same paths never answer for
// one another; whatever else it holds is refused with the list.
func TestVersionByHeader(t *testing.T) {
	t.Parallel()
	snap := headed(t, "{by: header, header: Api-Version}")
	const have = " (have v0, v1, v2)"
	missing := `api "things": the header Api-Version `
	for name, c := range map[string]struct {
		call    string
		headers []string
		route   string
		params  string
		code    problem.Code
		detail  string
	}{
		"old":                         {"GET /things/things/7", []string{"v1"}, "things/v1/getThing", "id=7", "", ""},
		"new, another parameter name": {"GET /things/things/7", []string{"v2"}, "things/v2/getThing", "number=7", "", ""},
		"blanks around":               {"GET /things/things/7", []string{" \tv2 "}, "things/v2/getThing", "number=7", "", ""},
		"literal of the other":        {"GET /things/things/recent", []string{"v1"}, "things/v1/getThing", "id=recent", "", ""},
		"literal of its own":          {"GET /things/things/recent", []string{"v2"}, "things/v2/listRecent", "", "", ""},
		"HEAD":                        {"HEAD /things/things/7", []string{"v2"}, "things/v2/getThing", "number=7", "", ""},
		"method of the other":         {"DELETE /things/things/7", []string{"v2"}, "", "", problem.RouteMethod, "the operation has no such method (have GET, HEAD)"},
		"method of its own":           {"DELETE /things/things/7", []string{"v1"}, "things/v1/dropThing", "id=7", "", ""},
		"no such path":                {"GET /things/nothing", []string{"v1"}, "", "", problem.RouteUnknown, `api "things" has no operation with this path in the version its Api-Version header names`},
		"the base alone":              {"GET /things", []string{"v1"}, "", "", problem.RouteUnknown, `api "things" has no operation with this path in the version its Api-Version header names`},
		"version in the path":         {"GET /things/v1/things/7", []string{"v1"}, "", "", problem.RouteUnknown, `api "things" has no operation with this path in the version its Api-Version header names`},
		"missing":                     {"GET /things/things/7", nil, "", "", problem.VersionUnknown, missing + "is missing" + have},
		"empty":                       {"GET /things/things/7", []string{" "}, "", "", problem.VersionUnknown, missing + "is empty" + have},
		"unknown":                     {"GET /things/things/7", []string{"v9"}, "", "", problem.VersionUnknown, missing + "names v9, which is not served" + have},
		"not a version":               {"GET /things/things/7", []string{"latest"}, "", "", problem.VersionUnknown, missing + "names no version that is served" + have},
		"other case":                  {"GET /things/things/7", []string{"V1"}, "", "", problem.VersionUnknown, missing + "names no version that is served" + have},
		"two in one":                  {"GET /things/things/7", []string{"v1, v2"}, "", "", problem.VersionUnknown, missing + "names more than one version" + have},
		"two headers":                 {"GET /things/things/7", []string{"v1", "v2"}, "", "", problem.VersionUnknown, missing + "is sent more than once" + have},
		"twice the same":              {"GET /things/things/7", []string{"v1", "v1"}, "", "", problem.VersionUnknown, missing + "is sent more than once" + have},
		"retired":                     {"GET /things/things/7", []string{"v0"}, "things/v0/getThing", "id=7", problem.VersionRetired, `api "things" version "v0" was retired; its successor is "v2"`},
		"not below the base":          {"GET /thingsx/things/7", []string{"v1"}, "", "", problem.RouteUnknown, "no operation has this path"},
	} {
		method, path, _ := strings.Cut(c.call, " ")
		x := request(snap, method, path)
		for _, v := range c.headers {
			x.Request.Header.Add("api-version", v)
		}
		p := run(x, contract.Match{})
		route, params := "", []string{}
		if x.Route != nil {
			route = x.Route.ID
			for k, v := range x.PathParams {
				params = append(params, k+"="+v)
			}
		}
		if route != c.route || strings.Join(params, " ") != c.params {
			t.Errorf("%s: route %q with %v, want %q with %s (%v)", name, route, params, c.route, c.params, p)
		}
		if c.code == "" && p == nil {
			x.Response = &exchange.Response{Status: 200}
			x.Response.Header.Add("Vary", "Accept")
			run(x, contract.Lifecycle{})
			if h := x.Response.Header; !slices.Equal(h.Values("Vary"), []string{"Accept", "Api-Version"}) || h.Get("Api-Version") != x.Route.Version.Name {
				t.Errorf("%s: headers %v", name, h)
			}
			continue
		}
		if p == nil || p.Code != c.code || p.Detail != c.detail {
			t.Errorf("%s: refused with %v, want %s %s", name, p, c.code, c.detail)
			continue
		}
		if c.code == problem.VersionUnknown && !slices.Equal(p.Extra["versions"].([]string), []string{"v0", "v1", "v2"}) {
			t.Errorf("%s: the list is %v", name, p.Extra)
		}
		if c.code != problem.VersionRetired && strings.HasPrefix(path, "/things/") && !slices.Contains(p.Header, [2]string{"Vary", "Api-Version"}) {
			t.Errorf("%s: a cache is not told: %v", name, p.Header)
		}
	}
}

// TestDefaultVersion: a declared default is for calls without the header only.
func TestDefaultVersion(t *testing.T) {
	t.Parallel()
	snap := headed(t, "{by: header, header: Api-Version, required: false, default: v1}")
	x := request(snap, "GET", "/things/things/7")
	if p := run(x, contract.Match{}); p != nil || x.Route.ID != "things/v1/getThing" {
		t.Errorf("without the header: %v", p)
	}
	for _, wrong := range []string{"", "v9", "v1,"} {
		if p := run(request(snap, "GET", "/things/things/7", "Api-Version", wrong), contract.Match{}); p == nil || p.Code != problem.VersionUnknown {
			t.Errorf("%q falls back: %v", wrong, p)
		}
	}
}

func FuzzVersionHeader(f *testing.F) {
	for _, seed := range []string{"v1", "v2", "", " v1", "v1,v2", "v0", "v1;q=1", "\"v1\"", "V1", "v1\x00", "v00001", "\xff"} {
		f.Add(seed, "")
	}
	f.Add("v1", "v2")
	snap := headed(f, "{by: header, header: Api-Version}")
	f.Fuzz(func(t *testing.T, first, second string) {
		x := request(snap, "GET", "/things/things/7", "Api-Version", first)
		if second != "" {
			x.Request.Header.Add("Api-Version", second)
		}
		p := run(x, contract.Match{})
		trimmed := strings.Trim(first, " \t")
		if served := second == "" && (trimmed == "v1" || trimmed == "v2"); served != (p == nil) {
			t.Fatalf("%q, %q: %v", first, second, p)
		}
		if p == nil && x.Route.Version.Name != trimmed {
			t.Fatalf("%q is answered by %s", first, x.Route.ID)
		}
		if p != nil && p.Code != problem.VersionUnknown && p.Code != problem.VersionRetired {
			t.Fatalf("%q, %q: %v", first, second, p)
		}
		if p != nil && p.Code == problem.VersionUnknown && !refusal.MatchString(p.Detail) {
			t.Fatalf("the refusal of %q repeats it: %s", trimmed, p.Detail)
		}
	})
}

// refusal is everything a refusal may say: of what was sent, only what has the form of a version.
var refusal = regexp.MustCompile(`^api "things": the header Api-Version (is missing|is empty|is sent more than once|names more than one version|names no version that is served|names v[0-9]{1,4}, which is not served) \(have v0, v1, v2\)$`)
