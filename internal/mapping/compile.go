// Package mapping compiles mapping documents and applies them: a source tree (X12, JSON, files) becomes
// canonical event data or another partner's JSON. A mapping is data: paths, code tables, types and, for the
// rest, jq expressions (gojq). It is pure: no input or output, no clock, no floats; the same document always
// gives the same result, or violations that name the target field, the expression and the source position,
// and never a value.
package mapping

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"portway/internal/datafile"
	"portway/internal/mapping/jq"
)

// Source says what a mapping reads: Format "x12" with Set (ST01) and Version (GS08), or "json".
type Source struct {
	Format, Set, Version string
}

// Mapping is a compiled mapping document. It is immutable and safe for concurrent use.
type Mapping struct {
	File    string // as given to Compile
	Name    string // file name without folder and extension
	Version int    // of the document; a version in use never changes
	Source  Source
	Target  string // event type, or "json"

	let    []*jq.Expression
	fields []*field
	tests  []datafile.Lined[testDoc]
}

// field is one compiled target field.
type field struct {
	to        []string
	label     string // to, as written
	expr      *jq.Expression
	constant  any
	isConst   bool
	each      *jq.Each
	when      *jq.Expression
	where     *jq.Expression
	value     *jq.Expression
	unit      *jq.Expression
	kind      string
	formats   []timeFormat
	zone      *time.Location // nil: the partner's
	required  bool
	fallback  any
	hasDef    bool
	warnDef   bool
	table     map[string]any
	tableName string
	onMissing string
	fields    []*field
}

type compiler struct {
	file     string
	problems datafile.Problems
	vars     []string
	tables   map[string]map[string]any
}

func (c *compiler) add(line int, format string, args ...any) {
	c.problems.Add(c.file, max(line, 1), format, args...)
}

// Compile reads a mapping document (kind: mapping, schema: 1). On any problem the mapping is nil and every
// problem is listed in the order of the lines. file is used in messages and for the name.
func Compile(file string, src []byte) (*Mapping, datafile.Problems) {
	c := &compiler{file: file, vars: jq.Variables(), tables: map[string]map[string]any{}}
	var doc document
	if problems := datafile.Decode(file, "mapping", src, &doc); problems != nil {
		return nil, problems
	}
	m := c.mapping(&doc)
	if len(c.problems) > 0 {
		return nil, c.problems.Sort()
	}
	return m, nil
}

func (c *compiler) mapping(doc *document) *Mapping {
	base := path.Base(c.file)
	m := &Mapping{File: c.file, Name: strings.TrimSuffix(base, path.Ext(base)), Target: doc.Target.Value, tests: doc.Tests,
		Source: Source{Format: doc.Source.Format.Value, Set: doc.Source.Set.Value, Version: doc.Source.Version.Value}}
	var err error
	if m.Version, err = strconv.Atoi(doc.Version.Value); err != nil || m.Version < 1 {
		c.add(doc.Version.Line, "version must be a whole number from 1")
	}
	switch m.Source.Format {
	case "json":
	case "x12":
		if m.Source.Set == "" || m.Source.Version == "" {
			c.add(doc.Source.Format.Line, "source needs set and version for x12")
		}
	default:
		c.add(doc.Source.Format.Line, `source.format must be "json" or "x12"`)
	}
	if m.Target == "" {
		c.add(doc.Target.Line, `target is missing: an event type or "json"`)
	}
	c.readTables(doc)
	c.readLet(&doc.Let, m)
	if len(doc.Fields) == 0 {
		c.add(1, "fields is missing")
	}
	m.fields = c.fields(doc.Fields, 0)
	for i := range doc.Tests {
		t, line := &doc.Tests[i].Value, doc.Tests[i].Line
		if t.Name.Value == "" || t.In.Value == "" || (t.Out.Value == "") == (len(t.Errors) == 0) {
			c.add(line, "a test needs name, in, and either out or errors")
		}
		if t.Vars.Kind != 0 {
			if v, err := value(&t.Vars, 0); err != nil {
				c.add(t.Vars.Line, "vars: %s", err)
			} else if _, ok := v.(map[string]any); !ok {
				c.add(t.Vars.Line, "vars must be an object")
			}
		}
		if _, err := time.LoadLocation(t.Zone.Value); err != nil {
			c.add(t.Zone.Line, "zone is not an IANA time zone")
		}
	}
	return m
}

func (c *compiler) readTables(doc *document) {
	for name, n := range doc.Tables {
		v, err := value(&n, 0)
		t, ok := v.(map[string]any)
		if err != nil || !ok || len(t) == 0 {
			c.add(n.Line, "table %q must be an object of codes", name)
			continue
		}
		c.tables[name] = t
	}
}

func (c *compiler) readLet(n *yaml.Node, m *Mapping) {
	if n.Kind == 0 {
		return
	}
	if n.Kind != yaml.MappingNode {
		c.add(n.Line, "let must be an object of expressions")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, v := n.Content[i], n.Content[i+1]
		var t datafile.Text
		if err := t.UnmarshalYAML(v); err != nil || !identifier(name.Value) {
			c.add(name.Line, "let needs a plain name and an expression")
			continue
		}
		if slices.Contains(c.vars, "$"+name.Value) {
			c.add(name.Line, "$%s is already defined", name.Value)
			continue
		}
		e := c.expression(t, "let "+name.Value)
		c.vars = append(c.vars, "$"+name.Value)
		if e != nil {
			m.let = append(m.let, e)
		}
	}
}

func identifier(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '_' && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// expression compiles one expression; nil after a problem.
func (c *compiler) expression(t datafile.Text, what string) *jq.Expression {
	e, issues := jq.Compile(t.Value, c.vars)
	c.issues(t, what, issues)
	return e
}

func (c *compiler) issues(t datafile.Text, what string, issues []jq.Issue) {
	for _, i := range issues {
		c.add(t.First+i.Line, "%s: %s", what, i.Message)
	}
}

// optional compiles an expression when it is given.
func (c *compiler) optional(t datafile.Text, what string) *jq.Expression {
	if !t.Set {
		return nil
	}
	return c.expression(t, what)
}

var kinds = []string{"", "string", "int", "number", "decimal", "bool", "date", "datetime", "quantity", "money", "object", "array"}

func (c *compiler) fields(docs []datafile.Lined[fieldDoc], depth int) []*field {
	if depth > 8 {
		c.add(docs[0].Line, "fields are nested too deep")
		return nil
	}
	seen := map[string]bool{}
	out := make([]*field, 0, len(docs))
	for i := range docs {
		d, line := &docs[i].Value, docs[i].Line
		f := c.field(d, line, depth)
		if seen[f.label] {
			c.add(d.To.Line, "field %s is set twice", f.label)
		}
		for other := range seen {
			if strings.HasPrefix(f.label, other+".") || strings.HasPrefix(other, f.label+".") {
				c.add(d.To.Line, "fields %s and %s overlap", other, f.label)
			}
		}
		seen[f.label] = true
		out = append(out, f)
	}
	return out
}

func (c *compiler) field(d *fieldDoc, line, depth int) *field {
	f := &field{label: d.To.Value, to: strings.Split(d.To.Value, "."), kind: d.Type.Value, required: d.Required, onMissing: d.OnMissing.Value}
	what := "field " + f.label
	if slices.Contains(f.to, "") {
		c.add(line, "to must name the target field, like carrier.scac")
	}
	if !slices.Contains(kinds, f.kind) {
		c.add(d.Type.Line, "%s: type must be one of %s", what, strings.Join(kinds[1:], ", "))
	}
	f.expr = c.optional(d.Expr, what)
	f.when, f.where = c.optional(d.When, what+" when"), c.optional(d.Where, what+" where")
	f.value, f.unit = c.optional(d.Value, what+" value"), c.optional(d.Unit, what+" unit")
	if d.Each.Set {
		f.each = c.each(d.Each, what+" each")
	}
	if d.Const.Kind != 0 {
		v, err := value(&d.Const, 0)
		if err != nil {
			c.add(d.Const.Line, "%s: %s", what, err)
		}
		f.constant, f.isConst = v, true
	}
	if d.Default.Kind != 0 {
		v, err := value(&d.Default, 0)
		if err != nil {
			c.add(d.Default.Line, "%s: %s", what, err)
		}
		f.fallback, f.hasDef = v, true
	}
	if len(d.Fields) > 0 {
		f.fields = c.fields(d.Fields, depth+1)
	}
	c.lookup(d, f, what)
	c.times(d, line, f, what)
	c.shape(d, line, f, what)
	return f
}

// shape checks that the parts of a field fit together.
func (c *compiler) shape(d *fieldDoc, line int, f *field, what string) {
	amount := f.kind == "quantity" || f.kind == "money"
	switch {
	case f.isConst && (d.Expr.Set || d.Each.Set || d.Value.Set || len(d.Fields) > 0):
		c.add(line, "%s: const stands alone", what)
	case amount && (!d.Value.Set || !d.Unit.Set || d.Expr.Set):
		c.add(line, "%s: type %s needs value and unit, and no expr", what, f.kind)
	case !amount && (d.Value.Set || d.Unit.Set):
		c.add(line, "%s: value and unit belong to type quantity or money", what)
	case !f.isConst && !amount && !d.Expr.Set && len(d.Fields) == 0:
		c.add(line, "%s: give expr, const, value or fields", what)
	case len(d.Fields) > 0 && !d.Each.Set && f.kind != "" && f.kind != "object":
		c.add(line, "%s: a field with fields is an object", what)
	case len(d.Fields) > 0 && d.Each.Set && (d.Expr.Set || f.kind != "" && f.kind != "array"):
		c.add(line, "%s: a field with each and fields is an array of objects", what)
	case d.Where.Set && !d.Each.Set:
		c.add(d.Where.Line, "%s: where filters the items of each; use when for the field itself", what)
	case f.hasDef && (d.Each.Set || len(d.Fields) > 0):
		c.add(line, "%s: default belongs to single values", what)
	}
	switch d.OnDefault.Value {
	case "":
	case "warn":
		f.warnDef = true
	default:
		c.add(d.OnDefault.Line, `%s: onDefault must be "warn"`, what)
	}
	if f.warnDef && !f.hasDef {
		c.add(d.OnDefault.Line, "%s: onDefault needs default", what)
	}
}

func (c *compiler) lookup(d *fieldDoc, f *field, what string) {
	if !d.Lookup.Set {
		if d.OnMissing.Set {
			c.add(d.OnMissing.Line, "%s: onMissing needs lookup", what)
		}
		return
	}
	f.tableName = d.Lookup.Value
	if f.table = c.tables[f.tableName]; f.table == nil {
		c.add(d.Lookup.Line, "%s: table %q is not defined under tables", what, f.tableName)
	}
	switch f.onMissing {
	case "", "error", "keep", "warn":
	default:
		c.add(d.OnMissing.Line, "%s: onMissing must be error, keep or warn", what)
	}
}

func (c *compiler) times(d *fieldDoc, line int, f *field, what string) {
	isTime := f.kind == "date" || f.kind == "datetime"
	if (d.Format.Set || d.TZ.Set) && !isTime {
		c.add(line, "%s: format and tz belong to type date or datetime", what)
		return
	}
	if !isTime {
		return
	}
	format := d.Format.Value
	if format == "" {
		format = map[string]string{"date": "YYYY-MM-DD|rfc3339", "datetime": "rfc3339"}[f.kind]
	}
	var ok bool
	if f.formats, ok = parseFormats(format); !ok {
		c.add(d.Format.Line, "%s: format is made of CCYY, YYYY, YY, MM, DD, HH, MM, SS and - / . : T, or is rfc3339; alternatives are separated by |", what)
	}
	if d.TZ.Set && d.TZ.Value != "partner" {
		var err error
		if f.zone, err = time.LoadLocation(d.TZ.Value); err != nil || d.TZ.Value == "Local" {
			c.add(d.TZ.Line, `%s: tz must be "partner" or an IANA time zone`, what)
		}
	}
}

func (c *compiler) each(t datafile.Text, what string) *jq.Each {
	e, issues := jq.CompileEach(t.Value, c.vars)
	c.issues(t, what, issues)
	return e
}
