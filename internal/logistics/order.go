package logistics

import (
	"encoding/json"
	"time"

	"portway/internal/ident"
	"portway/internal/problem"
)

// OrderState is where an order stands with us.
type OrderState string

// The order states. The main line is released → claimed → acknowledged → partially_shipped → shipped → delivered.
const (
	StateReleased         OrderState = "released"
	StateClaimed          OrderState = "claimed"
	StateAcknowledged     OrderState = "acknowledged"
	StateRejected         OrderState = "rejected"
	StatePartiallyShipped OrderState = "partially_shipped"
	StateShipped          OrderState = "shipped"
	StateDelivered        OrderState = "delivered"
	StateCancelled        OrderState = "cancelled"
)

// Line is one order line with its ledger: ordered + over = shipped + backordered + cancelled + open, in Unit.
type Line struct {
	LineNo      int     `json:"lineNo"`
	SKU         string  `json:"sku"`
	GTIN        string  `json:"gtin,omitempty"`
	Description string  `json:"description,omitempty"`
	Unit        string  `json:"unit"`
	Ordered     Decimal `json:"ordered"`
	Shipped     Decimal `json:"shipped"`
	Backordered Decimal `json:"backordered"`
	Cancelled   Decimal `json:"cancelled"`
	Open        Decimal `json:"open"`
	Over        Decimal `json:"over"`
}

// Balanced reports whether the line's ledger adds up and nothing in it is below zero or beyond what we can write.
func (l *Line) Balanced() bool {
	for _, d := range []Decimal{l.Ordered, l.Shipped, l.Backordered, l.Cancelled, l.Open, l.Over} {
		if _, err := ParseDecimal(d.String()); err != nil || d.Sign() < 0 {
			return false
		}
	}
	have := l.Ordered.Add(l.Over)
	return have.Cmp(l.Shipped.Add(l.Backordered).Add(l.Cancelled).Add(l.Open)) == 0
}

// Shipment is what one confirmation said about an order.
type Shipment struct {
	ID        string `json:"shipment"`
	EventID   string `json:"eventId"`
	ShippedAt string `json:"shippedAt"`
	SCAC      string `json:"scac,omitempty"`
	Final     bool   `json:"final"`
	// DeliveredAt is when it arrived, "" until that is known.
	DeliveredAt string `json:"deliveredAt,omitempty"`
}

// Arrival is a delivery that was told before the shipment it belongs to was confirmed.
type Arrival struct {
	Shipment string `json:"shipment,omitempty"`
	At       string `json:"at"`
}

// Milestone is the last thing known of a shipment under way.
type Milestone struct {
	Code       string `json:"milestone"`
	Classifier string `json:"classifier"`
	At         string `json:"at"`
}

// Order is our projection of one order: the log's events applied in order. It is kept as JSON beside its
// key columns; the event log writes it in the same commit as the event that changes it.
type Order struct {
	ID          string            `json:"id"`
	Number      string            `json:"order"`
	Owner       ident.OrgID       `json:"owner"`
	Fulfiller   ident.OrgID       `json:"fulfiller"`
	Environment ident.Environment `json:"environment"`
	Version     int               `json:"version"`
	State       OrderState        `json:"state"`
	Claim       string            `json:"claim,omitempty"`
	ClaimedTill string            `json:"claimedUntil,omitempty"`
	PromisedFor string            `json:"promisedShipDate,omitempty"`
	InExecution bool              `json:"inExecution"`
	Lines       []Line            `json:"lines"`
	Shipments   []Shipment        `json:"shipments"`
	Milestones  []Milestone       `json:"milestones"`
	Arrivals    []Arrival         `json:"arrivals,omitempty"`
	DeliveredAt string            `json:"deliveredAt,omitempty"`
	// Body is the released or last amended statement, as the 3PL reads it in the feed.
	Body     json.RawMessage `json:"body"`
	Sequence int64           `json:"sequence"`
	Updated  time.Time       `json:"updatedAt"`
}

// statement is the part of an order event's data that changes the projection.
type statement struct {
	Order            string                `json:"order"`
	Version          int                   `json:"version"`
	Claim            string                `json:"claim"`
	ClaimedUntil     string                `json:"claimedUntil"`
	Result           string                `json:"result"`
	PromisedShipDate string                `json:"promisedShipDate"`
	Shipment         string                `json:"shipment"`
	ShippedAt        string                `json:"shippedAt"`
	Mode             string                `json:"mode"`
	Final            bool                  `json:"final"`
	Milestone        string                `json:"milestone"`
	Classifier       string                `json:"classifier"`
	OccurredAt       string                `json:"occurredAt"`
	DeliveredAt      string                `json:"deliveredAt"`
	Carrier          struct{ SCAC string } `json:"carrier"`
	Lines            []statementLine       `json:"lines"`
}

type statementLine struct {
	LineNo      int       `json:"lineNo"`
	SKU         string    `json:"sku"`
	GTIN        string    `json:"gtin"`
	Description string    `json:"description"`
	Quantity    *Quantity `json:"quantity"`
	Shipped     *Quantity `json:"shipped"`
	Backordered *Quantity `json:"backordered"`
	Status      string    `json:"status"`
}

// Opens reports whether events of this type begin an order.
func Opens(eventType string) bool { return eventType == OrderReleased }

// Open makes the projection of a new order from its release. fulfiller is the organisation that ships it.
func Open(e *Event, fulfiller ident.OrgID) (*Order, error) {
	var s statement
	if err := json.Unmarshal(e.Data, &s); err != nil {
		return nil, err
	}
	o := &Order{
		ID: e.CorrelationID, Number: s.Order, Owner: e.Org, Fulfiller: fulfiller, Environment: e.Environment,
		Version: s.Version, State: StateReleased, Shipments: []Shipment{}, Milestones: []Milestone{},
		Body: e.Data, Updated: e.Recorded, Sequence: 1,
	}
	if err := o.setLines(s.Lines); err != nil {
		return nil, err
	}
	return o, nil
}

func (o *Order) setLines(lines []statementLine) error {
	o.Lines = make([]Line, 0, len(lines))
	seen := map[int]bool{}
	for _, l := range lines {
		if l.Quantity == nil || l.Quantity.Value.Sign() < 0 || seen[l.LineNo] {
			return problem.New(problem.OrderLedger, "every line needs its own lineNo and a quantity that is not below zero")
		}
		seen[l.LineNo] = true
		o.Lines = append(o.Lines, Line{LineNo: l.LineNo, SKU: l.SKU, GTIN: l.GTIN, Description: l.Description,
			Unit: l.Quantity.Unit, Ordered: l.Quantity.Value, Open: l.Quantity.Value})
	}
	return nil
}

// Apply changes the order by one event, or refuses it with an order.* problem that carries the state;
// a refused event leaves the order as it was, because it works on a copy.
func (o *Order) Apply(e *Event) (*Order, error) {
	var s statement
	if err := json.Unmarshal(e.Data, &s); err != nil {
		return nil, err
	}
	next := *o
	next.Lines = append([]Line(nil), o.Lines...)
	next.Shipments = append([]Shipment(nil), o.Shipments...)
	next.Milestones = append([]Milestone(nil), o.Milestones...)
	apply, known := transitions[e.Type]
	if !known {
		return nil, problem.New(problem.Internal, "event type %q does not apply to orders", e.Type)
	}
	if err := apply(&next, &s, e); err != nil {
		return nil, err
	}
	for i := range next.Lines {
		if !next.Lines[i].Balanced() {
			return nil, next.refuse(problem.OrderLedger, "the ledger of a line would not add up")
		}
	}
	next.Sequence++
	next.Updated = e.Recorded
	return &next, nil
}

// refuse is a problem that tells the caller where the order stands.
func (o *Order) refuse(code problem.Code, format string, args ...any) *problem.Error {
	p := problem.New(code, format, args...)
	p.Extra = map[string]any{"state": string(o.State), "version": o.Version}
	return p
}
