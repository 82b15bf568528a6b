package catalog

import (
	"fmt"
	"strings"
)

// node is a segment trie over path templates: literal segments by name, patterns such as "{id}" or
// "A('{key}')" beside them. A match costs one step a segment, whatever the number of operations.
type node struct {
	literal  map[string]*node
	patterns []pattern // most literal characters first
	methods  map[string]*Route
	order    []string // methods in order of registration
}

type pattern struct {
	prefix, suffix string
	names          []string // more than one when a segment holds several parameters
	parts          []string // literals between them, len(names)-1
	next           *node
	text           string
}

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
func (s *Snapshot) Match(method, path string) Match {
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	var values []string
	found := s.tree.find(segments, &values)
	if found == nil {
		return Match{}
	}
	route := found.methods[method]
	if route == nil {
		return Match{Allow: found.order}
	}
	m := Match{Route: route}
	if len(values) > 0 {
		m.Path = make(map[string]string, len(values))
		for i, name := range parameterNames(route.Template) {
			m.Path[name] = values[i]
		}
	}
	return m
}

// Bases lists the versions whose base is "/{api}/", to tell an unknown version from an unknown path.
func (s *Snapshot) Versions(path string) (api *API, versions []string) {
	segments := strings.SplitN(strings.TrimPrefix(path, "/"), "/", 3)
	for _, a := range s.APIs {
		for _, v := range a.Versions {
			if v.Base == "/"+segments[0]+"/"+v.Name {
				api = a
				versions = append(versions, v.Name)
			}
		}
	}
	return api, versions
}

func (n *node) find(segments []string, values *[]string) *node {
	if len(segments) == 0 {
		if n.methods == nil {
			return nil
		}
		return n
	}
	if next := n.literal[segments[0]]; next != nil {
		if found := next.find(segments[1:], values); found != nil {
			return found
		}
	}
	for i := range n.patterns {
		p := &n.patterns[i]
		mark := len(*values)
		if p.match(segments[0], values) {
			if found := p.next.find(segments[1:], values); found != nil {
				return found
			}
		}
		*values = (*values)[:mark]
	}
	return nil
}

func (p *pattern) match(segment string, values *[]string) bool {
	if len(segment) <= len(p.prefix)+len(p.suffix) || !strings.HasPrefix(segment, p.prefix) || !strings.HasSuffix(segment, p.suffix) {
		return false
	}
	rest := segment[len(p.prefix) : len(segment)-len(p.suffix)]
	for _, between := range p.parts {
		i := strings.Index(rest, between)
		if i <= 0 {
			return false
		}
		*values = append(*values, rest[:i])
		rest = rest[i+len(between):]
	}
	if rest == "" {
		return false
	}
	*values = append(*values, rest)
	return true
}

// parameterNames lists the "{name}" of a template in order.
func parameterNames(template string) []string {
	var out []string
	for {
		_, rest, ok := strings.Cut(template, "{")
		if !ok {
			return out
		}
		name, after, ok := strings.Cut(rest, "}")
		if !ok {
			return out
		}
		out = append(out, name)
		template = after
	}
}

// add registers a route; two routes on one method and template are an error.
func (n *node) add(r *Route) error {
	at := n
	for _, segment := range strings.Split(strings.TrimPrefix(r.Template, "/"), "/") {
		at = at.child(segment)
	}
	if at.methods == nil {
		at.methods = map[string]*Route{}
	}
	if other := at.methods[r.Method]; other != nil {
		return fmt.Errorf("%s %s is both %q and %q", r.Method, r.Template, other.ID, r.ID)
	}
	at.methods[r.Method] = r
	at.order = append(at.order, r.Method)
	return nil
}

func (n *node) child(segment string) *node {
	if !strings.Contains(segment, "{") {
		if n.literal == nil {
			n.literal = map[string]*node{}
		}
		next := n.literal[segment]
		if next == nil {
			next = &node{}
			n.literal[segment] = next
		}
		return next
	}
	p := pattern{next: &node{}}
	rest := segment
	for {
		before, after, ok := strings.Cut(rest, "{")
		if !ok {
			p.suffix = rest
			break
		}
		if len(p.names) == 0 {
			p.prefix = before
		} else {
			p.parts = append(p.parts, before)
		}
		name, tail, _ := strings.Cut(after, "}")
		p.names = append(p.names, name)
		rest = tail
	}
	p.text = p.prefix + "{}" + strings.Join(p.parts, "{}") + p.suffix
	for i := range n.patterns {
		if n.patterns[i].text == p.text && len(n.patterns[i].names) == len(p.names) {
			return n.patterns[i].next
		}
	}
	at := 0
	for at < len(n.patterns) && n.patterns[at].weight() >= p.weight() {
		at++
	}
	n.patterns = append(n.patterns[:at], append([]pattern{p}, n.patterns[at:]...)...)
	return p.next
}

func (p *pattern) weight() int { return len(p.prefix) + len(p.suffix) + len(strings.Join(p.parts, "")) }
