package intake_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"portway/internal/eventlog"
	"portway/internal/idempotent"
	"portway/internal/ident"
	"portway/internal/intake"
	"portway/internal/logistics"
	"portway/internal/problem"
)

func TestJSONStatementIsStoredAndAnswered(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	a, err := h.json(h.call(shipper, "orders-v1-release", releaseBody("SO-1", "three")))
	if err != nil {
		t.Fatal(err)
	}
	body := members(t, a.Body)
	if a.Status != 202 || a.ContentType != "application/json" || body["order"] != "SO-1" || body["state"] != "accepted" || body["eventId"] != a.EventID {
		t.Fatalf("answer %d %s: %s", a.Status, a.ContentType, a.Body)
	}
	status := "/v1/events/" + a.EventID
	if header(a.Header, "Location") != status || body["links"].(map[string]any)["status"] != status {
		t.Errorf("the status URL is %q and %v", header(a.Header, "Location"), body["links"])
	}
	event, document, err := h.events.Event(context.Background(), shipper, a.EventID)
	if err != nil {
		t.Fatal(err)
	}
	if event.Type != "order.released.v1" || event.Source != "/partners/shipper/WMS%20bridge" || event.Subject != "order/SO-1" || event.Recipient != three {
		t.Errorf("event %+v", event)
	}
	if v := h.snapshot.Events[event.Type].Schema.Validate(event.Data); len(v) > 0 {
		t.Errorf("the data breaks its schema: %v", v)
	}
	data := members(t, event.Data)
	source := data["source"].(map[string]any)
	if source["format"] != "json" || source["mapping"] != "orders-v1-release" || source["mappingVersion"] != 1.0 || data["timezoneSource"] != "message" {
		t.Errorf("source %v, zone %v", source, data["timezoneSource"])
	}
	if document.ID != body["documentId"] || document.State != eventlog.DocumentAccepted || document.RequestID != "request-1" || string(document.Raw) != releaseBody("SO-1", "three") {
		t.Errorf("document %+v", document)
	}
	order, err := h.events.Order(context.Background(), three, ident.Sandbox, "SO-1")
	if err != nil || order.State != logistics.StateReleased || order.Fulfiller != three {
		t.Errorf("order %+v: %v", order, err)
	}
	if strings.Contains(h.logs.String(), "SO-1") || !strings.Contains(h.logs.String(), `"request_id":"request-1"`) || strings.Count(h.logs.String(), "\n") != 1 {
		t.Errorf("log: %s", h.logs)
	}
	if h.woken != 0 {
		t.Error("woken without a delivery")
	}
}

func TestJSONConfirmationReachesTheOutbox(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.release("SO-1")
	a, err := h.json(h.call(three, "shipments-v2-confirm", confirmBody("SO-1", "SH-1", "120", "24")))
	if err != nil {
		t.Fatal(err)
	}
	due := h.due()
	if len(due) != 1 || due[0].Event.ID != a.EventID || due[0].Route != "erp" || h.woken != 1 {
		t.Fatalf("due %+v, woken %d", due, h.woken)
	}
	e := due[0].Event
	want := []logistics.Ref{{Scheme: "so", Value: "SO-1"}, {Scheme: "shipment", Value: "SH-1"}, {Scheme: "pro", Value: "PRO-1", Scope: "FDEG"}}
	if !reflect.DeepEqual(e.Refs, want) {
		t.Errorf("refs %v, want %v", e.Refs, want)
	}
	if e.Time.String() != "2026-09-14T15:40:00-05:00" || e.Time.Zone != logistics.ZoneMessage {
		t.Errorf("time %s from %s", e.Time, e.Time.Zone)
	}
	order, err := h.events.Order(context.Background(), shipper, ident.Sandbox, "SO-1")
	if err != nil || order.State != logistics.StateShipped {
		t.Errorf("order %+v: %v", order, err)
	}
}

func TestJSONDuplicateAndConflict(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.release("SO-1")
	first, err := h.json(h.call(three, "shipments-v2-confirm", confirmBody("SO-1", "SH-1", "120", "24")))
	if err != nil {
		t.Fatal(err)
	}
	before := h.rows()
	// Other spelling of the quantities, another time of shipping: the same statement.
	again := strings.Replace(confirmBody("SO-1", "SH-1", "120.00", "24.0"), "T15:40", "T15:41", 1)
	a, err := h.json(h.call(three, "shipments-v2-confirm", again))
	if err != nil {
		t.Fatal(err)
	}
	body := members(t, a.Body)
	if a.Status != 200 || body["duplicate_of"] != first.EventID || body["eventId"] != first.EventID || header(a.Header, "Duplicate-Of") != first.EventID || a.EventID != first.EventID {
		t.Errorf("answer %d %v: %s", a.Status, a.Header, a.Body)
	}
	after := h.rows()
	if before["documents"]++; !reflect.DeepEqual(before, after) {
		t.Errorf("rows %v, want %v", after, before)
	}
	_, err = h.json(h.call(three, "shipments-v2-confirm", confirmBody("SO-1", "SH-1", "119", "24")))
	p := refusal(t, err, problem.BusinessConflict)
	if p.Extra["original"] != first.EventID || p.Extra["duplicate_of"] != first.EventID {
		t.Errorf("extra %v", p.Extra)
	}
	if rows := h.rows(); !reflect.DeepEqual(after, rows) {
		t.Errorf("a conflict leaves %v, want %v", rows, after)
	}
}

func TestJSONRefusalsLeaveNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.release("SO-1")
	before := h.rows()
	with := func(org ident.OrgID, mapping, body string, path map[string]string) intake.Call {
		c := h.call(org, mapping, body)
		if path != nil {
			c.Path = path
		}
		return c
	}
	tests := []struct {
		name    string
		call    intake.Call
		code    problem.Code
		in      string
		pointer string
	}{
		{"unknown fulfiller", with(shipper, "orders-v1-release", releaseBody("SO-2", "nobody"), nil), problem.SchemaViolation, "body", "/fulfiller"},
		{"a value the mapping does not know", with(three, "shipments-v1-milestone", `{"orderNumber":"SO-1","status":"TELEPORTED","at":"2026-09-14T10:00:00Z"}`, nil),
			problem.MappingFailed, "body", "/status"},
		{"a missing part", with(three, "shipments-v1-milestone", `{"orderNumber":"SO-1","status":"DELIVERED"}`, nil), problem.MappingFailed, "body", "/at"},
		{"a missing path parameter", with(three, "orders-v1-claim", `{"version":1,"claim":"W-1"}`, map[string]string{}), problem.MappingFailed, "path", "order"},
		{"an event that breaks its schema", with(three, "orders-v1-claim", `{"version":0,"claim":"W-1"}`, map[string]string{"order": "SO-1"}), problem.MappingFailed, "document", "/version"},
		{"not JSON", with(three, "orders-v1-claim", `{"version":1`, map[string]string{"order": "SO-1"}), problem.BodyMalformed, "", ""},
		{"something behind", with(three, "orders-v1-claim", `{"version":1}{}`, map[string]string{"order": "SO-1"}), problem.BodyMalformed, "", ""},
		{"unknown order", with(three, "shipments-v2-confirm", confirmBody("SO-9", "SH-1", "1", "1"), nil), problem.OrderUnknown, "", ""},
		{"an order of others", with(other, "shipments-v2-confirm", confirmBody("SO-1", "SH-1", "1", "1"), nil), problem.OrderUnknown, "", ""},
		{"another version", with(three, "orders-v1-claim", `{"version":7,"claim":"W-1"}`, map[string]string{"order": "SO-1"}), problem.OrderVersion, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.call.Key = keyOf(&tt.call, "0123456789abcdef-"+tt.name)
			_, err := h.json(tt.call)
			p := refusal(t, err, tt.code)
			if tt.pointer != "" && (len(p.Violations) == 0 || p.Violations[0].In != tt.in || p.Violations[0].Pointer != tt.pointer) {
				t.Errorf("violations %+v, want %s %s", p.Violations, tt.in, tt.pointer)
			}
			if rows := h.rows(); !reflect.DeepEqual(before, rows) {
				t.Errorf("rows %v, want %v", rows, before)
			}
		})
	}
	if strings.Contains(h.logs.String(), "TELEPORTED") || strings.Contains(h.logs.String(), "SO-9") {
		t.Errorf("the log holds content: %s", h.logs)
	}
}

// keyOf binds an Idempotency-Key to a call, as the gateway does before intake sees it.
func keyOf(c *intake.Call, value string) *idempotent.Key {
	return &idempotent.Key{Org: c.Org, Application: c.Application, Environment: c.Environment, Operation: c.Route.ID, Value: value,
		Fingerprint: string(c.Body)}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.release("SO-1")
	const value = "8e03978e-40d5-43dd-bc93-6894a57f9324"
	c := h.call(three, "shipments-v2-confirm", confirmBody("SO-1", "SH-1", "120", "24"))
	c.Key = keyOf(&c, value)
	first, err := h.json(c)
	if err != nil {
		t.Fatal(err)
	}
	rows := h.rows()
	again, err := h.json(c)
	if err != nil {
		t.Fatal(err)
	}
	if again.Status != first.Status || string(again.Body) != string(first.Body) || again.ContentType != first.ContentType || again.EventID != first.EventID ||
		header(again.Header, "Idempotent-Replayed") != "true" || header(again.Header, "Location") != header(first.Header, "Location") {
		t.Errorf("replayed %+v, want %+v", again, first)
	}
	if header(first.Header, "Idempotent-Replayed") != "" {
		t.Error("the first answer says it is replayed")
	}
	if got := h.rows(); !reflect.DeepEqual(got, rows) {
		t.Errorf("a replay leaves %v, want %v", got, rows)
	}
	reused := c
	reused.Body = []byte(confirmBody("SO-1", "SH-1", "120", "23"))
	reused.Key = keyOf(&reused, value)
	_, err = h.json(reused)
	refusal(t, err, problem.IdempotencyReuse)
	// The other environment knows neither the key nor the order.
	live := c
	live.Environment = ident.Live
	live.Key = keyOf(&live, value)
	_, err = h.json(live)
	refusal(t, err, problem.OrderUnknown)
}

func TestStoreThatFails(t *testing.T) {
	t.Parallel()
	down := problem.Wrap(problem.StoreUnavailable, errors.New("disk full"), "nothing can be stored")
	h := newHouseWith(t, func(s eventlog.Store) eventlog.Store { return broken{Store: s, err: down} }, nil)
	_, err := h.json(h.call(shipper, "orders-v1-release", releaseBody("SO-1", "three")))
	refusal(t, err, problem.StoreUnavailable)
	_, err = h.edi(x945("000000001", "SO-1", "SH-1"))
	refusal(t, err, problem.StoreUnavailable)
	_, err = h.edi("not an interchange")
	refusal(t, err, problem.StoreUnavailable)
	for _, line := range strings.Split(strings.TrimSpace(h.logs.String()), "\n") {
		if m := members(t, []byte(line)); m["level"] != "ERROR" || m["code"] != "store.unavailable" {
			t.Errorf("log %s", line)
		}
	}
}

type broken struct {
	eventlog.Store
	err error
}

func (b broken) Accept(context.Context, eventlog.Acceptance) (eventlog.Result, error) {
	return eventlog.Result{}, b.err
}

func TestRecordedTimeIsTheClocks(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	a, err := h.json(h.call(shipper, "orders-v1-release", releaseBody("SO-1", "three")))
	if err != nil {
		t.Fatal(err)
	}
	e, _, err := h.events.Event(context.Background(), shipper, a.EventID)
	if err != nil {
		t.Fatal(err)
	}
	var data struct{ RecordedAt time.Time }
	if err := json.Unmarshal(e.Data, &data); err != nil || !data.RecordedAt.Equal(h.clock.Now()) || !e.Recorded.Equal(h.clock.Now()) {
		t.Errorf("recorded %s and %s, want %s (%v)", data.RecordedAt, e.Recorded, h.clock.Now(), err)
	}
}
