package logistics

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portway/internal/problem"
)

var recorded = time.Date(2026, 9, 14, 20, 0, 0, 0, time.UTC)

// event wraps data as the event that stated it.
func event(kind, data string) *Event {
	return &Event{ID: "0199f3c2-7b1e-7c44-9a55-3f0d2b6e8a10", Type: kind, Org: "o-three", CorrelationID: "order-id", Environment: "sandbox", Recorded: recorded, Data: json.RawMessage(data)}
}

const twoLines = `{"order":"N-1","version":1,"lines":[{"lineNo":1,"sku":"A","quantity":{"value":"10","unit":"EA"}},{"lineNo":2,"sku":"B","quantity":{"value":"2.5","unit":"KG"}}]}`

func released(t testing.TB, data string) *Order {
	t.Helper()
	o, err := Open(event(OrderReleased, data), "o-three")
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// after applies statements to a fresh order; each is "type data".
func after(t testing.TB, statements ...string) *Order {
	t.Helper()
	o := released(t, twoLines)
	for _, s := range statements {
		kind, data, _ := strings.Cut(s, " ")
		next, err := o.Apply(event(kind, data))
		if err != nil {
			t.Fatalf("%s on an order in %s: %v", s, o.State, err)
		}
		o = next
	}
	return o
}

// ledger writes a line as shipped/backordered/cancelled/open+over.
func ledger(o *Order) []string {
	var out []string
	for _, l := range o.Lines {
		s := fmt.Sprintf("%s/%s/%s/%s", l.Shipped, l.Backordered, l.Cancelled, l.Open)
		if l.Over.Sign() != 0 {
			s += "+" + l.Over.String()
		}
		out = append(out, s)
	}
	return out
}

// The statements of the state table.
const (
	sClaim     = OrderClaimed + ` {"order":"N-1","version":1,"claim":"W-1","claimedUntil":"2099-09-14T12:00:00-05:00"}`
	sAck       = OrderAcknowledged + ` {"order":"N-1","version":1,"result":"accepted","promisedShipDate":"2026-09-14"}`
	sReject    = OrderAcknowledged + ` {"order":"N-1","version":1,"result":"rejected"}`
	sAmend     = OrderAmended + ` {"order":"N-1","version":2,"lines":[{"lineNo":1,"sku":"A","quantity":{"value":"4","unit":"EA"}}]}`
	sCancel    = OrderCancelled + ` {"order":"N-1","version":1,"reason":"r"}`
	sShipPart  = ShipmentConfirmed + ` {"order":"N-1","shipment":"S-1","shippedAt":"t1","mode":"delta","final":false,"lines":[{"lineNo":1,"sku":"A","shipped":{"value":"4","unit":"EA"},"status":"complete"}]}`
	sShipAll   = ShipmentConfirmed + ` {"order":"N-1","shipment":"S-2","shippedAt":"t2","mode":"cumulative","final":false,"lines":[{"lineNo":1,"sku":"A","shipped":{"value":"10","unit":"EA"},"status":"complete"},{"sku":"B","shipped":{"value":"2.5","unit":"KG"},"status":"complete"}]}`
	sMilestone = ShipmentMilestone + ` {"order":"N-1","milestone":"in_transit","classifier":"estimated","occurredAt":"t3"}`
	sDeliver   = ShipmentDelivered + ` {"order":"N-1","deliveredAt":"t4","condition":"ok"}`
)

// TestEveryStatementInEveryState is the whole state machine: what each statement makes of each state, or the
// problem it is refused with.
func TestEveryStatementInEveryState(t *testing.T) {
	t.Parallel()
	states := map[OrderState][]string{
		StateReleased:         nil,
		StateClaimed:          {sClaim},
		StateAcknowledged:     {sAck},
		StateRejected:         {sReject},
		StatePartiallyShipped: {sShipPart},
		StateShipped:          {sShipAll},
		StateDelivered:        {sShipAll, sDeliver},
		StateCancelled:        {sCancel},
	}
	statements := []string{sClaim, sAck, sReject, sAmend, sCancel, sShipPart, sShipAll, sMilestone, sDeliver}
	// In the order of statements; a value with a dot is the code of the refusal.
	const state, late = string(problem.OrderState), string(problem.OrderTooLate)
	want := map[OrderState][]string{
		//                     claim      acknowledge     reject      amend       cancel       ship part            ship all    milestone            deliver
		StateReleased:         {"claimed", "acknowledged", "rejected", "released", "cancelled", "partially_shipped", "shipped", "released", "released"},
		StateClaimed:          {state, "acknowledged", "rejected", "released", "cancelled", "partially_shipped", "shipped", "claimed", "claimed"},
		StateAcknowledged:     {state, state, state, "released", "cancelled", "partially_shipped", "shipped", "acknowledged", "acknowledged"},
		StateRejected:         {state, state, state, "released", "cancelled", state, state, state, state},
		StatePartiallyShipped: {state, state, state, late, late, "partially_shipped", "shipped", "partially_shipped", "partially_shipped"},
		StateShipped:          {state, state, state, late, late, "shipped", "shipped", "shipped", "delivered"},
		StateDelivered:        {state, state, state, late, late, state, state, "delivered", "delivered"},
		StateCancelled:        {state, state, state, state, state, state, state, state, state},
	}
	covered := map[string]bool{}
	for at, path := range states {
		for i, s := range statements {
			kind, data, _ := strings.Cut(s, " ")
			covered[kind] = true
			t.Run(string(at)+"/"+fmt.Sprint(i)+"/"+kind, func(t *testing.T) {
				t.Parallel()
				o := after(t, path...)
				if o.State != at {
					t.Fatalf("the order stands at %s, want %s", o.State, at)
				}
				before, err := json.Marshal(o)
				if err != nil {
					t.Fatal(err)
				}
				next, err := o.Apply(event(kind, data))
				if untouched, _ := json.Marshal(o); string(untouched) != string(before) {
					t.Error("the statement changed the order it was applied to, not a copy")
				}
				if w := want[at][i]; !strings.Contains(w, ".") {
					if err != nil {
						t.Fatalf("refused: %v, want %s", err, w)
					}
					if next.State != OrderState(w) || next.Sequence != o.Sequence+1 || !next.Updated.Equal(recorded) {
						t.Errorf("state %s, sequence %d; want %s, %d", next.State, next.Sequence, w, o.Sequence+1)
					}
					return
				}
				var p *problem.Error
				if !errors.As(err, &p) || string(p.Code) != want[at][i] || next != nil {
					t.Fatalf("got %v, want %s", err, want[at][i])
				}
				if p.Extra["state"] != string(at) || p.Extra["version"] != o.Version {
					t.Errorf("the refusal says %v, want state %s and version %d", p.Extra, at, o.Version)
				}
			})
		}
	}
	for kind := range transitions {
		if !covered[kind] {
			t.Errorf("no statement of the table is a %s", kind)
		}
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	e := event(OrderReleased, twoLines)
	o, err := Open(e, "o-three")
	if err != nil {
		t.Fatal(err)
	}
	if o.ID != "order-id" || o.Number != "N-1" || o.Owner != e.Org || o.Fulfiller != "o-three" || o.Environment != "sandbox" ||
		o.Version != 1 || o.State != StateReleased || o.Sequence != 1 || string(o.Body) != twoLines || o.InExecution {
		t.Errorf("opened %+v", o)
	}
	if d := cmp.Diff([]string{"0/0/0/10", "0/0/0/2.5"}, ledger(o)); d != "" {
		t.Error(d)
	}
	b, err := json.Marshal(o)
	if err != nil || !strings.Contains(string(b), `"shipments":[],"milestones":[]`) {
		t.Errorf("lists of a new order are not empty lists: %s, %v", b, err)
	}
	var back Order
	if err := json.Unmarshal(b, &back); err != nil || cmp.Diff(ledger(o), ledger(&back)) != "" {
		t.Errorf("an order does not survive writing and reading: %v", err)
	}
	for name, data := range map[string]string{
		"a line twice":        `{"lines":[{"lineNo":1,"quantity":{"value":"1","unit":"EA"}},{"lineNo":1,"quantity":{"value":"1","unit":"EA"}}]}`,
		"no quantity":         `{"lines":[{"lineNo":1,"sku":"A"}]}`,
		"below zero":          `{"lines":[{"lineNo":1,"quantity":{"value":"-1","unit":"EA"}}]}`,
		"a quantity as float": `{"lines":[{"lineNo":1,"quantity":{"value":1.5,"unit":"EA"}}]}`,
		"no JSON":             `{`,
	} {
		if _, err := Open(event(OrderReleased, data), "o"); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	if !Opens(OrderReleased) || Opens(OrderAmended) || Opens("") {
		t.Error("only a release opens an order")
	}
	if _, err := o.Apply(event("order.lost.v1", `{}`)); !problem.Is(err, problem.Internal) {
		t.Errorf("an unknown type: %v", err)
	}
	if _, err := o.Apply(event(OrderClaimed, `{`)); err == nil {
		t.Error("garbled data is applied")
	}
}

// confirmed is a confirmation of order lines in JSON.
func confirmed(mode string, final bool, lines string) string {
	return fmt.Sprintf(`%s {"order":"N-1","shipment":"S","shippedAt":"t","mode":%q,"final":%v,"lines":[%s]}`, ShipmentConfirmed, mode, final, lines)
}

func said(line int, sku, shipped, more string) string {
	return fmt.Sprintf(`{"lineNo":%d,"sku":%q,"shipped":{"value":%q,"unit":%q}%s}`, line, sku, shipped, map[string]string{"A": "EA", "B": "KG"}[sku], more)
}

// TestLedger is what partners and the ERP read: shipped/backordered/cancelled/open+over per line.
func TestLedger(t *testing.T) {
	t.Parallel()
	back := func(v, unit string) string { return fmt.Sprintf(`,"backordered":{"value":%q,"unit":%q}`, v, unit) }
	both := said(1, "A", "10", "") + "," + said(2, "B", "2.5", "")
	tests := map[string]struct {
		statements []string
		state      OrderState
		want       []string
	}{
		"delta adds":                            {[]string{confirmed("delta", false, said(1, "A", "4", "")), confirmed("delta", false, said(1, "A", "5", ""))}, StatePartiallyShipped, []string{"9/0/0/1", "0/0/0/2.5"}},
		"cumulative replaces":                   {[]string{confirmed("cumulative", false, said(1, "A", "4", "")), confirmed("cumulative", false, said(1, "A", "9", ""))}, StatePartiallyShipped, []string{"9/0/0/1", "0/0/0/2.5"}},
		"cumulative after delta":                {[]string{confirmed("delta", false, said(1, "A", "4", "")), confirmed("cumulative", false, said(1, "A", "4", ""))}, StatePartiallyShipped, []string{"4/0/0/6", "0/0/0/2.5"}},
		"a line in two lots, delta":             {[]string{confirmed("delta", false, said(1, "A", "3", "")+","+said(1, "A", "4", ""))}, StatePartiallyShipped, []string{"7/0/0/3", "0/0/0/2.5"}},
		"a line in two lots, cumulative":        {[]string{confirmed("cumulative", false, said(1, "A", "3", "")+","+said(1, "A", "4", "")), confirmed("cumulative", false, said(1, "A", "4", "")+","+said(1, "A", "4", ""))}, StatePartiallyShipped, []string{"8/0/0/2", "0/0/0/2.5"}},
		"split over two shipments":              {[]string{confirmed("delta", false, said(1, "A", "6", "")+","+said(2, "B", "2.5", "")), confirmed("delta", true, said(1, "A", "4", ""))}, StateShipped, []string{"10/0/0/0", "2.5/0/0/0"}},
		"more than ordered":                     {[]string{confirmed("delta", false, said(1, "A", "12", `,"status":"over"`))}, StatePartiallyShipped, []string{"12/0/0/0+2", "0/0/0/2.5"}},
		"more than ordered, later":              {[]string{confirmed("delta", false, both), confirmed("delta", false, said(1, "A", "1", ""))}, StateShipped, []string{"11/0/0/0+1", "2.5/0/0/0"}},
		"more than ordered, cumulative twice":   {[]string{confirmed("cumulative", false, said(1, "A", "12", "")), confirmed("cumulative", false, said(1, "A", "12", ""))}, StatePartiallyShipped, []string{"12/0/0/0+2", "0/0/0/2.5"}},
		"the rest is backordered":               {[]string{confirmed("delta", false, said(1, "A", "4", `,"status":"partial_backordered"`)+","+said(2, "B", "2.5", ""))}, StatePartiallyShipped, []string{"4/6/0/0", "2.5/0/0/0"}},
		"a stated part is backordered":          {[]string{confirmed("delta", false, said(1, "A", "4", back("2", "EA")+`,"status":"partial_backordered"`)+","+said(2, "B", "2.5", ""))}, StatePartiallyShipped, []string{"4/2/0/4", "2.5/0/0/0"}},
		"backordered, then shipped":             {[]string{confirmed("delta", false, said(1, "A", "4", `,"status":"partial_backordered"`)+","+said(2, "B", "2.5", "")), confirmed("delta", true, said(1, "A", "6", ""))}, StateShipped, []string{"10/0/0/0", "2.5/0/0/0"}},
		"backordered, then too much":            {[]string{confirmed("delta", false, said(1, "A", "4", `,"status":"partial_backordered"`)), confirmed("delta", false, said(1, "A", "7", ""))}, StatePartiallyShipped, []string{"11/0/0/0+1", "0/0/0/2.5"}},
		"all of a line is backordered":          {[]string{confirmed("delta", false, said(1, "A", "10", "")+","+said(2, "B", "0", back("2.5", "KG")+`,"status":"backordered"`))}, StatePartiallyShipped, []string{"10/0/0/0", "0/2.5/0/0"}},
		"final keeps a backorder":               {[]string{confirmed("delta", true, said(1, "A", "10", "")+","+said(2, "B", "0", `,"status":"backordered"`))}, StatePartiallyShipped, []string{"10/0/0/0", "0/2.5/0/0"}},
		"the rest is closed":                    {[]string{confirmed("delta", false, said(1, "A", "4", `,"status":"partial_closed"`)+","+said(2, "B", "2.5", ""))}, StateShipped, []string{"4/0/6/0", "2.5/0/0/0"}},
		"a backorder is closed":                 {[]string{confirmed("delta", false, said(1, "A", "4", `,"status":"partial_backordered"`)+","+said(2, "B", "2.5", "")), confirmed("delta", false, said(1, "A", "0", `,"status":"cancelled"`))}, StateShipped, []string{"4/0/6/0", "2.5/0/0/0"}},
		"final closes what is open":             {[]string{confirmed("delta", true, said(1, "A", "4", ""))}, StateShipped, []string{"4/0/6/0", "0/0/2.5/0"}},
		"nothing shipped, all cancelled":        {[]string{confirmed("delta", true, said(1, "A", "0", `,"status":"cancelled"`)+","+said(2, "B", "0", `,"status":"cancelled"`))}, StateCancelled, []string{"0/0/10/0", "0/0/2.5/0"}},
		"nothing shipped, all backordered":      {[]string{confirmed("delta", false, said(1, "A", "0", `,"status":"backordered"`)+","+said(2, "B", "0", `,"status":"backordered"`))}, StateReleased, []string{"0/10/0/0", "0/2.5/0/0"}},
		"by item without a line number":         {[]string{confirmed("delta", false, `{"sku":"B","shipped":{"value":"1","unit":"KG"}}`)}, StatePartiallyShipped, []string{"0/0/0/10", "1/0/0/1.5"}},
		"a substituted item counts":             {[]string{confirmed("delta", false, `{"lineNo":1,"sku":"A-NEW","shipped":{"value":"10","unit":"EA"},"status":"substituted"}`)}, StatePartiallyShipped, []string{"10/0/0/0", "0/0/0/2.5"}},
		"exact fractions":                       {[]string{confirmed("delta", false, said(2, "B", "0.1", "")+","+said(2, "B", "0.2", ""))}, StatePartiallyShipped, []string{"0/0/0/10", "0.3/0/0/2.2"}},
		"a part acknowledged as backordered":    {[]string{OrderAcknowledged + ` {"version":1,"result":"changed","lines":[{"lineNo":1,"status":"backordered","quantity":{"value":"3","unit":"EA"}}]}`}, StateAcknowledged, []string{"0/3/0/7", "0/0/0/2.5"}},
		"a line acknowledged as rejected":       {[]string{OrderAcknowledged + ` {"version":1,"result":"changed","lines":[{"lineNo":2,"status":"rejected"},{"lineNo":1,"status":"accepted"}]}`}, StateAcknowledged, []string{"0/0/0/10", "0/0/2.5/0"}},
		"every line rejected":                   {[]string{OrderAcknowledged + ` {"version":1,"result":"changed","lines":[{"lineNo":2,"status":"rejected"},{"lineNo":1,"status":"rejected"}]}`}, StateRejected, []string{"0/0/10/0", "0/0/2.5/0"}},
		"acknowledged as backordered, shipped":  {[]string{OrderAcknowledged + ` {"version":1,"result":"changed","lines":[{"lineNo":1,"status":"backordered"}]}`, confirmed("delta", false, both)}, StateShipped, []string{"10/0/0/0", "2.5/0/0/0"}},
		"one line cancelled":                    {[]string{OrderCancelled + ` {"version":1,"lines":[{"lineNo":2}]}`}, StateReleased, []string{"0/0/0/10", "0/0/2.5/0"}},
		"one line cancelled, the other shipped": {[]string{OrderCancelled + ` {"version":1,"lines":[{"lineNo":2}]}`, confirmed("delta", false, said(1, "A", "10", ""))}, StateShipped, []string{"10/0/0/0", "0/0/2.5/0"}},
		"both lines cancelled, one by one":      {[]string{OrderCancelled + ` {"version":1,"lines":[{"lineNo":2}]}`, OrderCancelled + ` {"version":1,"lines":[{"lineNo":1}]}`}, StateCancelled, []string{"0/0/10/0", "0/0/2.5/0"}},
		"a backorder is cancelled, too":         {[]string{OrderAcknowledged + ` {"version":1,"result":"changed","lines":[{"lineNo":1,"status":"backordered"}]}`, OrderCancelled + ` {"version":1}`}, StateCancelled, []string{"0/0/10/0", "0/0/2.5/0"}},
		"an amendment starts the ledger anew":   {[]string{sAck, sAmend}, StateReleased, []string{"0/0/0/4"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := after(t, tt.statements...)
			if d := cmp.Diff(tt.want, ledger(o)); d != "" || o.State != tt.state {
				t.Errorf("state %s, want %s; ledger (-want +got):\n%s", o.State, tt.state, d)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		before []string
		last   string
		code   problem.Code
	}{
		"another unit":                      {nil, confirmed("delta", false, `{"lineNo":1,"sku":"A","shipped":{"value":"1","unit":"CA"}}`), problem.OrderLedger},
		"a backorder in another unit":       {nil, confirmed("delta", false, said(1, "A", "1", `,"backordered":{"value":"1","unit":"CA"}`)), problem.OrderLedger},
		"more backordered than is left":     {nil, confirmed("delta", false, said(1, "A", "9", `,"backordered":{"value":"2","unit":"EA"}`)), problem.OrderLedger},
		"no shipped quantity":               {nil, confirmed("delta", false, `{"lineNo":1,"sku":"A"}`), problem.OrderLedger},
		"shipped below zero":                {nil, confirmed("delta", false, said(1, "A", "-1", "")), problem.OrderLedger},
		"a negative part hidden in a sum":   {nil, confirmed("delta", false, said(1, "A", "5", "")+","+said(1, "A", "-1", "")), problem.OrderLedger},
		"less than shipped before":          {[]string{confirmed("delta", false, said(1, "A", "5", ""))}, confirmed("cumulative", false, said(1, "A", "4", "")), problem.OrderLedger},
		"an item not on the order":          {nil, confirmed("delta", false, `{"sku":"Z","shipped":{"value":"1","unit":"EA"}}`), problem.OrderLedger},
		"the item of another line":          {nil, confirmed("delta", false, `{"lineNo":2,"sku":"A","shipped":{"value":"1","unit":"EA"}}`), problem.OrderLedger},
		"neither line nor item":             {nil, confirmed("delta", false, `{"shipped":{"value":"1","unit":"EA"}}`), problem.OrderLedger},
		"one bad line of two":               {nil, confirmed("delta", false, said(1, "A", "1", "")+`,{"sku":"Z","shipped":{"value":"1","unit":"EA"}}`), problem.OrderLedger},
		"acknowledged more than is open":    {nil, OrderAcknowledged + ` {"version":1,"result":"changed","lines":[{"lineNo":1,"status":"backordered","quantity":{"value":"11","unit":"EA"}}]}`, problem.OrderLedger},
		"acknowledged below zero":           {nil, OrderAcknowledged + ` {"version":1,"result":"changed","lines":[{"lineNo":1,"status":"rejected","quantity":{"value":"-1","unit":"EA"}}]}`, problem.OrderLedger},
		"acknowledged in another unit":      {nil, OrderAcknowledged + ` {"version":1,"result":"changed","lines":[{"lineNo":1,"status":"rejected","quantity":{"value":"1","unit":"CA"}}]}`, problem.OrderLedger},
		"acknowledged an unknown line":      {nil, OrderAcknowledged + ` {"version":1,"result":"changed","lines":[{"lineNo":9,"status":"accepted"}]}`, problem.OrderLedger},
		"claimed at an older version":       {[]string{sAmend}, sClaim, problem.OrderVersion},
		"acknowledged at an older version":  {[]string{sAmend}, sAck, problem.OrderVersion},
		"cancelled at an older version":     {[]string{sAmend}, sCancel, problem.OrderVersion},
		"amended to the same version":       {nil, strings.Replace(sAmend, `"version":2`, `"version":1`, 1), problem.OrderVersion},
		"amended over a version":            {nil, strings.Replace(sAmend, `"version":2`, `"version":3`, 1), problem.OrderVersion},
		"amended with a line twice":         {nil, OrderAmended + ` {"version":2,"lines":[{"lineNo":1,"quantity":{"value":"1","unit":"EA"}},{"lineNo":1,"quantity":{"value":"1","unit":"EA"}}]}`, problem.OrderLedger},
		"cancelled a line not on the order": {nil, OrderCancelled + ` {"version":1,"lines":[{"lineNo":9}]}`, problem.OrderLedger},
		"cancelled a line of two, one bad":  {nil, OrderCancelled + ` {"version":1,"lines":[{"lineNo":1},{"lineNo":9}]}`, problem.OrderLedger},
		"cancelled after an actual pickup":  {[]string{ShipmentMilestone + ` {"milestone":"picked_up","classifier":"actual","occurredAt":"t"}`}, sCancel, problem.OrderTooLate},
		"amended after a part has shipped":  {[]string{sShipPart}, sAmend, problem.OrderTooLate},
		"delivered though cancelled":        {[]string{sCancel}, sDeliver, problem.OrderState},
		"claimed while a claim holds":       {[]string{sClaim}, sClaim, problem.OrderState},
		"a total beyond what can be written": {[]string{confirmed("delta", false, said(1, "A", strings.Repeat("9", 38), ""))},
			confirmed("delta", false, said(1, "A", strings.Repeat("9", 38), "")), problem.OrderLedger},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := after(t, tt.before...)
			before := ledger(o)
			kind, data, _ := strings.Cut(tt.last, " ")
			next, err := o.Apply(event(kind, data))
			var p *problem.Error
			if next != nil || !errors.As(err, &p) || p.Code != tt.code {
				t.Fatalf("got %v, want %s", err, tt.code)
			}
			if p.Extra["state"] == nil && tt.code != problem.OrderLedger {
				t.Error("the refusal does not say where the order stands")
			}
			if d := cmp.Diff(before, ledger(o)); d != "" {
				t.Errorf("a refused statement changed the order:\n%s", d)
			}
		})
	}
}

// A milestone that is planned, or that moves no goods, does not take the order out of its owner's hands.
func TestMilestonesAndExecution(t *testing.T) {
	t.Parallel()
	for statement, executing := range map[string]bool{
		`{"milestone":"picked_up","classifier":"actual"}`: true, `{"milestone":"loaded","classifier":"actual"}`: true,
		`{"milestone":"picked_up","classifier":"planned"}`: false, `{"milestone":"estimated_delivery","classifier":"estimated"}`: false,
		`{"milestone":"info_received","classifier":"actual"}`: false, `{"milestone":"pickup_arrived","classifier":"actual"}`: false,
	} {
		o := after(t, ShipmentMilestone+" "+statement)
		if o.InExecution != executing || len(o.Milestones) != 1 {
			t.Errorf("%s: in execution %v, want %v", statement, o.InExecution, executing)
		}
		_, err := o.Apply(event(OrderCancelled, `{"version":1}`))
		if executing != problem.Is(err, problem.OrderTooLate) {
			t.Errorf("%s: cancel answers %v", statement, err)
		}
	}
}

func TestAmendment(t *testing.T) {
	t.Parallel()
	o := after(t, sClaim, sAck, sAmend)
	if o.Version != 2 || o.State != StateReleased || o.Claim != "" || o.ClaimedTill != "" || o.PromisedFor != "" || len(o.Lines) != 1 {
		t.Errorf("after the amendment: %+v", o)
	}
	if !strings.Contains(string(o.Body), `"version":2`) {
		t.Error("the feed still shows the old content")
	}
	o = after(t, sAmend, strings.Replace(sAmend, `"version":2`, `"version":3`, 1), strings.Replace(sClaim, `"version":1`, `"version":3`, 1))
	if o.Version != 3 || o.State != StateClaimed || o.Claim != "W-1" {
		t.Errorf("claimed at version 3: %+v", o)
	}
}

// An order in two shipments is delivered when both have arrived, in whatever order that is said.
func TestDeliveryOfParts(t *testing.T) {
	t.Parallel()
	ship := func(id, line, sku, value string) string {
		return fmt.Sprintf(`%s {"shipment":%q,"shippedAt":"t","mode":"delta","lines":[{"sku":%q,"shipped":{"value":%q,"unit":%q}}]}`, ShipmentConfirmed, id, sku, value, line)
	}
	arrived := func(id, at string) string {
		return fmt.Sprintf(`%s {"shipment":%q,"deliveredAt":%q,"condition":"ok"}`, ShipmentDelivered, id, at)
	}
	one, two := ship("S-1", "EA", "A", "10"), ship("S-2", "KG", "B", "2.5")
	tests := map[string]struct {
		statements []string
		want       OrderState
		at         []string
	}{
		"one of two arrived":                    {[]string{one, two, arrived("S-1", "t1")}, StateShipped, []string{"t1", ""}},
		"both arrived":                          {[]string{one, two, arrived("S-2", "t1"), arrived("S-1", "t2")}, StateDelivered, []string{"t2", "t1"}},
		"the first before the second ships":     {[]string{one, arrived("S-1", "t1"), two, arrived("S-2", "t2")}, StateDelivered, []string{"t1", "t2"}},
		"a part alone":                          {[]string{one, arrived("S-1", "t1")}, StatePartiallyShipped, []string{"t1"}},
		"no shipment named means all of it":     {[]string{one, two, sDeliver}, StateDelivered, []string{"t4", "t4"}},
		"a name we do not know means all of it": {[]string{one, two, arrived("PRO-9", "t5")}, StateDelivered, []string{"t5", "t5"}},
		"said again with a later time":          {[]string{sShipAll, sDeliver, arrived("S-2", "t9")}, StateDelivered, []string{"t9"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := after(t, tt.statements...)
			var at []string
			for _, s := range o.Shipments {
				at = append(at, s.DeliveredAt)
			}
			if o.State != tt.want || cmp.Diff(tt.at, at) != "" || o.DeliveredAt == "" {
				t.Errorf("state %s, arrivals %q, delivered at %q; want %s, %q", o.State, at, o.DeliveredAt, tt.want, tt.at)
			}
		})
	}
}

// TestLedgerStaysBalanced applies random statements, good and bad, and holds every accepted result to the
// ledger's law (RULES 10): ordered + over = shipped + backordered + cancelled + open, nothing below zero.
func TestLedgerStaysBalanced(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 11))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	number := func() string { return fmt.Sprintf("%d%s", r.IntN(9)-1, pick("", ".5", ".25", "")) }
	line := func() string {
		more := pick("", "", fmt.Sprintf(`,"backordered":{"value":%q,"unit":"EA"}`, number()))
		return fmt.Sprintf(`{"lineNo":%d,"sku":%q,"shipped":{"value":%q,"unit":"EA"},"quantity":{"value":%q,"unit":"EA"},"status":%q%s}`, r.IntN(4), pick("A", "B", "C", ""),
			number(), number(), pick("complete", "partial_backordered", "partial_closed", "backordered", "substituted", "cancelled", "over", "accepted", "rejected"), more)
	}
	kinds := []string{OrderAmended, OrderCancelled, OrderClaimed, OrderAcknowledged, ShipmentConfirmed, ShipmentConfirmed, ShipmentConfirmed, ShipmentMilestone, ShipmentDelivered}
	accepted := map[string]int{}
	refusals := 0
	for range 1500 {
		o := released(t, `{"order":"N","version":1,"lines":[{"lineNo":1,"sku":"A","quantity":{"value":"6","unit":"EA"}},{"lineNo":2,"sku":"B","quantity":{"value":"7.25","unit":"EA"}},{"lineNo":3,"sku":"B","quantity":{"value":"0","unit":"EA"}}]}`)
		var story []string
		for range 12 {
			var lines []string
			for range r.IntN(4) {
				lines = append(lines, line())
			}
			kind := kinds[r.IntN(len(kinds))]
			data := fmt.Sprintf(`{"version":%d,"claim":"c","result":%q,"mode":%q,"final":%v,"shipment":%q,"milestone":"in_transit","classifier":%q,"deliveredAt":"t","lines":[%s]}`,
				o.Version+r.IntN(2), pick("accepted", "changed", "rejected"), pick("delta", "cumulative"), r.IntN(6) == 0, pick("S1", "S2"), pick("planned", "actual"), strings.Join(lines, ","))
			story = append(story, kind+" "+data)
			next, err := o.Apply(event(kind, data))
			if err != nil {
				var p *problem.Error
				if !errors.As(err, &p) || !strings.HasPrefix(string(p.Code), "order.") {
					t.Fatalf("seed %d: refused with %v after\n%s", seed, err, strings.Join(story, "\n"))
				}
				refusals++
				continue
			}
			accepted[kind]++
			for i := range next.Lines {
				l := &next.Lines[i]
				sum := l.Shipped.Add(l.Backordered).Add(l.Cancelled).Add(l.Open)
				for _, d := range []Decimal{l.Shipped, l.Backordered, l.Cancelled, l.Open, l.Over} {
					if d.Sign() < 0 {
						t.Fatalf("seed %d: line %d has a quantity below zero: %v after\n%s", seed, l.LineNo, ledger(next), strings.Join(story, "\n"))
					}
				}
				if sum.Cmp(l.Ordered.Add(l.Over)) != 0 || !l.Balanced() {
					t.Fatalf("seed %d: line %d does not balance: %v after\n%s", seed, l.LineNo, ledger(next), strings.Join(story, "\n"))
				}
				if waiting := l.Open.Sign() > 0 || l.Backordered.Sign() > 0; waiting && (next.State == StateShipped || next.State == StateDelivered || next.State == StateCancelled) {
					t.Fatalf("seed %d: the order is %s while line %d waits after\n%s", seed, next.State, l.LineNo, strings.Join(story, "\n"))
				}
			}
			o = next
		}
	}
	t.Logf("accepted %v, refused %d", accepted, refusals)
	for kind := range transitions {
		if accepted[kind] == 0 {
			t.Errorf("no %s was ever accepted: the generator proves nothing about it", kind)
		}
	}
}

// unbalanced ledgers must be seen, or the property above cannot fail.
func TestBalancedSeesWhatIsWrong(t *testing.T) {
	t.Parallel()
	good := Line{Ordered: Whole(10), Shipped: Whole(4), Open: Whole(6)}
	if !good.Balanced() {
		t.Error("a balanced line is refused")
	}
	for name, l := range map[string]Line{
		"too little":  {Ordered: Whole(10), Shipped: Whole(4), Open: Whole(5)},
		"too much":    {Ordered: Whole(10), Shipped: Whole(4), Open: Whole(7)},
		"below zero":  {Ordered: Whole(10), Shipped: Whole(14), Open: Whole(-4)},
		"over by two": {Ordered: Whole(10), Shipped: Whole(10), Over: Whole(2)},
	} {
		if l.Balanced() {
			t.Errorf("%s: balanced", name)
		}
	}
}

func TestCloudEvent(t *testing.T) {
	t.Parallel()
	at, err := ParseInstant("2026-09-14T15:40:00-05:00", ZoneMessage)
	if err != nil {
		t.Fatal(err)
	}
	e := Event{ID: "0199f3c2-7b1e-7c44-9a55-3f0d2b6e8a10", Type: ShipmentConfirmed, Source: "/partners/o/c", Subject: "order/N-1", Time: at, Recorded: recorded,
		Org: "o-three", Recipient: "o-erp", Environment: "live", CorrelationID: "order-id", CausationID: "cause", PartitionKey: "N-1", Sequence: 12, Data: json.RawMessage(`{"order":"N-1","n":"1.50"}`)}
	render := func(e *Event) map[string]any {
		b, err := e.CloudEvent()
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	want := map[string]any{"specversion": "1.0", "id": e.ID, "source": "/partners/o/c", "type": ShipmentConfirmed, "subject": "order/N-1",
		"time": "2026-09-14T15:40:00-05:00", "datacontenttype": "application/json", "partnerid": "o-three", "correlationid": "order-id", "causationid": "cause",
		"partitionkey": "N-1", "sequence": "00000012", "environment": "live", "data": map[string]any{"order": "N-1", "n": "1.50"}}
	if d := cmp.Diff(want, render(&e)); d != "" {
		t.Errorf("CloudEvent (-want +got):\n%s", d)
	}
	// CloudEvents 1.0 section 3.1: an attribute is absent or a non-empty value; names are lower-case letters and digits.
	bare := render(&Event{ID: "i", Type: "t.v1", Source: "/s"})
	for name, value := range bare {
		if value == "" {
			t.Errorf("attribute %q is empty", name)
		}
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" || len(name) > 20 {
			t.Errorf("attribute name %q is not allowed", name)
		}
	}
	for n := int64(1); n < 99_999_999; n = n*3 + 1 {
		if a, b := sequence(n), sequence(n+1); a >= b {
			t.Errorf("sequences %q and %q do not sort as numbers", a, b)
		}
	}
}

// TestArrivalBeforeItsConfirmation keeps an arrival that overtakes the confirmation of its shipment.
func TestArrivalBeforeItsConfirmation(t *testing.T) {
	t.Parallel()
	early := ShipmentDelivered + ` {"order":"N-1","shipment":"S-2","deliveredAt":"t9","condition":"ok"}`
	waiting := after(t, sAck, early)
	if waiting.State != StateAcknowledged || !waiting.InExecution || len(waiting.Arrivals) != 1 {
		t.Errorf("after the arrival: %+v", waiting)
	}
	done := after(t, sAck, early, sShipAll)
	if done.State != StateDelivered || done.Shipments[0].DeliveredAt != "t9" || len(done.Arrivals) != 0 {
		t.Errorf("after the confirmation: %+v", done)
	}
	other := after(t, sAck, ShipmentDelivered+` {"order":"N-1","shipment":"S-7","deliveredAt":"t9","condition":"ok"}`, sShipAll)
	if other.State != StateShipped || len(other.Arrivals) != 1 {
		t.Errorf("another shipment's arrival counts: %+v", other)
	}
}

// TestClaimRunsOut lets a second claim take an order whose first one was given until a time that has passed.
func TestClaimRunsOut(t *testing.T) {
	t.Parallel()
	past := strings.Replace(sClaim, "2099-", "2001-", 1)
	again := strings.Replace(sClaim, "W-1", "W-2", 1)
	if o := after(t, past, again); o.Claim != "W-2" || o.State != StateClaimed {
		t.Errorf("claim %q, state %s", o.Claim, o.State)
	}
}
