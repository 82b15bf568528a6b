package mapping

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"portway/internal/mapping/jq"
	"portway/internal/problem"
)

// Env is what Apply knows besides the document.
type Env struct {
	Zone *time.Location // the partner's time zone; nil is UTC, with a warning when it mattered
	Vars map[string]any // $vars: JSON values (string, bool, int, json.Number, []any, map[string]any)
	// Source names the position of a source path ("lx[0].w12[1].shipped") for messages, "" if unknown.
	Source func(path string) string
}

// Warning is something a mapping read over.
type Warning struct {
	Field   string // target field, "lines[3].status"
	Message string
}

// Result is what a document became.
type Result struct {
	Data           map[string]any // JSON values; numbers are json.Number
	Warnings       []Warning
	TimezoneSource string // "message", "partner-default", "location"; of the first time mapped, "" without one
}

// maxViolations bounds how many violations one document reports.
const maxViolations = 200

type run struct {
	m          *Mapping
	env        *Env
	res        *Result
	violations []problem.Violation
	in         string
	stop       bool
	zoneless   bool
}

// Apply maps one document: a tree of a guide, or decoded JSON with json.Number. It reports every violation
// at once; with any, the result is nil. What one document may cost is bounded (budget).
func (m *Mapping) Apply(ctx context.Context, in any, env Env) (*Result, []problem.Violation) {
	r := &run{m: m, env: &env, res: &Result{}, in: "document"}
	if m.Source.Format == "json" {
		r.in = "body"
	}
	vars, err := plainVars(env.Vars)
	if err != nil {
		r.violate("", "vars", "$vars holds a value that is not JSON", "")
		return nil, r.violations
	}
	s := jq.NewScope(ctx, in, vars)
	for _, e := range m.let {
		v, err := e.Evaluate(s)
		if err != nil {
			r.failed("let", e, s, err)
			return nil, r.violations
		}
		s.Define(v)
	}
	r.res.Data = r.object(m.fields, s, "")
	if len(r.violations) > 0 {
		return nil, r.violations
	}
	return r.res, nil
}

// plainVars makes sure that expressions only meet the types gojq knows.
func plainVars(vars map[string]any) (any, error) {
	for _, v := range vars {
		switch v.(type) {
		case nil, string, bool, int, json.Number:
		default:
			return jq.Normal(vars)
		}
	}
	if vars == nil {
		return map[string]any{}, nil
	}
	return vars, nil
}

func (r *run) violate(pointer, keyword, message, source string) {
	if source != "" {
		message += "; source " + source
	}
	if len(r.violations) < maxViolations {
		r.violations = append(r.violations, problem.Violation{In: r.in, Pointer: pointer, Keyword: keyword, Message: message})
	}
}

// origin is the expression or iteration a value came from.
type origin interface {
	String() string
	SourcePath(s *jq.Scope) string
}

// fail reports a violation of a target field. The pointer leads into the JSON the caller sent when the
// position there is known, else to the target field.
func (r *run) fail(field, keyword string, e origin, s *jq.Scope, message string) {
	path := e.SourcePath(s)
	source := ""
	if r.env.Source != nil {
		source = r.env.Source(path)
	}
	at := field
	if r.in == "body" && path != "" {
		at = path
	}
	what := "field " + field
	if src := e.String(); src != "" {
		what += fmt.Sprintf(" (expr %q)", clip(src))
	}
	r.violate(pointer(at), keyword, what+": "+message, source)
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:77] + "..."
	}
	return s
}

// failed reports an error of an expression.
func (r *run) failed(field string, e origin, s *jq.Scope, err error) {
	if s.Exhausted() {
		r.stop = true
		r.fail(field, "budget", e, s, "the mapping costs more than one document may")
		return
	}
	r.fail(field, "expr", e, s, jq.Reason(err))
}

// pointer turns "lines[3].lineNo" into the JSON Pointer "/lines/3/lineNo".
func pointer(path string) string {
	if path == "" {
		return ""
	}
	return "/" + strings.NewReplacer("].", "/", "]", "", "[", "/", ".", "/", "~", "~0", "/", "~1").Replace(path)
}

func (r *run) warn(field, message string) {
	if len(r.res.Warnings) < maxViolations {
		r.res.Warnings = append(r.res.Warnings, Warning{Field: field, Message: message})
	}
}

// object evaluates fields into a new object; prefix is its name in messages.
func (r *run) object(fields []*field, s *jq.Scope, prefix string) map[string]any {
	out := make(map[string]any, len(fields))
	for _, f := range fields {
		if r.stop {
			return out
		}
		v, ok := r.field(f, s, prefix)
		if !ok {
			continue
		}
		at := out
		for _, name := range f.to[:len(f.to)-1] {
			next, _ := at[name].(map[string]any)
			if next == nil {
				next = map[string]any{}
				at[name] = next
			}
			at = next
		}
		at[f.to[len(f.to)-1]] = v
	}
	return out
}

// name is the field's full name, built only when a message needs it.
func (f *field) name(prefix string) string { return jq.JoinPath(prefix, f.label) }

// field evaluates one field; false leaves it out.
func (r *run) field(f *field, s *jq.Scope, prefix string) (any, bool) {
	if f.when != nil && !r.holds(f, f.when, s, prefix) {
		return nil, false
	}
	switch {
	case f.isConst:
		return f.constant, true
	case f.each != nil:
		return r.list(f, s, prefix)
	case len(f.fields) > 0:
		return r.nested(f, s, prefix)
	case f.value != nil:
		return r.amount(f, s, prefix)
	}
	v, err := f.expr.Evaluate(s)
	if err != nil {
		r.failed(f.name(prefix), f.expr, s, err)
		return nil, false
	}
	return r.typed(f, v, s, prefix)
}

// holds evaluates a condition: null and false do not hold.
func (r *run) holds(f *field, e *jq.Expression, s *jq.Scope, prefix string) bool {
	v, err := e.Evaluate(s)
	if err != nil {
		r.failed(f.name(prefix), e, s, err)
		return false
	}
	return v != nil && v != false
}

func absent(v any) bool { return v == nil || v == "" }

// missing is the outcome of a field without value.
func (r *run) missing(f *field, e *jq.Expression, s *jq.Scope, prefix string) (any, bool) {
	if f.hasDef {
		if f.warnDef {
			r.warn(f.name(prefix), "no value; the default was used")
		}
		return f.fallback, true
	}
	if f.required {
		r.fail(f.name(prefix), "required", e, s, "a value is required")
	}
	return nil, false
}

// typed applies lookup, default and type to a value.
func (r *run) typed(f *field, v any, s *jq.Scope, prefix string) (any, bool) {
	if absent(v) {
		return r.missing(f, f.expr, s, prefix)
	}
	if f.table != nil {
		key, ok := scalarText(v)
		hit, known := f.table[key]
		switch {
		case ok && known:
			v = hit
		case f.hasDef:
			return r.missing(f, f.expr, s, prefix)
		case f.onMissing == "keep":
		case f.onMissing == "warn":
			r.warn(f.name(prefix), fmt.Sprintf("the code is not in table %q; it was kept", f.tableName))
		default:
			r.fail(f.name(prefix), "lookup", f.expr, s, fmt.Sprintf("the code is not in table %q", f.tableName))
			return nil, false
		}
	}
	out, why := r.convert(f, v)
	if why != "" {
		r.fail(f.name(prefix), "type", f.expr, s, why)
		return nil, false
	}
	if absent(out) {
		return r.missing(f, f.expr, s, prefix)
	}
	return out, true
}

func scalarText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return string(v), true
	case bool:
		if v {
			return "true", true
		}
		return "false", true
	}
	if d, ok := jq.ToDecimal(v); ok {
		return d.String(), true
	}
	return "", false
}

// convert gives a value the field's type; why says what it is not, without showing it.
func (r *run) convert(f *field, v any) (out any, why string) {
	switch f.kind {
	case "string":
		switch v := v.(type) {
		case string:
			return v, ""
		case map[string]any, []any, bool:
		default:
			if s, ok := scalarText(v); ok {
				return s, ""
			}
		}
		return nil, "not text"
	case "int":
		if d, ok := jq.ToDecimal(v); ok {
			if n, ok := d.Shortest().Int64(); ok {
				return json.Number(strconv.FormatInt(n, 10)), ""
			}
		}
		return nil, "not an integer"
	case "decimal":
		if s, ok := decimalText(v); ok {
			return s, ""
		}
		return nil, notDecimalText(v)
	case "number":
		if s, ok := decimalText(v); ok {
			return json.Number(s), ""
		}
		return nil, notDecimalText(v)
	case "bool":
		switch v {
		case true, "true":
			return true, ""
		case false, "false":
			return false, ""
		}
		return nil, "not true or false"
	case "date", "datetime":
		return r.moment(f, v)
	case "object":
		if _, ok := v.(map[string]any); !ok {
			return nil, "not an object"
		}
	case "array":
		if _, ok := v.([]any); !ok {
			return nil, "not a list"
		}
	}
	n, err := jq.Normal(v)
	if err != nil {
		return nil, jq.Reason(err)
	}
	return n, ""
}

func decimalText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return jq.DecimalText(v)
	case json.Number:
		return jq.DecimalText(string(v))
	}
	d, ok := jq.ToDecimal(v)
	if !ok {
		return "", false
	}
	return d.String(), true
}

func notDecimalText(v any) string {
	if _, ok := v.(float64); ok {
		return "a floating-point number: use the dec functions"
	}
	return "not a decimal number"
}

// moment reads dates and times. A time without offset is the wall clock of the partner or of the mapping.
func (r *run) moment(f *field, v any) (any, string) {
	s, ok := v.(string)
	if !ok {
		return nil, "not a " + f.kind
	}
	zone, source := f.zone, fromLocation
	if zone == nil {
		zone, source = r.env.Zone, fromPartner
	}
	if zone == nil {
		zone = time.UTC
	}
	t, own, ok := parseTime(f.formats, s, zone)
	if !ok {
		return nil, "not a " + f.kind + " of the format"
	}
	if f.kind == "date" {
		return t.Format("2006-01-02"), ""
	}
	if own {
		source = fromMessage
	} else if f.zone == nil && r.env.Zone == nil && !r.zoneless {
		r.zoneless = true
		r.warn(f.label, "the partner has no time zone; UTC was assumed")
	}
	if r.res.TimezoneSource == "" {
		r.res.TimezoneSource = source
	}
	return t.Format(time.RFC3339Nano), ""
}

// amount builds {value, unit} or {amount, currency}.
func (r *run) amount(f *field, s *jq.Scope, prefix string) (any, bool) {
	v, err := f.value.Evaluate(s)
	if err != nil {
		r.failed(f.name(prefix), f.value, s, err)
		return nil, false
	}
	if absent(v) {
		return r.missing(f, f.value, s, prefix)
	}
	n, ok := decimalText(v)
	if !ok {
		r.fail(f.name(prefix), "type", f.value, s, notDecimalText(v))
		return nil, false
	}
	u, err := f.unit.Evaluate(s)
	if err != nil {
		r.failed(f.name(prefix), f.unit, s, err)
		return nil, false
	}
	unit, ok := u.(string)
	if !ok || unit == "" {
		r.fail(f.name(prefix), "required", f.unit, s, "the "+unitWord(f)+" is missing")
		return nil, false
	}
	if f.kind == "money" {
		return map[string]any{"amount": n, "currency": unit}, true
	}
	return map[string]any{"value": n, "unit": unit}, true
}

func unitWord(f *field) string {
	if f.kind == "money" {
		return "currency"
	}
	return "unit"
}

// nested builds an object from fields; expr, if given, is what they see.
func (r *run) nested(f *field, s *jq.Scope, prefix string) (any, bool) {
	inner := s
	if f.expr != nil {
		v, err := f.expr.Evaluate(s)
		if err != nil {
			r.failed(f.name(prefix), f.expr, s, err)
			return nil, false
		}
		if absent(v) {
			return r.missing(f, f.expr, s, prefix)
		}
		inner = s.Enter(f.expr, v)
	}
	o := r.object(f.fields, inner, f.name(prefix))
	if len(o) == 0 {
		return r.missing(f, f.expr, s, prefix)
	}
	return o, true
}

var errStop = errors.New("the mapping has stopped")

// list builds an array from the items of each; an empty one is left out.
func (r *run) list(f *field, s *jq.Scope, prefix string) (any, bool) {
	var out []any
	before := len(r.violations)
	err := f.each.Items(s, func(item *jq.Scope) error {
		if f.where != nil && !r.holds(f, f.where, item, prefix) {
			return nil
		}
		if len(f.fields) > 0 {
			if o := r.object(f.fields, item, f.name(prefix)+"["+strconv.Itoa(len(out))+"]"); len(o) > 0 {
				out = append(out, o)
			}
		} else if v, err := f.expr.Evaluate(item); err != nil {
			r.failed(f.name(prefix), f.expr, item, err)
		} else if v, ok := r.typed(f, v, item, prefix); ok {
			out = append(out, v)
		}
		if r.stop {
			return errStop
		}
		return nil
	})
	if err != nil && !r.stop {
		r.failed(f.name(prefix), f.each, s, err)
	}
	if len(out) == 0 {
		if f.required && len(r.violations) == before {
			r.fail(f.name(prefix), "required", f.each, s, "at least one item is required")
		}
		return nil, false
	}
	return out, true
}
