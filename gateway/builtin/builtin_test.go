package builtin_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portway/gateway/builtin"
	"portway/gateway/exchange"
	"portway/internal/catalog"
	"portway/internal/delivery"
	"portway/internal/eventlog"
	"portway/internal/ident"
	"portway/internal/logistics"
	"portway/internal/partner"
	"portway/internal/problem"
)

// log is an event log that holds what a test puts in and notes what it was asked for.
type log struct {
	eventlog.Store
	feed     []eventlog.FeedItem
	order    *logistics.Order
	events   map[string]*logistics.Event
	document *eventlog.Document
	asked    []any
	due      []delivery.Delivery
}

func (l *log) Feed(_ context.Context, org ident.OrgID, env ident.Environment, after int64, limit int) ([]eventlog.FeedItem, bool, error) {
	l.asked = []any{org, env, after, limit}
	var out []eventlog.FeedItem
	for _, i := range l.feed {
		if i.Position > after {
			if len(out) == limit {
				return out, true, nil
			}
			out = append(out, i)
		}
	}
	return out, false, nil
}

func (l *log) Order(_ context.Context, org ident.OrgID, env ident.Environment, number string) (*logistics.Order, error) {
	l.asked = []any{org, env, number}
	if l.order == nil || l.order.Number != number {
		return nil, problem.New(problem.OrderUnknown, "no such order")
	}
	return l.order, nil
}

func (l *log) Event(_ context.Context, org ident.OrgID, id string) (*logistics.Event, *eventlog.Document, error) {
	l.asked = []any{org, id}
	e := l.events[id]
	if e == nil {
		return nil, nil, problem.New(problem.NotFound, "no such resource")
	}
	return e, l.document, nil
}

func (l *log) Document(_ context.Context, org ident.OrgID, id string) (*eventlog.Document, []string, error) {
	l.asked = []any{org, id}
	if l.document == nil || l.document.ID != id {
		return nil, nil, problem.New(problem.NotFound, "no such resource")
	}
	var ids []string
	for id := range l.events {
		ids = append(ids, id)
	}
	return l.document, ids, nil
}

// deliveries is the delivery store of a log.
type deliveries struct {
	delivery.Store
	l *log
}

func (d deliveries) ByEvent(context.Context, ident.OrgID, string) ([]delivery.Delivery, error) {
	return d.l.due, nil
}

func call(t *testing.T, l *log, handler string, path map[string]string, params map[string]any) (*exchange.Response, *problem.Error) {
	t.Helper()
	return callAs(t, l, &partner.Caller{Org: "o1", OrgSlug: "harbor", Environment: ident.Sandbox}, handler, path, params)
}

func callAs(t *testing.T, l *log, c *partner.Caller, handler string, path map[string]string, params map[string]any) (*exchange.Response, *problem.Error) {
	t.Helper()
	b := builtin.New(builtin.Deps{Log: l, Deliveries: deliveries{l: l}, Cursors: ident.NewCursors([]byte("0123456789abcdef0123456789abcdef")),
		Extra: map[string]builtin.Handler{"extra": func(context.Context, *exchange.Exchange) (*exchange.Response, error) {
			return &exchange.Response{Status: 204}, nil
		}}})
	x := &exchange.Exchange{Route: &catalog.Route{Handler: handler}, Caller: c, PathParams: path, Params: params}
	err := b.Run(context.Background(), x)
	return x.Response, problem.From(err)
}

func decode(t *testing.T, r *exchange.Response) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(r.Body, &m); err != nil {
		t.Fatal(err)
	}
	if r.Status != 200 || r.Header.Get("Content-Type") != "application/json" || !strings.Contains(r.Header.Get("Cache-Control"), "no-store") {
		t.Errorf("got %d %v", r.Status, r.Header)
	}
	return m
}

func items(n int) []eventlog.FeedItem {
	types := []string{logistics.OrderReleased, logistics.OrderAmended, logistics.OrderCancelled}
	var out []eventlog.FeedItem
	for i := range n {
		out = append(out, eventlog.FeedItem{Position: int64(10 + i), Event: logistics.Event{Type: types[i%3],
			Data: json.RawMessage(`{"order":"SO-1","version":2,"refs":[],"recordedAt":"x","timezoneSource":"y","source":{"isa13":"1"}}`)}, Order: logistics.Order{Version: 9}})
	}
	return out
}

func TestFeedPages(t *testing.T) {
	t.Parallel()
	l := &log{feed: items(5)}
	var kinds []string
	params := map[string]any{"query.limit": json.Number("2")}
	for page := 0; ; page++ {
		r, p := call(t, l, "listOrderFeed", nil, params)
		if p != nil {
			t.Fatal(p)
		}
		got := decode(t, r)
		for _, i := range got["items"].([]any) {
			item := i.(map[string]any)
			kinds = append(kinds, item["kind"].(string))
			if d := cmp.Diff(map[string]any{"order": "SO-1", "version": 2.0}, item["order"]); d != "" || item["version"] != 2.0 || item["position"] == "" {
				t.Errorf("item %v %s", item, d)
			}
		}
		params["query.after"] = got["next"]
		if got["more"] == false {
			if page != 2 {
				t.Errorf("%d pages", page+1)
			}
			break
		}
	}
	if want := []string{"released", "amended", "cancelled", "released", "amended"}; !cmp.Equal(kinds, want) {
		t.Errorf("got %v", kinds)
	}
	r, p := call(t, l, "listOrderFeed", nil, params)
	if p != nil {
		t.Fatal(p)
	}
	if got := decode(t, r); len(got["items"].([]any)) != 0 || got["next"] != params["query.after"] || l.asked[2] != int64(14) {
		t.Errorf("the end of the feed: %v after %v", got, l.asked)
	}
}

func TestFeedCursorsBelongToOrganisationAndEnvironment(t *testing.T) {
	t.Parallel()
	l := &log{feed: items(1)}
	r, p := call(t, l, "listOrderFeed", nil, nil)
	if p != nil || l.asked[3] != 50 {
		t.Fatal(p, l.asked)
	}
	next := decode(t, r)["next"]
	for _, c := range []*partner.Caller{{Org: "o2", Environment: ident.Sandbox}, {Org: "o1", Environment: ident.Live}} {
		if _, p := callAs(t, l, c, "listOrderFeed", nil, map[string]any{"query.after": next}); p == nil || p.Code != problem.CursorInvalid {
			t.Errorf("%+v: %v", c, p)
		}
	}
	if _, p := call(t, l, "listOrderFeed", nil, map[string]any{"query.after": "1.AAAA"}); p == nil || p.Code != problem.CursorInvalid {
		t.Errorf("forged: %v", p)
	}
}

func TestEmptyFeedHasACursor(t *testing.T) {
	t.Parallel()
	r, p := call(t, &log{}, "listOrderFeed", nil, nil)
	if p != nil {
		t.Fatal(p)
	}
	got := decode(t, r)
	if got["next"] == "" || got["more"] != false || len(got["items"].([]any)) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestOrder(t *testing.T) {
	t.Parallel()
	l := &log{order: &logistics.Order{Number: "SO 1", ID: "internal", Owner: "o9", Fulfiller: "o1", Version: 2, State: logistics.StateReleased, Sequence: 7,
		Updated: time.Date(2026, 9, 14, 22, 6, 11, 0, time.UTC), Body: json.RawMessage(`{"order":"SO 1","fulfiller":"harbor","source":{}}`)}}
	r, p := call(t, l, "getOrder", map[string]string{"order": "SO%201"}, nil)
	if p != nil {
		t.Fatal(p)
	}
	want := map[string]any{"order": "SO 1", "version": 2.0, "state": "released", "fulfiller": "harbor", "inExecution": false, "updatedAt": "2026-09-14T22:06:11Z",
		"lines": []any{}, "shipments": []any{}, "milestones": []any{}, "content": map[string]any{"order": "SO 1", "fulfiller": "harbor"}}
	if d := cmp.Diff(want, decode(t, r)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]any{ident.OrgID("o1"), ident.Sandbox, "SO 1"}, l.asked); d != "" {
		t.Error(d)
	}
	if _, p := call(t, l, "getOrder", map[string]string{"order": "SO-2"}, nil); p == nil || p.Code != problem.OrderUnknown {
		t.Errorf("another order: %v", p)
	}
}

const eventID, documentID = "0199f3c2-7b1e-7c44-9a55-3f0d2b6e8a10", "0199f3c2-7b1d-7f02-8c31-1d2e3f405162"

func stated() *log {
	at := time.Date(2026, 9, 14, 20, 45, 2, 0, time.UTC)
	return &log{events: map[string]*logistics.Event{eventID: {ID: eventID, Type: logistics.ShipmentConfirmed, Subject: "order/SO-1", Environment: ident.Sandbox, Recorded: at}},
		document: &eventlog.Document{ID: documentID, Org: "o1", Environment: ident.Sandbox, Format: "x12", Kind: "945", Raw: []byte("ISA"), SHA256: "ab",
			Received: at, State: eventlog.DocumentAccepted, AckStatus: "A"}}
}

func TestEvent(t *testing.T) {
	t.Parallel()
	l := stated()
	l.due = []delivery.Delivery{{Route: "erp", State: delivery.Pending, Attempts: 3, LastReason: "backend.unreachable", NextAttempt: time.Date(2026, 9, 14, 20, 48, 31, 0, time.UTC)}}
	r, p := call(t, l, "getEvent", map[string]string{"eventId": eventID}, nil)
	if p != nil {
		t.Fatal(p)
	}
	got := decode(t, r)
	if got["state"] != "delivering" || got["documentId"] != documentID || got["recordedAt"] != "2026-09-14T20:45:02Z" || got["environment"] != "sandbox" {
		t.Errorf("got %v", got)
	}
	want := []any{map[string]any{"target": "erp", "kind": "backend", "state": "waiting", "attempts": 3.0, "reason": "backend.unreachable", "nextAttemptAt": "2026-09-14T20:48:31Z"}}
	if d := cmp.Diff(want, got["deliveries"]); d != "" {
		t.Error(d)
	}
}

func TestEventsOfOthersDoNotExist(t *testing.T) {
	t.Parallel()
	var bodies []string
	ask := func(l *log, id string) {
		_, p := call(t, l, "getEvent", map[string]string{"eventId": id}, nil)
		if p == nil {
			t.Fatal("found")
		}
		bodies = append(bodies, string(p.Body("", "", "r")))
	}
	ask(stated(), documentID)
	ask(stated(), "not-an-id")
	l := stated()
	l.events[eventID].Environment = ident.Live
	ask(l, eventID)
	for _, b := range bodies {
		if b != bodies[0] || !strings.Contains(b, "resource.not_found") {
			t.Errorf("answers differ: %v", bodies)
		}
	}
	l.document.Environment = ident.Live
	if _, p := call(t, l, "getDocument", map[string]string{"documentId": documentID}, nil); p == nil || p.Code != problem.NotFound {
		t.Errorf("a live document: %v", p)
	}
}

func TestEventOfAnotherPartysDocumentHidesTheDocument(t *testing.T) {
	t.Parallel()
	l := stated()
	l.document.Org = "o2"
	r, p := call(t, l, "getEvent", map[string]string{"eventId": eventID}, nil)
	if p != nil {
		t.Fatal(p)
	}
	if got := decode(t, r); got["documentId"] != nil {
		t.Errorf("got %v", got)
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	one := func(s delivery.State, attempts int) delivery.Delivery {
		return delivery.Delivery{Route: "r", State: s, Attempts: attempts}
	}
	for want, list := range map[string][][]delivery.Delivery{
		"accepted":   {nil, {one(delivery.Pending, 0)}},
		"delivering": {{one(delivery.Leased, 0)}, {one(delivery.Pending, 1)}, {one(delivery.Delivered, 1), one(delivery.Pending, 0)}},
		"delivered":  {{one(delivery.Delivered, 1)}, {one(delivery.Delivered, 1), one(delivery.Delivered, 2)}},
		"dead":       {{one(delivery.Delivered, 1), one(delivery.Dead, 9)}},
	} {
		for _, d := range list {
			l := stated()
			l.due = d
			r, p := call(t, l, "getEvent", map[string]string{"eventId": eventID}, nil)
			if p != nil {
				t.Fatal(p)
			}
			if got := decode(t, r)["state"]; got != want {
				t.Errorf("%v: got %v, want %s", d, got, want)
			}
		}
	}
	l := stated()
	l.document.State = eventlog.DocumentParked
	r, p := call(t, l, "getEvent", map[string]string{"eventId": eventID}, nil)
	if p != nil || decode(t, r)["state"] != "parked" {
		t.Errorf("parked: %v %v", p, r)
	}
}

func TestDocument(t *testing.T) {
	t.Parallel()
	r, p := call(t, stated(), "getDocument", map[string]string{"documentId": documentID}, nil)
	if p != nil {
		t.Fatal(p)
	}
	want := map[string]any{"documentId": documentID, "receivedAt": "2026-09-14T20:45:02Z", "environment": "sandbox", "format": "x12", "set": "945", "size": 3.0, "sha256": "ab",
		"state": "accepted", "acknowledgement": map[string]any{"set": "997", "state": "generated", "code": "A"},
		"events": []any{map[string]any{"eventId": eventID, "type": "shipment.confirmed.v1", "subject": "order/SO-1", "state": "accepted"}}}
	if d := cmp.Diff(want, decode(t, r)); d != "" {
		t.Error(d)
	}
}

func TestHandlersNeedACallerAndAName(t *testing.T) {
	t.Parallel()
	for _, h := range []string{"listOrderFeed", "getOrder", "getEvent", "getDocument"} {
		if _, p := callAs(t, stated(), nil, h, nil, nil); p == nil || p.Code != problem.AuthMissing {
			t.Errorf("%s without a caller: %v", h, p)
		}
	}
	if r, p := call(t, stated(), "extra", nil, nil); p != nil || r.Status != http.StatusNoContent {
		t.Errorf("extra: %v %v", r, p)
	}
	if _, p := call(t, stated(), "nobody", nil, nil); p == nil || p.Code != problem.Internal {
		t.Errorf("unknown handler: %v", p)
	}
}

func TestOAuthRefusals(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]struct {
		status int
		code   string
	}{413: {400, "invalid_request"}, 415: {400, "invalid_request"}, 429: {429, "temporarily_unavailable"}, 500: {500, "server_error"}, 503: {503, "temporarily_unavailable"}} {
		handler := "issueToken"
		if status == 413 || status == 503 {
			handler = "revokeToken"
		}
		x := &exchange.Exchange{Route: &catalog.Route{Handler: handler}, Err: problem.New(problem.BodyMissing, "why"), Response: &exchange.Response{Status: status, Body: []byte("problem")}}
		x.Response.Header.Set("Retry-After", "1")
		if err := (builtin.OAuthRefusals{}).Run(context.Background(), x); err != nil {
			t.Fatal(err)
		}
		var got map[string]string
		if err := json.Unmarshal(x.Response.Body, &got); err != nil || got["error"] != want.code || got["error_description"] != "why" || x.Response.Status != want.status || x.Response.Header.Get("Retry-After") != "1" {
			t.Errorf("%d: %v %+v", status, got, x.Response)
		}
	}
	x := &exchange.Exchange{Route: &catalog.Route{Handler: "getOrder"}, Err: problem.New(problem.NotFound, "why"), Response: &exchange.Response{Status: 404, Body: []byte("problem")}}
	if err := (builtin.OAuthRefusals{}).Run(context.Background(), x); err != nil || string(x.Response.Body) != "problem" {
		t.Errorf("another operation: %v %s", err, x.Response.Body)
	}
}
