package logistics

import (
	"time"

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
	drop := func(l *Line) { // what was to ship later is not wanted either
		l.Cancelled = l.Cancelled.Add(l.Open).Add(l.Backordered)
		l.Open, l.Backordered = Decimal{}, Decimal{}
	}
	for _, said := range s.Lines {
		l := o.line(said)
		if l == nil {
			return o.refuse(problem.OrderLedger, "a line is not on the order")
		}
		drop(l)
	}
	for i := range o.Lines {
		if len(s.Lines) == 0 {
			drop(&o.Lines[i])
		}
	}
	if o.openLines() == 0 {
		o.State = StateCancelled
	}
	return nil
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

// claim takes a released order, or one whose earlier claim has run out.
func claim(o *Order, s *statement, e *Event) error {
	if err := o.sameVersion(s.Version); err != nil {
		return err
	}
	if o.State != StateReleased && !o.claimRanOut(e.Recorded) {
		return o.refuse(problem.OrderState, "only a released order can be claimed")
	}
	o.State, o.Claim, o.ClaimedTill = StateClaimed, s.Claim, s.ClaimedUntil
	return nil
}

// claimRanOut reports whether the order is claimed only until a time that has passed.
func (o *Order) claimRanOut(now time.Time) bool {
	till, err := ParseInstant(o.ClaimedTill, ZoneMessage)
	return o.State == StateClaimed && err == nil && now.After(till.Time())
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
	if o.openLines() == 0 {
		o.State = StateRejected // line by line, but nothing is left to ship
	}
	return nil
}

// line finds the order line a statement speaks of: by its number, or by the SKU when that is on one line only.
// A number with another line's SKU is no line, unless the item was substituted.
func (o *Order) line(said statementLine) *Line {
	var found *Line
	for i := range o.Lines {
		l := &o.Lines[i]
		if said.LineNo != 0 {
			if l.LineNo == said.LineNo && (said.SKU == "" || said.SKU == l.SKU || said.Status == "substituted") {
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
	// A line may be said in parts, one a lot or package: the parts are added up before they are booked.
	bookings := make([]booking, len(o.Lines))
	for _, said := range s.Lines {
		l := o.line(said)
		if l == nil {
			return o.refuse(problem.OrderLedger, "an item is not on the order, or on more than one line")
		}
		for i := range o.Lines {
			if l == &o.Lines[i] {
				if err := bookings[i].add(o, l, said); err != nil {
					return err
				}
			}
		}
	}
	shipped := false
	for i := range o.Lines {
		l := &o.Lines[i]
		if bookings[i].said {
			if err := l.book(o, &bookings[i], s.Mode); err != nil {
				return err
			}
		}
		if s.Final { // nothing more follows: what is neither shipped nor backordered is closed
			l.Cancelled, l.Open = l.Cancelled.Add(l.Open), Decimal{}
		}
		shipped = shipped || l.Shipped.Sign() > 0
	}
	o.Shipments = append(o.Shipments, Shipment{ID: s.Shipment, EventID: e.ID, ShippedAt: s.ShippedAt, SCAC: s.Carrier.SCAC, Final: s.Final,
		DeliveredAt: o.arrived(s.Shipment)})
	waiting := o.openLines() > 0
	switch {
	case shipped && waiting:
		o.State, o.InExecution = StatePartiallyShipped, true
	case shipped:
		o.State, o.InExecution = StateShipped, true
	case !waiting:
		o.State = StateCancelled
	}
	if o.State == StateShipped && o.underWay() == 0 {
		o.State = StateDelivered // its arrival was told before its confirmation
	} // nothing shipped and something waits: a backorder alone moves no goods, and the owner may still change the order
	return nil
}

// booking is what one confirmation says about one order line.
type booking struct {
	said        bool
	shipped     Decimal
	backordered *Decimal
	status      string // the last one that says what becomes of the rest, if any does
}

// add adds one part. Units must agree: a conversion needs the item's pack table (RULES 11).
func (b *booking) add(o *Order, l *Line, said statementLine) error {
	if said.Shipped == nil {
		return o.refuse(problem.OrderLedger, "line %d has no shipped quantity", l.LineNo)
	}
	if said.Shipped.Unit != l.Unit || (said.Backordered != nil && said.Backordered.Unit != l.Unit) {
		return o.refuse(problem.OrderLedger, "line %d is ordered in %s: no pack table converts the confirmed unit", l.LineNo, l.Unit)
	}
	if said.Shipped.Value.Sign() < 0 || (said.Backordered != nil && said.Backordered.Value.Sign() < 0) {
		return o.refuse(problem.OrderLedger, "line %d: a quantity is below zero", l.LineNo)
	}
	b.said = true
	b.shipped = b.shipped.Add(said.Shipped.Value)
	if said.Backordered != nil {
		sum := said.Backordered.Value
		if b.backordered != nil {
			sum = sum.Add(*b.backordered)
		}
		b.backordered = &sum
	}
	switch said.Status {
	case "partial_backordered", "backordered", "partial_closed", "cancelled":
		b.status = said.Status
	}
	return nil
}

// book enters a booking. In delta mode it adds to what shipped before; in cumulative mode it is the new total.
func (l *Line) book(o *Order, b *booking, mode string) error {
	add := b.shipped
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
	rest := l.Open.Add(l.Backordered)
	switch {
	case b.backordered != nil && b.backordered.Sign() > 0: // stated: what ships later, of what is left
		if b.backordered.Cmp(rest) > 0 {
			return o.refuse(problem.OrderLedger, "line %d: more is backordered than is left to ship", l.LineNo)
		}
		l.Backordered, l.Open = *b.backordered, rest.Sub(*b.backordered)
	case b.status == "partial_backordered" || b.status == "backordered":
		l.Backordered, l.Open = rest, Decimal{}
	}
	if b.status == "partial_closed" || b.status == "cancelled" {
		closed := l.Open
		if b.backordered == nil || b.backordered.Sign() == 0 { // the backorder is closed with the line
			closed, l.Backordered = rest, Decimal{}
		}
		l.Cancelled, l.Open = l.Cancelled.Add(closed), Decimal{}
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

// arrived takes the early arrival of a shipment, "" if none was told.
func (o *Order) arrived(shipment string) string {
	for i, a := range o.Arrivals {
		if a.Shipment == shipment || a.Shipment == "" {
			o.Arrivals = append(append([]Arrival(nil), o.Arrivals[:i]...), o.Arrivals[i+1:]...)
			return a.At
		}
	}
	return ""
}

// underWay counts shipments that have not arrived.
func (o *Order) underWay() int {
	n := 0
	for i := range o.Shipments {
		if o.Shipments[i].DeliveredAt == "" {
			n++
		}
	}
	return n
}

// deliver marks the shipment that is named as arrived, or every one when none of that name is known. The order is
// delivered when all it shipped has arrived and nothing more is to ship. An arrival may be told before the
// confirmation of its shipment: work in flight is never refused (RULES 14), so it is kept until then.
func deliver(o *Order, s *statement, _ *Event) error {
	switch o.State {
	case StateShipped, StatePartiallyShipped, StateDelivered:
	case StateCancelled, StateRejected:
		return o.refuse(problem.OrderState, "the order is %s", o.State)
	default:
		o.Arrivals = append(append([]Arrival(nil), o.Arrivals...), Arrival{Shipment: s.Shipment, At: s.DeliveredAt})
		o.DeliveredAt, o.InExecution = s.DeliveredAt, true
		return nil
	}
	named := false
	for i := range o.Shipments {
		named = named || (s.Shipment != "" && o.Shipments[i].ID == s.Shipment)
	}
	for i := range o.Shipments {
		if sh := &o.Shipments[i]; !named || sh.ID == s.Shipment {
			sh.DeliveredAt = s.DeliveredAt
		}
	}
	o.DeliveredAt = s.DeliveredAt
	if o.State == StateShipped && o.underWay() == 0 {
		o.State = StateDelivered
	}
	return nil
}
