package openapi

import (
	"slices"
	"strings"

	"portway/internal/openapi/source"
)

// parameters merges those of the path and the operation (same name and place: the operation's wins) and settles
// them with the path template: a template name without a declaration is a required string.
func (b *builder) parameters(item, op located, names []string, where string) []Parameter {
	var out []Parameter
	for _, from := range []located{item.member("parameters"), op.member("parameters")} {
		for i := range list(from.Node) {
			p, ok := b.parameter(b.deref(from.item(i)), names, where)
			if !ok {
				continue
			}
			at := slices.IndexFunc(out, func(q Parameter) bool { return q.In == p.In && sameName(p, q) })
			if at >= 0 {
				out[at] = p
			} else {
				out = append(out, p)
			}
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(out, func(p Parameter) bool { return p.In == "path" && p.Name == name }) {
			out = append(out, Parameter{Name: name, In: "path", Style: "simple", Required: true, Kind: KindString})
			b.find(op.Node, SeverityWarning, "lint.path_parameter", where, "the path parameter %q is not declared; it is taken as a string", name)
		}
	}
	return out
}

func sameName(p, q Parameter) bool {
	if p.In == "header" {
		return strings.EqualFold(p.Name, q.Name)
	}
	return p.Name == q.Name
}

// parameter builds one parameter; false means that it plays no part in a call.
func (b *builder) parameter(l located, names []string, where string) (Parameter, bool) {
	p := Parameter{
		Name: l.Get("name").Text(), In: l.Get("in").Text(), Style: l.Get("style").Text(),
		Required: l.Get("required").Flag(), Deprecated: l.Get("deprecated").Flag(),
		AllowReserved: l.Get("allowReserved").Flag(), AllowEmptyValue: l.Get("allowEmptyValue").Flag(),
		Description: l.Get("description").Text(), Pointer: schemaPointer(l),
	}
	style, ok := defaultStyle(p.In)
	if !ok || p.Name == "" {
		b.find(l.Node, SeverityWarning, "lint.parameter_place", where, "a parameter needs a name and a place (path, query, header or cookie); it is left out")
		return p, false
	}
	if p.In == "path" {
		p.Required = true
		if !slices.Contains(names, p.Name) {
			return p, false
		}
	}
	if p.In == "header" && reservedHeader(p.Name) {
		b.find(l.Node, SeverityInfo, "lint.parameter_reserved", where, "the header %q is described elsewhere in OpenAPI; as a parameter it is ignored", p.Name)
		return p, false
	}
	if p.Style == "" || !styleFits(p.In, p.Style) {
		if p.Style != "" {
			b.find(l.Node, SeverityWarning, "lint.parameter_style", where, "the style %q does not exist for a %s parameter; %q is used", p.Style, p.In, style)
		}
		p.Style = style
	}
	p.Explode = p.Style == "form"
	if e := l.Get("explode"); e != nil {
		p.Explode = e.Flag()
	}
	if p.Style == "deepObject" {
		p.Explode = true
	}
	b.parameterValue(&p, l, where)
	return p, true
}

// parameterValue fills in what the schema or content says about the value.
func (b *builder) parameterValue(p *Parameter, l located, where string) {
	if e := l.Get("example"); e != nil {
		p.Example = e.Any()
	} else if all := l.member("examples"); all.Node != nil && all.Kind == source.Object && len(all.Keys) > 0 {
		p.Example = b.deref(all.member(all.Keys[0])).Get("value").Any()
	}
	if content := l.member("content"); content.Node != nil && content.Kind == source.Object && len(content.Keys) > 0 {
		p.ContentType = content.Keys[0]
		p.Pointer = schemaPointer(b.deref(content.member(p.ContentType)))
		return
	}
	if p.Pointer == "" {
		p.Kind = KindString
		return
	}
	s := located{l.Node.Get("schema"), p.Pointer}
	b.keywordsOf2020(s, where, p.Name)
	t := b.typeOf(s, 0)
	p.Kind, p.Nullable = t.kind, t.nullable
	p.Items = t.items
	p.Properties, p.Closed, p.Extra = t.properties, t.closed, t.extra
	if p.Kind == "" {
		p.Kind = KindString
	}
	if p.Example == nil {
		p.Example = b.deref(s).Get("example").Any()
	}
}

// keywordsOf2020 reports keywords whose meaning for a parameter that travels as text nobody agrees on.
func (b *builder) keywordsOf2020(s located, where, name string) {
	t := b.deref(s)
	for _, k := range []string{"if", "prefixItems", "contains", "dependentSchemas", "unevaluatedProperties", "unevaluatedItems", "patternProperties", "propertyNames"} {
		if t.Get(k) != nil {
			b.find(t.Get(k), SeverityWarning, "lint.parameter_keyword", where, "the parameter %q uses %q, which few clients apply to parameters", name, k)
		}
	}
}

// defaultStyle is the style of OpenAPI 3.1.1 section 4.8.12.2 for each place.
func defaultStyle(in string) (string, bool) {
	switch in {
	case "path", "header":
		return "simple", true
	case "query", "cookie":
		return "form", true
	}
	return "", false
}

func styleFits(in, style string) bool {
	switch in {
	case "path":
		return style == "simple" || style == "label" || style == "matrix"
	case "query":
		return style == "form" || style == "spaceDelimited" || style == "pipeDelimited" || style == "deepObject"
	case "header":
		return style == "simple"
	}
	return style == "form"
}

// reservedHeader names the headers that OpenAPI describes elsewhere (3.1.1 section 4.8.12.1).
func reservedHeader(name string) bool {
	return strings.EqualFold(name, "Accept") || strings.EqualFold(name, "Content-Type") || strings.EqualFold(name, "Authorization")
}

// valueType is what decoding needs to know of a schema.
type valueType struct {
	kind, items, extra Kind
	properties         map[string]Kind
	closed, nullable   bool
}

// typeOf reads the type off a schema, its references and the schemas it combines.
func (b *builder) typeOf(l located, depth int) valueType {
	l = b.deref(l)
	var t valueType
	if l.Node == nil || l.Kind != source.Object || depth > source.MaxHops {
		return t
	}
	t.nullable = l.Get("nullable").Flag()
	t.kind = t.pick(l.Get("type"))
	if t.kind == "" && l.Get("properties") != nil {
		t.kind = KindObject
	}
	if items := l.member("items"); items.Node != nil {
		t.items = b.typeOf(items, depth+1).kind
	}
	t.members(b, l, depth)
	for _, k := range []string{"allOf", "anyOf", "oneOf"} {
		all := l.member(k)
		for i := range list(all.Node) {
			t.combine(b.typeOf(all.item(i), depth+1), k == "allOf")
		}
	}
	return t
}

// pick chooses the kind from a type or a list of types: text wins, because every text is one.
func (t *valueType) pick(n *source.Node) Kind {
	if n == nil {
		return ""
	}
	if n.Kind != source.Array {
		return known(n.Text())
	}
	var kinds []Kind
	for _, e := range n.Vals {
		if e.Text() == "null" {
			t.nullable = true
		} else if k := known(e.Text()); k != "" {
			kinds = append(kinds, k)
		}
	}
	return widest(kinds)
}

func known(s string) Kind {
	switch k := Kind(s); k {
	case KindString, KindInteger, KindNumber, KindBoolean, KindArray, KindObject:
		return k
	}
	return ""
}

func widest(kinds []Kind) Kind {
	for _, k := range []Kind{KindString, KindNumber, KindArray, KindObject, KindInteger, KindBoolean} {
		if slices.Contains(kinds, k) {
			return k
		}
	}
	return ""
}

func (t *valueType) members(b *builder, l located, depth int) {
	if props := l.member("properties"); props.Node != nil && props.Kind == source.Object {
		t.properties = make(map[string]Kind, len(props.Keys))
		for _, name := range props.Keys {
			t.properties[name] = b.typeOf(props.member(name), depth+1).kind
		}
	}
	more := l.member("additionalProperties")
	if more.Node == nil {
		return
	}
	if more.Kind == source.Scalar {
		t.closed = !more.Flag()
		return
	}
	t.extra = b.typeOf(more, depth+1).kind
}

// combine joins what a branch says. In allOf the first kind holds; among alternatives the widest.
func (t *valueType) combine(u valueType, all bool) {
	switch {
	case t.kind == "":
		t.kind = u.kind
	case !all && u.kind != "":
		t.kind = widest([]Kind{t.kind, u.kind})
	}
	if t.items == "" {
		t.items = u.items
	}
	if t.extra == "" {
		t.extra = u.extra
	}
	t.closed = t.closed || all && u.closed
	t.nullable = t.nullable || !all && u.nullable
	for name, k := range u.properties {
		if t.properties == nil {
			t.properties = map[string]Kind{}
		}
		if t.properties[name] == "" {
			t.properties[name] = k
		}
	}
}
