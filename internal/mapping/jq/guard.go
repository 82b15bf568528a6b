package jq

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/itchyny/gojq"
)

func sorted(keys []any) []string {
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i], _ = k.(string)
	}
	sort.Strings(out)
	return out
}

// refused are builtins that loop without bound, read outside, depend on when and where they run, or build
// values in one uninterruptible step.
var refused = map[string]string{
	"repeat": "it loops without bound", "until": "it loops without bound", "while": "it loops without bound",
	"combinations": "it grows without bound", "walk": "it recurses",
	"input": "it reads outside the document", "inputs": "it reads outside the document", "input_filename": "it reads outside the document",
	"input_line_number": "it reads outside the document", "env": "it reads outside the document", "modulemeta": "it reads outside the document",
	"debug": "it writes outside the document", "stderr": "it writes outside the document",
	"halt": "it ends the program", "halt_error": "it ends the program", "builtins": "it describes the program",
	"now": "it depends on when it runs", "localtime": "it depends on where it runs", "strflocaltime": "it depends on where it runs",
	"setpath": "it can allocate without bound", "pick": "it can allocate without bound", "fromstream": "it can allocate without bound",
	"tostream": "it grows without bound", "truncate_stream": "it grows without bound", "getpath": "write the path itself",
}

// deep are builtins that visit or copy a whole value in one step. Values share parts, so a small expression
// can denote an astronomically large one; these see only values within limits.
var deep = map[string]bool{
	"tojson": true, "tostring": true, "flatten": true, "sort": true, "sort_by": true, "unique": true, "unique_by": true, "group_by": true,
	"min": true, "max": true, "min_by": true, "max_by": true, "join": true, "implode": true, "explode": true, "contains": true, "inside": true,
	"index": true, "rindex": true, "indices": true, "transpose": true, "bsearch": true, "split": true, "splits": true,
	"ascii_downcase": true, "ascii_upcase": true, "fromjson": true, "format": true, "IN": true, "INDEX": true,
	"test": true, "match": true, "capture": true, "scan": true, "sub": true, "gsub": true, "ltrimstr": true, "rtrimstr": true,
}

// maxRange bounds the literal bounds of range.
const maxRange = 10_000

// guard checks a parsed expression against what could stall or exhaust the process, and replaces the
// operators whose results can grow by checked ones. What is left either ends by itself or is interrupted
// between two steps when the budget is used up.
type guard struct {
	problems []string
	defs     []string
	depth    int
}

func (g *guard) refuse(format string, args ...any) {
	g.problems = append(g.problems, fmt.Sprintf(format, args...))
}

// maxDepth bounds the nesting of an expression, for the recursion here and in gojq.
const maxDepth = 200

// call makes a call of one of our functions; those that allocate get the budget of the run.
func call(name string, args ...*gojq.Query) *gojq.Term {
	if name == fnAdd || name == fnSum || name == fnBounded {
		args = append(args, &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeFunc, Func: &gojq.Func{Name: budgetVariable}}})
	}
	return &gojq.Term{Type: gojq.TermTypeFunc, Func: &gojq.Func{Name: name, Args: args}}
}

// bounded is "q, if it is within limits".
func bounded(q *gojq.Query) *gojq.Query {
	return &gojq.Query{Left: q, Op: gojq.OpPipe, Right: &gojq.Query{Term: call(fnBounded)}}
}

func (g *guard) query(q *gojq.Query) {
	if q == nil {
		return
	}
	if g.depth++; g.depth > maxDepth {
		g.refuse("the expression is nested too deep")
		g.depth--
		return
	}
	defer func() { g.depth-- }()
	if q.Meta != nil || len(q.Imports) > 0 {
		g.refuse("import and include are not available")
	}
	for _, fd := range q.FuncDefs {
		g.defs = append(g.defs, fd.Name)
		g.query(fd.Body)
		g.defs = g.defs[:len(g.defs)-1]
	}
	for _, p := range q.Patterns {
		g.pattern(p)
	}
	literalText := isText(q.Left) || isText(q.Right)
	g.query(q.Left)
	g.query(q.Right)
	g.term(q.Term)
	switch q.Op {
	case gojq.OpMul:
		if literalText {
			g.refuse("* does not repeat text here")
		}
		replace(q, fnMul)
	case gojq.OpAdd:
		replace(q, fnAdd)
	case gojq.OpSub:
		replace(q, fnSub)
	case gojq.OpEq, gojq.OpNe, gojq.OpGt, gojq.OpLt, gojq.OpGe, gojq.OpLe:
		if !isLiteral(q.Left) && !isLiteral(q.Right) {
			q.Left = bounded(q.Left)
		}
	case gojq.OpAssign, gojq.OpModify, gojq.OpUpdateAdd, gojq.OpUpdateSub, gojq.OpUpdateMul, gojq.OpUpdateDiv, gojq.OpUpdateMod, gojq.OpUpdateAlt:
		g.refuse("assignment (%s) is not available: build the value instead", q.Op)
	}
}

func replace(q *gojq.Query, name string) {
	q.Term = call(name, q.Left, q.Right)
	q.Left, q.Right, q.Op = nil, nil, 0
}

func isText(q *gojq.Query) bool {
	return q != nil && q.Term != nil && (q.Term.Type == gojq.TermTypeString || q.Term.Type == gojq.TermTypeFormat) ||
		q != nil && q.Term != nil && q.Term.Type == gojq.TermTypeQuery && isText(q.Term.Query)
}

func isLiteral(q *gojq.Query) bool {
	if q == nil || q.Term == nil || len(q.Term.SuffixList) > 0 {
		return false
	}
	switch q.Term.Type {
	case gojq.TermTypeString:
		return q.Term.Str.Queries == nil
	case gojq.TermTypeNumber, gojq.TermTypeNull, gojq.TermTypeTrue, gojq.TermTypeFalse, gojq.TermTypeUnary:
		return true
	}
	return false
}

func (g *guard) pattern(p *gojq.Pattern) {
	for _, a := range p.Array {
		g.pattern(a)
	}
	for _, o := range p.Object {
		g.str(o.KeyString)
		g.query(o.KeyQuery)
		if o.Val != nil {
			g.pattern(o.Val)
		}
	}
}

// str checks the parts of a text that has interpolations. It is only called where text is not rewritten.
func (g *guard) str(s *gojq.String) {
	if s == nil {
		return
	}
	for _, q := range s.Queries {
		g.query(q)
	}
}

func (g *guard) index(i *gojq.Index) {
	if i == nil {
		return
	}
	g.str(i.Str)
	g.query(i.Start)
	g.query(i.End)
}

func (g *guard) term(t *gojq.Term) {
	if t == nil {
		return
	}
	for _, s := range t.SuffixList {
		g.index(s.Index)
	}
	switch t.Type {
	case gojq.TermTypeIndex:
		g.index(t.Index)
	case gojq.TermTypeFunc:
		g.function(t)
	case gojq.TermTypeObject:
		for _, kv := range t.Object.KeyVals {
			g.str(kv.KeyString)
			g.query(kv.KeyQuery)
			g.query(kv.Val)
		}
	case gojq.TermTypeArray:
		g.query(t.Array.Query)
	case gojq.TermTypeUnary:
		g.term(t.Unary.Term)
	case gojq.TermTypeNumber:
		exactLiteral(t)
	case gojq.TermTypeFormat:
		if t.Str != nil {
			g.refuse("%s with text is not available: use (value | %s)", t.Format, t.Format)
			return
		}
		inner := *t
		inner.SuffixList = nil
		wrap(t, &inner)
	case gojq.TermTypeString:
		g.interpolation(t)
	case gojq.TermTypeIf:
		g.query(t.If.Cond)
		g.query(t.If.Then)
		for _, e := range t.If.Elif {
			g.query(e.Cond)
			g.query(e.Then)
		}
		g.query(t.If.Else)
	case gojq.TermTypeTry:
		g.query(t.Try.Body)
		g.query(t.Try.Catch)
	case gojq.TermTypeReduce:
		g.query(t.Reduce.Query)
		g.query(t.Reduce.Start)
		g.query(t.Reduce.Update)
		for _, p := range t.Reduce.Patterns {
			g.pattern(p)
		}
	case gojq.TermTypeForeach:
		g.query(t.Foreach.Query)
		g.query(t.Foreach.Start)
		g.query(t.Foreach.Update)
		g.query(t.Foreach.Extract)
		for _, p := range t.Foreach.Patterns {
			g.pattern(p)
		}
	case gojq.TermTypeLabel:
		g.query(t.Label.Body)
	case gojq.TermTypeQuery:
		g.query(t.Query)
	}
}

// exactLiteral turns 0.001 into "0.001" as a number with its digits; gojq would read a float64.
func exactLiteral(t *gojq.Term) {
	if !strings.ContainsAny(t.Number, ".eE") {
		return
	}
	literal := &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeString, Str: &gojq.String{Str: t.Number}}}
	t.Type, t.Number = gojq.TermTypeQuery, ""
	t.Query = &gojq.Query{Left: literal, Op: gojq.OpPipe, Right: &gojq.Query{Term: call(fnNumber)}}
}

// wrap makes t the inner term applied to values within limits.
func wrap(t, inner *gojq.Term) {
	t.Func, t.Format = nil, ""
	t.Type = gojq.TermTypeQuery
	t.Query = &gojq.Query{Left: &gojq.Query{Term: call(fnBounded)}, Op: gojq.OpPipe, Right: &gojq.Query{Term: inner}}
}

// interpolation turns "a\(x)b" into checked additions; gojq itself compiles it to unchecked ones.
func (g *guard) interpolation(t *gojq.Term) {
	if t.Str.Queries == nil {
		return
	}
	var all *gojq.Query
	for _, q := range t.Str.Queries {
		if q.Term == nil || q.Term.Str == nil {
			g.query(q)
			q = &gojq.Query{Left: bounded(q), Op: gojq.OpPipe, Right: &gojq.Query{Term: call("tostring")}}
		}
		if all == nil {
			all = q
			continue
		}
		all = &gojq.Query{Term: call(fnAdd, all, q)}
	}
	t.Type, t.Str, t.Query = gojq.TermTypeQuery, nil, all
}

func (g *guard) function(t *gojq.Term) {
	f := t.Func
	for _, a := range f.Args {
		g.query(a)
	}
	for _, d := range g.defs {
		if d == f.Name {
			g.refuse("def %s calls itself", f.Name)
			return
		}
	}
	if why, no := refused[f.Name]; no {
		g.refuse("%s is not available: %s", f.Name, why)
		return
	}
	switch {
	case f.Name == "$ENV" || strings.HasPrefix(f.Name, "$__"):
		g.refuse("%s is not available: it reads outside the document", f.Name)
	case f.Name == "recurse" && len(f.Args) > 0:
		g.refuse("recurse with an argument is not available: it loops without bound")
	case f.Name == "range":
		g.rangeBounds(f)
	case f.Name == "tonumber" && len(f.Args) == 0:
		f.Name = fnNumber // jq's own goes through float64
	case f.Name == "add" && len(f.Args) == 0:
		t.Func = call(fnSum).Func
	case f.Name == "add" && len(f.Args) == 1:
		list := &gojq.Query{Term: &gojq.Term{Type: gojq.TermTypeArray, Array: &gojq.Array{Query: f.Args[0]}}}
		t.Type, t.Func = gojq.TermTypeQuery, nil
		t.Query = &gojq.Query{Left: list, Op: gojq.OpPipe, Right: &gojq.Query{Term: call(fnSum)}}
	case deep[f.Name]:
		wrap(t, call(f.Name, f.Args...))
	}
}

// rangeBounds accepts literal bounds of modest size.
func (g *guard) rangeBounds(f *gojq.Func) {
	for _, a := range f.Args {
		n, ok := 0, false
		if a.Term != nil && len(a.Term.SuffixList) == 0 {
			t := a.Term
			if t.Type == gojq.TermTypeUnary {
				t = t.Unary.Term
			}
			if t.Type == gojq.TermTypeNumber {
				v, err := strconv.Atoi(t.Number)
				n, ok = v, err == nil
			}
		}
		if !ok || n > maxRange {
			g.refuse("range needs whole numbers up to %d as bounds", maxRange)
			return
		}
	}
	if len(f.Args) == 3 && f.Args[2].Term.Number == "0" {
		g.refuse("range with step 0 loops without bound")
	}
}
