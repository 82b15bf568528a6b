// Package openapi reads other people's contracts: OpenAPI 3.0, 3.1 and 3.2 and Swagger 2.0, as YAML or JSON.
//
// Load is lenient about everything that does not stop an operation from being served and reports each problem
// with its line as a Finding; only what keeps an operation from being built has severity "error". References to
// other documents are never fetched: they resolve from Options.References or are named as unresolved.
//
// The source is read once into a tree that knows its lines (with caps on size, depth, and expanded YAML aliases),
// references to other documents are pulled into components, and the operations are built from that tree, so that
// numbers keep their digits and every schema has a JSON Pointer in Document.Bundle. kin-openapi converts Swagger 2.0
// and checks the document; its opinion never decides what can be served.
//
// # Cost
//
// Loading is linear in the size of the document. Measured on two cores of a 2020s server: 0.2 s for a JSON document of
// 1.3 MB with 158 operations, of which half is the check by kin-openapi (Options.SkipValidation leaves it out), and
// 0.25 s for 0.9 MB of YAML with 150. Schemas are not compiled here. Compiling the schemas of every parameter, body and
// response with schema.NewCompiler takes another 0.1 s for either, and grows with the number of distinct schemas rather
// than of operations, because operations share them.
package openapi

import (
	"portway/internal/openapi/param"
	"portway/internal/openapi/source"
	"portway/internal/problem"
	"portway/internal/schema"
)

// Finding and Severity are those of the source tree.
type (
	// Finding is one problem of a document.
	Finding = source.Finding
	// Severity says what a finding means for serving the document.
	Severity = source.Severity
)

// The severities of findings.
const (
	// SeverityError is a problem that keeps at least one operation from being built.
	SeverityError = source.SeverityError
	// SeverityWarning is a mistake that does not keep an operation from being served.
	SeverityWarning = source.SeverityWarning
	// SeverityInfo is advice.
	SeverityInfo = source.SeverityInfo
)

// Document is a contract, ready to be served. It is not changed after Load.
type Document struct {
	// Title and Version are those of info; OpenAPI is the version of the language, as written ("2.0" for Swagger).
	Title, Version, OpenAPI string
	// Description is that of info, in CommonMark.
	Description string
	// Operations are those that can be served, in the order of the document.
	Operations []Operation
	// Webhooks are the names of the document's webhooks (OpenAPI 3.1); they are not served.
	Webhooks []string
	// Tags are the document's tags in order, with their descriptions.
	Tags []Tag
	// Raw is the source as it came.
	Raw []byte
	// Bundle is the document as one JSON text whose references are all local; pointers in Operations point into it.
	// For Swagger 2.0 it is the converted document, in which numbers beyond 2^53 have lost digits.
	Bundle []byte
	// Dialect is the schema dialect of Bundle, for schema.NewCompiler.
	Dialect schema.Dialect
	// Servers are the server addresses with their variables at the default.
	Servers []string
	// BasePath is the path of the first server without a trailing slash, "" for none.
	BasePath string
	// Extensions are the document's "x-" members.
	Extensions map[string]any
}

// Tag is a group of operations.
type Tag struct{ Name, Description string }

// Operation is one method of one path.
type Operation struct {
	// ID is the operationId, or "get_/orders/{id}" if there is none or it is taken.
	ID string
	// Method is in upper case; Path is the template, "/orders/{id}".
	Method, Path         string
	Summary, Description string
	Tags                 []string
	Deprecated           bool
	// Parameters are those of the operation and of its path, in order, the operation's winning.
	Parameters []Parameter
	// RequestBody is nil if the operation declares none.
	RequestBody *RequestBody
	Responses   []Response
	// Security holds the alternatives: a caller meets all requirements of one of them. NoAuth is true if a call
	// without any credential is allowed: no security is declared, or an alternative is empty.
	Security [][]SecurityRequirement
	NoAuth   bool
	// Extensions are the operation's "x-" members.
	Extensions map[string]any
	// Pointer is the operation's JSON Pointer in Bundle; Line is its line in the source, 0 if unknown.
	Pointer string
	Line    int
}

// RequestBody is the body an operation takes.
type RequestBody struct {
	Required    bool
	Description string
	Content     []MediaType
}

// MediaType is one representation of a body.
type MediaType struct {
	// Type is the media type or range as written, for example "application/json".
	Type string
	// Pointer is the JSON Pointer of its schema in Bundle, "" if it has none.
	Pointer string
	// Examples are complete bodies as JSON, by name ("" for a single unnamed one), in order.
	Examples []Example
}

// Example is a body that the document shows.
type Example struct {
	Name, Summary string
	// Value is JSON. For a body that is not JSON it is a JSON string.
	Value []byte
}

// Response is one answer of an operation.
type Response struct {
	// Status is "200", "2XX" or "default".
	Status      string
	Description string
	Headers     []Header
	Content     []MediaType
}

// Header is a response header.
type Header struct {
	Name, Description string
	Required          bool
	// Pointer is the JSON Pointer of its schema in Bundle, "" if it has none.
	Pointer string
}

// SecurityRequirement is one credential of an alternative.
type SecurityRequirement struct {
	// Scheme is the name in securitySchemes; Type is "apiKey", "http", "oauth2", "openIdConnect" or "mutualTLS",
	// "" if the scheme is not declared.
	Scheme, Type string
	Scopes       []string
}

// Parameters and their decoding are those of package param.
type (
	// Parameter is one parameter of an operation.
	Parameter = param.Parameter
	// Kind is the JSON type a parameter's text is decoded to.
	Kind = param.Kind
	// Call holds the parts of a request that carry parameters, none of them percent-decoded.
	Call = param.Call
)

// The kinds of OpenAPI parameters.
const (
	KindString  = param.String
	KindInteger = param.Integer
	KindNumber  = param.Number
	KindBoolean = param.Boolean
	KindArray   = param.Array
	KindObject  = param.Object
)

// DecodeParameters decodes the parameters of a call to the values their schemas describe, keyed "<in>.<name>"
// ("query.limit"): string, json.Number, bool, []any, map[string]any, or nil for an empty value that may be null. It
// reports, all at once, what is missing, ambiguous (a scalar given twice, a raw semicolon) or not of its type;
// violations have the parameter's place in In and its name in Pointer. The caller checks each value against its schema
// (Parameter.Pointer) with schema.ValidateValue.
func (o *Operation) DecodeParameters(c Call) (map[string]any, []problem.Violation) {
	return param.Decode(o.Parameters, c)
}
