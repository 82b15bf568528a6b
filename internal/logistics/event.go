package logistics

import (
	"encoding/json"
	"time"

	"portway/internal/ident"
)

// The canonical event types of this release (their schemas are specs/events/<type>.schema.json).
const (
	OrderReleased     = "order.released.v1"
	OrderAmended      = "order.amended.v1"
	OrderCancelled    = "order.cancelled.v1"
	OrderClaimed      = "order.claimed.v1"
	OrderAcknowledged = "order.acknowledged.v1"
	ShipmentConfirmed = "shipment.confirmed.v1"
	ShipmentMilestone = "shipment.milestone.v1"
	ShipmentDelivered = "shipment.delivered.v1"
)

// Ref is one business number: an order, a bill of lading, a tracking number. Scope says who issued it
// where the scheme alone does not (a SCAC for "pro", an organisation for "bol").
type Ref struct {
	Scheme string `json:"scheme"`
	Value  string `json:"value"`
	Scope  string `json:"scope,omitempty"`
}

// Event is a canonical event as we keep it: a CloudEvents 1.0 event whose data follows its type's schema.
type Event struct {
	ID            string // UUIDv7, ours
	Type          string // for example "shipment.confirmed.v1"
	Source        string // "/partners/{organisation}/{connection or application}"
	Subject       string // "order/SO-1"
	Time          Instant
	Recorded      time.Time
	Org           ident.OrgID // who stated it
	Recipient     ident.OrgID // whom it is for, if it is for one organisation
	Environment   ident.Environment
	CorrelationID string // the business process: our order id
	CausationID   string // the event that led to this one
	PartitionKey  string // deliveries of one key start in order
	Sequence      int64  // per correlation, from 1
	Refs          []Ref
	Data          json.RawMessage
}

// CloudEvent renders the event in CloudEvents 1.0 structured JSON (application/cloudevents+json).
func (e *Event) CloudEvent() ([]byte, error) {
	m := map[string]any{
		"specversion":     "1.0",
		"id":              e.ID,
		"source":          e.Source,
		"type":            e.Type,
		"time":            e.Time.String(),
		"datacontenttype": "application/json",
		"sequence":        sequence(e.Sequence),
		"data":            e.Data,
	}
	for name, value := range map[string]string{"subject": e.Subject, "partnerid": string(e.Org), "correlationid": e.CorrelationID,
		"causationid": e.CausationID, "partitionkey": e.PartitionKey, "environment": string(e.Environment)} {
		if value != "" { // CloudEvents 1.0 section 3.1: an attribute is absent or not empty
			m[name] = value
		}
	}
	return json.Marshal(m)
}

// sequence renders n so that text order is number order (CloudEvents sequence extension).
func sequence(n int64) string {
	const width = 8
	s := Whole(n).String()
	for len(s) < width {
		s = "0" + s
	}
	return s
}
