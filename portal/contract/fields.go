package contract

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"sort"
	"strconv"
	"strings"

	"portway/web/page"
)

// schemas reads the schemas of a contract for people: kinds, limits and meaning of each field. It reads what a
// document says; what is enforced is compiled elsewhere.
type schemas struct {
	markdown *markdown
	root     any
}

// What one body shows at most: recursive schemas end there.
const (
	maxFields  = 200
	maxNesting = 6
	maxWords   = 12 // of an enumeration
	maxSteps   = 24 // references and combinations followed from a field
	maxParts   = 200
)

func (s *schemas) parse(bundle []byte) {
	d := json.NewDecoder(bytes.NewReader(bundle))
	d.UseNumber() // limits are shown as they are written
	if d.Decode(&s.root) != nil {
		s.root = nil
	}
}

// at returns the schema a JSON Pointer leads to (RFC 6901), references followed; nil if there is none.
func (s *schemas) at(pointer string) map[string]any { return s.resolve(s.lookup(pointer)) }

func (s *schemas) lookup(pointer string) map[string]any {
	v := s.root
	if pointer == "" {
		m, _ := v.(map[string]any)
		return m
	}
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		switch t := v.(type) {
		case map[string]any:
			v = t[token]
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(t) {
				return nil
			}
			v = t[i]
		default:
			return nil
		}
	}
	m, _ := v.(map[string]any)
	return m
}

// resolve follows local references, keeping what stands beside them (a description of this use).
func (s *schemas) resolve(m map[string]any) map[string]any {
	for range maxSteps {
		ref, ok := m["$ref"].(string)
		if !ok {
			return m
		}
		fragment, local := strings.CutPrefix(ref, "#")
		target, err := url.PathUnescape(fragment)
		if !local || err != nil {
			return m
		}
		found := s.lookup(target)
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
	return s.kindOf(s.at(pointer), maxNesting)
}

func (s *schemas) kindOf(m map[string]any, steps int) (kind, detail string) {
	switch t := m["type"].(type) {
	case string:
		kind = t
	case []any:
		kind = words(t, " or ")
	}
	if items, ok := m["items"].(map[string]any); ok && kind == "array" && steps > 0 {
		of, _ := s.kindOf(s.resolve(items), steps-1)
		return "array", strings.TrimSpace("of " + of + " " + between(m, "minItems", "maxItems", "entries"))
	}
	if format, ok := m["format"].(string); ok {
		kind = format
	}
	if list, ok := m["enum"].([]any); ok && len(list) > 0 {
		return cmp.Or(kind, typeOf(list[0])), words(list, ", ")
	}
	if v, ok := m["const"]; ok {
		return cmp.Or(kind, typeOf(v)), "always " + fmt.Sprint(v)
	}
	switch {
	case kind != "":
	case m["oneOf"] != nil || m["anyOf"] != nil:
		return "one of several", ""
	case m["properties"] != nil || m["allOf"] != nil:
		kind = "object"
	default:
		kind = "any"
	}
	if length := between(m, "minLength", "maxLength", "characters"); length != "" {
		return kind, length
	}
	if above, ok := m["exclusiveMinimum"].(json.Number); ok {
		return kind, "above " + above.String()
	}
	return kind, between(m, "minimum", "maximum", "")
}

// typeOf is the JSON type of a value.
func typeOf(v any) string {
	switch v.(type) {
	case string:
		return "string"
	case json.Number:
		return "number"
	case bool:
		return "boolean"
	case nil:
		return "null"
	case []any:
		return "array"
	}
	return "object"
}

func words(list []any, sep string) string {
	var out []string
	for _, v := range list {
		if len(out) == maxWords {
			out = append(out, fmt.Sprintf("%d more", len(list)-maxWords))
			break
		}
		out = append(out, fmt.Sprint(v))
	}
	return strings.Join(out, sep)
}

// between words two limits: "3 to 10 characters", "up to 40 characters", "1 or more".
func between(m map[string]any, low, high, unit string) string {
	from, hasFrom := m[low].(json.Number)
	to, hasTo := m[high].(json.Number)
	text := ""
	switch {
	case hasFrom && hasTo && from == to:
		text = to.String()
	case hasFrom && hasTo && from != "0":
		text = from.String() + " to " + to.String()
	case hasTo:
		text = "up to " + to.String()
	case hasFrom:
		text = from.String() + " or more"
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
	s.walk(s.at(pointer), 0, maxSteps, &out)
	return out
}

func (s *schemas) walk(m map[string]any, depth, steps int, out *[]page.Field) {
	if depth > maxNesting || steps == 0 {
		return
	}
	if items, ok := m["items"].(map[string]any); ok {
		s.walk(s.resolve(items), depth, steps-1, out)
		return
	}
	members := members{properties: map[string]any{}, required: map[string]bool{}, left: maxParts}
	s.gather(m, true, steps, &members)
	names := make([]string, 0, len(members.properties))
	for name := range members.properties {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool { // what must be sent comes first
		if members.required[names[i]] != members.required[names[j]] {
			return members.required[names[i]]
		}
		return names[i] < names[j]
	})
	for _, name := range names {
		if len(*out) >= maxFields {
			return
		}
		child, _ := members.properties[name].(map[string]any)
		child = s.resolve(child)
		kind, detail := s.kindOf(child, maxNesting)
		*out = append(*out, page.Field{Name: name, Depth: depth, Kind: kind, Detail: detail, Meaning: s.meaning(child), Required: members.required[name]})
		s.walk(child, depth+1, steps-1, out)
	}
}

// meaning is the description of a field, else its title, else what its entries are.
func (s *schemas) meaning(m map[string]any) string {
	for _, key := range []string{"description", "title"} {
		if text, ok := m[key].(string); ok && text != "" {
			return s.markdown.text(text)
		}
	}
	if items, ok := m["items"].(map[string]any); ok {
		if text, ok := s.resolve(items)["description"].(string); ok {
			return s.markdown.text(text)
		}
	}
	return ""
}

// members are the properties of an object, over all its parts.
type members struct {
	properties map[string]any
	required   map[string]bool
	left       int // parts that may still be read
}

// gather collects over allOf, and over oneOf and anyOf, whose members need not be there.
func (s *schemas) gather(m map[string]any, must bool, steps int, out *members) {
	if steps == 0 || out.left == 0 {
		return
	}
	out.left--
	if props, ok := m["properties"].(map[string]any); ok {
		for k, v := range props {
			if _, have := out.properties[k]; !have {
				out.properties[k] = v
			}
		}
	}
	if list, ok := m["required"].([]any); ok && must {
		for _, r := range list {
			if name, ok := r.(string); ok {
				out.required[name] = true
			}
		}
	}
	for _, key := range []string{"allOf", "oneOf", "anyOf"} {
		parts, _ := m[key].([]any)
		for _, part := range parts {
			if one, ok := part.(map[string]any); ok {
				s.gather(s.resolve(one), must && key == "allOf", steps-1, out)
			}
		}
	}
}
