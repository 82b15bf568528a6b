package param

import (
	"strings"
)

// pair is one name and value of a query; the name is decoded, the value is not.
type pair struct {
	name, value string
	used        bool
}

// query decodes the query parameters and checks the query as a whole.
func (d *decoder) query(parameters []Parameter, c Call) {
	pairs := d.pairs(parameters, c.RawQuery)
	var free *Parameter
	for i := range parameters {
		p := &parameters[i]
		if p.In != "query" {
			continue
		}
		if p.Style == "form" && p.Explode && p.Kind == Object && p.ContentType == "" && len(p.Properties) == 0 {
			free = p
			continue
		}
		d.queryParameter(p, pairs)
	}
	if free != nil {
		// An exploded object without named properties takes every name that nobody else declares.
		d.spread(free, pairs, func(string) bool { return true })
	}
	if !c.Strict {
		return
	}
	reported := map[string]bool{}
	for _, q := range pairs {
		if !q.used && !reported[q.name] {
			reported[q.name] = true
			d.violate("query", shorten(q.name), "undeclared", "is not a parameter of this operation")
		}
	}
}

// pairs splits a query. A raw semicolon is refused, because some servers split there and some do not, unless a
// parameter declares allowReserved.
func (d *decoder) pairs(parameters []Parameter, raw string) []pair {
	if raw == "" {
		return nil
	}
	if strings.IndexByte(raw, ';') >= 0 && !reservedAllowed(parameters) {
		d.violate("query", "", "separator", "must separate parameters by & and encode a semicolon as %3B")
	}
	out := make([]pair, 0, strings.Count(raw, "&")+1)
	for rest := raw; rest != ""; {
		var piece string
		piece, rest, _ = strings.Cut(rest, "&")
		if piece == "" {
			continue
		}
		name, value, _ := strings.Cut(piece, "=")
		decoded, reason := unescape(name, true)
		if reason != "" {
			d.violate("query", "", "encoding", "must have parameter names of percent-encoded UTF-8 without NUL")
			continue
		}
		out = append(out, pair{name: decoded, value: value})
	}
	return out
}

func reservedAllowed(parameters []Parameter) bool {
	for i := range parameters {
		if parameters[i].In == "query" && parameters[i].AllowReserved {
			return true
		}
	}
	return false
}

func (d *decoder) queryParameter(p *Parameter, pairs []pair) {
	switch {
	case p.Style == "deepObject":
		d.deep(p, pairs)
		return
	case p.Style == "form" && p.Explode && p.Kind == Object && p.ContentType == "":
		d.spread(p, pairs, func(name string) bool { _, ok := p.Properties[name]; return ok })
		return
	}
	var values []string
	for i := range pairs {
		if pairs[i].name == p.Name {
			pairs[i].used = true
			values = append(values, pairs[i].value)
		}
	}
	if len(values) == 0 {
		d.missing(p)
		return
	}
	d.keep(p, func() (any, string) {
		if p.ContentType == "" && (p.Style == "spaceDelimited" || p.Style == "pipeDelimited") && (p.Kind == Array || p.Kind == Object) {
			return p.delimited(values)
		}
		return p.form(values)
	})
}

// delimited decodes spaceDelimited and pipeDelimited; exploded arrays repeat the name as in form.
func (p *Parameter) delimited(values []string) (any, string) {
	if p.Explode && p.Kind == Array {
		return p.array(values)
	}
	if len(values) > 1 {
		return nil, notOnce
	}
	if values[0] == "" {
		return p.divided("", ",", false)
	}
	pieces := split(values[0], "%20", "+")
	if p.Style == "pipeDelimited" {
		pieces = split(values[0], "|", "%7C", "%7c")
	}
	if p.Kind == Array {
		return p.array(pieces)
	}
	return p.object(pieces)
}

// spread gathers an exploded object: its properties are parameters of their own.
func (d *decoder) spread(p *Parameter, pairs []pair, mine func(name string) bool) {
	out := map[string]any{}
	reason := ""
	for i := range pairs {
		if pairs[i].used || !mine(pairs[i].name) {
			continue
		}
		pairs[i].used = true
		if r := p.property(out, pairs[i].name, pairs[i].value); r != "" && reason == "" {
			reason = r
		}
	}
	if len(out) == 0 && reason == "" {
		d.missing(p)
		return
	}
	d.keep(p, func() (any, string) { return out, reason })
}

// deep decodes name[property]=value. The bare name and nested brackets have no meaning in OpenAPI and are refused.
func (d *decoder) deep(p *Parameter, pairs []pair) {
	out := map[string]any{}
	reason := ""
	fail := func(r string) {
		if reason == "" {
			reason = r
		}
	}
	for i := range pairs {
		name, ok := strings.CutPrefix(pairs[i].name, p.Name)
		if !ok || name != "" && name[0] != '[' {
			continue
		}
		pairs[i].used = true
		property, closed := strings.CutSuffix(strings.TrimPrefix(name, "["), "]")
		if !closed || property == "" || strings.ContainsAny(property, "[]") {
			fail("must be given as " + p.Name + "[property]=value")
			continue
		}
		if r := p.property(out, property, pairs[i].value); r != "" {
			fail(r)
		}
	}
	if len(out) == 0 && reason == "" {
		d.missing(p)
		return
	}
	d.keep(p, func() (any, string) { return out, reason })
}

// shorten keeps a hostile name from filling the answer.
func shorten(s string) string {
	const most = 64
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
