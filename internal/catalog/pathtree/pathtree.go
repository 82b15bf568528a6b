// Package pathtree finds what serves a path: a trie over the segments of OpenAPI path templates, with methods at its
// leaves.
package pathtree

import (
	"fmt"
	"strings"
)

// Tree maps a method and a path template to a value: literal segments by name, patterns such as "{id}" or "A('{key}')"
// beside them, those with the most literal characters first. The zero value is empty. It is built by one goroutine and then
// read by any number.
type Tree[T any] struct{ root node[T] }

type node[T any] struct {
	literal  map[string]*node[T]
	patterns []branch[T] // most literal characters first
	methods  map[string]entry[T]
	order    []string // methods in order of registration
}

// entry is a value with the names of its template's parameters in order: templates that share a leaf have their own.
type entry[T any] struct {
	value T
	names []string
}

type branch[T any] struct {
	pattern
	next *node[T]
}

type pattern struct {
	prefix, suffix string
	names          []string // more than one when a segment holds several parameters
	parts          []string // literals between them, len(names)-1
	text           string
}

// Match is the result of looking a path up.
type Match[T any] struct {
	Value T
	Found bool
	// Params holds the raw, still percent-encoded path parameters.
	Params map[string]string
	// Allow lists the methods of the path when the method was not among them.
	Allow []string

	names []string
}

// Find looks a canonical path up. It costs one step a segment, whatever the number of templates. Without a value, Found is
// false; Allow is then set if the path exists with other methods.
func (t *Tree[T]) Find(method, path string) Match[T] {
	var m Match[T]
	t.root.find(strings.TrimPrefix(path, "/"), false, method, 0, &m)
	return m
}

// find walks down the segments of path, past its end when over, and reports whether the path exists. params is how
// many parameters lie above. The leaf makes the map of parameters in its size, and the way back fills it, so that a
// match allocates nothing else.
func (n *node[T]) find(path string, over bool, method string, params int, m *Match[T]) bool {
	if over {
		if n.methods == nil {
			return false
		}
		e, ok := n.methods[method]
		if !ok {
			m.Allow = n.order
			return true
		}
		m.Value, m.Found, m.names = e.value, true, e.names
		if params > 0 {
			m.Params = make(map[string]string, params)
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
			if m.Found {
				p.match(segment, m.names[params:], m.Params)
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

// Names lists the "{name}" of a template in order.
func Names(template string) []string {
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

// check refuses a path template whose braces do not pair up within each segment.
func check(template string) error {
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

// Add registers a value. When the method and template, whatever the names of its parameters, have one already, that is
// returned as other, and taken is true. The error says that the template is none.
func (t *Tree[T]) Add(method, template string, value T) (other T, taken bool, err error) {
	if err := check(template); err != nil {
		return other, false, err
	}
	at := &t.root
	for _, segment := range strings.Split(strings.TrimPrefix(template, "/"), "/") {
		at = at.child(segment)
	}
	if at.methods == nil {
		at.methods = map[string]entry[T]{}
	}
	if have, ok := at.methods[method]; ok {
		return have.value, true, nil
	}
	at.methods[method] = entry[T]{value, Names(template)}
	at.order = append(at.order, method)
	return other, false, nil
}

func (n *node[T]) child(segment string) *node[T] {
	if !strings.Contains(segment, "{") {
		if n.literal == nil {
			n.literal = map[string]*node[T]{}
		}
		next := n.literal[segment]
		if next == nil {
			next = &node[T]{}
			n.literal[segment] = next
		}
		return next
	}
	p := patternOf(segment)
	for i := range n.patterns {
		if n.patterns[i].text == p.text && len(n.patterns[i].names) == len(p.names) {
			return n.patterns[i].next
		}
	}
	at := 0
	for at < len(n.patterns) && n.patterns[at].weight() >= p.weight() {
		at++
	}
	b := branch[T]{pattern: p, next: &node[T]{}}
	n.patterns = append(n.patterns[:at], append([]branch[T]{b}, n.patterns[at:]...)...)
	return b.next
}

// patternOf takes a segment with parameters apart.
func patternOf(segment string) pattern {
	var p pattern
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
	return p
}

func (p *pattern) weight() int { return len(p.prefix) + len(p.suffix) + len(strings.Join(p.parts, "")) }
