// Package shape is what a schema says about the places of a value: which there are, and which hold a moment.
package shape

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"portway/internal/schema"
)

// Shape is the places of a value by JSON Pointer, with "*" for every item of an array.
type Shape map[string]place

type place struct {
	open   bool // may hold members the schema does not name
	moment bool // of format date-time
}

// The bounds of a shape: a schema may be recursive, or huge.
const (
	deepest = 16     // references and members down
	visits  = 20_000 // schemas looked at, each as often as it is referred to
)

// Of is the shape of all values that fit one of the schemas at pointers in document, JSON whose references are local.
// It is nil without pointers, or when the document cannot be read.
func Of(document []byte, pointers ...string) Shape {
	root, err := schema.Decode(document, schema.Limits{Depth: 512, Members: 100_000, Values: 5_000_000})
	if err != nil || len(pointers) == 0 {
		return nil
	}
	w := walker{root: root, shape: Shape{}, left: visits}
	for _, p := range pointers {
		w.walk(follow(root, p), "", 0)
	}
	return w.shape
}

// Has reports whether a pointer leads to a place that the schema names, or below one that is open.
func (s Shape) Has(pointer string) bool {
	if !strings.HasPrefix(pointer, "/") {
		return false
	}
	if _, ok := s[pointer]; ok {
		return true
	}
	for at := pointer; at != ""; {
		at = at[:strings.LastIndexByte(at, '/')]
		if p, ok := s[at]; ok {
			return p.open
		}
	}
	return false
}

// Moments lists the places of format date-time, in order.
func (s Shape) Moments() []string {
	var out []string
	for pointer, p := range s {
		if p.moment {
			out = append(out, pointer)
		}
	}
	slices.Sort(out)
	return out
}

// walker goes through the schemas of a document.
type walker struct {
	root  any
	shape Shape
	left  int // visits
}

// walk adds what a schema says about the place at and those below it.
func (w *walker) walk(node any, at string, depth int) {
	m, ok := node.(map[string]any)
	if !ok || depth > deepest || w.left == 0 {
		return
	}
	w.left--
	if ref, ok := m["$ref"].(string); ok {
		w.walk(follow(w.root, strings.TrimPrefix(ref, "#")), at, depth+1)
	}
	for _, group := range []string{"allOf", "anyOf", "oneOf"} {
		list, _ := m[group].([]any)
		for _, branch := range list {
			w.walk(branch, at, depth+1)
		}
	}
	properties, _ := m["properties"].(map[string]any)
	p := w.shape[at]
	p.moment = p.moment || m["format"] == "date-time"
	if properties == nil && (m["type"] == "object" || m["additionalProperties"] != nil) {
		p.open = m["additionalProperties"] != false
	}
	w.shape[at] = p
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if w.left == 0 {
			return
		}
		w.walk(properties[name], at+"/"+strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1"), depth+1)
	}
	if items, ok := m["items"]; ok {
		w.walk(items, at+"/*", depth+1)
	}
}

// follow goes along a JSON Pointer (RFC 6901) through objects and arrays; anything else is nil.
func follow(v any, pointer string) any {
	if pointer == "" {
		return v
	}
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		switch at := v.(type) {
		case map[string]any:
			v = at[strings.NewReplacer("~1", "/", "~0", "~").Replace(token)]
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(at) {
				return nil
			}
			v = at[i]
		default:
			return nil
		}
	}
	return v
}
