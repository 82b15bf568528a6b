package portal

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"portway/internal/ident"
	"portway/internal/problem"
	"portway/internal/traffic"
)

// ids are those of the calls a page lists, in order.
func ids(a answer, t *testing.T) []string {
	return a.html(t).Find("table.calls td a[title^='0']").Map(func(_ int, n *goquery.Selection) string { return n.AttrOr("title", "") })
}

func TestCalls(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	mine := s.record(t, s.first, 0, 130, func(i int, c *traffic.Call) {
		switch {
		case i%10 == 1:
			rejected(i, c)
		case i%10 == 2:
			c.Status, c.Code = 502, problem.BackendUnreachable
		case i%10 == 3:
			c.Environment = ident.Live
		}
	})
	others := append(s.record(t, s.first, 1, 5, rejected), s.record(t, s.second, 0, 5, rejected)...)
	b := s.signedIn(t, s.first)
	want := func(keep func(i int) bool) (out []string) {
		for i, c := range mine {
			if keep(i) && len(out) < shownCalls {
				out = append(out, c.ID)
			}
		}
		return out
	}
	for path, list := range map[string][]string{
		"/calls":                                want(func(int) bool { return true }),
		"/calls?status=failed":                  want(func(i int) bool { return i%10 == 1 || i%10 == 2 }),
		"/calls?status=2xx":                     want(func(i int) bool { return i%10 != 1 && i%10 != 2 }),
		"/calls?status=4xx":                     want(func(i int) bool { return i%10 == 1 }),
		"/calls?status=5xx":                     want(func(i int) bool { return i%10 == 2 }),
		"/calls?environment=live":               want(func(i int) bool { return i%10 == 3 }),
		"/calls?environment=sandbox&status=5xx": want(func(i int) bool { return i%10 == 2 }),
		"/calls?environment=live&status=5xx":    nil,
		"/calls?status=none&environment=moon":   want(func(int) bool { return true }),
	} {
		r := b.get(path)
		got := ids(r, t)
		if fmt.Sprint(got) != fmt.Sprint(list) {
			t.Errorf("%s lists %d calls, want %d", path, len(got), len(list))
		}
		for _, c := range others {
			if strings.Contains(r.body, c.ID) {
				t.Errorf("%s lists a call of another application or organisation", path)
			}
		}
		if doc := r.html(t); doc.Find(".chips a[aria-current]").Length() != 2 {
			t.Errorf("%s: %d filters are marked as chosen", path, doc.Find(".chips a[aria-current]").Length())
		}
	}
	for path, title := range map[string]string{
		"/calls":              "20 of 100 calls failed",
		"/calls?status=4xx":   "13 calls answered 4xx, most with schema.violation",
		"/calls?status=2xx":   "The last 100 calls answered 2xx",
		"/calls?status=bogus": "20 of 100 calls failed",
	} {
		if got := b.get(path).html(t).Find("h1").Text(); got != title {
			t.Errorf("%s: title %q, want %q", path, got, title)
		}
	}
	if got := b.get("/calls").html(t).Find("svg.columns").AttrOr("aria-label", ""); !strings.HasPrefix(got, "130 calls in 24 hours, 26 failed.") {
		t.Errorf("chart %q", got)
	}
	if doc := b.get("/calls?environment=sandbox").html(t); doc.Find(".strip").Length() != 1 {
		t.Error("the list of sandbox calls is not marked")
	}
	if doc := b.get("/calls?environment=live").html(t); doc.Find(".strip").Length() != 0 {
		t.Error("the list of live calls is marked as sandbox")
	}
	if doc := s.signedIn(t, s.house).get("/calls").html(t); doc.Find("h1").Text() != "Order system has not called yet" || doc.Find(".empty a[href='/apis']").Length() != 1 {
		t.Errorf("no calls: %q", doc.Find("h1").Text())
	}
}

func TestCall(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	bad := s.record(t, s.first, 0, 1, rejected)[0]
	s.clock.Advance(time.Second)
	good := s.record(t, s.first, 0, 1, func(_ int, c *traffic.Call) {
		c.Operation, c.API, c.Version, c.Method, c.Path = "quoteRates", "shipments", "v2", "POST", "/shipments/v2/rates"
		c.Environment, c.Upstream, c.EventID = ident.Live, 5*time.Millisecond, ""
		for _, name := range []string{"admit", "match", "identify", "authorize", "body", "limit", "validate", "mediate", "proxy", "mediate-answer", "lifecycle"} {
			c.Trail = append(c.Trail, traffic.Step{Stage: name, Micros: 600, Result: "passed"})
		}
		c.Trail[7].Note = "swift"
	})[0]
	lost := s.record(t, s.first, 0, 1, func(_ int, c *traffic.Call) {
		c.Operation, c.API, c.Version, c.Path, c.Status, c.Code = "", "", "", "", 404, problem.RouteUnknown
		c.Trail = []traffic.Step{{Stage: "admit", Micros: 10, Result: "passed"}, {Stage: "match", Micros: 10, Result: "refused"}}
	})[0]
	b := s.signedIn(t, s.first)

	doc := b.get("/calls/" + bad.ID).html(t)
	if got := doc.Find("h1").Text(); got != "Confirm what was shipped: two places do not fit" {
		t.Errorf("title %q", got)
	}
	if got := texts(doc.Find(".violations li")); len(got) != 2 || !strings.Contains(got[0], "/shipTo/postalCode") || !strings.Contains(got[0], "A string of 3 to 10 characters is expected.") {
		t.Errorf("violations %q", got)
	}
	if got := texts(doc.Find("ol.trail b")); strings.Join(got, " ") != "Received Operation Identity Permission Body Limits Contract Event record" {
		t.Errorf("trail %q", got)
	}
	if doc.Find("ol.trail li.failed").Length() != 1 || doc.Find("ol.trail li.unreached").Length() != 1 {
		t.Error("the trail does not stop at the contract")
	}
	if got := texts(doc.Find("section[aria-labelledby=trail] .panel-head")); got[0] != "Decision trailstopped at 7 of 8" {
		t.Errorf("trail head %q", got)
	}
	if got := texts(doc.Find(".facts dt")); fmt.Sprint(got) != "[Request id Your request id Received Sent back]" {
		t.Errorf("facts %q", got)
	}
	if doc.Find(".strip").Length() != 1 || doc.Find("a[href='/apis/shipments/v1/confirmShipment']").Length() != 1 {
		t.Error("a sandbox call is not marked, or does not lead to its operation")
	}

	doc = b.get("/calls/" + good.ID).html(t)
	if got := texts(doc.Find("ol.trail b")); strings.Join(got, " ") != "Received Operation Identity Permission Body Limits Contract Translation Backend Answered" {
		t.Errorf("trail %q", got)
	}
	if doc.Find(".failure, .violations, .strip").Length() != 0 {
		t.Error("a live call that went through shows a problem or the sandbox strip")
	}

	doc = b.get("/calls/" + lost.ID).html(t)
	if got := doc.Find("h1").Text(); got != "GET of an address that is not ours: no such operation" {
		t.Errorf("title %q", got)
	}
	if doc.Find("main .actions a").Length() != 0 {
		t.Error("a call without an operation leads to one")
	}
}

// Whatever id of another organisation stands in an address, the answer is that of an id that never was.
func TestTenancy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	theirs := s.record(t, s.second, 0, 2, func(i int, c *traffic.Call) {
		if i == 1 {
			c.Environment = ident.Live
		}
	})
	b := s.signedIn(t, s.first)
	foreign := []string{theirs[0].ID, theirs[1].ID, string(s.second.Organisation.ID), s.second.Applications[0].ID, s.second.Accounts[0].ID}
	walked := 0
	for _, r := range s.routes() {
		if r.role != member || r.method != "GET" || !strings.Contains(r.path, "/:") {
			continue
		}
		for _, id := range foreign {
			path, absent := fill(r.path, id), fill(r.path, ident.NewID(s.clock))
			got, want := b.get(path), b.get(absent)
			if got.StatusCode != 404 || same(got, t) != same(want, t) {
				t.Errorf("%s: %d, and an absent id %d", r.path, got.StatusCode, want.StatusCode)
			}
			for _, name := range []string{"Cache-Control", "Content-Type", "Set-Cookie", "Content-Length"} {
				if got.Header.Get(name) != want.Header.Get(name) {
					t.Errorf("%s: %s is %q, of an absent id %q", r.path, name, got.Header.Get(name), want.Header.Get(name))
				}
			}
			walked++
		}
	}
	if walked < 4*len(foreign) {
		t.Errorf("only %d addresses walked", walked)
	}
	own := s.signedIn(t, s.second)
	for _, c := range theirs {
		if r := own.get("/calls/" + c.ID); r.StatusCode != 200 {
			t.Errorf("their own call: %d", r.StatusCode)
		}
	}
}

func fill(path, id string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if strings.HasPrefix(p, ":") {
			parts[i] = id
		}
	}
	return strings.Join(parts, "/")
}

// same is a page without its request number.
func same(a answer, t *testing.T) string {
	id := a.Header.Get("X-Request-Id")
	doc := a.html(t)
	doc.Find(".waybill .number").Remove()
	out, err := doc.Html()
	must(t, err)
	return strings.ReplaceAll(out, id, "")
}
