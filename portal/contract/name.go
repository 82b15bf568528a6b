package contract

import (
	"net/url"

	"portway/internal/catalog"
	"portway/internal/problem"
	"portway/web/component"
	"portway/web/page"
)

// VersionPath is the page of a version.
func VersionPath(v *catalog.Version) string { return "/apis/" + v.API.ID + "/" + v.Name }

// OperationPath is the page of an operation; ids of other people's documents hold slashes.
func OperationPath(v *catalog.Version, id string) string {
	return VersionPath(v) + "/" + url.PathEscape(id)
}

// Problem names a problem code with its page.
func Problem(c problem.Code) page.ProblemRef {
	return page.ProblemRef{Code: string(c), Status: c.Status(), Title: c.Title(), Href: "/problems/" + string(c)}
}

// Lifecycle is the stage of a version or operation, by its word in policies.
func Lifecycle(state string) component.Lifecycle {
	switch state {
	case "deprecated":
		return component.Deprecated
	case "retired":
		return component.Retired
	}
	return component.Stable
}

// Later reports whether an operation answers 202 with a status address.
func Later(r *catalog.Route) bool { return r.Dispatch == catalog.Accept }
