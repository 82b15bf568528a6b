package delivery

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"portway/internal/catalog"
	"portway/internal/ident"
)

// The published schedule, written out again so that a change of either is noticed.
var published = []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour,
	14 * time.Hour, 20 * time.Hour, 24 * time.Hour}

func TestRetriesFollowTheScheduleUntilExhausted(t *testing.T) {
	t.Parallel()
	for _, rnd := range []float64{0, 0.5, 0.999999} {
		t.Run(fmt.Sprint(rnd), func(t *testing.T) {
			t.Parallel()
			store := newMemory()
			store.add(delivery("d", "a", "k"))
			b := run(t, store, rnd, nil, func(context.Context, *Delivery) Sent { return Sent{Status: 503} })
			for i, want := range published {
				r := b.next(t)
				got := r.Next.Sub(b.clock.Now())
				low, high := want*8/10-time.Microsecond, want*12/10+time.Microsecond
				if r.State != Pending || r.Attempt.Status != 503 || r.Attempt.Reason != ReasonTransient || got < low || got > high {
					t.Fatalf("attempt %d: %+v waits %s, want %s ± 20 %%", i+1, r, got, want)
				}
				b.clock.Advance(got)
				b.Wake()
			}
			if r := b.next(t); r.State != Dead || r.Attempt.Reason != ReasonExhausted || r.Attempt.Status != 503 {
				t.Fatalf("the last attempt gives %+v, want dead and exhausted", r)
			}
			if n := len(b.sender.starts()); n != 10 {
				t.Errorf("%d attempts, want 10", n)
			}
		})
	}
}

func TestScheduleIsNotUsedUpByTriesThatDoNotCount(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		waits    []time.Duration
		attempts int
		age      time.Duration
		want     time.Duration
		left     bool
	}{
		{"first failure", nil, 1, 0, 5 * time.Second, true},
		{"many locked tries within two minutes", nil, 9, 2 * time.Minute, 5 * time.Minute, true},
		{"many tries, most of a day old", nil, 40, 20 * time.Hour, 14 * time.Hour, true},
		{"many tries, over its time", nil, 40, 76 * time.Hour, 0, false},
		{"few tries because we were down", nil, 2, 200 * time.Hour, 5 * time.Minute, true},
		{"a clock that went back", nil, 1, -time.Hour, 5 * time.Second, true},
		{"own waits without leading zero", []time.Duration{time.Second, time.Minute}, 2, 2 * time.Second, time.Minute, true},
		{"own waits used up", []time.Duration{time.Second, time.Minute}, 3, 61 * time.Second, 0, false},
		{"one try only", []time.Duration{0}, 1, 0, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got, left := newSchedule(tt.waits).next(tt.attempts, tt.age); got != tt.want || left != tt.left {
				t.Errorf("got %s, %v; want %s, %v", got, left, tt.want, tt.left)
			}
		})
	}
}

func TestAnswersDecide(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		sent   Sent
		state  State
		reason string
		low    time.Duration
		high   time.Duration
	}{
		{"done", Sent{Class: Done, Status: 200}, Delivered, "", 0, 0},
		{"already", Sent{Class: Already, Status: 409}, Delivered, ReasonAlready, 0, 0},
		{"rejected at once", Sent{Class: Rejected, Status: 422}, Dead, ReasonRejected, 0, 0},
		{"locked soon", Sent{Class: Locked, Status: 423}, Pending, ReasonLocked, 12 * time.Second, 18 * time.Second},
		{"locked until", Sent{Class: Locked, Status: 423, RetryAfter: time.Minute}, Pending, ReasonLocked, time.Minute, time.Minute},
		{"retry after", Sent{Status: 429, RetryAfter: 2 * time.Hour}, Pending, ReasonTransient, 2 * time.Hour, 2 * time.Hour},
		{"retry after a year", Sent{Status: 503, RetryAfter: 9000 * time.Hour}, Pending, ReasonTransient, 24 * time.Hour, 24 * time.Hour},
		{"retry after less than the schedule", Sent{Status: 503, RetryAfter: time.Second}, Pending, ReasonTransient, 4 * time.Second, 6 * time.Second},
		{"no answer", Sent{Reason: "backend.timeout"}, Pending, "backend.timeout", 4 * time.Second, 6 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			store := newMemory()
			store.add(delivery("d", "a", "k"))
			b := run(t, store, 0.5, nil, func(context.Context, *Delivery) Sent { return tt.sent })
			r := b.next(t)
			wait := time.Duration(0)
			if r.State == Pending {
				wait = r.Next.Sub(start)
			}
			if r.State != tt.state || r.Attempt.Reason != tt.reason || r.Attempt.Status != tt.sent.Status || wait < tt.low || wait > tt.high {
				t.Errorf("got %+v (wait %s), want %s %q in %s to %s", r, wait, tt.state, tt.reason, tt.low, tt.high)
			}
		})
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	a := catalog.Answers{Done: []int{304}, Already: []int{409, 200}, Rejected: []int{422, 400}}
	for status, want := range map[int]Class{200: Already, 201: Done, 204: Done, 304: Done, 301: Transient, 400: Rejected, 401: Transient,
		404: Transient, 409: Already, 422: Rejected, 423: Locked, 429: Transient, 500: Transient, 503: Transient} {
		if got := Classify(a, status); got != want {
			t.Errorf("status %d is class %d, want %d", status, got, want)
		}
	}
	if got := Classify(catalog.Answers{Rejected: []int{423}}, 423); got != Rejected {
		t.Errorf("a listed 423 is class %d, want rejected", got)
	}
}

func TestDeliveriesOfOneKeyStartInOrder(t *testing.T) {
	t.Parallel()
	store := newMemory()
	var want []string
	for i := range 20 {
		id := fmt.Sprint("d", i)
		store.add(delivery(id, "a", "one key"))
		want = append(want, id)
	}
	var under, most atomic.Int32
	b := run(t, store, 0.5, nil, func(context.Context, *Delivery) Sent {
		most.Store(max(most.Load(), under.Add(1)))
		defer under.Add(-1)
		return Sent{Class: Done, Status: 200}
	})
	for range want {
		b.next(t)
	}
	if got := b.sender.starts(); !slices.Equal(got, want) {
		t.Errorf("started %v, want %v", got, want)
	}
	if most.Load() != 1 {
		t.Errorf("%d of one key were under way at once", most.Load())
	}
}

func TestTargetThatHangsLeavesRoomForOthers(t *testing.T) {
	t.Parallel()
	store := newMemory()
	for i := range 25 {
		store.add(delivery(fmt.Sprint("hangs", i), "a", fmt.Sprint(i)))
	}
	store.add(delivery("other", "b", "k"))
	release := make(chan struct{})
	defer close(release)
	b := run(t, store, 0.5, nil, func(ctx context.Context, d *Delivery) Sent {
		if d.Route == "a" {
			select {
			case <-release:
			case <-ctx.Done():
			}
			return Sent{Reason: "backend.timeout"}
		}
		return Sent{Class: Done, Status: 200}
	})
	if r := b.next(t); r.ID != "other" || r.State != Delivered {
		t.Fatalf("first came %+v, want the other route's delivery", r)
	}
	hanging := 0
	for _, id := range b.sender.starts() {
		if id != "other" {
			hanging++
		}
	}
	if hanging > lanes[0].places/2 {
		t.Errorf("the hanging route has %d places, want %d at most", hanging, lanes[0].places/2)
	}
}

func TestSilentTargetIsLeftAloneThenProbed(t *testing.T) {
	t.Parallel()
	store := newMemory()
	for i := range 10 {
		store.add(delivery(fmt.Sprint("d", i), "a", "one key"))
	}
	var up atomic.Bool
	b := run(t, store, 0.5, nil, func(context.Context, *Delivery) Sent {
		if up.Load() {
			return Sent{Class: Done, Status: 200}
		}
		return Sent{Reason: "backend.unreachable"}
	})
	for range silentMost {
		if r := b.next(t); r.State != Pending || r.Attempt.Reason != "backend.unreachable" {
			t.Fatalf("got %+v", r)
		}
	}
	// The clock stands: the first three wait five seconds, and the target counts as silent for thirty. When the three
	// are due again they are put off untried, with the reason.
	b.clock.Advance(10 * time.Second)
	b.Wake()
	for range silentMost {
		if r := b.next(t); r.State != Pending || r.Attempt.Reason != ReasonWaiting || r.Attempt.Status != 0 {
			t.Fatalf("got %+v, want it put off", r)
		}
	}
	if n := len(b.sender.starts()); n != silentMost {
		t.Fatalf("%d tries while the target is silent, want %d", n, silentMost)
	}
	if d := store.state("d5"); d.Attempts != 0 {
		t.Errorf("one that was never tried has %d attempts: its successors could overtake it", d.Attempts)
	}
	up.Store(true)
	delivered := map[string]bool{}
	for range 200 {
		b.clock.Advance(31 * time.Second)
		b.Wake()
		for drained := false; !drained; {
			select {
			case r := <-store.finished:
				if r.State == Delivered {
					delivered[r.ID] = true
				}
			case <-time.After(20 * time.Millisecond):
				drained = true
			}
		}
		if len(delivered) == 10 {
			break
		}
	}
	if len(delivered) != 10 {
		t.Fatalf("%d of 10 were delivered after the target came back", len(delivered))
	}
	var first []string
	for _, id := range b.sender.starts() {
		if !slices.Contains(first, id) {
			first = append(first, id)
		}
	}
	if !slices.IsSorted(first) {
		t.Errorf("first tries in order %v", first)
	}
}

func TestPanicOfASenderIsARetry(t *testing.T) {
	t.Parallel()
	store := newMemory()
	store.add(delivery("bad", "a", "1"))
	store.add(delivery("good", "a", "2"))
	b := run(t, store, 0.5, nil, func(_ context.Context, d *Delivery) Sent {
		if d.ID == "bad" {
			panic("a bug")
		}
		return Sent{Class: Done, Status: 200}
	})
	got := map[string]result{}
	for range 2 {
		r := b.next(t)
		got[r.ID] = r
	}
	if r := got["bad"]; r.State != Pending || r.Attempt.Reason != ReasonPanic || r.Next.Sub(start) < 4*time.Second {
		t.Errorf("the panic gives %+v", r)
	}
	if got["good"].State != Delivered {
		t.Errorf("its neighbour gives %+v", got["good"])
	}
}

func TestPanicOfTheStoreDoesNotEndTheLane(t *testing.T) {
	t.Parallel()
	store := newMemory()
	store.panics = 3 // one for each lane, or all for one
	store.add(delivery("d", "a", "1"))
	b := run(t, store, 0.5, nil, func(context.Context, *Delivery) Sent { return Sent{Class: Done, Status: 200} })
	if r := b.next(t); r.State != Delivered {
		t.Errorf("got %+v", r)
	}
}

func TestRouteThatIsGoneKeepsItsDeliveries(t *testing.T) {
	t.Parallel()
	store := newMemory()
	store.add(delivery("gone", "c", "1"))
	live := delivery("live", "a", "2")
	live.Event.Environment = ident.Live
	store.add(live)
	var now atomic.Pointer[catalog.Snapshot]
	now.Store(&catalog.Snapshot{Routes: []*catalog.DeliveryRoute{route("a")}})
	b := run(t, store, 0.5, now.Load, func(context.Context, *Delivery) Sent { return Sent{Class: Done, Status: 200} })
	got := map[string]result{}
	for range 2 {
		r := b.next(t)
		got[r.ID] = r
	}
	if r := got["gone"]; r.State != Pending || r.Attempt.Reason != ReasonNoRoute || !r.Next.After(start) {
		t.Errorf("got %+v, want it kept for later", r)
	}
	if r := got["live"]; r.State != Pending || r.Attempt.Reason != ReasonNotServed {
		t.Errorf("got %+v, want it kept for later", r)
	}
	if n := len(b.sender.starts()); n != 0 {
		t.Fatalf("%d were sent", n)
	}
	now.Store(&catalog.Snapshot{Routes: []*catalog.DeliveryRoute{route("a"), route("c")}})
	b.clock.Advance(noRouteWait)
	b.Wake()
	for range 2 {
		if r := b.next(t); r.ID == "gone" && r.State != Delivered {
			t.Errorf("after the route came back: %+v", r)
		}
	}
}

func TestEndWaitsForWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	store := newMemory()
	store.add(delivery("d", "a", "1"))
	begun, release := make(chan struct{}), make(chan struct{})
	b := run(t, store, 0.5, nil, func(ctx context.Context, _ *Delivery) Sent {
		close(begun)
		<-release
		if ctx.Err() != nil {
			return Sent{Reason: "cancelled"}
		}
		return Sent{Class: Done, Status: 200}
	})
	<-begun
	go func() { close(release) }()
	b.stop()
	if d := store.state("d"); d.State != Delivered {
		t.Errorf("after the end it is %s (%s), want delivered", d.State, d.LastReason)
	}
}

func TestLostLeaseIsLeftToItsNewHolder(t *testing.T) {
	t.Parallel()
	store := newMemory()
	store.lose = true
	store.add(delivery("d", "a", "1"))
	b := run(t, store, 0.5, nil, func(context.Context, *Delivery) Sent { return Sent{Class: Done, Status: 200} })
	b.next(t)
	b.stop()
	if d := store.state("d"); d.State != Leased || len(b.sender.starts()) != 1 {
		t.Errorf("state %s after %d tries, want it leased after one", d.State, len(b.sender.starts()))
	}
}

func TestLanesDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	store := newMemory()
	for i := range 50 {
		d := delivery(fmt.Sprint("bulk", i), "a", fmt.Sprint(i))
		d.Lane = "bulk"
		store.add(d)
	}
	store.add(delivery("critical", "a", "k"))
	release := make(chan struct{})
	defer close(release)
	b := run(t, store, 0.5, nil, func(_ context.Context, d *Delivery) Sent {
		if d.Lane == "bulk" {
			<-release
		}
		return Sent{Class: Done, Status: 200}
	})
	if r := b.next(t); r.ID != "critical" {
		t.Errorf("%s came first", r.ID)
	}
}
