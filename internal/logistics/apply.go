package logistics

import (
	"strconv"

	"portway/internal/problem"
)

// transitions is what each event type does to an order.
var transitions = map[string]func(o *Order, s *statement, e *Event) error{
	OrderAmended:      amend,
	OrderCancelled:    cancel,
	OrderClaimed:      claim,
	OrderAcknowledged: acknowledge,
	ShipmentConfirmed: confirm,
	ShipmentMilestone: milestone,
	ShipmentDelivered: deliver,
}

// changeable refuses owner's changes once goods are being moved (RULES 19).
func (o *Order) changeable() error {
	if o.InExecution {
		return o.refuse(problem.OrderTooLate, "the order is already being shipped")
	}
	switch o.State {
	case StateReleased, StateClaimed, StateAcknowledged, StateRejected:
		return nil
	case StateCancelled:
		return o.refuse(problem.OrderState, "the order is cancelled")
	}
	return o.refuse(problem.OrderTooLate, "the order is already %s", o.State)
}

func (o *Order) sameVersion(v int) error {
	if v != o.Version {
		return o.refuse(problem.OrderVersion, "the order is at version %d", o.Version)
	}
	return nil
}

func amend(o *Order, s *statement, e *Event) error {
	if err := o.changeable(); err != nil {
		return err
	}
	if s.Version != o.Version+1 {
		return o.refuse(problem.OrderVersion, "the next version of the order is %d", o.Version+1)
	}
	if err := o.setLines(s.Lines); err != nil {
		return err
	}
	o.Version, o.Body = s.Version, e.Data
	o.State, o.Claim, o.ClaimedTill, o.PromisedFor = StateReleased, "", "", ""
	return nil
}

func cancel(o *Order, s *statement, _ *Event) error {
	if err := o.changeable(); err != nil {
		return err
	}
	if err := o.sameVersion(s.Version); err != nil {
		return err
	}
	whole := len(s.Lines) == 0
	for i := range o.Lines {
		l := &o.Lines[i]
		if whole || mentions(s.Lines, l.LineNo) {
			l.Cancelled = l.Cancelled.Add(l.Open)
			l.Open = Decimal{}
		}
	}
	if o.openLines() == 0 {
		o.State = StateCancelled
	}
	return nil
}

func mentions(lines []statementLine, no int) bool {
	for _, l := range lines {
		if l.LineNo == no {
			return true
		}
	}
	return false
}

// openLines counts lines that still await shipment, backorders included.
func (o *Order) openLines() int {
	n := 0
	for i := range o.Lines {
		if o.Lines[i].Open.Sign() > 0 || o.Lines[i].Backordered.Sign() > 0 {
			n++
		}
	}
	return n
}

func claim(o *Order, s *statement, _ *Event) error {
	if err := o.sameVersion(s.Version); err != nil {
		return err
	}
	if o.State != StateReleased {
		return o.refuse(problem.OrderState, "only a released order can be claimed")
	}
	o.State, o.Claim, o.ClaimedTill = StateClaimed, s.Claim, s.ClaimedUntil
	return nil
}

func acknowledge(o *Order, s *statement, _ *Event) error {
	if err := o.sameVersion(s.Version); err != nil {
		return err
	}
	if o.State != StateReleased && o.State != StateClaimed {
		return o.refuse(problem.OrderState, "only a released or claimed order can be acknowledged")
	}
	o.PromisedFor = s.PromisedShipDate
	if s.Result == "rejected" {
		o.State = StateRejected
		return nil
	}
	for _, said := range s.Lines {
		l := o.line(said)
		if l == nil {
			return o.refuse(problem.OrderLedger, "a line is not on the order")
		}
		if said.Status != "backordered" && said.Status != "rejected" {
			continue
		}
		moved := l.Open
		if said.Quantity != nil {
			if said.Quantity.Unit != l.Unit || said.Quantity.Value.Cmp(l.Open) > 0 {
				return o.refuse(problem.OrderLedger, "line %d: the quantity does not fit what is open", l.LineNo)
			}
			moved = said.Quantity.Value
		}
		l.Open = l.Open.Sub(moved)
		if said.Status == "backordered" {
			l.Backordered = l.Backordered.Add(moved)
		} else {
			l.Cancelled = l.Cancelled.Add(moved)
		}
	}
	o.State = StateAcknowledged
	return nil
}

// line finds the order line a statement speaks of: by its number, or by the SKU when that is on one line only.
func (o *Order) line(said statementLine) *Line {
	var found *Line
	for i := range o.Lines {
		l := &o.Lines[i]
		if said.LineNo != 0 {
			if l.LineNo == said.LineNo && (said.SKU == "" || said.SKU == l.SKU) {
				return l
			}
			continue
		}
		if l.SKU == said.SKU && said.SKU != "" {
			if found != nil {
				return nil
			}
			found = l
		}
	}
	return found
}

func confirm(o *Order, s *statement, e *Event) error {
	switch o.State {
	case StateCancelled, StateRejected, StateDelivered:
		return o.refuse(problem.OrderState, "nothing more ships on this order")
	}
	for _, said := range s.Lines {
		l := o.line(said)
		if l == nil {
			return o.refuse(problem.OrderLedger, "an item is not on the order, or on more than one line")
		}
		if err := l.ship(o, said, s.Mode); err != nil {
			return err
		}
	}
	o.Shipments = append(o.Shipments, Shipment{ID: s.Shipment, EventID: e.ID, ShippedAt: s.ShippedAt, SCAC: s.Carrier.SCAC, Final: s.Final})
	o.InExecution = true
	o.State = StatePartiallyShipped
	if o.openLines() == 0 {
		o.State = StateShipped
	}
	return nil
}

// ship books one confirmed line. In delta mode the statement adds to what shipped before; in cumulative
// mode it is the new total. Units must agree: a conversion needs the item's pack table (RULES 11).
func (l *Line) ship(o *Order, said statementLine, mode string) error {
	if said.Shipped == nil {
		return o.refuse(problem.OrderLedger, "line %d has no shipped quantity", l.LineNo)
	}
	if said.Shipped.Unit != l.Unit || (said.Backordered != nil && said.Backordered.Unit != l.Unit) {
		return o.refuse(problem.OrderLedger, "line %s is ordered in %s: no pack table converts the confirmed unit", strconv.Itoa(l.LineNo), l.Unit)
	}
	add := said.Shipped.Value
	if mode == "cumulative" {
		add = add.Sub(l.Shipped)
	}
	if add.Sign() < 0 {
		return o.refuse(problem.OrderLedger, "line %d: less was confirmed than shipped before; send a correction", l.LineNo)
	}
	l.Shipped = l.Shipped.Add(add)
	// What ships comes from what is open, then from the backorder; anything beyond is an over-shipment.
	for _, from := range []*Decimal{&l.Open, &l.Backordered} {
		take := add
		if take.Cmp(*from) > 0 {
			take = *from
		}
		*from, add = from.Sub(take), add.Sub(take)
	}
	l.Over = l.Over.Add(add)
	switch said.Status {
	case "partial_backordered", "backordered":
		l.Backordered, l.Open = l.Backordered.Add(l.Open), Decimal{}
	case "partial_closed", "cancelled":
		l.Cancelled, l.Open = l.Cancelled.Add(l.Open), Decimal{}
	}
	return nil
}

func milestone(o *Order, s *statement, _ *Event) error {
	if o.State == StateCancelled || o.State == StateRejected {
		return o.refuse(problem.OrderState, "the order is %s", o.State)
	}
	o.Milestones = append(o.Milestones, Milestone{Code: s.Milestone, Classifier: s.Classifier, At: s.OccurredAt})
	if s.Classifier == "actual" && s.Milestone != "info_received" && s.Milestone != "pickup_arrived" {
		o.InExecution = true
	}
	return nil
}

func deliver(o *Order, s *statement, _ *Event) error {
	switch o.State {
	case StateShipped:
		o.State = StateDelivered
		o.DeliveredAt = s.DeliveredAt
	case StatePartiallyShipped:
		o.DeliveredAt = s.DeliveredAt // a part arrived; the order stays open for the rest
	default:
		return o.refuse(problem.OrderState, "nothing of the order has shipped yet")
	}
	return nil
}
