package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"portway/internal/delivery"
	"portway/internal/eventlog"
	"portway/internal/store"
)

var deliveryCases = map[string]func(*testing.T, *store.DB){
	"deliveries of one key start in order":            leaseOrder,
	"a head that waits lets successors pass":          retryPasses,
	"an expired lease is due again and fences":        leaseExpires,
	"many workers share the work and take none twice": leaseShared,
	"the backlog is counted by lane":                  backlog,
	"lanes and limits":                                lanes,
	"next tells when there is work":                   nextDue,
}

const lease = time.Minute

// queued accepts n confirmations of one order and returns the log with the event ids in order.
func queued(t *testing.T, db *store.DB, n int) (*log, []string) {
	l := newLog(t, db)
	l.released("N1")
	var ids []string
	for i := range n {
		ids = append(ids, l.must(confirm(three, "N1", fmt.Sprintf("S%d", i), 1)).Outcomes[0].EventID)
	}
	return l, ids
}

func (l *log) lease(n int) []delivery.Delivery {
	l.t.Helper()
	now := l.clock.Now()
	ds, err := l.Lease(context.Background(), "critical", n, now, now.Add(lease))
	check(l.t, err)
	return ds
}

func (l *log) finish(d *delivery.Delivery, state delivery.State, next time.Time) bool {
	l.t.Helper()
	ok, err := l.Finish(context.Background(), d, delivery.Attempt{At: l.clock.Now(), Took: time.Second, Status: 503, Reason: "busy"}, state, next)
	check(l.t, err)
	return ok
}

func leaseOrder(t *testing.T, db *store.DB) {
	l, ids := queued(t, db, 3)
	equal(t, "woken", l.woken.Load(), int64(3))
	for i, id := range ids {
		ds := l.lease(10)
		equal(t, "leased", len(ds), 1)
		equal(t, "event", ds[0].Event.ID, id)
		equal(t, "state", ds[0].State, delivery.Leased)
		equal(t, "route", ds[0].Route, "erp")
		equal(t, "key", ds[0].Event.PartitionKey, ds[0].Event.CorrelationID)
		equal(t, "blocked meanwhile", len(l.lease(10)), 0)
		equal(t, "finish", l.finish(&ds[0], delivery.Delivered, time.Time{}), true)
		equal(t, "finish again", l.finish(&ds[0], delivery.Delivered, time.Time{}), false)
		got, err := l.ByEvent(context.Background(), three, id)
		check(t, err)
		equal(t, "final state", got[0].State, delivery.Delivered)
		equal(t, "attempts", got[0].Attempts, 1)
		equal(t, "last status", got[0].LastStatus, 503)
		if !got[0].Ended.Equal(start.Add(time.Second)) {
			t.Errorf("ended %v", got[0].Ended)
		}
		equal(t, "attempt rows", rows(t, db, "delivery_attempts"), i+1)
	}
	next, err := l.Next(context.Background())
	check(t, err)
	equal(t, "none waiting", next.IsZero(), true)
}

func retryPasses(t *testing.T, db *store.DB) {
	l, ids := queued(t, db, 3)
	head := l.lease(10)[0]
	retry := start.Add(10 * time.Minute)
	equal(t, "finish", l.finish(&head, delivery.Pending, retry), true)
	second := l.lease(10)
	equal(t, "leased", len(second), 1)
	equal(t, "successor", second[0].Event.ID, ids[1])
	// When the head is due again it goes before what has not started.
	l.clock.Advance(10 * time.Minute)
	l.finish(&second[0], delivery.Delivered, time.Time{}) // its lease expired, but nobody took it
	due := l.lease(10)
	equal(t, "leased", len(due), 1)
	equal(t, "head", due[0].Event.ID, ids[0])
	equal(t, "attempts so far", due[0].Attempts, 1)
	equal(t, "dead", l.finish(&due[0], delivery.Dead, time.Time{}), true)
	last := l.lease(10)
	equal(t, "last", last[0].Event.ID, ids[2])
}

func leaseExpires(t *testing.T, db *store.DB) {
	l, ids := queued(t, db, 2)
	first := l.lease(10)[0]
	l.clock.Advance(lease)
	again := l.lease(10)
	equal(t, "leased", len(again), 1)
	equal(t, "event", again[0].Event.ID, ids[0])
	equal(t, "the lost lease writes nothing", l.finish(&first, delivery.Delivered, time.Time{}), false)
	equal(t, "attempt rows", rows(t, db, "delivery_attempts"), 0)
	equal(t, "the new one does", l.finish(&again[0], delivery.Delivered, time.Time{}), true)
}

func leaseShared(t *testing.T, db *store.DB) {
	l := newLog(t, db)
	const n = 60
	for i := range n {
		a := release(fmt.Sprintf("N%d", i))
		a.Statements[0].Subscribers = []eventlog.Subscriber{{Route: "hook", Lane: "critical"}}
		l.must(a)
	}
	var mu sync.Mutex
	seen := map[string]int{}
	var wg sync.WaitGroup
	for range 6 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				ds, err := l.Lease(context.Background(), "critical", 7, start, start.Add(lease))
				if err != nil {
					t.Error(err)
					return
				}
				if len(ds) == 0 {
					return
				}
				if len(ds) > 7 {
					t.Errorf("%d leased at once", len(ds))
				}
				mu.Lock()
				for _, d := range ds {
					seen[d.ID]++
				}
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	// A worker that saw only rows others held may have left early; what remains is still due.
	for {
		ds := l.lease(7)
		if len(ds) == 0 {
			break
		}
		for _, d := range ds {
			seen[d.ID]++
		}
	}
	equal(t, "deliveries", len(seen), n)
	for id, times := range seen {
		equal(t, id, times, 1)
	}
}

func lanes(t *testing.T, db *store.DB) {
	l := newLog(t, db)
	for i, lane := range []string{"bulk", "critical", "critical", "critical"} {
		a := release(fmt.Sprintf("N%d", i))
		a.Statements[0].Subscribers = []eventlog.Subscriber{{Route: "hook", Lane: lane}}
		l.must(a)
	}
	equal(t, "limit", len(l.lease(2)), 2)
	equal(t, "rest of the lane", len(l.lease(10)), 1)
	ds, err := l.Lease(context.Background(), "bulk", 10, start, start.Add(lease))
	check(t, err)
	equal(t, "bulk", len(ds), 1)
	ds, err = l.Lease(context.Background(), "normal", 10, start, start.Add(lease))
	check(t, err)
	equal(t, "normal", len(ds), 0)
}

func nextDue(t *testing.T, db *store.DB) {
	l, _ := queued(t, db, 2)
	at := func() time.Time {
		t.Helper()
		next, err := l.Next(context.Background())
		check(t, err)
		return next
	}
	equal(t, "due now", at().Equal(start), true)
	d := l.lease(1)[0]
	// The second waits for the first: there is nothing to do before the lease expires.
	equal(t, "while leased", at().Equal(start.Add(lease)), true)
	l.finish(&d, delivery.Pending, start.Add(time.Hour))
	equal(t, "the successor", at().Equal(start), true)
	d = l.lease(1)[0]
	l.finish(&d, delivery.Delivered, time.Time{})
	equal(t, "the retry", at().Equal(start.Add(time.Hour)), true)
}
