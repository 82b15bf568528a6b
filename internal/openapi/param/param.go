// Package param decodes parameters: every style of OpenAPI, split first and percent-decoded after, so that an encoded
// delimiter is data. It is pure; it knows neither documents nor schemas.
package param

// Kind is the JSON type a parameter's text is decoded to. The empty Kind decodes to a string.
type Kind string

// The kinds of OpenAPI parameters.
const (
	String  Kind = "string"
	Integer Kind = "integer"
	Number  Kind = "number"
	Boolean Kind = "boolean"
	Array   Kind = "array"
	Object  Kind = "object"
)

// Parameter is one parameter of an operation.
type Parameter struct {
	Name string
	// In is "path", "query", "header" or "cookie".
	In string
	// Style and Explode are filled in with their defaults (OpenAPI 3.1.1 section 4.8.12.2).
	Style   string
	Explode bool

	Required, Deprecated, AllowReserved, AllowEmptyValue bool

	Description string
	// Example is decoded JSON, nil if there is none.
	Example any
	// Pointer is the JSON Pointer of its schema in Bundle, "" if it has none.
	Pointer string
	// ContentType is set if the parameter is described by content instead of schema; its text is then decoded as
	// that media type (JSON) or kept as a string.
	ContentType string
	// Kind is what the schema says the value is; Items is the kind of an array's items, Properties that of an
	// object's properties.
	Kind       Kind
	Items      Kind
	Properties map[string]Kind
	// Closed is true if the object admits no other properties.
	Closed bool
	// Nullable is true if the schema admits null; an empty value is then null for kinds that have no empty text.
	Nullable bool
	// Extra is the kind of an object's properties that are not named.
	Extra Kind
}
