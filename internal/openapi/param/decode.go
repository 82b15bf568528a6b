package param

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"portway/internal/problem"
	"portway/internal/schema"
)

// Call holds the parts of a request that carry parameters, none of them percent-decoded.
type Call struct {
	// Path holds the path parameters by name, still percent-encoded.
	Path map[string]string
	// RawQuery is the query without the question mark.
	RawQuery string
	// Header returns all values of a header, by case-insensitive name; nil means there are none.
	Header func(name string) []string
	// Cookie returns the values of a cookie by name; nil means there are none.
	Cookie func(name string) []string
	// Strict refuses undeclared query parameters.
	Strict bool
}

// Decode decodes the parameters of a call to the values their schemas describe, keyed "<in>.<name>"
// ("query.limit"): string, json.Number, bool, []any, map[string]any, or nil for an empty value that may be null. It
// reports, all at once, what is missing, ambiguous (a scalar given twice, a raw semicolon) or not of its type;
// violations have the parameter's place in In and its name in Pointer. The caller checks each value against its schema
// (Parameter.Pointer) with schema.ValidateValue. Text is split first and percent-decoded after, so that an encoded
// delimiter is data.
func Decode(parameters []Parameter, c Call) (map[string]any, []problem.Violation) {
	d := decoder{values: make(map[string]any, len(parameters))}
	d.query(parameters, c)
	for i := range parameters {
		p := &parameters[i]
		switch p.In {
		case "path":
			if raw, ok := c.Path[p.Name]; ok {
				d.keep(p, func() (any, string) { return p.path(raw) })
				continue
			}
		case "header":
			if c.Header != nil {
				if lines := c.Header(p.Name); len(lines) > 0 {
					d.keep(p, func() (any, string) { return p.header(lines) })
					continue
				}
			}
		case "cookie":
			if c.Cookie != nil {
				if values := c.Cookie(p.Name); len(values) > 0 {
					d.keep(p, func() (any, string) { return p.form(values) })
					continue
				}
			}
		default:
			continue
		}
		d.missing(p)
	}
	return d.values, d.violations
}

// Decode decodes one parameter from its own text: a path segment, a header value, or the query string or cookie
// pairs that carry it. The value is nil if the text does not hold the parameter.
func (p *Parameter) Decode(raw string) (any, []problem.Violation) {
	d := decoder{values: map[string]any{}}
	switch p.In {
	case "path":
		d.keep(p, func() (any, string) { return p.path(raw) })
	case "header":
		d.keep(p, func() (any, string) { return p.header([]string{raw}) })
	default:
		q := *p
		q.In = "query"
		d.query([]Parameter{q}, Call{RawQuery: raw})
		return d.values["query."+p.Name], d.violations
	}
	return d.values[p.In+"."+p.Name], d.violations
}

// decoder collects the results of one call.
type decoder struct {
	values     map[string]any
	violations []problem.Violation
}

func (d *decoder) violate(in, name, keyword, message string) {
	d.violations = append(d.violations, problem.Violation{In: in, Pointer: name, Keyword: keyword, Message: message})
}

// keep stores a value or turns the reason it has none into a violation.
func (d *decoder) keep(p *Parameter, decode func() (any, string)) {
	v, reason := decode()
	if reason != "" {
		d.violate(p.In, p.Name, keywordOf(reason), reason)
		return
	}
	d.values[p.In+"."+p.Name] = v
}

func (d *decoder) missing(p *Parameter) {
	if p.Required {
		d.violate(p.In, p.Name, "required", "is required")
	}
}

// The reasons a text is not a value. They say what is expected, never what came.
const (
	notText     = "must be percent-encoded UTF-8 without NUL"
	notInteger  = "must be a whole number"
	notNumber   = "must be a number"
	notBoolean  = "must be true or false"
	notJSON     = "must be JSON"
	notPairs    = "must list names and values in pairs"
	notOnce     = "must be given once"
	notPrefix   = "must begin with the prefix of its style"
	notProperty = "is not a property of this parameter"
)

func keywordOf(reason string) string {
	switch reason {
	case notText:
		return "encoding"
	case notInteger, notNumber, notBoolean:
		return "type"
	case notOnce:
		return "duplicate"
	case notProperty:
		return "additionalProperties"
	}
	return "style"
}

// unescape percent-decodes a piece of text; plus is a space in queries (WHATWG URL, application/x-www-form-urlencoded).
func unescape(s string, query bool) (string, string) {
	if strings.IndexByte(s, '%') >= 0 || query && strings.IndexByte(s, '+') >= 0 {
		var err error
		if query {
			s, err = url.QueryUnescape(s)
		} else {
			s, err = url.PathUnescape(s)
		}
		if err != nil {
			return "", notText
		}
	}
	if strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s) {
		return "", notText
	}
	return s, ""
}

// scalar turns a decoded piece of text into a value of a kind.
func scalar(s string, k Kind, nullable bool) (any, string) {
	switch k {
	case Integer:
		if s == "" && nullable {
			return nil, ""
		}
		if !isInteger(s) {
			return nil, notInteger
		}
		return json.Number(s), ""
	case Number:
		if s == "" && nullable {
			return nil, ""
		}
		v, err := schema.Decode([]byte(s), schema.Limits{})
		if n, ok := v.(json.Number); ok && err == nil && strings.TrimSpace(s) == s {
			return n, ""
		}
		return nil, notNumber
	case Boolean:
		switch {
		case s == "true":
			return true, ""
		case s == "false":
			return false, ""
		case s == "" && nullable:
			return nil, ""
		}
		return nil, notBoolean
	}
	return s, ""
}

// isInteger accepts what every backend reads as the same whole number: no sign but minus, no leading zero, at most
// 128 digits.
func isInteger(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	if digits == "" || len(s) > 128 || len(digits) > 1 && digits[0] == '0' {
		return false
	}
	for i := 0; i < len(digits); i++ {
		if digits[i] < '0' || digits[i] > '9' {
			return false
		}
	}
	return true
}

// piece decodes one undivided text.
func (p *Parameter) piece(raw string, k Kind) (any, string) {
	s, reason := raw, ""
	if p.In != "header" {
		s, reason = unescape(raw, p.In == "query" || p.In == "cookie")
	} else if !utf8.ValidString(raw) {
		reason = notText
	}
	if reason != "" {
		return nil, reason
	}
	return scalar(s, k, p.Nullable)
}

// whole decodes a parameter that is described by content: JSON, or text.
func (p *Parameter) whole(raw string) (any, string) {
	v, reason := p.piece(raw, String)
	if reason != "" {
		return nil, reason
	}
	if s := strings.ToLower(p.ContentType); strings.HasPrefix(s, "application/json") || strings.Contains(s, "+json") {
		out, err := schema.Decode([]byte(v.(string)), schema.Limits{})
		if err != nil {
			return nil, notJSON
		}
		return out, ""
	}
	return v, ""
}

// array decodes the items of a list.
func (p *Parameter) array(items []string) (any, string) {
	out := make([]any, 0, len(items))
	for _, it := range items {
		v, reason := p.piece(it, p.Items)
		if reason != "" {
			return nil, reason
		}
		out = append(out, v)
	}
	return out, ""
}

// object decodes names and values that alternate in list.
func (p *Parameter) object(list []string) (any, string) {
	if len(list)%2 != 0 {
		return nil, notPairs
	}
	out := make(map[string]any, len(list)/2)
	for i := 0; i < len(list); i += 2 {
		name, reason := p.piece(list[i], String)
		if reason == "" {
			reason = p.property(out, name.(string), list[i+1])
		}
		if reason != "" {
			return nil, reason
		}
	}
	return out, ""
}

// property decodes one property into out.
func (p *Parameter) property(out map[string]any, name, raw string) string {
	k, known := p.Properties[name]
	if !known {
		if p.Closed {
			return notProperty
		}
		k = p.Extra
	}
	if _, twice := out[name]; twice && k != Array {
		return notOnce
	}
	if k == Array {
		v, reason := p.piece(raw, "")
		if reason == "" {
			before, _ := out[name].([]any)
			out[name] = append(before, v)
		}
		return reason
	}
	v, reason := p.piece(raw, k)
	if reason == "" {
		out[name] = v
	}
	return reason
}

// exploded decodes "name=value" pieces into an object.
func (p *Parameter) exploded(pieces []string) (any, string) {
	list := make([]string, 0, 2*len(pieces))
	for _, piece := range pieces {
		name, value, ok := strings.Cut(piece, "=")
		if !ok {
			return nil, notPairs
		}
		list = append(list, name, value)
	}
	return p.object(list)
}

// path decodes a path segment by style (OpenAPI 3.1.1 section 4.8.12.4, RFC 6570).
func (p *Parameter) path(raw string) (any, string) {
	if p.ContentType != "" {
		return p.whole(raw)
	}
	switch p.Style {
	case "label":
		rest, ok := strings.CutPrefix(raw, ".")
		if !ok {
			return nil, notPrefix
		}
		if p.Explode {
			return p.divided(rest, ".", true)
		}
		return p.divided(rest, ",", false)
	case "matrix":
		return p.matrix(raw)
	}
	return p.divided(raw, ",", p.Explode)
}

// divided decodes one text that holds the whole parameter.
func (p *Parameter) divided(raw, by string, exploded bool) (any, string) {
	switch p.Kind {
	case Array:
		if raw == "" {
			return []any{}, ""
		}
		return p.array(strings.Split(raw, by))
	case Object:
		if raw == "" {
			return map[string]any{}, ""
		}
		if exploded {
			return p.exploded(strings.Split(raw, by))
		}
		return p.object(strings.Split(raw, by))
	}
	return p.piece(raw, p.Kind)
}

func (p *Parameter) matrix(raw string) (any, string) {
	rest, ok := strings.CutPrefix(raw, ";")
	if !ok {
		return nil, notPrefix
	}
	if p.Explode && p.Kind == Object {
		return p.exploded(strings.Split(rest, ";"))
	}
	pieces := []string{rest}
	if p.Explode && p.Kind == Array {
		pieces = strings.Split(rest, ";")
	}
	for i, piece := range pieces {
		name, value, _ := strings.Cut(piece, "=")
		if decoded, reason := unescape(name, false); reason != "" || decoded != p.Name {
			return nil, notPrefix
		}
		pieces[i] = value
	}
	if p.Explode && p.Kind == Array {
		return p.array(pieces)
	}
	return p.divided(pieces[0], ",", false)
}

// header decodes the lines of a header. Header values are not percent-encoded in practice and are left as they are.
func (p *Parameter) header(lines []string) (any, string) {
	if len(lines) > 1 && p.Kind != Array && p.Kind != Object || p.ContentType != "" && len(lines) > 1 {
		return nil, notOnce
	}
	if p.ContentType != "" {
		return p.whole(lines[0])
	}
	if p.Kind != Array && p.Kind != Object {
		return p.piece(strings.Trim(lines[0], " \t"), p.Kind)
	}
	pieces := strings.Split(strings.Join(lines, ","), ",")
	for i := range pieces {
		pieces[i] = strings.Trim(pieces[i], " \t")
	}
	return p.divided(strings.Join(pieces, ","), ",", p.Explode)
}

// form decodes the values given for one name in style form (also that of cookies).
func (p *Parameter) form(values []string) (any, string) {
	if p.ContentType == "" && p.Kind == Array && p.Explode {
		if len(values) == 1 && values[0] == "" {
			return []any{}, ""
		}
		return p.array(values)
	}
	if len(values) > 1 {
		return nil, notOnce
	}
	if p.ContentType != "" {
		return p.whole(values[0])
	}
	return p.divided(values[0], ",", false)
}

// split cuts raw at each delimiter; clients send the same one encoded or not.
func split(raw string, delimiters ...string) []string {
	out := []string{raw}
	for _, d := range delimiters {
		var next []string
		for _, s := range out {
			next = append(next, strings.Split(s, d)...)
		}
		out = next
	}
	return slices.Clip(out)
}
