package intake

import (
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"portway/internal/catalog"
	"portway/internal/eventlog"
	"portway/internal/ident"
	"portway/internal/logistics"
	"portway/internal/problem"
)

// origin is where a statement comes from: the call, and what goes into data.source.
type origin struct {
	call   *Call
	from   string // name of the connection or application
	source map[string]any
}

// statement makes a canonical event of mapped data. Violations say why the data is none; the statement then holds
// what there is of it, without a business key, fit only to be parked.
func (in *Intake) statement(t *catalog.EventType, data map[string]any, zone logistics.ZoneSource, o origin) (eventlog.Statement, []problem.Violation, error) {
	now := in.deps.Clock.Now().UTC()
	numbers := refs(t, data, o.call.OrgSlug)
	full := make(map[string]any, len(data)+4)
	for k, v := range data {
		full[k] = v
	}
	full["refs"] = asJSON(numbers)
	full["recordedAt"] = now.Format(time.RFC3339Nano)
	full["timezoneSource"] = string(zone)
	full["source"] = o.source
	violations := t.Schema.ValidateValue(full, "document")

	key := text(data, t.EntityKey)
	e := logistics.Event{ID: ident.NewID(in.deps.Clock), Type: t.Name, Subject: t.Entity + "/" + key, Recorded: now,
		Source: "/partners/" + url.PathEscape(o.call.OrgSlug) + "/" + url.PathEscape(o.from),
		Org:    o.call.Org, Environment: o.call.Environment, PartitionKey: t.Entity + "/" + key, Refs: numbers}
	e.Time = logistics.InstantOf(now, zone)
	if t.Time != "" {
		if at, err := logistics.ParseInstant(text(data, t.Time), zone); err == nil {
			e.Time = at
		} else if len(violations) == 0 {
			violations = append(violations, problem.Violation{In: "document", Pointer: t.Time, Keyword: "format",
				Message: "must be an RFC 3339 time with an offset"})
		}
	}
	var err error
	if e.Data, err = json.Marshal(full); err != nil {
		return eventlog.Statement{}, nil, err
	}
	st := eventlog.Statement{Event: e}
	if t.Entity == "order" {
		st.OrderNumber = key
	}
	if slug := text(data, "/fulfiller"); slug != "" {
		org, known := in.deps.Directory.OrgBySlug(slug)
		if !known {
			violations = append(violations, problem.Violation{In: "document", Pointer: "/fulfiller", Keyword: "fulfiller",
				Message: "must be the short name of an organisation known here"})
		}
		st.Fulfiller = org
	}
	if len(violations) > 0 {
		return st, violations, nil
	}
	st.BusinessKey = businessKey(t, data)
	if st.Fingerprint, err = fingerprint(t, data); err != nil {
		return eventlog.Statement{}, nil, err
	}
	for _, r := range o.call.Snapshot.Subscribers(t.Name, o.call.Environment) {
		st.Subscribers = append(st.Subscribers, eventlog.Subscriber{Route: r.ID, Lane: t.Lane})
	}
	return st, nil, nil
}

// asJSON is the refs as a JSON value, so that the schema can be checked on the whole data.
func asJSON(numbers []logistics.Ref) []any {
	out := make([]any, len(numbers))
	for i, r := range numbers {
		m := map[string]any{"scheme": r.Scheme, "value": r.Value}
		if r.Scope != "" {
			m["scope"] = r.Scope
		}
		out[i] = m
	}
	return out
}

// queryOf picks the query parameters out of the decoded ones, which are named "in.name".
func queryOf(params map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range params {
		if name, ok := strings.CutPrefix(k, "query."); ok {
			out[name] = v
		}
	}
	return out
}
