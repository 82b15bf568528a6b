package catalog

import (
	"fmt"

	"portway/internal/catalog/pathtree"
)

// routes finds an operation by method and path.
type routes = pathtree.Tree[*Route]

// Match is the result of looking a path up.
type Match struct {
	Route *Route
	// Path holds the raw, still percent-encoded path parameters.
	Path map[string]string
	// Allow lists the methods of the path when the method was not among them.
	Allow []string
}

// Match finds the operation of a canonical path. Without one, Route is nil; Allow is then set if the path
// exists with other methods.
func (s *Snapshot) Match(method, path string) Match { return match(&s.tree, method, path) }

// Match finds the operation of a canonical path in one version of an API whose version a header chooses. Versions may
// have operations on one path: each has its own, with its own names of parameters and its own methods.
func (v *Version) Match(method, path string) Match { return match(&v.tree, method, path) }

func match(tree *routes, method, path string) Match {
	m := tree.Find(method, path)
	return Match{Route: m.Value, Path: m.Params, Allow: m.Allow}
}

// register puts a route where calls find it; two routes on one method and template are an error.
func (s *Snapshot) register(r *Route) error {
	tree := &s.tree
	if r.API.VersionHeader != "" {
		tree = &r.Version.tree
	} else if a := s.ByHeader(r.Template); a != nil {
		return fmt.Errorf("%q lies below the base of api %q, whose version a header chooses", r.Template, a.ID)
	}
	other, taken, err := tree.Add(r.Method, r.Template, r)
	if taken {
		return fmt.Errorf("%s %s is both %q and %q", r.Method, r.Template, other.ID, r.ID)
	}
	return err
}
