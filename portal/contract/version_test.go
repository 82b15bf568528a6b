package contract

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/web/page"
)

// TestVersionByHeader: where a header chooses the version, the reference names it wherever it shows an address.
func TestVersionByHeader(t *testing.T) {
	t.Parallel()
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	const spec = "openapi: 3.0.3\ninfo: {title: Things, version: '1'}\nsecurity: [{o: []}]\ncomponents: {securitySchemes: {o: {type: http, scheme: bearer}}}\npaths: {/things: {get: {operationId: listThings, responses: {'200': {description: ok}}}}}\n"
	snap, problems := catalog.Load(catalog.Sources{
		Specs:    fstest.MapFS{"things/v1/openapi.yaml": file(spec), "things/v2/openapi.yaml": file(spec)},
		Policies: fstest.MapFS{"apis/things.yaml": file("kind: api\nschema: 1\ntitle: Things\nversion: {by: header, header: Api-Version, default: v1}\nversions: {v1: {}, v2: {}}\noperations: {listThings: {dispatch: builtin}}\n")},
		Clock:    ident.System{},
	})
	if problems != nil {
		t.Fatal(problems)
	}
	v2, _ := snap.APIs[0].Version("v2")
	c := NewReader("https://gateway").Of(snap, v2)
	if want := []page.Server{{Environment: "sandbox and live, with Api-Version: v2", URL: "https://gateway/things"}}; !slices.Equal(c.Servers, want) {
		t.Errorf("servers %+v", c.Servers)
	}
	op := c.Groups[0].Operations[0]
	if op.Path != "/things/things" || len(op.Parameters) != 1 || op.Parameters[0].Name != "Api-Version" || op.Parameters[0].Detail != "always v2" || op.Parameters[0].Required {
		t.Errorf("operation %+v", op)
	}
	if !strings.Contains(op.Curl, "-H 'Api-Version: v2'") {
		t.Errorf("sample %s", op.Curl)
	}
	if !slices.ContainsFunc(op.Problems, func(p page.ProblemRef) bool { return p.Code == "version.unknown" }) {
		t.Errorf("problems %+v", op.Problems)
	}
}
