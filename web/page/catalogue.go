package page

import (
	"sort"
	"strings"
	"time"

	"portway/web/component"
	"portway/web/format"
)

// Catalogue is every API this reader may see, with its versions.
type Catalogue struct {
	// Application is the reader's application, whose subscriptions and calls are shown; "" when there is none.
	Application string
	APIs        []CatalogueAPI
	// Now decides how many days a sunset is away.
	Now time.Time
}

// CatalogueAPI is one API.
type CatalogueAPI struct {
	// Slug is the short name ("orders"), Title the one people read.
	Slug, Title, Summary string
	// Path is what the paths of all versions begin with ("/orders"), "" if there is no such thing.
	Path string
	// Versions stand newest first.
	Versions []CatalogueVersion
}

// CatalogueVersion is one version of an API.
type CatalogueVersion struct {
	// Version is "v2"; Href is its reference page.
	Version, Href   string
	Lifecycle       component.Lifecycle
	DeprecatedSince time.Time
	Sunset          time.Time
	// Now and Later count the operations that answer at once, and those that answer 202 and a status address.
	Now, Later int
	// Environments are "sandbox" and "live", where the version is served.
	Environments []string
	// Subscriptions of the reader's application, one per environment it asked for; empty when it has none.
	Subscriptions []EnvironmentSubscription
	// Calls of the reader's application in the last 30 days.
	Calls int
}

// EnvironmentSubscription is the state of a subscription in one environment.
type EnvironmentSubscription struct {
	Environment string
	State       component.Subscription
}

// Title is the finding: "Three APIs, one version going away".
func (v Catalogue) Title() string {
	if len(v.APIs) == 0 {
		return "No API is open to you yet"
	}
	going, gone := 0, 0
	for _, a := range v.APIs {
		for _, ver := range a.Versions {
			switch ver.Lifecycle {
			case component.Deprecated:
				going++
			case component.Retired:
				gone++
			}
		}
	}
	apis := format.Sentence(format.WordCounted(len(v.APIs), "API", "APIs"))
	switch {
	case going > 0:
		return apis + ", " + format.WordCounted(going, "version", "versions") + " going away"
	case gone > 0:
		return apis + ", " + format.WordCounted(gone, "version", "versions") + " retired"
	default:
		return apis + ", nothing going away"
	}
}

// lead says in one sentence what the reader's application has to do with them.
func (v Catalogue) lead() string {
	if v.Application == "" || len(v.APIs) == 0 {
		return ""
	}
	late := v.late()
	if len(late) > 0 {
		return v.Application + " still calls " + strings.Join(late, " and ") + "."
	}
	n := 0
	for _, a := range v.APIs {
		for _, ver := range a.Versions {
			if ver.subscribed() {
				n++
				break
			}
		}
	}
	word := format.Word(n)
	if n == 0 {
		word = "none"
	}
	return v.Application + " is subscribed to " + word + " of them."
}

// late names the deprecated versions the application still calls.
func (v Catalogue) late() []string {
	var out []string
	for _, a := range v.APIs {
		for _, ver := range a.Versions {
			if ver.Lifecycle == component.Deprecated && ver.Calls > 0 {
				out = append(out, a.Title+" "+ver.Version)
			}
		}
	}
	sort.Strings(out)
	return out
}

func (v CatalogueVersion) subscribed() bool {
	for _, s := range v.Subscriptions {
		if s.State == component.Subscribed {
			return true
		}
	}
	return false
}

// answers says how the operations answer: "5 now, 2 later".
func (v CatalogueVersion) answers() string {
	switch {
	case v.Later == 0:
		return "all answer now"
	case v.Now == 0:
		return "all answer 202"
	default:
		return format.Count(v.Now) + " answer now, " + format.Count(v.Later) + " answer 202"
	}
}

// reader names who looks at the catalogue.
func (v Catalogue) reader() string {
	if v.Application != "" {
		return v.Application
	}
	return "you"
}

// sunset says when the version goes away, or that it is gone.
func (v CatalogueVersion) sunset(now time.Time) string {
	days := format.DaysUntil(now, v.Sunset)
	switch {
	case v.Lifecycle == component.Retired || days < 0:
		return "since " + format.Date(v.Sunset)
	case days == 0:
		return "until today, " + format.Date(v.Sunset)
	default:
		return "until " + format.Date(v.Sunset) + ", " + format.Counted(days, "day", "days") + " left"
	}
}

func (v CatalogueVersion) environments() string {
	if len(v.Environments) == 0 {
		return "nowhere"
	}
	return strings.Join(v.Environments, ", ")
}
