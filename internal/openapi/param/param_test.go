package param_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portway/internal/openapi/param"
)

// sample has a parameter of every sort that the tests below call by name.
func sample() []param.Parameter {
	query := func(name, style string, explode bool, kind param.Kind) param.Parameter {
		return param.Parameter{Name: name, In: "query", Style: style, Explode: explode, Kind: kind}
	}
	array := func(p param.Parameter, items param.Kind) param.Parameter { p.Items = items; return p }
	object := func(p param.Parameter, closed bool, props map[string]param.Kind) param.Parameter {
		p.Properties, p.Closed = props, closed
		return p
	}
	nullable := query("n", "form", true, param.Integer)
	nullable.Nullable = true
	document := query("doc", "form", true, "")
	document.ContentType = "application/json"
	return []param.Parameter{
		query("s", "form", true, param.String),
		query("i", "form", true, param.Integer),
		query("x", "form", true, param.Number),
		query("b", "form", true, param.Boolean),
		nullable, document,
		array(query("l", "form", true, param.Array), param.Integer),
		array(query("csv", "form", false, param.Array), param.String),
		array(query("sp", "spaceDelimited", false, param.Array), param.Integer),
		array(query("pipe", "pipeDelimited", false, param.Array), param.String),
		object(query("d", "deepObject", true, param.Object), true, map[string]param.Kind{"a": "integer", "t": "array"}),
		object(query("o", "form", true, param.Object), false, map[string]param.Kind{"R": "integer"}),
		{Name: "id", In: "path", Style: "simple", Required: true, Kind: param.String},
		{Name: "m", In: "path", Style: "matrix", Kind: param.Array, Items: param.Integer, Explode: true},
		{Name: "X-N", In: "header", Style: "simple", Kind: param.Integer},
		{Name: "X-L", In: "header", Style: "simple", Kind: param.Array, Items: param.String},
		{Name: "sid", In: "cookie", Style: "form", Kind: param.String},
	}
}

func call(query string, headers http.Header) param.Call {
	return param.Call{
		Path: map[string]string{"id": "a%2Fb", "m": ";m=1;m=2"}, RawQuery: query, Strict: true,
		Header: headers.Values,
		Cookie: func(name string) []string { return headers.Values("Cookie-" + name) },
	}
}

func TestDecodeParameters(t *testing.T) {
	t.Parallel()
	got, violations := param.Decode(sample(), call(
		"s=a+b%2B%3D&i=-7&x=1.50&b=true&n=&doc=%7B%22k%22%3A1%7D&l=1&l=2&csv=a%2Cb,c&sp=1%202&pipe=a|b%7Cc&d%5Ba%5D=3&d[t]=x&d[t]=y&R=5&",
		http.Header{"X-N": {" 12 "}, "X-L": {"a, b", "c"}, "Cookie-Sid": {"a%20b"}}))
	want := map[string]any{
		"query.s": "a b+=", "query.i": json.Number("-7"), "query.x": json.Number("1.50"), "query.b": true, "query.n": nil,
		"query.doc": map[string]any{"k": json.Number("1")}, "query.l": []any{json.Number("1"), json.Number("2")},
		"query.csv": []any{"a,b", "c"}, "query.sp": []any{json.Number("1"), json.Number("2")}, "query.pipe": []any{"a", "b", "c"},
		"query.d": map[string]any{"a": json.Number("3"), "t": []any{"x", "y"}}, "query.o": map[string]any{"R": json.Number("5")},
		"path.id": "a/b", "path.m": []any{json.Number("1"), json.Number("2")},
		"header.X-N": json.Number("12"), "header.X-L": []any{"a", "b", "c"}, "cookie.sid": "a b",
	}
	if diff := cmp.Diff(want, got); diff != "" || len(violations) > 0 {
		t.Error(violations, diff)
	}
}

// TestParameterPollution: every ambiguity that a backend could read differently is refused, and no value is echoed.
func TestParameterPollution(t *testing.T) {
	t.Parallel()
	tests := []struct{ query, want string }{
		{"i=1&i=2", "query i duplicate"}, {"s=a&s=a", "query s duplicate"}, {"csv=a&csv=b", "query csv duplicate"},
		{"s=a;b", "query  separator"}, {"s=a;i=1", "query  separator"}, {";", "query  separator"},
		{"zz=1", "query zz undeclared"}, {"I=1", "query I undeclared"}, {"i%5B%5D=1", "query i[] undeclared"}, {"=1", "query  undeclared"},
		{"d[z]=1", "query d additionalProperties"}, {"d=1", "query d style"}, {"d[a]=1&d[a]=2", "query d duplicate"},
		{"d[a][b]=1", "query d style"}, {"d[]=1", "query d style"}, {"d[a=1", "query d style"}, {"d[a]=x", "query d type"},
		{"s=%00", "query s encoding"}, {"s=%ff", "query s encoding"}, {"s=%zz", "query s encoding"}, {"s=%", "query s encoding"},
		{"%ff=1", "query  encoding"}, {"s%00=1", "query  encoding"}, {"l=%C0%80", "query l encoding"},
		{"i=1.0", "query i type"}, {"i=+1", "query i type"}, {"i=01", "query i type"}, {"i=1e2", "query i type"}, {"i=", "query i type"},
		{"i=" + strings.Repeat("9", 129), "query i type"}, {"x=1e5000000", "query x type"}, {"x=NaN", "query x type"}, {"x=%201", "query x type"}, {"x=0x1", "query x type"},
		{"b=TRUE", "query b type"}, {"b=1", "query b type"}, {"l=1&l=x", "query l type"}, {"R=1&R=2", "query o duplicate"}, {"R=x", "query o type"},
		{"doc=%7B%22k%22%3A1%2C%22k%22%3A2%7D", "query doc style"}, {"doc=secret", "query doc style"},
	}
	for _, test := range tests {
		_, violations := param.Decode(sample(), call(test.query, nil))
		var got []string
		for _, v := range violations {
			got = append(got, fmt.Sprintf("%s %s %s", v.In, v.Pointer, v.Keyword))
			if strings.Contains(v.Message, "secret") || v.Message == "" {
				t.Errorf("%s: message %q", test.query, v.Message)
			}
		}
		if len(got) == 0 || got[0] != test.want {
			t.Errorf("%s: got %q, want %q", test.query, got, test.want)
		}
	}
}

func TestDecodeRefusesElsewhere(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		c    param.Call
		want string
	}{
		{"missing path", param.Call{}, "path id required"},
		{"bad escape", param.Call{Path: map[string]string{"id": "%zz"}}, "path id encoding"},
		{"NUL", param.Call{Path: map[string]string{"id": "a%00"}}, "path id encoding"},
		{"matrix prefix", param.Call{Path: map[string]string{"id": "a", "m": "m=1"}}, "path m style"},
		{"matrix name", param.Call{Path: map[string]string{"id": "a", "m": ";q=1"}}, "path m style"},
		{"header twice", param.Call{Path: map[string]string{"id": "a"}, Header: http.Header{"X-N": {"1", "2"}}.Values}, "header X-N duplicate"},
		{"header type", param.Call{Path: map[string]string{"id": "a"}, Header: http.Header{"X-N": {"1,2"}}.Values}, "header X-N type"},
		{"cookie twice", param.Call{Path: map[string]string{"id": "a"}, Cookie: func(string) []string { return []string{"1", "2"} }}, "cookie sid duplicate"},
	}
	for _, test := range tests {
		_, violations := param.Decode(sample(), test.c)
		if len(violations) != 1 || fmt.Sprintf("%s %s %s", violations[0].In, violations[0].Pointer, violations[0].Keyword) != test.want {
			t.Errorf("%s: %v", test.name, violations)
		}
	}
	// Undeclared names pass unless asked for; a free object takes them all.
	var o []param.Parameter
	if _, v := param.Decode(o, param.Call{RawQuery: "a=1"}); len(v) > 0 {
		t.Errorf("%v", v)
	}
	o = []param.Parameter{{Name: "any", In: "query", Style: "form", Explode: true, Kind: param.Object}}
	got, v := param.Decode(o, param.Call{RawQuery: "a=1&b=2", Strict: true})
	if diff := cmp.Diff(map[string]any{"query.any": map[string]any{"a": "1", "b": "2"}}, got); diff != "" || len(v) > 0 {
		t.Error(v, diff)
	}
	o = []param.Parameter{{Name: "raw", In: "query", Style: "form", AllowReserved: true, Kind: param.String}}
	if got, v := param.Decode(o, param.Call{RawQuery: "raw=a;b", Strict: true}); len(v) > 0 || got["query.raw"] != "a;b" {
		t.Errorf("%v %v", got, v)
	}
}

func FuzzDecodeParameters(f *testing.F) {
	for _, q := range []string{"s=a+b&i=1&l=1&l=2&d[a]=1&csv=a,b&sp=1%202", "d=1&d[[=", "a;b=%zz&%ff", "doc=%7B%7D&R=1&pipe=a|b"} {
		f.Add(q, ";m=1;m=2", "1, 2")
	}
	f.Fuzz(func(t *testing.T, query, path, header string) {
		o := sample()
		values, _ := param.Decode(o, param.Call{
			Path: map[string]string{"id": path, "m": path}, RawQuery: query, Strict: true,
			Header: func(string) []string { return []string{header} }, Cookie: func(string) []string { return []string{header, query} },
		})
		if _, err := json.Marshal(values); err != nil {
			t.Fatalf("a value is not JSON: %v", err)
		}
	})
}

func BenchmarkDecodeParameters(b *testing.B) {
	o := sample()
	c := call("s=a&i=7&l=1&l=2&csv=a,b", http.Header{"X-N": {"12"}})
	b.ReportAllocs()
	for b.Loop() {
		if _, v := param.Decode(o, c); len(v) > 0 {
			b.Fatal(v)
		}
	}
}
