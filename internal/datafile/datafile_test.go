package datafile

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type sample struct {
	Head  `yaml:",inline"`
	Name  string        `yaml:"name"`
	Count int           `yaml:"count"`
	Wait  time.Duration `yaml:"wait"`
	Inner struct {
		Code string `yaml:"code"`
	} `yaml:"inner"`
	List []struct {
		ID string `yaml:"id"`
	} `yaml:"list"`
}

func TestDecode(t *testing.T) {
	t.Parallel()
	var got sample
	src := "# a note\nkind: sample\nschema: 1\nname: n\ncount: 3\nwait: 1m30s\ninner: {code: c}\nlist: [{id: a}, {id: b}]\n"
	if p := Decode("f.yaml", "sample", []byte(src), &got); p != nil {
		t.Fatal(p.Error())
	}
	if got.Kind != "sample" || got.Schema != 1 || got.Name != "n" || got.Count != 3 || got.Wait != 90*time.Second ||
		got.Inner.Code != "c" || len(got.List) != 2 || got.List[1].ID != "b" {
		t.Errorf("decoded %+v", got)
	}
}

// TestDecodeNamesEveryProblem looks for each expected line of text in the answer, and for nothing beyond them.
func TestDecodeNamesEveryProblem(t *testing.T) {
	t.Parallel()
	const head = "kind: sample\nschema: 1\n"
	tests := map[string]struct {
		src  string
		want []string // "line: a part of the message"
	}{
		"empty":                      {"", []string{"f.yaml: yaml: no documents"}},
		"only a comment":             {"# nothing\n", []string{"no documents"}},
		"a list":                     {"- a\n", []string{"f.yaml:1: kind is \"\""}},
		"kind missing":               {"schema: 1\n", []string{"f.yaml:1: kind is \"\": this folder holds kind \"sample\""}},
		"kind below a comment":       {"# one\n# two\nkind: other\nschema: 1\n", []string{"f.yaml:3: kind is \"other\""}},
		"kind is a list":             {"kind: [sample]\nschema: 1\n", []string{"f.yaml:1: kind is"}},
		"schema missing":             {"kind: sample\n", []string{"f.yaml:1: schema is \"\""}},
		"schema of the future":       {"kind: sample\n\nschema: 2\n", []string{"f.yaml:3: schema is \"2\": this program reads schema 1"}},
		"unknown key":                {head + "nmae: n\n", []string{"f.yaml:3: unknown key \"nmae\""}},
		"unknown key deep":           {head + "inner:\n  cod: c\n", []string{"f.yaml:4: unknown key \"cod\""}},
		"unknown key in a list":      {head + "list:\n  - {id: a}\n  - {id: b, x: 1}\n", []string{"f.yaml:5: unknown key \"x\""}},
		"duplicate key":              {head + "name: a\nname: b\n", []string{"f.yaml:4: mapping key \"name\" already defined at line 3"}},
		"duplicate key deep":         {head + "inner:\n  code: a\n  code: b\n", []string{"f.yaml:5: mapping key \"code\" already defined"}},
		"wrong type":                 {head + "count: many\n", []string{"f.yaml:3: the value is "}},
		"a fraction for a count":     {head + "count: 1.5\n", []string{"f.yaml:3: the value is "}},
		"a duration without a unit":  {head + "wait: soon\n", []string{"f.yaml:3: the value is "}},
		"three problems at once":     {head + "nmae: n\ncount: many\ninner:\n  cod: c\n", []string{":3: unknown key \"nmae\"", ":4: the value is", ":6: unknown key \"cod\""}},
		"syntax":                     {head + "name: [\n", []string{"f.yaml:4: did not find"}},
		"unknown anchor":             {head + "name: *x\n", []string{"f.yaml:3: unknown anchor"}},
		"two documents":              {head + "---\n" + head, []string{"found multiple"}},
		"not UTF-8":                  {head + "name: \xff\n", []string{"invalid leading UTF-8"}},
		"a tab for indentation":      {head + "inner:\n\tcode: c\n", []string{"f.yaml:4: "}},
		"larger than the limit":      {head + "name: " + strings.Repeat("x", MaxBytes) + "\n", []string{"f.yaml: larger than 524288 bytes"}},
		"a merge key brings unknown": {head + "inner:\n  <<: {cod: c}\n", []string{"f.yaml:4: unknown key \"cod\""}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var into sample
			got := Decode("f.yaml", "sample", []byte(tt.src), &into)
			if len(got) != len(tt.want) {
				t.Errorf("%d problems, want %d:\n%v", len(got), len(tt.want), got)
			}
			for _, w := range tt.want {
				if !strings.Contains(got.Error(), w) {
					t.Errorf("nothing says %q in\n%v", w, got)
				}
			}
		})
	}
}

// A duplicate key must not hide the other problems of the file.
func TestDuplicateKeyHidesNothing(t *testing.T) {
	t.Parallel()
	var into sample
	got := Decode("f.yaml", "sample", []byte("kind: sample\nschema: 1\ncount: many\ninner:\n  code: a\n  code: b\nzzz: 1\n"), &into)
	for _, w := range []string{":3: ", ":6: ", ":7: "} {
		if !strings.Contains(got.Error(), w) {
			t.Errorf("no problem on line %s in\n%v", w, got)
		}
	}
}

func TestProblemsAreInOrder(t *testing.T) {
	t.Parallel()
	p := Problems{{"b", 1, "x"}, {"a", 9, "z"}, {"a", 9, "y"}, {"a", 2, "x"}, {"a", 0, "w"}}
	want := "a: w\na:2: x\na:9: y\na:9: z\nb:1: x"
	if got := p.Err().Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if Problems(nil).Err() != nil || (Problems{}).Err() != nil {
		t.Error("no problem must be a nil error")
	}
}

func TestLine(t *testing.T) {
	t.Parallel()
	src := []byte("# note\nkind: sample\nschema: 1\n\ninner:\n  code: c\nlist:\n  - id: a\n  - {id: b}\n")
	tests := []struct {
		path []any
		want int
	}{
		{nil, 2}, {[]any{"kind"}, 2}, {[]any{"inner"}, 5}, {[]any{"inner", "code"}, 6}, {[]any{"list", 0}, 8},
		{[]any{"list", 1, "id"}, 9}, {[]any{"list", 7}, 7}, {[]any{"list", -1}, 7}, {[]any{"inner", "absent", "deeper"}, 5},
		{[]any{"absent"}, 2}, {[]any{"kind", "deeper"}, 2}, {[]any{"list", 0, 0}, 8},
	}
	got := make([]int, len(tests))
	want := make([]int, len(tests))
	for i, tt := range tests {
		got[i], want[i] = Line(src, tt.path...), tt.want
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("lines (-want +got):\n%s", d)
	}
	if Line([]byte("a: ["), "a") != 0 || Line(nil, "a") != 0 {
		t.Error("a source that cannot be read has no line")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("kind: sample\nschema: 1\nname: n\n")
	f.Add("kind: sample\nschema: 1\nlist: [{id: &a x}, {id: *a}]\n")
	f.Add("a: &a [*a]\n")
	f.Add("{")
	f.Fuzz(func(t *testing.T, src string) {
		var into sample
		problems := Decode("f.yaml", "sample", []byte(src), &into)
		if problems == nil && (into.Kind != "sample" || into.Schema != 1) {
			t.Errorf("accepted a file of kind %q, schema %d", into.Kind, into.Schema)
		}
		for _, p := range problems {
			if p.Message == "" || p.Line < 0 || p.Line > len(src)+2 { // YAML has more line breaks than \n
				t.Errorf("problem %+v", p)
			}
		}
		Line([]byte(src), "list", 0, "id")
	})
}
