package edi

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var ackTime = time.Date(2026, 3, 1, 14, 12, 0, 0, time.UTC)

// acknowledge reads every set with the 945 guide and returns the body of the 997 without its envelope.
func acknowledge(t *testing.T, src string, policy string) (string, *Acknowledgement) {
	t.Helper()
	ic, g := mustParse(t, src), loadGuide(t, "945-004010")
	results := make([][]SetResult, len(ic.Groups))
	for i := range ic.Groups {
		results[i] = make([]SetResult, len(ic.Groups[i].Sets))
		for j := range ic.Groups[i].Sets {
			if s := &ic.Groups[i].Sets[j]; s.ID == "945" {
				results[i][j].Errors = g.Read(s).Errors
			} else {
				results[i][j].Unsupported = true
			}
		}
	}
	ack, err := Acknowledge(ic, results, AckOptions{Interchange: 7, Group: 9, Set: 1, Now: ackTime, WrongSECount: policy})
	if err != nil {
		t.Fatal(err)
	}
	body := string(ack.Bytes)
	if i := strings.Index(body, "ST*997"); i >= 0 {
		body = body[i:strings.LastIndex(body, "GE*")]
	}
	return body, ack
}

func TestAcknowledge(t *testing.T) {
	t.Parallel()
	const body = "W06*F*SO-2~LX*1~W12*CC*1*1**EA~"
	ok, wrong := "ST*945*0002~"+body+"SE*5*0002~", "ST*945*0002~"+body+"SE*9*0002~"
	cases := map[string]struct {
		src, policy, want string
	}{
		"all accepted": {good(ok), "", "ST*997*0001~AK1*SW*123~AK2*945*0001~AK5*A~AK2*945*0002~AK5*A~AK9*A*2*2*2~SE*8*0001~"},
		// The example of the trade: two 945s, the second with a wrong segment count, policy R.
		"wrong count, policy R": {good(wrong), "R", "ST*997*0001~AK1*SW*123~AK2*945*0001~AK5*A~AK2*945*0002~AK5*R*4~AK9*P*2*2*1~SE*8*0001~"},
		"wrong count, default":  {good(wrong), "", "ST*997*0001~AK1*SW*123~AK2*945*0001~AK5*A~AK2*945*0002~AK5*E*4~AK9*E*2*2*2~SE*8*0001~"},
		"wrong elements": {good("ST*945*0002~W06**SO-2*20261301~LX*1~W12*CC~SE*5*0002~"), "",
			"ST*997*0001~AK1*SW*123~AK2*945*0001~AK5*A~AK2*945*0002~AK3*W06*2**8~AK4*1*514*1~AK4*3*373*8~AK5*R*5~AK9*P*2*2*1~SE*11*0001~"},
		"no set is good": {strings.Replace(good("ST*945*0002~SE*3*0002~"), "W06*F*SO-1", "W06**SO-1", 1), "R",
			"ST*997*0001~AK1*SW*123~AK2*945*0001~AK3*W06*2**8~AK4*1*514*1~AK5*R*5~AK2*945*0002~AK3*W06*2**3~AK3*LX*2*LX*3~AK5*R*4*5~AK9*R*2*2*0~SE*12*0001~"},
		"control number": {good("ST*945*0002~" + body + "SE*5*0009~"), "", "ST*997*0001~AK1*SW*123~AK2*945*0001~AK5*A~AK2*945*0002~AK5*R*3~AK9*P*2*2*1~SE*8*0001~"},
		"unsupported set": {good("ST*850*0002~SE*2*0002~"), "",
			"ST*997*0001~AK1*SW*123~AK2*945*0001~AK5*A~AK2*850*0002~AK5*R*1~AK9*P*2*2*1~SE*8*0001~"},
		"group count": {strings.Replace(good(ok), "GE*2", "GE*3", 1), "", "ST*997*0001~AK1*SW*123~AK2*945*0001~AK5*A~AK2*945*0002~AK5*A~AK9*E*3*2*2*5~SE*8*0001~"},
		"broken ST":   {good("T*945*0002~" + body + "SE*5*0002~"), "", "ST*997*0001~AK1*SW*123~AK2*945*0001~AK5*A~AK9*P*2*1*1*5~SE*6*0001~"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, _ := acknowledge(t, c.src, c.policy); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", strings.ReplaceAll(got, "~", "~\n"), strings.ReplaceAll(c.want, "~", "~\n"))
			}
		})
	}
}

func TestAcknowledgeEnvelope(t *testing.T) {
	t.Parallel()
	_, ack := acknowledge(t, good("ST*945*0002~SE*2*0002~"), "")
	ic, err := Parse(ack.Bytes, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if len(ic.Warnings) != 0 || string(ack.Bytes[103:106]) != "*>~" {
		t.Errorf("our envelope is not clean: %+v %s", ic.Warnings, ack.Bytes)
	}
	if ic.SenderID != "ACME" || ic.ReceiverID != "HARBOR" || ic.Usage != "T" || ic.Control != "000000007" || ic.Date != "260301" || ic.Time != "1412" {
		t.Errorf("%+v", ic)
	}
	g := ic.Groups[0]
	if g.FunctionalID != "FA" || g.Sender != "ACME" || g.Receiver != "HARBOR" || g.Control != "9" || g.Version != "004010" || g.Date != "20260301" {
		t.Errorf("%+v", g)
	}
	d := loadGuide(t, "997-004010").Read(&g.Sets[0])
	if len(g.Sets[0].Errors)+len(d.Errors)+len(d.Warnings) != 0 {
		t.Errorf("%+v %+v", d.Errors, d.Warnings)
	}
	want := GroupStatus{Status: "P", Accepted: 1, Sets: []SetStatus{{Status: "A"}, {Status: "R", Codes: []string{"5"}}}}
	if diff := cmp.Diff(want, ack.Groups[0]); diff != "" {
		t.Error(diff)
	}
}

func TestAcknowledgeNeverAcknowledgements(t *testing.T) {
	t.Parallel()
	src := strings.Replace(good(""), "GS*SW", "GS*FA", 1)
	if _, ack := acknowledge(t, src, ""); ack.Bytes != nil {
		t.Errorf("a 997 was acknowledged: %s", ack.Bytes)
	}
	if n := mustParse(t, src).Acknowledgements(); n != 0 {
		t.Errorf("Acknowledgements = %d", n)
	}
	// A second group of 945s in the same interchange is acknowledged on its own.
	two := strings.Replace(src, "IEA*1", "GS*SW*HARBOR*ACME*20260301*1412*124*X*004010~ST*945*0001~W06*F~LX*1~W12*CC~SE*5*0001~GE*1*124~IEA*2", 1)
	got, _ := acknowledge(t, two, "")
	if want := "ST*997*0001~AK1*SW*124~AK2*945*0001~AK5*A~AK9*A*1*1*1~SE*6*0001~"; got != want {
		t.Errorf("got %s", got)
	}
}

func TestAcknowledgeMisuse(t *testing.T) {
	t.Parallel()
	ic := mustParse(t, good(""))
	for name, c := range map[string]struct {
		results [][]SetResult
		opts    AckOptions
	}{
		"groups":   {nil, AckOptions{}},
		"sets":     {[][]SetResult{{}}, AckOptions{}},
		"controls": {[][]SetResult{{{}}}, AckOptions{Interchange: 1_000_000_000}},
	} {
		if _, err := Acknowledge(ic, c.results, c.opts); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestWriteRoundTrip(t *testing.T) {
	t.Parallel()
	src := good("ST*945*0002*IMPL~W06*F*SO-2***PO>9~LX*1~W12*CC~SE*5*0002~")
	ic := mustParse(t, src)
	out, err := Write(ic, false)
	if err != nil {
		t.Fatal(err)
	}
	if string(out) != src {
		t.Errorf("got\n%s\nwant\n%s", out, src)
	}
	lines, err := Write(ic, true)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ic, mustParse(t, string(lines)), cmpopts.IgnoreFields(Segment{}, "Offset")); diff != "" {
		t.Error(diff)
	}
	// Counts and trailers are computed.
	built := &Interchange{SenderQualifier: "ZZ", SenderID: "A", ReceiverQualifier: "ZZ", ReceiverID: "B", Date: "260301", Time: "1412", Version: "00401",
		Control: "5", Usage: "P", Separators: Separators{Element: '|', Component: '^', Segment: '\n'},
		Groups: []Group{{FunctionalID: "SW", Sender: "A", Receiver: "B", Date: "20260301", Time: "1412", Control: "1", Agency: "X", Version: "004010",
			Sets: []Set{{ID: "945", Control: "0001", Segments: []Segment{seg("W06", "F", "SO-1", "", "")}}}}}}
	out, err = Write(built, false)
	if err != nil {
		t.Fatal(err)
	}
	if want := "ST|945|0001\nW06|F|SO-1\nSE|3|0001\nGE|1|1\nIEA|1|000000005\n"; !strings.HasSuffix(string(out), want) {
		t.Errorf("got\n%s", out)
	}
}

func TestWriteRefuses(t *testing.T) {
	t.Parallel()
	base := func() *Interchange { return mustParse(t, good("")) }
	for name, change := range map[string]func(*Interchange){
		"element separator in data": func(ic *Interchange) { ic.Groups[0].Sets[0].Segments[1].Elements[1] = "A*B" },
		"terminator in data":        func(ic *Interchange) { ic.Groups[0].Sets[0].Segments[1].Elements[1] = "A~B" },
		"line break in data":        func(ic *Interchange) { ic.Groups[0].Sets[0].Segments[1].Elements[1] = "A\nB" },
		"segment identifier":        func(ic *Interchange) { ic.Groups[0].Sets[0].Segments[1].ID = "w*6" },
		"long sender":               func(ic *Interchange) { ic.SenderID = strings.Repeat("A", 16) },
		"equal separators":          func(ic *Interchange) { ic.Separators.Component = '*' },
		"no separators":             func(ic *Interchange) { ic.Separators = Separators{} },
	} {
		ic := base()
		change(ic)
		if out, err := Write(ic, false); err == nil {
			t.Errorf("%s was written: %s", name, out)
		}
	}
}
