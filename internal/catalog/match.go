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
	var m Match
	s.tree.find(strings.TrimPrefix(path, "/"), false, method, 0, &m)
	return m
}

// Versions lists the versions served below the first segment of path, "/{api}/{version}", to tell an unknown version from an unknown path.
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

// find walks down the segments of path, past its end when over, and reports whether the path exists. params is how
// many parameters lie above. The leaf makes the map of parameters in its size, and the way back fills it, so that a
// match allocates nothing else.
func (n *node) find(path string, over bool, method string, params int, m *Match) bool {
	if over {
		if n.methods == nil {
			return false
		}
		if m.Route = n.methods[method]; m.Route == nil {
			m.Allow = n.order
		} else if params > 0 {
			m.Path = make(map[string]string, params)
		}
		return true
	}
	segment, rest, more := strings.Cut(path, "/")
	if next := n.literal[segment]; next != nil && next.find(rest, !more, method, params, m) {
		return true
	}
	for i := range n.patterns {
		p := &n.patterns[i]
		if p.match(segment, nil, nil) && p.next.find(rest, !more, method, params+len(p.names), m) {
			if m.Route != nil {
				p.match(segment, m.Route.names[params:], m.Path)
			}
			return true
		}
	}
	return false
}

// match reports whether a segment has the pattern's form, no parameter being empty. With a map, it puts the
// parameters there under names.
func (p *pattern) match(segment string, names []string, into map[string]string) bool {
	if len(segment) <= len(p.prefix)+len(p.suffix) || !strings.HasPrefix(segment, p.prefix) || !strings.HasSuffix(segment, p.suffix) {
		return false
	}
	rest := segment[len(p.prefix) : len(segment)-len(p.suffix)]
	for i, between := range p.parts {
		at := strings.Index(rest, between)
		if at <= 0 {
			return false
		}
		if into != nil {
			into[names[i]] = rest[:at]
		}
		rest = rest[at+len(between):]
	}
	if into != nil {
		into[names[len(p.parts)]] = rest
	}
	return rest != ""
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

// checkTemplate refuses a path template whose braces do not pair up within each segment.
func checkTemplate(template string) error {
	for _, segment := range strings.Split(template, "/") {
		for rest := segment; ; {
			before, after, opens := strings.Cut(rest, "{")
			name, tail, closes := strings.Cut(after, "}")
			if strings.Contains(before, "}") || opens && (!closes || name == "" || strings.Contains(name, "{")) {
				return fmt.Errorf("%q is not a path template", template)
			}
			if !opens {
				break
			}
			rest = tail
		}
	}
	return nil
}

// add registers a route; two routes on one method and template are an error.
func (n *node) add(r *Route) error {
	if err := checkTemplate(r.Template); err != nil {
		return err
	}
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
	r.names = parameterNames(r.Template)
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
