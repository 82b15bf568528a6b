package builtin

import (
	"context"
	"time"

	"portway/gateway/exchange"
	"portway/internal/delivery"
	"portway/internal/eventlog"
	"portway/internal/ident"
	"portway/internal/problem"
)

type eventStatus struct {
	EventID     string            `json:"eventId"`
	Type        string            `json:"type"`
	Subject     string            `json:"subject,omitempty"`
	Time        string            `json:"time,omitempty"`
	RecordedAt  string            `json:"recordedAt"`
	Environment ident.Environment `json:"environment"`
	DocumentID  string            `json:"documentId,omitempty"`
	State       string            `json:"state"`
	Deliveries  []deliveryStatus  `json:"deliveries"`
}

type deliveryStatus struct {
	Target      string `json:"target"`
	Kind        string `json:"kind"`
	State       string `json:"state"`
	Attempts    int    `json:"attempts"`
	NextAttempt string `json:"nextAttemptAt,omitempty"`
	DeliveredAt string `json:"deliveredAt,omitempty"`
	Reason      string `json:"reason,omitempty"`
}

// getEvent is the status URL of a statement: how far it is, and where it goes.
func (d Deps) getEvent(ctx context.Context, x *exchange.Exchange) (*exchange.Response, error) {
	org, env, err := caller(x)
	if err != nil {
		return nil, err
	}
	id, err := pathID(x, "eventId")
	if err != nil {
		return nil, err
	}
	e, doc, err := d.Log.Event(ctx, org, id)
	if err != nil {
		return nil, err
	}
	if e.Environment != env { // the other environment's events do not exist here
		return nil, problem.New(problem.NotFound, "no such resource")
	}
	list, err := d.Deliveries.ByEvent(ctx, org, id)
	if err != nil {
		return nil, err
	}
	out := eventStatus{EventID: e.ID, Type: e.Type, Subject: e.Subject, Time: e.Time.String(), RecordedAt: instant(e.Recorded),
		Environment: e.Environment, State: progress(doc, list), Deliveries: make([]deliveryStatus, 0, len(list))}
	if doc != nil && doc.Org == org {
		out.DocumentID = doc.ID
	}
	for i := range list {
		out.Deliveries = append(out.Deliveries, statusOf(&list[i]))
	}
	return answer(out)
}

func statusOf(v *delivery.Delivery) deliveryStatus {
	s := deliveryStatus{Target: v.Route, Kind: "backend", Attempts: v.Attempts, Reason: v.LastReason}
	switch v.State {
	case delivery.Delivered:
		s.State, s.DeliveredAt, s.Reason = "delivered", instant(v.Ended), ""
	case delivery.Dead:
		s.State = "dead"
	case delivery.Leased:
		s.State = "delivering"
	default:
		s.State, s.NextAttempt = "waiting", instant(v.NextAttempt)
	}
	return s
}

// progress sums up how far an event is: the worst of its deliveries counts.
func progress(doc *eventlog.Document, list []delivery.Delivery) string {
	if doc != nil && doc.State == eventlog.DocumentParked {
		return "parked"
	}
	state, done := "accepted", 0
	for i := range list {
		switch v := &list[i]; {
		case v.State == delivery.Dead:
			return "dead"
		case v.State == delivery.Delivered:
			done++
		case v.State == delivery.Leased || v.Attempts > 0:
			state = "delivering"
		}
	}
	if done > 0 && done == len(list) {
		return "delivered"
	}
	if done > 0 {
		return "delivering"
	}
	return state
}

type documentStatus struct {
	DocumentID      string            `json:"documentId"`
	ReceivedAt      string            `json:"receivedAt"`
	Environment     ident.Environment `json:"environment"`
	Format          string            `json:"format"`
	Set             string            `json:"set,omitempty"`
	Size            int               `json:"size"`
	SHA256          string            `json:"sha256,omitempty"`
	State           string            `json:"state"`
	Reason          string            `json:"reason,omitempty"`
	Detail          string            `json:"detail,omitempty"`
	DuplicateOf     string            `json:"duplicate_of,omitempty"`
	Acknowledgement *acknowledgement  `json:"acknowledgement,omitempty"`
	Events          []documentEvent   `json:"events"`
}

type acknowledgement struct {
	Set   string `json:"set"`
	State string `json:"state"`
	Code  string `json:"code"`
}

type documentEvent struct {
	EventID string `json:"eventId"`
	Type    string `json:"type"`
	Subject string `json:"subject,omitempty"`
	State   string `json:"state"`
}

// getDocument answers what became of a document, in whatever format it came. Its cost grows with the number
// of events made from it.
func (d Deps) getDocument(ctx context.Context, x *exchange.Exchange) (*exchange.Response, error) {
	org, env, err := caller(x)
	if err != nil {
		return nil, err
	}
	id, err := pathID(x, "documentId")
	if err != nil {
		return nil, err
	}
	doc, ids, err := d.Log.Document(ctx, org, id)
	if err != nil {
		return nil, err
	}
	if doc.Environment != env {
		return nil, problem.New(problem.NotFound, "no such resource")
	}
	out := documentStatus{DocumentID: doc.ID, ReceivedAt: instant(doc.Received), Environment: doc.Environment,
		Format: doc.Format, Set: doc.Kind, Size: len(doc.Raw), SHA256: doc.SHA256, State: string(doc.State),
		Reason: doc.Reason, Detail: doc.Detail, DuplicateOf: doc.DuplicateOf, Events: make([]documentEvent, 0, len(ids))}
	if doc.AckStatus != "" {
		out.Acknowledgement = &acknowledgement{Set: "997", State: "generated", Code: doc.AckStatus}
	}
	for _, eventID := range ids {
		e, _, err := d.Log.Event(ctx, org, eventID)
		if err != nil {
			return nil, err
		}
		list, err := d.Deliveries.ByEvent(ctx, org, eventID)
		if err != nil {
			return nil, err
		}
		out.Events = append(out.Events, documentEvent{EventID: e.ID, Type: e.Type, Subject: e.Subject, State: progress(doc, list)})
	}
	return answer(out)
}

// instant renders a time in UTC (RFC 3339), "" for none.
func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
