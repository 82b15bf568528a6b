package jq

import (
	"encoding/json"
	"errors"
	"math/big"

	"github.com/itchyny/gojq"

	"portway/internal/logistics"
)

// fault is an error of ours inside an expression; its text holds no value of the document.
type fault string

func (f fault) Error() string { return string(f) }

const (
	notDecimal  = fault("an operand is not a decimal number")
	tooManyDigs = fault("a number grew beyond 60 digits")
	tooBig      = fault("a value grew beyond the limit of an expression")
)

// Limits of values inside one expression. Documents are small; what exceeds this is a mistake or an attack.
const (
	maxText   = 1 << 20
	maxNodes  = 100_000
	nodeBytes = 32 // what a node is counted as
)

// The names that guard replaces operators and builtins with. None of them can be written in a mapping:
// the first character cannot begin a jq name, so the parser never produces them.
const (
	fnAdd     = "+add"
	fnSub     = "+sub"
	fnMul     = "+mul"
	fnSum     = "+sum"
	fnNumber  = "+number"
	fnBounded = "+bounded"
)

// options are the functions every expression has. decadd, decsub, decmul and deccmp are exact over text and
// numbers; the operators + - * are exact too, and refuse results that are out of proportion.
func options(variables []string) []gojq.CompilerOption {
	return []gojq.CompilerOption{
		gojq.WithVariables(variables),
		gojq.WithFunction("decadd", 2, 2, text2(logistics.Decimal.Add)),
		gojq.WithFunction("decsub", 2, 2, text2(logistics.Decimal.Sub)),
		gojq.WithFunction("decmul", 2, 2, text2(logistics.Decimal.Mul)),
		gojq.WithFunction("deccmp", 2, 2, func(_ any, a []any) any {
			x, ok1 := ToDecimal(a[0])
			y, ok2 := ToDecimal(a[1])
			if !ok1 || !ok2 {
				return notDecimal
			}
			return x.Cmp(y)
		}),
		gojq.WithFunction(fnAdd, 3, 3, func(_ any, a []any) any { return add(a[0], a[1], budgetOf(a[2])) }),
		gojq.WithFunction(fnSub, 2, 2, func(_ any, a []any) any { return subtract(a[0], a[1]) }),
		gojq.WithFunction(fnMul, 2, 2, func(_ any, a []any) any { return number2(a[0], a[1], logistics.Decimal.Mul) }),
		gojq.WithFunction(fnSum, 1, 1, func(v any, a []any) any { return sum(v, budgetOf(a[0])) }),
		gojq.WithFunction(fnNumber, 0, 0, func(v any, _ []any) any {
			d, ok := ToDecimal(v)
			if !ok {
				return notDecimal
			}
			return number(d)
		}),
		gojq.WithFunction(fnBounded, 1, 1, func(v any, a []any) any {
			// The function behind it makes something of the same order.
			left := maxNodes
			if !within(v, &left) || !budgetOf(a[0]).spend((maxNodes-left)*nodeBytes) {
				return tooBig
			}
			return v
		}),
	}
}

// budgetOf reads the argument $__budget; guard adds it to every call that needs it.
func budgetOf(v any) *budget {
	b, _ := v.(*budget)
	return b
}

// text2 is a function of two decimals that returns text.
func text2(op func(a, b logistics.Decimal) logistics.Decimal) func(any, []any) any {
	return func(_ any, a []any) any {
		x, ok1 := ToDecimal(a[0])
		y, ok2 := ToDecimal(a[1])
		if !ok1 || !ok2 {
			return notDecimal
		}
		d := op(x, y)
		if d.TooLong() {
			return tooManyDigs
		}
		return d.String()
	}
}

// number2 is an operator over numbers.
func number2(l, r any, op func(a, b logistics.Decimal) logistics.Decimal) any {
	if !isNumber(l) || !isNumber(r) {
		return fault("the operands are not two numbers")
	}
	x, ok1 := ToDecimal(l)
	y, ok2 := ToDecimal(r)
	if !ok1 || !ok2 {
		return fault("an operand is a floating-point number: use the dec functions")
	}
	d := op(x, y)
	if d.TooLong() {
		return tooManyDigs
	}
	return number(d)
}

func isNumber(v any) bool {
	switch v.(type) {
	case int, float64, *big.Int, json.Number:
		return true
	}
	return false
}

// number is d as gojq holds numbers: int when it fits, else a json.Number with all its digits.
func number(d logistics.Decimal) any {
	if n, ok := d.Int64(); ok {
		return int(n)
	}
	return json.Number(d.String())
}

// add is jq's + with limits: null is neutral, texts and lists are joined, objects merged, numbers added.
func add(l, r any, b *budget) any {
	if l == nil {
		return r
	}
	if r == nil {
		return l
	}
	switch x := l.(type) {
	case int:
		if y, ok := r.(int); ok {
			if s := x + y; (s >= x) == (y >= 0) {
				return s
			}
		}
	case string:
		if y, ok := r.(string); ok {
			if n := len(x) + len(y); n > maxText || !b.spend(n) {
				return tooBig
			}
			return x + y
		}
	case []any:
		if y, ok := r.([]any); ok {
			if n := len(x) + len(y); n > maxNodes || !b.spend(n*nodeBytes) {
				return tooBig
			}
			return append(append(make([]any, 0, len(x)+len(y)), x...), y...)
		}
	case map[string]any:
		if y, ok := r.(map[string]any); ok {
			n := len(x) + len(y)
			if n > maxNodes || !b.spend(n*nodeBytes) {
				return tooBig
			}
			m := make(map[string]any, n)
			for k, v := range x {
				m[k] = v
			}
			for k, v := range y {
				m[k] = v
			}
			return m
		}
	}
	if isNumber(l) && isNumber(r) {
		return number2(l, r, logistics.Decimal.Add)
	}
	return fault("the operands of + do not fit together")
}

// subtract is jq's -: numbers, or the first list without the members of the second.
func subtract(l, r any) any {
	x, ok1 := l.([]any)
	y, ok2 := r.([]any)
	if !ok1 || !ok2 {
		return number2(l, r, logistics.Decimal.Sub)
	}
	if left := maxNodes; !within(x, &left) || !within(y, &left) || len(x)*len(y) > maxNodes {
		return tooBig
	}
	out := []any{}
	for _, v := range x {
		drop := false
		for _, w := range y {
			drop = drop || gojq.Compare(v, w) == 0
		}
		if !drop {
			out = append(out, v)
		}
	}
	return out
}

func sum(v any, b *budget) any {
	var total any
	take := func(x any) error {
		total = add(total, x, b)
		err, _ := total.(error)
		return err
	}
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		for _, x := range v {
			if err := take(x); err != nil {
				return err
			}
		}
	case map[string]any:
		keys := make([]any, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		for _, k := range sorted(keys) {
			if err := take(v[k]); err != nil {
				return err
			}
		}
	default:
		return fault("add needs a list or an object")
	}
	return total
}

// within reports whether v, with shared parts counted as often as they occur, has at most *left nodes and
// texts in proportion; it stops as soon as it has not.
func within(v any, left *int) bool {
	if *left--; *left < 0 {
		return false
	}
	switch v := v.(type) {
	case string:
		*left -= len(v) / nodeBytes
	case []any:
		for _, x := range v {
			if !within(x, left) {
				return false
			}
		}
	case map[string]any:
		for _, x := range v {
			if !within(x, left) {
				return false
			}
		}
	}
	return *left >= 0
}

// Reason is the text of a run-time error without the values gojq puts into it.
func Reason(err error) string {
	var f fault
	if errors.As(err, &f) {
		return string(f)
	}
	var raised gojq.ValueError
	if errors.As(err, &raised) {
		return "the expression raised an error"
	}
	s := err.Error()
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == '(' || c == ':' || c == '"' || c == '{' || c == '[' {
			s = s[:i]
			break
		}
	}
	for len(s) > 0 && s[len(s)-1] == ' ' {
		s = s[:len(s)-1]
	}
	if s == "" {
		return "the expression failed"
	}
	return s
}
