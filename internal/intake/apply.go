package intake

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"portway/internal/edi"
	"portway/internal/logistics"
	"portway/internal/mapping"
	"portway/internal/problem"
)

// made is what a mapping made of a document: data, or the violations that kept it from it.
type made struct {
	data       map[string]any // JSON values, numbers as json.Number
	violations []problem.Violation
	zone       logistics.ZoneSource // of the first time that was mapped, "" without one
}

// applyJSON maps a call. Violations point into what the caller sent.
func applyJSON(ctx context.Context, c *Call) (made, error) {
	body, err := decode(c.Body)
	if err != nil {
		return made{}, err
	}
	path := make(map[string]any, len(c.Path))
	for name, v := range c.Path {
		path[name] = v
	}
	m, err := apply(ctx, c.Route.Mapping, map[string]any{"path": path, "query": queryOf(c.Params), "body": body}, mapping.Env{Zone: c.Zone})
	for i := range m.violations {
		place(&m.violations[i])
	}
	return m, err
}

// place turns a pointer into a mapping's input ("/body/lines/0", "/path/order") into one of the call's parts.
func place(v *problem.Violation) {
	for _, part := range []string{"body", "path", "query"} {
		rest, ok := strings.CutPrefix(v.Pointer, "/"+part)
		if !ok || (rest != "" && rest[0] != '/') {
			continue
		}
		v.In, v.Pointer = part, rest
		if part != "body" {
			v.Pointer = strings.TrimPrefix(rest, "/")
		}
		return
	}
	v.In = "document" // a place of the event, not of the call
}

// applyX12 maps a set that was read by its guide.
func applyX12(ctx context.Context, m *mapping.Mapping, doc *edi.Document, zone *time.Location) (made, error) {
	return apply(ctx, m, doc.Tree, mapping.Env{Zone: zone, Source: doc.Locate})
}

func apply(ctx context.Context, m *mapping.Mapping, input any, env mapping.Env) (made, error) {
	r, violations := m.Apply(ctx, input, env)
	for i := range violations {
		if violations[i].Keyword == "deadline" {
			// Our load, not the sender's fault: the same document passes later.
			p := problem.New(problem.StoreUnavailable, "the document could not be translated in time; nothing was accepted")
			p.RetryAfter = time.Second
			return made{}, p
		}
	}
	if len(violations) > 0 || r == nil {
		return made{violations: violations}, nil
	}
	return made{data: r.Data, zone: logistics.ZoneSource(r.TimezoneSource)}, nil
}

func number(n int) json.Number { return json.Number(strconv.Itoa(n)) }
