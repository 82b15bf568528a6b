package page

import (
	"strings"
	"testing"
	"time"

	"github.com/a-h/templ"

	"portway/web/component"
)

func TestCatalogueTitles(t *testing.T) {
	t.Parallel()
	one := func(versions ...CatalogueVersion) Catalogue {
		return Catalogue{Application: "App", APIs: []CatalogueAPI{{Slug: "a", Title: "A", Versions: versions}}}
	}
	sub := []EnvironmentSubscription{{"sandbox", component.Subscribed}}
	for _, c := range []struct {
		v           Catalogue
		title, lead string
	}{
		{sampleCatalogue(), "Three APIs, one version going away", "Dock client still calls Shipments v1."},
		{Catalogue{}, "No API is open to you yet", ""},
		{one(CatalogueVersion{Subscriptions: sub}), "One API, nothing going away", "App is subscribed to one of them."},
		{one(CatalogueVersion{Lifecycle: component.Retired}), "One API, one version retired", "App is subscribed to none of them."},
	} {
		if got := c.v.Title(); got != c.title {
			t.Errorf("title %q, want %q", got, c.title)
		}
		if got := c.v.lead(); got != c.lead {
			t.Errorf("lead %q, want %q", got, c.lead)
		}
	}
}

func TestSunsetWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		life component.Lifecycle
		at   time.Time
		want string
	}{
		{component.Deprecated, sunset, "until 30 Nov 2026, 47 days left"},
		{component.Deprecated, sampleNow, "until today, 14 Oct 2026"},
		{component.Deprecated, sampleNow.AddDate(0, 0, 1), "until 15 Oct 2026, 1 day left"},
		{component.Retired, sampleNow.AddDate(0, 0, -3), "since 11 Oct 2026"},
	} {
		if got := (CatalogueVersion{Lifecycle: c.life, Sunset: c.at}).sunset(sampleNow); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestReferenceTitles(t *testing.T) {
	t.Parallel()
	v := sampleReference()
	change := func(f func(*Reference)) Reference {
		w := v
		d := *v.Deprecation
		w.Deprecation = &d
		f(&w)
		return w
	}
	for want, got := range map[string]Reference{
		"Shipments v1 goes away on 30 Nov 2026": v,
		"Shipments v1 is retired":               change(func(r *Reference) { r.Deprecation.Retired = true }),
		"Shipments v1 is deprecated":            change(func(r *Reference) { r.Deprecation.Sunset = time.Time{} }),
		"Shipments v1: three operations":        change(func(r *Reference) { r.Deprecation, r.Lifecycle = nil, component.Stable }),
		"Shipments v1 may still change":         change(func(r *Reference) { r.Deprecation, r.Lifecycle = nil, component.Preview }),
		"Confirm a shipment":                    change(func(r *Reference) { r.Selected = "confirmShipment" }),
	} {
		if got.Title() != want {
			t.Errorf("%q, want %q", got.Title(), want)
		}
	}
}

func TestDeprecationShrinksWhenNobodyMustAct(t *testing.T) {
	t.Parallel()
	v := sampleReference()
	d := document(t, html(t, deprecation(*v.Deprecation)))
	if d.Find(".going-cells > div").Length() != 4 || d.Find("svg.stencil[aria-label='47 days left']").Length() != 1 {
		t.Error("a version still called does not show its four cells and the days left")
	}
	quiet := *v.Deprecation
	quiet.Calls = 0
	d = document(t, html(t, deprecation(quiet)))
	if d.Find(".going-cells").Length() != 0 || d.Find(".going-next a").Text() != "Shipments v2" {
		t.Error("with zero calls the block is not the sentence and the successor")
	}
	if got := (Deprecation{Retired: true, Sunset: sunset}).sentence(); got != "Retired. Calls get 410 since 30 November 2026." {
		t.Errorf("retired: %q", got)
	}
}

func TestReferenceShowsAllOperationsOrLists(t *testing.T) {
	t.Parallel()
	d := document(t, html(t, ReferencePage(sampleFrame(""), sampleReference())))
	if n := d.Find("article.op").Length(); n != 3 {
		t.Errorf("%d operations in full, want 3", n)
	}
	if href, _ := d.Find(".side-open a").First().Attr("href"); href != "#confirmShipment" {
		t.Errorf("entry leads to %q", href)
	}
	d = document(t, html(t, ReferencePage(sampleFrame(""), bigReference(200, ""))))
	if n := d.Find("article.op").Length(); n != 0 {
		t.Errorf("%d of 200 operations in full, want none", n)
	}
	if href, _ := d.Find(".side-open a").First().Attr("href"); href != "/apis/big/v1/op0" {
		t.Errorf("entry leads to %q", href)
	}
	d = document(t, html(t, ReferencePage(sampleFrame(""), bigReference(200, "op7"))))
	if got := d.Find(".side-open a[aria-current=page] .name").Text(); got != "Operation 7" {
		t.Errorf("current operation %q", got)
	}
	fields := d.Find("table.fields").Eq(1)
	if n := fields.Find("tbody tr").Length(); n != 11 {
		t.Errorf("%d fields, want 11", n)
	}
	if n := fields.Find("tr.d1").Length(); n != 5 {
		t.Errorf("%d fields of depth 1, want 5", n)
	}
}

func TestCallsTitles(t *testing.T) {
	t.Parallel()
	row := func(status int, code string) CallRow { return CallRow{Status: status, Problem: ProblemRef{Code: code}} }
	for _, c := range []struct {
		calls    []CallRow
		filtered bool
		want     string
	}{
		{nil, false, "App has not called yet"},
		{nil, true, "No call fits this filter"},
		{[]CallRow{row(200, ""), row(202, "")}, false, "No failed calls in the last 2"},
		{[]CallRow{row(401, "auth.expired")}, false, "The only call failed"},
		{[]CallRow{row(401, "auth.expired"), row(0, "")}, false, "All 2 calls failed"},
		{[]CallRow{row(200, ""), row(422, "schema.violation"), row(422, "schema.violation"), row(401, "auth.expired")}, false, "3 of 4 calls failed, most with schema.violation"},
		{[]CallRow{row(200, ""), row(422, "a"), row(422, "b")}, false, "2 of 3 calls failed"},
		{[]CallRow{row(200, ""), row(500, "internal")}, false, "1 of 2 calls failed"},
	} {
		if got := (Calls{Application: "App", Calls: c.calls, Filtered: c.filtered}).Title(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// Under a filter by answer the title counts what the filter leaves: it cannot tell how many of all those are.
func TestCallsTitlesFiltered(t *testing.T) {
	t.Parallel()
	failed := CallRow{Status: 422, Problem: ProblemRef{Code: "schema.violation"}}
	for _, c := range []struct {
		calls []CallRow
		which string
		want  string
	}{
		{nil, "failed", "No call fits this filter"},
		{[]CallRow{failed}, "failed", "1 call failed"},
		{[]CallRow{failed, failed}, "failed", "2 calls failed, most with schema.violation"},
		{[]CallRow{failed, failed, failed}, "answered 4xx", "The last 3 calls answered 4xx, most with schema.violation"},
		{[]CallRow{{Status: 200}, {Status: 202}}, "answered 2xx", "2 calls answered 2xx"},
	} {
		if got := (Calls{Application: "App", Calls: c.calls, Which: c.which, Filtered: true, Limit: 3}).Title(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestCallsPage(t *testing.T) {
	t.Parallel()
	v := sampleCalls()
	d := document(t, html(t, CallsPage(sampleFrame(""), v)))
	if n := d.Find("table.calls tbody tr:not(.day)").Length(); n != 100 {
		t.Errorf("%d rows, want 100", n)
	}
	if n := d.Find("tr.day").Length(); n != 2 {
		t.Errorf("%d days, want 2", n)
	}
	if got := d.Find(".chip[aria-current]").Text(); strings.Join(strings.Fields(got), " ") != "All 100" {
		t.Errorf("current filter %q", got)
	}
	first := d.Find("table.calls tr:has(a[href='/problems/schema.violation'])").First()
	if id, _ := first.Find("td a").First().Attr("title"); id != v.Calls[1].ID {
		t.Errorf("request id %q", id)
	}
	if text := d.Find(".hours .note-text").Text(); !strings.Contains(text, "failed. Busiest hour") {
		t.Errorf("text twin of the chart %q", text)
	}
	if n := strings.Count(d.Find("main").Text(), "UTC"); n != 1 {
		t.Errorf("the zone is named %d times, want once", n)
	}
}

func TestCallTitles(t *testing.T) {
	t.Parallel()
	row := CallRow{Method: "GET", Path: "/orders/v1/feed", Operation: "Read the order feed", Duration: 19 * time.Millisecond}
	with := func(f func(*Call)) Call {
		c := Call{CallRow: row}
		f(&c)
		return c
	}
	for want, c := range map[string]Call{
		"Read the order feed: answered in 19 ms": with(func(c *Call) { c.Status = 200 }),
		"Read the order feed: accepted in 19 ms": with(func(c *Call) { c.Status = 202 }),
		"Read the order feed: the token has expired": with(func(c *Call) {
			c.Status, c.Problem = 401, ProblemRef{Code: "auth.expired", Title: "The token has expired"}
		}),
		"Read the order feed: EDI is off":                 with(func(c *Call) { c.Status, c.Problem = 422, ProblemRef{Code: "x", Title: "EDI is off"} }),
		"Read the order feed: one parameter does not fit": with(func(c *Call) { c.Status, c.Problem.Code, c.Violations = 400, "x", []Violation{{In: "query"}} }),
		"Read the order feed: 60 places do not fit": with(func(c *Call) {
			c.Status, c.Problem.Code, c.Violations, c.Violated = 422, "x", []Violation{{In: "body"}}, 60
		}),
		"Read the order feed: you left before the answer": with(func(*Call) {}),
		"Read the order feed: the answer was 404":         with(func(c *Call) { c.Status = 404 }),
		"GET /orders/v1/feed: answered in 19 ms":          with(func(c *Call) { c.Status, c.Operation = 200, "" }),
	} {
		if got := c.Title(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := sampleCall().result(); got != "stopped at 6 of 8" {
		t.Errorf("trail: %q", got)
	}
}

func TestCallPage(t *testing.T) {
	t.Parallel()
	d := document(t, html(t, CallPage(sampleFrame(""), sampleCall())))
	if got := d.Find(".violations > li").Length(); got != 2 {
		t.Errorf("%d violations, want 2", got)
	}
	if got := d.Find(".facts dt").Length(); got != 5 {
		t.Errorf("%d facts, want 5: an empty one is left out", got)
	}
	if href, _ := d.Find(".failure .panel-head a").Attr("href"); href != "/problems/schema.violation" {
		t.Errorf("help page %q", href)
	}
	through := sampleCall()
	through.Problem, through.Violations, through.Status = ProblemRef{}, nil, 200
	d = document(t, html(t, CallPage(sampleFrame(""), through)))
	if d.Find(".failure, .violations").Length() != 0 {
		t.Error("a call that went through shows a problem")
	}
}

func TestProblemAreas(t *testing.T) {
	t.Parallel()
	v := Problems{Problems: sampleProblems()}
	if got := v.Title(); got != "Eight problem codes, each with its repair" {
		t.Errorf("title %q", got)
	}
	var names []string
	for _, a := range v.areas() {
		names = append(names, a.name)
	}
	if got := strings.Join(names, "|"); got != "Contract|EDI|Identity and permission|Internal|Order|Rate|Systems behind us" {
		t.Errorf("areas %s", got)
	}
}

func TestSignInError(t *testing.T) {
	t.Parallel()
	d := document(t, html(t, SignInPage(sampleFrame(""), SignIn{Action: "/sign-in", CSRF: "tok", Email: "a@b.example", Refused: "Email or password is wrong."})))
	if role, _ := d.Find("#summary").Attr("role"); role != "alert" {
		t.Errorf("role of the summary %q", role)
	}
	if v, _ := d.Find("#email").Attr("value"); v != "a@b.example" {
		t.Errorf("what was typed is gone: %q", v)
	}
	if d.Find("[autofocus]").Length() != 1 {
		t.Errorf("%d elements take focus, want 1", d.Find("[autofocus]").Length())
	}
}

// TestHostileText puts markup into every text a page shows and wants it back as text.
func TestHostileText(t *testing.T) {
	t.Parallel()
	f := sampleFrame("")
	f.Context.Organisation, f.User.Name, f.Path, f.CSRF = hostile, hostile, hostile, hostile
	cat := sampleCatalogue()
	cat.Application, cat.APIs[0].Title, cat.APIs[0].Summary, cat.APIs[0].Versions[0].Version = hostile, hostile, hostile, hostile
	cat.APIs[0].Versions[0].Href = "javascript:alert(1)"
	ref := sampleReference()
	op := sampleConfirm()
	op.Title, op.Path, op.Example, op.Curl, op.StatusPath, op.Scopes = hostile, "/"+hostile, hostile, hostile, hostile, []string{hostile}
	op.Fields[0].Name, op.Fields[0].Meaning, op.Parameters[0].Kind, op.Responses[0].Meaning = hostile, hostile, hostile, hostile
	ref.API, ref.Summary, ref.Groups = hostile, hostile, []OperationGroup{{Name: hostile, Operations: []Operation{op}}}
	ref.Deprecation.Diff[0].Text, ref.Deprecation.Successor.Href = hostile, "javascript:alert(1)"
	calls := sampleCalls()
	calls.Application = hostile
	calls.Calls[0].Path, calls.Calls[0].ID, calls.Calls[0].Number, calls.Calls[1].Problem.Code = hostile, hostile, hostile, hostile
	call := sampleCall()
	call.Path, call.Operation, call.Detail, call.Help, call.Violations[0].Pointer, call.Violations[0].Expected = hostile, hostile, hostile, hostile, hostile, hostile
	call.Trail.Stages[0].Detail, call.Facts[0].Value = hostile, hostile
	prob := sampleProblem()
	prob.Meaning, prob.ProblemRef.Code = hostile, hostile
	for name, c := range map[string]templ.Component{
		"catalogue": CataloguePage(f, cat), "reference": ReferencePage(f, ref), "calls": CallsPage(f, calls), "call": CallPage(f, call),
		"problem": ProblemPage(f, prob), "signin": SignInPage(f, SignIn{Email: hostile, Next: hostile, Refused: hostile, Action: "javascript:alert(1)"}),
		"failure": FailurePage(f, NotFound(hostile, hostile, component.Link{Label: hostile, Href: "javascript:alert(1)"})),
	} {
		text := html(t, c)
		d := document(t, text)
		checkPolicy(t, d)
		if d.Find("img").Length() != 0 || d.Find("script").Length() != 1 || strings.Contains(text, "<script>alert") {
			t.Errorf("%s: hostile text became markup", name)
		}
		if !strings.Contains(d.Find("body").Text(), hostile) && name != "signin" {
			t.Errorf("%s: the text is not shown as it is", name)
		}
	}
}
