package schema

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// needsWhole reports whether a document uses what only has a meaning in the document as a whole: an embedded
// $id, anchors, dynamic references, or a dialect of its own.
func needsWhole(v any) bool {
	switch t := v.(type) {
	case map[string]any:
		for k, e := range t {
			switch k {
			case "$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$schema":
				if _, ok := e.(string); ok {
					return true
				}
			case "$ref":
				if s, ok := e.(string); ok && strings.HasPrefix(s, "#") && s != "#" && !strings.HasPrefix(s, "#/") {
					return true
				}
			}
			if needsWhole(e) {
				return true
			}
		}
	case []any:
		for _, e := range t {
			if needsWhole(e) {
				return true
			}
		}
	}
	return false
}

// compileWhole hands the document to the engine as it is, with patterns and properties adjusted in a copy.
// It is slower than an extract (every pointer compiles the document again) and serves the few documents that need it.
func (c *Compiler) compileWhole(pointer string, dir Direction) (*Schema, []Finding, error) {
	e, err := c.engine()
	if err != nil {
		return nil, nil, err
	}
	if _, err := lookup(c.root, pointer); err != nil {
		return nil, nil, err
	}
	w := whole{dir: (&extract{dir: dir}).hideKeyword()}
	const url = baseURL + "document"
	if err := e.AddResource(url, w.copy(c.root, "", false)); err != nil {
		return nil, nil, engineError(err)
	}
	s, err := e.Compile(url + "#" + escapeFragment(pointer))
	if err != nil {
		return nil, w.findings, engineError(err)
	}
	return &Schema{engine: s}, w.findings, nil
}

type whole struct {
	dir      string
	findings []Finding
}

// copy copies v without the patterns that cannot be compiled and with refused properties in place of those that
// must not travel. data is true inside values that only look like schemas.
func (w *whole) copy(v any, ptr string, data bool) any {
	switch t := v.(type) {
	case []any:
		out := make([]any, len(t))
		for i, e := range t {
			out[i] = w.copy(e, ptr+"/"+strconv.Itoa(i), data)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(t))
		for _, k := range slices.Sorted(maps.Keys(t)) {
			out[k] = w.copy(t[k], ptr+"/"+pointerEscape(k), data || isData(k))
		}
		if !data {
			w.patterns(out, ptr)
			w.hide(out)
		}
		return out
	}
	return v
}

func isData(k string) bool {
	return k == "const" || k == "enum" || k == "default" || k == "example" || k == "examples"
}

func (w *whole) patterns(s map[string]any, ptr string) {
	if p, ok := s["pattern"].(string); ok {
		if _, err := compilePattern(p); err != nil {
			w.findings = append(w.findings, Finding{ptr, "pattern", err.Error() + "; it is not checked"})
			delete(s, "pattern")
		}
	}
	named, ok := s["patternProperties"].(map[string]any)
	if !ok {
		return
	}
	for p := range named {
		if _, err := compilePattern(p); err != nil {
			w.findings = append(w.findings, Finding{ptr, "patternProperties", err.Error() + "; it and the properties beside it are not checked"})
			delete(s, "patternProperties")
			delete(s, "additionalProperties")
			delete(s, "unevaluatedProperties")
			return
		}
	}
}

func (w *whole) hide(s map[string]any) {
	props, ok := s["properties"].(map[string]any)
	if !ok || w.dir == "" {
		return
	}
	var hidden []string
	for name, p := range props {
		m, _ := p.(map[string]any)
		if on, _ := m[w.dir].(bool); on {
			props[name] = map[string]any{"$ref": markers()[w.dir]}
			hidden = append(hidden, name)
		}
	}
	if req := s["required"]; len(hidden) > 0 && isTexts(req) {
		s["required"] = without(req.([]any), hidden)
	}
}

func escapeFragment(pointer string) string {
	var sb strings.Builder
	for _, c := range []byte(pointer) {
		if c == '/' || c == '~' || c == '$' || c == '-' || c == '_' || c == '.' ||
			c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			sb.WriteByte(c)
			continue
		}
		fmt.Fprintf(&sb, "%%%02X", c)
	}
	return sb.String()
}

// engineError says in our words why a schema does not compile.
func engineError(err error) error {
	var load *jsonschema.LoadURLError
	if errors.As(err, &load) {
		return fmt.Errorf("reference %s leads out of the document and is never fetched", quoteShort(load.URL))
	}
	var anchor *jsonschema.AnchorNotFoundError
	if errors.As(err, &anchor) {
		return fmt.Errorf("reference %s leads nowhere", quoteShort(anchor.Reference))
	}
	return err
}

// regexpEngine is the one the engine compiles patterns with.
func regexpEngine(p string) (jsonschema.Regexp, error) {
	re, err := compilePattern(p)
	if err != nil {
		return nil, err
	}
	return re, nil
}
