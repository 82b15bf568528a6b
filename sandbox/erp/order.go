package erp

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"portway/internal/logistics"
)

// quantity is a decimal string with its unit code (UN/ECE Recommendation 20 or X12 element 355).
type quantity struct {
	Value logistics.Decimal `json:"value"`
	Unit  string            `json:"unit"`
}

// address is where goods go.
type address struct {
	Name       string   `json:"name,omitempty"`
	Street     []string `json:"street,omitempty"`
	City       string   `json:"city,omitempty"`
	Region     string   `json:"region,omitempty"`
	PostalCode string   `json:"postalCode,omitempty"`
	Country    string   `json:"country,omitempty"`
}

// lineNo is an order line number; systems write it as a JSON number or string, and it is given back as it came.
type lineNo struct {
	text   string
	number bool
}

// MarshalJSON writes the number in the form it was read in.
func (n lineNo) MarshalJSON() ([]byte, error) {
	if n.number {
		return []byte(n.text), nil
	}
	return json.Marshal(n.text)
}

// UnmarshalJSON accepts a JSON string or a whole JSON number.
func (n *lineNo) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		*n = lineNo{}
		return json.Unmarshal(data, &n.text)
	}
	if string(data) == "null" {
		return nil
	}
	if _, err := strconv.ParseUint(string(data), 10, 32); err != nil {
		return errors.New("lineNo must be a string or a whole number")
	}
	*n = lineNo{text: string(data), number: true}
	return nil
}

// intentLine is one line of what the ERP wants shipped.
type intentLine struct {
	LineNo      lineNo   `json:"lineNo"`
	SKU         string   `json:"sku"`
	GTIN        string   `json:"gtin,omitempty"`
	Description string   `json:"description,omitempty"`
	Quantity    quantity `json:"quantity"`
}

// intent is what the ERP owns of an order: the body of POST /sales-orders, and with a version that of a release.
type intent struct {
	Order         string       `json:"order"`
	PurchaseOrder string       `json:"purchaseOrder,omitempty"`
	Fulfiller     string       `json:"fulfiller"`
	Site          string       `json:"site"`
	Brand         string       `json:"brand,omitempty"`
	BusinessUnit  string       `json:"businessUnit,omitempty"`
	Priority      string       `json:"priority,omitempty"`
	ServiceLevel  string       `json:"serviceLevel,omitempty"`
	ShipNotBefore string       `json:"shipNotBefore,omitempty"`
	ShipNotAfter  string       `json:"shipNotAfter,omitempty"`
	DeliverBy     string       `json:"deliverBy,omitempty"`
	ShipTo        *address     `json:"shipTo"`
	Lines         []intentLine `json:"lines"`
}

// check returns every problem of the intent against the item master.
func (in intent) check(items catalogue) []string {
	var bad []string
	need := func(name, value string) {
		switch {
		case value == "":
			bad = append(bad, name+": is required")
		case len(value) > 64:
			bad = append(bad, name+": must have at most 64 characters")
		}
	}
	need("order", in.Order)
	need("fulfiller", in.Fulfiller)
	need("site", in.Site)
	if in.Priority != "" && in.Priority != "normal" && in.Priority != "rush" {
		bad = append(bad, "priority: must be normal or rush")
	}
	for _, d := range [][2]string{{"shipNotBefore", in.ShipNotBefore}, {"shipNotAfter", in.ShipNotAfter}, {"deliverBy", in.DeliverBy}} {
		if d[1] != "" && !isDate(d[1]) {
			bad = append(bad, d[0]+": must be a date or an RFC 3339 time")
		}
	}
	if in.ShipTo == nil {
		bad = append(bad, "shipTo: is required")
	}
	if len(in.Lines) == 0 {
		bad = append(bad, "lines: at least one line is required")
	}
	seen := map[string]bool{}
	for i, l := range in.Lines {
		at := fmt.Sprintf("lines/%d/", i)
		if l.LineNo.text == "" || seen[l.LineNo.text] {
			bad = append(bad, at+"lineNo: is required and must be unique")
		}
		seen[l.LineNo.text] = true
		if l.Quantity.Value.Sign() <= 0 {
			bad = append(bad, at+"quantity/value: must be greater than 0")
		}
		if l.Quantity.Unit == "" {
			bad = append(bad, at+"quantity/unit: is required")
		}
		if !items.knows(l.SKU) {
			bad = append(bad, at+"sku: is not in the item master")
		} else if !items.hasUnit(l.SKU, l.Quantity.Unit) {
			bad = append(bad, at+"quantity/unit: is not a unit of this item")
		}
	}
	return bad
}

func isDate(s string) bool { return !instant(s).IsZero() }

// instant reads a date or an RFC 3339 time; zero if s is neither.
func instant(s string) time.Time {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}
	}
	return t
}

// The states of a sales order in the ERP.
const (
	stateOpen      = "open"
	stateReleased  = "released"
	stateAcked     = "acknowledged"
	statePartial   = "partially_shipped"
	stateShipped   = "shipped"
	stateDelivered = "delivered"
	stateCancelled = "cancelled"
)

// balance is what happened to one line, in the line's unit; ordered is in the intent.
type balance struct {
	Shipped     logistics.Decimal `json:"shipped"`
	Backordered logistics.Decimal `json:"backordered"`
	Cancelled   logistics.Decimal `json:"cancelled"`
}

// open is what is still expected: ordered + over = shipped + backordered + cancelled + open.
func (b balance) open(ordered logistics.Decimal) logistics.Decimal {
	return logistics.Max(ordered.Sub(b.Shipped).Sub(b.Backordered).Sub(b.Cancelled), logistics.Whole(0))
}

// carrierInfo is who carries a shipment.
type carrierInfo struct {
	SCAC      string `json:"scac,omitempty"`
	Name      string `json:"name,omitempty"`
	Service   string `json:"service,omitempty"`
	ProNumber string `json:"proNumber,omitempty"`
	BOL       string `json:"bol,omitempty"`
}

// shipmentLine is what one shipment posted to one order line, in the line's unit.
type shipmentLine struct {
	LineNo  lineNo            `json:"lineNo"`
	SKU     string            `json:"sku"`
	Shipped logistics.Decimal `json:"shipped"`
	Unit    string            `json:"unit"`
}

// shipment is one goods issue that was posted.
type shipment struct {
	Shipment        string         `json:"shipment"`
	ShippedAt       string         `json:"shippedAt"`
	Mode            string         `json:"mode"`
	Final           bool           `json:"final"`
	Carrier         *carrierInfo   `json:"carrier,omitempty"`
	TrackingNumbers []string       `json:"trackingNumbers,omitempty"`
	Lines           []shipmentLine `json:"lines"`
	DeliveredAt     string         `json:"deliveredAt,omitempty"`
	EventID         string         `json:"eventId"`
	CorrelationID   string         `json:"correlationId,omitempty"`
	PostedAt        time.Time      `json:"postedAt"`
}

// booked is a shipment as it is stored, with what decides whether a later statement says the same.
type booked struct {
	Shipment    shipment `json:"shipment"`
	Fingerprint string   `json:"fingerprint"`
}

// milestone is one transport status of an order.
type milestone struct {
	Milestone      string         `json:"milestone"`
	Classifier     string         `json:"classifier"`
	OccurredAt     string         `json:"occurredAt"`
	Shipment       string         `json:"shipment,omitempty"`
	TrackingNumber string         `json:"trackingNumber,omitempty"`
	Location       map[string]any `json:"location,omitempty"`
}

// delivery is one proof that goods arrived. It may come before its confirmation.
type delivery struct {
	Shipment       string `json:"shipment,omitempty"`
	TrackingNumber string `json:"trackingNumber,omitempty"`
	DeliveredAt    string `json:"deliveredAt"`
	Condition      string `json:"condition"`
}

// acknowledgement is the fulfiller's answer to a release.
type acknowledgement struct {
	Version          int    `json:"version"`
	Result           string `json:"result"`
	PromisedShipDate string `json:"promisedShipDate,omitempty"`
	Reason           string `json:"reason,omitempty"`
}

// attempt is one call of the gateway about an order. Status 0 means that no answer was seen.
type attempt struct {
	Call      string    `json:"call"`
	Version   int       `json:"version"`
	At        time.Time `json:"at"`
	Status    int       `json:"status"`
	RequestID string    `json:"requestId,omitempty"`
}

// order is one sales order: intent and history.
type order struct {
	Intent          intent           `json:"intent"`
	Version         int              `json:"version"`
	State           string           `json:"state"`
	Balance         []balance        `json:"balance"`
	Shipments       []booked         `json:"shipments,omitempty"`
	Deliveries      []delivery       `json:"deliveries,omitempty"`
	Milestones      []milestone      `json:"milestones,omitempty"`
	Claim           string           `json:"claim,omitempty"`
	Acknowledgement *acknowledgement `json:"acknowledgement,omitempty"`
	Attempts        []attempt        `json:"attempts,omitempty"`
	Postings        int              `json:"postings"`
	CancelReason    string           `json:"cancelReason,omitempty"`
}

// lineView is one line of GET /sales-orders/{order}.
type lineView struct {
	LineNo      lineNo            `json:"lineNo"`
	SKU         string            `json:"sku"`
	Description string            `json:"description,omitempty"`
	Ordered     logistics.Decimal `json:"ordered"`
	Shipped     logistics.Decimal `json:"shipped"`
	Backordered logistics.Decimal `json:"backordered"`
	Cancelled   logistics.Decimal `json:"cancelled"`
	Open        logistics.Decimal `json:"open"`
	Unit        string            `json:"unit"`
}

// orderView is the answer to GET /sales-orders/{order}.
type orderView struct {
	Order           string           `json:"order"`
	Version         int              `json:"version"`
	State           string           `json:"state"`
	PurchaseOrder   string           `json:"purchaseOrder,omitempty"`
	Fulfiller       string           `json:"fulfiller"`
	Site            string           `json:"site"`
	ShipTo          *address         `json:"shipTo"`
	Lines           []lineView       `json:"lines"`
	Shipments       []shipment       `json:"shipments"`
	Postings        int              `json:"postings"`
	Milestones      []milestone      `json:"milestones"`
	Deliveries      []delivery       `json:"deliveries"`
	Claim           string           `json:"claim,omitempty"`
	Acknowledgement *acknowledgement `json:"acknowledgement,omitempty"`
	CancelReason    string           `json:"cancelReason,omitempty"`
	GatewayCalls    []attempt        `json:"gatewayCalls"`
}

// view copies what callers may see; stored slices only ever grow, so sharing their elements is safe.
func (o *order) view() orderView {
	v := orderView{
		Order: o.Intent.Order, Version: o.Version, State: o.State, PurchaseOrder: o.Intent.PurchaseOrder,
		Fulfiller: o.Intent.Fulfiller, Site: o.Intent.Site, ShipTo: o.Intent.ShipTo, Postings: o.Postings,
		Lines: []lineView{}, Shipments: []shipment{}, Claim: o.Claim, CancelReason: o.CancelReason,
		Milestones:   append([]milestone{}, o.Milestones...),
		Deliveries:   append([]delivery{}, o.Deliveries...),
		GatewayCalls: append([]attempt{}, o.Attempts...),
	}
	if o.Acknowledgement != nil {
		ack := *o.Acknowledgement
		v.Acknowledgement = &ack
	}
	for i, l := range o.Intent.Lines {
		b := o.Balance[i]
		v.Lines = append(v.Lines, lineView{
			LineNo: l.LineNo, SKU: l.SKU, Description: l.Description, Ordered: l.Quantity.Value, Unit: l.Quantity.Unit,
			Shipped: b.Shipped, Backordered: b.Backordered, Cancelled: b.Cancelled, Open: b.open(l.Quantity.Value),
		})
	}
	for _, s := range o.Shipments {
		s.Shipment.DeliveredAt = o.deliveredAt(s.Shipment)
		v.Shipments = append(v.Shipments, s.Shipment)
	}
	return v
}
