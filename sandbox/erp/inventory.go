package erp

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"portway/internal/logistics"
	"portway/sandbox"
)

// item is one row of the item master. Packs says how many base units one of each other unit holds.
type item struct {
	SKU         string                       `json:"sku"`
	GTIN        string                       `json:"gtin,omitempty"`
	Description string                       `json:"description,omitempty"`
	Unit        string                       `json:"unit"`
	Packs       map[string]logistics.Decimal `json:"packs,omitempty"`
}

// stockRow is what the books say of one item at one location, in unit.
type stockRow struct {
	SKU      string            `json:"sku"`
	Location string            `json:"location"`
	OnHand   logistics.Decimal `json:"onHand"`
	Unit     string            `json:"unit"`
}

// seedData is the data an ERP starts with: Options.Seed.
type seedData struct {
	Items  []item     `json:"items"`
	Stock  []stockRow `json:"stock"`
	Orders []intent   `json:"orders"`
}

// catalogue is the item master by SKU. An empty one knows every item, in one unit each.
type catalogue map[string]item

// parseSeed reads and checks seed data; the error lists every problem.
func parseSeed(data []byte) (seedData, catalogue, error) {
	var s seedData
	if len(data) == 0 {
		return s, catalogue{}, nil
	}
	if refusal := sandbox.Decode(data, &s, true); refusal != nil {
		return s, nil, fmt.Errorf("erp seed: %s", refusal.Detail)
	}
	items := catalogue{}
	var errs []error
	for i, it := range s.Items {
		if _, twice := items[it.SKU]; twice || it.SKU == "" || it.Unit == "" {
			errs = append(errs, fmt.Errorf("erp seed: items/%d: sku and unit are required, sku once", i))
		}
		for _, n := range it.Packs {
			if n.Sign() <= 0 {
				errs = append(errs, fmt.Errorf("erp seed: items/%d/packs: must be greater than 0", i))
			}
		}
		items[it.SKU] = it
	}
	for i, row := range s.Stock {
		if !items.knows(row.SKU) || !items.hasUnit(row.SKU, row.Unit) || row.Location == "" {
			errs = append(errs, fmt.Errorf("erp seed: stock/%d: item, its unit and a location are required", i))
		}
	}
	for i, in := range s.Orders {
		for _, p := range in.check(items) {
			errs = append(errs, fmt.Errorf("erp seed: orders/%d/%s", i, p))
		}
	}
	return s, items, errors.Join(errs...)
}

func (c catalogue) knows(sku string) bool {
	_, ok := c[sku]
	return sku != "" && (ok || len(c) == 0)
}

func (c catalogue) hasUnit(sku, unit string) bool {
	_, ok := c.factor(sku, unit)
	return ok
}

// baseUnit is the item's own unit, or unit for an item we do not know.
func (c catalogue) baseUnit(sku, unit string) string {
	if it, ok := c[sku]; ok {
		return it.Unit
	}
	return unit
}

func (c catalogue) factor(sku, unit string) (logistics.Decimal, bool) {
	it, ok := c[sku]
	if !ok {
		return logistics.Whole(1), len(c) == 0 && unit != ""
	}
	if unit == it.Unit {
		return logistics.Whole(1), true
	}
	n, ok := it.Packs[unit]
	return n, ok
}

// convert expresses value of unit from in unit to by the pack table. A missing pack or a part of a pack is an
// error: quantities are never guessed or rounded.
func (c catalogue) convert(sku string, value logistics.Decimal, from, to string) (logistics.Decimal, error) {
	if from == to {
		return value, nil
	}
	f, okFrom := c.factor(sku, from)
	t, okTo := c.factor(sku, to)
	if !okFrom || !okTo || len(c) == 0 {
		return logistics.Decimal{}, errors.New("the unit is not in the item's pack table")
	}
	out, exact := value.Mul(f).Div(t)
	if !exact || !out.IsWhole() {
		return logistics.Decimal{}, errors.New("the quantity is not a whole number in the order line's unit")
	}
	return out, nil
}

// availabilityRow is one row of GET /inventory/availability. Available is what is on hand and not committed
// to orders, never below 0.
type availabilityRow struct {
	SKU       string            `json:"sku"`
	Location  string            `json:"location"`
	OnHand    logistics.Decimal `json:"onHand"`
	Available logistics.Decimal `json:"available"`
	Committed logistics.Decimal `json:"committed"`
	Unit      string            `json:"unit"`
}

// getAvailability answers with the rows of the asked items and locations (both may repeat; absent means all).
func (e *ERP) getAvailability(w http.ResponseWriter, r *http.Request) {
	skus, places := r.URL.Query()["sku"], r.URL.Query()["location"]
	rows := []availabilityRow{}
	e.store.Read(func(s *state) {
		committed := e.committed(s)
		for _, row := range s.Stock {
			if (len(skus) > 0 && !slices.Contains(skus, row.SKU)) || (len(places) > 0 && !slices.Contains(places, row.Location)) {
				continue
			}
			out := availabilityRow{SKU: row.SKU, Location: row.Location, OnHand: row.OnHand, Unit: row.Unit}
			out.Committed = committed[[2]string{row.SKU, row.Location}]
			out.Available = logistics.Max(row.OnHand.Sub(out.Committed), logistics.Whole(0))
			rows = append(rows, out)
		}
	})
	sandbox.WriteJSON(w, http.StatusOK, map[string]any{"asOf": e.clock.Now().UTC().Format(time.RFC3339Nano), "rows": rows})
}

// committed sums what living orders still want, per item and site, in the unit of the stock row.
func (e *ERP) committed(s *state) map[[2]string]logistics.Decimal {
	units := map[[2]string]string{}
	for _, row := range s.Stock {
		units[[2]string{row.SKU, row.Location}] = row.Unit
	}
	sums := map[[2]string]logistics.Decimal{}
	for _, o := range s.Orders {
		if o.State == stateCancelled {
			continue
		}
		for i, l := range o.Intent.Lines {
			key := [2]string{l.SKU, o.Intent.Site}
			want := o.Balance[i].open(l.Quantity.Value).Add(o.Balance[i].Backordered)
			if n, err := e.items.convert(l.SKU, want, l.Quantity.Unit, units[key]); err == nil {
				sums[key] = sums[key].Add(n)
			}
		}
	}
	return sums
}

// issue takes what was shipped off the books of the order's site. An item that is not stocked there has no row;
// books may go below zero, as they do when the warehouse is ahead of the counting.
func (e *ERP) issue(s *state, site string, lines []shipmentLine) {
	for _, l := range lines {
		for i := range s.Stock {
			row := &s.Stock[i]
			if row.SKU != l.SKU || row.Location != site {
				continue
			}
			if n, err := e.items.convert(l.SKU, l.Shipped, l.Unit, row.Unit); err == nil {
				row.OnHand = row.OnHand.Sub(n)
			}
		}
	}
}

// mergeStock adds seeded rows that the kept state does not have.
func mergeStock(have, seeded []stockRow) []stockRow {
	for _, row := range seeded {
		if !slices.ContainsFunc(have, func(h stockRow) bool { return h.SKU == row.SKU && h.Location == row.Location }) {
			have = append(have, row)
		}
	}
	return have
}

// sameJSON reports whether a and b have one JSON form.
func sameJSON(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}
