package intake

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"portway/internal/eventlog"
	"portway/internal/logistics"
	"portway/internal/problem"
	"portway/internal/schema"
)

const jsonType = "application/json"

// JSON accepts the statement of an API operation whose body was already checked against the contract. It answers
// 202 for a new statement and 200 for one that is known, both with the status URL. Errors: idempotency.*,
// body.malformed, mapping.failed, schema.violation, business_key.conflict, order.*, store.unavailable; nothing is
// stored then.
func (in *Intake) JSON(ctx context.Context, c Call) (Answer, error) {
	refuse := func(err error) (Answer, error) {
		in.refused(&c, "json", c.Route.ID, err)
		return Answer{}, err
	}
	m, err := applyJSON(ctx, &c)
	if err != nil {
		return refuse(err)
	}
	if len(m.violations) > 0 {
		return refuse(violated(problem.MappingFailed, m.violations))
	}
	zone := m.zone
	if zone == "" {
		zone = logistics.ZoneMessage // the contracts take only times with an offset
	}
	st, violations, err := in.statement(c.Route.Event, m.data, zone, origin{call: &c, from: c.AppSlug, source: map[string]any{
		"format": "json", "set": c.Route.ID, "mapping": c.Route.Mapping.Name, "mappingVersion": number(c.Route.Mapping.Version)}})
	if err != nil {
		return refuse(err)
	}
	if len(violations) == 1 && violations[0].Keyword == "fulfiller" {
		violations[0].In = "body"
		return refuse(violated(problem.SchemaViolation, violations))
	}
	if len(violations) > 0 {
		return refuse(violated(problem.MappingFailed, violations))
	}
	order := st.OrderNumber
	a, err := in.accept(ctx, &c, eventlog.Acceptance{Document: in.document(&c, "json", c.Route.ID), Key: c.Key,
		Statements: []eventlog.Statement{st}}, func(r *eventlog.Result) Answer { return stated(r, order) })
	return a, named409(err)
}

// decode reads a body with its numbers as they are written; an absent one is null.
func decode(b []byte) (any, error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, nil
	}
	v, err := schema.Decode(b, schema.Limits{})
	if err != nil {
		return nil, problem.Wrap(problem.BodyMalformed, err, "the body is not strict JSON")
	}
	return v, nil
}

func violated(code problem.Code, list []problem.Violation) *problem.Error {
	detail := "the document does not become a valid event; every place is listed under violations"
	if code == problem.SchemaViolation {
		detail = "the body names something that is not known here; it is listed under violations"
	}
	p := problem.New(code, "%s", detail)
	p.Violations = list
	return p
}

// named409 adds the member that our contracts name to a conflict of business keys.
func named409(err error) error {
	if p := problem.From(err); p != nil && p.Code == problem.BusinessConflict && p.Extra["original"] != nil {
		extra := map[string]any{"duplicate_of": p.Extra["original"]}
		for k, v := range p.Extra {
			extra[k] = v
		}
		own := *p
		own.Extra = extra
		return &own
	}
	return err
}

// stated answers a call that made one statement.
func stated(r *eventlog.Result, order string) Answer {
	o := &r.Outcomes[0]
	id := named(o)
	body := struct {
		EventID     string            `json:"eventId"`
		DocumentID  string            `json:"documentId"`
		Order       string            `json:"order,omitempty"`
		State       string            `json:"state"`
		DuplicateOf string            `json:"duplicate_of,omitempty"`
		Links       map[string]string `json:"links"`
	}{EventID: id, DocumentID: r.DocumentID, Order: order, State: string(eventlog.Accepted), Links: map[string]string{"status": eventPath + id}}
	a := Answer{Status: http.StatusAccepted, ContentType: jsonType, EventID: id, Header: [][2]string{{headerLocation, eventPath + id}}}
	if o.Kind == eventlog.Duplicate {
		a.Status, body.DuplicateOf = http.StatusOK, o.Original
		a.Header = append(a.Header, [2]string{headerDuplicateOf, o.Original})
	}
	a.Body, _ = json.Marshal(body) // strings only: it cannot fail
	return a
}
