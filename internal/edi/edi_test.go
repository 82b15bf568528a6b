package edi

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// isa is a fixed-width ISA for the given separators; control is ISA13.
func isa(e, c, t string, version string) string {
	return strings.Join([]string{"ISA", "00", "          ", "00", "          ", "ZZ", "HARBOR         ", "ZZ", "ACME           ",
		"260301", "1412", "U", version, "000000123", "0", "T", c}, e) + t
}

// good is an interchange of one group with two sets; the second has what the caller puts there.
func good(second string) string {
	return isa("*", ">", "~", "00401") + "GS*SW*HARBOR*ACME*20260301*1412*123*X*004010~" +
		"ST*945*0001~W06*F*SO-1*20260301*SHP-1~LX*1~W12*CC*5*5**EA**VN*SKU-1~SE*5*0001~" +
		second + "GE*2*123~IEA*1*000000123~"
}

func mustParse(t testing.TB, s string) *Interchange {
	t.Helper()
	ic, err := Parse([]byte(s), Limits{})
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return ic
}

func loadGuide(t testing.TB, name string) *Guide {
	t.Helper()
	b, err := os.ReadFile("../../policies/std/guides/x12/" + name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	g, problems := LoadGuide(name+".yaml", b)
	for _, p := range problems {
		t.Error(p)
	}
	if g == nil {
		t.FailNow()
	}
	return g
}

func TestParseEnvelope(t *testing.T) {
	t.Parallel()
	ic := mustParse(t, good("ST*945*0002~W06*F*SO-2~LX*1~W12*CC*1*1**EA~SE*5*0002~"))
	if ic.SenderID != "HARBOR" || ic.ReceiverID != "ACME" || ic.SenderQualifier != "ZZ" || ic.Control != "000000123" ||
		ic.Usage != "T" || ic.Version != "00401" || ic.Separators != (Separators{Element: '*', Component: '>', Segment: '~'}) {
		t.Errorf("interchange %+v", ic)
	}
	g := ic.Groups[0]
	if g.FunctionalID != "SW" || g.Control != "123" || g.Version != "004010" || len(g.Sets) != 2 || g.DeclaredSets != 2 || len(g.Errors) != 0 {
		t.Errorf("group %+v", g)
	}
	if len(ic.Warnings) != 0 {
		t.Errorf("a clean document has warnings: %+v", ic.Warnings)
	}
	w12 := g.Sets[0].Segments[3]
	if w12.ID != "W12" || w12.Number != 6 || w12.Element(8) != "SKU-1" || w12.Element(99) != "" {
		t.Errorf("segment %+v", w12)
	}
	src := good("")
	if at := w12.OffsetOf(8); src[at:at+5] != "SKU-1" {
		t.Errorf("offset %d is %q", at, src[at:at+5])
	}
}

// TestFraming: everything here departs from the standard in framing only and must read as the same content.
func TestFraming(t *testing.T) {
	t.Parallel()
	clean := good("")
	cases := map[string]struct {
		in   string
		warn string
		sep  Separators
	}{
		"byte order mark":         {"\ufeff" + clean, "byte order mark", Separators{'*', '>', 0, '~'}},
		"lines":                   {strings.ReplaceAll(clean, "~", "~\r\n"), "", Separators{'*', '>', 0, '~'}},
		"newline terminator":      {strings.ReplaceAll(clean, "~", "\n"), "", Separators{'*', '>', 0, '\n'}},
		"crlf with cr terminator": {strings.ReplaceAll(clean, "~", "\r\n"), "", Separators{'*', '>', 0, '\r'}},
		"indented":                {strings.ReplaceAll(clean, "~", "~\n\t  "), "white space between segments", Separators{'*', '>', 0, '~'}},
		"collapsed padding":       {strings.NewReplacer("          ", " ", "HARBOR         ", "HARBOR ", "ACME           ", "ACME").Replace(clean), "not 106 characters", Separators{'*', '>', 0, '~'}},
		"no-break spaces":         {strings.Replace(clean, "          ", strings.Repeat("\u00a0", 10), 2), "not 106 characters", Separators{'*', '>', 0, '~'}},
		"no ISA16":                {strings.Replace(clean, "*T*>~", "*T*~", 1), "ISA16 is missing", Separators{'*', 0, 0, '~'}},
		"no ISA16, lines":         {strings.ReplaceAll(strings.Replace(clean, "*T*>~", "*T*~", 1), "~", "~\n"), "ISA16 is missing", Separators{'*', 0, 0, '~'}},
		"empty segment":           {strings.Replace(clean, "~LX", "~~LX", 1), "empty segment", Separators{'*', '>', 0, '~'}},
		"unterminated":            {strings.TrimSuffix(clean, "~"), "no terminator", Separators{'*', '>', 0, '~'}},
		"no IEA":                  {clean[:strings.Index(clean, "IEA")], "IEA is missing", Separators{'*', '>', 0, '~'}},
		"text behind IEA":         {clean + "sent by ftp", "text after IEA", Separators{'*', '>', 0, '~'}},
		"control characters":      {strings.NewReplacer("*", "\x1d", "~", "\x1c").Replace(clean), "", Separators{0x1d, '>', 0, 0x1c}},
	}
	want := mustParse(t, clean).Groups[0].Sets
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ic := mustParse(t, c.in)
			if ic.Separators != c.sep {
				t.Errorf("separators %+v", ic.Separators)
			}
			if d := cmp.Diff(want, ic.Groups[0].Sets, cmpopts.IgnoreFields(Segment{}, "Offset", "Number")); d != "" {
				t.Errorf("content differs:\n%s", d)
			}
			if ic.SenderID != "HARBOR" || ic.ReceiverID != "ACME" {
				t.Errorf("parties %q %q", ic.SenderID, ic.ReceiverID)
			}
			var all []string
			for _, w := range ic.Warnings {
				all = append(all, w.Message)
			}
			if got := strings.Join(all, "; "); !strings.Contains(got, c.warn) || c.warn == "" && got != "" {
				t.Errorf("warnings %q, want %q", got, c.warn)
			}
		})
	}
}

func TestRepetitionSeparator(t *testing.T) {
	t.Parallel()
	ic := mustParse(t, strings.Replace(strings.Replace(good(""), "*U*00401", "*^*00501", 1), "004010", "005010", 1))
	if ic.Separators.Repetition != '^' {
		t.Errorf("separators %+v", ic.Separators)
	}
}

func TestEnvelopeRefused(t *testing.T) {
	t.Parallel()
	clean := good("")
	cases := map[string]struct {
		in     string
		limits Limits
		reason string
		large  bool
	}{
		"empty":              {"", Limits{}, "does not begin with an ISA", false},
		"not EDI":            {`{"order":"SO-1"}`, Limits{}, "does not begin with an ISA", false},
		"first byte lost":    {clean[1:], Limits{}, "does not begin with an ISA", false},
		"cut in ISA":         {clean[:60], Limits{}, "sixteen elements", false},
		"no sender":          {strings.Replace(clean, "HARBOR ", "       ", 1), Limits{}, "ISA06", false},
		"control number":     {strings.Replace(clean, "000000123", "00000012X", 1), Limits{}, "ISA13", false},
		"usage":              {strings.Replace(clean, "*T*>", "*X*>", 1), Limits{}, "ISA15", false},
		"seventeen elements": {strings.Replace(clean, "HARBOR ", "HAR*OR ", 1), Limits{}, "sixteen elements", false},
		"version":            {strings.Replace(clean, "*00401*", "*ABCDE*", 1), Limits{}, "ISA12", false},
		"nothing behind ISA": {clean[:106], Limits{}, "no functional group", false},
		"same separators":    {strings.Replace(clean, "*T*>~", "*T**~", 1), Limits{}, "terminator", false},
		"too many bytes":     {clean, Limits{Bytes: 100}, "larger than 100", true},
		"too many segments":  {clean, Limits{Segments: 4}, "more than 4 segments", true},
		"too many elements":  {clean, Limits{Elements: 5}, "more than 5 elements", true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse([]byte(c.in), c.limits)
			var e *EnvelopeError
			if !errors.As(err, &e) || !strings.Contains(e.Reason, c.reason) || e.TooLarge != c.large {
				t.Errorf("got %v (%+v), want %q", err, e, c.reason)
			}
		})
	}
}

func TestSetAndGroupErrors(t *testing.T) {
	t.Parallel()
	body := "W06*F*SO-2~LX*1~W12*CC*1*1**EA~"
	cases := map[string]struct {
		second, want string
	}{
		"good":            {"ST*945*0002~" + body + "SE*5*0002~", ""},
		"count":           {"ST*945*0002~" + body + "SE*7*0002~", "4"},
		"control":         {"ST*945*0002~" + body + "SE*5*0003~", "3"},
		"both":            {"ST*945*0002~" + body + "SE*9*0003~", "3,4"},
		"no trailer":      {"ST*945*0002~" + body, "2"},
		"no set id":       {"ST**0002~" + body + "SE*5*0002~", "6"},
		"no control":      {"ST*945~" + body + "SE*5~", "7"},
		"count not a no.": {"ST*945*0002~" + body + "SE*five*0002~", "4"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := mustParse(t, good(c.second)).Groups[0]
			if len(g.Sets) != 2 || len(g.Sets[0].Errors) != 0 {
				t.Fatalf("the good set suffers: %+v", g.Sets)
			}
			if got := strings.Join(g.Sets[1].Errors, ","); got != c.want {
				t.Errorf("codes %q, want %q", got, c.want)
			}
		})
	}
	for name, c := range map[string]struct{ old, new, want string }{
		"group count":   {"GE*2*123", "GE*3*123", "5"},
		"group control": {"GE*2*123", "GE*2*124", "4"},
		"no trailer":    {"GE*2*123~", "", "3"},
		"syntax":        {"1412*123*X", "1412*A*X", "6,4"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := strings.Replace(good("ST*945*0002~"+body+"SE*5*0002~"), c.old, c.new, 1)
			if got := strings.Join(mustParse(t, s).Groups[0].Errors, ","); got != c.want {
				t.Errorf("codes %q, want %q", got, c.want)
			}
		})
	}
}

func TestSeveralInterchanges(t *testing.T) {
	t.Parallel()
	clean := good("")
	cut := clean[:strings.Index(clean, "GE*")]
	for name, first := range map[string]string{"complete": clean, "trailers missing": cut} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rest := []byte(first + "\r\n" + clean)
			n := 0
			for rest != nil {
				ic, err := Parse(rest, Limits{})
				if err != nil {
					t.Fatal(err)
				}
				n, rest = n+len(ic.Groups[0].Sets), ic.Rest
			}
			if n != 2 {
				t.Errorf("%d sets in two interchanges", n)
			}
		})
	}
}

func TestParseBare(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"ST*945*0001~\nW06*F*SO-1~\nSE*3*0001~\n", "ST|945|0001\nW06|F|SO-1\nSE|3|0001"} {
		sets, _, err := ParseBare([]byte(s), Limits{})
		if err != nil || len(sets) != 1 || sets[0].ID != "945" || len(sets[0].Segments) != 3 || len(sets[0].Errors) != 0 {
			t.Errorf("%q: %+v %v", s, sets, err)
		}
	}
	if _, _, err := ParseBare([]byte("UNB+UNOA"), Limits{}); err == nil {
		t.Error("no ST was accepted")
	}
}

// fileOf makes an interchange of n bytes or more for benchmarks and limits.
func fileOf(n int) []byte {
	var b bytes.Buffer
	b.WriteString(isa("*", ">", "~", "00401") + "GS*SW*HARBOR*ACME*20260301*1412*123*X*004010~")
	sets := 0
	for b.Len() < n {
		sets++
		fmt.Fprintf(&b, "ST*945*%04d~W06*F*SO-%06d*20260301*SHP-%06d**PO-%06d~N1*ST*Blue Door Stores*92*0042~N3*12 Canal Street~N4*Portland*OR*97201*US~G62*11*20260301*4*1412~W27*M*ROAD*Roadrunner Freight*PP~", sets, sets, sets, sets)
		for l := 1; l <= 10; l++ {
			fmt.Fprintf(&b, "LX*%d~W12*CC*120*120**EA*001234567890*VN*ACME-%04d*L2026-%02d~N9*LI*%d~N9*LV*00100752782101847618*36~", l, 1000+l, l, l)
		}
		fmt.Fprintf(&b, "W03*1200*3400*LB~SE*%d*%04d~", 49, sets)
	}
	fmt.Fprintf(&b, "GE*%d*123~IEA*1*000000123~", sets)
	return b.Bytes()
}

func TestBenchmarkFileIsClean(t *testing.T) {
	t.Parallel()
	ic := mustParse(t, string(fileOf(20_000)))
	g := loadGuide(t, "945-004010")
	for i := range ic.Groups[0].Sets {
		s := &ic.Groups[0].Sets[i]
		if d := g.Read(s); len(s.Errors)+len(d.Errors)+len(d.Warnings) > 0 {
			t.Fatalf("%v %v %v", s.Errors, d.Errors, d.Warnings)
		}
	}
	if len(ic.Warnings) > 0 || len(ic.Groups[0].Errors) > 0 {
		t.Fatalf("%v", ic.Warnings)
	}
}

func BenchmarkParse(b *testing.B) {
	src := fileOf(1 << 20)
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(src, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseAndRead(b *testing.B) {
	src, g := fileOf(1<<20), loadGuide(b, "945-004010")
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		ic, err := Parse(src, Limits{})
		if err != nil {
			b.Fatal(err)
		}
		for i := range ic.Groups[0].Sets {
			if d := g.Read(&ic.Groups[0].Sets[i]); len(d.Errors) > 0 {
				b.Fatal(d.Errors)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good("")))
	f.Add([]byte(good("ST*945*0002~W06**~SE*3*0002~")))
	f.Add([]byte("\ufeff" + strings.ReplaceAll(good(""), "~", "\n")))
	f.Add([]byte("ST*945*1~SE*2*1~"))
	g := loadGuide(f, "945-004010")
	now := time.Date(2026, 3, 1, 14, 12, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, b []byte) {
		limits := Limits{Bytes: 1 << 16}
		_, _, _ = ParseBare(b, limits)
		ic, err := Parse(b, limits)
		if err != nil {
			return
		}
		results := make([][]SetResult, len(ic.Groups))
		for i := range ic.Groups {
			results[i] = make([]SetResult, len(ic.Groups[i].Sets))
			for j := range ic.Groups[i].Sets {
				d := g.Read(&ic.Groups[i].Sets[j])
				d.Source("lx[0].w12[0].shipped")
				results[i][j].Errors = d.Errors
			}
		}
		ack, err := Acknowledge(ic, results, AckOptions{Interchange: 1, Group: 1, Set: 1, Now: now})
		if err != nil {
			t.Fatalf("a readable interchange cannot be acknowledged: %v", err)
		}
		if ack.Bytes != nil {
			if _, err := Parse(ack.Bytes, Limits{}); err != nil {
				t.Fatalf("our own 997 is unreadable: %v\n%q", err, ack.Bytes)
			}
		}
		out, err := Write(ic, false)
		if err != nil {
			return // a value with a control character is refused
		}
		again, err := Parse(out, Limits{})
		if err != nil {
			t.Fatalf("written interchange is unreadable: %v\n%q", err, out)
		}
		if len(again.Groups) != len(ic.Groups) {
			t.Fatalf("%d groups became %d", len(ic.Groups), len(again.Groups))
		}
	})
}
