package storetest

import (
	"context"
	"testing"
	"time"

	"portway/internal/delivery"
	"portway/internal/store"
)

// backlog counts what is pending and dead; what was delivered is in neither.
func backlog(t *testing.T, db *store.DB) {
	l, _ := queued(t, db, 3)
	oldest := l.clock.Now()
	counted := func() []delivery.Backlog {
		t.Helper()
		all, err := l.Backlog(context.Background())
		check(t, err)
		return all
	}
	before := counted()
	if len(before) != 1 || before[0].Lane != "critical" || before[0].Pending != 3 || before[0].Dead != 0 || before[0].Oldest.After(oldest) || before[0].Oldest.IsZero() {
		t.Fatalf("three pending: %+v", before)
	}
	dead := l.lease(1)
	l.clock.Advance(time.Second)
	equal(t, "given up", l.finish(&dead[0], delivery.Dead, l.clock.Now()), true)
	delivered := l.lease(1)
	equal(t, "delivered", l.finish(&delivered[0], delivery.Delivered, l.clock.Now()), true)
	after := counted()
	if len(after) != 1 || after[0].Pending != 1 || after[0].Dead != 1 || after[0].Oldest.IsZero() {
		t.Errorf("one of each: %+v", after)
	}
	last := l.lease(1)
	equal(t, "given up", l.finish(&last[0], delivery.Dead, l.clock.Now()), true)
	if none := counted(); len(none) != 1 || none[0].Pending != 0 || none[0].Dead != 2 || !none[0].Oldest.IsZero() {
		t.Errorf("none pending: %+v", none)
	}
}
