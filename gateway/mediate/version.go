package mediate

import (
	"context"

	"portway/gateway/exchange"
	"portway/internal/catalog"
	"portway/internal/mapping"
	"portway/internal/problem"
	"portway/internal/schema"
)

// versions lists a route and the same operation in the versions it is turned into, oldest first: backends
// speak the words of the last one.
func versions(r *catalog.Route) []*catalog.Route {
	line := []*catalog.Route{r}
	for r.Up != nil || r.Down != nil {
		next := successor(r)
		if next == nil {
			break
		}
		line = append(line, next)
		r = next
	}
	return line
}

// successor is the same operation in the next version of the API, nil if there is none.
func successor(r *catalog.Route) *catalog.Route {
	for i, v := range r.API.Versions {
		if v != r.Version || i+1 == len(r.API.Versions) {
			continue
		}
		for _, next := range r.API.Versions[i+1].Routes {
			if next.Operation.ID == r.Operation.ID {
				return next
			}
		}
	}
	return nil
}

// upgrade puts a body into the words of the last version, checks it against that version's contract at every
// step, and leaves the result in input too. A call without a body stays as it is.
func upgrade(ctx context.Context, line []*catalog.Route, body []byte, input map[string]any) ([]byte, error) {
	for i, r := range line[:len(line)-1] {
		if r.Up == nil || len(body) == 0 {
			continue
		}
		var err error
		if body, err = request(ctx, r.Up, input, nil); err != nil {
			return nil, err
		}
		if s := line[i+1].Bodies["application/json"]; s != nil {
			if violations := s.Validate(body); len(violations) > 0 {
				for v := range violations {
					violations[v].In = "document" // the next version's words, not what the caller sent
				}
				p := problem.New(problem.MappingFailed, "the body does not fit version %q, which serves this version", line[i+1].Version.Name)
				p.Violations = violations
				return nil, p
			}
		}
		if input["body"], err = schema.Decode(body, schema.Limits{}); err != nil {
			return nil, err
		}
	}
	return body, nil
}

// downward lists the mappings of an answer on its way to the caller: the backend's words into ours, then down
// version by version.
func downward(x *exchange.Exchange) []*mapping.Mapping {
	var out []*mapping.Mapping
	if x.Call.Response != nil {
		out = append(out, x.Call.Response)
	}
	line := versions(x.Route)
	for i := len(line) - 2; i >= 0; i-- {
		if line[i].Down != nil {
			out = append(out, line[i].Down)
		}
	}
	return out
}
