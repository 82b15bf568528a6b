package portal

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	"portway/internal/openapi"
	"portway/web/page"
)

// schemas reads the schemas of a contract for people: kinds, limits and meaning of each field.
type schemas struct{ root any }

// maxFields and maxNesting bound what one body shows; recursive schemas end there.
const maxFields, maxNesting = 200, 6

func newSchemas(doc *openapi.Document) *schemas {
	s := &schemas{}
	if json.Unmarshal(doc.Bundle, &s.root) != nil {
		s.root = nil
	}
	return s
}

// at follows a JSON Pointer (RFC 6901).
func (s *schemas) at(pointer string) map[string]any {
	v := s.root
	for _, token := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		switch t := v.(type) {
		case map[string]any:
			v = t[token]
		case []any:
			var i int
			if _, err := fmt.Sscan(token, &i); err != nil || i < 0 || i >= len(t) {
				return nil
			}
			v = t[i]
		default:
			return nil
		}
	}
	m, _ := v.(map[string]any)
	return s.resolve(m)
}

// resolve follows local references, keeping what stands beside them (a description of this use).
func (s *schemas) resolve(m map[string]any) map[string]any {
	for range 10 {
		ref, ok := m["$ref"].(string)
		if !ok {
			return m
		}
		target, local := strings.CutPrefix(ref, "#")
		if !local {
			return m
		}
		found := s.at(target)
		merged := make(map[string]any, len(found)+len(m))
		for k, v := range found {
			merged[k] = v
		}
		for k, v := range m {
			if k != "$ref" {
				merged[k] = v
			}
		}
		m = merged
	}
	return m
}

// kind says what a value is: its type or format, and what narrows it.
func (s *schemas) kind(pointer string) (kind, detail string) {
	if pointer == "" {
		return "string", ""
	}
	return s.kindOf(s.at(pointer))
}

func (s *schemas) kindOf(m map[string]any) (kind, detail string) {
	kind, _ = m["type"].(string)
	if list, ok := m["type"].([]any); ok {
		var names []string
		for _, t := range list {
			names = append(names, fmt.Sprint(t))
		}
		kind = strings.Join(names, " or ")
	}
	if format, ok := m["format"].(string); ok {
		kind = format
	}
	if items, ok := m["items"].(map[string]any); ok && kind == "array" {
		of, _ := s.kindOf(s.resolve(items))
		return "array", strings.TrimSpace("of " + of + " " + between(m, "minItems", "maxItems", "entries"))
	}
	if list, ok := m["enum"].([]any); ok {
		var words []string
		for _, v := range list {
			words = append(words, fmt.Sprint(v))
		}
		return kind, strings.Join(words, ", ")
	}
	if v, ok := m["const"]; ok {
		return kind, "always " + fmt.Sprint(v)
	}
	if kind == "" && (m["oneOf"] != nil || m["anyOf"] != nil) {
		return "one of several", ""
	}
	if kind == "" && (m["properties"] != nil || m["allOf"] != nil) {
		kind = "object"
	}
	return kind, between(m, "minLength", "maxLength", "characters") + between(m, "minimum", "maximum", "")
}

// between words two limits: "3 to 10 characters", "up to 40 characters", "1 or more".
func between(m map[string]any, low, high, unit string) string {
	from, hasFrom := m[low].(float64)
	to, hasTo := m[high].(float64)
	text := ""
	switch {
	case hasFrom && hasTo && from == to:
		text = fmt.Sprint(to)
	case hasFrom && hasTo:
		text = fmt.Sprint(from, " to ", to)
	case hasTo:
		text = fmt.Sprint("up to ", to)
	case hasFrom:
		text = fmt.Sprint(from, " or more")
	default:
		return ""
	}
	return strings.TrimSpace(text + " " + unit)
}

// fields lists the members of a body, children after their parent.
func (s *schemas) fields(pointer string) []page.Field {
	if pointer == "" {
		return nil
	}
	var out []page.Field
	s.walk(s.at(pointer), 0, &out)
	return out
}

func (s *schemas) walk(m map[string]any, depth int, out *[]page.Field) {
	if depth > maxNesting {
		return
	}
	if items, ok := m["items"].(map[string]any); ok {
		s.walk(s.resolve(items), depth, out)
		return
	}
	properties, required := s.members(m)
	names := make([]string, 0, len(properties))
	for name := range properties {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool { // what must be sent comes first
		if required[names[i]] != required[names[j]] {
			return required[names[i]]
		}
		return names[i] < names[j]
	})
	for _, name := range names {
		if len(*out) >= maxFields {
			return
		}
		child, _ := properties[name].(map[string]any)
		child = s.resolve(child)
		kind, detail := s.kindOf(child)
		meaning, _ := child["description"].(string)
		*out = append(*out, page.Field{Name: name, Depth: depth, Kind: kind, Detail: detail, Meaning: plain(meaning), Required: required[name]})
		s.walk(child, depth+1, out)
	}
}

// members gathers properties and required over allOf.
func (s *schemas) members(m map[string]any) (map[string]any, map[string]bool) {
	properties, required := map[string]any{}, map[string]bool{}
	parts := []map[string]any{m}
	if all, ok := m["allOf"].([]any); ok {
		for _, a := range all {
			if part, ok := a.(map[string]any); ok {
				parts = append(parts, s.resolve(part))
			}
		}
	}
	for _, part := range parts {
		if props, ok := part["properties"].(map[string]any); ok {
			for k, v := range props {
				properties[k] = v
			}
		}
		if list, ok := part["required"].([]any); ok {
			for _, r := range list {
				if name, ok := r.(string); ok {
					required[name] = true
				}
			}
		}
	}
	return properties, required
}
