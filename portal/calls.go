package portal

import (
	"time"

	"github.com/gofiber/fiber/v2"

	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/traffic"
	"portway/web/component"
	"portway/web/page"
)

// shownCalls is how many calls the list holds.
const shownCalls = 100

// statusFilters are the choices of the list's status chips, by their word in the address.
var statusFilters = []struct {
	word, label string
	low, high   int
}{
	{"", "All", 0, 0}, {"failed", "Failed", 400, 599}, {"2xx", "2xx", 200, 299}, {"4xx", "4xx", 400, 499}, {"5xx", "5xx", 500, 599},
}

// calls lists the last calls of the reader's application.
func (p *Portal) calls(v *visit) error {
	if v.app == nil {
		return fiber.ErrNotFound
	}
	ctx, org := v.UserContext(), v.account.Org
	f := traffic.Filter{Application: v.app.ID, Environment: ident.Environment(v.Query("environment")), Limit: shownCalls}
	if !f.Environment.Valid() {
		f.Environment = ""
	}
	word := v.Query("status")
	for _, s := range statusFilters {
		if s.word == word {
			f.MinStatus, f.MaxStatus = s.low, s.high
		}
	}
	list, err := p.Traffic.Calls(ctx, org, f)
	if err != nil {
		return err
	}
	hours, err := p.hours(v, f.Environment)
	if err != nil {
		return err
	}
	view := page.Calls{Application: v.app.Name, Limit: shownCalls, Filtered: f.MinStatus != 0 || f.Environment != "", Unfiltered: "/calls",
		Hours: hours, Reference: component.Link{Label: "Open the catalogue", Href: "/apis"}}
	snap := p.Snapshot()
	for i := range list {
		view.Calls = append(view.Calls, callRow(snap, &list[i]))
	}
	env := string(f.Environment)
	for _, s := range statusFilters {
		view.StatusFilters = append(view.StatusFilters, component.Chip{Label: s.label, Href: callsPath(s.word, env), Current: f.MinStatus == s.low && f.MaxStatus == s.high})
	}
	for _, e := range []struct{ word, label string }{{"", "Both"}, {"sandbox", "Sandbox"}, {"live", "Live"}} {
		status := word
		if f.MinStatus == 0 {
			status = ""
		}
		view.EnvironmentFilters = append(view.EnvironmentFilters, component.Chip{Label: e.label, Href: callsPath(status, e.word), Current: env == e.word})
	}
	return p.render(v, fiber.StatusOK, page.CallsPage(p.frame(v, "/calls"), view))
}

// callsPath is the address of the list with a filter; the words are ours, never the reader's.
func callsPath(status, environment string) string {
	out, sep := "/calls", "?"
	if status != "" {
		out, sep = out+sep+"status="+status, "&"
	}
	if environment != "" {
		out += sep + "environment=" + environment
	}
	return out
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

func callRow(snap *catalog.Snapshot, c *traffic.Call) page.CallRow {
	row := page.CallRow{ID: c.ID, Number: ident.ShortNumber(c.ID), Href: "/calls/" + c.ID, At: c.Received, Method: c.Method, Path: c.Path,
		Environment: string(c.Environment), Status: c.Status, Duration: c.Duration}
	if a, ok := snap.API(c.API); ok {
		row.Version = a.ID + " " + c.Version
		if ver, ok := a.Version(c.Version); ok {
			row.Deprecated = ver.Lifecycle.Deprecated()
			for _, r := range ver.Routes {
				if r.Operation.ID == c.Operation {
					row.Operation = r.Operation.Summary
				}
			}
		}
	}
	if c.Code != "" {
		row.Problem = problemRef(c.Code)
	}
	return row
}
