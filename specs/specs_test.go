package specs_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"portway/specs"
)

// contract is one OpenAPI document as plain data.
type contract struct {
	path string
	raw  []byte
	doc  map[string]any
	is31 bool
}

func contracts(t *testing.T) []contract {
	t.Helper()
	paths, err := fs.Glob(specs.Files, "*/*/openapi.yaml")
	if err != nil || len(paths) < 5 {
		t.Fatalf("found %d contracts, want at least 5: %v", len(paths), err)
	}
	var out []contract
	for _, p := range paths {
		raw, err := specs.Files.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		var doc map[string]any
		if err := yaml.Unmarshal(raw, &doc); err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		version, _ := doc["openapi"].(string)
		out = append(out, contract{path: p, raw: raw, doc: doc, is31: strings.HasPrefix(version, "3.1")})
	}
	return out
}

// operation is one operation of a contract.
type operation struct {
	at      string // "paths//feed/get"
	method  string
	path    string
	members map[string]any
}

func (c *contract) operations() []operation {
	var out []operation
	paths, _ := c.doc["paths"].(map[string]any)
	for p, item := range paths {
		for method, op := range item.(map[string]any) {
			if m, ok := op.(map[string]any); ok && method != "parameters" {
				out = append(out, operation{at: c.path + ": " + strings.ToUpper(method) + " " + p, method: method, path: p, members: m})
			}
		}
	}
	return out
}

// lookup follows a local reference, or returns v itself.
func (c *contract) lookup(v any) map[string]any {
	m, _ := v.(map[string]any)
	for m["$ref"] != nil {
		next := any(c.doc)
		for _, part := range strings.Split(strings.TrimPrefix(m["$ref"].(string), "#/"), "/") {
			next = next.(map[string]any)[part]
		}
		m, _ = next.(map[string]any)
	}
	return m
}

// walk calls visit for every map and every value below v with its JSON Pointer.
func walk(v any, pointer string, visit func(pointer string, m map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		visit(pointer, v)
		for k, child := range v {
			walk(child, pointer+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(k), visit)
		}
	case []any:
		for i, child := range v {
			walk(child, fmt.Sprintf("%s/%d", pointer, i), visit)
		}
	}
}

func TestContractsAreValidOpenAPI(t *testing.T) {
	t.Parallel()
	versions := map[string]int{}
	for _, c := range contracts(t) {
		doc, err := openapi3.NewLoader().LoadFromData(c.raw)
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		versions[doc.OpenAPI]++
		err = doc.Validate(context.Background(), openapi3.EnableExamplesValidation(),
			openapi3.EnableSchemaDefaultsValidation(), openapi3.EnableSchemaPatternValidation())
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
		}
	}
	if versions["3.0.3"] == 0 || versions["3.1.0"] == 0 {
		t.Errorf("both OpenAPI 3.0.3 and 3.1.0 must be exercised, have %v", versions)
	}
}

func TestOperationsSayWhatCallersNeed(t *testing.T) {
	t.Parallel()
	total := 0
	for _, c := range contracts(t) {
		ids := map[string]bool{}
		for _, op := range c.operations() {
			total++
			id, _ := op.members["operationId"].(string)
			if id == "" || ids[id] {
				t.Errorf("%s: operationId %q is missing or taken", op.at, id)
			}
			ids[id] = true
			for _, member := range []string{"summary", "description", "security", "tags"} {
				if op.members[member] == nil {
					t.Errorf("%s: no %s", op.at, member)
				}
			}
			text, _ := op.members["description"].(string)
			responses, _ := op.members["responses"].(map[string]any)
			if now := strings.Contains(text, "Answers now."); now == (responses["202"] != nil) ||
				now == strings.Contains(text, "Answers 202 with a status URL.") {
				t.Errorf("%s: the description must say either \"Answers now.\" or \"Answers 202 with a status URL.\", as it does", op.at)
			}
			if deprecated := op.members["deprecated"] == true; deprecated != (c.path == "shipments/v1/openapi.yaml") {
				t.Errorf("%s: deprecated is %t", op.at, deprecated)
			}
			c.checkResponses(t, op, responses)
		}
	}
	if total < 25 {
		t.Errorf("only %d operations were checked", total)
	}
}

// isOAuth reports whether an operation is one of the endpoints that speak RFC 6749.
func isOAuth(op operation) bool { return strings.HasPrefix(op.path, "/oauth2/") }

// checkResponses wants problem details for every refusal, and the headers every answer carries.
func (c *contract) checkResponses(t *testing.T, op operation, responses map[string]any) {
	t.Helper()
	want := []string{"429", "500", "503"}
	if security, _ := op.members["security"].([]any); len(security) > 0 {
		want = append(want, "400", "401", "403")
	}
	if op.members["requestBody"] != nil && !isOAuth(op) {
		want = append(want, "413", "415", "422")
	}
	for _, status := range want {
		if responses[status] == nil {
			t.Errorf("%s: no %s response", op.at, status)
		}
	}
	for status, r := range responses {
		response := c.lookup(r)
		headers, _ := response["headers"].(map[string]any)
		if headers["X-Request-Id"] == nil {
			t.Errorf("%s: %s does not document X-Request-Id", op.at, status)
		}
		content, _ := response["content"].(map[string]any)
		if status[0] >= '4' {
			oauth := isOAuth(op) && content["application/json"] != nil // RFC 6749 section 5.2
			if content["application/problem+json"] == nil && !oauth {
				t.Errorf("%s: %s is not application/problem+json", op.at, status)
			}
			continue
		}
		expected := []string{"RateLimit", "RateLimit-Policy"}
		if security, _ := op.members["security"].([]any); len(security) == 0 {
			expected = nil
		}
		if op.members["deprecated"] == true {
			expected = append(expected, "Deprecation", "Sunset", "Link")
		}
		if status == "202" {
			expected = append(expected, "Location")
		}
		for _, name := range expected {
			if headers[name] == nil {
				t.Errorf("%s: %s does not document %s", op.at, status, name)
			}
		}
	}
}

func TestScopesAreDeclared(t *testing.T) {
	t.Parallel()
	for _, c := range contracts(t) {
		scopes := c.doc["components"].(map[string]any)["securitySchemes"].(map[string]any)["oauth2"].(map[string]any)["flows"].(map[string]any)["clientCredentials"].(map[string]any)["scopes"].(map[string]any)
		used := map[string]bool{}
		for _, op := range c.operations() {
			security, _ := op.members["security"].([]any)
			for _, alternative := range security {
				for _, scope := range alternative.(map[string]any)["oauth2"].([]any) {
					used[scope.(string)] = true
					if scopes[scope.(string)] == nil {
						t.Errorf("%s: scope %s is not declared", op.at, scope)
					}
				}
			}
		}
		for scope := range scopes {
			if !used[scope] {
				t.Errorf("%s: scope %s is declared and no operation needs it", c.path, scope)
			}
		}
	}
}

// The refusal, its headers and the 202 answer are the same everywhere: partners write that code once.
func TestSharedComponentsAgree(t *testing.T) {
	t.Parallel()
	first := map[string]any{}
	shared := regexp.MustCompile(`^/components/(schemas/(Problem|Violation|Accepted|ProcessingState|OrderNumber|Quantity|Address|Unit|Sku)|headers/(RequestId|RateLimit|RateLimitPolicy|RetryAfter|Location)|parameters/IdempotencyKey)$`)
	for _, c := range contracts(t) {
		walk(c.doc, "", func(pointer string, m map[string]any) {
			if !shared.MatchString(pointer) {
				return
			}
			if first[pointer] == nil {
				first[pointer] = m
			} else if diff := cmp.Diff(first[pointer], m); diff != "" {
				t.Errorf("%s: %s differs from the other contracts:\n%s", c.path, pointer, diff)
			}
		})
	}
	if len(first) < 14 {
		t.Errorf("only %d shared components were found", len(first))
	}
}

// schemas returns every schema of the contract by its JSON Pointer.
func (c *contract) schemas() map[string]map[string]any {
	out := map[string]map[string]any{}
	var collect func(pointer string, v any)
	collect = func(pointer string, v any) {
		m, ok := v.(map[string]any)
		if !ok {
			return
		}
		out[pointer] = m
		if properties, ok := m["properties"].(map[string]any); ok {
			for name, p := range properties {
				collect(pointer+"/properties/"+name, p)
			}
		}
		if items, ok := m["items"]; ok {
			collect(pointer+"/items", items)
		}
	}
	walk(c.doc, "", func(pointer string, m map[string]any) {
		if s, ok := m["schema"]; ok {
			collect(pointer+"/schema", s)
		}
	})
	for name, s := range c.doc["components"].(map[string]any)["schemas"].(map[string]any) {
		collect("/components/schemas/"+name, s)
	}
	return out
}

func TestSchemasAreDescribedAndBounded(t *testing.T) {
	t.Parallel()
	total := 0
	for _, c := range contracts(t) {
		for pointer, s := range c.schemas() {
			total++
			target := c.lookup(s)
			if strings.Contains(pointer, "/properties/") || strings.HasPrefix(pointer, "/components/schemas/") {
				if text, _ := s["description"].(string); text == "" && (target["description"] == nil) {
					t.Errorf("%s#%s: no description", c.path, pointer)
				}
			}
			if s["$ref"] == nil {
				checkBounds(t, c.path+"#"+pointer, s)
			} else if !c.is31 && len(s) > 1 {
				t.Errorf("%s#%s: OpenAPI 3.0 ignores what stands beside $ref", c.path, pointer)
			}
		}
		for _, op := range c.operations() {
			c.checkBodyIsClosed(t, op)
		}
	}
	if total < 200 {
		t.Errorf("only %d schemas were checked", total)
	}
}

// checkBounds wants a limit on everything that can grow, and patterns every engine reads alike.
func checkBounds(t *testing.T, at string, s map[string]any) {
	t.Helper()
	switch s["type"] {
	case "string":
		if s["maxLength"] == nil && s["enum"] == nil {
			t.Errorf("%s: a string without maxLength", at)
		}
	case "array":
		if s["maxItems"] == nil {
			t.Errorf("%s: an array without maxItems", at)
		}
	case "integer":
		if s["minimum"] == nil || s["maximum"] == nil {
			t.Errorf("%s: an integer without minimum and maximum", at)
		}
	case "object", "boolean":
	default:
		t.Errorf("%s: type is %v", at, s["type"])
	}
	if pattern, ok := s["pattern"].(string); ok {
		if _, err := regexp.Compile(pattern); err != nil {
			t.Errorf("%s: %v", at, err)
		}
		if !strings.HasPrefix(pattern, "^") || !strings.HasSuffix(pattern, "$") {
			t.Errorf("%s: the pattern is not anchored", at)
		}
	}
}

// checkBodyIsClosed wants every object of a request body to refuse unknown members. The OAuth endpoints must ignore
// them instead (RFC 6749 section 3.2).
func (c *contract) checkBodyIsClosed(t *testing.T, op operation) {
	t.Helper()
	if isOAuth(op) {
		return
	}
	body, _ := op.members["requestBody"].(map[string]any)
	content, _ := body["content"].(map[string]any)
	seen := map[string]bool{}
	var check func(v any)
	check = func(v any) {
		if ref, _ := v.(map[string]any)["$ref"].(string); ref != "" {
			if seen[ref] {
				return
			}
			seen[ref] = true
		}
		s := c.lookup(v)
		if s["type"] == "object" && s["additionalProperties"] != false {
			t.Errorf("%s: an object of the body allows unknown members: %v", op.at, s["description"])
		}
		if properties, ok := s["properties"].(map[string]any); ok {
			for _, p := range properties {
				check(p)
			}
		}
		if items, ok := s["items"]; ok {
			check(items)
		}
	}
	for _, media := range content {
		check(media.(map[string]any)["schema"])
	}
}

// Every example of a body, a parameter or a header meets its schema, with unknown members refused everywhere, so
// that an example cannot show what the contract does not describe.
func TestExamplesMeetTheirSchemas(t *testing.T) {
	t.Parallel()
	total := 0
	for _, c := range contracts(t) {
		compiler := jsonschema.NewCompiler()
		compiler.DefaultDraft(jsonschema.Draft2020)
		compiler.AssertFormat()
		if err := compiler.AddResource("urn:contract", closed(c.doc)); err != nil {
			t.Fatalf("%s: %v", c.path, err)
		}
		walk(c.doc, "", func(pointer string, m map[string]any) {
			if m["schema"] == nil {
				return
			}
			var examples []any
			if one, ok := m["example"]; ok {
				examples = append(examples, one)
			}
			named, _ := m["examples"].(map[string]any)
			for _, e := range named {
				if e.(map[string]any)["summary"] == nil {
					t.Errorf("%s#%s: an example without summary", c.path, pointer)
				}
				examples = append(examples, e.(map[string]any)["value"])
			}
			if len(examples) == 0 {
				return
			}
			schema, err := compiler.Compile("urn:contract#" + pointer + "/schema")
			if err != nil {
				t.Errorf("%s#%s: %v", c.path, pointer, err)
				return
			}
			for _, e := range examples {
				total++
				if err := schema.Validate(e); err != nil {
					t.Errorf("%s#%s: %v", c.path, pointer, err)
				}
			}
		})
		for _, op := range c.operations() {
			c.wantExamples(t, op)
		}
	}
	if total < 60 {
		t.Errorf("only %d examples were checked", total)
	}
}

// closed returns a copy of v in which every object schema with properties refuses unknown ones.
func closed(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v)+1)
		for k, child := range v {
			out[k] = closed(child)
		}
		if _, has := v["properties"].(map[string]any); has && v["type"] == "object" {
			out["additionalProperties"] = false
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, child := range v {
			out[i] = closed(child)
		}
		return out
	}
	return v
}

// wantExamples wants an example of every body that is sent and of every success.
func (c *contract) wantExamples(t *testing.T, op operation) {
	t.Helper()
	var contents []map[string]any
	if body := c.lookup(op.members["requestBody"]); body != nil {
		contents = append(contents, body["content"].(map[string]any))
	}
	for status, r := range op.members["responses"].(map[string]any) {
		if content, ok := c.lookup(r)["content"].(map[string]any); ok && status[0] == '2' {
			contents = append(contents, content)
		}
	}
	for _, content := range contents {
		found := false
		for _, media := range content {
			found = found || media.(map[string]any)["examples"] != nil
		}
		if !found {
			t.Errorf("%s: a body without an example", op.at)
		}
	}
}

func TestContractsNameNoBackend(t *testing.T) {
	t.Parallel()
	for _, c := range contracts(t) {
		for _, word := range []string{"x-backend", "x-plan", "127.0.0.1", "localhost"} {
			if bytes.Contains(c.raw, []byte(word)) {
				t.Errorf("%s: %q belongs in the policies", c.path, word)
			}
		}
	}
}
