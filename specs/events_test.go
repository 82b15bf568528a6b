package specs_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"path"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"portway/specs"
)

// portwayRules is what "x-portway" of an event schema may say.
type portwayRules struct {
	Entity      string   `json:"entity"`
	EntityKey   string   `json:"entityKey"`
	Time        string   `json:"time"`
	Lane        string   `json:"lane"`
	BusinessKey []string `json:"businessKey"`
	Fingerprint []string `json:"fingerprint"`
	Refs        []struct {
		Scheme  string `json:"scheme"`
		Pointer string `json:"pointer"`
		Scope   string `json:"scope"`
	} `json:"refs"`
}

type eventSchema struct {
	file string
	doc  map[string]any
	raw  []byte
}

func eventSchemas(t *testing.T) []eventSchema {
	t.Helper()
	files, err := fs.Glob(specs.Files, "events/*.schema.json")
	if err != nil || len(files) < 8 {
		t.Fatalf("found %d event schemas, want at least 8: %v", len(files), err)
	}
	var out []eventSchema
	for _, f := range files {
		raw, err := specs.Files.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		out = append(out, eventSchema{file: f, doc: doc.(map[string]any), raw: raw})
	}
	return out
}

func (e *eventSchema) lookup(v any) map[string]any {
	m, _ := v.(map[string]any)
	for m["$ref"] != nil {
		defs, _ := e.doc["$defs"].(map[string]any)
		m, _ = defs[strings.TrimPrefix(m["$ref"].(string), "#/$defs/")].(map[string]any)
	}
	return m
}

// has reports whether a value at pointer can exist; "*" stands for every item.
func (e *eventSchema) has(pointer string) bool {
	s := e.doc
	for _, part := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		if part == "*" {
			s = e.lookup(s["items"])
		} else {
			properties, _ := s["properties"].(map[string]any)
			s = e.lookup(properties[part])
		}
		if s == nil {
			return false
		}
	}
	return true
}

func TestEventSchemasCompileAndMeetTheirExamples(t *testing.T) {
	t.Parallel()
	for _, e := range eventSchemas(t) {
		compiler := jsonschema.NewCompiler()
		compiler.AssertFormat()
		if err := compiler.AddResource("urn:event", e.doc); err != nil {
			t.Fatalf("%s: %v", e.file, err)
		}
		schema, err := compiler.Compile("urn:event")
		if err != nil {
			t.Errorf("%s: %v", e.file, err)
			continue
		}
		examples, _ := e.doc["examples"].([]any)
		if len(examples) == 0 {
			t.Errorf("%s: no example", e.file)
		}
		for _, x := range examples {
			if err := schema.Validate(x); err != nil {
				t.Errorf("%s: %v", e.file, err)
			}
			x.(map[string]any)["unheardOf"] = true
			if schema.Validate(x) == nil {
				t.Errorf("%s: an unknown member is allowed", e.file)
			}
		}
		typ := strings.TrimSuffix(path.Base(e.file), ".schema.json")
		if e.doc["$id"] != "urn:portway:event:"+typ || e.doc["title"] == nil || e.doc["description"] == nil {
			t.Errorf("%s: $id, title or description is missing or wrong", e.file)
		}
	}
}

func TestEventSchemasTellPortwayWhatItNeeds(t *testing.T) {
	t.Parallel()
	for _, e := range eventSchemas(t) {
		raw, err := json.Marshal(e.doc["x-portway"])
		if err != nil {
			t.Fatal(err)
		}
		var rules portwayRules
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&rules); err != nil {
			t.Errorf("%s: x-portway: %v", e.file, err)
			continue
		}
		if rules.Entity == "" || len(rules.BusinessKey) == 0 || len(rules.Refs) == 0 {
			t.Errorf("%s: x-portway needs entity, businessKey and refs", e.file)
		}
		if rules.Lane != "critical" && rules.Lane != "normal" && rules.Lane != "bulk" {
			t.Errorf("%s: x-portway.lane is %q", e.file, rules.Lane)
		}
		pointers := append([]string{rules.EntityKey}, rules.BusinessKey...)
		pointers = append(pointers, rules.Fingerprint...)
		if rules.Time != "" {
			pointers = append(pointers, rules.Time)
		}
		for _, r := range rules.Refs {
			pointers = append(pointers, r.Pointer)
			if r.Scope != "" {
				pointers = append(pointers, r.Scope)
			}
		}
		for _, p := range pointers {
			if !e.has(p) {
				t.Errorf("%s: x-portway names %q, which the schema does not have", e.file, p)
			}
		}
		for _, p := range rules.BusinessKey[:1] {
			if !required(e.doc, strings.TrimPrefix(p, "/")) {
				t.Errorf("%s: the first part of the business key, %q, is not required", e.file, p)
			}
		}
		for _, added := range []string{"/refs", "/recordedAt", "/timezoneSource", "/source", "/classifier", "/correction"} {
			if !e.has(added) {
				t.Errorf("%s: %q, which intake adds, is not allowed", e.file, added)
			}
		}
	}
}

func required(s map[string]any, name string) bool {
	list, _ := s["required"].([]any)
	for _, r := range list {
		if r == name {
			return true
		}
	}
	return false
}

func TestEventPropertiesAreDescribedBoundedAndClassified(t *testing.T) {
	t.Parallel()
	classes := map[any]bool{"none": true, "contact": true, "address": true, "free-text": true}
	for _, e := range eventSchemas(t) {
		personal := 0
		walk(e.doc, "", func(pointer string, m map[string]any) {
			if strings.HasPrefix(pointer, "/examples") || strings.HasPrefix(pointer, "/x-portway") {
				return
			}
			if class, ok := m["x-pii"]; ok {
				if !classes[class] {
					t.Errorf("%s#%s: x-pii is %v", e.file, pointer, class)
				}
				if class != "none" {
					personal++
				}
			}
			parts := strings.Split(pointer, "/")
			if len(parts) < 2 || parts[len(parts)-2] != "properties" {
				return
			}
			target := e.lookup(m)
			if m["description"] == nil && target["description"] == nil {
				t.Errorf("%s#%s: no description", e.file, pointer)
			}
			if m["$ref"] == nil {
				checkBounds(t, e.file+"#"+pointer, m)
			}
		})
		if properties, _ := e.doc["properties"].(map[string]any); properties["shipTo"] != nil && personal < 5 {
			t.Errorf("%s: has an address and classifies %d properties as personal", e.file, personal)
		}
	}
}
