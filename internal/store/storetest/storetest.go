// Package storetest is the conformance suite of the stores: the same cases on every database.
package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"portway/internal/eventlog"
	"portway/internal/ident"
	"portway/internal/logistics"
	"portway/internal/problem"
	"portway/internal/store"
	"portway/internal/store/eventdb"
)

// RunSuite runs every case. open returns a fresh, empty store that is closed when the test ends.
func RunSuite(t *testing.T, open func(t *testing.T) *store.DB) {
	for name, suite := range map[string]map[string]func(*testing.T, *store.DB){
		"write":    writeCases,
		"settings": settingsCases,
		"accept":   acceptCases,
		"order":    orderCases,
		"feed":     feedCases,
		"delivery": deliveryCases,
		"partner":  partnerCases,
		"account":  accountCases,
		"traffic":  trafficCases,
		"quota":    quotaCases,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for name, run := range suite {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					run(t, open(t))
				})
			}
		})
	}
}

// start is when every suite's clock begins.
var start = time.Date(2026, 3, 2, 9, 30, 0, 123456000, time.UTC)

const (
	shipper = ident.OrgID("org-shipper")
	three   = ident.OrgID("org-3pl")
	foreign = ident.OrgID("org-foreign")
)

// log is an event log over a fresh database, with a clock of its own.
type log struct {
	*eventdb.Store
	t     *testing.T
	clock *ident.Manual
	woken atomic.Int64
}

func newLog(t *testing.T, db *store.DB) *log {
	l := &log{t: t, clock: ident.NewManual(start)}
	l.Store = eventdb.New(db, l.clock, func() { l.woken.Add(1) })
	return l
}

// must accepts and fails the test if the store refuses.
func (l *log) must(a eventlog.Acceptance) eventlog.Result {
	l.t.Helper()
	r, err := l.Accept(context.Background(), a)
	if err != nil {
		l.t.Fatalf("accept: %v", err)
	}
	return r
}

// released is an order released by the shipper and accepted; it returns the order's id.
func (l *log) released(number string) string {
	l.t.Helper()
	return l.must(release(number)).Outcomes[0].Order.ID
}

func document(org ident.OrgID, raw string) eventlog.Document {
	sum := sha256.Sum256([]byte(raw))
	return eventlog.Document{Org: org, Environment: ident.Live, Application: "app-" + string(org), Format: "json", Kind: "some operation",
		ContentType: "application/json", Raw: []byte(raw), SHA256: hex.EncodeToString(sum[:]), RequestID: "request"}
}

// accept wraps one statement of org in an acceptance.
func accept(org ident.OrgID, st eventlog.Statement) eventlog.Acceptance {
	st.Event.Org, st.Event.Environment = org, ident.Live
	st.Event.Source, st.Event.Subject = "/partners/"+string(org)+"/app", "order/"+st.OrderNumber
	st.Event.Time = logistics.Instant{Micros: start.UnixMicro(), Offset: -6 * 3600, Zone: logistics.ZonePartner}
	return eventlog.Acceptance{Document: document(org, string(st.Event.Data)), Statements: []eventlog.Statement{st}}
}

func lines(quantity int) string {
	return `"lines":[{"lineNo":1,"sku":"A","quantity":{"value":"` + strconv.Itoa(quantity) + `","unit":"EA"}}]`
}

func release(number string) eventlog.Acceptance {
	return accept(shipper, eventlog.Statement{OrderNumber: number, Fulfiller: three, BusinessKey: number + "/1", Fingerprint: "f",
		Event: logistics.Event{Type: logistics.OrderReleased, Refs: []logistics.Ref{{Scheme: "so", Value: number}},
			Data: []byte(`{"order":"` + number + `","version":1,` + lines(10) + `}`)}})
}

func claim(org ident.OrgID, number string) eventlog.Acceptance {
	return accept(org, eventlog.Statement{OrderNumber: number, BusinessKey: number + "/claim", Fingerprint: "f",
		Event: logistics.Event{Type: logistics.OrderClaimed, Data: []byte(`{"order":"` + number + `","version":1,"claim":"C"}`)}})
}

// confirm ships part of an order; shipment is the business key, quantity the fingerprint.
func confirm(org ident.OrgID, number, shipment string, quantity int) eventlog.Acceptance {
	return accept(org, eventlog.Statement{OrderNumber: number, BusinessKey: number + "/" + shipment, Fingerprint: strconv.Itoa(quantity),
		Subscribers: []eventlog.Subscriber{{Route: "erp", Lane: "critical"}},
		Event: logistics.Event{Type: logistics.ShipmentConfirmed,
			Refs: []logistics.Ref{{Scheme: "so", Value: number}, {Scheme: "shipment", Value: shipment}, {Scheme: "so", Value: number}},
			Data: []byte(fmt.Sprintf(`{"order":%q,"shipment":%q,"shippedAt":"2026-03-02T09:00:00-06:00","mode":"delta","final":false,`+
				`"lines":[{"lineNo":1,"sku":"A","shipped":{"value":"%d","unit":"EA"},"status":"complete"}]}`, number, shipment, quantity))}})
}

// refused fails the test unless err is a problem with the code.
func refused(t *testing.T, err error, code problem.Code) *problem.Error {
	t.Helper()
	if !problem.Is(err, code) {
		t.Fatalf("got error %v, want %s", err, code)
	}
	return problem.From(err)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// equal fails the test unless got is want.
func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// rows counts the rows of a table.
func rows(t *testing.T, db *store.DB, table string) int {
	t.Helper()
	var n int
	check(t, db.Read().Get(context.Background(), &n, "SELECT count(*) FROM "+table))
	return n
}

// feed waits until the feed of org has n entries: on PostgreSQL writers of other tests hold the horizon back.
func (l *log) feed(org ident.OrgID, n int) {
	l.t.Helper()
	eventually(l.t, func() bool {
		items, _, err := l.Feed(context.Background(), org, ident.Live, 0, n+10)
		check(l.t, err)
		if len(items) > n {
			l.t.Fatalf("the feed has %d entries, want %d", len(items), n)
		}
		return len(items) == n
	})
}

// eventually fails the test unless ok within thirty seconds.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for begun := time.Now(); !ok(); time.Sleep(time.Millisecond) {
		if time.Since(begun) > 30*time.Second {
			t.Fatal("it did not happen within 30 s")
		}
	}
}
