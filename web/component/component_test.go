package component

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/a-h/templ"
)

func render(t *testing.T, c templ.Component) (string, *goquery.Document) {
	t.Helper()
	var b bytes.Buffer
	if err := c.Render(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	d, err := goquery.NewDocumentFromReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	return text, d
}

func TestEveryIconIsDrawnOnce(t *testing.T) {
	t.Parallel()
	seen := map[string]Icon{}
	for _, i := range Icons() {
		p := i.path()
		if p == "" {
			t.Errorf("icon %q has no drawing", i)
		}
		if other, ok := seen[p]; ok {
			t.Errorf("icons %q and %q are the same drawing", i, other)
		}
		seen[p] = i
	}
	if p := Icon("truck").path(); p != "" {
		t.Errorf("an unknown icon has the drawing %q", p)
	}
}

func TestBadges(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		got  Badge
		tone Tone
		word string
	}{
		{StatusBadge(200, true), OK, "200 Answered"},
		{StatusBadge(202, true), OK, "202 Accepted"},
		{StatusBadge(302, true), Neutral, "302 Redirected"},
		{StatusBadge(422, true), Bad, "422 Rejected"},
		{StatusBadge(429, false), Warn, "429"},
		{StatusBadge(504, true), Bad, "504 Failed"},
		{StatusBadge(0, false), Neutral, "No answer"},
		{DaysBadge(47), Warn, "47 d"},
		{DaysBadge(-1), Neutral, "Gone"},
		{Stable.Badge(), OK, "Stable"},
		{Deprecated.Badge(), Warn, "Deprecated"},
		{Preview.Badge(), Wait, "Preview"},
		{Retired.Badge(), Neutral, "Retired"},
		{Subscribed.Badge(), OK, "Subscribed"},
		{Requested.Badge(), Wait, "Requested"},
		{Paused.Badge(), Warn, "Paused"},
		{Closed.Badge(), Neutral, "Closed"},
		{NotSubscribed.Badge(), Neutral, "Not subscribed"},
	} {
		if c.got.Tone != c.tone || c.got.Word != c.word || c.got.Icon.path() == "" {
			t.Errorf("%+v, want %s %q with an icon", c.got, c.tone, c.word)
		}
	}
}

func TestStencil(t *testing.T) {
	t.Parallel()
	s := Stencil{Text: "47", Label: "47 days left", Height: 30}
	if w, h := s.pixels(); w != "44.5" || h != "30" {
		t.Errorf("size %s by %s", w, h)
	}
	if got := (Stencil{Text: "4:x2", Height: 30}).glyphs(); len(got) != 3 || got[1].x != 24.5 || got[2].x != 35 {
		t.Errorf("glyphs %+v", got)
	}
	if w := (Stencil{}).width(); w != 0 {
		t.Errorf("width of nothing is %g", w)
	}
	_, d := render(t, StencilMark(s))
	if label, _ := d.Find("svg[role=img]").Attr("aria-label"); label != "47 days left" || d.Find("path").Length() != 2 {
		t.Errorf("label %q, %d paths", label, d.Find("path").Length())
	}
}

func TestCodeTextIsExactlyTheText(t *testing.T) {
	t.Parallel()
	for _, c := range []Code{
		{Language: "json", Text: "{\n  \"a\": \"x \\\" <b>\", \"n\": -1.5e3,\n\t\"t\": true, \"z\": null, \"w\": what\n}"},
		{Language: "json", Text: `{"unclosed": "`}, {Language: "json", Text: `"\`}, {Language: "json", Text: "   "},
		{Language: "curl", Text: "curl -X POST https://x.example/a \\\n  -H \"A: $T\" \\\n  -d '{\"a\":1}' @f 'open"},
		{Text: "plain <script>\n\ntext"},
	} {
		for _, numbered := range []bool{false, true} {
			c.ID, c.Title, c.Lines = "id", "Title", numbered
			_, d := render(t, CodeBlock(c))
			if got := d.Find("pre code").Text(); got != c.Text {
				t.Errorf("%s: %q, want %q", c.Language, got, c.Text)
			}
		}
	}
}

func TestJSONTokens(t *testing.T) {
	t.Parallel()
	var got []string
	for _, tk := range jsonTokens(`{"key": "s", "n": 12, "l": false}`) {
		if tk.class != "" && tk.class != "p" {
			got = append(got, tk.class+":"+tk.text)
		}
	}
	if want := []string{`s:"s"`, "n:12", "l:false"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func FuzzTokens(f *testing.F) {
	f.Add(`{"a": [1, true, "x\"y"]}`)
	f.Add("curl 'a' \"b\\\" https://x @y")
	f.Add("\xff\n\"\\")
	f.Fuzz(func(t *testing.T, s string) {
		for name, tokens := range map[string][]token{"json": jsonTokens(s), "shell": shellTokens(s)} {
			var b strings.Builder
			for _, tk := range merge(tokens) {
				b.WriteString(tk.text)
			}
			if b.String() != s {
				t.Errorf("%s loses text: %q, want %q", name, b.String(), s)
			}
		}
	})
}

func TestPathMark(t *testing.T) {
	t.Parallel()
	html, d := render(t, PathMark("POST /a/{order}/b}{<x>"))
	if want := "POST <wbr>/a<wbr>/<var>{order}</var><wbr>/b}{&lt;x&gt;"; html != want {
		t.Errorf("%q, want %q", html, want)
	}
	if got := d.Text(); got != "POST /a/{order}/b}{<x>" {
		t.Errorf("text %q", got)
	}
	if got := d.Find("var").Text(); got != "{order}" {
		t.Errorf("variables %q", got)
	}
}

func TestTrailBars(t *testing.T) {
	t.Parallel()
	ms := time.Millisecond
	trail := Trail{Stages: []Stage{
		{Name: "a", State: Done, Took: 25 * ms},
		{Name: "b", State: Done, Start: 25 * ms, Took: 75 * ms, Upstream: true},
		{Name: "c", State: Failed, Start: 100 * ms},
		{Name: "d", State: NotReached},
	}}
	for i, want := range [][2]string{{"0", "22"}, {"22", "66"}, {"86", "2"}} {
		if x, w := trail.bar(trail.Stages[i]); x != want[0] || w != want[1] {
			t.Errorf("bar %d: x %s width %s, want %v", i, x, w, want)
		}
	}
	if x, w := (Trail{}).bar(Stage{}); x != "0" || w != "2" {
		t.Errorf("bar of an empty trail: %s %s", x, w)
	}
	_, d := render(t, TrailList(trail))
	if d.Find("ol > li").Length() != 4 || d.Find("svg.axis").Length() != 3 || d.Find("svg.axis.up").Length() != 1 || d.Find("svg.axis.bad").Length() != 1 {
		t.Error("the trail does not show four stages, three bars, one upstream and one failed")
	}
	if label, _ := d.Find("svg.node.unreached").Attr("aria-label"); label != "not reached" {
		t.Errorf("label of a stage that was not reached: %q", label)
	}
	if first := strings.Join(strings.Fields(d.Find(".took").First().Text()), " "); first != "25.0 ms" {
		t.Errorf("time of the first stage: %q", first)
	}
}

func TestSparklineAndColumns(t *testing.T) {
	t.Parallel()
	s := Sparkline{Values: []int{0, 5, 10}, Label: "x"}
	if got := s.line(); got != "M1 23L47.5 13L94 3" {
		t.Errorf("line %q", got)
	}
	if html, _ := render(t, SparklineMark(Sparkline{Values: []int{4}})); html != "" {
		t.Errorf("one value draws %q", html)
	}
	if got := (Sparkline{Values: []int{0, 0}}).line(); got != "M1 23L94 23" {
		t.Errorf("flat line %q", got)
	}
	c := Columns{Columns: []Column{{OK: 9, Failed: 1}, {}, {OK: 0, Failed: 1}}}
	bars := c.bars()
	if len(bars) != 3 || !bars[1].failed || bars[1].y+bars[1].height != bars[0].y || !bars[2].failed || bars[2].x != 40 {
		t.Errorf("bars %+v", bars)
	}
	if got := (Columns{Columns: []Column{{}, {}}}).bars(); got != nil {
		t.Errorf("no calls draw %+v", got)
	}
	for _, x := range []struct {
		part, whole float64
		want        string
	}{{1, 4, "25%"}, {9, 4, "100%"}, {-1, 4, "0%"}, {1, 0, "0%"}} {
		if got := share(x.part, x.whole); got != x.want {
			t.Errorf("share of %g in %g is %s, want %s", x.part, x.whole, got, x.want)
		}
	}
}

func TestWaybillBoxesOnlyOurNumbers(t *testing.T) {
	t.Parallel()
	_, d := render(t, Waybill([]Cell{
		{Label: "Request", Value: "8KX4 93TD", Mono: true, Boxed: true, Full: "0199"},
		{Label: "Order", Value: "SO-88213", Mono: true},
		{Label: "Empty", Boxed: true},
	}))
	if got := strings.TrimSpace(d.Find("dd").First().Text()); got != "8KX4 93TD" {
		t.Errorf("the copied number is %q", got)
	}
	if got := d.Find(".check").First().Text(); got != "D" {
		t.Errorf("boxed %q", got)
	}
	if d.Find("dd").Eq(1).Find(".check").Length() != 0 {
		t.Error("an order number is boxed")
	}
}

func TestInputTiesHintAndError(t *testing.T) {
	t.Parallel()
	_, d := render(t, InputField(Input{Name: "a", Label: "A", Type: "password", Value: "secret", Hint: "h", Error: "e", Required: true}))
	in := d.Find("input")
	if by, _ := in.Attr("aria-describedby"); by != "a-error a-hint" {
		t.Errorf("aria-describedby %q", by)
	}
	if _, sent := in.Attr("value"); sent {
		t.Error("a password is sent back")
	}
	if _, ok := in.Attr("aria-invalid"); !ok {
		t.Error("the control is not marked invalid")
	}
}
