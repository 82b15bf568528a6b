package jq

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/itchyny/gojq"

	"portway/internal/logistics"
)

func decode(t testing.TB, s string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestRefused: what could stall or exhaust the process does not compile.
func TestRefused(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		`"aaaaaaaaaa" * 100000000`:                  "* does not repeat text",
		`.n * ("aaaaaaaaaa")`:                       "* does not repeat text",
		`"\(.x)" * 3`:                               "* does not repeat text",
		`def f: 1+f; f`:                             "def f calls itself",
		`def f: def g: f; g; f`:                     "def f calls itself",
		`def f(x): if x then f(x) else 1 end; f(1)`: "def f calls itself",
		`repeat(.x)`:                                "repeat is not available",
		`[limit(3; repeat(1))]`:                     "repeat is not available",
		`until(.x; .y)`:                             "until is not available",
		`while(.x; .y)`:                             "while is not available",
		`[recurse(.x)]`:                             "recurse with an argument",
		`[range(.n)]`:                               "range needs whole numbers",
		`[range(0; 1000000000)]`:                    "range needs whole numbers",
		`[range(0; 10; 0)]`:                         "range with step 0",
		`input`:                                     "input is not available",
		`[inputs]`:                                  "inputs is not available",
		`env.PATH`:                                  "env is not available",
		`$ENV.PATH`:                                 "$ENV is not available",
		`$__budget`:                                 "$__budget is not available",
		`.x | debug`:                                "debug is not available",
		`now`:                                       "now is not available",
		`halt`:                                      "halt is not available",
		`.x[500000000] = 1`:                         "assignment (=) is not available",
		`.x |= 1`:                                   "assignment (|=) is not available",
		`.x += "a"`:                                 "assignment (+=) is not available",
		`setpath(["x", 500000000]; 1)`:              "setpath is not available",
		`pick(.x[500000000])`:                       "pick is not available",
		`combinations`:                              "combinations is not available",
		`import "a" as a; .`:                        "import",
		`{a: {b: [if .x then [.[] | while(.; .)] else 1 end]}}`: "while is not available",
		`.x as {a: $a, (repeat(1)): $b} | 1`:                    "repeat is not available",
		`"\(.x | repeat(1))"`:                                   "repeat is not available",
		`.x[repeat(1)]`:                                         "repeat is not available",
		`reduce repeat(1) as $i (0; .)`:                         "repeat is not available",
		`foreach .x as $i (0; repeat(1); .)`:                    "repeat is not available",
		`try repeat(1) catch .`:                                 "repeat is not available",
		`label $out | repeat(1)`:                                "repeat is not available",
		`-repeat(1)`:                                            "repeat is not available",
		`@base64 "a\(.x)"`:                                      "@base64 with text",
	} {
		e, issues := Compile(expr, Variables())
		if e != nil {
			t.Errorf("%s was compiled", expr)
			continue
		}
		if !strings.Contains(issues[0].Message, want) {
			t.Errorf("%s gives %v, want %q", expr, issues, want)
		}
	}
}

// TestBombs: what is not refused is stopped before it costs memory or time.
func TestBombs(t *testing.T) {
	list := "(" + strings.TrimSuffix(strings.Repeat("1,", 60), ",") + ")"
	bombs := map[string]string{
		"text from the document": `.s * 100000000`,
		"doubling text":          `reduce ` + list + ` as $i ("aaaaaaaaaa"; . + .) | length`,
		"doubling interpolation": `reduce ` + list + ` as $i ("aaaaaaaaaa"; "\(.)\(.)") | length`,
		"doubling by add":        `reduce ` + list + ` as $i ("aaaaaaaaaa"; [., .] | add) | length`,
		"doubling by add(f)":     `reduce ` + list + ` as $i ("aaaaaaaaaa"; add(., .)) | length`,
		"doubling by join":       `reduce ` + list + ` as $i ("aaaaaaaaaa"; [., .] | join("")) | length`,
		"doubling lists":         `reduce ` + list + ` as $i ([0]; . + .) | length`,
		"doubling by spreading":  `reduce ` + list + ` as $i ([0]; [.[], .[]]) | length`,
		"shared, as text":        `reduce ` + list + ` as $i (0; [., .]) | tojson | length`,
		"shared, as tostring":    `reduce ` + list + ` as $i (0; [., .]) | tostring | length`,
		"shared, interpolated":   `reduce ` + list + ` as $i (0; [., .]) | "\(.)" | length`,
		"shared, as format":      `reduce ` + list + ` as $i (0; [., .]) | @json | length`,
		"shared, flat":           `reduce ` + list + ` as $i (0; [., .]) | flatten | length`,
		"shared, compared":       `reduce ` + list + ` as $i (0; [., .]) | . == [.[0], .[1]]`,
		"shared, result":         `reduce ` + list + ` as $i (0; [., .])`,
		"escapes":                `reduce ` + list + ` as $i ("\""; tojson) | length`,
		"squaring":               `reduce ` + list + ` as $i (7; . * .)`,
		"loops":                  `[range(0; 10000) | range(0; 10000)] | length`,
		"many texts":             `[range(0; 10000) as $i | range(0; 10000) as $j | .s + .s] | length`,
		"substitution":           `reduce ` + list + ` as $i ("a"; gsub("a"; "aa")) | length`,
	}
	big := strings.Repeat("a", 10_000)
	for name, expr := range bombs {
		e, issues := Compile(expr, Variables())
		if e == nil {
			t.Errorf("%s: %v", name, issues)
			continue
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		v, err := e.Evaluate(NewScope(context.Background(), map[string]any{"s": big}, nil))
		if err == nil {
			_, err = Normal(v)
		}
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s was evaluated", name)
		} else if Reason(err) == "" {
			t.Errorf("%s: no reason", name)
		}
		if mb := (after.TotalAlloc - before.TotalAlloc) >> 20; mb > 300 {
			t.Errorf("%s allocated %d MB", name, mb)
		}
		if took > 5*time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
}

// TestDirectEqualsInterpreter: what is read without gojq gives what gojq gives.
func TestDirectEqualsInterpreter(t *testing.T) {
	t.Parallel()
	docs := []any{decode(t, `{"a":{"b":[{"c":"1"},{"c":null}],"k":"b"},"n":null,"f":false,"s":"t","z":0}`), nil, "text", decode(t, `[1,2]`), map[string]any{}}
	vars := []any{docs[0], docs[0], map[string]any{"v": "w"}, nil, decode(t, `{"b":"from table","t":7}`)}
	names := append(append([]string{}, fixedVariables...), "$tab")
	for _, src := range []string{".", ".a", ".a.b", ".a.b[0].c", ".a.b[1].c", ".a.b[9].c", `.["a"]["k"]`, ".s.x", ".n.x.y", ".f", "$root.a.k", "$tab.b", "$tab[.a.k]", "$tab[.s]", "$tab[.n]",
		"$tab[.z]", `.n // "d"`, `.f // .s`, `.s.x // "d"`, `.a // .b // "c"`, `.q // .r // 5`, "(.a).k", "(.a.k)", `"lit"`, "7", "true", "null", ".a[0]", ".[0]", `$vars.v`, ".a.b.c"} {
		q, err := gojq.Parse(src)
		if err != nil {
			t.Fatal(err)
		}
		d := toDirect(q, names)
		if d == nil {
			if src != "(.a).k" {
				t.Errorf("%s is not read directly", src)
			}
			continue
		}
		code, err := gojq.Compile(q, options(names)...)
		if err != nil {
			t.Fatal(err)
		}
		for i, doc := range docs {
			s := &Scope{cost: newBudget(context.Background()), item: doc, vars: vars}
			got, gotErr := d.get(s)
			want, _ := code.Run(doc, vars...).Next()
			wantErr, failed := want.(error)
			if failed != (gotErr != nil) || !failed && gojq.Compare(got, want) != 0 {
				t.Errorf("%s on document %d: %v %v, gojq %v %v", src, i, got, gotErr, want, wantErr)
			}
		}
	}
}

func TestDecimals(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"0": "0", "-0": "0", "00": "0", "007.10": "7.10", ".5": "0.5", "5.": "5", "-1.5": "-1.5", "1e3": "1000", "1.5E-3": "0.0015",
		"0.0": "0.0", "12345678901234567890.123": "12345678901234567890.123", "": "!", "-": "!", ".": "!", "1.2.3": "!", "1,5": "!", "0x10": "!", "1e999999999": "!", "NaN": "!",
		"+1": "!", " 1": "!", strings.Repeat("9", 61): "!"} {
		got, ok := DecimalText(in)
		if !ok {
			got = "!"
		}
		if got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
	// Arithmetic against scaled integers.
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		a, b := rng.Int64N(2_000_000)-1_000_000, rng.Int64N(2_000_000)-1_000_000
		operands := []any{fixed(a), json.Number(fixed(b))}
		if s := text2(logistics.Decimal.Add)(nil, operands); s != shortest(a+b) {
			t.Fatalf("%s + %s = %s", fixed(a), fixed(b), s)
		}
		if s := text2(logistics.Decimal.Sub)(nil, operands); s != shortest(a-b) {
			t.Fatalf("%s - %s = %s", fixed(a), fixed(b), s)
		}
		x, _ := ToDecimal(operands[0])
		y, _ := ToDecimal(operands[1])
		if c := x.Cmp(y); c != map[bool]int{true: 1}[a > b]-map[bool]int{true: 1}[a < b] {
			t.Fatalf("%s <> %s = %d", fixed(a), fixed(b), c)
		}
	}
}

// shortest is fixed without zeros at the end.
func shortest(n int64) string { return strings.TrimSuffix(strings.TrimRight(fixed(n), "0"), ".") }

// fixed writes n thousandths.
func fixed(n int64) string {
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	return fmt.Sprintf("%s%d.%03d", sign, n/1000, n%1000)
}
