package portal

import (
	"mime"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"portway/internal/catalog"
	"portway/internal/partner"
	"portway/internal/traffic"
	"portway/portal/contract"
	"portway/web/component"
	"portway/web/format"
	"portway/web/page"
)

// reference is the documentation of a version, or of one operation of it, from the contract the gateway enforces.
func (p *Portal) reference(v *visit) error {
	snap := p.Snapshot()
	ver, err := version(snap, v)
	if err != nil {
		return err
	}
	selected, err := url.PathUnescape(v.Params("operation"))
	if err != nil {
		return fiber.ErrNotFound
	}
	doc := p.contracts.Of(snap, ver)
	if selected != "" && !doc.Has(selected) {
		return fiber.ErrNotFound
	}
	usage, err := p.usage(v)
	if err != nil {
		return err
	}
	overview := contract.VersionPath(ver)
	view := page.Reference{Slug: ver.API.ID, API: ver.API.Title, Version: ver.Name, Summary: ver.API.Summary, Description: doc.Description,
		Lifecycle: contract.Lifecycle(ver.Lifecycle.State), Catalogue: v.link("/apis"), Overview: v.link(overview),
		Document: v.link(overview + "/openapi.json"), Servers: doc.Servers, Groups: linked(v, doc.Groups), Selected: selected}
	for _, other := range slices.Backward(ver.API.Versions) {
		link := component.Link{Label: other.Name}
		if other != ver {
			link.Href = v.link(contract.VersionPath(other))
		}
		view.Versions = append(view.Versions, link)
	}
	view.Deprecation = p.deprecation(v, ver, usage)
	limits(v, snap, ver, &view)
	return p.render(v, fiber.StatusOK, page.ReferencePage(p.frame(v, "/apis"), view))
}

// version finds the version an address names.
func version(snap *catalog.Snapshot, v *visit) (*catalog.Version, error) {
	if a, ok := snap.API(v.Params("api")); ok && !a.Internal {
		if ver, ok := a.Version(v.Params("version")); ok {
			return ver, nil
		}
	}
	return nil, fiber.ErrNotFound
}

// document serves the version's OpenAPI document, references resolved.
func (p *Portal) document(v *visit) error {
	ver, err := version(p.Snapshot(), v)
	if err != nil {
		return err
	}
	v.Set("Content-Type", "application/json")
	v.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": ver.API.ID + "-" + ver.Name + ".openapi.json"}))
	return v.Send(ver.Document.Bundle)
}

// linked keeps the chosen application in the links of operations.
func linked(v *visit, groups []page.OperationGroup) []page.OperationGroup {
	if v.chosen == "" {
		return groups
	}
	out := slices.Clone(groups)
	for i := range out {
		out[i].Operations = slices.Clone(out[i].Operations)
		for j := range out[i].Operations {
			out[i].Operations[j].Href = v.link(out[i].Operations[j].Href)
		}
	}
	return out
}

func (p *Portal) deprecation(v *visit, ver *catalog.Version, usage []traffic.Usage) *page.Deprecation {
	life := &ver.Lifecycle
	if !life.Deprecated() {
		return nil
	}
	now := p.Clock.Now()
	d := &page.Deprecation{Since: life.DeprecatedAt, Sunset: life.SunsetAt, Now: now, Retired: life.State == "retired",
		CallsByDay: make([]int, usageWindow/(24*time.Hour))}
	for _, u := range usage {
		if u.API != ver.API.ID || u.Version != ver.Name {
			continue
		}
		d.Calls += int(u.Calls)
		if day := len(d.CallsByDay) - 1 - int(now.Sub(u.Hour)/(24*time.Hour)); day >= 0 && day < len(d.CallsByDay) {
			d.CallsByDay[day] += int(u.Calls)
		}
	}
	if next, ok := ver.API.Version(life.Successor); ok {
		d.Successor = component.Link{Label: ver.API.Title + " " + next.Name, Href: v.link(contract.VersionPath(next))}
	}
	return d
}

// limits shows those of the plan under which the reader's application uses the API.
func limits(v *visit, snap *catalog.Snapshot, ver *catalog.Version, view *page.Reference) {
	if v.app == nil {
		return
	}
	view.Application = v.app.Name
	for _, s := range v.org.Subscriptions {
		plan := snap.Plans[s.Plan]
		if s.Application != v.app.ID || s.API != ver.API.ID || s.State != partner.Active || plan == nil {
			continue
		}
		view.Plan = plan.Name
		for _, l := range plan.Limits {
			if l.Shadow {
				continue
			}
			view.Limits = append(view.Limits, page.Limit{Label: format.Sentence(l.Name), Value: format.Count(l.Rate),
				Unit: "per " + period(l.Per), Note: "up to " + format.Count(l.Burst) + " at once"})
		}
		for _, q := range plan.Quotas {
			if q.Shadow {
				continue
			}
			row := page.Limit{Label: format.Sentence(q.Name), Value: format.Count(int(q.Limit)), Unit: "per day", Note: "days of " + q.Zone.String()}
			if q.Month {
				row.Unit, row.Note = "per month", "months of "+q.Zone.String()
			}
			view.Limits = append(view.Limits, row)
		}
		if plan.Concurrency > 0 && !plan.ConcurrencyShadow {
			view.Limits = append(view.Limits, page.Limit{Label: "Concurrency", Value: format.Count(plan.Concurrency), Unit: "at once", Note: "calls under way"})
		}
		return
	}
}

func period(d time.Duration) string {
	switch d {
	case time.Second:
		return "second"
	case time.Minute:
		return "minute"
	case time.Hour:
		return "hour"
	case 24 * time.Hour:
		return "day"
	}
	if d%time.Second == 0 {
		return strconv.Itoa(int(d/time.Second)) + " seconds"
	}
	return d.String()
}
