// Package jq is the expression engine of mappings: jq expressions (gojq) with exact numbers, without what
// could stall or exhaust the process, with a budget per document, and with the source path of what they read.
package jq

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/itchyny/gojq"
)

// Issue is why an expression does not compile. Line counts from 0 at the beginning of the expression.
type Issue struct {
	Line    int
	Message string
}

// Variables returns the names every expression has: $root is the document, $parent the item around the
// current one, $vars what the caller passed. A caller appends the names of its own.
func Variables() []string { return slices.Clone(fixedVariables) }

// Compile compiles an expression that sees the variables named; it is nil when there are issues.
func Compile(src string, variables []string) (*Expression, []Issue) {
	q, issues := parse(src)
	if issues != nil {
		return nil, issues
	}
	e := &Expression{src: oneLine(src), lead: lead(q), vars: len(variables)}
	if e.direct = toDirect(q, variables); e.direct != nil {
		return e, nil
	}
	constant := isConstant(q)
	g := &guard{}
	g.query(q)
	for _, p := range g.problems {
		issues = append(issues, Issue{Message: p})
	}
	if issues != nil {
		return nil, issues
	}
	var err error
	if e.code, err = gojq.Compile(q, options(variables)...); err != nil {
		return nil, []Issue{{Message: err.Error()}}
	}
	if constant {
		s := &Scope{cost: newBudget(context.Background()), vars: make([]any, len(variables))}
		s.vars[varBudget] = s.cost
		v, err := e.Evaluate(s)
		if err != nil {
			return nil, []Issue{{Message: Reason(err)}}
		}
		e.direct = &direct{literal: v, isConst: true}
	}
	return e, nil
}

func oneLine(src string) string { return strings.Join(strings.Fields(src), " ") }

func parse(src string) (*gojq.Query, []Issue) {
	if strings.TrimSpace(src) == "" {
		return nil, []Issue{{Message: "the expression is empty"}}
	}
	q, err := gojq.Parse(src)
	if err == nil {
		return q, nil
	}
	line := 0
	var pe *gojq.ParseError
	if errors.As(err, &pe) {
		line = strings.Count(strings.TrimRight(src[:min(max(pe.Offset, 0), len(src))], "\n"), "\n")
	}
	return nil, []Issue{{Line: line, Message: err.Error()}}
}

// CompileEach compiles an iteration: an expression that gives any number of items.
func CompileEach(src string, variables []string) (*Each, []Issue) {
	if q, err := gojq.Parse(src); err == nil {
		if steps := toWalk(q); steps != nil {
			return &Each{src: oneLine(src), walk: steps}, nil
		}
	}
	e, issues := Compile(src, variables)
	if e == nil {
		return nil, issues
	}
	if e.direct != nil {
		return nil, []Issue{{Message: "the expression gives one value; iterate with []"}}
	}
	return &Each{src: e.src, expr: e}, nil
}

// isConstant reports whether the query consists of literals only.
func isConstant(q *gojq.Query) bool {
	if q == nil || q.Term == nil || q.Op != 0 || len(q.FuncDefs) > 0 || len(q.Term.SuffixList) > 0 {
		return false
	}
	switch t := q.Term; t.Type {
	case gojq.TermTypeObject:
		for _, kv := range t.Object.KeyVals {
			if kv.KeyQuery != nil || kv.KeyString != nil && kv.KeyString.Queries != nil || !isConstant(kv.Val) {
				return false
			}
		}
		return true
	case gojq.TermTypeArray:
		return t.Array.Query == nil || isConstant(t.Array.Query)
	}
	return isLiteral(q) && q.Term.Type != gojq.TermTypeUnary
}

// Normal turns an expression's value into what JSON holds, with numbers as json.Number. It refuses
// floating-point numbers, types JSON does not have, and values beyond the limits.
func Normal(v any) (any, error) {
	left := maxNodes
	return normal(v, &left)
}

func normal(v any, left *int) (any, error) {
	if *left--; *left < 0 {
		return nil, tooBig
	}
	switch v := v.(type) {
	case nil, bool, json.Number:
		return v, nil
	case string:
		if len(v) > maxText {
			return nil, tooBig
		}
		return v, nil
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			n, err := normal(x, left)
			if err != nil {
				return nil, err
			}
			out[i] = n
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			n, err := normal(x, left)
			if err != nil {
				return nil, err
			}
			out[k] = n
		}
		return out, nil
	}
	if d, ok := ToDecimal(v); ok {
		return json.Number(d.String()), nil
	}
	return nil, fault("the expression gives a floating-point number: use the dec functions")
}
