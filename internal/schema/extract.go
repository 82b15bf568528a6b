package schema

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// extract pulls the schemas reachable from a pointer out of a document, one engine resource each, rewritten for one
// direction. A schema that was extracted before is not touched again.
type extract struct {
	c      *Compiler
	dir    Direction
	engine *jsonschema.Compiler
	err    error
	defs   map[string]*def
	queue  []*def
	n      int
}

// def is one extracted schema: the one at a pointer, in a context that hides some properties.
type def struct {
	pointer string
	// hidden are the properties that the schemas around it, on the same value, mark as not for this direction.
	hidden   []string
	url      string
	state    defState
	findings []Finding
	refs     []*def
	err      error
}

type defState int

const (
	untouched defState = iota
	// open is a schema whose references on the same value are being followed; to meet it again is a loop.
	open
	closed
)

func (c *Compiler) newExtract(dir Direction) *extract {
	e, err := c.engine()
	return &extract{c: c, dir: dir, engine: e, err: err, defs: map[string]*def{}}
}

const baseURL = "mem:///"

// markers are the addresses of schemas that refuse everything, by the keyword they stand for in a violation.
func markers() map[string]string {
	return map[string]string{"readOnly": baseURL + "readOnly", "writeOnly": baseURL + "writeOnly"}
}

func (x *extract) compile(pointer string) (*Schema, []Finding, error) {
	if x.err != nil {
		return nil, nil, x.err
	}
	if _, err := lookup(x.c.root, pointer); err != nil {
		return nil, nil, err
	}
	d := x.def(pointer, nil)
	x.process(d)
	for len(x.queue) > 0 {
		next := x.queue[0]
		x.queue = x.queue[1:]
		x.process(next)
	}
	findings, err := d.collect(map[*def]bool{})
	if err != nil {
		return nil, findings, err
	}
	s, err := x.engine.Compile(d.url)
	if err != nil {
		return nil, findings, engineError(err)
	}
	return &Schema{engine: s}, findings, nil
}

// collect gathers the findings and the errors of d and everything it reaches.
func (d *def) collect(seen map[*def]bool) ([]Finding, error) {
	if seen[d] {
		return nil, nil
	}
	seen[d] = true
	findings, errs := slices.Clone(d.findings), []error{d.err}
	for _, r := range d.refs {
		f, err := r.collect(seen)
		findings = append(findings, f...)
		errs = append(errs, err)
	}
	return findings, errors.Join(errs...)
}

func (x *extract) def(pointer string, hidden []string) *def {
	key := pointer + "\x00" + strings.Join(hidden, "\x00")
	d := x.defs[key]
	if d == nil {
		x.n++
		d = &def{pointer: pointer, hidden: hidden, url: baseURL + strconv.Itoa(x.n)}
		x.defs[key] = d
	}
	return d
}

// process extracts one schema. References on the same value are followed at once, so that a loop among them shows;
// all others wait in the queue.
func (x *extract) process(d *def) {
	if d.state != untouched {
		return
	}
	d.state = open
	v, err := lookup(x.c.root, d.pointer)
	if err == nil {
		w := walk{x: x, d: d}
		out := w.schema(v, d.pointer, d.hidden, true)
		err = x.engine.AddResource(d.url, out)
	}
	d.err = errors.Join(d.err, err)
	d.state = closed
}

// walk rewrites one schema and what is nested in it.
type walk struct {
	x *extract
	d *def
}

func (w *walk) finding(ptr, keyword, format string, args ...any) {
	w.d.findings = append(w.d.findings, Finding{Pointer: ptr, Keyword: keyword, Message: fmt.Sprintf(format, args...)})
}

// schema returns the rewritten form of v, the schema at ptr. here is true while it applies to the value that w.d
// applies to.
func (w *walk) schema(v any, ptr string, hidden []string, here bool) any {
	in, ok := v.(map[string]any)
	if !ok {
		if b, isBool := v.(bool); isBool {
			return b
		}
		w.finding(ptr, "schema", "must be a schema; everything is accepted here")
		return true
	}
	if w.x.c.dialect == OpenAPI30 {
		in = from30(in)
	}
	hidden = union(hidden, w.hiddenProperties(in, map[string]bool{}))
	out := make(map[string]any, len(in))
	for _, name := range slices.Sorted(maps.Keys(in)) {
		kw, known := keywordOf(name)
		if !known {
			continue
		}
		val := in[name]
		if name == "type" {
			w.typeKeyword(out, val, ptr)
			continue
		}
		if wrong := kw.shape.wrong(val); wrong != "" {
			w.finding(ptr, name, "%s; it is not checked", wrong)
			continue
		}
		at := ptr + "/" + pointerEscape(name)
		switch name {
		case "$ref":
			w.reference(out, val.(string), ptr, hidden, here)
		case "pattern":
			w.pattern(out, val.(string), ptr)
		case "required":
			if r := without(val.([]any), hidden); len(r) > 0 {
				out[name] = r
			}
		case "properties":
			out[name] = w.properties(val.(map[string]any), at)
		case "patternProperties":
			out[name] = w.patternProperties(val.(map[string]any), at, ptr, in)
		default:
			out[name] = w.nested(val, kw, at, hidden, here)
		}
	}
	if out["patternProperties"] == nil && in["patternProperties"] != nil {
		delete(out, "patternProperties")
		delete(out, "additionalProperties")
		delete(out, "unevaluatedProperties")
	}
	return out
}

func (w *walk) nested(val any, kw keyword, at string, hidden []string, here bool) any {
	if !kw.here {
		hidden, here = nil, false
	}
	switch kw.shape {
	case shapeSchema:
		return w.schema(val, at, hidden, here)
	case shapeSchemas:
		list := val.([]any)
		out := make([]any, len(list))
		for i, e := range list {
			out[i] = w.schema(e, at+"/"+strconv.Itoa(i), hidden, here)
		}
		return out
	case shapeNamed:
		out := map[string]any{}
		for k, e := range val.(map[string]any) {
			out[k] = w.schema(e, at+"/"+pointerEscape(k), hidden, here)
		}
		return out
	}
	return val
}

func (w *walk) typeKeyword(out map[string]any, v any, ptr string) {
	kept, unknown := cleanType(v)
	if len(unknown) > 0 {
		w.finding(ptr, "type", "the type %s does not exist; it is not checked", quoteShort(strings.Join(unknown, ", ")))
	}
	if kept != nil {
		out["type"] = kept
	}
}

func (w *walk) pattern(out map[string]any, p, ptr string) {
	if _, err := compilePattern(p); err != nil {
		w.finding(ptr, "pattern", "%v; it is not checked", err)
		return
	}
	out["pattern"] = p
}

// patternProperties returns nil if a pattern cannot be compiled: then nobody can say which properties are additional.
func (w *walk) patternProperties(val map[string]any, at, ptr string, in map[string]any) any {
	out := map[string]any{}
	dropped := false
	for _, p := range slices.Sorted(maps.Keys(val)) {
		if _, err := compilePattern(p); err != nil {
			w.finding(ptr, "patternProperties", "%v; it and the properties beside it are not checked", err)
			dropped = true
			continue
		}
		out[p] = w.schema(val[p], at+"/"+pointerEscape(p), nil, false)
	}
	if dropped {
		return nil
	}
	return out
}

// properties replaces the properties that must not travel in this direction by a schema that refuses them.
func (w *walk) properties(props map[string]any, at string) map[string]any {
	out := make(map[string]any, len(props))
	for _, name := range slices.Sorted(maps.Keys(props)) {
		if w.x.hides(props[name], map[string]bool{}) {
			out[name] = map[string]any{"$ref": markers()[w.x.hideKeyword()]}
			continue
		}
		out[name] = w.schema(props[name], at+"/"+pointerEscape(name), nil, false)
	}
	return out
}

// reference points out to the extracted target. A loop of references on the same value has no meaning in JSON
// Schema (2020-12 core section 9.4.1) but is common around discriminators; it is cut where it closes.
func (w *walk) reference(out map[string]any, ref, ptr string, hidden []string, here bool) {
	if !strings.HasPrefix(ref, "#") {
		if _, ok := w.x.c.resources[strings.SplitN(ref, "#", 2)[0]]; ok {
			out["$ref"] = ref
			return
		}
		w.d.err = errors.Join(w.d.err, fmt.Errorf("reference %s at %q leads out of the document and is never fetched", quoteShort(ref), ptr))
		return
	}
	target, err := fragmentPointer(ref)
	if err == nil {
		_, err = lookup(w.x.c.root, target)
	}
	if err != nil {
		w.d.err = errors.Join(w.d.err, fmt.Errorf("reference %s at %q leads nowhere", quoteShort(ref), ptr))
		return
	}
	if !here {
		hidden = nil
	}
	t := w.x.def(target, hidden)
	if here && t.state == open {
		w.finding(ptr, "$ref", "the schema refers back to itself without a property in between; this reference is not followed")
		return
	}
	w.d.refs = append(w.d.refs, t)
	out["$ref"] = t.url
	if here {
		w.x.process(t)
	} else if t.state == untouched {
		w.x.queue = append(w.x.queue, t)
	}
}

func (x *extract) hideKeyword() string {
	switch x.dir {
	case Request:
		return "readOnly"
	case Response:
		return "writeOnly"
	}
	return ""
}

// hides reports whether a property's schema says that it does not travel in this direction, itself or through the
// references and allOf it consists of.
func (x *extract) hides(v any, seen map[string]bool) bool {
	flag := x.hideKeyword()
	s, ok := v.(map[string]any)
	if flag == "" || !ok {
		return false
	}
	ref, isRef := s["$ref"].(string)
	if isRef && !seen[ref] {
		seen[ref] = true
		if x.hides(x.follow(ref), seen) {
			return true
		}
	}
	if isRef && x.c.dialect == OpenAPI30 {
		return false
	}
	if on, _ := s[flag].(bool); on {
		return true
	}
	all, _ := s["allOf"].([]any)
	return slices.ContainsFunc(all, func(e any) bool { return x.hides(e, seen) })
}

func (x *extract) follow(ref string) any {
	ptr, err := fragmentPointer(ref)
	if err != nil {
		return nil
	}
	v, err := lookup(x.c.root, ptr)
	if err != nil {
		return nil
	}
	return v
}

// hiddenProperties are the names of properties that a schema, its references and its allOf hide in this direction.
func (w *walk) hiddenProperties(s map[string]any, seen map[string]bool) []string {
	if w.x.dir == Either {
		return nil
	}
	var out []string
	if ref, ok := s["$ref"].(string); ok && !seen[ref] {
		seen[ref] = true
		if t, ok := w.x.follow(ref).(map[string]any); ok {
			out = append(out, w.hiddenProperties(t, seen)...)
		}
	}
	props, _ := s["properties"].(map[string]any)
	for name, p := range props {
		if w.x.hides(p, map[string]bool{}) {
			out = append(out, name)
		}
	}
	for _, k := range []string{"allOf", "anyOf"} {
		list, _ := s[k].([]any)
		for _, e := range list {
			if m, ok := e.(map[string]any); ok {
				out = append(out, w.hiddenProperties(m, seen)...)
			}
		}
	}
	return out
}

func union(a, b []string) []string {
	if len(b) == 0 {
		return a
	}
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

func without(required []any, hidden []string) []any {
	out := make([]any, 0, len(required))
	for _, r := range required {
		if !slices.Contains(hidden, r.(string)) && !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out
}

// pointerEscape escapes one token of a JSON Pointer that is used to find something again, and so never shortened.
func pointerEscape(s string) string {
	if !strings.ContainsAny(s, "~/") {
		return s
	}
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(s)
}

// fragmentPointer returns the JSON Pointer in a reference "#/…" (RFC 6901 section 6).
func fragmentPointer(ref string) (string, error) {
	p, err := url.PathUnescape(strings.TrimPrefix(ref, "#"))
	if err != nil {
		return "", err
	}
	if p != "" && p[0] != '/' {
		return "", fmt.Errorf("%s is an anchor", quoteShort(ref))
	}
	return p, nil
}

// lookup finds the value at a JSON Pointer.
func lookup(v any, pointer string) (any, error) {
	if pointer == "" {
		return v, nil
	}
	if pointer[0] != '/' {
		return nil, fmt.Errorf("%s is not a JSON Pointer", quoteShort(pointer))
	}
	for _, tok := range strings.Split(pointer[1:], "/") {
		tok = strings.NewReplacer("~1", "/", "~0", "~").Replace(tok)
		switch t := v.(type) {
		case map[string]any:
			next, ok := t[tok]
			if !ok {
				return nil, fmt.Errorf("the document has nothing at %s", quoteShort(pointer))
			}
			v = next
		case []any:
			i, err := strconv.Atoi(tok)
			if err != nil || i < 0 || i >= len(t) {
				return nil, fmt.Errorf("the document has nothing at %s", quoteShort(pointer))
			}
			v = t[i]
		default:
			return nil, fmt.Errorf("the document has nothing at %s", quoteShort(pointer))
		}
	}
	return v, nil
}
