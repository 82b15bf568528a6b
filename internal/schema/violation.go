package schema

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"portway/internal/problem"
	"portway/internal/schema/strictjson"
)

// maxViolations bounds what one hostile body can make us report; problem.Error shows the first 50 and the total.
const maxViolations = 1000

// violations flattens the engine's tree of errors: every leaf is one violation at the value it is about, ordered by
// pointer. Of a failed anyOf or oneOf, the branch that was evidently meant is reported; without one, the choice itself.
func violations(err *jsonschema.ValidationError, value any, in string) []problem.Violation {
	r := reporter{in: in, value: value}
	r.add(err)
	slices.SortStableFunc(r.out, func(a, b problem.Violation) int {
		if c := comparePointers(a.Pointer, b.Pointer); c != 0 {
			return c
		}
		if c := strings.Compare(a.Keyword, b.Keyword); c != 0 {
			return c
		}
		return strings.Compare(a.Message, b.Message)
	})
	r.out = slices.Compact(r.out)
	if len(r.out) > maxViolations {
		r.out = r.out[:maxViolations]
	}
	return r.out
}

type reporter struct {
	in    string
	value any
	out   []problem.Violation
}

// owner finds the object a refused member name belongs to. The engine (6.0.3) reports the right depth but, once a
// sibling was visited, a wrong path; the first object at that depth with that member that is not reported yet is it.
func (r *reporter) owner(depth int, name string) []string {
	var found []string
	var visit func(v any, path []string) bool
	visit = func(v any, path []string) bool {
		switch t := v.(type) {
		case map[string]any:
			if len(path) == depth {
				if _, has := t[name]; has && !r.reported(path, name) {
					found = slices.Clone(path)
				}
				return found != nil
			}
			for _, k := range slices.Sorted(maps.Keys(t)) {
				if visit(t[k], append(path, k)) {
					return true
				}
			}
		case []any:
			for i := 0; i < len(t) && len(path) < depth; i++ {
				if visit(t[i], append(path, strconv.Itoa(i))) {
					return true
				}
			}
		}
		return false
	}
	visit(r.value, nil)
	return found
}

func (r *reporter) reported(path []string, name string) bool {
	p := pointer(path, name)
	return slices.ContainsFunc(r.out, func(v problem.Violation) bool { return v.Keyword == "propertyNames" && v.Pointer == p })
}

func pointer(tokens []string, more ...string) string {
	var sb strings.Builder
	for _, t := range slices.Concat(tokens, more) {
		sb.WriteByte('/')
		sb.WriteString(strictjson.PointerToken(t))
	}
	return sb.String()
}

func (r *reporter) put(loc []string, keyword, message string, more ...string) {
	r.out = append(r.out, problem.Violation{In: r.in, Pointer: pointer(loc, more...), Keyword: keyword, Message: message})
}

func (r *reporter) add(e *jsonschema.ValidationError) {
	if len(r.out) > 2*maxViolations {
		return
	}
	loc := e.InstanceLocation
	switch k := e.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.Reference, *kind.AllOf, nil:
		for _, c := range e.Causes {
			r.add(c)
		}
	case *kind.AnyOf:
		r.choice(e, "anyOf", fmt.Sprintf("must match at least one of %d alternatives", len(e.Causes)))
	case *kind.OneOf:
		if len(k.Subschemas) > 0 {
			r.put(loc, "oneOf", "must match exactly one alternative, but matches several")
			return
		}
		r.choice(e, "oneOf", fmt.Sprintf("must match one of %d alternatives", len(e.Causes)))
	case *kind.Required:
		for _, p := range k.Missing {
			r.put(loc, "required", "is required", p)
		}
	case *kind.DependentRequired:
		r.dependent(loc, "dependentRequired", k.Prop, k.Missing)
	case *kind.Dependency:
		r.dependent(loc, "dependencies", k.Prop, k.Missing)
	case *kind.AdditionalProperties:
		for _, p := range k.Properties {
			r.put(loc, "additionalProperties", "is not a property of this object", p)
		}
	case *kind.PropertyNames:
		r.put(r.owner(len(loc), k.Property), "propertyNames", "has a name that this object does not admit", k.Property)
	case *kind.FalseSchema:
		keyword, message := refused(e.SchemaURL)
		r.put(loc, keyword, message)
	default:
		keyword, message := leaf(e.ErrorKind)
		r.put(loc, keyword, message)
	}
}

func (r *reporter) dependent(loc []string, keyword, prop string, missing []string) {
	for _, p := range missing {
		r.put(loc, keyword, fmt.Sprintf("is required together with %s", quoteShort(prop)), p)
	}
}

// refused words the failure of a schema that admits nothing, by where that schema stands.
func refused(url string) (keyword, message string) {
	for name, u := range markers() {
		if strings.TrimSuffix(url, "#") == u {
			if name == "readOnly" {
				return name, "is read-only and must not be sent in a request"
			}
			return name, "is write-only and must not appear in a response"
		}
	}
	last := url[strings.LastIndexByte(url, '/')+1:]
	switch last {
	case "unevaluatedProperties", "additionalProperties":
		return last, "is not a property of this object"
	case "unevaluatedItems", "additionalItems", "items":
		return last, "is an item too many"
	}
	return "false", "must not be present"
}

// choice reports a failed anyOf or oneOf.
func (r *reporter) choice(e *jsonschema.ValidationError, keyword, message string) {
	var meant *jsonschema.ValidationError
	for _, c := range e.Causes {
		if wrongBranch(c, len(e.InstanceLocation)) {
			continue
		}
		if meant != nil {
			r.put(e.InstanceLocation, keyword, message)
			return
		}
		meant = c
	}
	if meant == nil {
		if types := branchTypes(e); len(types) > 0 {
			r.put(e.InstanceLocation, "type", "must be "+orList(types))
			return
		}
		r.put(e.InstanceLocation, keyword, message)
		return
	}
	r.add(meant)
}

// wrongBranch reports whether a branch fails on what tells branches apart: the type of the value, or a constant in it.
func wrongBranch(e *jsonschema.ValidationError, depth int) bool {
	switch e.ErrorKind.(type) {
	case *kind.Type:
		return len(e.InstanceLocation) == depth
	case *kind.Const, *kind.Enum:
		return len(e.InstanceLocation) <= depth+1
	case *kind.Schema, *kind.Group, *kind.Reference, *kind.AllOf:
		return slices.ContainsFunc(e.Causes, func(c *jsonschema.ValidationError) bool { return wrongBranch(c, depth) })
	case *kind.AnyOf, *kind.OneOf:
		return len(e.Causes) > 0 && !slices.ContainsFunc(e.Causes, func(c *jsonschema.ValidationError) bool { return !wrongBranch(c, depth) })
	}
	return false
}

// branchTypes collects the types of the branches if every branch failed on the type alone.
func branchTypes(e *jsonschema.ValidationError) []string {
	var out []string
	for _, c := range e.Causes {
		for {
			if _, ok := c.ErrorKind.(*kind.Reference); !ok || len(c.Causes) != 1 {
				break
			}
			c = c.Causes[0]
		}
		t, ok := c.ErrorKind.(*kind.Type)
		if !ok || len(c.InstanceLocation) != len(e.InstanceLocation) {
			return nil
		}
		for _, w := range t.Want {
			if !slices.Contains(out, w) {
				out = append(out, w)
			}
		}
	}
	return out
}

// leaf words an error that is about one keyword. Only the contract's side of it is used, never the value.
func leaf(k jsonschema.ErrorKind) (keyword, message string) {
	switch k := k.(type) {
	case *kind.Type:
		return "type", "must be " + orList(k.Want)
	case *kind.Const:
		return "const", "must be " + shortJSON(k.Want)
	case *kind.Enum:
		return "enum", "must be " + oneOfValues(k.Want)
	case *kind.Format:
		return "format", "must be " + formatText(k.Want)
	case *kind.MinLength:
		return "minLength", "must have at least " + plural(k.Want, "character")
	case *kind.MaxLength:
		return "maxLength", "must have at most " + plural(k.Want, "character")
	case *kind.Pattern:
		return "pattern", "must match the pattern " + quoteShort(k.Want)
	case *kind.MinItems:
		return "minItems", "must have at least " + plural(k.Want, "item")
	case *kind.MaxItems:
		return "maxItems", "must have at most " + plural(k.Want, "item")
	case *kind.UniqueItems:
		return "uniqueItems", fmt.Sprintf("must not repeat an item (items %d and %d are equal)", k.Duplicates[0], k.Duplicates[1])
	case *kind.AdditionalItems:
		return "additionalItems", "has items too many"
	case *kind.Contains:
		return "contains", "must contain a certain kind of item"
	case *kind.MinContains:
		return "minContains", fmt.Sprintf("must contain at least %d items of a certain kind", k.Want)
	case *kind.MaxContains:
		return "maxContains", fmt.Sprintf("must contain at most %d items of a certain kind", k.Want)
	case *kind.MinProperties:
		return "minProperties", "must have at least " + plural(k.Want, "member")
	case *kind.MaxProperties:
		return "maxProperties", "must have at most " + plural(k.Want, "member")
	case *kind.Minimum:
		return "minimum", "must be at least " + rat(k.Want)
	case *kind.Maximum:
		return "maximum", "must be at most " + rat(k.Want)
	case *kind.ExclusiveMinimum:
		return "exclusiveMinimum", "must be greater than " + rat(k.Want)
	case *kind.ExclusiveMaximum:
		return "exclusiveMaximum", "must be less than " + rat(k.Want)
	case *kind.MultipleOf:
		return "multipleOf", "must be a multiple of " + rat(k.Want)
	case *kind.Not:
		return "not", "must not have the excluded form"
	case *kind.RefCycle:
		return "$ref", "cannot be checked: the contract refers to itself here"
	}
	return "schema", "must match the contract"
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// article puts the words of the field before a JSON type.
func article(t string) string {
	switch t {
	case "null":
		return "null"
	case "integer":
		return "a whole number"
	case "array", "object":
		return "an " + t
	}
	return "a " + t
}

func orList(types []string) string {
	words := make([]string, 0, len(types))
	for _, t := range types {
		if t != "null" {
			words = append(words, article(t))
		}
	}
	if slices.Contains(types, "null") {
		words = append(words, "null")
	}
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

func shortJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "the constant of the contract"
	}
	const most = 100
	if len(b) > most {
		return strings.ToValidUTF8(string(b[:most]), "") + "…"
	}
	return string(b)
}

func oneOfValues(want []any) string {
	const most = 20
	words := make([]string, 0, most)
	for i, v := range want {
		if i == most {
			return fmt.Sprintf("one of %s or %d more of the contract", strings.Join(words, ", "), len(want)-most)
		}
		words = append(words, shortJSON(v))
	}
	if len(words) == 1 {
		return words[0]
	}
	return "one of " + strings.Join(words, ", ")
}

// rat writes a bound of the contract exactly if it is a decimal of ordinary length.
func rat(r *big.Rat) string {
	if r.IsInt() {
		return r.Num().String()
	}
	if n, exact := r.FloatPrec(); exact && n <= 20 {
		return r.FloatString(n)
	}
	f, _ := r.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// comparePointers orders pointers token by token, array indexes by number.
func comparePointers(a, b string) int {
	for a != "" && b != "" {
		var ta, tb string
		ta, a = cutToken(a)
		tb, b = cutToken(b)
		if ta == tb {
			continue
		}
		na, erra := strconv.Atoi(ta)
		nb, errb := strconv.Atoi(tb)
		if erra == nil && errb == nil {
			return na - nb
		}
		return strings.Compare(ta, tb)
	}
	return len(a) - len(b)
}

func cutToken(p string) (string, string) {
	p = strings.TrimPrefix(p, "/")
	if i := strings.IndexByte(p, '/'); i >= 0 {
		return p[:i], p[i:]
	}
	return p, ""
}
