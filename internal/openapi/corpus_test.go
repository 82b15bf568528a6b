package openapi_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portway/internal/needs"
	"portway/internal/openapi"
	"portway/internal/schema"
)

// read returns the first file of the corpus folder openapi whose name begins with prefix.
func read(t testing.TB, prefix string) (string, []byte) {
	t.Helper()
	files, _ := filepath.Glob(needs.Corpus(t, "openapi", prefix+"*"))
	if len(files) == 0 {
		t.Fatalf("the corpus has no document %s*", prefix)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Base(files[0]), b
}

func errorsOf(findings []openapi.Finding) []openapi.Finding {
	var out []openapi.Finding
	for _, f := range findings {
		if f.Severity == openapi.SeverityError {
			out = append(out, f)
		}
	}
	return out
}

func TestCorpusDocuments(t *testing.T) {
	t.Parallel()
	tests := []struct {
		prefix, language, base string
		operations             int
		// rules are findings that must be there.
		rules []string
	}{
		{"01-", "3.0.1", "/api", 3, []string{"openapi.info_version_required"}},
		{"02-", "3.1.0", "/api/track", 3, []string{"openapi.info_version_required", "lint.server_variable"}},
		{"03-", "3.0.0", "", 6, []string{"openapi.extra_sibling_fields"}},
		{"04-", "3.0.0", "/tracking/v3", 3, nil},
		{"05-", "3.0.0", "/parcel/de/shipping/returns/v1", 3, []string{"openapi.example_violates_schema"}},
		{"06-", "3.0.1", "", 48, []string{"openapi.schema_type_unsupported", "lint.operation_id"}},
		{"07-", "2.0", "", 14, []string{"swagger.converted"}},
		{"08-", "2.0", "", 2, []string{"swagger.converted"}},
		{"09-", "3.0.0", "/sap/opu/odata/sap/API_SALES_ORDER_SRV", 158, []string{"openapi.default_required", "openapi.security_requirement_scheme_undefined"}},
		{"10-", "3.0.1", "", 150, []string{"openapi.schema_items_required", "openapi.path_parameters_mismatch"}},
		{"12-", "3.0.3", "", 63, []string{"openapi.schema_pattern_regex_invalid"}},
	}
	for _, test := range tests {
		t.Run(test.prefix, func(t *testing.T) {
			t.Parallel()
			name, src := read(t, test.prefix)
			doc, findings, err := openapi.Load(src, openapi.Options{File: name})
			if err != nil {
				t.Fatal(err)
			}
			if e := errorsOf(findings); len(e) > 0 {
				t.Errorf("errors: %v", e)
			}
			if len(doc.Operations) != test.operations || doc.OpenAPI != test.language || doc.BasePath != test.base {
				t.Errorf("got %d operations of OpenAPI %s below %q, want %d, %s, %q",
					len(doc.Operations), doc.OpenAPI, doc.BasePath, test.operations, test.language, test.base)
			}
			for _, f := range findings {
				if f.Line == 0 || f.File != name {
					t.Errorf("a finding has no place: %v", f)
				}
			}
			for _, rule := range test.rules {
				if !slices.ContainsFunc(findings, func(f openapi.Finding) bool { return f.Rule == rule }) {
					t.Errorf("no finding %s", rule)
				}
			}
			n, refused := compileAll(t, doc)
			t.Logf("%s: %d operations, %d findings, %d schemas compiled (%d parts not checked)", name, len(doc.Operations), len(findings), n, refused)
		})
	}
}

// TestCorpusLoadTime runs alone, before the parallel tests: the largest document loads and compiles in under 2 s.
func TestCorpusLoadTime(t *testing.T) {
	name, src := read(t, "09-")
	best := time.Hour
	for range 3 {
		start := time.Now()
		doc, _, err := openapi.Load(src, openapi.Options{File: name})
		if err != nil {
			t.Fatal(err)
		}
		compileAll(t, doc)
		best = min(best, time.Since(start))
	}
	t.Logf("%s, %d bytes: %v", name, len(src), best)
	if best > 2*time.Second {
		t.Errorf("loading and compiling took %v, want under 2 s", best)
	}
}

// compileAll compiles every schema that a gateway would, and counts them and the findings.
func compileAll(t *testing.T, doc *openapi.Document) (schemas, findings int) {
	t.Helper()
	c, err := schema.NewCompiler(doc.Bundle, doc.Dialect)
	if err != nil {
		t.Fatal(err)
	}
	compile := func(pointer string, dir schema.Direction) {
		if pointer == "" {
			return
		}
		_, f, err := c.Compile(pointer, dir)
		if err != nil {
			t.Errorf("%s: %v", pointer, err)
		}
		schemas++
		findings += len(f)
	}
	for _, o := range doc.Operations {
		for _, p := range o.Parameters {
			compile(p.Pointer, schema.Request)
		}
		if o.RequestBody != nil {
			for _, m := range o.RequestBody.Content {
				compile(m.Pointer, schema.Request)
			}
		}
		for _, r := range o.Responses {
			for _, m := range r.Content {
				compile(m.Pointer, schema.Response)
			}
			for _, h := range r.Headers {
				compile(h.Pointer, schema.Response)
			}
		}
	}
	return schemas, findings
}

func TestCorpusUnresolvedReferencesAreNamed(t *testing.T) {
	t.Parallel()
	for prefix, want := range map[string]string{
		"11-":  "https://api.swaggerhub.com/domains/dcsaorg/EVENT_DOMAIN/1.0.4#/components/parameters/shipmentEventTypeCode",
		"11b-": "https://api.swaggerhub.com/domains/dcsaorg/DCSA_DOMAIN/3.0.0",
	} {
		name, src := read(t, prefix)
		_, findings, err := openapi.Load(src, openapi.Options{File: name})
		if err != nil {
			t.Fatal(err)
		}
		// Every reference to another document in the source, comments apart, is named with its own line.
		lines := strings.Split(string(src), "\n")
		named := map[int]bool{}
		for _, f := range findings {
			if f.Rule == "reference.unresolved" {
				named[f.Line] = true
			}
		}
		for i, line := range lines {
			if text := strings.TrimLeft(line, " -"); strings.HasPrefix(text, "$ref: 'http") && !named[i+1] {
				t.Errorf("%s:%d: the reference is not named", name, i+1)
			}
		}
		if !slices.ContainsFunc(findings, func(f openapi.Finding) bool { return strings.Contains(f.Message, want) }) {
			t.Errorf("%s: %s is not named", name, want)
		}
	}
}

func TestCorpusOfflineReferences(t *testing.T) {
	t.Parallel()
	refs := map[string][]byte{}
	for _, d := range []string{"EVENT_DOMAIN-3.1.0", "DCSA_DOMAIN-3.0.0", "ERROR_DOMAIN-2.0.0"} {
		b := needs.CorpusFile(t, "openapi/dcsa-domains", d+".yaml")
		refs["https://api.swaggerhub.com/domains/dcsaorg/"+strings.Replace(d, "-", "/", 1)] = b
	}
	name, src := read(t, "11b-")
	doc, findings, err := openapi.Load(src, openapi.Options{File: name, References: refs})
	if err != nil {
		t.Fatal(err)
	}
	if e := errorsOf(findings); len(e) > 0 || len(doc.Operations) != 8 {
		t.Errorf("%d operations, want 8, and errors: %v", len(doc.Operations), e)
	}
	// The domains refer to further ones that are not given: named, with their own file and line.
	for _, f := range findings {
		if f.Rule == "reference.unresolved" && (!strings.Contains(f.File, "EVENT_DOMAIN/3.1.0") || f.Line == 0) {
			t.Errorf("unexpected: %v", f)
		}
	}
	n, _ := compileAll(t, doc)
	t.Logf("%d operations, %d schemas", len(doc.Operations), n)
}

func TestSuiteOASParamStyles(t *testing.T) {
	t.Parallel()
	b := needs.CorpusFile(t, "vectors/oas-param-styles/vectors.json")
	var cases []struct {
		ID, In, Style, Type, Name, Wire string
		Explode                         bool
		Value                           any
	}
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	passed := 0
	for _, c := range cases {
		p := openapi.Parameter{Name: c.Name, In: c.In, Style: c.Style, Explode: c.Explode, Kind: openapi.Kind(c.Type), Items: openapi.KindString}
		if m, ok := c.Value.(map[string]any); ok {
			p.Properties = map[string]openapi.Kind{}
			for k := range m {
				p.Properties[k] = openapi.KindString
			}
		}
		got, violations := p.Decode(c.Wire)
		if diff := cmp.Diff(c.Value, got); diff != "" || len(violations) > 0 {
			t.Errorf("%s: %v %s", c.ID, violations, diff)
			continue
		}
		passed++
	}
	needs.Suite(t, "oas-param-styles-decode", passed, len(cases))
}
