package mapping

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// benchmark: 25 scalar fields and 5 lines of 10 fields, the document of the engine comparison.
func benchmark() (string, any) {
	var y strings.Builder
	y.WriteString(head + "let: {st: '{\"CC\": \"complete\", \"BP\": \"partial\"}'}\nfields:\n")
	doc := map[string]any{}
	for i := range 20 {
		fmt.Fprintf(&y, "- {to: g%d.f%d, expr: .h.v%d, type: string}\n", i%4, i, i)
	}
	y.WriteString("- {to: date, expr: .h.date, type: datetime, format: CCYYMMDD}\n- {to: final, expr: '.h.code == \"F\"', type: bool}\n- {to: mode, const: delta}\n" +
		"- {to: ship, expr: '.n1 | map(select(.entity == \"ST\")) | first | .name'}\n- {to: total, type: quantity, value: .h.total, unit: '\"EA\"'}\n" +
		"- to: lines\n  each: .lx[]\n  fields:\n  - {to: lineNo, expr: .number, type: int, required: true}\n  - {to: status, expr: '$st[.status]', default: unknown}\n" +
		"  - {to: ordered, type: quantity, value: .ordered, unit: .unit}\n  - {to: shipped, type: quantity, value: .shipped, unit: .unit}\n")
	for i := range 6 {
		fmt.Fprintf(&y, "  - {to: x%d, expr: '.v%d // \"none\"', type: string}\n", i, i)
	}
	h := map[string]any{"date": "20260301", "code": "F", "total": "600"}
	for i := range 20 {
		h[fmt.Sprintf("v%d", i)] = fmt.Sprintf("value %d", i)
	}
	doc["h"], doc["n1"] = h, []any{map[string]any{"entity": "SF", "name": "A"}, map[string]any{"entity": "ST", "name": "B"}}
	var lx []any
	for i := range 5 {
		l := map[string]any{"number": fmt.Sprint(i + 1), "status": "CC", "ordered": "120", "shipped": "120", "unit": "EA"}
		for j := range 5 {
			l[fmt.Sprintf("v%d", j)] = "x"
		}
		lx = append(lx, l)
	}
	doc["lx"] = lx
	return y.String(), doc
}

func BenchmarkApply(b *testing.B) {
	src, doc := benchmark()
	m, problems := Compile("m.yaml", []byte(src))
	if m == nil {
		b.Fatal(problems)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, v := m.Apply(context.Background(), doc, Env{Zone: time.UTC}); v != nil {
			b.Fatal(v)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	src, _ := benchmark()
	for b.Loop() {
		if m, problems := Compile("m.yaml", []byte(src)); m == nil {
			b.Fatal(problems)
		}
	}
}

func FuzzCompile(f *testing.F) {
	src, _ := benchmark()
	f.Add([]byte(src))
	f.Add([]byte(head + "fields: [{to: a, expr: '.x | map(select(.y)) | first'}]"))
	f.Add([]byte(head + "let: {a: '{\"b\": 1.5}'}\nfields: [{to: a, each: '.x[]', expr: '\"\\(.)\" + \"a\"'}]"))
	f.Add([]byte(head + "fields: [{to: a, expr: 'def f: .x; reduce .[] as $i (0; . * f)'}]"))
	f.Fuzz(func(t *testing.T, src []byte) {
		if len(src) > 4096 {
			return
		}
		m, problems := Compile("f.yaml", src)
		if (m == nil) == (len(problems) == 0) {
			t.Fatal("either a mapping or problems")
		}
		if m != nil {
			m.Apply(context.Background(), map[string]any{"x": []any{"1", map[string]any{"y": "2"}}}, Env{})
		}
	})
}

func FuzzApply(f *testing.F) {
	src, doc := benchmark()
	m, problems := Compile("m.yaml", []byte(src))
	if m == nil {
		f.Fatal(problems)
	}
	b, err := json.Marshal(doc)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"h":{"date":"x","v1":[1]},"lx":[{"number":1e400}],"n1":"?"}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		d := json.NewDecoder(bytes.NewReader(in))
		d.UseNumber()
		var v any
		if d.Decode(&v) != nil {
			return
		}
		res, violations := m.Apply(context.Background(), v, Env{})
		if (res == nil) == (len(violations) == 0) {
			t.Fatal("either a result or violations")
		}
		if res != nil {
			if _, err := json.Marshal(res.Data); err != nil {
				t.Fatal(err)
			}
		}
	})
}
