package portal

import (
	"net/url"
	"time"

	"github.com/gofiber/fiber/v2"

	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/traffic"
	"portway/portal/contract"
	"portway/web/component"
	"portway/web/page"
)

// shownCalls is how many calls the list holds.
const shownCalls = 100

// statusFilter is a choice of the list's status chips, by its word in the address. Which ends the sentence "12 calls …".
type statusFilter struct {
	word, label, which string
	low, high          int
}

var statusFilters = []statusFilter{
	{"", "All", "", 0, 0},
	{"failed", "Failed", "failed", 400, 599},
	{"2xx", "2xx", "answered 2xx", 200, 299},
	{"4xx", "4xx", "answered 4xx", 400, 499},
	{"5xx", "5xx", "answered 5xx", 500, 599},
}

// calls lists the last calls of the reader's application.
func (p *Portal) calls(v *visit) error {
	status := statusFilters[0]
	for _, s := range statusFilters {
		if s.word == v.Query("status") {
			status = s
		}
	}
	env := ident.Environment(v.Query("environment"))
	if !env.Valid() {
		env = ""
	}
	view := page.Calls{Limit: shownCalls, Which: status.which, Filtered: status.word != "" || env != "", Unfiltered: v.link("/calls"),
		Reference: component.Link{Label: "Open the catalogue", Href: v.link("/apis")}}
	for _, s := range statusFilters {
		view.StatusFilters = append(view.StatusFilters, component.Chip{Label: s.label, Href: callsPath(v, s.word, string(env)), Current: s == status})
	}
	for _, e := range []struct{ word, label string }{{"", "Both"}, {"sandbox", "Sandbox"}, {"live", "Live"}} {
		view.EnvironmentFilters = append(view.EnvironmentFilters, component.Chip{Label: e.label, Href: callsPath(v, status.word, e.word), Current: string(env) == e.word})
	}
	f := p.frame(v, "/calls")
	f.Sandbox = env == ident.Sandbox
	if v.app == nil { // an organisation without an application has made no calls
		view.Application = v.org.Organisation.Name
		return p.render(v, fiber.StatusOK, page.CallsPage(f, view))
	}
	view.Application = v.app.Name
	list, err := p.Traffic.Calls(v.UserContext(), v.account.Org, traffic.Filter{Application: v.app.ID, Environment: env,
		MinStatus: status.low, MaxStatus: status.high, Limit: shownCalls})
	if err != nil {
		return err
	}
	snap := p.Snapshot()
	for i := range list {
		view.Calls = append(view.Calls, callRow(v, snap, &list[i]))
	}
	if view.Hours, err = p.hours(v, env); err != nil {
		return err
	}
	return p.render(v, fiber.StatusOK, page.CallsPage(f, view))
}

// callsPath is the address of the list with a filter.
func callsPath(v *visit, status, environment string) string {
	q := url.Values{}
	if status != "" {
		q.Set("status", status)
	}
	if environment != "" {
		q.Set("environment", environment)
	}
	if len(q) == 0 {
		return v.link("/calls")
	}
	return v.link("/calls?" + q.Encode())
}

// hours counts the last 24 hours of the clock, oldest first.
func (p *Portal) hours(v *visit, env ident.Environment) ([]page.HourCount, error) {
	const window = 24
	last := p.Clock.Now().UTC().Truncate(time.Hour)
	first := last.Add(-(window - 1) * time.Hour)
	usage, err := p.Traffic.Usage(v.UserContext(), v.account.Org, first)
	if err != nil {
		return nil, err
	}
	out := make([]page.HourCount, window)
	for i := range out {
		out[i].Start = first.Add(time.Duration(i) * time.Hour)
	}
	for _, u := range usage {
		i := int(u.Hour.Sub(first) / time.Hour)
		if u.Application != v.app.ID || i < 0 || i >= window || (env != "" && u.Environment != env) {
			continue
		}
		out[i].OK += int(u.Calls - u.Failed)
		out[i].Failed += int(u.Failed)
	}
	return out, nil
}

func callRow(v *visit, snap *catalog.Snapshot, c *traffic.Call) page.CallRow {
	row := page.CallRow{ID: c.ID, Number: ident.ShortNumber(c.ID), Href: v.link("/calls/" + c.ID), At: c.Received, Method: c.Method, Path: c.Path,
		Environment: string(c.Environment), Status: c.Status, Duration: c.Duration}
	if c.API != "" {
		row.Version = c.API + " " + c.Version
	}
	if r := routeOf(snap, c); r != nil {
		row.Operation, row.Deprecated = r.Operation.Summary, r.Version.Lifecycle.Deprecated()
	}
	if c.Code != "" {
		row.Problem = contract.Problem(c.Code)
	}
	return row
}

// routeOf is the operation a call went to, nil if the catalogue no longer has it.
func routeOf(snap *catalog.Snapshot, c *traffic.Call) *catalog.Route {
	if a, ok := snap.API(c.API); ok {
		if ver, ok := a.Version(c.Version); ok {
			for _, r := range ver.Routes {
				if r.Operation.ID == c.Operation {
					return r
				}
			}
		}
	}
	return nil
}
