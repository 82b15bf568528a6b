package catalog

import (
	"maps"
	"strings"
	"testing"

	"portway/internal/openapi"
)

const thingsAPI = "policies/apis/things.yaml"

// TestModes: what a policy says about breaches, with its defaults.
func TestModes(t *testing.T) {
	t.Parallel()
	s, problems := Load(sources(with(map[string]string{thingsAPI: "{dispatch: proxy, backend: {path: id}} → {dispatch: proxy, backend: {path: id}, request: report, response: enforce}"})))
	if problems != nil {
		t.Fatal(problems.Error())
	}
	for path, want := range map[string]struct{ request, response Mode }{
		"POST /things/v1/things": {Enforce, Off}, "GET /things/v1/things/7": {Enforce, Report}, "GET /things/v2/things/7": {Report, Enforce}, "GET /things/v2/me": {Enforce, Off},
	} {
		method, rest, _ := strings.Cut(path, " ")
		r := s.Match(method, rest).Route
		if r.RequestMode != want.request || r.ResponseMode != want.response || (r.ResponseSchemas == nil) != (want.response == Off) {
			t.Errorf("%s: %s, %s, schemas %v", path, r.RequestMode, r.ResponseMode, r.ResponseSchemas)
		}
	}
	// Single's operations have no policy: requests are enforced, answers pass unread.
	doc, _, err := openapi.Load([]byte(goodFiles["specs/things/v1/openapi.yaml"]), openapi.Options{})
	if err != nil {
		t.Fatal(err)
	}
	single, problems := Single(sources(map[string]string{"policies/plans/standard.yaml": goodFiles["policies/plans/standard.yaml"]}), "spec", "http://127.0.0.1:1", "standard", doc)
	if problems != nil {
		t.Fatal(problems.Error())
	}
	r := single.Match("GET", "/things/7").Route
	if r.ResponseMode == Report || r.ResponseMode == Enforce || r.ResponseSchemas != nil || r.Reports("anyone") || r.Observed() {
		t.Errorf("a contract without policy: %+v", r)
	}
}

func TestVersionsByHeader(t *testing.T) {
	t.Parallel()
	s, problems := Load(sources(with(map[string]string{thingsAPI: "versions:\n → version: {by: header, header: Api-Version, required: true}\nversions:\n"})))
	if problems != nil {
		t.Fatal(problems.Error())
	}
	for path, found := range map[string]bool{"/things": true, "/things/things/7": true, "/thing": false, "/thingsx": false, "/": false, "/x/things": false} {
		if a := s.ByHeader(path); (a != nil) != found {
			t.Errorf("%s is below %v", path, a)
		}
	}
	a := s.ByHeader("/things")
	v1, v2 := a.Versions[0], a.Versions[1]
	if v1.Base != "/things" || v1.Routes[1].Template != "/things/things/{id}" || v1.Match("GET", "/things/things/7").Route != v1.Routes[1] ||
		v2.Match("GET", "/things/things/7").Route != v2.Routes[0] || v2.Match("POST", "/things/things").Route != nil || v1.Match("GET", "/things/me").Route != nil {
		t.Error("the versions answer for one another")
	}
	if s.Match("GET", "/things/things/7").Route != nil {
		t.Error("an operation is found without its version")
	}
}

// TestBadModes changes one thing of the good files at a time; the answer is that problem alone, with its place.
func TestBadModes(t *testing.T) {
	t.Parallel()
	const api = thingsAPI
	choose := func(choice string) map[string]string {
		return map[string]string{api: "versions:\n → version: " + choice + "\nversions:\n"}
	}
	other := func(base string) map[string]string {
		changes := choose("{by: header, header: Api-Version}")
		changes["policies/apis/other.yaml"] = "kind: api\nschema: 1\ntitle: O\nversions: {v1: {base: " + base + "}}\noperations: {me: {dispatch: builtin}}\n"
		changes["specs/other/v1/openapi.yaml"] = "openapi: 3.0.3\ninfo: {title: O, version: '1'}\npaths: {/me: {get: {operationId: me, responses: {'200': {description: ok}}}}}\n"
		return changes
	}
	for name, tt := range map[string]struct {
		changes map[string]string
		want    string
	}{
		"request mode":                {map[string]string{api: "timeout: 2s → request: log"}, api + `:11: operations.v1/getThing.request is "log": use enforce or report`},
		"request off":                 {map[string]string{api: "timeout: 2s → request: off"}, api + `:11: operations.v1/getThing.request is "off"`},
		"response mode":               {map[string]string{api: "timeout: 2s → response: strict"}, api + `:11: operations.v1/getThing.response is "strict": use off, report or enforce`},
		"response of ours":            {map[string]string{api: "cost: 3 → response: report"}, api + ":10: operations.createThing.response: only a proxied operation"},
		"report of ours":              {map[string]string{api: "{dispatch: builtin} → {dispatch: builtin, request: report}"}, api + ":13: operations.me: what Portway itself answers"},
		"partner twice":               {map[string]string{api: "timeout: 2s → report: {partners: [northgate, northgate]}"}, api + ":11: operations.v1/getThing.report.partners: every organisation is named once"},
		"number without scheme":       {map[string]string{api: "timeout: 2s → refs: [{pointer: /path/id}]"}, api + ":11: operations.v1/getThing.refs: a number has a scheme"},
		"number of no parameter":      {map[string]string{api: "timeout: 2s → refs: [{scheme: so, pointer: /path/order}]"}, `"order" is not a path parameter`},
		"number of nowhere":           {map[string]string{api: "timeout: 2s → refs: [{scheme: so, pointer: /header/order}]"}, `"/header/order" is not a pointer like`},
		"number of no answer":         {map[string]string{api: "cost: 3 → refs: [{scheme: so, pointer: /answer/order}]"}, "only a proxied operation has a backend's answer to read"},
		"response schema broken":      {map[string]string{"specs/things/v1/openapi.yaml": "content: {application/json: {schema: {type: object}}, text/plain → content: {application/json: {schema: {$ref: '#/components/schemas/None'}}, text/plain"}, ""},
		"status that is none":         {map[string]string{"specs/things/v1/openapi.yaml": `"404": → "4O4":`}, ""},
		"choice unknown":              {choose("{by: query}"), api + `:5: version.by is "query": use path or header`},
		"header by path":              {choose("{header: Api-Version}"), api + ":5: version: header, required and default need by: header"},
		"no header":                   {choose("{by: header}"), api + `:5: version.header is ""`},
		"header with another use":     {choose("{by: header, header: Content-Type}"), api + `:5: version.header is "Content-Type"`},
		"header that is none":         {choose(`{by: header, header: "Api Version"}`), api + `:5: version.header is "Api Version"`},
		"default unknown":             {choose("{by: header, header: Api-Version, default: v3}"), api + `:5: version.default "v3" is not a version`},
		"required and default":        {choose("{by: header, header: Api-Version, required: true, default: v1}"), api + ":5: version: a call without the header"},
		"neither":                     {choose("{by: header, header: Api-Version, required: false}"), api + ":5: version: a call without the header"},
		"another API below":           {other("/things/more"), api + `: the base "/things" holds /things/more/me of api "other"`},
		"observed accept":             {map[string]string{api: "summary: → observe: true\nsummary:"}, ""},
		"mapping of an observed":      {map[string]string{"policies/apis/seen.yaml": seenAPI, "specs/seen/v1/openapi.yaml": seenContract, "policies/backends/store.yaml": "operations:\n → operations:\n  seeThing: {response: thing-created}\n"}, `policies/backends/store.yaml: operations.seeThing: api "seen" is observed`},
		"enforced of an observed":     {map[string]string{"policies/apis/seen.yaml": strings.Replace(seenAPI, "}}", "}, request: enforce}", 1), "specs/seen/v1/openapi.yaml": seenContract}, "policies/apis/seen.yaml:6: operations.seeThing: an observed API refuses nothing"},
		"body backend of an observed": {map[string]string{"policies/apis/seen.yaml": strings.Replace(seenAPI, "fixed: store", "body: /to", 1), "specs/seen/v1/openapi.yaml": seenContract}, "policies/apis/seen.yaml:6: operations.seeThing: an observed API passes calls to one backend"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, problems := Load(sources(with(tt.changes)))
			if s != nil || len(problems) == 0 || tt.want != "" && len(problems) != 1 || !strings.Contains(problems.Error(), tt.want) {
				t.Errorf("got\n%v\nwant %s", problems, tt.want)
			}
		})
	}
	if s, problems := Load(sources(with(other("/thingsx")))); s == nil {
		t.Errorf("a base that only begins alike: %v", problems)
	}
}

const (
	seenAPI      = "kind: api\nschema: 1\ntitle: Seen\nobserve: true\noperations:\n  seeThing: {dispatch: proxy, backend: {fixed: store}}\nversions: {v1: {}}\n"
	seenContract = "openapi: 3.0.3\ninfo: {title: Seen, version: '1'}\npaths: {/seen: {post: {operationId: seeThing, responses: {'200': {description: ok}}}}}\n"
)

func TestObservedAPI(t *testing.T) {
	t.Parallel()
	files := maps.Clone(goodFiles)
	files["policies/apis/seen.yaml"], files["specs/seen/v1/openapi.yaml"] = seenAPI, seenContract
	s, problems := Load(sources(files))
	if problems != nil {
		t.Fatal(problems.Error())
	}
	if r := s.Match("POST", "/seen/v1/seen").Route; !r.Observed() || r.RequestMode != Report || r.ResponseMode != Report || !r.Reports("") {
		t.Errorf("%+v", r)
	}
}

func TestGeneralise(t *testing.T) {
	t.Parallel()
	v := &Version{names: map[string]bool{"lines": true, "sku": true, "a/b": true, "limit": true}}
	for pointer, want := range map[string]string{
		"": "", "/": "/*", "/lines/17/sku": "/lines/*/sku", "/lines/SO-123/sku": "/lines/*/sku", "/a~1b": "/a~1b", "limit": "limit", "their name": "*", "limit/0": "limit/*",
		"/sku" + strings.Repeat("/lines", 20): "/sku" + strings.Repeat("/lines", 11) + "/…",
	} {
		if got := v.Generalise(pointer); got != want {
			t.Errorf("%q becomes %q, want %q", pointer, got, want)
		}
	}
}
