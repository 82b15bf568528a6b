// Package mediate translates inside a request: it chooses the backend, puts the call into the backend's
// words and the answer back into ours, and hands statements to intake.
package mediate

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"portway/gateway/exchange"
	"portway/internal/catalog"
	"portway/internal/problem"
	"portway/internal/schema"
)

// Inbound prepares the call to a backend. Operations that are not proxied pass.
type Inbound struct{}

// Name is "mediate".
func (Inbound) Name() string { return "mediate" }

// Run sets Backend, Call and Upstream, or refuses with backend.unknown or mapping.failed. The address is built
// from the backend's, a template of the catalog and re-encoded parameters, and from nothing else.
func (Inbound) Run(ctx context.Context, x *exchange.Exchange) error {
	if x.Route.Dispatch != catalog.Proxy {
		return nil
	}
	var input map[string]any
	if translated(x) {
		var err error
		if input, err = inputOf(x); err != nil {
			return err
		}
	}
	line := versions(x.Route)
	body, err := upgrade(ctx, line, x.Body, input)
	if err != nil {
		return err
	}
	own, err := choose(x, line[len(line)-1], input)
	if err != nil {
		return err
	}
	x.Note(x.Backend.ID)
	u, err := address(x, own)
	if err != nil {
		return err
	}
	up := &exchange.UpstreamRequest{Method: x.Route.Method, Path: u, ContentType: x.Request.Header.Get("Content-Type"),
		Accept: x.Request.Header.Get("Accept"), Body: body, Input: input}
	if x.Call.Method != "" {
		up.Method = x.Call.Method
	}
	if len(line) > 1 && len(body) > 0 {
		up.ContentType = "application/json"
	}
	if len(body) == 0 && x.Stream == nil {
		up.ContentType = ""
	}
	if x.Call.Request != nil {
		if up.Body, err = request(ctx, x.Call.Request, input, vars(x)); err != nil {
			return err
		}
		up.ContentType = "application/json"
	}
	if len(downward(x)) > 0 {
		up.Accept = "application/json"
	}
	x.Upstream = up
	return nil
}

// translated reports whether the call's content is needed beyond its bytes: to choose the backend, or by a mapping of
// the request or of the answer. Only then is the body decoded.
func translated(x *exchange.Exchange) bool {
	r := x.Route
	if r.Up != nil || r.Down != nil || r.Select == nil || r.Select.Fixed == "" {
		return true
	}
	b := x.Snapshot.Backends[r.Select.Fixed]
	if b == nil {
		return true
	}
	line := versions(r)
	own := operation(b, line[len(line)-1])
	return own == nil || own.Request != nil || own.Response != nil
}

// inputOf is the call as mappings see it: path, query and body.
func inputOf(x *exchange.Exchange) (map[string]any, error) {
	in := map[string]any{"path": map[string]any{}, "query": map[string]any{}, "body": nil}
	for key, value := range x.Params {
		where, name, _ := strings.Cut(key, ".")
		if m, ok := in[where].(map[string]any); ok {
			m[name] = value
		}
	}
	if len(x.Body) > 0 && isJSON(x.MediaType) && !x.Route.Observed() {
		body, err := schema.Decode(x.Body, schema.Limits{})
		if err != nil {
			return nil, problem.Wrap(problem.BodyMalformed, err, "the body is not strict JSON")
		}
		in["body"] = body
	}
	return in, nil
}

func isJSON(media string) bool {
	return media == "application/json" || strings.HasSuffix(media, "+json")
}

// vars is what mappings of the chosen backend see as $vars.
func vars(x *exchange.Exchange) map[string]any {
	out := map[string]any{"carrier": x.Backend.ID}
	for k, v := range x.Backend.Vars {
		out[k] = v
	}
	return out
}

// choose sets Backend and Call for an operation in the words of route r; it returns the backend's own id of the resource when the path named one.
func choose(x *exchange.Exchange, r *catalog.Route, input map[string]any) (own string, err error) {
	id, where := "", ""
	switch s := x.Route.Select; {
	case s == nil:
		return "", problem.New(problem.Internal, "operation %q has no backend", x.Route.ID)
	case s.Fixed != "":
		id, where = s.Fixed, "this operation"
	case s.Body != "":
		id, _ = at(input["body"], s.Body).(string)
		where = "the value at " + s.Body
	default:
		value, err := url.PathUnescape(x.PathParams[s.PathPrefix])
		if err != nil {
			return "", problem.New(problem.PathNotCanonical, "the path has a percent sign that begins no escape")
		}
		id, own, _ = strings.Cut(value, "-")
		where = "the prefix of " + s.PathPrefix
	}
	b := x.Snapshot.Backends[id]
	var call *catalog.BackendOperation
	if b != nil {
		call = operation(b, r)
	}
	if call == nil || b.URLs[x.Environment] == "" || x.Route.Select.PathPrefix != "" && !plainID(own) {
		p := problem.New(problem.BackendUnknown, "no backend serves %s in %s (have %s)", where, x.Environment, strings.Join(serving(x, r), ", "))
		p.Extra = map[string]any{"backends": serving(x, r)}
		return "", p
	}
	x.Backend, x.Call = b, call
	return own, nil
}

// operation is how a backend serves a route: what it says for this version, else for every version, else, if
// the route has no other backend, as called.
func operation(b *catalog.Backend, r *catalog.Route) *catalog.BackendOperation {
	if o := b.Operations[r.Version.Name+"/"+r.Operation.ID]; o != nil {
		return o
	}
	if o := b.Operations[r.Operation.ID]; o != nil {
		return o
	}
	if r.Select.Fixed == b.ID {
		return &catalog.BackendOperation{}
	}
	return nil
}

// serving lists the backends that serve the operation in the caller's environment.
func serving(x *exchange.Exchange, r *catalog.Route) []string {
	out := []string{}
	for id, b := range x.Snapshot.Backends {
		if b.URLs[x.Environment] != "" && operation(b, r) != nil {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// plainID reports whether a backend's id of a resource can stand in a path.
func plainID(s string) bool {
	return s != "" && s != "." && s != ".." && !strings.ContainsAny(s, "/\\")
}

// at follows a JSON Pointer (RFC 6901) through objects; anything else is nil.
func at(v any, pointer string) any {
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[strings.NewReplacer("~1", "/", "~0", "~").Replace(token)]
	}
	return v
}

// address is the path and query of the call below the backend's address.
func address(x *exchange.Exchange, own string) (string, error) {
	parameters, err := decoded(x.PathParams)
	if err != nil {
		return "", err
	}
	values := map[string]string{"id": own}
	for name, value := range parameters {
		values["path."+name] = value
	}
	var path, query string
	if x.Call.Path != "" {
		path, err = expand(x.Call.Path, values, url.PathEscape)
	} else {
		path, err = expand(asCalled(x.Route), values, url.PathEscape)
	}
	if err != nil {
		return "", err
	}
	if x.Call.Query == nil {
		query = normalised(x.Request.Query)
	} else if query, err = templated(x, values); err != nil {
		return "", err
	}
	if query != "" {
		path += "?" + query
	}
	return path, nil
}

// decoded decodes path parameters.
func decoded(raw map[string]string) (map[string]string, error) {
	out := make(map[string]string, len(raw))
	for name, r := range raw {
		value, err := url.PathUnescape(r)
		if err != nil {
			return nil, problem.New(problem.PathNotCanonical, "the path has a percent sign that begins no escape")
		}
		out[name] = value
	}
	return out, nil
}

// asCalled is the route's template below its version's base, with its parameters as "{path.name}".
func asCalled(r *catalog.Route) string {
	return strings.ReplaceAll(strings.TrimPrefix(r.Template, r.Version.Base), "{", "{path.")
}

// templated builds the query a backend operation declares. A parameter whose value was not sent is left out.
func templated(x *exchange.Exchange, values map[string]string) (string, error) {
	for key, v := range x.Params {
		if strings.HasPrefix(key, "query.") {
			switch v.(type) {
			case string, json.Number, bool:
				values[key] = fmt.Sprint(v)
			}
		}
	}
	out := url.Values{}
	for name, template := range x.Call.Query {
		if strings.HasPrefix(template, "{query.") && strings.HasSuffix(template, "}") {
			if _, sent := values[template[1:len(template)-1]]; !sent {
				continue
			}
		}
		value, err := expand(template, values, func(s string) string { return s })
		if err != nil {
			return "", err
		}
		out.Set(name, value)
	}
	return out.Encode(), nil
}

// expand fills in a template over "{name}"; every value goes through escape.
func expand(template string, values map[string]string, escape func(string) string) (string, error) {
	var sb strings.Builder
	for rest := template; ; {
		before, after, ok := strings.Cut(rest, "{")
		sb.WriteString(before)
		if !ok {
			return sb.String(), nil
		}
		name, tail, ok := strings.Cut(after, "}")
		value, known := values[name]
		if !ok || !known {
			return "", problem.Wrap(problem.Internal, fmt.Errorf("template %q has no value for %q", template, name), "the backend's address cannot be built")
		}
		sb.WriteString(escape(value))
		rest = tail
	}
}

// normalised re-encodes a query byte by byte without changing what it says: what need not be escaped is
// not, and everything that is not plainly part of a query is.
func normalised(query string) string {
	const hex = "0123456789ABCDEF"
	var sb strings.Builder
	for i := 0; i < len(query); i++ {
		c := query[i]
		if c == '%' && i+2 < len(query) {
			if b, err := url.PathUnescape(query[i : i+3]); err == nil {
				i += 2
				if unreserved(b[0]) {
					sb.WriteByte(b[0])
				} else {
					sb.Write([]byte{'%', hex[b[0]>>4], hex[b[0]&15]})
				}
				continue
			}
		}
		if unreserved(c) || strings.IndexByte("&=+,:@/?!$'()*|", c) >= 0 {
			sb.WriteByte(c)
			continue
		}
		sb.Write([]byte{'%', hex[c>>4], hex[c&15]})
	}
	return sb.String()
}

// unreserved reports whether c never needs escaping (RFC 3986 section 2.3).
func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
}
