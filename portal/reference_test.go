package portal

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/google/go-cmp/cmp"

	"portway/internal/openapi"
	"portway/internal/partner"
	"portway/internal/problem"
	"portway/internal/traffic"
	"portway/portal/contract"
)

func texts(n *goquery.Selection) []string {
	return n.Map(func(_ int, one *goquery.Selection) string { return strings.Join(strings.Fields(one.Text()), " ") })
}

func TestCatalogue(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	must(t, s.people.SetState(context.Background(), s.first.Organisation.ID, "subscription", s.first.Subscriptions[0].ID, partner.Suspended))
	s.record(t, s.first, 0, 12, rejected)
	s.record(t, s.first, 1, 5, rejected)
	s.record(t, s.second, 0, 7, rejected)
	doc := s.signedIn(t, s.first).get("/apis").html(t)
	if got := doc.Find("h1").Text(); got != "Four APIs, one version going away" {
		t.Errorf("title %q", got)
	}
	if got := doc.Find(".lead").Text(); got != "Dock client still calls Shipments v1." {
		t.Errorf("lead %q", got)
	}
	var paths []string
	for _, a := range snapshot().APIs {
		for _, ver := range slices.Backward(a.Versions) {
			paths = append(paths, contract.VersionPath(ver))
		}
	}
	hrefs := doc.Find("main th[scope=row] a").Map(func(_ int, a *goquery.Selection) string { return a.AttrOr("href", "") })
	if diff := cmp.Diff(paths, hrefs); diff != "" {
		t.Error(diff)
	}
	row := func(path string) *goquery.Selection { return doc.Find("main a[href='" + path + "']").Closest("tr") }
	v1 := row("/apis/shipments/v1")
	if got := texts(v1.Find("td")); got[0] != "Deprecateduntil 31 Mar 2027, 168 days left" || got[2] != "sandbox, live" || got[3] != "Subscribedsandbox" || got[4] != "12" {
		t.Errorf("shipments v1: %q", got)
	}
	if got := texts(row("/apis/orders/v1").Find("td")); got[1] != "7 operations 2 answer now, 5 answer 202" || got[3] != "Pausedsandbox" {
		t.Errorf("orders v1: %q", got)
	}
	if got := texts(row("/apis/inventory/v1").Find("td")); got[3] != "Not subscribed" || got[4] != "0" {
		t.Errorf("inventory v1: %q", got)
	}
}

// Every version and every operation of the catalogue has a page: one h1, and no cell that says nothing.
func TestReferenceOfEverything(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(t, s.first)
	operations := 0
	for _, a := range snapshot().APIs {
		for _, ver := range a.Versions {
			paths := []string{contract.VersionPath(ver)}
			for _, r := range ver.Routes {
				paths = append(paths, contract.OperationPath(ver, r.Operation.ID))
				operations++
			}
			for _, path := range paths {
				r := b.get(path)
				doc := r.html(t)
				if r.StatusCode != 200 || doc.Find("h1").Length() != 1 || strings.TrimSpace(doc.Find("h1").Text()) == "" {
					t.Errorf("%s: %d with %d titles", path, r.StatusCode, doc.Find("h1").Length())
				}
				doc.Find("table.fields tbody tr").Each(func(_ int, row *goquery.Selection) {
					if name, cells := row.Find("th code").Text(), texts(row.Find("td")); cells[0] == "" || cells[1] == "" {
						t.Errorf("%s: %s says kind %q, meaning %q", path, name, cells[0], cells[1])
					}
				})
				for _, empty := range []string{".answers span", "main .rows a", ".lead"} {
					for _, text := range texts(doc.Find(empty)) {
						if text == "" {
							t.Errorf("%s: an empty %s", path, empty)
						}
					}
				}
				ids := map[string]bool{}
				doc.Find("[id]").Each(func(_ int, n *goquery.Selection) {
					if id := n.AttrOr("id", ""); ids[id] {
						t.Errorf("%s: id %q twice", path, id)
					} else {
						ids[id] = true
					}
				})
				doc.Find("a[href^='/apis/']").Each(func(_ int, n *goquery.Selection) {
					if href := n.AttrOr("href", ""); !known(href) {
						t.Errorf("%s: leads to %s", path, href)
					}
				})
			}
		}
	}
	if operations < 25 {
		t.Errorf("only %d operations in the catalogue", operations)
	}
}

// known reports whether a path of the reference exists.
func known(href string) bool {
	parts := strings.Split(strings.TrimPrefix(href, "/apis/"), "/")
	a, ok := snapshot().API(parts[0])
	if !ok || len(parts) < 2 {
		return false
	}
	ver, ok := a.Version(parts[1])
	if !ok {
		return false
	}
	if len(parts) == 2 || parts[2] == "openapi.json" {
		return true
	}
	id, err := url.PathUnescape(parts[2])
	return err == nil && slices.ContainsFunc(ver.Document.Operations, func(o openapi.Operation) bool { return o.ID == id })
}

func TestDeprecation(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.record(t, s.first, 0, 12, rejected)
	s.record(t, s.first, 1, 5, rejected)
	b := s.signedIn(t, s.first)
	for _, path := range []string{"/apis/shipments/v1", "/apis/shipments/v1/confirmShipment"} {
		doc := b.get(path).html(t)
		going := doc.Find(".going")
		if got := texts(going.Find(".going-head")); len(got) != 1 || got[0] != "Deprecated. Calls stop working on 31 March 2027." {
			t.Fatalf("%s: %q", path, got)
		}
		if got := going.Find("svg.stencil").AttrOr("aria-label", ""); got != "168 days left" {
			t.Errorf("%s: %q", path, got)
		}
		if got := texts(going.Find(".with-spark b")); len(got) != 1 || got[0] != "12" {
			t.Errorf("%s: calls %q", path, got)
		}
		if got := going.Find(".going-next a").AttrOr("href", ""); got != "/apis/shipments/v2" {
			t.Errorf("%s: successor %q", path, got)
		}
	}
	if doc := b.get("/apis/shipments/v2").html(t); doc.Find(".going").Length() != 0 {
		t.Error("v2 is shown as going away")
	}
	s.clock.Advance(200 * 24 * time.Hour)
	doc := s.signedIn(t, s.first).get("/apis/shipments/v1").html(t)
	if got := doc.Find(".side .badge").First().Text(); strings.TrimSpace(got) != "Gone" {
		t.Errorf("after the sunset the operations are marked %q", got)
	}
}

func TestReferenceParts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	doc := s.signedIn(t, s.first).get("/apis/shipments/v2/confirmShipment").html(t)
	if got := texts(doc.Find(".limits dd.value")); len(got) != 3 || got[0] != "20 per second" || got[1] != "600 per minute" || got[2] != "200,000 per day" {
		t.Errorf("limits %q", got)
	}
	curl := doc.Find("#confirmShipment-curl").Text()
	for _, want := range []string{"curl -X POST 'https://api.example/shipments/v2/confirmations'", `-H "Authorization: Bearer $TOKEN"`, "--data-binary '{"} {
		if !strings.Contains(curl, want) {
			t.Errorf("the sample lacks %s:\n%s", want, curl)
		}
	}
	if got := doc.Find(".traits").Text(); !strings.Contains(got, "/v1/events/{eventId}") || !strings.Contains(got, "shipments:write") {
		t.Errorf("traits %q", got)
	}
	if doc.Find("main a[href='/problems/schema.violation']").Length() != 1 {
		t.Error("the problems of the operation are not linked")
	}
}

func TestDocument(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	r := s.signedIn(t, s.first).get("/apis/shipments/v1/openapi.json")
	var doc struct{ OpenAPI string }
	if err := json.Unmarshal([]byte(r.body), &doc); err != nil || doc.OpenAPI == "" {
		t.Errorf("not an OpenAPI document: %v", err)
	}
	if r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Content-Disposition") != "attachment; filename=shipments-v1.openapi.json" {
		t.Errorf("%q, %q", r.Header.Get("Content-Type"), r.Header.Get("Content-Disposition"))
	}
}

func TestProblemPages(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for who, b := range map[string]*browser{"anyone": s.browser(t), "member": s.signedIn(t, s.first)} {
		index := b.get("/problems").html(t)
		for _, code := range problem.Codes() {
			path := "/problems/" + string(code)
			if index.Find("main a[href='"+path+"']").Length() != 1 {
				t.Errorf("%s: the index does not list %s", who, code)
			}
			r := b.get(path)
			doc := r.html(t)
			if r.StatusCode != 200 || doc.Find("h1").Text() != code.Title() || !strings.Contains(doc.Find(".fix").Text(), code.Help()) {
				t.Errorf("%s: %s answers %d, %q", who, path, r.StatusCode, doc.Find("h1").Text())
			}
		}
	}
}

// The operator's people, and an organisation without an application, see the same pages.
func TestEveryKindOfReader(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, who := range []*partner.Bundle{s.house, s.bare} {
		b := s.signedIn(t, who)
		for _, path := range []string{"/apis", "/apis/orders/v1", "/apis/shipments/v1/confirmShipment", "/calls", "/calls?status=failed&environment=live", "/problems", "/problems/rate.exceeded"} {
			if r := b.get(path); r.StatusCode != 200 || r.html(t).Find("h1").Length() != 1 {
				t.Errorf("%s, %s: %d", who.Organisation.Slug, path, r.StatusCode)
			}
		}
	}
}

func TestChosenApplication(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first := s.record(t, s.first, 0, 3, nil)
	second := s.record(t, s.first, 1, 2, nil)
	b := s.signedIn(t, s.first)
	if got := b.get("/calls").html(t).Find("table.calls td a[title]").Length(); got != len(first) {
		t.Errorf("the default application shows %d calls", got)
	}
	doc := b.get("/calls?application=app-2").html(t)
	if got := doc.Find("table.calls tbody tr:not(.day)").Length(); got != len(second) {
		t.Errorf("the second application shows %d calls", got)
	}
	// Every link inside keeps the choice.
	for _, path := range []string{"/calls?application=app-2", "/calls/" + second[0].ID + "?application=app-2", "/apis?application=app-2",
		"/apis/shipments/v1?application=app-2", "/apis/shipments/v1/confirmShipment?application=app-2"} {
		doc := b.get(path).html(t)
		doc.Find("a[href^='/apis'], a[href^='/calls']").Each(func(_ int, a *goquery.Selection) {
			href := a.AttrOr("href", "")
			if choice := a.Closest(".choice").Length() > 0; !choice && !strings.Contains(href, "application=app-2") {
				t.Errorf("%s: %s forgets the application", path, href)
			}
		})
		if got := texts(doc.Find(".choice a[aria-current]")); len(got) != 1 || got[0] != "Yard planner" {
			t.Errorf("%s: current application %q", path, got)
		}
	}
	foreign, absent := b.get("/calls?application=ridge-bridge"), b.get("/calls?application=none")
	if foreign.StatusCode != 404 || absent.StatusCode != 404 {
		t.Errorf("an application that is not theirs: %d, %d", foreign.StatusCode, absent.StatusCode)
	}
	if doc := s.signedIn(t, s.second).get("/apis").html(t); doc.Find(".choice").Length() != 0 {
		t.Error("a reader with one application is offered a choice")
	}
}

// Markup in names and in what callers send comes out as text.
func TestHostileText(t *testing.T) {
	t.Parallel()
	const hostile = `"><script>alert(1)</script><img src=x onerror=alert(1)>`
	s := newSite(t)
	b := *s.second
	b.Organisation.Name, b.Applications[0].Name, b.Accounts[0].Name = hostile, hostile, hostile
	must(t, s.people.Apply(context.Background(), &b))
	calls := s.record(t, s.second, 0, 1, func(i int, c *traffic.Call) {
		rejected(i, c)
		c.ClientRequestID, c.Method, c.Path, c.Operation, c.API, c.Version = hostile, hostile, hostile, hostile, hostile, hostile
		c.Violations[0].Pointer, c.Violations[0].Message, c.Trail[2].Note = hostile, hostile, hostile
	})
	in := s.signedIn(t, s.second)
	for _, path := range []string{"/apis", "/calls", "/calls/" + calls[0].ID, "/apis/orders/v1", "/calls?status=" + url.QueryEscape(hostile), "/problems/schema.violation", "/nothing"} {
		if r := in.get(path); strings.Contains(r.body, "<script>alert") || strings.Contains(r.body, "<img") {
			t.Errorf("%s: markup came through", path)
		}
	}
	if r := s.browser(t).get("/sign-in?next=" + url.QueryEscape("/"+hostile)); strings.Contains(r.body, "<script>alert") {
		t.Error("sign-in: markup came through")
	}
}
