package datafile

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type lines struct {
	Head  `yaml:",inline"`
	Name  Text                     `yaml:"name"`
	Block Text                     `yaml:"block"`
	Gone  Text                     `yaml:"gone"`
	Parts []Lined[part]            `yaml:"parts"`
	ByKey map[string]Lined[[]Text] `yaml:"byKey"`
}

type part struct {
	Code  string        `yaml:"code"`
	Parts []Lined[part] `yaml:"parts"`
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	var got lines
	src := "kind: lines\nschema: 1\nname: '007'\nblock: |\n  a\n  b\nparts:\n  - code: x\n    parts:\n    - {code: y}\nbyKey:\n  k: [1, no]\n"
	if p := Decode("f.yaml", "lines", []byte(src), &got); p != nil {
		t.Fatal(p)
	}
	want := lines{Head: Head{"lines", 1}, Name: Text{"007", 3, 3, true}, Block: Text{"a\nb\n", 4, 5, true},
		Parts: []Lined[part]{{part{"x", []Lined[part]{{part{Code: "y"}, 10}}}, 8}},
		ByKey: map[string]Lined[[]Text]{"k": {[]Text{{"1", 12, 12, true}, {"no", 12, 12, true}}, 12}}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestPartsAreStrict: a part is decoded as strictly as the document, however deep it lies, and hides no other problem.
func TestPartsAreStrict(t *testing.T) {
	t.Parallel()
	src := "kind: lines\nschema: 1\nname: [a]\nparts:\n  - {code: x, nope: 1}\n  - parts:\n    - {code: [y]}\n    - code: a\n      code: b\nbyKey:\n  k: {a: b}\n"
	var into lines
	got := Decode("f.yaml", "lines", []byte(src), &into)
	for _, w := range []string{"f.yaml:3: a plain value is expected", `f.yaml:5: unknown key "nope"`, "f.yaml:7: the value is a list, where text is expected",
		`f.yaml:9: mapping key "code" already defined`, "f.yaml:11: the value is a mapping, where a list is expected"} {
		if !strings.Contains(got.Error(), w) {
			t.Errorf("nothing says %q in\n%v", w, got)
		}
	}
	if len(got) != 5 {
		t.Errorf("%d problems:\n%v", len(got), got)
	}
}
