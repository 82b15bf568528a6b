package catalog

import (
	"slices"
	"sort"
	"strings"
)

// versionChoice is how callers of an API choose its version.
type versionChoice struct {
	By       string `yaml:"by"`       // "path", the default: a segment of the address; or "header"
	Header   string `yaml:"header"`   // by header: its name
	Required *bool  `yaml:"required"` // by header: whether every call names a version; false needs a default
	Default  string `yaml:"default"`  // by header: the version of calls without it, which never moves by itself
}

// ByHeader returns the API whose base a canonical path lies below and whose version a header chooses, nil if there is
// none.
func (s *Snapshot) ByHeader(path string) *API {
	if len(s.headed) == 0 {
		return nil
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	for _, a := range s.headed[first] {
		if liesBelow(path, a.Versions[0].Base) {
			return a
		}
	}
	return nil
}

// liesBelow reports whether a path is base or lies below it.
func liesBelow(path, base string) bool {
	rest, ok := strings.CutPrefix(path, base)
	return ok && (rest == "" || rest[0] == '/')
}

// Versions finds the API that a path without an operation is meant for, when its version stands in the path: asked is
// what stands in its place, versions are those that are served. api is nil when no API has such paths.
func (s *Snapshot) Versions(path string) (api *API, asked string, versions []string) {
	best := ""
	for _, a := range s.APIs {
		for _, v := range a.Versions {
			prefix, ok := strings.CutSuffix(v.Base, "/"+v.Name)
			if !ok || prefix == "" || a.VersionHeader != "" || !liesBelow(path, prefix) || len(prefix) < len(best) {
				continue
			}
			if prefix != best || api != a {
				api, best, versions = a, prefix, nil
			}
			versions = append(versions, v.Name)
		}
	}
	if api != nil {
		asked, _, _ = strings.Cut(strings.TrimPrefix(path[len(best):], "/"), "/")
	}
	return api, asked, versions
}

// VersionNames lists the versions of an API, oldest first.
func (a *API) VersionNames() []string {
	out := make([]string, len(a.Versions))
	for i, v := range a.Versions {
		out[i] = v.Name
	}
	return out
}

// ownHeaders have a meaning of their own and choose no version.
var ownHeaders = []string{"accept", "accept-encoding", "accept-language", "authorization", "connection", "content-encoding",
	"content-length", "content-type", "cookie", "expect", "host", "idempotency-key", "range", "te", "trailer",
	"transfer-encoding", "upgrade", "via", "x-request-id"}

// versioning reads how the version of an API is chosen.
func (l *loader) versioning(a *API, file string, f *apiFile) {
	c := &f.Version
	fail := func(member, format string, args ...any) { l.fail(file, l.line("version", member), format, args...) }
	switch c.By {
	case "", "path":
		if c.Header != "" || c.Default != "" || c.Required != nil {
			fail("by", "version: header, required and default need by: header")
		}
		return
	case "header":
	default:
		fail("by", "version.by is %q: use path or header", c.By)
		return
	}
	if !plainName(c.Header, "-") || slices.Contains(ownHeaders, strings.ToLower(c.Header)) {
		fail("header", "version.header is %q: give a header name of letters, digits and hyphens that has no other meaning, such as Api-Version", c.Header)
	}
	a.VersionHeader, a.VersionDefault = c.Header, c.Default
	if _, ok := f.Versions[c.Default]; !ok && c.Default != "" {
		fail("default", "version.default %q is not a version of this API", c.Default)
	}
	if required := c.Required == nil && c.Default == "" || c.Required != nil && *c.Required; required != (c.Default == "") {
		fail("required", "version: a call without the header is either refused (required: true) or takes the version named by default")
	}
	for name := range f.Versions {
		if !plainName(name, "-._") {
			l.fail(file, l.line("versions", name), "versions: %q cannot stand in a header: use letters, digits, dots and hyphens", name)
		}
	}
}

// plainName reports whether s consists of letters, digits and the given marks.
func plainName(s, marks string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte(marks, c) < 0 {
			return false
		}
	}
	return s != ""
}

// headers registers the APIs whose version a header chooses. Below their base nothing else is served: a caller who
// forgets the header must not reach another operation.
func (l *loader) headers() {
	s := l.snap
	for _, a := range s.APIs {
		if a.VersionHeader == "" || len(a.Versions) == 0 {
			continue
		}
		file, base := l.owners["apis/"+a.ID], a.Versions[0].Base
		for _, v := range a.Versions[1:] {
			if v.Base != base {
				l.fail(file, 0, "versions: %s has the base %q and %s has %q: versions that a header chooses share one", a.Versions[0].Name, base, v.Name, v.Base)
			}
		}
		if !strings.HasPrefix(base, "/") || len(base) == 1 || strings.HasSuffix(base, "/") || strings.ContainsAny(base, "{}") {
			l.fail(file, 0, "versions: the base %q is not a plain path such as /%s, which versions that a header chooses need", base, a.ID)
			continue
		}
		for _, other := range s.APIs {
			if clash := other.under(base); other != a && clash != "" {
				l.fail(file, 0, "the base %q holds %s of api %q: versions that a header chooses need a base of their own", base, clash, other.ID)
			}
		}
		first, _, _ := strings.Cut(base[1:], "/")
		if s.headed == nil {
			s.headed = map[string][]*API{}
		}
		s.headed[first] = append(s.headed[first], a)
	}
	for _, list := range s.headed {
		sort.Slice(list, func(i, j int) bool { return list[i].ID < list[j].ID })
	}
}

// under is the first path of an API below base, "" if there is none.
func (a *API) under(base string) string {
	for _, v := range a.Versions {
		for _, r := range v.Routes {
			if liesBelow(r.Template, base) {
				return r.Template
			}
		}
	}
	return ""
}
