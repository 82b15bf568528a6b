package schema_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portway/internal/problem"
	"portway/internal/schema"
)

func compile(t testing.TB, doc string, d schema.Dialect, pointer string, dir schema.Direction) (*schema.Schema, []schema.Finding) {
	t.Helper()
	c, err := schema.NewCompiler([]byte(doc), d)
	if err != nil {
		t.Fatal(err)
	}
	s, findings, err := c.Compile(pointer, dir)
	if err != nil {
		t.Fatal(err)
	}
	return s, findings
}

func lines(vs []problem.Violation) []string {
	var out []string
	for _, v := range vs {
		out = append(out, fmt.Sprintf("%s %s %s: %s", v.In, v.Pointer, v.Keyword, v.Message))
	}
	return out
}

// TestMessages checks, for every keyword, the place and the wording, and that the value is never echoed.
func TestMessages(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t"
	tests := []struct{ schema, body, want string }{
		{`{"type":"string"}`, `1`, " type: must be a string"},
		{`{"type":["integer","null"]}`, `"s3cr3t"`, " type: must be a whole number or null"},
		{`{"const":"A"}`, `"s3cr3t"`, ` const: must be "A"`},
		{`{"enum":["A",2]}`, `"s3cr3t"`, ` enum: must be one of "A", 2`},
		{`{"format":"date-time"}`, `"s3cr3t"`, " format: must be a date and time with an offset (RFC 3339), such as 2026-01-31T09:30:00Z"},
		{`{"minLength":10}`, `"s3cr3t"`, " minLength: must have at least 10 characters"},
		{`{"maxLength":1}`, `"s3cr3t"`, " maxLength: must have at most 1 character"},
		{`{"pattern":"^[0-9]+$"}`, `"s3cr3t"`, ` pattern: must match the pattern "^[0-9]+$"`},
		{`{"minItems":2}`, `["s3cr3t"]`, " minItems: must have at least 2 items"},
		{`{"maxItems":1}`, `["s3cr3t",1]`, " maxItems: must have at most 1 item"},
		{`{"uniqueItems":true}`, `["s3cr3t",1,"s3cr3t"]`, " uniqueItems: must not repeat an item (items 0 and 2 are equal)"},
		{`{"contains":{"const":1}}`, `["s3cr3t"]`, " contains: must contain a certain kind of item"},
		{`{"contains":{"const":1},"minContains":2}`, `[1]`, " minContains: must contain at least 2 items of a certain kind"},
		{`{"contains":{"const":1},"maxContains":1}`, `[1,1]`, " maxContains: must contain at most 1 items of a certain kind"},
		{`{"prefixItems":[{}],"items":false}`, `[1,"s3cr3t"]`, "/1 items: is an item too many"},
		{`{"prefixItems":[{}],"unevaluatedItems":false}`, `[1,"s3cr3t"]`, "/1 unevaluatedItems: is an item too many"},
		{`{"minProperties":2}`, `{"a":"s3cr3t"}`, " minProperties: must have at least 2 members"},
		{`{"maxProperties":1}`, `{"a":"s3cr3t","b":1}`, " maxProperties: must have at most 1 member"},
		{`{"required":["a/b"]}`, `{"c":"s3cr3t"}`, "/a~1b required: is required"},
		{`{"dependentRequired":{"a":["b"]}}`, `{"a":"s3cr3t"}`, `/b dependentRequired: is required together with "a"`},
		{`{"additionalProperties":false}`, `{"a":"s3cr3t"}`, "/a additionalProperties: is not a property of this object"},
		{`{"unevaluatedProperties":false}`, `{"a":"s3cr3t"}`, "/a unevaluatedProperties: is not a property of this object"},
		{`{"properties":{"a":false}}`, `{"a":"s3cr3t"}`, "/a false: must not be present"},
		{`{"propertyNames":{"maxLength":1}}`, `{"ab":"s3cr3t"}`, "/ab propertyNames: has a name that this object does not admit"},
		{`{"minimum":9007199254740993}`, `9007199254740992`, " minimum: must be at least 9007199254740993"},
		{`{"maximum":1.5}`, `2`, " maximum: must be at most 1.5"},
		{`{"exclusiveMinimum":0}`, `0`, " exclusiveMinimum: must be greater than 0"},
		{`{"exclusiveMaximum":0}`, `1`, " exclusiveMaximum: must be less than 0"},
		{`{"multipleOf":0.01}`, `1.005`, " multipleOf: must be a multiple of 0.01"},
		{`{"not":{"type":"string"}}`, `"s3cr3t"`, " not: must not have the excluded form"},
		{`{"anyOf":[{"minLength":9},{"pattern":"^x"}]}`, `"s3cr3t"`, " anyOf: must match at least one of 2 alternatives"},
		{`{"oneOf":[{"type":"string"},{"minLength":1}]}`, `"s3cr3t"`, " oneOf: must match exactly one alternative, but matches several"},
		{`{"if":{"type":"string"},"then":{"maxLength":1}}`, `"s3cr3t"`, " maxLength: must have at most 1 character"},
		// The branch that was meant is reported, not the choice.
		{`{"oneOf":[{"type":"null"},{"type":"string","maxLength":1}]}`, `"s3cr3t"`, " maxLength: must have at most 1 character"},
		{`{"oneOf":[{"type":"null"},{"type":"string"}]}`, `1`, " type: must be a string or null"},
		{`{"oneOf":[{"properties":{"k":{"const":"a"},"v":{"type":"integer"}}},{"properties":{"k":{"const":"b"}}}]}`,
			`{"k":"a","v":"s3cr3t"}`, "/v type: must be a whole number"},
	}
	for _, test := range tests {
		s, findings := compile(t, test.schema, schema.Draft202012, "", schema.Either)
		if len(findings) > 0 {
			t.Errorf("%s: findings %v", test.schema, findings)
		}
		got := lines(s.Validate([]byte(test.body)))
		if len(got) != 1 || got[0] != "body "+test.want {
			t.Errorf("%s: got %q, want %q", test.schema, got, "body "+test.want)
		}
		if strings.Contains(strings.Join(got, " "), secret) {
			t.Errorf("%s: the value is echoed: %q", test.schema, got)
		}
	}
}

func TestAllViolationsInOrder(t *testing.T) {
	t.Parallel()
	s, _ := compile(t, `{"properties":{"lines":{"items":{"required":["sku"],"properties":{"sku":{},"qty":{"format":"decimal"}},"additionalProperties":false,"type":"object"}}},"required":["id"]}`,
		schema.Draft202012, "", schema.Either)
	body := `{"lines":[` + strings.Repeat(`{"sku":"a","qty":"1"},`, 2) + `{"qty":"1e3"},` + strings.Repeat(`{"sku":"a"},`, 7) + `{"x":1}]}`
	want := []string{
		"body /id required: is required",
		`body /lines/2/qty format: must be an exact decimal in a string, such as "12.50"`,
		"body /lines/2/sku required: is required",
		"body /lines/10/sku required: is required",
		"body /lines/10/x additionalProperties: is not a property of this object",
	}
	for range 20 {
		if diff := cmp.Diff(want, lines(s.Validate([]byte(body)))); diff != "" {
			t.Fatal(diff)
		}
	}
	many := s.Validate([]byte(`{"id":1,"lines":[` + strings.TrimSuffix(strings.Repeat(`{},`, 5000), ",") + `]}`))
	if len(many) != 1000 {
		t.Errorf("got %d violations, want 1,000", len(many))
	}
}

func TestMemberNamesAreReportedInTheirObject(t *testing.T) {
	t.Parallel()
	s, _ := compile(t, `{"items":{"additionalProperties":{"propertyNames":{"maxLength":1}}}}`, schema.Draft202012, "", schema.Either)
	got := lines(s.Validate([]byte(`[{"a":{"xx":1},"b":{"yy":1,"z":2}},{"c":{"xx":1}}]`)))
	want := []string{
		"body /0/a/xx propertyNames: has a name that this object does not admit",
		"body /0/b/yy propertyNames: has a name that this object does not admit",
		"body /1/c/xx propertyNames: has a name that this object does not admit",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDirection(t *testing.T) {
	t.Parallel()
	const doc = `{"components":{"schemas":{
		"ID":{"type":"string","readOnly":true},
		"Base":{"type":"object","required":["id"],"properties":{"id":{"$ref":"#/components/schemas/ID"},"name":{"type":"string"}}},
		"Secret":{"type":"object","required":["name","key"],"properties":{"key":{"type":"string","writeOnly":true}}},
		"Thing":{"allOf":[{"$ref":"#/components/schemas/Base"},{"$ref":"#/components/schemas/Secret"},{"required":["id"]}]},
		"Things":{"type":"array","items":{"$ref":"#/components/schemas/Thing"}}}}}`
	tests := []struct {
		dir  schema.Direction
		body string
		want []string
	}{
		{schema.Request, `[{"name":"n","key":"k"}]`, nil},
		{schema.Request, `[{"name":"n","key":"k","id":"1"}]`, []string{"body /0/id readOnly: is read-only and must not be sent in a request"}},
		{schema.Request, `[{"name":"n"}]`, []string{"body /0/key required: is required"}},
		{schema.Response, `[{"name":"n","id":"1"}]`, nil},
		{schema.Response, `[{"name":"n","id":"1","key":"k"}]`, []string{"body /0/key writeOnly: is write-only and must not appear in a response"}},
		{schema.Response, `[{"name":"n"}]`, []string{"body /0/id required: is required"}},
		{schema.Either, `[{"name":"n","id":"1","key":"k"}]`, nil},
		{schema.Either, `[{"name":"n"}]`, []string{"body /0/id required: is required", "body /0/key required: is required"}},
	}
	for _, d := range []schema.Dialect{schema.OpenAPI30, schema.Draft202012} {
		for _, test := range tests {
			s, _ := compile(t, doc, d, "/components/schemas/Things", test.dir)
			if diff := cmp.Diff(test.want, lines(s.Validate([]byte(test.body)))); diff != "" {
				t.Errorf("dialect %d, direction %d, %s:\n%s", d, test.dir, test.body, diff)
			}
		}
	}
	// A document with $id is compiled as a whole and obeys the direction as well.
	s, _ := compile(t, `{"$id":"https://example.com/t","required":["id"],"properties":{"id":{"readOnly":true}}}`, schema.Draft202012, "", schema.Request)
	if got := lines(s.Validate([]byte(`{"id":1}`))); len(got) != 1 || len(s.Validate([]byte(`{}`))) != 0 {
		t.Errorf("whole document: %q", got)
	}
}

func TestOpenAPI30IsRewritten(t *testing.T) {
	t.Parallel()
	const doc = `{"components":{"schemas":{
		"Nullable":{"type":"string","nullable":true},
		"NullableEnum":{"type":"string","nullable":true,"enum":["a"]},
		"NullableRef":{"nullable":true,"allOf":[{"$ref":"#/components/schemas/Text"}]},
		"NotNullable":{"type":"string","nullable":false},
		"Exclusive":{"type":"number","minimum":1,"exclusiveMinimum":true,"maximum":5,"exclusiveMaximum":false},
		"Text":{"type":"string"},
		"Sibling":{"$ref":"#/components/schemas/Text","maxLength":1,"description":"ignored"},
		"Newer":{"const":1,"if":{},"then":false,"propertyNames":false},
		"Example":{"type":"string","example":{"$ref":"#/nowhere"},"x-internal":{"type":3}},
		"Disc":{"oneOf":[{"$ref":"#/components/schemas/Cat"},{"$ref":"#/components/schemas/Dog"}],"discriminator":{"propertyName":"kind"}},
		"Cat":{"type":"object","required":["kind"],"properties":{"kind":{"type":"string","enum":["cat"]}}},
		"Dog":{"type":"object","required":["kind"],"properties":{"kind":{"type":"string","enum":["dog"]},"age":{"type":"integer"}}}}}}`
	tests := []struct {
		name, body string
		valid      bool
	}{
		{"Nullable", `null`, true}, {"Nullable", `1`, false}, {"NullableEnum", `null`, false}, {"NullableEnum", `"a"`, true},
		{"NullableRef", `null`, true}, {"NullableRef", `"x"`, true}, {"NullableRef", `1`, false}, {"NotNullable", `null`, false},
		{"Exclusive", `1`, false}, {"Exclusive", `1.01`, true}, {"Exclusive", `5`, true}, {"Exclusive", `5.01`, false},
		{"Sibling", `"longer"`, true}, {"Sibling", `1`, false}, {"Newer", `{"a":1}`, true}, {"Example", `"x"`, true},
		{"Disc", `{"kind":"dog","age":3}`, true}, {"Disc", `{"kind":"dog","age":"x"}`, false}, {"Disc", `{"kind":"cow"}`, false},
	}
	for _, test := range tests {
		s, findings := compile(t, doc, schema.OpenAPI30, "/components/schemas/"+test.name, schema.Request)
		if got := s.Validate([]byte(test.body)); (len(got) == 0) != test.valid {
			t.Errorf("%s %s: %v", test.name, test.body, got)
		}
		if len(findings) > 0 {
			t.Errorf("%s: %v", test.name, findings)
		}
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ good, bad []string }{
		"date-time": {[]string{`"2026-01-31T09:30:00Z"`, `"2024-02-29t23:59:59.5+05:30"`, `"1998-12-31T23:59:60Z"`, `"1998-12-31T15:59:60.1-08:00"`, `7`},
			[]string{`"2024-02-30T00:00:00Z"`, `"2023-02-29T00:00:00Z"`, `"2026-01-31 09:30:00Z"`, `"2026-01-31T09:30:00"`, `"2026-01-31T24:00:00Z"`, `"2026-01-31T+1:00:00Z"`, `"2026-01-31T12:00:60Z"`, `""`}},
		"date":          {[]string{`"2024-02-29"`}, []string{`"2023-02-29"`, `"2026-1-31"`, `"20260131"`, `"2026-01-31Z"`}},
		"time":          {[]string{`"09:30:00Z"`, `"09:30:00.25-07:00"`}, []string{`"09:30Z"`, `"09:30:00"`, `"09:30:00."`, `"09:30:00+24:00"`}},
		"duration":      {[]string{`"P1DT12H"`, `"P2W"`, `"PT36H"`, `"P1Y2M3D"`}, []string{`"P"`, `"PT"`, `"1D"`, `"P1D2H"`, `"P1YT"`, `"P1Y1D"`, `"P1D1D"`, `"P1W1D"`, `"PT1S2M"`}},
		"email":         {[]string{`"a.b+c@example.com"`, `"\"a b\"@example.com"`, `"a@[127.0.0.1]"`}, []string{`"a"`, `"@b.c"`, `"a..b@c.d"`, `"a b@c.d"`, `"a@-b.c"`}},
		"uuid":          {[]string{`"01890A5D-AC96-774B-BCCE-B302099A8057"`}, []string{`"01890a5dac96774bbcceb302099a8057"`, `"01890a5d-ac96-774b-bcce-b302099a805g"`}},
		"uri":           {[]string{`"https://a.example/b?c=%20d#e"`, `"urn:epc:id:sgtin:1"`, `"http://[::1]/"`}, []string{`"/b"`, `"http://a b"`, `"http://a/%zz"`, `"a[b"`, `"http://[zz]/"`, `"http://a/b[c]"`}},
		"uri-reference": {[]string{`"/b?c"`, `""`}, []string{`"\\\\a"`, `"#a#b"`}},
		"ipv4":          {[]string{`"192.0.2.1"`}, []string{`"192.0.2.01"`, `"256.0.0.1"`, `"1.2.3"`, `"::1"`, `"+1.2.3.4"`}},
		"ipv6":          {[]string{`"2001:db8::1"`, `"::ffff:192.0.2.1"`}, []string{`"fe80::1%eth0"`, `"192.0.2.1"`, `"1:2"`}},
		"hostname":      {[]string{`"a-1.example"`}, []string{`"-a.example"`, `"a_b"`, `""`, `"` + strings.Repeat("a", 64) + `"`}},
		"byte":          {[]string{`"aGVsbG8="`, `""`}, []string{`"aGVsbG8"`, `"aGVs\nbG8="`, `"a-_="`}},
		"int32":         {[]string{`2147483647`, `-2147483648`, `1e3`, `7.0`, `"x"`}, []string{`2147483648`, `-2147483649`, `1.5`, `1e300`}},
		"int64":         {[]string{`9223372036854775807`}, []string{`9223372036854775808`, `1e-300`}},
		"decimal":       {[]string{`"12.50"`, `"-0"`, `"0001"`}, []string{`"1."`, `".5"`, `"1e3"`, `"+1"`, `""`, `"1,5"`, `"-"`}},
		"no-such":       {[]string{`"anything"`}, nil},
	}
	for name, test := range tests {
		s, _ := compile(t, `{"format":"`+name+`"}`, schema.OpenAPI30, "", schema.Either)
		for _, b := range test.good {
			if got := s.Validate([]byte(b)); len(got) > 0 {
				t.Errorf("%s refuses %s: %v", name, b, got)
			}
		}
		for _, b := range test.bad {
			if got := s.Validate([]byte(b)); len(got) != 1 || got[0].Keyword != "format" {
				t.Errorf("%s on %s: %v", name, b, got)
			}
		}
	}
}

// TestWhatCannotBeCheckedIsLeftOutAlone: a finding names it, and the rest of the schema still holds.
func TestWhatCannotBeCheckedIsLeftOutAlone(t *testing.T) {
	t.Parallel()
	tests := []struct{ schema, keyword, invalid, valid string }{
		{`{"type":"string","maxLength":3,"pattern":"^(?!x)a"}`, "pattern", `"long"`, `"xa"`},
		{`{"type":"int","minimum":2}`, "type", `1`, `"x"`},
		{`{"type":["string","wat"],"maxLength":1}`, "type", `"xx"`, `1`},
		{`{"required":true,"maxProperties":1}`, "required", `{"a":1,"b":2}`, `{"a":1}`},
		{`{"minLength":"3","maxLength":4}`, "minLength", `"abcde"`, `"a"`},
		{`{"minLength":-1,"maxLength":4}`, "minLength", `"abcde"`, `""`},
		{`{"allOf":[],"maxLength":4}`, "allOf", `"abcde"`, `"a"`},
		{`{"items":[{"type":"string"}],"maxItems":1}`, "items", `[1,2]`, `[1]`},
		{`{"properties":{"a":"x","b":{"type":"string"}}}`, "schema", `{"b":1}`, `{"a":1}`},
		{`{"patternProperties":{"(?=a)":{"type":"string"}},"additionalProperties":false,"minProperties":1}`, "patternProperties", `{}`, `{"b":1}`},
	}
	for _, test := range tests {
		s, findings := compile(t, test.schema, schema.Draft202012, "", schema.Request)
		if len(findings) != 1 || findings[0].Keyword != test.keyword {
			t.Errorf("%s: findings %v", test.schema, findings)
		}
		if len(s.Validate([]byte(test.invalid))) == 0 || len(s.Validate([]byte(test.valid))) > 0 {
			t.Errorf("%s: %v, %v", test.schema, s.Validate([]byte(test.invalid)), s.Validate([]byte(test.valid)))
		}
	}
	s, findings := compile(t, `{"pattern":"^\\u00e9\\\\u$"}`, schema.Draft202012, "", schema.Either)
	if len(findings) > 0 || len(s.Validate([]byte(`"é\\u"`))) > 0 || len(s.Validate([]byte(`"e\\u"`))) == 0 {
		t.Errorf("unicode escape in a pattern: %v", findings)
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	for ref, want := range map[string]string{
		"https://example.com/x.json#/a": `"https://example.com/x.json#/a"`,
		"other.yaml":                    `"other.yaml"`,
		"#/nowhere":                     `"#/nowhere"`,
	} {
		for _, d := range []schema.Dialect{schema.OpenAPI30, schema.Draft202012} {
			c, err := schema.NewCompiler([]byte(`{"a":{"properties":{"x":{"$ref":"`+ref+`"}}},"b":{"type":"string"}}`), d)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := c.Compile("/a", schema.Request); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", ref, err)
			}
			if _, _, err := c.Compile("/b", schema.Request); err != nil {
				t.Errorf("%s spoils another schema: %v", ref, err)
			}
		}
	}
	c, err := schema.NewCompiler([]byte(`{"$ref":"https://example.com/x#/a"}`), schema.Draft202012,
		schema.Resources(map[string][]byte{"https://example.com/x": []byte(`{"a":{"type":"string"}}`)}))
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := c.Compile("", schema.Either)
	if err != nil || len(s.Validate([]byte(`1`))) != 1 {
		t.Errorf("a resource is not used: %v", err)
	}
	if _, _, err := c.Compile("/nowhere", schema.Either); err == nil {
		t.Error("a pointer to nowhere compiles")
	}
	if _, err := schema.NewCompiler([]byte(`{"a":1,"a":2}`), schema.Draft202012); err == nil {
		t.Error("a document with a repeated member compiles")
	}
}

// TestRecursion: through properties it works; without a property in between the loop is cut and reported.
func TestRecursion(t *testing.T) {
	t.Parallel()
	const doc = `{"Tree":{"type":"object","required":["n"],"properties":{"n":{"type":"integer"},"kids":{"type":"array","items":{"$ref":"#/Tree"}}}},
		"Loop":{"allOf":[{"$ref":"#/Loop"},{"type":"string"}]},
		"Self":{"$ref":"#/Self"},
		"Pet":{"type":"object","required":["kind"],"oneOf":[{"$ref":"#/Cat"},{"$ref":"#/Dog"}]},
		"Cat":{"allOf":[{"$ref":"#/Pet"},{"properties":{"kind":{"enum":["cat"]}}}]},
		"Dog":{"allOf":[{"$ref":"#/Pet"},{"properties":{"kind":{"enum":["dog"]}}}]}}`
	s, findings := compile(t, doc, schema.OpenAPI30, "/Tree", schema.Request)
	if got := lines(s.Validate([]byte(`{"n":1,"kids":[{"n":2,"kids":[{}]}]}`))); len(findings) > 0 || !cmp.Equal(got, []string{"body /kids/0/kids/0/n required: is required"}) {
		t.Errorf("%v %v", findings, got)
	}
	for _, name := range []string{"Loop", "Self", "Pet"} {
		s, findings := compile(t, doc, schema.OpenAPI30, "/"+name, schema.Request)
		if len(findings) == 0 {
			t.Errorf("%s: the loop is not reported", name)
		}
		s.Validate([]byte(`{"kind":"cat"}`))
	}
	s, _ = compile(t, doc, schema.OpenAPI30, "/Pet", schema.Request)
	if len(s.Validate([]byte(`{"kind":"cat"}`))) > 0 || len(s.Validate([]byte(`{"kind":"cow"}`))) == 0 || len(s.Validate([]byte(`{}`))) == 0 {
		t.Error("a polymorphic schema whose branches refer back is not checked")
	}
}

// TestHostileNumbers: the engine computes exactly and fails on absurd exponents, so it must never see one.
func TestHostileNumbers(t *testing.T) {
	t.Parallel()
	s, _ := compile(t, `{"minimum":1,"maximum":5,"multipleOf":0.1,"format":"int64","enum":[1,2]}`, schema.Draft202012, "", schema.Request)
	for _, n := range []string{"1e5000000", "-1e5000000", "1e-5000000", strings.Repeat("9", 1_000_000), "1e309", "NaN", "0x10", "1/2", "", "+1", "01"} {
		if got := s.Validate([]byte(n)); len(got) != 1 || got[0].Keyword != "json" {
			t.Errorf("Validate %.20s: %v", n, got)
		}
		for _, v := range []any{json.Number(n), []any{json.Number(n)}, map[string]any{"a": json.Number(n)}} {
			if got := s.ValidateValue(v, "query"); len(got) != 1 || got[0].Keyword != "json" || got[0].In != "query" {
				t.Errorf("ValidateValue %.20s: %v", n, got)
			}
		}
	}
	for _, n := range []string{"1e308", "-1e-308", strings.Repeat("9", 128)} {
		if got := s.Validate([]byte(n)); len(got) == 0 {
			t.Errorf("%s passes", n)
		}
	}
	if got := s.ValidateValue(struct{}{}, "query"); len(got) != 1 {
		t.Errorf("a value that is not JSON: %v", got)
	}
}

func TestValidateValue(t *testing.T) {
	t.Parallel()
	s, _ := compile(t, `{"type":"array","items":{"type":"integer","maximum":3}}`, schema.OpenAPI30, "", schema.Request)
	got := lines(s.ValidateValue([]any{json.Number("1"), json.Number("4"), "x"}, "query"))
	want := []string{"query /1 maximum: must be at most 3", "query /2 type: must be a whole number"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	c, err := schema.NewCompiler([]byte(`{"a":{"$ref":"#/b"},"b":{"type":"object","properties":{"c":{"$ref":"#/a"}}}}`), schema.OpenAPI30)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan []problem.Violation)
	for i := range 8 {
		go func() {
			s, _, err := c.Compile([]string{"/a", "/b"}[i%2], schema.Direction(i%3))
			if err != nil {
				done <- []problem.Violation{{Message: err.Error()}}
				return
			}
			done <- s.Validate([]byte(`{"c":{"c":1}}`))
		}()
	}
	for range 8 {
		if got := <-done; len(got) != 1 || !slices.ContainsFunc(got, func(v problem.Violation) bool { return v.Pointer == "/c/c" }) {
			t.Errorf("%v", got)
		}
	}
}
