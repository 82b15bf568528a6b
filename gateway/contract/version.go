package contract

import (
	"slices"
	"strings"

	"portway/gateway/exchange"
	"portway/internal/catalog"
	"portway/internal/problem"
)

// named finds the version a call names in the header of its API. There is no guess: a version that is not served, two
// headers, or none where none is declared as the default is refused with the list of what is served.
func named(api *catalog.API, h exchange.Header) (*catalog.Version, error) {
	name, reason := requested(h.Values(api.VersionHeader), api.VersionDefault)
	if reason == "" {
		if v, ok := api.Version(name); ok {
			return v, nil
		}
		reason = "names no version that is served"
		if isVersion(name) {
			reason = "names " + name + ", which is not served"
		}
	}
	return nil, versionUnknown(api, api.VersionNames(), "api \""+api.ID+"\": the header "+api.VersionHeader+" "+reason)
}

// requested reads the values of a version header: one name, with nothing around it but blanks. reason says what is
// wrong with them; it repeats nothing of them.
func requested(values []string, otherwise string) (name, reason string) {
	switch {
	case len(values) > 1:
		return "", "is sent more than once"
	case len(values) == 0 && otherwise == "":
		return "", "is missing"
	case len(values) == 0:
		return otherwise, ""
	}
	name = strings.Trim(values[0], " \t")
	switch {
	case name == "":
		return "", "is empty"
	case strings.ContainsAny(name, ",;"):
		return "", "names more than one version"
	}
	return name, ""
}

// versionUnknown is the refusal of a call whose version is not served; what ends with the list of those that are.
func versionUnknown(api *catalog.API, versions []string, what string) *problem.Error {
	p := problem.New(problem.VersionUnknown, "%s (have %s)", what, strings.Join(versions, ", "))
	p.Extra = map[string]any{"versions": versions}
	return varies(p, api)
}

// varies tells caches that the refusal depends on the header that chooses the version, if one does.
func varies(p *problem.Error, api *catalog.API) *problem.Error {
	if api != nil && api.VersionHeader != "" {
		p.Header = append(p.Header, [2]string{"Vary", api.VersionHeader})
	}
	return p
}

// unknown tells an unknown or missing version from an unknown path. Only what has the form of a version is repeated.
func unknown(x *exchange.Exchange) error {
	api, asked, versions := x.Snapshot.Versions(x.Request.Path)
	switch {
	case api == nil:
		return problem.New(problem.RouteUnknown, "no operation has this path")
	case slices.Contains(versions, asked):
		return problem.New(problem.RouteUnknown, "api %q version %q has no operation with this path", api.ID, asked)
	case isVersion(asked):
		return versionUnknown(api, versions, "api \""+api.ID+"\" has no version \""+asked+"\"")
	}
	return versionUnknown(api, versions, "api \""+api.ID+"\": the path names no version")
}

// isVersion reports whether s is "v" and one to four digits.
func isVersion(s string) bool {
	if len(s) < 2 || len(s) > 5 || s[0] != 'v' {
		return false
	}
	for i := 1; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
