package outbound

import (
	"slices"
	"testing"
	"time"

	"portway/internal/catalog/egress"
)

var start = time.Date(2026, 9, 14, 8, 0, 0, 0, time.UTC)

// through sends one call through a breaker and reports whether it was let through.
func through(b *breaker, now time.Time, good bool) bool {
	permit, ok := b.acquire(now)
	if ok {
		b.settle(permit, good, now)
	}
	return ok
}

func newTestBreaker() (*breaker, *[]string) {
	var states []string
	return newBreaker(egress.Breaker{}, func(s string) { states = append(states, s) }), &states
}

func TestBreakerOpensAtTheRate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		good, bad int
		open      bool
	}{{0, 9, false}, {0, 10, true}, {3, 7, true}, {4, 6, false}, {4, 9, false}, {4, 10, true}, {300, 680, false}} {
		b, _ := newTestBreaker()
		for range c.good {
			through(b, start, true)
		}
		for range c.bad {
			through(b, start, false)
		}
		if open := b.state() == "open"; open != c.open {
			t.Errorf("%d good, %d bad: open is %t", c.good, c.bad, open)
		}
	}
	var none *breaker
	if !through(none, start, false) || none.state() != "closed" || newBreaker(egress.Breaker{Off: true}, nil) != nil {
		t.Error("a breaker that is off refuses")
	}
}

func TestBreakerProbesAndDoubles(t *testing.T) {
	t.Parallel()
	b, states := newTestBreaker()
	now := start
	for range 10 {
		through(b, now, false)
	}
	for _, wait := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 10 * time.Minute, 10 * time.Minute} {
		if got := b.wait(now); got != wait {
			t.Errorf("it stays open for %s, want %s", got, wait)
		}
		if now = now.Add(wait - time.Nanosecond); through(b, now, true) {
			t.Errorf("a call was let through before %s", wait)
		}
		now = now.Add(time.Nanosecond)
		probe, ok := b.acquire(now)
		if !ok {
			t.Fatalf("no probe after %s", wait)
		}
		if through(b, now, true) {
			t.Error("a second probe was let through")
		}
		b.settle(probe, false, now)
	}
	now = now.Add(10 * time.Minute)
	if !through(b, now, true) || b.state() != "closed" {
		t.Errorf("after a good probe it is %s", b.state())
	}
	for range 10 {
		through(b, now, false)
	}
	if got := b.wait(now); got != 30*time.Second {
		t.Errorf("after it closed, it opens for %s", got)
	}
	if want := []string{"open", "half-open", "open"}; !slices.Equal((*states)[:3], want) {
		t.Errorf("states %v", *states)
	}
}

// A call that began before the breaker opened says nothing about the probe.
func TestBreakerIgnoresLateCalls(t *testing.T) {
	t.Parallel()
	b, _ := newTestBreaker()
	late, _ := b.acquire(start)
	for range 10 {
		through(b, start, false)
	}
	now := start.Add(30 * time.Second)
	probe, ok := b.acquire(now)
	b.settle(late, true, now)
	if !ok || b.state() != "half-open" {
		t.Fatalf("a late call closed it: %s", b.state())
	}
	b.settle(probe, true, now)
	if b.state() != "closed" {
		t.Errorf("the probe did not close it: %s", b.state())
	}
}
