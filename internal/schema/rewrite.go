package schema

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// shape is the kind of value a keyword must have to mean anything.
type shape int

const (
	shapeAny     shape = iota
	shapeSchema        // a schema
	shapeSchemas       // an array of schemas, not empty
	shapeNamed         // an object of schemas
	shapeNumber
	shapeCount // an integer that is not negative
	shapeBool
	shapeText
	shapeTexts // an array of strings
	shapeArray
	shapeObject
	shapeType
)

// keyword is how a keyword of JSON Schema 2020-12 is treated.
type keyword struct {
	shape shape
	// here is true if its schemas apply to the same value, false if they apply to a part of it.
	here bool
}

// keywordOf returns the treatment of a keyword that has an effect on validation, and whether it is one.
// Everything else (description, example, discriminator, xml, x-…) is dropped from the compiled schema.
func keywordOf(name string) (keyword, bool) {
	switch name {
	case "$ref", "format", "pattern":
		return keyword{shape: shapeText}, true
	case "type":
		return keyword{shape: shapeType}, true
	case "enum":
		return keyword{shape: shapeArray}, true
	case "const":
		return keyword{}, true
	case "multipleOf", "maximum", "minimum", "exclusiveMaximum", "exclusiveMinimum":
		return keyword{shape: shapeNumber}, true
	case "maxLength", "minLength", "maxItems", "minItems", "maxContains", "minContains", "maxProperties", "minProperties":
		return keyword{shape: shapeCount}, true
	case "uniqueItems":
		return keyword{shape: shapeBool}, true
	case "required":
		return keyword{shape: shapeTexts}, true
	case "dependentRequired":
		return keyword{shape: shapeObject}, true
	case "allOf", "anyOf", "oneOf":
		return keyword{shapeSchemas, true}, true
	case "not", "if", "then", "else":
		return keyword{shapeSchema, true}, true
	case "dependentSchemas":
		return keyword{shapeNamed, true}, true
	case "prefixItems":
		return keyword{shape: shapeSchemas}, true
	case "items", "contains", "additionalProperties", "propertyNames", "unevaluatedItems", "unevaluatedProperties":
		return keyword{shape: shapeSchema}, true
	case "properties", "patternProperties":
		return keyword{shape: shapeNamed}, true
	}
	return keyword{}, false
}

// only31 reports whether a keyword of JSON Schema 2020-12 does not exist in OpenAPI 3.0, which ignores it.
func only31(name string) bool {
	switch name {
	case "const", "maxContains", "minContains", "contains", "dependentRequired", "dependentSchemas", "if", "then", "else",
		"prefixItems", "patternProperties", "propertyNames", "unevaluatedItems", "unevaluatedProperties":
		return true
	}
	return false
}

// wrong says what v must be, or returns "".
func (s shape) wrong(v any) string {
	ok, want := true, ""
	switch s {
	case shapeSchema:
		_, isMap := v.(map[string]any)
		_, isBool := v.(bool)
		ok, want = isMap || isBool, "a schema"
	case shapeSchemas:
		a, isArray := v.([]any)
		ok, want = isArray && len(a) > 0, "a list of schemas"
	case shapeNamed, shapeObject:
		_, ok = v.(map[string]any)
		want = "an object"
	case shapeNumber:
		_, ok = v.(json.Number)
		want = "a number"
	case shapeCount:
		n, isNumber := v.(json.Number)
		ok, want = isNumber && count(string(n)), "a whole number that is not negative"
	case shapeBool:
		_, ok = v.(bool)
		want = "true or false"
	case shapeText:
		_, ok = v.(string)
		want = "a string"
	case shapeTexts:
		ok, want = isTexts(v), "a list of strings"
	case shapeArray:
		_, ok = v.([]any)
		want = "a list"
	}
	if ok {
		return ""
	}
	return "must be " + want
}

func isTexts(v any) bool {
	a, ok := v.([]any)
	for _, e := range a {
		if _, isText := e.(string); !isText {
			return false
		}
	}
	return ok
}

// count accepts 3 and 3.0, as JSON Schema does, up to nine digits.
func count(s string) bool {
	whole, frac, _ := strings.Cut(s, ".")
	return len(whole) <= 9 && strings.Trim(whole, "0123456789") == "" && whole != "" && strings.Trim(frac, "0") == ""
}

// knownType reports whether s is a type name of JSON Schema.
func knownType(s string) bool {
	switch s {
	case "string", "number", "integer", "boolean", "array", "object", "null":
		return true
	}
	return false
}

// from30 rewrites the keywords of an OpenAPI 3.0 Schema Object that differ in 2020-12 (OpenAPI 3.0.4 section
// 4.7.24). in is not changed.
func from30(in map[string]any) map[string]any {
	if ref, ok := in["$ref"].(string); ok {
		return map[string]any{"$ref": ref}
	}
	out := make(map[string]any, len(in))
	for k, v := range in {
		if !only31(k) {
			out[k] = v
		}
	}
	exclusive(out, "minimum", "exclusiveMinimum")
	exclusive(out, "maximum", "exclusiveMaximum")
	if nullable, _ := in["nullable"].(bool); nullable {
		nullable30(out)
	}
	return out
}

func exclusive(s map[string]any, bound, flag string) {
	on, isBool := s[flag].(bool)
	if !isBool {
		return
	}
	delete(s, flag)
	if b, ok := s[bound]; ok && on {
		s[flag] = b
		delete(s, bound)
	}
}

// nullable30 admits null. With a type, null joins it, and an enum must still list null (OpenAPI 3.0.4, "nullable").
// Without one but with allOf (the usual way to say "this reference, or null"), null is admitted beside the rest,
// although the letter of 3.0.4 gives nullable no effect there: nobody writes it to mean nothing.
func nullable30(s map[string]any) {
	if t, ok := s["type"].(string); ok {
		s["type"] = []any{t, "null"}
		return
	}
	if _, ok := s["allOf"]; !ok {
		return
	}
	rest := map[string]any{}
	for k, v := range s {
		rest[k] = v
		delete(s, k)
	}
	delete(rest, "nullable")
	s["anyOf"] = []any{map[string]any{"type": "null"}, rest}
	for _, k := range []string{"readOnly", "writeOnly"} {
		if v, ok := rest[k]; ok {
			s[k] = v
		}
	}
}

// cleanType keeps the type names that exist and names the others.
func cleanType(v any) (kept any, unknown []string) {
	switch t := v.(type) {
	case string:
		if knownType(t) {
			return t, nil
		}
		return nil, []string{t}
	case []any:
		var out []any
		for _, e := range t {
			s, ok := e.(string)
			switch {
			case !ok:
				unknown = append(unknown, "a value that is not a string")
			case !knownType(s):
				unknown = append(unknown, s)
			case !slices.Contains(out, any(s)):
				out = append(out, s)
			}
		}
		if len(unknown) > 0 || len(out) == 0 {
			return nil, append(unknown, "")[:max(1, len(unknown))]
		}
		return out, nil
	}
	return nil, []string{"a value that is not a string"}
}

// compilePattern compiles an ECMA-262 pattern as RE2. \uXXXX is the one common spelling RE2 lacks.
func compilePattern(p string) (*regexp.Regexp, error) {
	re, err := regexp.Compile(unicodeEscapes(p))
	if err != nil {
		return nil, fmt.Errorf("%s is not a regular expression of RE2 (linear time: no look-around, no back references)", quoteShort(p))
	}
	return re, nil
}

func unicodeEscapes(p string) string {
	if !strings.Contains(p, `\u`) {
		return p
	}
	var sb strings.Builder
	for i := 0; i < len(p); i++ {
		if p[i] == '\\' && i+1 < len(p) {
			if p[i+1] == 'u' && len(p) >= i+6 {
				if _, err := strconv.ParseUint(p[i+2:i+6], 16, 16); err == nil {
					sb.WriteString(`\x{` + p[i+2:i+6] + `}`)
					i += 5
					continue
				}
			}
			sb.WriteByte(p[i])
			i++
		}
		sb.WriteByte(p[i])
	}
	return sb.String()
}

// quoteShort quotes a part of the contract for a message, shortened.
func quoteShort(s string) string {
	const most = 120
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return `"` + s + `"`
}
