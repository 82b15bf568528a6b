// Package schema checks values against JSON Schema: a strict JSON scanner first, then a schema compiled once.
//
// A body is checked in two steps. Scan refuses every text that two parsers could read differently (duplicate
// members, trailing data, lone surrogates, hostile numbers). Schema.Validate then reports every place where the
// value breaks its contract, as violations that name the place and the expectation and never the value.
//
// # What is checked
//
// Schemas of OpenAPI 3.0 are rewritten to JSON Schema 2020-12 while they are compiled: nullable joins the type,
// a boolean exclusiveMinimum or exclusiveMaximum takes the number, siblings of $ref are ignored. A schema without
// a type that is nullable around allOf admits null. OpenAPI 3.1 schemas are 2020-12 as they stand. By direction,
// a readOnly property is refused in a request and a writeOnly property in a response, and neither is required there,
// also when "required" and the property stand in different branches of one allOf.
//
// Formats are asserted: date-time, date, time, duration, email, uuid, uri, uri-reference, ipv4, ipv6, hostname,
// byte (base64), int32, int64 and our own "decimal" (an exact decimal string). Unknown formats are ignored.
// Patterns are RE2 (linear time). What cannot be checked (a pattern that is not RE2, a keyword with a value of the
// wrong kind, a type that does not exist) is left out alone and reported as a Finding; the rest of the schema holds.
// References are never fetched: one that points outside the document and its Resources is an error that names it.
//
// The engine is behind this API and may change; the rewriting, formats, messages and limits are ours.
package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"portway/internal/problem"
	"portway/internal/schema/strictjson"
)

// Dialect is the schema language of a document.
type Dialect int

const (
	// Draft202012 is JSON Schema 2020-12, also that of OpenAPI 3.1 and 3.2.
	Draft202012 Dialect = iota
	// OpenAPI30 is the Schema Object of OpenAPI 3.0.
	OpenAPI30
	// Draft4 is JSON Schema draft 4, for plain schemas only.
	Draft4
)

// Direction says which way a value travels, for readOnly and writeOnly.
type Direction int

const (
	// Either ignores readOnly and writeOnly.
	Either Direction = iota
	// Request refuses readOnly properties and does not require them.
	Request
	// Response refuses writeOnly properties and does not require them.
	Response
)

// Finding is a part of a schema that is not checked; the rest of the schema is.
type Finding struct {
	// Pointer is the JSON Pointer of the schema in the compiler's document.
	Pointer string
	// Keyword is the keyword that is left out, for example "pattern".
	Keyword string
	// Message says why.
	Message string
}

// Option changes a Compiler.
type Option func(*Compiler)

// Resources gives the compiler further JSON documents by absolute address; $ref reaches them and nothing else.
func Resources(byURL map[string][]byte) Option {
	return func(c *Compiler) { c.resources = byURL }
}

// FormatsAsAnnotations switches the assertion of "format" off, as JSON Schema 2020-12 does by default.
func FormatsAsAnnotations() Option {
	return func(c *Compiler) { c.annotateFormats = true }
}

// Compiler compiles schemas of one document. Schemas that several pointers share are compiled once, so compiling
// every body of a document costs time and memory linear in the document, not in its operations.
// A Compiler is safe for concurrent use.
type Compiler struct {
	root            any
	dialect         Dialect
	resources       map[string][]byte
	annotateFormats bool
	// whole is set when the document uses $id, anchors or dynamic references, which only have a meaning in
	// the document as a whole.
	whole bool

	mu       sync.Mutex
	extracts map[Direction]*extract
	done     map[compileKey]compiled
}

type compileKey struct {
	pointer   string
	direction Direction
}

type compiled struct {
	schema   *Schema
	findings []Finding
	err      error
}

// NewCompiler returns a compiler of the schemas in root: a JSON document that is a schema, or that contains
// schemas (an OpenAPI document whose references are all local). root must be strict JSON.
func NewCompiler(root []byte, dialect Dialect, options ...Option) (*Compiler, error) {
	doc, err := Decode(root, documentLimits)
	if err != nil {
		return nil, fmt.Errorf("schema document: %w", err)
	}
	c := &Compiler{root: doc, dialect: dialect, extracts: map[Direction]*extract{}, done: map[compileKey]compiled{}}
	for _, o := range options {
		o(c)
	}
	c.whole = dialect == Draft4 || dialect == Draft202012 && needsWhole(doc)
	return c, nil
}

// documentLimits are for contracts, which an operator uploads; they are larger than those for a body.
var documentLimits = Limits{Depth: 512, Members: 100_000, Values: 5_000_000}

// Compile compiles the schema at pointer (RFC 6901, "" is the root). The findings name what will not be checked.
// The error names a reference that leads nowhere, or says why the schema cannot be compiled at all.
func (c *Compiler) Compile(pointer string, dir Direction) (*Schema, []Finding, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := compileKey{pointer, dir}
	if r, ok := c.done[key]; ok {
		return r.schema, r.findings, r.err
	}
	var r compiled
	if c.whole {
		r.schema, r.findings, r.err = c.compileWhole(pointer, dir)
	} else {
		x := c.extracts[dir]
		if x == nil {
			x = c.newExtract(dir)
			c.extracts[dir] = x
		}
		r.schema, r.findings, r.err = x.compile(pointer)
	}
	if r.err != nil {
		r.schema = nil
		r.err = fmt.Errorf("schema at %q: %w", pointer, r.err)
	}
	c.done[key] = r
	return r.schema, r.findings, r.err
}

// engine returns an empty compiler of the underlying library, closed to files and the network.
func (c *Compiler) engine() (*jsonschema.Compiler, error) {
	e := jsonschema.NewCompiler()
	e.UseLoader(noLoader{})
	e.UseRegexpEngine(regexpEngine)
	if c.dialect == Draft4 {
		e.DefaultDraft(jsonschema.Draft4)
	} else {
		e.DefaultDraft(jsonschema.Draft2020)
	}
	if !c.annotateFormats {
		e.AssertFormat()
		for name, check := range formats() {
			e.RegisterFormat(&jsonschema.Format{Name: name, Validate: check})
		}
	}
	for u, b := range c.resources {
		v, err := Decode(b, documentLimits)
		if err != nil {
			return nil, fmt.Errorf("resource %q: %w", u, err)
		}
		if err := e.AddResource(u, v); err != nil {
			return nil, fmt.Errorf("resource %q: %w", u, err)
		}
	}
	for name, u := range markers() {
		if err := e.AddResource(u, false); err != nil {
			return nil, fmt.Errorf("marker %q: %w", name, err)
		}
	}
	return e, nil
}

// noLoader refuses every address that was not added as a resource.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, errors.New("references are never fetched; give the document as a resource")
}

// Schema is a compiled schema. It is immutable and safe for concurrent use.
type Schema struct {
	engine *jsonschema.Schema
}

// Validate checks a JSON text. Violations have In "body", are ordered by pointer and are none for a valid value;
// there are at most 1,000. A text that Scan would refuse is one violation with the keyword "json".
func (s *Schema) Validate(body []byte) []problem.Violation {
	v, err := Decode(body, Limits{})
	if err != nil {
		var se *ScanError
		errors.As(err, &se)
		return []problem.Violation{{In: inBody, Pointer: se.Pointer, Keyword: "json", Message: se.Reason}}
	}
	return s.check(v, inBody)
}

// ValidateValue checks a value that is already decoded (nil, bool, string, json.Number, []any, map[string]any), such as
// a parameter; in becomes the In of the violations and Pointer is relative to the value. Anything else in v, and a
// number beyond the default Limits, is one violation.
func (s *Schema) ValidateValue(v any, in string) []problem.Violation {
	if ptr, reason := unsafeValue(v, "", 0); reason != "" {
		return []problem.Violation{{In: in, Pointer: ptr, Keyword: "json", Message: reason}}
	}
	return s.check(v, in)
}

func (s *Schema) check(v any, in string) []problem.Violation {
	err := s.engine.Validate(v)
	if err == nil {
		return nil
	}
	var ve *jsonschema.ValidationError
	if !errors.As(err, &ve) {
		return []problem.Violation{{In: in, Keyword: "schema", Message: "could not be checked against the contract"}}
	}
	return violations(ve, v, in)
}

const inBody = "body"

// maxValueDepth is how deep a decoded value may nest, as in the scanner.
const maxValueDepth = 64

// unsafeValue finds the first place in v that the engine must not see.
func unsafeValue(v any, ptr string, depth int) (string, string) {
	if depth > maxValueDepth {
		return ptr, fmt.Sprintf("nests deeper than %d", maxValueDepth)
	}
	switch t := v.(type) {
	case nil, bool, string:
		return "", ""
	case json.Number:
		if !strictjson.IsNumber(string(t)) {
			return ptr, "must be a number of at most 128 characters with an exponent within 308"
		}
		return "", ""
	case []any:
		for i, e := range t {
			if p, r := unsafeValue(e, fmt.Sprintf("%s/%d", ptr, i), depth+1); r != "" {
				return p, r
			}
		}
		return "", ""
	case map[string]any:
		for k, e := range t {
			if p, r := unsafeValue(e, ptr+"/"+strictjson.PointerToken(k), depth+1); r != "" {
				return p, r
			}
		}
		return "", ""
	}
	return ptr, "must be a JSON value"
}
