// Package eventdb keeps the event log, the order projection and the outbox in SQL: eventlog.Store and delivery.Store.
package eventdb

import (
	"encoding/json"
	"time"

	"portway/internal/delivery"
	"portway/internal/eventlog"
	"portway/internal/ident"
	"portway/internal/logistics"
	"portway/internal/store"
)

// Store implements eventlog.Store and delivery.Store on either database.
type Store struct {
	db    *store.DB
	clock ident.Clock
	wake  func()
}

var (
	_ eventlog.Store = (*Store)(nil)
	_ delivery.Store = (*Store)(nil)
)

// New returns the event log in db. wake is called after a commit that left deliveries to make; it must not block.
// It may be nil.
func New(db *store.DB, clock ident.Clock, wake func()) *Store {
	if wake == nil {
		wake = func() {}
	}
	return &Store{db: db, clock: clock, wake: wake}
}

// The states of a stored event.
const (
	eventAccepted = "accepted"
	eventConflict = "conflict"
	eventParked   = "parked"
)

// eventColumns are read into an eventRow; queries name the table e.
const eventColumns = `e.position, e.id, e.type, e.source, e.subject, e.time, e.time_offset, e.time_zone, e.recorded, e.org_id,
	e.recipient_id, e.environment, e.correlation_id, e.causation_id, e.partition_key, e.sequence, e.refs, e.data, e.document_id`

type eventRow struct {
	Position    int64             `db:"position"`
	ID          string            `db:"id"`
	Type        string            `db:"type"`
	Source      string            `db:"source"`
	Subject     string            `db:"subject"`
	Time        int64             `db:"time"`
	Offset      int               `db:"time_offset"`
	Zone        string            `db:"time_zone"`
	Recorded    int64             `db:"recorded"`
	Org         ident.OrgID       `db:"org_id"`
	Recipient   ident.OrgID       `db:"recipient_id"`
	Environment ident.Environment `db:"environment"`
	Correlation string            `db:"correlation_id"`
	Causation   string            `db:"causation_id"`
	Partition   string            `db:"partition_key"`
	Sequence    int64             `db:"sequence"`
	Refs        string            `db:"refs"`
	Data        string            `db:"data"`
	Document    string            `db:"document_id"`
}

func (r *eventRow) event() (logistics.Event, error) {
	e := logistics.Event{ID: r.ID, Type: r.Type, Source: r.Source, Subject: r.Subject,
		Time:     logistics.Instant{Micros: r.Time, Offset: r.Offset, Zone: logistics.ZoneSource(r.Zone)},
		Recorded: time.UnixMicro(r.Recorded).UTC(), Org: r.Org, Recipient: r.Recipient, Environment: r.Environment,
		CorrelationID: r.Correlation, CausationID: r.Causation, PartitionKey: r.Partition, Sequence: r.Sequence,
		Data: json.RawMessage(r.Data)}
	err := json.Unmarshal([]byte(r.Refs), &e.Refs)
	return e, err
}

// documentColumns are read into a documentRow.
const documentColumns = `id, org_id, environment, application_id, connection, format, kind, content_type, raw, sha256, request_id,
	received, state, reason, detail, duplicate_of, ack, ack_status`

type documentRow struct {
	ID          string            `db:"id"`
	Org         ident.OrgID       `db:"org_id"`
	Environment ident.Environment `db:"environment"`
	Application string            `db:"application_id"`
	Connection  string            `db:"connection"`
	Format      string            `db:"format"`
	Kind        string            `db:"kind"`
	ContentType string            `db:"content_type"`
	Raw         []byte            `db:"raw"`
	SHA256      string            `db:"sha256"`
	RequestID   string            `db:"request_id"`
	Received    int64             `db:"received"`
	State       string            `db:"state"`
	Reason      string            `db:"reason"`
	Detail      string            `db:"detail"`
	DuplicateOf string            `db:"duplicate_of"`
	Ack         []byte            `db:"ack"`
	AckStatus   string            `db:"ack_status"`
}

func (r *documentRow) document() *eventlog.Document {
	if len(r.Ack) == 0 {
		r.Ack = nil // none was sent; drivers differ in what they make of an empty value
	}
	return &eventlog.Document{ID: r.ID, Org: r.Org, Environment: r.Environment, Application: r.Application, Connection: r.Connection,
		Format: r.Format, Kind: r.Kind, ContentType: r.ContentType, Raw: r.Raw, SHA256: r.SHA256, RequestID: r.RequestID,
		Received: time.UnixMicro(r.Received).UTC(), State: eventlog.DocumentState(r.State), Reason: r.Reason, Detail: r.Detail,
		DuplicateOf: r.DuplicateOf, Ack: r.Ack, AckStatus: r.AckStatus}
}

func decodeOrder(projection string) (*logistics.Order, error) {
	var o logistics.Order
	if err := json.Unmarshal([]byte(projection), &o); err != nil {
		return nil, err
	}
	return &o, nil
}
