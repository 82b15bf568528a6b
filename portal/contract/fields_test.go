package contract

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portway/web/page"
)

func schemasOf(text string) *schemas {
	s := &schemas{markdown: newMarkdown()}
	s.parse([]byte(text))
	return s
}

func TestFields(t *testing.T) {
	t.Parallel()
	s := schemasOf(`{"schemas": {
		"Order": {"required": ["lines", "number"], "properties": {
			"number": {"type": "string", "minLength": 1, "maxLength": 35, "description": "As on the *paper*."},
			"lines": {"type": "array", "minItems": 1, "maxItems": 999, "items": {"$ref": "#/schemas/Line"}},
			"mode": {"enum": ["AIR", "SEA"], "type": "string"},
			"shipTo": {"$ref": "#/schemas/Address", "description": "Where it goes."}}},
		"Line": {"description": "One line.", "allOf": [{"$ref": "#/schemas/Base"}, {"required": ["sku"], "properties": {"sku": {"type": ["string", "null"]}}}]},
		"Base": {"properties": {"quantity": {"type": "integer", "minimum": 1000000, "description": "How many."}, "weight": {"type": "number", "exclusiveMinimum": 0}}},
		"Address": {"type": "object", "description": "A place.", "properties": {"country": {"const": "NO"}}},
		"Choice": {"oneOf": [{"required": ["a"], "properties": {"a": {"type": "string", "format": "date-time"}}}, {"properties": {"b": {"title": "Bee"}}}]}}}`)
	want := []page.Field{
		{Name: "lines", Kind: "array", Detail: "of object 1 to 999 entries", Meaning: "One line.", Required: true},
		{Name: "sku", Depth: 1, Kind: "string or null", Required: true},
		{Name: "quantity", Depth: 1, Kind: "integer", Detail: "1000000 or more", Meaning: "How many."},
		{Name: "weight", Depth: 1, Kind: "number", Detail: "above 0"},
		{Name: "number", Kind: "string", Detail: "1 to 35 characters", Meaning: "As on the paper.", Required: true},
		{Name: "mode", Kind: "string", Detail: "AIR, SEA"},
		{Name: "shipTo", Kind: "object", Meaning: "Where it goes."},
		{Name: "country", Depth: 1, Kind: "string", Detail: "always NO"},
	}
	if diff := cmp.Diff(want, s.fields("/schemas/Order")); diff != "" {
		t.Error(diff)
	}
	choice := []page.Field{{Name: "a", Kind: "date-time"}, {Name: "b", Kind: "any", Meaning: "Bee"}}
	if diff := cmp.Diff(choice, s.fields("/schemas/Choice")); diff != "" {
		t.Error(diff)
	}
	if got := s.fields("/schemas/None"); len(got) != 0 {
		t.Errorf("an absent schema has fields %v", got)
	}
}

// Schemas that refer to themselves end, in every direction.
func TestFieldsEnd(t *testing.T) {
	t.Parallel()
	wide := make([]string, 300)
	for i := range wide {
		wide[i] = fmt.Sprintf(`"f%03d": {"$ref": "#/s"}`, i)
	}
	for name, text := range map[string]string{
		"a reference to itself":    `{"s": {"$ref": "#/s"}}`,
		"a ring of references":     `{"s": {"$ref": "#/t"}, "t": {"$ref": "#/s"}}`,
		"an array of itself":       `{"s": {"type": "array", "items": {"$ref": "#/s"}}}`,
		"a property of itself":     `{"s": {"properties": {"a": {"$ref": "#/s"}, "b": {"$ref": "#/s"}}}}`,
		"a part of itself":         `{"s": {"allOf": [{"$ref": "#/s"}, {"$ref": "#/s"}], "oneOf": [{"$ref": "#/s"}, {"$ref": "#/s"}]}}`,
		"more than a page":         `{"s": {"properties": {` + strings.Join(wide, ", ") + `}}}`,
		"a reference to elsewhere": `{"s": {"properties": {"a": {"$ref": "other.json#/x"}}}}`,
		"not a schema":             `{"s": [1, {"$ref": 3}]}`,
		"not JSON":                 `{"s": `,
	} {
		if got := schemasOf(text).fields("/s"); len(got) > maxFields {
			t.Errorf("%s: %d fields", name, len(got))
		}
	}
}

func TestExampleText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ mediaType, in, want string }{
		{"application/json", `{"a":1.50,"b":[]}`, "{\n  \"a\": 1.50,\n  \"b\": []\n}"},
		{"application/edi-x12", `"ISA*00~\nGS~"`, "ISA*00~\nGS~"},
		{"application/x-www-form-urlencoded", `{"scope":"a b","grant_type":"x"}`, "grant_type=x&scope=a+b"},
		{"application/json", `nonsense`, "nonsense"},
	} {
		if got := exampleText(c.mediaType, []byte(c.in)); got != c.want {
			t.Errorf("%s: %q", c.in, got)
		}
	}
	if got := quoted(`it's $HOME`); got != `'it'\''s $HOME'` {
		t.Errorf("quoted: %s", got)
	}
}
