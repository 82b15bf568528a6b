package jq

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/itchyny/gojq"

	"portway/internal/logistics"
)

// The fixed variables of every expression, before those of let.
const (
	varRoot   = 0 // $root: the whole document
	varParent = 1 // $parent: the item around the current one
	varVars   = 2 // $vars: what the caller passed
	varBudget = 3
)

// budgetVariable carries the budget of the run to our functions; mappings cannot name it.
const budgetVariable = "$__budget"

var fixedVariables = []string{"$root", "$parent", "$vars", budgetVariable}

// Expression is one compiled expression, safe for concurrent use. Plain paths, variables, literals and // between them are read
// directly; everything else is a gojq program. Both give the same results.
type Expression struct {
	src    string
	direct *direct
	code   *gojq.Code
	vars   int    // how many variables the program takes
	lead   string // the path the expression begins with, for the position in messages
}

// direct is the part of jq that needs no interpreter.
type direct struct {
	literal any
	isConst bool
	base    int // index of a variable, -1 for the current item
	steps   []step
	alt     *direct // right side of //
}

type step struct {
	name  string
	index int
	kind  byte // 'n' member by name, 'i' element by index, 'k' member by a computed key
	key   *direct
}

var errNotObject = fault("a value is not an object where the path needs one")
var errNotList = fault("a value is not a list where the path needs one")

// Scope is what an expression sees: the current item, the variables, and what the document may still cost.
// A scope and those made from it serve one goroutine.
type Scope struct {
	cost *budget
	item any
	path string // of item in the source, "" for the root
	lost bool   // the item was computed: its path is unknown
	vars []any  // fixed variables, then those of the caller
}

// NewScope returns the scope of a whole document with a fresh budget. vars must hold JSON values.
func NewScope(ctx context.Context, document, vars any) *Scope {
	b := newBudget(ctx)
	return &Scope{cost: b, item: document, vars: []any{document, document, vars, b}}
}

// Define gives the next variable of the caller its value.
func (s *Scope) Define(v any) { s.vars = append(s.vars, v) }

// Exhausted reports whether the budget of the document is used up.
func (s *Scope) Exhausted() bool { return s.cost.over }

// Enter returns the scope in which v, the value of e, is the current item.
func (s *Scope) Enter(e *Expression, v any) *Scope {
	c := *s
	c.item, c.path = v, e.SourcePath(s)
	c.lost = s.lost || e.direct == nil || e.direct.isConst || e.direct.base >= 0 || e.direct.alt != nil
	c.vars = slices.Clone(s.vars)
	c.vars[varParent] = s.item
	return &c
}

// String is the expression as written, on one line; "" for none.
func (e *Expression) String() string {
	if e == nil {
		return ""
	}
	return e.src
}

// Evaluate returns the one value of the expression; nil when it gives none.
func (e *Expression) Evaluate(s *Scope) (any, error) {
	if e.direct != nil {
		return e.direct.get(s)
	}
	it := e.code.RunWithContext(s.cost, s.item, s.vars[:e.vars]...)
	v, ok := it.Next()
	if !ok {
		return nil, nil
	}
	if err, bad := v.(error); bad {
		return nil, err
	}
	if extra, more := it.Next(); more {
		if err, bad := extra.(error); bad {
			return nil, err
		}
		return nil, fault("the expression gives more than one value")
	}
	return v, nil
}

func (d *direct) get(s *Scope) (any, error) {
	v, err := d.first(s)
	if d.alt == nil || err != nil {
		return v, err
	}
	if v == nil || v == false {
		return d.alt.get(s)
	}
	return v, nil
}

func (d *direct) first(s *Scope) (any, error) {
	if d.isConst {
		return d.literal, nil
	}
	v := s.item
	if d.base >= 0 {
		v = s.vars[d.base]
	}
	for i := range d.steps {
		st := &d.steps[i]
		name := st.name
		switch st.kind {
		case 'i':
			if v == nil {
				continue
			}
			l, ok := v.([]any)
			if text, isText := v.(string); isText { // gojq gives the character
				for _, r := range text {
					l = append(l, string(r))
				}
			} else if !ok {
				return nil, errNotList
			}
			if v = nil; st.index < len(l) {
				v = l[st.index]
			}
			continue
		case 'k':
			k, err := st.key.get(s)
			if err != nil {
				return nil, err
			}
			key, ok := k.(string)
			if !ok {
				return nil, fault("a key is not text")
			}
			name = key
		}
		if v == nil {
			continue
		}
		m, ok := v.(map[string]any)
		if !ok {
			return nil, errNotObject
		}
		v = m[name]
	}
	return v, nil
}

// SourcePath is the path of the expression's value in the source, or that of the nearest thing known.
func (e *Expression) SourcePath(s *Scope) string {
	if s.lost || e == nil {
		return s.path
	}
	return JoinPath(s.path, e.lead)
}

// JoinPath is the path of b below a: "lx[0]" and "w12" give "lx[0].w12".
func JoinPath(a, b string) string {
	switch {
	case a == "":
		return b
	case b == "":
		return a
	case b[0] == '[':
		return a + b
	}
	return a + "." + b
}

// toDirect returns the query as direct reads, nil when it needs the interpreter.
func toDirect(q *gojq.Query, variables []string) *direct {
	if q == nil || len(q.FuncDefs) > 0 || len(q.Imports) > 0 || q.Meta != nil || len(q.Patterns) > 0 {
		return nil
	}
	if q.Op == gojq.OpAlt {
		left, right := toDirect(q.Left, variables), toDirect(q.Right, variables)
		if left == nil || right == nil || left.alt != nil {
			return nil
		}
		left.alt = right
		return left
	}
	if q.Op != 0 || q.Term == nil {
		return nil
	}
	t := q.Term
	d := &direct{base: -1}
	switch t.Type {
	case gojq.TermTypeIdentity:
	case gojq.TermTypeIndex:
		if !d.addIndex(t.Index, variables) {
			return nil
		}
	case gojq.TermTypeFunc:
		if len(t.Func.Args) > 0 {
			return nil
		}
		d.base = len(variables)
		for i, name := range variables {
			if name == t.Func.Name && name != budgetVariable {
				d.base = i
			}
		}
		if d.base == len(variables) {
			return nil
		}
	case gojq.TermTypeString:
		if t.Str.Queries != nil || len(t.SuffixList) > 0 {
			return nil
		}
		return &direct{literal: t.Str.Str, isConst: true}
	case gojq.TermTypeNumber:
		n, err := logistics.ParseNumber(t.Number)
		if err != nil || len(t.SuffixList) > 0 {
			return nil
		}
		return &direct{literal: number(n), isConst: true}
	case gojq.TermTypeTrue, gojq.TermTypeFalse, gojq.TermTypeNull:
		if len(t.SuffixList) > 0 {
			return nil
		}
		c := &direct{isConst: true}
		if t.Type != gojq.TermTypeNull {
			c.literal = t.Type == gojq.TermTypeTrue
		}
		return c
	case gojq.TermTypeQuery:
		if len(t.SuffixList) > 0 {
			return nil
		}
		return toDirect(t.Query, variables)
	default:
		return nil
	}
	for _, s := range t.SuffixList {
		if s.Iter || s.Optional || !d.addIndex(s.Index, variables) {
			return nil
		}
	}
	return d
}

func (d *direct) addIndex(i *gojq.Index, variables []string) bool {
	switch {
	case i == nil || i.IsSlice:
		return false
	case i.Name != "":
		d.steps = append(d.steps, step{kind: 'n', name: strings.TrimPrefix(i.Name, ".")})
	case i.Str != nil && i.Str.Queries == nil:
		d.steps = append(d.steps, step{kind: 'n', name: i.Str.Str})
	case i.Start != nil:
		k := toDirect(i.Start, variables)
		switch {
		case k == nil:
			return false
		case k.isConst:
			switch c := k.literal.(type) {
			case string:
				d.steps = append(d.steps, step{kind: 'n', name: c})
			case int:
				if c < 0 {
					return false
				}
				d.steps = append(d.steps, step{kind: 'i', index: c})
			default:
				return false
			}
		case len(k.steps) == 0 && k.alt == nil && k.base < 0:
			return false // $table[.]: the item may be a number or a text; let gojq decide
		default:
			d.steps = append(d.steps, step{kind: 'k', key: k})
		}
	default:
		return false
	}
	return true
}

// lead is the path that a query begins with when it reads from the current item.
func lead(q *gojq.Query) string {
	for q != nil && q.Term == nil {
		q = q.Left
	}
	if q == nil {
		return ""
	}
	t := q.Term
	for t.Type == gojq.TermTypeQuery && len(t.SuffixList) == 0 {
		return lead(t.Query)
	}
	var b strings.Builder
	write := func(i *gojq.Index) bool {
		switch {
		case i == nil || i.IsSlice || i.Str != nil:
			return false
		case i.Name != "":
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(strings.TrimPrefix(i.Name, "."))
			return true
		case i.Start != nil && i.Start.Term != nil && i.Start.Term.Type == gojq.TermTypeNumber:
			b.WriteString("[" + i.Start.Term.Number + "]")
			return true
		}
		return false
	}
	switch t.Type {
	case gojq.TermTypeIndex:
		if !write(t.Index) {
			return ""
		}
	case gojq.TermTypeIdentity:
	default:
		return ""
	}
	for _, s := range t.SuffixList {
		if !write(s.Index) {
			break
		}
	}
	return b.String()
}

// Each is a compiled iteration. Paths of the form .a[].b[] are walked directly, so that every item keeps its
// place in the source; anything else is a program whose items have none of their own.
type Each struct {
	src  string
	walk []walkStep
	expr *Expression
}

type walkStep struct {
	name string
	iter bool
}

// maxItems bounds one iteration.
const maxItems = 100_000

var errManyItems = fault("the iteration has more than 100000 items")

// Items calls yield with a scope for every item.
func (e *Each) Items(s *Scope, yield func(*Scope) error) error {
	n := 0
	inner := *s
	inner.vars = slices.Clone(s.vars)
	inner.vars[varParent] = s.item
	emit := func(v any, path string, lost bool) error {
		if n++; n > maxItems {
			return errManyItems
		}
		if s.cost.Done() != nil {
			return context.DeadlineExceeded
		}
		inner.item, inner.path, inner.lost = v, path, lost
		return yield(&inner)
	}
	if e.walk != nil {
		return walk(s, s.item, e.walk, s.path, emit)
	}
	path := e.SourcePath(s)
	it := e.expr.code.RunWithContext(s.cost, s.item, s.vars[:e.expr.vars]...)
	for {
		v, ok := it.Next()
		if !ok {
			return nil
		}
		if err, bad := v.(error); bad {
			return err
		}
		if err := emit(v, path, true); err != nil {
			return err
		}
	}
}

// String is the iteration as written, on one line.
func (e *Each) String() string { return e.src }

// SourcePath is the path of the list, or that of the nearest thing known.
func (e *Each) SourcePath(s *Scope) string {
	if e.expr != nil {
		return e.expr.SourcePath(s)
	}
	path := s.path
	for _, st := range e.walk {
		if st.iter {
			break
		}
		path = JoinPath(path, st.name)
	}
	return path
}

func walk(s *Scope, v any, steps []walkStep, path string, emit func(any, string, bool) error) error {
	if len(steps) == 0 {
		return emit(v, path, s.lost)
	}
	if v == nil {
		return nil // an absent list has no items
	}
	st := steps[0]
	if !st.iter {
		m, ok := v.(map[string]any)
		if !ok {
			return errNotObject
		}
		return walk(s, m[st.name], steps[1:], JoinPath(path, st.name), emit)
	}
	l, ok := v.([]any)
	if !ok {
		return errNotList
	}
	s.cost.grant(len(l))
	for i, x := range l {
		if err := walk(s, x, steps[1:], path+"["+strconv.Itoa(i)+"]", emit); err != nil {
			return err
		}
	}
	return nil
}

// toWalk returns the steps of .a[].b[], nil for any other query.
func toWalk(q *gojq.Query) []walkStep {
	if q == nil || q.Term == nil || q.Op != 0 || len(q.FuncDefs) > 0 {
		return nil
	}
	var out []walkStep
	name := func(i *gojq.Index) bool {
		if i == nil || i.Name == "" {
			return false
		}
		out = append(out, walkStep{name: strings.TrimPrefix(i.Name, ".")})
		return true
	}
	switch q.Term.Type {
	case gojq.TermTypeIndex:
		if !name(q.Term.Index) {
			return nil
		}
	case gojq.TermTypeIdentity:
	default:
		return nil
	}
	for _, s := range q.Term.SuffixList {
		switch {
		case s.Iter:
			out = append(out, walkStep{iter: true})
		case s.Optional || !name(s.Index):
			return nil
		}
	}
	if len(out) == 0 || !out[len(out)-1].iter {
		return nil
	}
	return out
}
