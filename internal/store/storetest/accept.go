package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portway/internal/eventlog"
	"portway/internal/idempotent"
	"portway/internal/ident"
	"portway/internal/logistics"
	"portway/internal/problem"
	"portway/internal/store"
)

var acceptCases = map[string]func(*testing.T, *store.DB){
	"an event reads back as it was stated":               roundTrip,
	"a repeated business key is a duplicate":             duplicate,
	"other content under a business key is a conflict":   conflict,
	"fifty at once with one business key are one":        race,
	"a repeated idempotency key replays":                 replay,
	"fifty at once with one idempotency key are one":     replayRace,
	"an interchange is accepted once":                    interchange,
	"control numbers have no gaps":                       controlNumbers,
	"what does not fit is parked when told to":           park,
	"a document with several statements is one commit":   batch,
	"a failing acknowledgement leaves nothing behind":    failing,
	"quarantined documents keep their state":             quarantined,
	"awkward text and bytes are stored":                  awkward,
	"nothing of an organisation is visible to another":   tenancy,
	"only the right party states an order event":         parties,
	"two owners with one number are not guessed between": ambiguous,
}

func roundTrip(t *testing.T, db *store.DB) {
	l := newLog(t, db)
	a := release("N1")
	a.Statements[0].Event.CausationID = "cause"
	r := l.must(a)
	o := r.Outcomes[0]
	equal(t, "outcome", o.Kind, eventlog.Accepted)
	equal(t, "state", r.State, eventlog.DocumentAccepted)
	got, doc, err := l.Event(context.Background(), shipper, o.EventID)
	check(t, err)
	want := a.Statements[0].Event
	want.ID, want.CorrelationID, want.PartitionKey, want.Recipient = o.EventID, o.Order.ID, o.Order.ID, three
	want.Sequence, want.Recorded = 1, start
	if d := cmp.Diff(&want, got); d != "" {
		t.Errorf("event (-want +got):\n%s", d)
	}
	wantDoc := a.Document
	wantDoc.ID, wantDoc.Received, wantDoc.State = r.DocumentID, start, eventlog.DocumentAccepted
	if d := cmp.Diff(&wantDoc, doc); d != "" {
		t.Errorf("document (-want +got):\n%s", d)
	}
	_, events, err := l.Document(context.Background(), shipper, r.DocumentID)
	check(t, err)
	if d := cmp.Diff([]string{o.EventID}, events); d != "" {
		t.Errorf("events of the document (-want +got):\n%s", d)
	}
}

func duplicate(t *testing.T, db *store.DB) {
	l := newLog(t, db)
	l.released("N1")
	first := l.must(confirm(three, "N1", "S1", 10))
	woken := l.woken.Load()
	again := l.must(confirm(three, "N1", "S1", 10))
	o := again.Outcomes[0]
	equal(t, "outcome", o.Kind, eventlog.Duplicate)
	equal(t, "original", o.Original, first.Outcomes[0].EventID)
	equal(t, "event", o.EventID, "")
	equal(t, "document", again.State, eventlog.DocumentDuplicate)
	equal(t, "order", o.Order.State, logistics.StateShipped)
	equal(t, "woken", l.woken.Load(), woken)
	equal(t, "events", rows(t, db, "events"), 2)
	equal(t, "documents", rows(t, db, "documents"), 3)
	equal(t, "deliveries", rows(t, db, "deliveries"), 1)
	doc, events, err := l.Document(context.Background(), three, again.DocumentID)
	check(t, err)
	equal(t, "named original", doc.DuplicateOf, first.Outcomes[0].EventID)
	equal(t, "events of the duplicate", len(events), 0)
	// The key is the organisation's and the environment's own.
	sandbox := release("N1")
	sandbox.Document.Environment, sandbox.Statements[0].Event.Environment = ident.Sandbox, ident.Sandbox
	equal(t, "other environment", l.must(sandbox).Outcomes[0].Kind, eventlog.Accepted)
}

func conflict(t *testing.T, db *store.DB) {
	l := newLog(t, db)
	order := l.released("N1")
	first := l.must(confirm(three, "N1", "S1", 4)).Outcomes[0].EventID
	before := rows(t, db, "documents")
	_, err := l.Accept(context.Background(), confirm(three, "N1", "S1", 5))
	p := refused(t, err, problem.BusinessConflict)
	equal(t, "original", p.Extra["original"], any(first))
	equal(t, "documents", rows(t, db, "documents"), before)
	parked := confirm(three, "N1", "S1", 5)
	parked.Park = true
	r := l.must(parked)
	o := r.Outcomes[0]
	equal(t, "outcome", o.Kind, eventlog.Conflict)
	equal(t, "document", r.State, eventlog.DocumentConflict)
	equal(t, "original", o.Original, first)
	e, doc, err := l.Event(context.Background(), three, o.EventID)
	check(t, err)
	equal(t, "correlation", e.CorrelationID, order)
	equal(t, "reason", doc.Reason, string(problem.BusinessConflict))
	now, err := l.Order(context.Background(), three, ident.Live, "N1")
	check(t, err)
	equal(t, "shipped", now.Lines[0].Shipped.String(), "4")
	equal(t, "deliveries", rows(t, db, "deliveries"), 1)
	// The release of an existing number under another business key contradicts the first.
	again := release("N1")
	again.Statements[0].BusinessKey = "N1/other"
	_, err = l.Accept(context.Background(), again)
	refused(t, err, problem.BusinessConflict)
}

// together runs n acceptances at once and returns their results and errors.
func together(l *log, n int, build func(i int) eventlog.Acceptance) ([]eventlog.Result, []error) {
	results, errs := make([]eventlog.Result, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			results[i], errs[i] = l.Accept(context.Background(), build(i))
		}()
	}
	wg.Wait()
	return results, errs
}

func race(t *testing.T, db *store.DB) {
	l := newLog(t, db)
	l.released("N1")
	results, errs := together(l, 50, func(int) eventlog.Acceptance { return confirm(three, "N1", "S1", 7) })
	count := map[eventlog.OutcomeKind]int{}
	for i, err := range errs {
		check(t, err)
		count[results[i].Outcomes[0].Kind]++
	}
	equal(t, "accepted", count[eventlog.Accepted], 1)
	equal(t, "duplicates", count[eventlog.Duplicate], 49)
	o, err := l.Order(context.Background(), shipper, ident.Live, "N1")
	check(t, err)
	equal(t, "shipped", o.Lines[0].Shipped.String(), "7")
	equal(t, "deliveries", rows(t, db, "deliveries"), 1)
}

// keyed adds an idempotency key whose record tells the event id.
func keyed(a eventlog.Acceptance, value, fingerprint string) eventlog.Acceptance {
	a.Key = &idempotent.Key{Org: a.Document.Org, Application: a.Document.Application, Environment: a.Document.Environment, Operation: "operation", Value: value, Fingerprint: fingerprint}
	a.Reply = func(r *eventlog.Result) idempotent.Record {
		return idempotent.Record{Status: 202, Header: [][2]string{{"Location", "/x"}}, Body: []byte(r.Outcomes[0].EventID)}
	}
	return a
}

func replay(t *testing.T, db *store.DB) {
	l := newLog(t, db)
	l.released("N1")
	first := l.must(keyed(confirm(three, "N1", "S1", 1), "key-0000000000000001", "f1"))
	if first.Replay != nil {
		t.Fatal("the first use is no replay")
	}
	before := rows(t, db, "documents")
	again := l.must(keyed(confirm(three, "N1", "S1", 1), "key-0000000000000001", "f1"))
	if again.Replay == nil || again.Replay.Status != 202 || string(again.Replay.Body) != first.Outcomes[0].EventID ||
		len(again.Replay.Header) != 1 || again.Replay.Header[0] != [2]string{"Location", "/x"} || again.Replay.CreatedAt != start.UnixMicro() {
		t.Fatalf("replay: %+v", again.Replay)
	}
	equal(t, "documents", rows(t, db, "documents"), before)
	_, err := l.Accept(context.Background(), keyed(confirm(three, "N1", "S2", 1), "key-0000000000000001", "f2"))
	refused(t, err, problem.IdempotencyReuse)
	other := keyed(confirm(three, "N1", "S2", 1), "key-0000000000000001", "f2")
	other.Key.Application = "another"
	equal(t, "another caller's key", l.must(other).Outcomes[0].Kind, eventlog.Accepted)
	// A refusal is not stored: the key stays free.
	_, err = l.Accept(context.Background(), keyed(confirm(three, "absent", "S1", 1), "key-0000000000000002", "f"))
	refused(t, err, problem.OrderUnknown)
	equal(t, "after a refusal", l.must(keyed(confirm(three, "N1", "S3", 1), "key-0000000000000002", "f3")).Outcomes[0].Kind, eventlog.Accepted)
}

func replayRace(t *testing.T, db *store.DB) {
	l := newLog(t, db)
	l.released("N1")
	results, errs := together(l, 50, func(int) eventlog.Acceptance {
		a := keyed(confirm(three, "N1", "S1", 1), "key-0000000000000001", "f1")
		a.Statements[0].BusinessKey = "" // only the idempotency key protects
		return a
	})
	fresh := 0
	for i, err := range errs {
		check(t, err)
		if results[i].Replay == nil {
			fresh++
		}
	}
	equal(t, "fresh", fresh, 1)
	equal(t, "events", rows(t, db, "events"), 2)
}

func interchange(t *testing.T, db *store.DB) {
	l := newLog(t, db)
	l.released("N1")
	edi := func(control, shipment string) eventlog.Acceptance {
		a := confirm(three, "N1", shipment, 1)
		a.Document.Format, a.Document.Connection = "x12", "edi"
		a.Interchange = &eventlog.Interchange{Connection: "connection-1", Control: control}
		return a
	}
	first := l.must(edi("000000001", "S1"))
	before := rows(t, db, "documents")
	_, err := l.Accept(context.Background(), edi("000000001", "S2"))
	p := refused(t, err, problem.EDIDuplicate)
	equal(t, "original", p.Extra["original"], any(first.DocumentID))
	equal(t, "documents", rows(t, db, "documents"), before)
	results, errs := together(l, 10, func(i int) eventlog.Acceptance { return edi("000000002", fmt.Sprintf("T%d", i)) })
	ok := 0
	for i, err := range errs {
		if err == nil {
			ok++
			equal(t, "winner", results[i].State, eventlog.DocumentAccepted)
			continue
		}
		refused(t, err, problem.EDIDuplicate)
	}
	equal(t, "accepted", ok, 1)
}

func controlNumbers(t *testing.T, db *store.DB) {
	l := newLog(t, db)
	order := func(i int) eventlog.Acceptance {
		a := release(fmt.Sprintf("N%d", i))
		a.Document.Connection = "edi"
		a.Interchange = &eventlog.Interchange{Connection: "connection-1", Control: fmt.Sprint(i)}
		a.AckSets = 2
		a.Acknowledge = func(c eventlog.Control, outcomes []eventlog.Outcome) ([]byte, string, error) {
			if i == 3 {
				return nil, "", errors.New("cannot be rendered")
			}
			return []byte(fmt.Sprintf("%d %d %d %s", c.Interchange, c.Group, c.Set, outcomes[0].Kind)), "A", nil
		}
		return a
	}
	results, errs := together(l, 10, order)
	got := map[string]bool{}
	for i := range results {
		if i == 3 {
			if errs[i] == nil {
				t.Error("an acknowledgement that cannot be rendered must fail the acceptance")
			}
			continue
		}
		check(t, errs[i])
		got[string(results[i].Ack)] = true
	}
	for i := 1; i <= 9; i++ {
		if want := fmt.Sprintf("%d %d %d accepted", i, 2*i-1, 2*i-1); !got[want] {
			t.Errorf("no acknowledgement %q in %v", want, got)
		}
	}
	check(t, db.Write(context.Background(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE control_numbers SET last = 999999999 WHERE kind = 'interchange'")
		if err == nil {
			_, err = tx.Exec(ctx, "UPDATE control_numbers SET last = 999999998 WHERE kind <> 'interchange'")
		}
		return err
	}))
	equal(t, "after the largest", string(l.must(order(20)).Ack), "1 1 1 accepted")
}

func park(t *testing.T, db *store.DB) {
	l := newLog(t, db)
	unknown := confirm(three, "absent", "S1", 1)
	_, err := l.Accept(context.Background(), unknown)
	refused(t, err, problem.OrderUnknown)
	equal(t, "events", rows(t, db, "events"), 0)
	unknown.Park = true
	r := l.must(unknown)
	equal(t, "outcome", r.Outcomes[0].Kind, eventlog.Parked)
	equal(t, "reason", r.Outcomes[0].Reason, string(problem.OrderUnknown))
	equal(t, "document", r.State, eventlog.DocumentParked)
	equal(t, "deliveries", rows(t, db, "deliveries"), 0)
	equal(t, "woken", l.woken.Load(), int64(0))
	e, doc, err := l.Event(context.Background(), three, r.Outcomes[0].EventID)
	check(t, err)
	equal(t, "sequence", e.Sequence, int64(0))
	equal(t, "document reason", doc.Reason, string(problem.OrderUnknown))
	// What was parked did not take the business key: sent again once the order is there, it is accepted.
	l.released("absent")
	equal(t, "sent again", l.must(unknown).Outcomes[0].Kind, eventlog.Accepted)
	// The mapping's own reason parks even what would fit.
	mapped := confirm(three, "absent", "S2", 1)
	mapped.Statements[0].Parked = string(problem.MappingFailed)
	r = l.must(mapped)
	equal(t, "outcome", r.Outcomes[0].Kind, eventlog.Parked)
	equal(t, "reason", r.Outcomes[0].Reason, string(problem.MappingFailed))
	// What the ledger refuses is parked with its own code and changes nothing.
	unit := confirm(three, "absent", "S3", 1)
	unit.Park = true
	unit.Statements[0].Event.Data = []byte(`{"order":"absent","shipment":"S3","mode":"delta","lines":[{"lineNo":1,"shipped":{"value":"1","unit":"CA"}}]}`)
	equal(t, "reason", l.must(unit).Outcomes[0].Reason, string(problem.OrderLedger))
}

func batch(t *testing.T, db *store.DB) {
	l := newLog(t, db)
	l.released("N1")
	a := confirm(three, "N1", "S1", 3)
	for _, more := range []eventlog.Acceptance{confirm(three, "N1", "S2", 4), confirm(three, "N1", "S1", 3), confirm(three, "other", "S1", 1)} {
		a.Statements = append(a.Statements, more.Statements...)
	}
	_, err := l.Accept(context.Background(), a)
	refused(t, err, problem.OrderUnknown)
	o, err := l.Order(context.Background(), three, ident.Live, "N1")
	check(t, err)
	equal(t, "nothing of the refused document", o.Sequence, int64(1))
	a.Park = true
	r := l.must(a)
	kinds := []eventlog.OutcomeKind{}
	for _, out := range r.Outcomes {
		kinds = append(kinds, out.Kind)
	}
	if d := cmp.Diff([]eventlog.OutcomeKind{eventlog.Accepted, eventlog.Accepted, eventlog.Duplicate, eventlog.Parked}, kinds); d != "" {
		t.Fatal(d)
	}
	equal(t, "original in the same document", r.Outcomes[2].Original, r.Outcomes[0].EventID)
	equal(t, "document", r.State, eventlog.DocumentParked)
	o, err = l.Order(context.Background(), shipper, ident.Live, "N1")
	check(t, err)
	equal(t, "shipped", o.Lines[0].Shipped.String(), "7")
	equal(t, "sequence", o.Sequence, int64(3))
	e, _, err := l.Event(context.Background(), shipper, r.Outcomes[1].EventID)
	check(t, err)
	equal(t, "sequence of the second", e.Sequence, int64(3))
	equal(t, "recipient", e.Recipient, shipper)
}

func failing(t *testing.T, db *store.DB) {
	l := newLog(t, db)
	for _, breaks := range []func(eventlog.Control, []eventlog.Outcome) ([]byte, string, error){
		func(eventlog.Control, []eventlog.Outcome) ([]byte, string, error) {
			return nil, "", errors.New("cannot")
		},
		func(eventlog.Control, []eventlog.Outcome) ([]byte, string, error) { panic("a bug in the renderer") },
	} {
		a := keyed(release("N1"), "key-0000000000000001", "f")
		a.Interchange = &eventlog.Interchange{Connection: "c", Control: "1"}
		a.Acknowledge = breaks
		if _, err := l.Accept(context.Background(), a); err == nil {
			t.Fatal("must fail")
		}
	}
	for _, table := range []string{"documents", "events", "event_refs", "orders", "business_keys", "interchanges", "control_numbers",
		"idempotency_keys", "deliveries"} {
		equal(t, table, rows(t, db, table), 0)
	}
	equal(t, "woken", l.woken.Load(), int64(0))
}

func quarantined(t *testing.T, db *store.DB) {
	l := newLog(t, db)
	d := document("", "ISA*broken")
	d.State, d.Reason = eventlog.DocumentQuarantined, string(problem.EDIUnreadable)
	r := l.must(eventlog.Acceptance{Document: d})
	equal(t, "state", r.State, eventlog.DocumentQuarantined)
	_, _, err := l.Document(context.Background(), "", r.DocumentID)
	refused(t, err, problem.NotFound) // nobody's document is nobody's to see
	d = document(three, "ISA*known")
	d.State, d.Ack, d.AckStatus = eventlog.DocumentRejected, []byte("997"), "R"
	r = l.must(eventlog.Acceptance{Document: d})
	got, events, err := l.Document(context.Background(), three, r.DocumentID)
	check(t, err)
	equal(t, "state", got.State, eventlog.DocumentRejected)
	equal(t, "ack", string(got.Ack)+got.AckStatus, "997R")
	equal(t, "events", len(events), 0)
}

func awkward(t *testing.T, db *store.DB) {
	l := newLog(t, db)
	a := release("N\x001\xff")
	a.Document.Raw = []byte{0, 1, 0xff, 0xfe, '?'}
	a.Document.Detail = "what? \x00"
	st := &a.Statements[0]
	st.BusinessKey, st.Fingerprint = "a\x00b\xff", "\x00\xff"
	st.Event.Data = []byte(`{"order":"N","version":1,"note":"\u0000 ? 'quoted' \"","zeta":1.10,"alpha":1,` + lines(1) + `}`)
	st.Event.Refs = []logistics.Ref{{Scheme: "so", Value: "N\x00"}}
	r := l.must(a)
	e, doc, err := l.Event(context.Background(), shipper, r.Outcomes[0].EventID)
	check(t, err)
	equal(t, "raw", string(doc.Raw), string(a.Document.Raw))
	equal(t, "data", string(e.Data), string(st.Event.Data))
	_, err = l.Order(context.Background(), shipper, ident.Live, "N\x001\xff")
	check(t, err)
	equal(t, "duplicate", l.must(a).Outcomes[0].Kind, eventlog.Duplicate)
}
