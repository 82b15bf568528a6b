package edi

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func read945(t *testing.T, body string) *Document {
	t.Helper()
	sets, _, err := ParseBare([]byte("ST*945*0001~"+body+"SE*9*0001~"), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return loadGuide(t, "945-004010").Read(&sets[0])
}

func TestReadTree(t *testing.T) {
	t.Parallel()
	d := read945(t, "W06*F*SO-1*20260301*SHP-1**PO-9~N1*ST*Blue Door*92*0042~N3*12 Canal St*Dock 4~N3*Back~N4*Portland*OR*97201*US~"+
		"G62*11*20260301*4*1412~W27*M*ROAD*Roadrunner~LX*1~W12*CC*72*72**CA*001234567890*VN*SKU-1*L-7********UP*999~N9*LV*0010*36~"+
		"W12*BP*5*3*2*EA**VN*SKU-2~ZZX*a**b~W03*75*100.5*LB~")
	want := map[string]any{
		"w06": map[string]any{"reportingCode": "F", "depositorOrder": "SO-1", "date": "20260301", "shipmentId": "SHP-1", "purchaseOrder": "PO-9"},
		"n1": []any{map[string]any{"entity": "ST", "name": "Blue Door", "qualifier": "92", "id": "0042",
			"n3": []any{map[string]any{"line1": "12 Canal St", "line2": "Dock 4"}, map[string]any{"line1": "Back"}},
			"n4": map[string]any{"city": "Portland", "region": "OR", "postalCode": "97201", "country": "US"}}},
		"g62": []any{map[string]any{"qualifier": "11", "date": "20260301", "timeQualifier": "4", "time": "1412"}},
		"w27": map[string]any{"method": "M", "scac": "ROAD", "routing": "Roadrunner"},
		"lx": []any{map[string]any{"number": "1", "w12": []any{
			map[string]any{"status": "CC", "ordered": "72", "shipped": "72", "unit": "CA", "upc": "001234567890", "lot": "L-7",
				"itemIds": []any{map[string]any{"qualifier": "VN", "id": "SKU-1"}, map[string]any{"qualifier": "UP", "id": "999"}},
				"n9":      []any{map[string]any{"qualifier": "LV", "reference": "0010", "description": "36"}}},
			map[string]any{"status": "BP", "ordered": "5", "shipped": "3", "difference": "2", "unit": "EA",
				"itemIds": []any{map[string]any{"qualifier": "VN", "id": "SKU-2"}}},
		}}},
		"w03":       map[string]any{"units": "75", "weight": "100.5", "weightUnit": "LB"},
		"_unmapped": []any{map[string]any{"segment": "ZZX", "position": "13", "elements": []any{"a", "", "b"}}},
	}
	if diff := cmp.Diff(want, d.Tree); diff != "" {
		t.Errorf("tree:\n%s", diff)
	}
	if len(d.Errors) != 0 {
		t.Errorf("errors %+v", d.Errors)
	}
	if len(d.Warnings) != 1 || d.Warnings[0].Segment != 13 || !strings.Contains(d.Warnings[0].Message, "_unmapped") {
		t.Errorf("warnings %+v", d.Warnings)
	}
	for path, want := range map[string]string{
		"w06.depositorOrder":                "segment 2 (W06-02)",
		"n1[0].n3[1].line1":                 "segment 5 (N3-01)",
		"lx[0].w12[0].itemIds[1].id":        "segment 10 (W12-18)",
		"lx[0].w12[1]":                      "segment 12 (W12)",
		".lx[0].w12[1].lot":                 "segment 12 (W12)", // not sent: the segment it belongs to
		"lx[0].w12[0].n9[0].description":    "segment 11 (N9-03)",
		"lx[7].w12[0].n9[0].description":    "",
		"w03.weight":                        "segment 14 (W03-02)",
		"nothing of this kind is in a tree": "",
	} {
		if got := d.Locate(path); got != want {
			t.Errorf("Locate(%s) = %q, want %q", path, got, want)
		}
	}
}

func TestReadShift(t *testing.T) {
	t.Parallel()
	d := read945(t, "W06*F*SO-1~LX*1~W12*CC*72*72**CA**001234567890*UK*10012345678902*40550*799*G*L~")
	w12 := d.Tree["lx"].([]any)[0].(map[string]any)["w12"].([]any)[0].(map[string]any)
	want := map[string]any{"status": "CC", "ordered": "72", "shipped": "72", "unit": "CA", "upc": "001234567890", "lot": "40550",
		"itemIds": []any{map[string]any{"qualifier": "UK", "id": "10012345678902"}}, "weight": "799", "weightQualifier": "G", "weightUnit": "L"}
	if diff := cmp.Diff(want, w12); diff != "" || len(d.Errors) != 0 {
		t.Errorf("%s %+v", diff, d.Errors)
	}
	if got := d.Locate("lx[0].w12[0].upc"); got != "segment 4 (W12-07)" {
		t.Errorf("Locate = %s", got)
	}
	if len(d.Warnings) != 1 || !strings.Contains(d.Warnings[0].Message, "extra empty element 6") {
		t.Errorf("warnings %+v", d.Warnings)
	}
}

func TestReadErrors(t *testing.T) {
	t.Parallel()
	const tail = "LX*1~W12*CC*1*1**EA**VN*A~"
	cases := map[string]struct{ body, want string }{
		"missing segment":         {"N1*ST~" + tail, "W06@2:3"},
		"missing loop":            {"W06*F*SO-1~N1*ST~N4*Portland~W03*1~", "LX@5:3"},
		"missing in loop":         {"W06*F~LX*1~LX*2~W12*CC~", "W12@4:3"},
		"missing mandatory":       {"W06**SO-1~" + tail, "W06@2:8[1/514/1]"},
		"invalid date":            {"W06*F*SO-1*CCYYMMDD~" + tail, "W06@2:8[3/373/8]"},
		"date too short":          {"W06*F*SO-1*2026~" + tail, "W06@2:8[3/373/4]"},
		"no such day":             {"W06*F*SO-1*20250229~" + tail, "W06@2:8[3/373/8]"},
		"invalid time":            {"W06*F~G62*11*20260301*4*2460~" + tail, "G62@3:8[4/337/9]"},
		"too long":                {"W06*F*" + strings.Repeat("1", 23) + "~" + tail, "W06@2:8[2/285/5]"},
		"too short":               {"W06*F~N1*ST*Blue*92*1~" + tail, "N1@3:8[4/67/4]"},
		"invalid character":       {"W06*F~LX*1~W12*CC*1*1x**EA~", "W12@4:8[3/382/6]"},
		"control character":       {"W06*F*SO\x01~" + tail, "W06@2:8[2/285/6]"},
		"two wrong elements":      {"W06**SO-1*20261301~" + tail, "W06@2:8[1/514/1 3/373/8]"},
		"too many":                {"W06*F~W06*F~" + tail, "W06@3:5"},
		"too many loops":          {"W06*F~" + strings.Repeat("N1*ST~", 12) + tail, "N1@13:4"},
		"unknown identifier":      {"W06*F~w06*F~" + tail, "w06@3:1"},
		"spaces are nothing":      {"W06*  *SO-1~" + tail, "W06@2:8[1/514/1]"},
		"unknown segment is fine": {"W06*F~ABC*1~" + tail, ""},
		"other order is fine":     {"W06*F~W27*M~G62*11*20260301~" + tail, ""},
		"negative is fine":        {"W06*F~LX*1~W12*CC*1*-1.5**EA~", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, e := range read945(t, c.body).Errors {
				s := e.SegmentID + "@" + strconv.Itoa(e.Position) + ":" + e.Code
				var el []string
				for _, x := range e.Elements {
					el = append(el, strconv.Itoa(x.Position)+"/"+x.Ref+"/"+x.Code)
				}
				if el != nil {
					s += "[" + strings.Join(el, " ") + "]"
				}
				got = append(got, s)
				for _, v := range e.Violations() {
					if v.In != "document" || v.Pointer == "" || strings.Contains(v.Message, "CCYYMMDD") {
						t.Errorf("violation %+v", v)
					}
				}
			}
			if g := strings.Join(got, " "); g != c.want {
				t.Errorf("errors %q, want %q", g, c.want)
			}
		})
	}
}

func TestReadLatin(t *testing.T) {
	t.Parallel()
	d := read945(t, "W06*F*SO-1~N1*ST*Caf\xe9 Bleu~LX*1~W12*CC~")
	if n := d.Tree["n1"].([]any)[0].(map[string]any)["name"]; n != "Café Bleu" {
		t.Errorf("name %q", n)
	}
	if len(d.Warnings) != 1 || len(d.Errors) != 0 {
		t.Errorf("%+v %+v", d.Warnings, d.Errors)
	}
}

func TestImpliedDecimals(t *testing.T) {
	t.Parallel()
	d := elementDef{kind: 'N', implied: 2, min: 1, max: 9}
	for in, want := range map[string]string{"1250": "12.50", "5": "0.05", "-5": "-0.05", "00": "0.00", "123": "1.23"} {
		if got, code, _ := d.check(in); got != want || code != "" {
			t.Errorf("%s gives %s %s, want %s", in, got, code, want)
		}
	}
}

func TestRead997(t *testing.T) {
	t.Parallel()
	sets, _, err := ParseBare([]byte("ST*997*0001~AK1*SW*123~AK2*945*0001~AK3*W06*2**8~AK4*3*373*8~AK5*R*5~AK9*R*1*1*0~SE*8*0001~"), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	d := loadGuide(t, "997-004010").Read(&sets[0])
	want := map[string]any{
		"ak1": map[string]any{"functionalId": "SW", "control": "123"},
		"ak2": []any{map[string]any{"set": "945", "control": "0001",
			"ak3": []any{map[string]any{"segment": "W06", "position": "2", "code": "8",
				"ak4": []any{map[string]any{"position": "3", "ref": "373", "code": "8"}}}},
			"ak5": map[string]any{"status": "R", "codes": []any{map[string]any{"code": "5"}}}}},
		"ak9": map[string]any{"status": "R", "included": "1", "received": "1", "accepted": "0"},
	}
	if diff := cmp.Diff(want, d.Tree); diff != "" || len(d.Errors) != 0 {
		t.Errorf("%s %+v", diff, d.Errors)
	}
}

// TestLoadGuideProblems: one document with many mistakes names all of them, each with its line.
func TestLoadGuideProblems(t *testing.T) {
	t.Parallel()
	src := `kind: guide
schema: 1
format: edi
set: 94
version: "4010"
functional: SW
segments:
  W06:
    elements:
      - {pos: 1, name: code, type: ID, min: 1, max: 2, usage: M}
      - {pos: 1, name: code, type: XX, min: 3, max: 2, usage: Q}
  lower:
    elements: []
structure:
  - {segment: W06, usage: M, max: 0}
  - {segment: W99, usage: M, max: 1}
  - {segment: W06, loop: W06, usage: O, max: 1}
`
	g, problems := LoadGuide("g.yaml", []byte(src))
	if g != nil {
		t.Fatal("a broken guide was loaded")
	}
	var all strings.Builder
	for _, p := range problems {
		all.WriteString(p.Error() + "\n")
	}
	for _, want := range []string{`g.yaml:3: format must be "x12"`, "g.yaml:4: set must be", "g.yaml:5: version must", "g.yaml:11: W06 has two elements at position 1",
		"g.yaml:11: type of W06-01", "g.yaml:11: min and max", "g.yaml:11: usage of W06-01", `g.yaml:13: "lower" is not`, "g.yaml:13: segment lower is defined but",
		"g.yaml:15: max of W06", "g.yaml:16: segment W99 is not defined", "g.yaml:17: give either", "g.yaml:17: key"} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("no problem %q in\n%s", want, all.String())
		}
	}
	for src, want := range map[string]string{
		"kind: gide\nschema: 1\n":                   `g.yaml:1: kind is "gide": this folder holds kind "guide"`,
		"kind: guide\nschema: 2\n":                  `g.yaml:2: schema is "2"`,
		"kind: guide\nschema: 1\nbogus: 1\n":        `g.yaml:3: unknown key "bogus"`,
		"kind: [\n":                                 "g.yaml:2: ",
		"kind: guide\nschema: 1\nstructure: {a: 1}": "g.yaml:3: the value is a mapping, where a list is expected",
	} {
		if _, p := LoadGuide("g.yaml", []byte(src)); len(p) != 1 || !strings.HasPrefix(p[0].Error(), want) {
			t.Errorf("%q gives %v, want %s", src, p, want)
		}
	}
}

func FuzzLoadGuide(f *testing.F) {
	b, err := os.ReadFile("../../policies/std/guides/x12/997-004010.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("kind: guide\nsegments: {A: {elements: [{pos: 1}]}}\nstructure: [{loop: A, contains: [{segment: A}]}]"))
	sets, _, err := ParseBare([]byte("ST*997*0001~AK1*SW*123~AK9*R*1*1*0~SE*4*0001~"), Limits{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		g, problems := LoadGuide("f.yaml", src)
		if (g == nil) == (len(problems) == 0) {
			t.Fatal("either a guide or problems")
		}
		if g != nil {
			g.Read(&sets[0])
		}
	})
}
