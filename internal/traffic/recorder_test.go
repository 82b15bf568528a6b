package traffic_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/traffic"
)

// memory is a Store that keeps batches; gate, if set, is waited for.
type memory struct {
	traffic.Store
	mu      sync.Mutex
	batches [][]traffic.Call
	gate    chan struct{}
	entered chan struct{}
	err     error
	panics  bool
}

func (m *memory) Append(_ context.Context, calls []traffic.Call) error {
	if m.gate != nil {
		select {
		case m.entered <- struct{}{}:
		default:
		}
		<-m.gate
	}
	if m.panics {
		panic("store")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.batches = append(m.batches, slices.Clone(calls))
	return m.err
}

func (m *memory) ids() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for _, b := range m.batches {
		for _, c := range b {
			out = append(out, c.ID)
		}
	}
	return out
}

func live(n int) traffic.Call {
	return traffic.Call{ID: fmt.Sprint(n), Environment: partner.Environment(ident.Live)}
}

func closed(t *testing.T, r *traffic.Recorder) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := r.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestSandboxIsWrittenBeforeRecordReturns(t *testing.T) {
	t.Parallel()
	m := &memory{}
	r := traffic.NewRecorder(m, slog.New(slog.DiscardHandler))
	defer closed(t, r)
	if err := r.Record(context.Background(), traffic.Call{ID: "s", Environment: ident.Sandbox}); err != nil || len(m.ids()) != 1 {
		t.Errorf("%v, %v", err, m.ids())
	}
	m.err = errors.New("full")
	if err := r.Record(context.Background(), traffic.Call{ID: "t", Environment: ident.Sandbox}); err == nil {
		t.Error("the store's error is lost")
	}
}

func TestBatches(t *testing.T) {
	t.Parallel()
	m := &memory{}
	r := traffic.NewRecorder(m, slog.New(slog.DiscardHandler))
	const n = 1001
	for i := range n {
		if err := r.Record(context.Background(), live(i)); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, r)
	got := m.ids()
	if len(got) != n || r.Dropped() != 0 {
		t.Fatalf("%d written, %d dropped", len(got), r.Dropped())
	}
	for i, id := range got {
		if id != fmt.Sprint(i) {
			t.Fatalf("record %d is %s", i, id)
		}
	}
	for _, b := range m.batches {
		if len(b) > 200 {
			t.Errorf("a batch of %d", len(b))
		}
	}
	if err := r.Record(context.Background(), live(1)); !errors.Is(err, traffic.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	closed(t, r)
}

func TestALoneRecordIsWrittenSoon(t *testing.T) {
	t.Parallel()
	m := &memory{}
	r := traffic.NewRecorder(m, slog.New(slog.DiscardHandler))
	defer closed(t, r)
	if err := r.Record(context.Background(), live(1)); err != nil {
		t.Fatal(err)
	}
	for until := time.Now().Add(5 * time.Second); len(m.ids()) == 0; {
		if time.Now().After(until) {
			t.Fatal("not written within 5 s")
		}
	}
}

func TestAFullQueueDropsAndNeverBlocks(t *testing.T) {
	t.Parallel()
	m := &memory{gate: make(chan struct{}), entered: make(chan struct{}, 1)}
	r := traffic.NewRecorder(m, slog.New(slog.DiscardHandler))
	const n = 10_000
	for i := range n {
		if err := r.Record(context.Background(), live(i)); err != nil {
			t.Fatal(err)
		}
	}
	<-m.entered // the writer holds a batch and waits
	for i := range n {
		if err := r.Record(context.Background(), live(n+i)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := r.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("closed with a waiting store: %v", err)
	}
	close(m.gate)
	closed(t, r)
	if got := int64(len(m.ids())); got+r.Dropped() != 2*n || r.Dropped() == 0 {
		t.Errorf("%d written, %d dropped", got, r.Dropped())
	}
}

func TestAFailingStoreIsCountedAndTheWriterLives(t *testing.T) {
	t.Parallel()
	for _, m := range []*memory{{panics: true}, {err: errors.New("full")}} {
		r := traffic.NewRecorder(m, slog.New(slog.DiscardHandler))
		for i := range 500 {
			if err := r.Record(context.Background(), live(i)); err != nil {
				t.Fatal(err)
			}
		}
		closed(t, r)
		if r.Dropped() != 500 {
			t.Errorf("%d dropped", r.Dropped())
		}
	}
}
