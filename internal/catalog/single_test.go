package catalog

import (
	"strings"
	"testing"

	"portway/internal/ident"
	"portway/internal/openapi"
)

const someonesContract = `openapi: 3.0.3
info: {title: Someone's API, version: "7"}
servers: [{url: "https://api.example/base/v7"}]
paths:
  /pets/{petId}:
    get:
      operationId: getPet
      security: [{key: []}]
      parameters: [{name: petId, in: path, required: true, schema: {type: integer}}]
      responses: {"200": {description: ok}}
  /pets:
    get: {responses: {"200": {description: ok}}}
    post:
      operationId: createPet
      requestBody: {content: {application/json: {schema: {type: object}}}}
      responses: {"201": {description: ok}}
components: {securitySchemes: {key: {type: apiKey, in: header, name: X-Key}}}
`

func document(t *testing.T, text string) *openapi.Document {
	t.Helper()
	doc, _, err := openapi.Load([]byte(text), openapi.Options{File: "someone.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func shipped() Sources {
	return sources(map[string]string{
		"std:policies/std/plans/standard.yaml": "kind: plan\nschema: 1\nname: Standard\nlimits: [{name: burst, rate: 20, per: 1s, burst: 40}]\n",
		"std:policies/std/apis/portway.yaml":   "kind: api\nschema: 1\ntitle: Portway\ninternal: true\nversions: {v1: {base: \"\"}}\noperations: {token: {dispatch: builtin}}\n",
		"std:specs/portway/v1/openapi.yaml":    "openapi: 3.0.3\ninfo: {title: Portway, version: '1'}\npaths: {/oauth2/token: {post: {operationId: token, responses: {'200': {description: ok}}}}}\n",
	})
}

func TestSingle(t *testing.T) {
	t.Parallel()
	s, problems := Single(shipped(), "spec", "http://127.0.0.1:9", "standard", document(t, someonesContract))
	if problems != nil {
		t.Fatal(problems.Error())
	}
	m := s.Match("GET", "/base/v7/pets/7")
	r := m.Route
	if r == nil || m.Path["petId"] != "7" || r.ID != "spec/v1/getPet" || r.Dispatch != Proxy || r.Select.Fixed != "spec" || r.Anonymous || len(r.Scopes) != 0 || r.Parameters["path.petId"] == nil {
		t.Fatalf("getPet %+v", r)
	}
	if s.Match("GET", "/pets/7").Route != nil || s.Match("POST", "/base/v7/pets").Route == nil || s.Match("GET", "/base/v7/pets").Route == nil {
		t.Error("the paths are not those below the first server")
	}
	if s.Match("POST", "/oauth2/token").Route == nil {
		t.Error("Portway's own operations are gone")
	}
	for _, r := range s.APIs[1].Versions[0].Routes { // "no security" in a document does not open the gateway
		if r.Anonymous || len(r.Scopes) != 0 {
			t.Errorf("%s: anonymous %v, scopes %v", r.ID, r.Anonymous, r.Scopes)
		}
	}
	b := s.Backends["spec"]
	if b.URLs[ident.Sandbox] != "http://127.0.0.1:9/base/v7" || b.URLs[ident.Live] != b.URLs[ident.Sandbox] || len(b.Operations) != 3 {
		t.Errorf("backend %+v", b)
	}
	if a, ok := s.API("spec"); !ok || a.Title != "Someone's API" || a.Internal || s.APIs[0].ID != "portway" || s.APIs[1].ID != "spec" {
		t.Errorf("APIs %v", s.APIs)
	}
}

// A backend address without a path keeps the document's; one with a path replaces it.
func TestSingleBackendPath(t *testing.T) {
	t.Parallel()
	for backend, want := range map[string]string{
		"http://h": "http://h/base/v7", "http://h/": "http://h/base/v7", "https://h:8443/other": "https://h:8443/other", "http://h/other/": "http://h/other",
	} {
		s, problems := Single(shipped(), "spec", backend, "standard", document(t, someonesContract))
		if problems != nil || s.Backends["spec"].URLs[ident.Live] != want {
			t.Errorf("%s: %v, want %s", backend, problems, want)
		}
	}
	for _, backend := range []string{"", "h", "127.0.0.1:9", "ftp://h", "http://", "http:///x", "/x", "http://h?q=1", "http://h#f", "http://u:p@h", "env:X", "demo:erp", "http://h:port", "http://h\n"} {
		if _, problems := Single(shipped(), "spec", backend, "standard", document(t, someonesContract)); len(problems) != 1 || problems[0].File != "--backend" {
			t.Errorf("%q: %v", backend, problems)
		}
	}
}

func TestSingleRefuses(t *testing.T) {
	t.Parallel()
	clash := document(t, "openapi: 3.0.3\ninfo: {title: T, version: '1'}\npaths:\n  /oauth2/token:\n    post: {operationId: mine, responses: {'200': {description: ok}}}\n  /ok:\n    get: {responses: {'200': {description: ok}}}\n")
	if _, problems := Single(shipped(), "spec", "http://h", "standard", clash); len(problems) != 1 || problems[0].Line != 5 ||
		!strings.Contains(problems.Error(), "clashes") || !strings.Contains(problems.Error(), "portway/v1/token") {
		t.Errorf("a clash with Portway's own: %v", problems)
	}
	doc := document(t, someonesContract)
	if _, problems := Single(shipped(), "spec", "http://h", "gold", doc); len(problems) != 1 || !strings.Contains(problems.Error(), `plan "gold" does not exist`) {
		t.Errorf("an unknown plan: %v", problems)
	}
	if _, problems := Single(shipped(), "portway", "http://h", "standard", doc); len(problems) != 1 || !strings.Contains(problems.Error(), `"portway" is already`) {
		t.Errorf("a taken id: %v", problems)
	}
	broken := sources(map[string]string{"std:policies/std/plans/standard.yaml": "kind: plan\nschema: 9\n"})
	if _, problems := Single(broken, "spec", "http://h", "standard", doc); len(problems) != 1 {
		t.Errorf("a broken shipped part: %v", problems)
	}
}

func TestSingleDigestFollowsTheDocument(t *testing.T) {
	t.Parallel()
	digest := func(text, backend string) string {
		s, problems := Single(shipped(), "spec", backend, "standard", document(t, text))
		if problems != nil {
			t.Fatal(problems.Error())
		}
		return s.Digest
	}
	first := digest(someonesContract, "http://h")
	if digest(someonesContract, "http://h") != first || digest(someonesContract+"# more\n", "http://h") == first || digest(someonesContract, "http://g") == first {
		t.Error("the digest does not follow the document and its backend")
	}
}
