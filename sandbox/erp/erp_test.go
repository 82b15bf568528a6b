package erp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"portway/internal/ident"
	"portway/sandbox/seed"
)

const testSeed = `{"items":[{"sku":"ITEM-1","unit":"EA","packs":{"CA":"12"}},{"sku":"ITEM-2","unit":"EA","packs":{"CA":"6"}},{"sku":"ITEM-3","unit":"EA"}],
	"stock":[{"sku":"ITEM-1","location":"CHI","onHand":"4800","unit":"EA"},{"sku":"ITEM-2","location":"CHI","onHand":"600","unit":"EA"}],"orders":[]}`

type bench struct {
	t     *testing.T
	erp   *ERP
	url   string
	clock *ident.Manual
}

func start(t *testing.T, dir string) *bench {
	t.Helper()
	clock := ident.NewManual(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	e, err := New(Options{Clock: clock, Dir: dir, Seed: []byte(testSeed)})
	if err != nil {
		t.Fatal(err)
	}
	ts := httptest.NewServer(e.Handler())
	t.Cleanup(ts.Close)
	return &bench{t, e, ts.URL, clock}
}

func (b *bench) send(method, path, media, body string) (int, string) {
	b.t.Helper()
	req, err := http.NewRequest(method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

func (b *bench) post(path, body string) (int, string) {
	b.t.Helper()
	return b.send("POST", path, "application/json", body)
}

const cloudEvents = "application/cloudevents+json; charset=utf-8"

// event sends one event and returns status and verdict.
func (b *bench) event(id, kind, data string) (int, verdict) {
	b.t.Helper()
	body := fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/gateway","type":%q,"datacontenttype":"application/json","partnerid":"p","data":%s}`, id, kind, data)
	status, got := b.send("POST", "/events", cloudEvents, body)
	var v verdict
	if err := json.Unmarshal([]byte(got), &v); err != nil {
		b.t.Fatalf("%v: %s", err, got)
	}
	return status, v
}

func (b *bench) order(number string) orderView {
	b.t.Helper()
	status, body := b.send("GET", "/sales-orders/"+number, "", "")
	var v orderView
	if err := json.Unmarshal([]byte(body), &v); err != nil || status != 200 {
		b.t.Fatalf("%d %v: %s", status, err, body)
	}
	return v
}

const anOrder = `{"order":"T-1","purchaseOrder":"PO-9","fulfiller":"tpl-one","site":"CHI","priority":"rush","shipNotAfter":"2026-03-05",
	"shipTo":{"name":"Shop","street":["Main 1"],"city":"Peoria","region":"IL","postalCode":"61602","country":"US"},
	"lines":[{"lineNo":"1","sku":"ITEM-1","quantity":{"value":"120","unit":"EA"}},{"lineNo":2,"sku":"ITEM-2","quantity":{"value":"24","unit":"EA"}}]}`

// released puts anOrder into state released without a gateway.
func (b *bench) released() {
	b.t.Helper()
	if status, body := b.post("/sales-orders", anOrder); status != 201 {
		b.t.Fatalf("%d %s", status, body)
	}
	if err := b.erp.store.Update(func(s *state) bool { s.Orders["T-1"].State = stateReleased; return true }); err != nil {
		b.t.Fatal(err)
	}
}

// confirm is a confirmation of T-1; lines is the JSON of its lines.
func confirm(shipment, mode string, final bool, lines string) string {
	return fmt.Sprintf(`{"order":"T-1","shipment":%q,"shippedAt":"2026-03-02T10:00:00-06:00","mode":%q,"final":%v,
		"carrier":{"scac":"ABCD"},"lines":[%s],"packages":[{"trackingNumber":"TN-%s"}],"refs":[{"scheme":"so","value":"T-1"}]}`, shipment, mode, final, lines, shipment)
}

func line(sku, shipped, unit, more string) string {
	return fmt.Sprintf(`{"sku":%q,"shipped":{"value":%q,"unit":%q}%s}`, sku, shipped, unit, more)
}

func (b *bench) want(state string, postings int, lines ...string) {
	b.t.Helper()
	v := b.order("T-1")
	if v.State != state || v.Postings != postings {
		b.t.Errorf("state %s with %d postings, want %s with %d", v.State, v.Postings, state, postings)
	}
	for i, want := range lines {
		l := v.Lines[i]
		got := fmt.Sprintf("%s/%s/%s/%s", l.Shipped, l.Backordered, l.Cancelled, l.Open)
		if got != want {
			b.t.Errorf("line %d shipped/backordered/cancelled/open = %s, want %s", i+1, got, want)
		}
		over := l.Shipped.Add(l.Backordered).Add(l.Cancelled).Add(l.Open).Sub(l.Ordered)
		if over.Sign() < 0 || (over.Sign() > 0 && l.Shipped.Cmp(l.Ordered) <= 0) {
			b.t.Errorf("line %d breaks the ledger: %+v", i+1, l)
		}
	}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	if status, body := b.post("/sales-orders", anOrder); status != 201 || !strings.Contains(body, `"state":"open"`) || !strings.Contains(body, `"lineNo":2`) {
		t.Fatalf("%d %s", status, body)
	}
	if status, _ := b.post("/sales-orders", anOrder); status != 200 {
		t.Errorf("the same again: %d", status)
	}
	if status, _ := b.post("/sales-orders", strings.Replace(anOrder, "120", "121", 1)); status != 409 {
		t.Errorf("other content: %d", status)
	}
	if status, _ := b.post("/sales-orders", strings.Replace(anOrder, `"site"`, `"sight"`, 1)); status != 400 {
		t.Errorf("unknown member: %d", status)
	}
	status, body := b.post("/sales-orders", `{"order":"T-2","priority":"soon","deliverBy":"tomorrow","lines":[{"lineNo":"1","sku":"nothing","quantity":{"value":"0","unit":"EA"}},
		{"lineNo":"1","sku":"ITEM-1","quantity":{"value":"1","unit":"ZZ"}}]}`)
	for _, want := range []string{"fulfiller", "site", "priority", "deliverBy", "shipTo", "lines/0/quantity/value", "lines/0/sku", "lines/1/lineNo", "lines/1/quantity/unit"} {
		if status != 422 || !strings.Contains(body, want) {
			t.Errorf("%d, %q is not named in %s", status, want, body)
		}
	}
	if status, _ := b.send("GET", "/sales-orders/T-2", "", ""); status != 404 {
		t.Errorf("a refused order exists: %d", status)
	}
	if status, body := b.send("GET", "/sales-orders", "", ""); status != 200 || !strings.Contains(body, `"order":"T-1"`) {
		t.Errorf("list: %d %s", status, body)
	}
}

func TestLedger(t *testing.T) {
	t.Parallel()
	type step struct {
		data   string
		status int
		result string
	}
	back := `,"backordered":{"value":"24","unit":"EA"},"status":"backordered"`
	cases := map[string]struct {
		steps    []step
		state    string
		postings int
		lines    []string
	}{
		"cartons are converted, the rest is backordered": {
			[]step{{confirm("S1", "delta", true, line("ITEM-1", "10", "CA", `,"status":"complete"`)+","+line("ITEM-2", "0", "EA", back)), 200, "posted"}},
			statePartial, 1, []string{"120/0/0/0", "0/24/0/0"}},
		"backorder follows": {
			[]step{{confirm("S1", "delta", false, line("ITEM-1", "120", "EA", "")+","+line("ITEM-2", "0", "EA", back)), 200, "posted"},
				{confirm("S2", "delta", true, line("ITEM-2", "24", "EA", "")), 200, "posted"}},
			stateShipped, 2, []string{"120/0/0/0", "24/0/0/0"}},
		"the same in cartons is a duplicate": {
			[]step{{confirm("S1", "delta", false, line("ITEM-1", "120", "EA", "")), 200, "posted"},
				{confirm("S1", "delta", true, line("ITEM-1", "10", "CA", `,"lineNo":"1"`)), 200, "already_posted"}},
			statePartial, 1, []string{"120/0/0/0", "0/0/0/24"}},
		"other quantities under one key conflict": {
			[]step{{confirm("S1", "delta", false, line("ITEM-1", "60", "EA", "")), 200, "posted"},
				{confirm("S1", "delta", false, line("ITEM-1", "61", "EA", "")), 422, "rejected"}},
			statePartial, 1, []string{"60/0/0/60"}},
		"cumulative posts the difference": {
			[]step{{confirm("S1", "cumulative", false, line("ITEM-1", "50", "EA", "")), 200, "posted"},
				{confirm("S2", "cumulative", false, line("ITEM-1", "80", "EA", "")), 200, "posted"},
				{confirm("S3", "cumulative", false, line("ITEM-1", "70", "EA", "")), 422, "rejected"}},
			statePartial, 2, []string{"80/0/0/40"}},
		"final closes what is open": {
			[]step{{confirm("S1", "delta", true, line("ITEM-1", "100", "EA", `,"status":"partial_closed"`)), 200, "posted"}},
			stateShipped, 1, []string{"100/0/20/0", "0/0/24/0"}},
		"over-shipment": {
			[]step{{confirm("S1", "delta", false, line("ITEM-1", "132", "EA", `,"status":"over"`)), 200, "posted"}},
			statePartial, 1, []string{"132/0/0/0", "0/0/0/24"}},
		"lots of one item are summed exactly": {
			[]step{{confirm("S1", "delta", false, line("ITEM-1", "0.1", "EA", "")+","+line("ITEM-1", "0.2", "EA", "")), 200, "posted"}},
			statePartial, 1, []string{"0.3/0/0/119.7"}},
		"nothing is guessed": {
			[]step{{confirm("S1", "delta", false, line("ITEM-1", "1", "PF", "")), 422, "rejected"},
				{confirm("S1", "delta", false, line("ITEM-1", "0.3", "CA", "")), 422, "rejected"},
				{confirm("S1", "delta", false, line("ITEM-9", "1", "EA", "")), 422, "rejected"},
				{confirm("S1", "sometimes", false, line("ITEM-1", "-1", "EA", `,"status":"odd"`)), 422, "rejected"},
				{confirm("S1", "delta", false, line("ITEM-1", "120", "EA", `,"backordered":{"value":"1","unit":"EA"}`)), 422, "rejected"},
				{confirm("S1", "delta", false, ""), 422, "rejected"},
				{strings.Replace(confirm("S1", "delta", false, line("ITEM-1", "1", "EA", "")), `"1"`, `1`, 1), 422, "rejected"}},
			stateReleased, 0, []string{"0/0/0/120", "0/0/0/24"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t, "")
			b.released()
			for i, s := range c.steps {
				status, v := b.event(fmt.Sprint("e", i), "shipment.confirmed.v1", s.data)
				if status != s.status || v.Result != s.result || (v.Result == "rejected" && v.Reason == "") {
					t.Errorf("step %d: %d %+v, want %d %s", i+1, status, v, s.status, s.result)
				}
			}
			b.want(c.state, c.postings, c.lines...)
		})
	}
}

func TestLifeOfAnOrder(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	b.post("/sales-orders", anOrder)
	all := line("ITEM-1", "120", "EA", "") + "," + line("ITEM-2", "24", "EA", "")
	if _, v := b.event("e0", "shipment.confirmed.v1", confirm("S1", "delta", true, all)); v.Reason != "order is not released" {
		t.Errorf("before release: %+v", v)
	}
	if err := b.erp.store.Update(func(s *state) bool { s.Orders["T-1"].State = stateReleased; return true }); err != nil {
		t.Fatal(err)
	}
	delivered := `{"order":"T-1","shipment":"S1","deliveredAt":"2026-03-04T09:00:00Z","condition":"ok"}`
	steps := []struct{ id, kind, data, result, state string }{
		{"e1", "order.claimed.v1", `{"order":"T-1","version":1,"claim":"C-1"}`, "posted", stateReleased},
		{"e2", "order.acknowledged.v1", `{"order":"T-1","version":9,"result":"fine","lines":[{"lineNo":"7"}]}`, "rejected", stateReleased},
		{"e3", "order.acknowledged.v1", `{"order":"T-1","version":1,"result":"accepted","promisedShipDate":"2026-03-02","lines":[{"lineNo":1,"status":"accepted"}]}`, "posted", stateAcked},
		{"e3", "order.acknowledged.v1", `{"order":"T-1","version":1,"result":"accepted"}`, "already_posted", stateAcked},
		// The proof of delivery overtakes its confirmation.
		{"e4", "shipment.delivered.v1", delivered, "posted", stateAcked},
		{"e5", "shipment.confirmed.v1", confirm("S1", "delta", true, all), "posted", stateDelivered},
		{"e5", "shipment.confirmed.v1", confirm("S1", "delta", true, all), "already_posted", stateDelivered},
		{"e6", "shipment.delivered.v1", delivered, "already_posted", stateDelivered},
		{"e7", "shipment.milestone.v1", `{"order":"T-1","shipment":"S1","milestone":"departed","classifier":"actual","occurredAt":"2026-03-02T11:00:00-06:00","location":{"city":"Chicago"}}`, "posted", stateDelivered},
		{"e8", "shipment.milestone.v1", `{"order":"T-1"}`, "rejected", stateDelivered},
		{"e9", "order.acknowledged.v1", `{"order":"T-1","version":1,"result":"rejected","reason":"late"}`, "posted", stateDelivered},
		{"e10", "weather.changed.v1", `{"order":"T-1"}`, "rejected", ""},
		{"e11", "shipment.delivered.v1", `{"order":"T-404","deliveredAt":"2026-03-04T09:00:00Z","condition":"ok"}`, "rejected", ""},
	}
	for _, s := range steps {
		status, v := b.event(s.id, s.kind, s.data)
		if v.Result != s.result || v.State != s.state || (status == 422) != (s.result == "rejected") {
			t.Errorf("%s %s: %d %+v, want %s in %s", s.id, s.kind, status, v, s.result, s.state)
		}
		if s.id == "e11" && v.Reason != "unknown order" {
			t.Errorf("reason %q", v.Reason)
		}
	}
	v := b.order("T-1")
	if len(v.Milestones) != 1 || len(v.Shipments) != 1 || v.Shipments[0].DeliveredAt == "" || v.Shipments[0].TrackingNumbers[0] != "TN-S1" || v.Claim != "C-1" {
		t.Errorf("%+v", v)
	}
}

func TestEnvelope(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	good := `{"specversion":"1.0","id":"1","source":"s","type":"order.claimed.v1","data":{"order":"x"}}`
	cases := []struct {
		media, body string
		status      int
	}{
		{"application/json", good, 415},
		{"application/cloudevents-batch+json", "[" + good + "]", 415},
		{"application/cloudevents+json; charset=latin1", good, 415},
		{"application/cloudevents+json", "{", 400},
		{"application/cloudevents+json", `{"specversion":"0.3","data":[]}`, 400},
		{"application/cloudevents+json", strings.Replace(good, `{"order":"x"}`, `"x"`, 1), 400},
		{"application/cloudevents+json", good, 422},
	}
	for _, c := range cases {
		if status, body := b.send("POST", "/events", c.media, c.body); status != c.status {
			t.Errorf("%s %s: %d %s, want %d", c.media, c.body, status, body, c.status)
		}
	}
	if _, body := b.send("POST", "/events", "application/cloudevents+json", `{}`); !strings.Contains(body, "specversion") || !strings.Contains(body, "source") || !strings.Contains(body, "data") {
		t.Errorf("not every problem is named: %s", body)
	}
}

func TestPeriod(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	b.released()
	one := confirm("S1", "delta", false, line("ITEM-1", "1", "EA", ""))
	for _, body := range []string{`{"closed":true,"orders":["T-1"]}`, `{"closed":true}`} {
		if status, got := b.post("/_sim/period", body); status != 200 {
			t.Fatalf("%d %s", status, got)
		}
		if status, v := b.event("e1", "shipment.confirmed.v1", one); status != 422 || v.Reason != "posting period is closed" {
			t.Errorf("%s: %d %+v", body, status, v)
		}
	}
	b.post("/_sim/period", `{"closed":false}`)
	// The very event that was rejected posts once its cause is gone.
	if status, v := b.event("e1", "shipment.confirmed.v1", one); status != 200 || v.Result != "posted" {
		t.Errorf("%d %+v", status, v)
	}
	if status, _ := b.post("/_sim/period", `{}`); status != 400 {
		t.Errorf("without closed: %d", status)
	}
}

func TestAvailability(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	b.released()
	ask := func() availabilityRow {
		t.Helper()
		status, body := b.send("GET", "/inventory/availability?sku=ITEM-1&location=CHI", "", "")
		var out struct {
			AsOf time.Time         `json:"asOf"`
			Rows []availabilityRow `json:"rows"`
		}
		if err := json.Unmarshal([]byte(body), &out); err != nil || status != 200 || len(out.Rows) != 1 || !out.AsOf.Equal(b.clock.Now()) {
			t.Fatalf("%d %v %s", status, err, body)
		}
		return out.Rows[0]
	}
	before := ask()
	if got := before.OnHand.Sub(before.Available).String(); got != "120" || before.Committed.String() != "120" {
		t.Errorf("before: %+v", before)
	}
	b.event("e1", "shipment.confirmed.v1", confirm("S1", "delta", false, line("ITEM-1", "5", "CA", "")))
	after := ask()
	if before.OnHand.Sub(after.OnHand).String() != "60" || after.Committed.String() != "60" || after.Available.Cmp(before.Available) != 0 {
		t.Errorf("after: %+v", after)
	}
	if _, body := b.send("GET", "/inventory/availability?sku=none", "", ""); !strings.Contains(body, `"rows":[]`) {
		t.Errorf("unknown item: %s", body)
	}
}

func TestStateSurvivesRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := start(t, dir)
	b.released()
	all := confirm("S1", "delta", true, line("ITEM-1", "120", "EA", "")+","+line("ITEM-2", "24", "EA", ""))
	b.event("e1", "shipment.confirmed.v1", all)
	before := b.order("T-1")
	b = start(t, dir)
	b.want(stateShipped, 1, "120/0/0/0", "24/0/0/0")
	if after := b.order("T-1"); !sameJSON(before, after) {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if _, v := b.event("e2", "shipment.confirmed.v1", all); v.Result != "already_posted" {
		t.Errorf("after restart: %+v", v)
	}
}

func TestSeed(t *testing.T) {
	t.Parallel()
	var s struct{ Items []item }
	if err := json.Unmarshal(seed.ERP, &s); err != nil {
		t.Fatal(err)
	}
	for _, it := range s.Items {
		sum := 0
		for i, c := range it.GTIN {
			sum += int(c-'0') * (3 - 2*(i%2))
		}
		if len(it.GTIN) != 14 || sum%10 != 0 {
			t.Errorf("%s has a GTIN with a wrong check digit", it.SKU)
		}
	}
	if _, err := New(Options{Seed: seed.ERP}); err != nil {
		t.Error(err)
	}
	_, err := New(Options{Seed: []byte(`{"items":[{"sku":"A","unit":""},{"sku":"A","unit":"EA","packs":{"CA":"0"}}],"stock":[{"sku":"B","onHand":"1"}],"orders":[{}]}`)})
	for _, want := range []string{"items/0", "items/1", "packs", "stock/0", "orders/0/order"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named: %v", want, err)
		}
	}
	if _, err := New(Options{Seed: []byte(`{"things":[]}`)}); err == nil {
		t.Error("an unknown member is accepted")
	}
}

func FuzzEvents(f *testing.F) {
	for _, data := range []string{
		confirm("S1", "delta", true, line("ITEM-1", "10", "CA", "")),
		`{"order":"T-1","version":1,"result":"accepted"}`, `{"order":"T-1","lines":[null]}`, `{"order":"T-1","lines":[{"shipped":{"value":"1e9"}}]}`, `{}`,
	} {
		f.Add("shipment.confirmed.v1", []byte(data))
		f.Add("order.acknowledged.v1", []byte(data))
	}
	e, err := New(Options{Seed: []byte(testSeed)})
	if err != nil {
		f.Fatal(err)
	}
	var in intent
	if err := json.Unmarshal([]byte(anOrder), &in); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, kind string, data []byte) {
		apply := handlers[kind]
		if apply == nil || !bytes.HasPrefix(data, []byte("{")) {
			return
		}
		o := newOrder(in)
		o.State = stateReleased
		s := &state{Orders: map[string]*order{"T-1": o}, Seen: map[string]bool{}}
		v, changed := e.take(s, envelope{ID: "1", Source: "s", Data: data}, apply)
		if changed != (v.Result == "posted") {
			t.Errorf("changed %v with %+v", changed, v)
		}
		for i, l := range o.Intent.Lines {
			b := o.Balance[i]
			if b.Shipped.Add(b.Backordered).Add(b.Cancelled).Add(b.open(l.Quantity.Value)).Cmp(l.Quantity.Value) != 0 && b.Shipped.Cmp(l.Quantity.Value) <= 0 {
				t.Errorf("line %d breaks the ledger: %+v", i, b)
			}
		}
	})
}
