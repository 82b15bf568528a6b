package openapi

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"portway/internal/openapi/source"
	"portway/internal/schema"
)

// builder makes the operations of a bundled document.
type builder struct {
	root     *source.Node
	findings []Finding
	broken   bool
	ids      map[string]bool
	taken    map[string]string
	// prefix is put before every path.
	prefix string
}

func (b *builder) find(n *source.Node, severity Severity, rule, where, format string, args ...any) {
	f := Finding{Severity: severity, Rule: rule, Where: where, Message: fmt.Sprintf(format, args...)}
	if n != nil {
		f.File, f.Line, f.Column = n.File, n.Line, n.Column
	}
	b.findings = append(b.findings, f)
}

// document fills in everything but Raw, Bundle and the findings.
func (b *builder) document() *Document {
	info := b.root.Get("info")
	d := &Document{
		Title:       info.Get("title").Text(),
		Version:     info.Get("version").Text(),
		Description: info.Get("description").Text(),
		OpenAPI:     b.root.Get("openapi").Text(),
		Dialect:     schema.Draft202012,
		Extensions:  extensions(b.root),
	}
	if strings.HasPrefix(d.OpenAPI, "3.0") {
		d.Dialect = schema.OpenAPI30
	}
	if hooks := b.root.Get("webhooks"); hooks != nil {
		d.Webhooks = slices.Clone(hooks.Keys)
	}
	for _, t := range list(b.root.Get("tags")) {
		d.Tags = append(d.Tags, Tag{Name: t.Get("name").Text(), Description: t.Get("description").Text()})
	}
	for _, s := range list(b.root.Get("servers")) {
		d.Servers = append(d.Servers, serverURL(s))
	}
	if len(d.Servers) > 0 {
		d.BasePath, b.prefix = basePath(d.Servers[0])
	}
	if b.prefix != "" {
		b.find(b.root.Get("servers"), SeverityWarning, "lint.server_variable", "/servers/0",
			"the path of the server holds a variable that is not declared; %q becomes part of every path", b.prefix)
	}
	d.Operations = b.operations()
	return d
}

// basePath returns the path of a server address. From the first segment with a variable that has no value it goes
// to prefix, which is put before every path: the variable is then a path parameter.
func basePath(server string) (base, prefix string) {
	rest := server
	if _, after, ok := strings.Cut(server, "://"); ok {
		_, after, _ = strings.Cut(after, "/")
		rest = "/" + after
	}
	rest, _, _ = strings.Cut(rest, "?")
	rest = strings.Trim(rest, "/")
	if rest == "" {
		return "", ""
	}
	segments := strings.Split(rest, "/")
	at := slices.IndexFunc(segments, func(s string) bool { return strings.Contains(s, "{") })
	if at < 0 {
		return "/" + rest, ""
	}
	if at > 0 {
		base = "/" + strings.Join(segments[:at], "/")
	}
	return base, "/" + strings.Join(segments[at:], "/")
}

func serverURL(s *source.Node) string {
	out := s.Get("url").Text()
	vars := s.Get("variables")
	if vars == nil {
		return out
	}
	for i, name := range vars.Keys {
		out = strings.ReplaceAll(out, "{"+name+"}", vars.Vals[i].Get("default").Text())
	}
	return out
}

func list(n *source.Node) []*source.Node {
	if n == nil || n.Kind != source.Array {
		return nil
	}
	return n.Vals
}

func extensions(n *source.Node) map[string]any {
	var out map[string]any
	if n == nil || n.Kind != source.Object {
		return nil
	}
	for i, k := range n.Keys {
		if strings.HasPrefix(k, "x-") {
			if out == nil {
				out = map[string]any{}
			}
			out[k] = n.Vals[i].Any()
		}
	}
	return out
}

// located is a node and its pointer.
type located struct {
	*source.Node
	pointer string
}

func (l located) member(key string) located {
	return located{l.Node.Get(key), l.pointer + "/" + source.EscapeToken(key)}
}

func (l located) item(i int) located {
	return located{l.Node.Vals[i], l.pointer + "/" + strconv.Itoa(i)}
}

// deref follows local references; the bundler has made sure that they arrive.
func (b *builder) deref(l located) located {
	for range source.MaxHops {
		ref := l.Node.Get("$ref").Text()
		if !strings.HasPrefix(ref, "#/") {
			return l
		}
		fragment, err := url.PathUnescape(ref[1:])
		if err != nil {
			return l
		}
		next, ok := b.root.At(fragment)
		if !ok {
			return l
		}
		l = located{next, fragment}
	}
	return l
}

func (b *builder) operations() []Operation {
	b.ids, b.taken = map[string]bool{}, map[string]string{}
	var out []Operation
	paths := located{b.root, ""}.member("paths")
	if paths.Node == nil || paths.Kind != source.Object {
		return nil
	}
	for _, template := range paths.Keys {
		if strings.HasPrefix(template, "x-") {
			continue
		}
		item := paths.member(template)
		if item.Kind != source.Object {
			b.find(item.Node, SeverityError, "path.item", template, "the path item must be an object")
			continue
		}
		for _, key := range item.Keys {
			if source.IsMethod(key) {
				out = b.add(out, strings.ToUpper(key), template, item, item.member(key))
			}
		}
		if more := item.member("additionalOperations"); more.Node != nil && more.Kind == source.Object {
			for _, method := range more.Keys {
				out = b.add(out, method, template, item, more.member(method))
			}
		}
	}
	return out
}

// add builds one operation, or says why it cannot be.
func (b *builder) add(out []Operation, method, template string, item, op located) []Operation {
	if strings.HasPrefix(template, "/") {
		template = b.prefix + template
	}
	where := method + " " + template
	if op.Kind != source.Object {
		b.find(op.Node, SeverityError, "operation.object", where, "the operation must be an object")
		return out
	}
	names, err := templateNames(template)
	if err != nil {
		b.find(item.Node, SeverityError, "path.template", where, "the path %v", err)
		return out
	}
	if method == "TRACE" || method == "CONNECT" {
		b.find(op.Node, SeverityWarning, "operation.method", where, "the method is never served; the operation is left out")
		return out
	}
	if b.broken && b.reaches(located{item.Node.Get("parameters"), ""}, op) {
		b.find(op.Node, SeverityError, "operation.unresolved", where, "the operation cannot be built, because a reference in it leads nowhere")
		return out
	}
	shape := method + " " + templateShape(template)
	if other, ok := b.taken[shape]; ok {
		b.find(op.Node, SeverityError, "path.ambiguous", where, "the path cannot be told apart from %s; the operation is left out", other)
		return out
	}
	b.taken[shape] = template
	o := Operation{
		Method: method, Path: template, Pointer: op.pointer, Line: op.Line,
		Summary: op.Get("summary").Text(), Description: op.Get("description").Text(),
		Deprecated: op.Get("deprecated").Flag(), Extensions: extensions(op.Node),
	}
	o.ID = b.operationID(op, o)
	for _, t := range list(op.Get("tags")) {
		o.Tags = append(o.Tags, t.Text())
	}
	o.Parameters = b.parameters(item, op, names, where)
	o.RequestBody = b.requestBody(op.member("requestBody"))
	o.Responses = b.responses(op.member("responses"))
	o.Security, o.NoAuth = b.security(op)
	return append(out, o)
}

func (b *builder) operationID(op located, o Operation) string {
	where := o.Method + " " + o.Path
	id := op.Get("operationId").Text()
	generated := strings.ToLower(o.Method) + "_" + o.Path
	if id == "" {
		b.find(op.Node, SeverityWarning, "lint.operation_id", where, "the operation has no operationId; it is called %q", generated)
		id = generated
	} else if b.ids[id] {
		b.find(op.Get("operationId"), SeverityWarning, "lint.operation_id_duplicate", where,
			"the operationId %q is taken; the operation is called %q", id, generated)
		id = generated
	}
	b.ids[id] = true
	return id
}

// reaches reports whether anything that was taken out can be reached from the nodes.
func (b *builder) reaches(from ...located) bool {
	seen := map[*source.Node]bool{}
	var visit func(n *source.Node) bool
	visit = func(n *source.Node) bool {
		if n == nil || n.Kind == source.Scalar || seen[n] {
			return false
		}
		seen[n] = true
		if n.Broken {
			return true
		}
		if ref := n.Get("$ref").Text(); strings.HasPrefix(ref, "#/") {
			if t := b.deref(located{n, ""}); t.Node != n && visit(t.Node) {
				return true
			}
		}
		return slices.ContainsFunc(n.Vals, visit)
	}
	return slices.ContainsFunc(from, func(l located) bool { return visit(l.Node) })
}

// templateNames returns the parameter names of a path template.
func templateNames(template string) ([]string, error) {
	if !strings.HasPrefix(template, "/") {
		return nil, fmt.Errorf("must start with a slash")
	}
	var out []string
	rest := template
	for {
		open := strings.IndexByte(rest, '{')
		if open < 0 {
			break
		}
		name, after, ok := strings.Cut(rest[open+1:], "}")
		if !ok || name == "" || strings.ContainsAny(name, "{/") {
			return nil, fmt.Errorf("must pair its braces around names")
		}
		if slices.Contains(out, name) {
			return nil, fmt.Errorf("uses the parameter %q twice", name)
		}
		out = append(out, name)
		rest = after
	}
	if strings.Contains(rest, "}") || strings.ContainsAny(template, "?#") {
		return nil, fmt.Errorf("must pair its braces and hold no query")
	}
	return out, nil
}

// templateShape is the template with its parameters unnamed: two operations with one shape match the same calls.
func templateShape(template string) string {
	var sb strings.Builder
	depth := 0
	for _, c := range template {
		switch {
		case c == '{':
			depth++
			sb.WriteString("{}")
		case c == '}':
			depth--
		case depth == 0:
			sb.WriteRune(c)
		}
	}
	return sb.String()
}

func (b *builder) requestBody(l located) *RequestBody {
	if l.Node == nil {
		return nil
	}
	l = b.deref(l)
	return &RequestBody{
		Required:    l.Get("required").Flag(),
		Description: l.Get("description").Text(),
		Content:     b.content(l.member("content")),
	}
}

func (b *builder) content(l located) []MediaType {
	if l.Node == nil || l.Kind != source.Object {
		return nil
	}
	var out []MediaType
	for _, name := range l.Keys {
		if strings.HasPrefix(name, "x-") {
			continue
		}
		mt := b.deref(l.member(name))
		m := MediaType{Type: name, Examples: b.examples(mt)}
		if mt.Get("schema") != nil {
			m.Pointer = mt.member("schema").pointer
			if len(m.Examples) == 0 {
				m.Examples = b.schemaExample(mt.member("schema"))
			}
		}
		out = append(out, m)
	}
	return out
}

func (b *builder) examples(mt located) []Example {
	if e := mt.Get("example"); e != nil {
		return []Example{{Value: e.JSON()}}
	}
	named := mt.member("examples")
	if named.Node == nil || named.Kind != source.Object {
		return nil
	}
	var out []Example
	for _, name := range named.Keys {
		e := b.deref(named.member(name))
		value := e.Get("value")
		if value == nil {
			value = e.Get("dataValue")
		}
		if value != nil {
			out = append(out, Example{Name: name, Summary: e.Get("summary").Text(), Value: value.JSON()})
		}
	}
	return out
}

// schemaExample is the example that the schema of a body carries itself.
func (b *builder) schemaExample(l located) []Example {
	l = b.deref(l)
	if e := l.Get("example"); e != nil {
		return []Example{{Value: e.JSON()}}
	}
	if e := list(l.Get("examples")); len(e) > 0 {
		return []Example{{Value: e[0].JSON()}}
	}
	return nil
}

func (b *builder) responses(l located) []Response {
	if l.Node == nil || l.Kind != source.Object {
		return nil
	}
	var out []Response
	for _, status := range l.Keys {
		if strings.HasPrefix(status, "x-") {
			continue
		}
		r := b.deref(l.member(status))
		if len(status) == 3 {
			status = status[:1] + strings.ToUpper(status[1:])
		}
		out = append(out, Response{
			Status:      status,
			Description: r.Get("description").Text(),
			Headers:     b.headers(r.member("headers")),
			Content:     b.content(r.member("content")),
		})
	}
	return out
}

func (b *builder) headers(l located) []Header {
	if l.Node == nil || l.Kind != source.Object {
		return nil
	}
	var out []Header
	for _, name := range l.Keys {
		h := b.deref(l.member(name))
		if strings.EqualFold(name, "Content-Type") {
			continue
		}
		out = append(out, Header{Name: name, Description: h.Get("description").Text(),
			Required: h.Get("required").Flag(), Pointer: schemaPointer(h)})
	}
	return out
}

func schemaPointer(l located) string {
	if l.Get("schema") == nil {
		return ""
	}
	return l.member("schema").pointer
}

// security returns the alternatives that hold for an operation: its own, else the document's.
func (b *builder) security(op located) ([][]SecurityRequirement, bool) {
	declared := op.Get("security")
	if declared == nil {
		declared = b.root.Get("security")
	}
	alternatives := list(declared)
	if len(alternatives) == 0 {
		return nil, true
	}
	schemes := located{b.root, ""}.member("components").member("securitySchemes")
	var out [][]SecurityRequirement
	open := false
	for _, a := range alternatives {
		var all []SecurityRequirement
		for i, name := range a.Keys {
			r := SecurityRequirement{Scheme: name}
			if s := b.deref(schemes.member(name)); s.Node != nil {
				r.Type = s.Get("type").Text()
			}
			for _, scope := range list(a.Vals[i]) {
				r.Scopes = append(r.Scopes, scope.Text())
			}
			all = append(all, r)
		}
		if len(all) == 0 {
			open = true
			continue
		}
		out = append(out, all)
	}
	return out, open
}
