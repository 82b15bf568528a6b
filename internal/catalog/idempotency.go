package catalog

import (
	"slices"
	"strings"

	"portway/internal/catalog/shape"
)

// Whether calls of an operation carry an Idempotency-Key. With KeyNone, which "" means too, the header is not read.
const (
	KeyNone     = "none"
	KeyOptional = "optional"
	KeyRequired = "required"
)

// Idempotency is how an operation treats the Idempotency-Key, and what of a body counts when a key comes again.
type Idempotency struct {
	Key string
	// Fields are JSON Pointers, "*" for every item, of what counts; all of the body if empty. Exclude is what does not
	// count of that. With neither, the raw bytes count (RULES 21).
	Fields, Exclude []string
}

type idempotencyFile struct {
	Key     string   `yaml:"key"`
	Fields  []string `yaml:"fields"`
	Exclude []string `yaml:"exclude"`
}

// safe reports whether a method asks for no change (RFC 9110 section 9.2.1).
func safe(method string) bool {
	return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "TRACE"
}

// keyMode is what an operation does without a word in its policy: unsafe calls of a known caller may carry a key.
func (r *Route) keyMode() string {
	if safe(r.Method) || r.Dispatch == Builtin || r.Anonymous || r.Stream != "" || r.API.Observe {
		return KeyNone
	}
	return KeyOptional
}

// idempotency applies what an operation's policy says about keys.
func (l *loader) idempotency(file, key string, r *Route, p *operationFile) {
	fail := func(format string, args ...any) {
		l.fail(file, l.line("operations", key, "idempotency"), "operations.%s.idempotency"+format, append([]any{key}, args...)...)
	}
	r.Idempotency.Key = r.keyMode()
	if p.Idempotency == nil {
		return
	}
	f := p.Idempotency
	switch f.Key {
	case "", KeyNone:
	case KeyOptional, KeyRequired:
		switch {
		case r.Stream != "":
			fail(".key is %q, but the operation streams: what is not held in memory cannot be compared or given again", f.Key)
		case r.keyMode() == KeyNone:
			fail(".key is %q, but the operation is a read, Portway's own, observed, or open to anyone: only unsafe calls of known callers take keys", f.Key)
		}
	default:
		fail(".key is %q: use required, optional or none", f.Key)
	}
	if f.Key != "" {
		r.Idempotency.Key = f.Key
	}
	if len(f.Fields)+len(f.Exclude) == 0 {
		return
	}
	if r.Idempotency.Key == KeyNone {
		fail(": fields and exclude are for operations that take keys")
		return
	}
	body := bodyShape(r)
	if body == nil {
		fail(": fields and exclude need a JSON body with a schema")
		return
	}
	for _, pointer := range slices.Concat(f.Fields, f.Exclude) {
		if !body.Has(pointer) {
			fail(": %q is no place in the body of the contract", pointer)
		}
	}
	r.Idempotency.Fields = slices.Sorted(slices.Values(f.Fields))
	// A warehouse system that builds a body anew stamps it anew: moments count only where the policy names them.
	exclude := slices.Clone(f.Exclude)
	for _, pointer := range body.Moments() {
		if !slices.Contains(f.Fields, pointer) {
			exclude = append(exclude, pointer)
		}
	}
	slices.Sort(exclude)
	r.Idempotency.Exclude = slices.Compact(exclude)
}

// bodyShape is the shape of an operation's JSON bodies together, nil without one.
func bodyShape(r *Route) shape.Shape {
	if r.Operation.RequestBody == nil {
		return nil
	}
	var pointers []string
	for _, m := range r.Operation.RequestBody.Content {
		media, _, _ := strings.Cut(strings.ToLower(m.Type), ";")
		if m.Pointer != "" && isJSON(strings.TrimSpace(media)) {
			pointers = append(pointers, m.Pointer)
		}
	}
	return shape.Of(r.Version.Document.Bundle, pointers...)
}
