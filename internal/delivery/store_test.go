package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/logistics"
)

// memory is a delivery.Store that keeps the rules of the interface, and tells the test of every Finish.
type memory struct {
	mu       sync.Mutex
	rows     []*Delivery
	until    map[string]time.Time
	leases   int
	lose     bool // pretend that leases are lost
	panics   int  // panic this many times in Lease
	finished chan result
}

type result struct {
	ID      string
	Attempt Attempt
	State   State
	Next    time.Time
}

func newMemory() *memory {
	return &memory{until: map[string]time.Time{}, finished: make(chan result, 1000)}
}

func (m *memory) add(d Delivery) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d.State = Pending
	d.Event.ID = "event of " + d.ID
	if d.Lane == "" {
		d.Lane = "critical"
	}
	if d.Event.Environment == "" {
		d.Event.Environment = ident.Sandbox
	}
	m.rows = append(m.rows, &d)
}

// due is when a row may be taken, and whether it waits for an earlier one of its key.
func (m *memory) blocked(i int, now time.Time) bool {
	for _, b := range m.rows[:i] {
		if b.Ended.IsZero() && b.Route == m.rows[i].Route && b.Event.PartitionKey == m.rows[i].Event.PartitionKey &&
			(b.Attempts == 0 || b.State == Leased || !b.NextAttempt.After(now)) {
			return true
		}
	}
	return false
}

func (m *memory) Lease(_ context.Context, lane string, n int, now, until time.Time) ([]Delivery, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.panics > 0 {
		m.panics--
		panic("the store is broken")
	}
	var out []Delivery
	for i, d := range m.rows {
		if len(out) == n {
			break
		}
		if d.Ended.IsZero() && d.Lane == lane && !d.NextAttempt.After(now) && !m.blocked(i, now) {
			m.leases++
			d.State, d.LeaseID, d.NextAttempt = Leased, fmt.Sprint(m.leases), until
			out = append(out, *d)
		}
	}
	return out, nil
}

func (m *memory) Finish(_ context.Context, d *Delivery, a Attempt, state State, next time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lose {
		m.finished <- result{ID: d.ID}
		return false, nil
	}
	for _, r := range m.rows {
		if r.ID != d.ID || r.LeaseID != d.LeaseID || r.State != Leased {
			continue
		}
		r.State, r.NextAttempt, r.LeaseID, r.LastStatus, r.LastReason = state, next, "", a.Status, a.Reason
		r.Attempts++
		if state != Pending {
			r.Ended = a.At.Add(time.Microsecond)
		}
		m.finished <- result{d.ID, a, state, next}
		return true, nil
	}
	return false, nil
}

func (m *memory) ByEvent(context.Context, ident.OrgID, string) ([]Delivery, error) { return nil, nil }

func (m *memory) Next(context.Context) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var next time.Time
	for _, d := range m.rows {
		if d.Ended.IsZero() && (next.IsZero() || d.NextAttempt.Before(next)) {
			next = d.NextAttempt
		}
	}
	return next, nil
}

func (m *memory) state(id string) Delivery {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.rows {
		if d.ID == id {
			return *d
		}
	}
	return Delivery{}
}

// sender is a Sender made of a function; it keeps the order of starts.
type sender struct {
	mu      sync.Mutex
	started []string
	send    func(ctx context.Context, d *Delivery) Sent
}

func (s *sender) Send(ctx context.Context, d *Delivery, _ *catalog.DeliveryRoute) Sent {
	s.mu.Lock()
	s.started = append(s.started, d.ID)
	s.mu.Unlock()
	return s.send(ctx, d)
}

func (s *sender) starts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.started...)
}

type bench struct {
	*Worker
	store  *memory
	clock  *ident.Manual
	sender *sender
	stop   func() // ends Run and waits for it
}

var start = time.Date(2026, 9, 14, 8, 0, 0, 0, time.UTC)

func route(id string) *catalog.DeliveryRoute {
	return &catalog.DeliveryRoute{ID: id, Backend: &catalog.Backend{ID: id, URLs: map[ident.Environment]string{ident.Sandbox: "http://127.0.0.1"}}}
}

// run starts a worker over the store; rnd is what its Rand returns.
func run(t *testing.T, store *memory, rnd float64, snapshot func() *catalog.Snapshot, send func(ctx context.Context, d *Delivery) Sent) *bench {
	t.Helper()
	b := &bench{store: store, clock: ident.NewManual(start), sender: &sender{send: send}}
	if snapshot == nil {
		fixed := &catalog.Snapshot{Routes: []*catalog.DeliveryRoute{route("a"), route("b")}}
		snapshot = func() *catalog.Snapshot { return fixed }
	}
	b.Worker = New(Deps{Store: store, Snapshot: snapshot, Sender: b.sender, Clock: b.clock, Logger: slog.New(slog.DiscardHandler),
		Rand: func() float64 { return rnd }})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.Run(ctx)
	}()
	b.stop = func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Error("the worker did not end")
		}
	}
	t.Cleanup(b.stop)
	return b
}

func (b *bench) next(t *testing.T) result {
	t.Helper()
	select {
	case r := <-b.store.finished:
		return r
	case <-time.After(20 * time.Second):
		t.Fatal("no attempt was recorded")
		return result{}
	}
}

func delivery(id, route, key string) Delivery {
	return Delivery{ID: id, Route: route, Created: start, NextAttempt: start, Event: logistics.Event{PartitionKey: key}}
}
