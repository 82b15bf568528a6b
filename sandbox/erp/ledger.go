package erp

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"portway/internal/logistics"
)

// confirmation is the data of shipment.confirmed.v1 as far as the ERP reads it.
type confirmation struct {
	Order     string        `json:"order"`
	Shipment  string        `json:"shipment"`
	ShippedAt string        `json:"shippedAt"`
	Mode      string        `json:"mode"`
	Final     bool          `json:"final"`
	Carrier   *carrierInfo  `json:"carrier"`
	Lines     []confirmLine `json:"lines"`
	Packages  []struct {
		TrackingNumber string `json:"trackingNumber"`
	} `json:"packages"`
}

type confirmLine struct {
	LineNo      lineNo    `json:"lineNo"`
	SKU         string    `json:"sku"`
	Shipped     *quantity `json:"shipped"`
	Backordered *quantity `json:"backordered"`
	Status      string    `json:"status"`
}

// trackingNumbers lists the packages' numbers once each.
func (c confirmation) trackingNumbers() []string {
	var out []string
	for _, p := range c.Packages {
		if p.TrackingNumber != "" && !slices.Contains(out, p.TrackingNumber) {
			out = append(out, p.TrackingNumber)
		}
	}
	return out
}

var lineStatuses = []string{"", "complete", "partial_backordered", "partial_closed", "backordered", "substituted", "cancelled", "over"}

// check returns every problem of the statement that shows without the order.
func (c confirmation) check() []string {
	var bad []string
	for _, f := range [][2]string{{"shipment", c.Shipment}, {"shippedAt", c.ShippedAt}} {
		if f[1] == "" {
			bad = append(bad, f[0]+" is required")
		}
	}
	if c.ShippedAt != "" && !isDate(c.ShippedAt) {
		bad = append(bad, "shippedAt must be an RFC 3339 time")
	}
	if c.Mode != "delta" && c.Mode != "cumulative" {
		bad = append(bad, "mode must be delta or cumulative")
	}
	if len(c.Lines) == 0 {
		bad = append(bad, "at least one line is required")
	}
	for i, l := range c.Lines {
		switch {
		case l.Shipped == nil:
			bad = append(bad, fmt.Sprintf("lines/%d/shipped is required", i))
		case l.Shipped.Value.Sign() < 0:
			bad = append(bad, fmt.Sprintf("lines/%d/shipped must not be negative", i))
		}
		if l.Backordered != nil && l.Backordered.Value.Sign() < 0 {
			bad = append(bad, fmt.Sprintf("lines/%d/backordered must not be negative", i))
		}
		if !slices.Contains(lineStatuses, l.Status) {
			bad = append(bad, fmt.Sprintf("lines/%d/status is not one we know", i))
		}
	}
	return bad
}

// fingerprint says what was shipped, per item in the item's base unit, so that the same fact stated per carton
// and per piece, with or without line numbers, is the same.
func (c confirmation) fingerprint(items catalogue) string {
	sums := map[string]logistics.Decimal{}
	for _, l := range c.Lines {
		value, unit := l.Shipped.Value, l.Shipped.Unit
		if base, err := items.convert(l.SKU, l.Shipped.Value, unit, items.baseUnit(l.SKU, unit)); err == nil {
			value, unit = base, items.baseUnit(l.SKU, unit)
		}
		key := l.SKU + "\x00" + unit
		sums[key] = sums[key].Add(value)
	}
	parts := make([]string, 0, len(sums))
	for k, v := range sums {
		parts = append(parts, k+"\x00"+v.String())
	}
	sort.Strings(parts)
	return c.Mode + "\x01" + strings.Join(parts, "\x01")
}

// entry is what a statement says about one order line, summed over its lots and packages.
type entry struct {
	shipped     logistics.Decimal
	backordered *logistics.Decimal
	statuses    []string
}

// plan assigns the statement to order lines: by line number when item and number agree, else by item, filling
// lines of the same item in order. It changes nothing and returns every problem.
func (o *order) plan(c confirmation, items catalogue) (map[int]*entry, []string) {
	plan := map[int]*entry{}
	var bad []string
	at := func(i int) *entry {
		if plan[i] == nil {
			plan[i] = &entry{}
		}
		return plan[i]
	}
	for n, l := range c.Lines {
		found := o.match(l)
		if len(found) == 0 {
			bad = append(bad, fmt.Sprintf("line %d: the item is not on the order", n+1))
			continue
		}
		unit := o.Intent.Lines[found[0]].Quantity.Unit
		left, err := items.convert(l.SKU, l.Shipped.Value, l.Shipped.Unit, unit)
		if err != nil {
			bad = append(bad, fmt.Sprintf("line %d: %s", n+1, err))
			continue
		}
		for k, i := range found {
			take := left
			if k < len(found)-1 {
				room := o.Intent.Lines[i].Quantity.Value.Sub(at(i).shipped)
				if c.Mode == "delta" {
					room = room.Sub(o.Balance[i].Shipped)
				}
				take = logistics.Min(left, logistics.Max(room, logistics.Whole(0)))
			}
			at(i).shipped = at(i).shipped.Add(take)
			left = left.Sub(take)
		}
		last := at(found[len(found)-1])
		last.statuses = append(last.statuses, l.Status)
		if l.Backordered != nil {
			b, err := items.convert(l.SKU, l.Backordered.Value, l.Backordered.Unit, unit)
			if err != nil {
				bad = append(bad, fmt.Sprintf("line %d backordered: %s", n+1, err))
				continue
			}
			if last.backordered != nil {
				b = b.Add(*last.backordered)
			}
			last.backordered = &b
		}
	}
	return plan, append(bad, o.refuse(c, plan)...)
}

// match returns the order lines that l may speak of. Lines of one item in different units are not mixed.
func (o *order) match(l confirmLine) []int {
	var byItem []int
	for i, want := range o.Intent.Lines {
		sameNumber := l.LineNo.text != "" && want.LineNo.text == l.LineNo.text
		if sameNumber && (want.SKU == l.SKU || l.Status == "substituted") {
			return []int{i}
		}
		if want.SKU == l.SKU && (len(byItem) == 0 || o.Intent.Lines[byItem[0]].Quantity.Unit == want.Quantity.Unit) {
			byItem = append(byItem, i)
		}
	}
	return byItem
}

// refuse returns what the plan would break in the ledger.
func (o *order) refuse(c confirmation, plan map[int]*entry) []string {
	var bad []string
	for i, line := range o.Intent.Lines {
		e := plan[i]
		if e == nil {
			continue
		}
		shipped := o.shippedAfter(c, i, e)
		if shipped.Cmp(o.Balance[i].Shipped) < 0 {
			bad = append(bad, fmt.Sprintf("order line %s: the cumulative quantity is below what was posted", line.LineNo.text))
		}
		rest := logistics.Max(line.Quantity.Value.Sub(shipped), logistics.Whole(0))
		if e.backordered != nil && e.backordered.Cmp(rest) > 0 {
			bad = append(bad, fmt.Sprintf("order line %s: more is backordered than is left to ship", line.LineNo.text))
		}
	}
	return bad
}

func (o *order) shippedAfter(c confirmation, i int, e *entry) logistics.Decimal {
	if c.Mode == "cumulative" {
		return e.shipped
	}
	return o.Balance[i].Shipped.Add(e.shipped)
}

// post applies a plan without problems and returns what this shipment added per line.
func (o *order) post(c confirmation, plan map[int]*entry) []shipmentLine {
	posted := []shipmentLine{}
	zero := logistics.Whole(0)
	for i, line := range o.Intent.Lines {
		e, b := plan[i], &o.Balance[i]
		if e != nil {
			shipped := o.shippedAfter(c, i, e)
			posted = append(posted, shipmentLine{line.LineNo, line.SKU, shipped.Sub(b.Shipped), line.Quantity.Unit})
			b.Shipped = shipped
			rest := logistics.Max(line.Quantity.Value.Sub(shipped), zero)
			has := func(names ...string) bool {
				return slices.ContainsFunc(e.statuses, func(s string) bool { return slices.Contains(names, s) })
			}
			stated := e.backordered != nil && e.backordered.Sign() > 0
			switch {
			case stated:
				b.Backordered = *e.backordered
			case has("partial_backordered", "backordered"):
				b.Backordered = rest
			case has("partial_closed", "cancelled"):
				b.Backordered = zero
			default:
				b.Backordered = logistics.Min(b.Backordered, rest)
			}
			b.Cancelled = logistics.Min(b.Cancelled, rest.Sub(b.Backordered))
			if has("partial_closed", "cancelled") {
				b.Cancelled = rest.Sub(b.Backordered)
			}
		}
		if c.Final {
			// Final means that nothing more will come: what is neither shipped nor backordered is closed.
			b.Cancelled = b.Cancelled.Add(b.open(line.Quantity.Value))
		}
	}
	return posted
}

// settle derives the state from the ledger and the deliveries.
func (o *order) settle() {
	shipped, waiting := false, false
	for i, line := range o.Intent.Lines {
		b := o.Balance[i]
		shipped = shipped || b.Shipped.Sign() > 0
		waiting = waiting || b.Backordered.Sign() > 0 || b.open(line.Quantity.Value).Sign() > 0
	}
	switch {
	case o.State == stateCancelled:
	case shipped && waiting:
		o.State = statePartial
	case shipped && o.allDelivered():
		o.State = stateDelivered
	case shipped:
		o.State = stateShipped
	case !waiting:
		o.State = stateCancelled
	}
}

func (o *order) allDelivered() bool {
	for _, s := range o.Shipments {
		if o.deliveredAt(s.Shipment) == "" {
			return false
		}
	}
	return len(o.Shipments) > 0
}

// deliveredAt is the time of the last delivery that speaks of s; one that names neither shipment nor
// tracking number speaks of all that was shipped before it.
func (o *order) deliveredAt(s shipment) string {
	at := ""
	for _, d := range o.Deliveries {
		whole := d.Shipment == "" && d.TrackingNumber == "" && !instant(d.DeliveredAt).Before(instant(s.ShippedAt))
		byNumber := d.Shipment == "" && slices.Contains(s.TrackingNumbers, d.TrackingNumber)
		if whole || byNumber || (d.Shipment != "" && d.Shipment == s.Shipment) {
			at = d.DeliveredAt
		}
	}
	return at
}
