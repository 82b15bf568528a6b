package openapi_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"portway/internal/openapi"
	"portway/internal/schema"
)

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func load(t testing.TB, name string, opts openapi.Options) (*openapi.Document, []openapi.Finding) {
	t.Helper()
	opts.File = filepath.Base(name)
	doc, findings, err := openapi.Load(testdata(t, name), opts)
	if err != nil {
		t.Fatal(err)
	}
	return doc, findings
}

func operation(t testing.TB, doc *openapi.Document, id string) *openapi.Operation {
	t.Helper()
	for i := range doc.Operations {
		if doc.Operations[i].ID == id {
			return &doc.Operations[i]
		}
	}
	t.Fatalf("no operation %q", id)
	return nil
}

func TestLoadBuildsOperations(t *testing.T) {
	t.Parallel()
	doc, findings := load(t, "good/orders.yaml", openapi.Options{})
	if len(findings) > 0 {
		t.Errorf("findings: %v", findings)
	}
	if doc.Title != "Orders" || doc.Version != "1.2" || doc.OpenAPI != "3.1.0" || doc.BasePath != "/v1/orders" ||
		doc.Dialect != schema.Draft202012 || !cmp.Equal(doc.Webhooks, []string{"orderShipped"}) || len(doc.Tags) != 1 {
		t.Errorf("document: %+v", doc)
	}
	get := operation(t, doc, "getOrder")
	want := openapi.Operation{
		ID: "getOrder", Method: "GET", Path: "/orders/{orderId}", Summary: "Read an order", Tags: []string{"orders"},
		Parameters: []openapi.Parameter{
			{Name: "orderId", In: "path", Style: "simple", Required: true, Kind: "string", Pointer: "/paths/~1orders~1{orderId}/parameters/0/schema"},
			{Name: "X-Trace", In: "header", Style: "simple", Kind: "integer", Pointer: "/components/parameters/Trace/schema"},
			{Name: "expand", In: "query", Style: "form", Kind: "array", Items: "string", Example: []any{"lines"}, Pointer: "/paths/~1orders~1{orderId}/get/parameters/0/schema"},
			{Name: "limit", In: "query", Style: "form", Explode: true, Kind: "integer", Nullable: true, Pointer: "/paths/~1orders~1{orderId}/get/parameters/1/schema"},
			{Name: "filter", In: "query", Style: "deepObject", Explode: true, Kind: "object", Closed: true,
				Properties: map[string]openapi.Kind{"state": "string", "open": "boolean"}, Pointer: "/paths/~1orders~1{orderId}/get/parameters/2/schema"},
			{Name: "when", In: "query", Style: "form", Explode: true, ContentType: "application/json", Pointer: "/paths/~1orders~1{orderId}/get/parameters/3/content/application~1json/schema"},
		},
		Responses: []openapi.Response{
			{Status: "200", Description: "The order",
				Headers: []openapi.Header{{Name: "ETag", Required: true, Pointer: "/paths/~1orders~1{orderId}/get/responses/200/headers/ETag/schema"}},
				Content: []openapi.MediaType{{Type: "application/json", Pointer: "/paths/~1orders~1{orderId}/get/responses/200/content/application~1json/schema",
					Examples: []openapi.Example{{Name: "full", Summary: "A whole order", Value: []byte(`{"id":"SO-1","quantity":9007199254740993}`)}}}}},
			{Status: "4XX", Description: "Refused", Content: []openapi.MediaType{{Type: "application/problem+json", Pointer: "/components/responses/Problem/content/application~1problem+json/schema"}}},
		},
		Security: [][]openapi.SecurityRequirement{{{Scheme: "oauth", Type: "oauth2", Scopes: []string{"orders.read"}}}},
		Pointer:  "/paths/~1orders~1{orderId}/get", Line: 22,
	}
	if diff := cmp.Diff(want, *get, cmpopts.IgnoreUnexported(openapi.Parameter{})); diff != "" {
		t.Error(diff)
	}
	put := operation(t, doc, "putOrder")
	if !put.Deprecated || !put.NoAuth || len(put.Security) > 0 || put.Extensions["x-in-flight"] != true || !put.RequestBody.Required ||
		string(put.RequestBody.Content[1].Examples[0].Value) != `"a,b"` {
		t.Errorf("putOrder: %+v", put)
	}
	ping := operation(t, doc, "ping")
	if !ping.NoAuth || len(ping.Security) != 1 || len(ping.Security[0]) != 2 {
		t.Errorf("ping: %+v", ping.Security)
	}
	c, err := schema.NewCompiler(doc.Bundle, doc.Dialect)
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := c.Compile(put.RequestBody.Content[0].Pointer, schema.Request)
	if err != nil {
		t.Fatal(err)
	}
	if v := s.Validate([]byte(`{"id":"a","quantity":9007199254740993}`)); len(v) > 0 {
		t.Errorf("a bound lost its last digit: %v", v)
	}
	if v := s.Validate([]byte(`{"id":"a","quantity":9007199254740994}`)); len(v) != 1 {
		t.Errorf("a bound does not hold: %v", v)
	}
}

func TestLoadPullsInGivenReferences(t *testing.T) {
	t.Parallel()
	refs := map[string][]byte{}
	for _, f := range []string{"parts/paths.yaml", "parts/bodies.yaml", "parts/node.yaml"} {
		refs[f] = testdata(t, "good/"+f)
	}
	doc, findings := load(t, "good/split.yaml", openapi.Options{References: refs})
	if e := errorsOf(findings); len(e) > 0 || len(doc.Operations) != 2 {
		t.Fatalf("%d operations, %v", len(doc.Operations), findings)
	}
	if strings.Contains(string(doc.Bundle), ".yaml") {
		t.Errorf("the bundle still refers to files: %s", doc.Bundle)
	}
	if a := operation(t, doc, "a"); a.Parameters[0].Kind != openapi.KindInteger {
		t.Errorf("parameter: %+v", a.Parameters)
	}
	c, err := schema.NewCompiler(doc.Bundle, doc.Dialect)
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := c.Compile(operation(t, doc, "b").RequestBody.Content[0].Pointer, schema.Request)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Validate([]byte(`{"size":1,"kids":[{"size":"x"}]}`)); len(got) != 1 || got[0].Pointer != "/kids/0/size" {
		t.Errorf("violations: %v", got)
	}
	// Without them, each is named and the operations that need them are not built.
	doc, findings = load(t, "good/split.yaml", openapi.Options{})
	if len(doc.Operations) != 0 {
		t.Errorf("operations: %v", doc.Operations)
	}
	for _, want := range []string{"split.yaml:5", "split.yaml:9", "split.yaml:13"} {
		if !slices.ContainsFunc(findings, func(f openapi.Finding) bool {
			return f.Rule == "reference.unresolved" && strings.HasPrefix(f.String(), want+":")
		}) {
			t.Errorf("nothing is reported at %s: %v", want, findings)
		}
	}
}

func TestLoadConvertsSwagger(t *testing.T) {
	t.Parallel()
	doc, findings := load(t, "good/pet.swagger.json", openapi.Options{})
	if len(errorsOf(findings)) > 0 || doc.OpenAPI != "2.0" || doc.BasePath != "/v1" || doc.Dialect != schema.OpenAPI30 {
		t.Fatalf("%+v %v", doc, findings)
	}
	put := operation(t, doc, "putPet")
	if put.Line != 9 || len(put.Parameters) != 2 || put.Parameters[0].Kind != openapi.KindInteger || put.Parameters[1].Explode || !put.RequestBody.Required {
		t.Errorf("%+v", put)
	}
}

func TestLoadReportsEveryMistake(t *testing.T) {
	t.Parallel()
	doc, findings := load(t, "bad/lenient.yaml", openapi.Options{SkipValidation: true})
	var got []string
	for _, f := range findings {
		if f.Rule != "lint.problem_json" {
			got = append(got, fmt.Sprintf("%d %s %s %s", f.Line, f.Severity, f.Rule, f.Where))
		}
	}
	want := []string{
		"2 warning syntax.duplicate_key ",
		"3 warning lint.server_variable /servers/0",
		"6 error path.template GET orders",
		"12 warning lint.parameter_style GET /{tenant}/a/{x}",
		"13 warning lint.parameter_place GET /{tenant}/a/{x}",
		"14 info lint.parameter_reserved GET /{tenant}/a/{x}",
		"15 warning lint.parameter_keyword GET /{tenant}/a/{x}",
		"18 error path.ambiguous GET /{tenant}/a/{y}",
		"22 warning lint.operation_id_duplicate POST /{tenant}/a/{y}",
		"24 warning operation.method TRACE /{tenant}/a/{y}",
		"26 error operation.unresolved GET /{tenant}/b",
		"27 error reference.unresolved /paths/~1b/get/parameters/0",
		"37 warning reference.unresolved /paths/~1b/post/requestBody/content/application~1json/schema/properties/ext",
		"39 error operation.unresolved PUT /{tenant}/b",
		"40 error reference.unresolved /paths/~1b/put/requestBody/content/application~1json/schema",
		"42 error operation.object DELETE /{tenant}/b",
		"45 error reference.unresolved /components/schemas/Alias",
		"46 warning syntax.number ",
		"47 error reference.unresolved /components/schemas/Loop",
		"48 error reference.unresolved /components/schemas/Pool",
	}
	ignored := func(s string) bool { return strings.Contains(s, "lint.path_parameter") }
	got = slices.DeleteFunc(got, ignored)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var ids []string
	for _, o := range doc.Operations {
		ids = append(ids, o.ID)
	}
	if diff := cmp.Diff([]string{"same", "post_/{tenant}/a/{y}", "postB"}, ids); diff != "" {
		t.Error(diff)
	}
	// What a lost reference described is open; the rest of its schema holds.
	c, err := schema.NewCompiler(doc.Bundle, doc.Dialect)
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := c.Compile(operation(t, doc, "postB").RequestBody.Content[0].Pointer, schema.Request)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Validate([]byte(`{"ext":[1],"n":"x","more":1}`)); len(got) != 2 {
		t.Errorf("violations: %v", got)
	}
	// kin-openapi's own check of the same document adds warnings only, all with a line.
	_, findings = load(t, "bad/lenient.yaml", openapi.Options{})
	for _, f := range findings {
		if strings.HasPrefix(f.Rule, "openapi.") && (f.Severity == openapi.SeverityError || f.Line == 0) {
			t.Errorf("%v", f)
		}
	}
}

func TestLoadSurvivesHostileDocuments(t *testing.T) {
	t.Parallel()
	var bomb strings.Builder
	bomb.WriteString("openapi: 3.0.3\nx-a0: &a0 [1,2,3,4,5,6,7,8,9,10]\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&bomb, "x-a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
	}
	const head = `{"openapi":"3.0.3","info":{"title":"x","version":"1"},"paths":`
	tests := []struct{ name, src, want string }{
		{"alias bomb", bomb.String(), "unfolds to more than"},
		{"alias in itself", "openapi: 3.0.3\nx-a: &a [*a]\n", "contains itself"},
		{"deep", head + strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5001), "nests deeper than 200"},
		{"deep YAML", "openapi: 3.0.3\nx: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000), ""},
		{"too large", strings.Repeat(" ", 2000) + head + "{}}", "more than 1000 bytes"},
		{"empty", "", "empty"},
		{"a list", "[]", "must be an object"},
		{"not YAML", "a: b: c", "not YAML"},
		{"not a contract", "a: b", `neither "openapi" nor "swagger"`},
		{"another language", "openapi: 4.0.0", `openapi "4.0.0" is not read`},
		{"another Swagger", "swagger: 1.2", `swagger "1.2" is not read`},
		{"trailing text", head + "{}} x", "line 1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			opts := openapi.Options{File: "x"}
			if test.name == "too large" {
				opts.MaxBytes = 1000
			}
			start := time.Now()
			doc, _, err := openapi.Load([]byte(test.src), opts)
			if err == nil || doc != nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// TestLoadIsLenientAboutShape: parts of the wrong kind are left out, never a panic.
func TestLoadIsLenientAboutShape(t *testing.T) {
	t.Parallel()
	for _, paths := range []string{
		`1`, `[]`, `{"/a":1}`, `{"/a":{"get":1}}`, `{"/a":{"get":{"parameters":{},"requestBody":[],"responses":[],"security":{},"tags":1}}}`,
		`{"/a":{"get":{"parameters":[1,{"name":1,"in":"query","schema":3},{"name":"c","in":"query","content":{"application/json":1}}],"responses":{"200":1,"201":{"headers":1,"content":{"a/b":1}}}}}}`,
		`{"/a":{"get":{"security":[1,{"x":1}],"responses":{"200":{"$ref":"#/paths"}}}}}`,
		`{"/a":{"get":{"parameters":[{"name":"a","in":"query","schema":{"allOf":1,"type":{},"properties":[],"items":1}}]}}}`,
		`{"/a{":{"get":{}},"/{a}{a}":{"get":{}},"/{":{"get":{}},"/?q":{"get":{}},"/}":{"get":{}}}`,
		`{"/a":{"$ref":"#/paths/~1a"}}`, `{"/a":{"$ref":"#/paths/~1b"},"/b":{"$ref":"#/paths/~1a"}}`,
	} {
		for _, version := range []string{"3.0.3", "3.1.0", "3.2.0"} {
			src := fmt.Sprintf(`{"openapi":%q,"info":{"title":"x","version":"1"},"servers":[{"url":"http://[::1"},1],"tags":[1],"webhooks":1,"components":{"schemas":1},"paths":%s}`, version, paths)
			doc, _, err := openapi.Load([]byte(src), openapi.Options{File: "x"})
			if err != nil {
				t.Errorf("%s: %v", src, err)
				continue
			}
			for i := range doc.Operations {
				doc.Operations[i].DecodeParameters(openapi.Call{RawQuery: "a=1&b=2", Strict: true})
			}
		}
	}
}

func TestLoadReadsTabsAndCRLF(t *testing.T) {
	t.Parallel()
	src := bytes.ReplaceAll(testdata(t, "good/orders.yaml"), []byte("\n"), []byte("\r\n"))
	src = bytes.Replace(src, []byte("title: Orders"), []byte("title: Orders\t# with a tab"), 1)
	doc, _, err := openapi.Load(append([]byte("\xEF\xBB\xBF"), src...), openapi.Options{File: "x"})
	if err != nil || len(doc.Operations) != 3 || doc.Title != "Orders" {
		t.Errorf("%v %+v", err, doc)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	doc, findings := load(t, "good/split.yaml", openapi.Options{SkipValidation: true})
	var out strings.Builder
	if err := openapi.Report(&out, doc, findings); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"split.yaml:5:5 error reference.unresolved /paths/~1a: the reference \"parts/paths.yaml#/a\" leads to another document",
		"\nSplit 1 (OpenAPI 3.0.3)\n",
		"\n0 operations can be served; ",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("missing %q in:\n%s", want, out.String())
		}
	}
	doc, findings = load(t, "good/orders.yaml", openapi.Options{})
	out.Reset()
	if err := openapi.Report(&out, doc, findings); err != nil {
		t.Fatal(err)
	}
	const want = `Orders 1.2 (OpenAPI 3.1.0)
  GET     /v1/orders/orders/{orderId}  getOrder
  PUT     /v1/orders/orders/{orderId}  putOrder (deprecated)
  GET     /v1/orders/ping  ping

3 operations can be served; 0 errors, 0 warnings, 0 notes
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func FuzzLoad(f *testing.F) {
	for _, name := range []string{"good/orders.yaml", "good/split.yaml", "good/pet.swagger.json", "bad/lenient.yaml"} {
		f.Add(testdata(f, name))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		doc, findings, err := openapi.Load(src, openapi.Options{File: "x", SkipValidation: true})
		if err != nil {
			if strings.Contains(err.Error(), "makes the reader fail") {
				t.Fatal(err)
			}
			return
		}
		if _, err := schema.NewCompiler(doc.Bundle, doc.Dialect); err != nil {
			t.Fatalf("the bundle is not strict JSON: %v", err)
		}
		for i := range doc.Operations {
			doc.Operations[i].DecodeParameters(openapi.Call{RawQuery: "a=1", Strict: true})
		}
		_ = openapi.Report(&strings.Builder{}, doc, findings)
	})
}
