package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"portway/internal/eventlog"
	"portway/internal/ident"
	"portway/internal/logistics"
	"portway/internal/problem"
	"portway/internal/store"
)

var orderCases = map[string]func(*testing.T, *store.DB){
	"concurrent statements on one order all count": sameOrder,
	"a refused statement leaves the order alone":   refusedStatement,
	"amend and cancel reach the fulfiller":         amendCancel,
}

func tenancy(t *testing.T, db *store.DB) {
	l := newLog(t, db)
	ctx := context.Background()
	r := l.must(release("N1"))
	confirmed := l.must(confirm(three, "N1", "S1", 1))
	released, shipped := r.Outcomes[0].EventID, confirmed.Outcomes[0].EventID
	for _, org := range []ident.OrgID{foreign, ""} {
		_, _, err := l.Event(ctx, org, released)
		refused(t, err, problem.NotFound)
		_, _, err = l.Document(ctx, org, r.DocumentID)
		refused(t, err, problem.NotFound)
		_, err = l.Order(ctx, org, ident.Live, "N1")
		theirs := refused(t, err, problem.OrderUnknown)
		_, err = l.Order(ctx, org, ident.Live, "absent")
		equal(t, "answer for a foreign and an absent order", theirs.Error(), refused(t, err, problem.OrderUnknown).Error())
		items, more, err := l.Feed(ctx, org, ident.Live, 0, 10)
		check(t, err)
		equal(t, "feed", len(items), 0)
		equal(t, "more", more, false)
		ds, err := l.ByEvent(ctx, org, shipped)
		check(t, err)
		equal(t, "deliveries", len(ds), 0)
	}
	_, err := l.Order(ctx, shipper, ident.Sandbox, "N1")
	refused(t, err, problem.OrderUnknown)
	// Both parties see the order and each other's events; the document stays with who sent it.
	for _, org := range []ident.OrgID{shipper, three} {
		_, err := l.Order(ctx, org, ident.Live, "N1")
		check(t, err)
		ds, err := l.ByEvent(ctx, org, shipped)
		check(t, err)
		equal(t, "deliveries", len(ds), 1)
	}
	e, doc, err := l.Event(ctx, three, released)
	check(t, err)
	equal(t, "event", e.ID, released)
	if doc == nil || doc.ID != r.DocumentID || doc.Raw != nil || doc.Application != "" || doc.RequestID != "" {
		t.Errorf("the recipient sees of the document: %+v", doc)
	}
	_, _, err = l.Document(ctx, three, r.DocumentID)
	refused(t, err, problem.NotFound)
	_, _, err = l.Document(ctx, shipper, confirmed.DocumentID)
	refused(t, err, problem.NotFound)
}

func parties(t *testing.T, db *store.DB) {
	l := newLog(t, db)
	l.released("N1")
	amended := accept(three, eventlog.Statement{OrderNumber: "N1", Event: logistics.Event{Type: logistics.OrderAmended,
		Data: []byte(`{"order":"N1","version":2,` + lines(5) + `}`)}})
	for name, a := range map[string]eventlog.Acceptance{
		"the owner does not claim":       claim(shipper, "N1"),
		"the owner does not confirm":     confirm(shipper, "N1", "S1", 1),
		"the fulfiller does not amend":   amended,
		"a stranger does not claim":      claim(foreign, "N1"),
		"a stranger does not confirm":    confirm(foreign, "N1", "S1", 1),
		"an unknown order is as unknown": claim(three, "absent"),
	} {
		_, err := l.Accept(context.Background(), a)
		p := refused(t, err, problem.OrderUnknown)
		if p.Extra != nil {
			t.Errorf("%s, but the refusal tells %v", name, p.Extra)
		}
	}
	equal(t, "documents", rows(t, db, "documents"), 1)
	equal(t, "claim", l.must(claim(three, "N1")).Outcomes[0].Order.State, logistics.StateClaimed)
}

func ambiguous(t *testing.T, db *store.DB) {
	l := newLog(t, db)
	l.released("N1")
	second := release("N1")
	second.Document.Org, second.Statements[0].Event.Org = foreign, foreign
	l.must(second)
	_, err := l.Accept(context.Background(), claim(three, "N1"))
	refused(t, err, problem.Conflict)
	_, err = l.Order(context.Background(), three, ident.Live, "N1")
	refused(t, err, problem.Conflict)
	o, err := l.Order(context.Background(), foreign, ident.Live, "N1")
	check(t, err)
	equal(t, "owner", o.Owner, foreign)
}

func sameOrder(t *testing.T, db *store.DB) {
	l := newLog(t, db)
	l.released("N1")
	_, errs := together(l, 10, func(i int) eventlog.Acceptance { return confirm(three, "N1", fmt.Sprintf("S%d", i), 1) })
	for _, err := range errs {
		check(t, err)
	}
	o, err := l.Order(context.Background(), three, ident.Live, "N1")
	check(t, err)
	equal(t, "shipped", o.Lines[0].Shipped.String(), "10")
	equal(t, "sequence", o.Sequence, int64(11))
	var distinct int
	check(t, db.Read().Get(context.Background(), &distinct, "SELECT count(DISTINCT sequence) FROM events WHERE correlation_id = ?", o.ID))
	equal(t, "distinct sequences", distinct, 11)
}

func refusedStatement(t *testing.T, db *store.DB) {
	l := newLog(t, db)
	l.released("N1")
	l.must(claim(three, "N1"))
	again := claim(three, "N1")
	again.Statements[0].BusinessKey = "another claim"
	_, err := l.Accept(context.Background(), again)
	p := refused(t, err, problem.OrderState)
	equal(t, "state told", p.Extra["state"], any("claimed"))
	garbled := confirm(three, "N1", "S1", 1)
	garbled.Statements[0].Event.Data = []byte(`{"order":"N1","lines":[{"shipped":{"value":5}}]}`)
	_, err = l.Accept(context.Background(), garbled)
	refused(t, err, problem.SchemaViolation)
	o, err := l.Order(context.Background(), three, ident.Live, "N1")
	check(t, err)
	equal(t, "sequence", o.Sequence, int64(2))
}

func amendCancel(t *testing.T, db *store.DB) {
	l := newLog(t, db)
	l.released("N1")
	r := l.must(accept(shipper, eventlog.Statement{OrderNumber: "N1", Event: logistics.Event{Type: logistics.OrderAmended,
		Data: []byte(`{"order":"N1","version":2,` + lines(5) + `}`)}}))
	equal(t, "version", r.Outcomes[0].Order.Version, 2)
	r = l.must(accept(shipper, eventlog.Statement{OrderNumber: "N1", Event: logistics.Event{Type: logistics.OrderCancelled,
		Data: []byte(`{"order":"N1","version":2,"reason":"x"}`)}}))
	equal(t, "state", r.Outcomes[0].Order.State, logistics.StateCancelled)
	l.feed(three, 3)
	items, more, err := l.Feed(context.Background(), three, ident.Live, 0, 2)
	check(t, err)
	equal(t, "items", len(items), 2)
	equal(t, "more", more, true)
	equal(t, "the order as it stands now", items[0].Order.State, logistics.StateCancelled)
	rest, more, err := l.Feed(context.Background(), three, ident.Live, items[1].Position, 2)
	check(t, err)
	equal(t, "rest", len(rest), 1)
	equal(t, "more", more, false)
	equal(t, "type", rest[0].Event.Type, logistics.OrderCancelled)
}

var feedCases = map[string]func(*testing.T, *store.DB){
	"a reader beside writers misses nothing": stableFeed,
	"parked events are in no feed":           parkedFeed,
}

// stableFeed reads by cursor while many write at once: what the cursor passed must be all there is.
func stableFeed(t *testing.T, db *store.DB) {
	l := newLog(t, db)
	const writers, each = 8, 25
	var wg sync.WaitGroup
	for w := range writers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range each {
				if _, err := l.Accept(context.Background(), release(fmt.Sprintf("N%d-%d", w, i))); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	seen := map[string]bool{}
	after := int64(0)
	read := func() {
		items, _, err := l.Feed(context.Background(), three, ident.Live, after, 10)
		check(t, err)
		for _, it := range items {
			if it.Position <= after || seen[it.Event.ID] {
				t.Fatalf("position %d after %d", it.Position, after)
			}
			after = it.Position
			seen[it.Event.ID] = true
		}
	}
	during(&wg, read)
	eventually(t, func() bool { read(); return len(seen) == writers*each })
	equal(t, "events seen", len(seen), writers*each)
}

// during calls read again and again while the writers of wg are at work, and once when they are done.
func during(wg *sync.WaitGroup, read func()) {
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for writing := true; writing; {
		select {
		case <-done:
			writing = false
		default:
		}
		read()
	}
}

func parkedFeed(t *testing.T, db *store.DB) {
	l := newLog(t, db)
	l.released("N1")
	l.must(confirm(three, "N1", "S1", 1))
	contradicting := confirm(three, "N1", "S1", 2)
	contradicting.Park = true
	l.must(contradicting)
	l.feed(three, 1)
	l.feed(shipper, 1)
	items, _, err := l.Feed(context.Background(), three, ident.Sandbox, 0, 10)
	check(t, err)
	equal(t, "items of the other environment", len(items), 0)
}
