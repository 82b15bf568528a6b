package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"portway/internal/ident"
	"portway/internal/store"
	"portway/internal/store/partnerdb"
	"portway/internal/store/trafficdb"
	"portway/internal/traffic"
)

// labelFiles is an installation whose versions are chosen by a header, with one backend that speaks the newest: the
// older version is two mapping documents with their golden cases. A second API is observed, a third reports the
// requests of one partner only.
var labelFiles = map[string]string{
	"specs/shipping/v1/openapi.yaml": `openapi: 3.1.0
info: {title: Shipping, version: "1"}
security: [{oauth: []}]
paths:
  /labels:
    post:
      operationId: createLabel
      requestBody: {required: true, content: {application/json: {schema: {type: object, additionalProperties: false, required: [orderNumber], properties: {orderNumber: {type: string, maxLength: 10}}}}}}
      responses: {'201': {description: made, content: {application/json: {schema: {type: object, additionalProperties: false, required: [labelNumber], properties: {labelNumber: {type: string, maxLength: 8}}}}}}}
  /labels/{labelNumber}:
    get:
      operationId: getLabel
      parameters: [{name: labelNumber, in: path, required: true, schema: {type: string}}]
      responses: {'200': {description: ok, content: {application/json: {schema: {type: object, required: [labelNumber], properties: {labelNumber: {type: string, maxLength: 8}}}}}}}
components: {securitySchemes: {oauth: {type: http, scheme: bearer}}}
`,
	"specs/shipping/v2/openapi.yaml": `openapi: 3.1.0
info: {title: Shipping, version: "2"}
security: [{oauth: []}]
paths:
  /labels:
    post:
      operationId: createLabel
      requestBody: {required: true, content: {application/json: {schema: {type: object, additionalProperties: false, required: [order], properties: {order: {type: string, maxLength: 10}}}}}}
      responses: {'201': {description: made, content: {application/json: {schema: {$ref: '#/components/schemas/Label'}}}}}
  /labels/{label}:
    get:
      operationId: getLabel
      parameters: [{name: label, in: path, required: true, schema: {type: string}}]
      responses: {'200': {description: ok, content: {application/json: {schema: {$ref: '#/components/schemas/Label'}}}}}
components:
  securitySchemes: {oauth: {type: http, scheme: bearer}}
  schemas: {Label: {type: object, additionalProperties: false, required: [label], properties: {label: {type: string, maxLength: 8}}}}
`,
	"policies/apis/shipping.yaml": `kind: api
schema: 1
title: Shipping
version: {by: header, header: Api-Version, required: true}
versions:
  v1: {lifecycle: {state: deprecated, deprecated: "2026-09-01", sunset: "2027-03-31", successor: v2}}
  v2: {}
operations:
  v1/createLabel: {dispatch: proxy, backend: {fixed: carrier}, up: label-up, down: label-down, response: enforce}
  createLabel: {dispatch: proxy, backend: {fixed: carrier}, response: enforce, refs: [{scheme: so, pointer: /body/order}]}
  v1/getLabel: {dispatch: proxy, backend: {fixed: carrier}, down: label-down}
  getLabel: {dispatch: proxy, backend: {fixed: carrier}}
`,
	"policies/mappings/label-up.yaml": `kind: mapping
schema: 1
version: 1
source: {format: json}
target: json
fields:
  - {to: order, expr: .body.orderNumber, type: string, required: true}
tests:
  - {name: one, in: cases/up.in.json, out: cases/up.out.json}
`,
	"policies/mappings/cases/up.in.json":  `{"body":{"orderNumber":"SO-1"}}`,
	"policies/mappings/cases/up.out.json": `{"order":"SO-1"}`,
	"policies/mappings/label-down.yaml": `kind: mapping
schema: 1
version: 1
source: {format: json}
target: json
fields:
  - {to: labelNumber, expr: .body.label, type: string, required: true}
tests:
  - {name: one, in: cases/down.in.json, out: cases/down.out.json}
`,
	"policies/mappings/cases/down.in.json":  `{"body":{"label":"L1"}}`,
	"policies/mappings/cases/down.out.json": `{"labelNumber":"L1"}`,
	"specs/legacy/v1/openapi.yaml": `openapi: 3.1.0
info: {title: Legacy, version: "1"}
security: [{oauth: []}]
paths:
  /orders/{order}:
    post:
      operationId: postOrder
      parameters: [{name: order, in: path, required: true, schema: {type: string, maxLength: 6}}]
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [order], properties: {order: {type: string}}}}}}
      responses: {'200': {description: ok, content: {application/json: {schema: {type: object, required: [state]}}}}}
components: {securitySchemes: {oauth: {type: http, scheme: bearer}}}
`,
	"policies/apis/legacy.yaml": `kind: api
schema: 1
title: Legacy
observe: true
versions: {v1: {}}
operations:
  postOrder: {dispatch: proxy, backend: {fixed: carrier}, refs: [{scheme: so, pointer: /path/order}, {scheme: po, pointer: '/body/lines/*/po'}]}
`,
	"specs/notes/v1/openapi.yaml": `openapi: 3.1.0
info: {title: Notes, version: "1"}
security: [{oauth: []}]
paths:
  /notes:
    post:
      operationId: postNote
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [text], properties: {text: {type: string, maxLength: 4}}}}}}
      responses: {'200': {description: ok}}
components: {securitySchemes: {oauth: {type: http, scheme: bearer}}}
`,
	"policies/apis/notes.yaml": `kind: api
schema: 1
title: Notes
versions: {v1: {}}
operations:
  postNote: {dispatch: proxy, backend: {fixed: carrier}, report: {partners: [lenient]}}
`,
	"policies/partners/lenient.yaml": labelPartner("lenient"),
	"policies/partners/strict.yaml":  labelPartner("strict"),
}

func labelPartner(name string) string {
	out := "kind: partner\nschema: 1\norganisation: {name: " + name + ", kind: 3pl, zone: UTC}\napplications:\n  - slug: app\n    name: App\n" +
		"    credentials: [{environment: live, clientId: " + name + "-app, secret: \"env:LABEL_SECRET\"}]\n    subscriptions:\n"
	for _, api := range []string{"shipping", "legacy", "notes"} {
		out += "      - {api: " + api + ", environments: [live], plan: standard, scopes: []}\n"
	}
	return out
}

// labelled writes the installation with changes and returns its folder.
func labelled(t *testing.T, backend string, changes map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range labelFiles {
		if change, ok := changes[name]; ok {
			text = change
		}
		putFile(t, dir, name, []byte(text))
	}
	putFile(t, dir, "policies/backends/carrier.yaml", []byte("kind: backend\nschema: 1\nname: Carrier\nurls: {live: \""+backend+"\"}\n"))
	return dir
}

// liar is a backend that answers what it is told, by path, and keeps what it was sent.
type liar struct {
	*httptest.Server
	mu      sync.Mutex
	answers map[string]string // "METHOD /path" → "status body"
	seen    []string          // "METHOD /path?query type body"
}

func newLiar(t *testing.T) *liar {
	l := &liar{answers: map[string]string{}}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.seen = append(l.seen, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+r.Header.Get("Content-Type")+" "+string(body)))
		status, answer := 404, ""
		if _, err := fmt.Sscanf(l.answers[r.Method+" "+r.URL.Path], "%d", &status); err == nil {
			_, answer, _ = strings.Cut(l.answers[r.Method+" "+r.URL.Path], " ")
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		io.WriteString(w, answer)
	}))
	t.Cleanup(l.Close)
	return l
}

func (l *liar) tell(request, answer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers[request] = answer
}

// last is the last request it was sent.
func (l *liar) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.seen) == 0 {
		return ""
	}
	return l.seen[len(l.seen)-1]
}

func (l *liar) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.seen)
}

// kept opens the data of a Portway that has stopped: its calls, and its organisations by slug.
func kept(t *testing.T, dir string) (*trafficdb.Store, map[string]ident.OrgID) {
	t.Helper()
	db, err := store.Open(context.Background(), store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	orgs, err := partnerdb.New(db, ident.System{}).Organisations(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	bySlug := map[string]ident.OrgID{}
	for _, o := range orgs {
		bySlug[o.Slug] = o.ID
	}
	return trafficdb.New(db), bySlug
}

const labelSecret = "s3crets3crets3crets3crets3crets3cret"

// TestVersionsAndModes plays two partners of two versions against one backend that lies, and reads what was counted.
func TestVersionsAndModes(t *testing.T) {
	t.Parallel()
	backend, data := newLiar(t), t.TempDir()
	r := start(t, map[string]string{"LABEL_SECRET": labelSecret}, "--data="+data, "--config="+labelled(t, backend.URL, nil))
	as := map[string]string{"lenient": "Bearer " + r.tokenOf("lenient-app", labelSecret), "strict": "Bearer " + r.tokenOf("strict-app", labelSecret)}
	do := func(party, method, path, version, body string) *answer {
		header := map[string]string{"Authorization": as[party]}
		if version != "" {
			header["Api-Version"] = version
		}
		return r.do(call{method: method, path: path, body: body, header: header})
	}
	expect := func(what string, a *answer, status int, code, body string) {
		t.Helper()
		if a.status != status || a.field("code") != code || body != "" && strings.TrimSpace(string(a.body)) != body {
			t.Errorf("%s: %d %s, want %d %s %s", what, a.status, a.body, status, code, body)
		}
	}

	backend.tell("POST /labels", `201 {"label":"L1"}`)
	made := do("strict", "POST", "/shipping/labels", "v2", `{"order":"SO-1"}`)
	expect("v2", made, 201, "", `{"label":"L1"}`)
	if made.header.Get("Api-Version") != "v2" || made.header.Get("Vary") != "Api-Version" || made.header.Get("Deprecation") != "" {
		t.Errorf("headers of v2: %v", made.header)
	}
	old := do("strict", "POST", "/shipping/labels", "v1", `{"orderNumber":"SO-2"}`)
	expect("v1 on the backend of v2", old, 201, "", `{"labelNumber":"L1"}`)
	if got := backend.last(); got != `POST /labels application/json {"order":"SO-2"}` {
		t.Errorf("the backend got %s", got)
	}
	if old.header.Get("Api-Version") != "v1" || old.header.Get("Deprecation") == "" {
		t.Errorf("headers of v1: %v", old.header)
	}
	before := backend.count()
	expect("words of v1 in v2", do("strict", "POST", "/shipping/labels", "v2", `{"orderNumber":"SO-2"}`), 422, "schema.violation", "")
	for what, version := range map[string]string{"no version": "", "an unknown one": "v3", "two": "v1, v2", "the newest": "latest"} {
		a := do("strict", "POST", "/shipping/labels", version, `{"order":"SO-1"}`)
		expect(what, a, 404, "version.unknown", "")
		if a.field("versions") != "[v1 v2]" || a.header.Get("Vary") != "Api-Version" {
			t.Errorf("%s: %s %v", what, a.body, a.header)
		}
	}
	if backend.count() != before {
		t.Error("the backend saw a refused call")
	}

	backend.tell("POST /labels", `201 {"label":"L1","internal":"x"}`)
	lie := do("strict", "POST", "/shipping/labels", "v2", `{"order":"SO-3"}`)
	expect("a lie, enforced", lie, 502, "backend.bad_answer", "")
	if strings.Contains(string(lie.body), "internal\"") || lie.field("violations") != "" {
		t.Errorf("the refusal tells about the backend: %s", lie.body)
	}
	expect("the same lie, mapped away", do("strict", "POST", "/shipping/labels", "v1", `{"orderNumber":"SO-3"}`), 201, "", `{"labelNumber":"L1"}`)
	backend.tell("POST /labels", `201 {"label":"L123456789"}`)
	expect("a lie that a mapping keeps", do("strict", "POST", "/shipping/labels", "v1", `{"orderNumber":"SO-4"}`), 502, "backend.bad_answer", "")
	backend.tell("POST /labels", `201 {}`)
	expect("an answer that cannot be mapped", do("strict", "POST", "/shipping/labels", "v1", `{"orderNumber":"SO-5"}`), 502, "backend.bad_answer", "")
	backend.tell("GET /labels/L1", `200 {"label":"L1","internal":"x"}`)
	for range 3 {
		expect("a lie, reported", do("lenient", "GET", "/shipping/labels/L1", "v2", ""), 200, "", `{"label":"L1","internal":"x"}`)
	}

	backend.tell("POST /notes", `200 {}`)
	expect("enforced for one partner", do("strict", "POST", "/notes/v1/notes", "", `{"text":"longer"}`), 422, "schema.violation", "")
	expect("reported for another", do("lenient", "POST", "/notes/v1/notes", "", `{"text":"longer"}`), 200, "", `{}`)
	if got := backend.last(); got != `POST /notes application/json {"text":"longer"}` {
		t.Errorf("the backend got %s", got)
	}
	backend.tell("POST /orders/SO-77777", `200 {"nothing":1}`)
	const odd = `{ "order" : 7, "lines":[{"po":"P-1"},{"po":"P-2"}]}`
	expect("observed", do("lenient", "POST", "/legacy/v1/orders/SO-77777?trace=1", "", odd), 200, "", `{"nothing":1}`)
	if got := backend.last(); got != `POST /orders/SO-77777?trace=1 application/json `+odd {
		t.Errorf("the backend got %s", got)
	}
	expect("the path names no version", do("strict", "POST", "/notes/notes", "", `{}`), 404, "version.unknown", "")
	if code := r.stop(); code != 0 {
		t.Fatalf("stopped with %d", code)
	}
	calls, orgs := kept(t, data)
	counted(t, calls, orgs)
}

// counted checks the records and counts of TestVersionsAndModes.
func counted(t *testing.T, s *trafficdb.Store, orgs map[string]ident.OrgID) {
	t.Helper()
	ctx := context.Background()
	line := func(v traffic.ContractViolation) string {
		return strings.TrimSpace(fmt.Sprintf("%s%s %s %s %s %s: %d, %d refused", v.Backend, v.API, v.Version, v.Operation, v.Pointer, v.Keyword, v.Calls, v.Refused))
	}
	backends, err := s.BackendViolations(ctx, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"carrierlegacy v1 postOrder /state required: 1, 0 refused",
		"carriershipping v1 createLabel  mapping: 1, 1 refused",
		"carriershipping v1 createLabel /labelNumber maxLength: 1, 1 refused",
		"carriershipping v2 createLabel /* additionalProperties: 1, 1 refused",
		"carriershipping v2 getLabel /* additionalProperties: 3, 0 refused",
	}
	var got []string
	for _, v := range backends {
		got = append(got, line(v))
		if v.Org != "" || v.Sample == "" || v.Environment != ident.Live {
			t.Errorf("%+v", v)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("backends:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for slug, want := range map[string][]string{
		"strict":  {"notes v1 postNote /text maxLength: 1, 1 refused", "shipping v2 createLabel /* additionalProperties: 1, 1 refused", "shipping v2 createLabel /order required: 1, 1 refused"},
		"lenient": {"legacy v1 postOrder * undeclared: 1, 0 refused", "legacy v1 postOrder /order type: 1, 0 refused", "legacy v1 postOrder order maxLength: 1, 0 refused", "notes v1 postNote /text maxLength: 1, 0 refused"},
	} {
		rows, err := s.ContractViolations(ctx, orgs[slug], time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		got = nil
		for _, v := range rows {
			got = append(got, line(v))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n%s\nwant\n%s", slug, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	for ref, want := range map[traffic.Ref]string{{Scheme: "po", Value: "P-2"}: "postOrder", {Scheme: "so", Value: "SO-77777"}: "postOrder", {Scheme: "so", Value: "SO-P"}: ""} {
		found, err := s.Calls(ctx, orgs["lenient"], traffic.Filter{Ref: ref})
		if err != nil {
			t.Fatal(err)
		}
		if want == "" && len(found) != 0 || want != "" && (len(found) != 1 || found[0].Operation != want || found[0].Status != 200 || len(found[0].Violations) != 4) {
			t.Errorf("by %v: %+v", ref, found)
		}
	}
	if found, err := s.Calls(ctx, orgs["strict"], traffic.Filter{Ref: traffic.Ref{Scheme: "so", Value: "SO-1"}}); err != nil || len(found) != 1 || found[0].Operation != "createLabel" || found[0].Version != "v2" {
		t.Errorf("by the number of a label: %+v, %v", found, err)
	}
}

// TestCheckRunsGoldenCases: a mapping that no longer does what its case says is found before it is served, and so is
// a mapping between versions without a case.
func TestCheckRunsGoldenCases(t *testing.T) {
	t.Parallel()
	good := labelled(t, "http://127.0.0.1:1", nil)
	if code, out, stderr := invoke(nil, "check", "--config="+good); code != 0 || !strings.Contains(out, "no problem") {
		t.Fatalf("%d\n%s%s", code, out, stderr)
	}
	bad := labelled(t, "http://127.0.0.1:1", map[string]string{
		"policies/mappings/cases/up.out.json": `{"order":"SO-2"}`,
		"policies/mappings/label-down.yaml":   strings.Split(labelFiles["policies/mappings/label-down.yaml"], "tests:")[0],
	})
	code, out, stderr := invoke(nil, "check", "--config="+bad)
	for _, want := range []string{`policies/mappings/label-up.yaml:9: case "one" (cases/up.in.json): /order is SO-1, want SO-2`, "policies/mappings/label-down.yaml: a mapping between versions needs at least one case"} {
		if code == 0 || !strings.Contains(out+stderr, want) {
			t.Errorf("%d: nothing says %q in\n%s%s", code, want, out, stderr)
		}
	}
}

// TestDemoBreaksNoContract plays the story and finds no answer of the example backends that breaks its contract.
func TestDemoBreaksNoContract(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	r := start(t, nil, "--demo", "--data="+data)
	playStory(t, r)
	if code := r.stop(); code != 0 {
		t.Fatalf("stopped with %d", code)
	}
	s, _ := kept(t, data)
	rows, err := s.BackendViolations(context.Background(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range rows {
		t.Errorf("%s %s %s %s of %s: %s %s, %d calls", v.API, v.Version, v.Operation, v.Environment, v.Backend, v.Pointer, v.Keyword, v.Calls)
	}
}
