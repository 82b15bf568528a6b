package mapping

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"portway/internal/datafile"
)

const head = "kind: mapping\nschema: 1\nversion: 1\nsource: {format: json}\ntarget: json\n"

func mustCompile(t testing.TB, src string) *Mapping {
	t.Helper()
	m, problems := Compile("m.yaml", []byte(head+src))
	if m == nil {
		t.Fatalf("%v", problems)
	}
	return m
}

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

// apply returns the result as JSON, or the violations, one a line.
func apply(t testing.TB, m *Mapping, in string, env Env) string {
	t.Helper()
	res, violations := m.Apply(context.Background(), decode(t, in), env)
	if violations != nil {
		var out []string
		for _, v := range violations {
			out = append(out, v.In+" "+v.Pointer+" "+v.Keyword+" "+v.Message)
		}
		return strings.Join(out, "\n")
	}
	b, err := json.Marshal(res.Data)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestApplyFields(t *testing.T) {
	t.Parallel()
	chicago, err := time.LoadLocation("America/Chicago")
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct{ fields, in, want string }{
		"plain path":          {"- {to: a, expr: .x.y}", `{"x":{"y":"1"}}`, `{"a":"1"}`},
		"index":               {"- {to: a, expr: '.x[1].y'}", `{"x":[{},{"y":"1"}]}`, `{"a":"1"}`},
		"absent is left out":  {"- {to: a, expr: .x.y.z}", `{"x":null}`, `{}`},
		"empty is absent":     {"- {to: a, expr: .x}", `{"x":""}`, `{}`},
		"nested target":       {"- {to: a.b.c, expr: .x}\n- {to: a.b.d, expr: .x}", `{"x":"1"}`, `{"a":{"b":{"c":"1","d":"1"}}}`},
		"numbers keep digits": {"- {to: a, expr: .x}", `{"x":12345678901234567890.10}`, `{"a":12345678901234567890.10}`},
		"constants":           {"- {to: a, const: cumulative}\n- {to: b, const: {c: [1.50, true, null]}}", `{}`, `{"a":"cumulative","b":{"c":[1.50,true,null]}}`},
		"string of a number":  {"- {to: a, expr: .x, type: string}", `{"x":1.10}`, `{"a":"1.10"}`},
		"int":                 {"- {to: a, expr: .x, type: int}", `{"x":"007"}`, `{"a":7}`},
		"int of 1e2":          {"- {to: a, expr: .x, type: int}", `{"x":1e2}`, `{"a":100}`},
		"int is not a text":   {"- {to: a, expr: .x, type: int}", `{"x":"A4"}`, `body /x type field a (expr ".x"): not an integer`},
		"int is not 1.5":      {"- {to: a, expr: .x, type: int}", `{"x":1.5}`, `body /x type field a (expr ".x"): not an integer`},
		"decimal":             {"- {to: a, expr: .x, type: decimal}", `{"x":"00012.50"}`, `{"a":"12.50"}`},
		"decimal of a number": {"- {to: a, expr: .x, type: decimal}", `{"x":-0.10}`, `{"a":"-0.10"}`},
		"decimal forms":       {"- {to: a, expr: '.x[0]', type: decimal}\n- {to: b, expr: '.x[1]', type: decimal}\n- {to: c, expr: '.x[2]', type: decimal}", `{"x":[".5","5.","1.2e3"]}`, `{"a":"0.5","b":"5","c":"1200"}`},
		"number":              {"- {to: a, expr: .x, type: number}", `{"x":"2.50"}`, `{"a":2.50}`},
		"bool":                {"- {to: a, expr: .x, type: bool}\n- {to: b, expr: .y, type: bool}", `{"x":false,"y":"true"}`, `{"a":false,"b":true}`},
		"date":                {"- {to: a, expr: .x, type: date, format: CCYYMMDD}", `{"x":"20260301"}`, `{"a":"2026-03-01"}`},
		"date without format": {"- {to: a, expr: .x, type: date}", `{"x":"2026-03-01"}`, `{"a":"2026-03-01"}`},
		"no such date":        {"- {to: a, expr: .x, type: date}", `{"x":"2026-02-30"}`, `body /x type field a (expr ".x"): not a date of the format`},
		"winter":              {"- {to: a, expr: .x, type: datetime, format: CCYYMMDDHHMM, tz: partner}", `{"x":"202601151412"}`, `{"a":"2026-01-15T14:12:00-06:00"}`},
		"summer":              {"- {to: a, expr: .x, type: datetime, format: CCYYMMDDHHMM|CCYYMMDD, tz: partner}", `{"x":"20260715"}`, `{"a":"2026-07-15T00:00:00-05:00"}`},
		"zone of the mapping": {"- {to: a, expr: .x, type: datetime, format: 'YYYY-MM-DD HH:MM:SS', tz: Europe/Berlin}", `{"x":"2026-07-15 08:00:01"}`, `{"a":"2026-07-15T08:00:01+02:00"}`},
		"own offset":          {"- {to: a, expr: .x, type: datetime}", `{"x":"2026-07-15T08:00:01.5+09:00"}`, `{"a":"2026-07-15T08:00:01.5+09:00"}`},
		"no offset":           {"- {to: a, expr: .x, type: datetime}", `{"x":"2026-07-15T08:00:01"}`, `{"a":"2026-07-15T08:00:01-05:00"}`},
		"quantity":            {"- {to: a, type: quantity, value: .q, unit: '\"EA\"'}", `{"q":"0120"}`, `{"a":{"unit":"EA","value":"120"}}`},
		"quantity, no unit":   {"- {to: a, type: quantity, value: .q, unit: .u}", `{"q":"1"}`, `body /u required field a (expr ".u"): the unit is missing`},
		"quantity, absent":    {"- {to: a, type: quantity, value: .q, unit: .u}", `{}`, `{}`},
		"money":               {"- {to: a, type: money, value: .q, unit: .u}", `{"q":12.50,"u":"USD"}`, `{"a":{"amount":"12.50","currency":"USD"}}`},
		"required":            {"- {to: a, expr: .x.y, required: true}", `{"x":{}}`, `body /x/y required field a (expr ".x.y"): a value is required`},
		"default":             {"- {to: a, expr: .x, default: unknown}", `{}`, `{"a":"unknown"}`},
		"when":                {"- {to: a, expr: .x, when: '.y == \"1\"'}\n- {to: b, expr: .x, when: .y}", `{"x":"X","y":"2"}`, `{"b":"X"}`},
		"object":              {"- to: a\n  expr: .x\n  fields:\n  - {to: b, expr: .y}\n  - {to: c, expr: $root.z}\n  - {to: d, expr: $parent.z}", `{"x":{"y":"1"},"z":"2"}`, `{"a":{"b":"1","c":"2","d":"2"}}`},
		"vars":                {"- {to: a, expr: $vars.carrier}", `{}`, `{"a":"swift"}`},
		"each":                {"- to: a\n  each: .l[]\n  fields: [{to: b, expr: .x}]", `{"l":[{"x":"1"},{},{"x":"2"}]}`, `{"a":[{"b":"1"},{"b":"2"}]}`},
		"each of nothing":     {"- to: a\n  each: .l[]\n  fields: [{to: b, expr: .x}]", `{}`, `{}`},
		"each of nothing, required": {"- to: a\n  each: .l[]\n  required: true\n  fields: [{to: b, expr: .x}]", `{"l":[]}`,
			`body /l required field a (expr ".l[]"): at least one item is required`},
		"each of scalars":    {"- {to: a, each: '.l[].m[]', expr: ., type: int}", `{"l":[{"m":["1"]},{"m":["2","3"]}]}`, `{"a":[1,2,3]}`},
		"each of a program":  {"- {to: a, each: '.l | sort_by(.x | tonumber)[]', expr: .x}", `{"l":[{"x":"10"},{"x":"9"}]}`, `{"a":["9","10"]}`},
		"where":              {"- {to: a, each: '.l[]', where: '.k == \"LV\"', expr: .x}", `{"l":[{"k":"LV","x":"1"},{"k":"PC","x":"2"}]}`, `{"a":["1"]}`},
		"position in a list": {"- to: lines\n  each: .l[]\n  fields: [{to: n, expr: .x, type: int}]", `{"l":[{"x":1},{"x":"A4"},{"x":"A5"}]}`, "body /l/1/x type field lines[1].n (expr \".x\"): not an integer\nbody /l/2/x type field lines[1].n (expr \".x\"): not an integer"},
		"two values":         {"- {to: a, expr: '.l[]'}", `{"l":["1","2"]}`, `body /l expr field a (expr ".l[]"): the expression gives more than one value`},
		"wrong shape":        {"- {to: a, expr: .x.y}", `{"x":"secret"}`, `body /x/y expr field a (expr ".x.y"): a value is not an object where the path needs one`},
		"wrong shape, gojq":  {"- {to: a, expr: '.x.y | .z'}", `{"x":"secret"}`, `body /x/y expr field a (expr ".x.y | .z"): expected an object but got`},
		"raised":             {"- {to: a, expr: 'error(.x)'}", `{"x":"secret"}`, `body /a expr field a (expr "error(.x)"): the expression raised an error`},
		"exact sum":          {"- {to: a, expr: '.x + 0.2'}", `{"x":0.1}`, `{"a":0.3}`},
		"exact product":      {"- {to: a, expr: '(.x | tonumber) * 0.001', type: number}", `{"x":"2500.50"}`, `{"a":2.5005}`},
		"exact functions":    {"- {to: a, expr: 'decsub(.x; \"0.1\")'}\n- {to: b, expr: 'deccmp(.x; \"0.30\")'}\n- {to: c, expr: 'decadd(.x; 1)'}\n- {to: d, expr: 'decmul(.x; \"-2\")'}", `{"x":"0.3"}`, `{"a":"0.2","b":0,"c":"1.3","d":"-0.6"}`},
		"floats are refused": {"- {to: a, expr: '.x / 3'}", `{"x":1}`, `body /x type field a (expr ".x / 3"): the expression gives a floating-point number: use the dec functions`},
		"interpolation":      {"- {to: a, expr: '\"\\(.x)-\\(.y)\"'}", `{"x":"A","y":1.10}`, `{"a":"A-1.10"}`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := mustCompile(t, "fields:\n"+c.fields+"\n")
			got := apply(t, m, c.in, Env{Zone: chicago, Vars: map[string]any{"carrier": "swift"}})
			if strings.HasPrefix(c.want, "{") {
				// encoding/json compacts numbers as written, so the text is exact.
				if d := cmp.Diff(decode(t, c.want), decode(t, got)); d != "" || !strings.HasPrefix(got, "{") {
					t.Errorf("got %s, want %s", got, c.want)
				}
				return
			}
			if got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			if strings.Contains(got, "secret") {
				t.Errorf("a value is in the message: %s", got)
			}
		})
	}
}

func TestLookupAndWarnings(t *testing.T) {
	t.Parallel()
	const tables = "tables:\n  scac: {FX: FDEG, UP: UPSN}\n"
	cases := map[string]struct{ field, in, want, warning string }{
		"hit":          {"{to: a, expr: .x, lookup: scac}", `{"x":"FX"}`, `{"a":"FDEG"}`, ""},
		"miss":         {"{to: a, expr: .x, lookup: scac}", `{"x":"QQ"}`, `body /x lookup field a (expr ".x"): the code is not in table "scac"`, ""},
		"keep":         {"{to: a, expr: .x, lookup: scac, onMissing: keep}", `{"x":"QQ"}`, `{"a":"QQ"}`, ""},
		"warn":         {"{to: a, expr: .x, lookup: scac, onMissing: warn}", `{"x":"QQ"}`, `{"a":"QQ"}`, `a: the code is not in table "scac"; it was kept`},
		"default":      {"{to: a, expr: .x, lookup: scac, default: ZZZZ, onDefault: warn}", `{"x":"QQ"}`, `{"a":"ZZZZ"}`, "a: no value; the default was used"},
		"absent":       {"{to: a, expr: .x, lookup: scac}", `{}`, `{}`, ""},
		"let as table": {`{to: a, expr: '$st[.x]', default: unknown}`, `{"x":"CC"}`, `{"a":"complete"}`, ""},
		"let, miss":    {`{to: a, expr: '$st[.x]', default: unknown, onDefault: warn}`, `{"x":"QQ"}`, `{"a":"unknown"}`, "a: no value; the default was used"},
		"let of data":  {`{to: a, expr: $first.x}`, `{"l":[{"x":"1"}]}`, `{"a":"1"}`, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := mustCompile(t, "let:\n  st: '{\"CC\": \"complete\"}'\n  first: '.l | if . then first else null end'\n"+tables+"fields:\n- "+c.field+"\n")
			if got := apply(t, m, c.in, Env{}); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			res, _ := m.Apply(context.Background(), decode(t, c.in), Env{})
			var warnings []string
			if res != nil {
				for _, w := range res.Warnings {
					warnings = append(warnings, w.Field+": "+w.Message)
				}
			}
			if got := strings.Join(warnings, "; "); got != c.warning {
				t.Errorf("warnings %q, want %q", got, c.warning)
			}
		})
	}
}

func TestTimezoneSource(t *testing.T) {
	t.Parallel()
	for fields, want := range map[string]string{
		"[{to: a, expr: .own, type: datetime}]":                                      "message",
		"[{to: a, expr: .day, type: datetime, format: CCYYMMDD}]":                    "partner-default",
		"[{to: a, expr: .day, type: datetime, format: CCYYMMDD, tz: Europe/Berlin}]": "location",
		"[{to: a, expr: .day}]":                                                      "",
	} {
		m := mustCompile(t, "fields: "+fields+"\n")
		res, v := m.Apply(context.Background(), decode(t, `{"own":"2026-03-01T00:00:00Z","day":"20260301"}`), Env{Zone: time.UTC})
		if v != nil || res.TimezoneSource != want || len(res.Warnings) != 0 {
			t.Errorf("%s: %q, want %q; %v", fields, res.TimezoneSource, want, v)
		}
	}
	m := mustCompile(t, "fields: [{to: a, expr: .day, type: datetime, format: CCYYMMDD}]\n")
	if res, _ := m.Apply(context.Background(), decode(t, `{"day":"20260301"}`), Env{}); len(res.Warnings) != 1 {
		t.Errorf("an assumed zone is not reported: %+v", res)
	}
}

func TestSourceInMessages(t *testing.T) {
	t.Parallel()
	src := strings.Replace(head, "format: json", `format: x12, set: "945", version: "004010"`, 1) +
		"fields:\n- to: lines\n  each: .lx[]\n  fields: [{to: lineNo, expr: .line, type: int}]\n"
	m, problems := Compile("acme-945.yaml", []byte(src))
	if m == nil {
		t.Fatal(problems)
	}
	_, v := m.Apply(context.Background(), decode(t, `{"lx":[{"line":"1"},{"line":"2"},{"line":"3"},{"line":"A4"}]}`), Env{Source: func(path string) string {
		if path != "lx[3].line" {
			t.Errorf("path %q", path)
		}
		return "segment 14"
	}})
	if len(v) != 1 || v[0].Message != `field lines[3].lineNo (expr ".line"): not an integer; source segment 14` || v[0].In != "document" || v[0].Pointer != "/lines/3/lineNo" {
		t.Errorf("%+v", v)
	}
	if m.Name != "acme-945" || m.Version != 1 || m.Source != (Source{"x12", "945", "004010"}) {
		t.Errorf("%+v", m)
	}
}

// TestCompileProblems: one document with many mistakes names all of them, each with its line.
func TestCompileProblems(t *testing.T) {
	t.Parallel()
	src := `kind: mapping
schema: 1
version: 0
source: {format: xml}
tables:
  empty: {}
let:
  a: '.x |'
  a: '1'
`
	if _, p := Compile("m.yaml", []byte(src)); !strings.Contains(fmt.Sprint(p), "m.yaml:9: $a is already defined") {
		t.Errorf("%v", p)
	}
	src = strings.Replace(src, "  a: '1'\n", "  'b-c': '1'\n", 1) + `fields:
  - {to: a}
  - {to: a, expr: .x, type: text}
  - {to: b, expr: .x, const: 1}
  - {to: c, expr: .x, lookup: none}
  - {to: d, type: quantity, value: .x}
  - {to: e, expr: .x, format: CCYYMMDD}
  - {to: f, expr: .x, type: date, format: JULIAN}
  - {to: g, expr: $nothing}
  - to: h
    expr: |
      .x
      | foo(1)
      | .y[
  - {to: a.b, expr: .x}
  - {to: i, expr: .x, type: datetime, tz: Mars/Base}
  - {to: j, each: .x, expr: .}
  - {to: k, expr: .x, onDefault: warn}
  - {to: l, expr: .x, where: .y}
  - {to: m, expr: .x, lookup: empty, onMissing: guess}
tests:
  - {name: no output, in: a.json}
`
	m, problems := Compile("m.yaml", []byte(src))
	if m != nil {
		t.Fatal("compiled")
	}
	var all strings.Builder
	for _, p := range problems {
		all.WriteString(p.Error() + "\n")
	}
	for _, want := range []string{
		"m.yaml:3: version must", `m.yaml:4: source.format must`, "target is missing",
		`m.yaml:6: table "empty"`, "m.yaml:8: let a: ", "m.yaml:9: let needs a plain name",
		"m.yaml:11: field a: give expr", "m.yaml:12: field a is set twice", "m.yaml:12: field a: type must be one of", "m.yaml:13: field b: const stands alone",
		`m.yaml:14: field c: table "none" is not defined`, "m.yaml:15: field d: type quantity needs value and unit", "m.yaml:16: field e: format and tz",
		"m.yaml:17: field f: format is made of", "m.yaml:18: field g: variable not defined: $nothing", "m.yaml:23: field h: ",
		"m.yaml:24: fields a and a.b overlap", "m.yaml:25: field i: tz must be", "m.yaml:26: field j each: the expression gives one value",
		"m.yaml:27: field k: onDefault needs default", "m.yaml:28: field l: where filters", "m.yaml:29: field m: onMissing must", "m.yaml:31: a test needs",
	} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("no problem %q in\n%s", want, all.String())
		}
	}
	for src, want := range map[string]string{
		head + "fields: [{to: a, expr: .x, bogus: 1}]": `m.yaml:6: unknown key "bogus"`,
		head + "fields:\n- {to: a, expr: [1]}":         "m.yaml:7: a plain value is expected",
		"kind: [\n":                                    "m.yaml:2: ",
		"":                                             "m.yaml: ",
		"kind: maping\nschema: 1\n":                    `m.yaml:1: kind is "maping": this folder holds kind "mapping"`,
		head + "fields: []\n# " + strings.Repeat("x", datafile.MaxBytes):   "m.yaml: larger than",
		head + "fields: [{to: a, const: .inf}]":                            "m.yaml:6: field a: the number is not a decimal",
		head + "fields: [{to: a, expr: '" + strings.Repeat("(", 300) + "x": "m.yaml:6: ",
	} {
		if _, p := Compile("m.yaml", []byte(src)); len(p) == 0 || !strings.HasPrefix(p[0].Error(), want) {
			t.Errorf("%.60q gives %v, want %s", src, p, want)
		}
	}
}

// TestRefusedWithLine: the guard of the engine reports through the mapping, with the line.
func TestRefusedWithLine(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{`"aaaaaaaaaa" * 100000000`: "* does not repeat text", `def f: 1+f; f`: "def f calls itself", "\n      .x\n      | input\n": "input is not available"} {
		m, problems := Compile("m.yaml", []byte(head+"fields:\n- to: a\n  expr: "+quote(t, expr)+"\n"))
		if m != nil || problems[0].Line != 8 || !strings.Contains(problems[0].Message, "field a: ") || !strings.Contains(problems[0].Message, want) {
			t.Errorf("%q gives %v", expr, problems)
		}
	}
}

func quote(t testing.TB, s string) string {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestBudgetIsEnough: a document of the largest size that contracts allow passes with room to spare.
func TestBudgetIsEnough(t *testing.T) {
	t.Parallel()
	m := mustCompile(t, "fields:\n- to: lines\n  each: .l[]\n  fields:\n"+
		"  - {to: sku, expr: '. as $line | [(\"VN\", \"SK\", \"UP\") as $q | $line.ids[]? | select(.q == $q) | .id] | first // $line.upc'}\n"+
		"  - {to: n, expr: '[.ids[]? | select(.q == \"LI\" and (.id | test(\"^[0-9]+$\"))) | .id] | first', type: int}\n"+
		"  - {to: b, type: quantity, value: 'decsub(.o; .s)', unit: '\"EA\"'}\n")
	var in bytes.Buffer
	in.WriteString(`{"l":[`)
	for i := range 2000 {
		if i > 0 {
			in.WriteByte(',')
		}
		fmt.Fprintf(&in, `{"ids":[{"q":"UK","id":"1"},{"q":"LI","id":"%d"},{"q":"SK","id":"S-%d"}],"o":"5","s":"3"}`, i, i)
	}
	in.WriteString("]}")
	res, v := m.Apply(context.Background(), decode(t, in.String()), Env{})
	if v != nil {
		t.Fatal(v)
	}
	if l := res.Data["lines"].([]any); len(l) != 2000 || l[1999].(map[string]any)["sku"] != "S-1999" {
		t.Errorf("%d lines, last %v", len(l), l[len(l)-1])
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	m := mustCompile(t, "fields:\n- {to: a, expr: '[range(0; 10000) | . as $i | range(0; 100) | $i] | length'}\n")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, v := m.Apply(ctx, map[string]any{}, Env{}); len(v) != 1 || v[0].Keyword != "budget" {
		t.Errorf("%+v", v)
	}
}

func TestRunCases(t *testing.T) {
	t.Parallel()
	m := mustCompile(t, `fields: [{to: a, expr: .x, required: true}, {to: v, expr: $vars.n, type: int}]
tests:
  - {name: good, in: in.json, out: good.json, vars: {n: 5}}
  - {name: wrong, in: in.json, out: wrong.json}
  - {name: missing file, in: none.json, out: good.json}
  - {name: expected error, in: empty.json, errors: ["field a"]}
  - {name: error that does not come, in: in.json, errors: ["field a"]}
  - {name: warning that does not come, in: in.json, out: good.json, vars: {n: 5}, warnings: [hm]}
`)
	files := fstest.MapFS{"in.json": {Data: []byte(`{"x":"1"}`)}, "empty.json": {Data: []byte(`{}`)}, "good.json": {Data: []byte(`{"a":"1","v":5}`)}, "wrong.json": {Data: []byte(`{"a":"2","b":[1]}`)}}
	results := RunCases(m, func(_ string, b []byte) (any, error) { return decode(t, string(b)), nil }, files)
	want := map[string]string{"good": "", "wrong": "/a is 1, want 2; /b is missing", "missing file": "file does not exist", "expected error": "",
		"error that does not come": `no error contains "field a"`, "warning that does not come": `no warning contains "hm"`}
	for _, r := range results {
		if got := strings.Join(r.Problems, "; "); !strings.Contains(got, want[r.Name]) || want[r.Name] == "" && got != "" {
			t.Errorf("%s: %q, want %q", r.Name, got, want[r.Name])
		}
	}
	if len(results) != len(want) {
		t.Errorf("%d results", len(results))
	}
}

// TestConcurrentUse: one mapping serves all goroutines.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	m := mustCompile(t, "let: {k: '.l | length'}\nfields: [{to: n, expr: $k}, {to: a, each: '.l | sort_by(.x)[]', expr: .x}]\n")
	in := decode(t, `{"l":[{"x":"2"},{"x":"1"}]}`)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				res, v := m.Apply(context.Background(), in, Env{})
				if v != nil || cmp.Diff(map[string]any{"n": json.Number("2"), "a": []any{"1", "2"}}, res.Data) != "" {
					t.Errorf("%v %v", res, v)
					return
				}
			}
		})
	}
	wg.Wait()
}
