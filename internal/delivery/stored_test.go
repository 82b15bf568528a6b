package delivery_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"portway/internal/catalog"
	"portway/internal/delivery"
	"portway/internal/delivery/backend"
	"portway/internal/eventlog"
	"portway/internal/ident"
	"portway/internal/logistics"
	"portway/internal/store"
	"portway/internal/store/eventdb"
)

// target is a backend that refuses the first try of each event whose number is even.
type target struct {
	mu   sync.Mutex
	seen []string
	got  chan string
}

func (p *target) Post(_ context.Context, _ *catalog.Backend, _ ident.Environment, _ ident.OrgID, _, _ string, body []byte) (int, http.Header, []byte, error) {
	var e struct{ ID, Subject string }
	if err := json.Unmarshal(body, &e); err != nil {
		return 0, nil, nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	first := !slices.Contains(p.seen, e.Subject)
	p.seen = append(p.seen, e.Subject)
	if first && (e.Subject[len(e.Subject)-1]-'0')%2 == 0 {
		p.got <- "503 " + e.Subject
		return http.StatusServiceUnavailable, nil, nil, nil
	}
	p.got <- "200 " + e.Subject
	return http.StatusOK, nil, nil, nil
}

// TestWorkerOverTheRealStore takes events from their acceptance to the target, over SQLite.
func TestWorkerOverTheRealStore(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	clock := ident.NewManual(time.Date(2026, 9, 14, 8, 0, 0, 0, time.UTC))
	db, err := store.Open(ctx, store.Options{Dir: t.TempDir(), Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	events := eventdb.New(db, clock, nil)
	var ids []string
	for i := range 6 {
		r, err := events.Accept(ctx, eventlog.Acceptance{
			Document: eventlog.Document{Org: "org", Environment: ident.Sandbox, Format: "json", Raw: []byte("{}")},
			Statements: []eventlog.Statement{{Event: logistics.Event{Type: "shipment.milestone.v1", Subject: fmt.Sprint("order/", i), PartitionKey: "one key",
				Time: logistics.InstantOf(clock.Now(), logistics.ZoneMessage), Data: json.RawMessage("{}")},
				Subscribers: []eventlog.Subscriber{{Route: "erp", Lane: "normal"}}}}})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.Outcomes[0].EventID)
	}
	// A worker that died holding the first one: its lease has to run out.
	if d, err := events.Lease(ctx, "normal", 1, clock.Now(), clock.Now().Add(30*time.Second)); err != nil || len(d) != 1 || d[0].Event.ID != ids[0] {
		t.Fatalf("leased %+v: %v", d, err)
	}
	clock.Advance(31 * time.Second)

	to := &target{got: make(chan string, 100)}
	snap := &catalog.Snapshot{Routes: []*catalog.DeliveryRoute{{ID: "erp", Path: "/events", Backend: &catalog.Backend{ID: "erp",
		URLs: map[ident.Environment]string{ident.Sandbox: "http://erp"}}}}}
	w := delivery.New(delivery.Deps{Store: events, Snapshot: func() *catalog.Snapshot { return snap }, Sender: backend.New(to, clock), Clock: clock,
		Logger: slog.New(slog.DiscardHandler)})
	run, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.Run(run)
	}()
	take := func(n int) (out []string) {
		for range n {
			select {
			case s := <-to.got:
				out = append(out, s)
			case <-time.After(20 * time.Second):
				t.Fatalf("only %v arrived", out)
			}
		}
		return out
	}
	want := []string{"503 order/0", "200 order/1", "503 order/2", "200 order/3", "503 order/4", "200 order/5"}
	if got := take(6); !slices.Equal(got, want) {
		t.Errorf("first tries %v, want %v", got, want)
	}
	clock.Advance(10 * time.Second)
	w.Wake()
	if got := take(3); !slices.Equal(got, []string{"200 order/0", "200 order/2", "200 order/4"}) {
		t.Errorf("second tries %v", got)
	}
	cancel()
	<-ended
	for i, id := range ids {
		d, err := events.ByEvent(ctx, "org", id)
		if err != nil || len(d) != 1 || d[0].State != delivery.Delivered || d[0].Attempts != 2-i%2 {
			t.Errorf("event %d: %+v: %v", i, d, err)
		}
	}
}
