package portal

import (
	"slices"
	"time"

	"github.com/gofiber/fiber/v2"

	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/traffic"
	"portway/portal/contract"
	"portway/web/component"
	"portway/web/page"
)

// usageWindow is what "your calls" means on every page.
const usageWindow = 30 * 24 * time.Hour

// catalogue lists the APIs with what the reader's application has to do with each.
func (p *Portal) catalogue(v *visit) error {
	snap := p.Snapshot()
	usage, err := p.usage(v)
	if err != nil {
		return err
	}
	view := page.Catalogue{Now: p.Clock.Now()}
	if v.app != nil {
		view.Application = v.app.Name
	}
	for _, a := range snap.APIs {
		if a.Internal {
			continue
		}
		row := page.CatalogueAPI{Slug: a.ID, Title: a.Title, Summary: a.Summary, Path: commonPath(a)}
		for _, ver := range slices.Backward(a.Versions) {
			row.Versions = append(row.Versions, catalogueVersion(v, snap, ver, usage))
		}
		view.APIs = append(view.APIs, row)
	}
	return p.render(v, fiber.StatusOK, page.CataloguePage(p.frame(v, "/apis"), view))
}

func catalogueVersion(v *visit, snap *catalog.Snapshot, ver *catalog.Version, usage []traffic.Usage) page.CatalogueVersion {
	out := page.CatalogueVersion{Version: ver.Name, Href: v.link(contract.VersionPath(ver)), Lifecycle: contract.Lifecycle(ver.Lifecycle.State),
		DeprecatedSince: ver.Lifecycle.DeprecatedAt, Sunset: ver.Lifecycle.SunsetAt,
		Environments: contract.Environments(snap, ver), Subscriptions: subscriptions(v, ver.API.ID)}
	for _, r := range ver.Routes {
		if contract.Later(r) {
			out.Later++
		} else {
			out.Now++
		}
	}
	for _, u := range usage {
		if u.API == ver.API.ID && u.Version == ver.Name {
			out.Calls += int(u.Calls)
		}
	}
	return out
}

// commonPath is what stands before the version in the paths of an API, and all of the base where a header chooses the
// version; "" if its paths have no such form.
func commonPath(a *catalog.API) string {
	if a.VersionHeader != "" && len(a.Versions) > 0 {
		return a.Versions[0].Base
	}
	for _, ver := range a.Versions {
		if ver.Base != "/"+a.ID+"/"+ver.Name {
			return ""
		}
	}
	return "/" + a.ID
}

// subscriptions lists those of the reader's application to an API.
func subscriptions(v *visit, api string) []page.EnvironmentSubscription {
	var out []page.EnvironmentSubscription
	if v.app == nil {
		return nil
	}
	for _, env := range []ident.Environment{ident.Sandbox, ident.Live} {
		for _, s := range v.org.Subscriptions {
			if s.Application != v.app.ID || s.API != api || s.Environment != env {
				continue
			}
			state := component.Subscribed
			if s.State != partner.Active {
				state = component.Paused
			}
			out = append(out, page.EnvironmentSubscription{Environment: string(env), State: state})
		}
	}
	return out
}

// usage is the hourly usage of the reader's application in the window.
func (p *Portal) usage(v *visit) ([]traffic.Usage, error) {
	if v.app == nil {
		return nil, nil
	}
	all, err := p.Traffic.Usage(v.UserContext(), v.account.Org, p.Clock.Now().Add(-usageWindow))
	if err != nil {
		return nil, err
	}
	own := all[:0]
	for _, u := range all {
		if u.Application == v.app.ID {
			own = append(own, u)
		}
	}
	return own, nil
}
