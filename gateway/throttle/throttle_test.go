package throttle

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portway/internal/catalog"
)

var start = time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)

// ask is a call of a caller under limits.
func ask(caller string, limits []catalog.Limit, cost int) *Request {
	return &Request{Caller: caller, Plan: "live/standard", Bucket: "live/standard", Limits: limits, Cost: cost, Lease: time.Minute}
}

func TestDecideHoldsEveryLimitAtOnce(t *testing.T) {
	t.Parallel()
	m := NewMemory(1)
	limits := []catalog.Limit{
		{Name: "burst", Rate: 10, Per: time.Second, Burst: 5},
		{Name: "minute", Rate: 60, Per: time.Minute, Burst: 8},
	}
	now := start
	passed := func(n int) (count int) {
		for range n {
			if m.Decide(ask("a", limits, 1), now).Allowed {
				count++
			}
		}
		return count
	}
	if n := passed(20); n != 5 {
		t.Errorf("at once %d calls passed, want the burst of 5", n)
	}
	now = now.Add(time.Second) // the burst has refilled; of the minute's 8, 5 are used and 1 came back
	if n := passed(20); n != 4 {
		t.Errorf("a second later %d calls passed, want 4 by the minute's limit", n)
	}
	v := m.Decide(ask("a", limits, 1), now)
	if v.Allowed || !v.Limits[0].Allowed || v.Limits[1].Allowed {
		t.Errorf("the minute's limit alone must refuse: %+v", v)
	}
	if d := v.Limits[1]; d.Wait <= 0 || d.Wait > time.Second || d.Reset != 8*time.Second {
		t.Errorf("wait %v, reset %v, want at most a second and 8 s", d.Wait, d.Reset)
	}
	// A refused call takes nothing from the limit that would have allowed it.
	if v.Limits[0].Remaining != 1 {
		t.Errorf("burst remaining = %d, want 1", v.Limits[0].Remaining)
	}
	if !m.Decide(ask("b", limits, 1), now).Allowed {
		t.Error("another caller shares the limit")
	}
}

func TestDecideCostAndConcurrentCallers(t *testing.T) {
	t.Parallel()
	m := NewMemory(1)
	limits := []catalog.Limit{{Name: "burst", Rate: 1, Per: time.Hour, Burst: 100}}
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if m.Decide(ask("k", limits, 2), start).Allowed {
					passed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if passed.Load() != 50 {
		t.Errorf("%d calls of cost 2 passed a limit of 100, want exactly 50", passed.Load())
	}
}

// An operation's own bucket is beside the plan's; places are the caller's whichever bucket counts.
func TestDecideBuckets(t *testing.T) {
	t.Parallel()
	m := NewMemory(1)
	limits := []catalog.Limit{{Name: "burst", Rate: 1, Per: time.Hour, Burst: 2}}
	own := ask("a", limits, 1)
	own.Bucket += "/labels/v1/createLabel"
	for i := range 2 {
		if !m.Decide(ask("a", limits, 1), start).Allowed || !m.Decide(own, start).Allowed {
			t.Fatalf("call %d was refused", i)
		}
	}
	if m.Decide(ask("a", limits, 1), start).Allowed || m.Decide(own, start).Allowed {
		t.Error("a bucket gives more than it has")
	}
	place := func(bucket string) *Request {
		r := ask("c", nil, 1)
		r.Bucket, r.Concurrency = bucket, 2
		return r
	}
	first := m.Decide(place("live/standard"), start)
	second := m.Decide(place("live/standard/x"), start)
	third := m.Decide(place("live/standard/x"), start)
	if !first.Allowed || !second.Allowed || third.Allowed || second.Active != 2 || third.Active != 2 || !third.Full {
		t.Errorf("places: %+v, %+v, %+v", first, second, third)
	}
	m.Release(place("live/standard/x"))
	if v := m.Decide(place("live/standard"), start); !v.Allowed || v.Active != 2 {
		t.Errorf("a released place: %+v", v)
	}
}

// A call that finds no place is not counted, and one that is counted out takes no place.
func TestDecideIsAllOrNothing(t *testing.T) {
	t.Parallel()
	m := NewMemory(1)
	r := ask("a", []catalog.Limit{{Name: "burst", Rate: 1, Per: time.Hour, Burst: 3}}, 1)
	r.Concurrency = 1
	m.Decide(r, start)
	if v := m.Decide(r, start); v.Allowed || v.Limits[0].Remaining != 2 {
		t.Errorf("no place: %+v", v)
	}
	for range 3 {
		m.Release(r)
		m.Decide(r, start)
	}
	m.Release(r)
	if v := m.Decide(r, start); v.Allowed || v.Full || v.Active != 0 {
		t.Errorf("used up: %+v", v)
	}
}

func TestDecideShadow(t *testing.T) {
	t.Parallel()
	m := NewMemory(1)
	r := ask("a", []catalog.Limit{{Name: "tight", Rate: 1, Per: time.Second, Burst: 1, Shadow: true}, {Name: "burst", Rate: 1, Per: time.Hour, Burst: 5}}, 1)
	r.Concurrency, r.Soft = 1, true
	over := 0
	for i := range 5 {
		v := m.Decide(r, start.Add(time.Duration(i)*500*time.Millisecond))
		if !v.Allowed || v.Active != i+1 || v.Full != (i > 0) {
			t.Errorf("call %d: %+v", i, v)
		}
		if !v.Limits[0].Allowed {
			over++
		}
	}
	if over != 2 { // at 0.5 and 1.5 s: what it would have refused is not charged, as if it had
		t.Errorf("the shadow limit would have refused %d of 5 calls in 2 s, want 2", over)
	}
	if m.Decide(r, start.Add(2*time.Second)).Allowed {
		t.Error("the other limit no longer refuses")
	}
}

// Nodes that cannot ask each other give together what one would.
func TestDecideShare(t *testing.T) {
	t.Parallel()
	limits := []catalog.Limit{{Name: "burst", Rate: 30, Per: time.Second, Burst: 30}}
	passed := 0
	for range 3 {
		m := NewMemory(3)
		for range 100 {
			if m.Decide(ask("a", limits, 1), start).Allowed {
				passed++
			}
		}
	}
	if passed != 30 {
		t.Errorf("three nodes gave %d at once, want 30", passed)
	}
	m := NewMemory(10)
	tight := []catalog.Limit{{Name: "burst", Rate: 1, Per: time.Second, Burst: 5}}
	if !m.Decide(ask("a", tight, 5), start).Allowed || m.Decide(ask("a", tight, 5), start.Add(49*time.Second)).Allowed ||
		!m.Decide(ask("a", tight, 5), start.Add(50*time.Second)).Allowed {
		t.Error("a call that costs more than the share must fit, once in the time that nodes take for it")
	}
}

// A plan that is reloaded with other limits begins anew and never reads what is not there.
func TestDecideAfterReload(t *testing.T) {
	t.Parallel()
	m := NewMemory(1)
	limits := []catalog.Limit{{Name: "a", Rate: 1, Per: time.Hour, Burst: 1}, {Name: "b", Rate: 1, Per: time.Hour, Burst: 1}}
	m.Decide(ask("k", limits[:1], 1), start)
	if !m.Decide(ask("k", limits, 1), start).Allowed || m.Decide(ask("k", limits, 1), start).Allowed || !m.Decide(ask("k", nil, 1), start).Allowed {
		t.Error("a change of limits is not taken")
	}
}

func TestRefilledBucketsAreForgotten(t *testing.T) {
	t.Parallel()
	m := NewMemory(1)
	limits := []catalog.Limit{{Name: "burst", Rate: 10, Per: time.Second, Burst: 5}}
	busy := ask("busy", limits, 1)
	busy.Concurrency = 5
	m.Decide(busy, start)
	const rounds, keys = 10, 100_000
	for r := range rounds {
		now := start.Add(time.Duration(r) * time.Minute)
		for k := range keys {
			m.Decide(ask(fmt.Sprint(r, "/", k), limits, 1), now)
		}
	}
	held := 0
	for i := range m.shards {
		held += len(m.shards[i].keys)
	}
	if held > 3*keys {
		t.Errorf("%d buckets are held after %d callers came and went", held, rounds*keys)
	}
	if v := m.Decide(busy, start.Add(time.Hour)); v.Active != 2 {
		t.Errorf("the call under way was forgotten: %+v", v)
	}
}

// The bound of the acceptance: two limits, 100,000 callers, at most 250 ns.
func BenchmarkDecideMemory(b *testing.B) {
	m := NewMemory(1)
	limits := []catalog.Limit{{Name: "burst", Rate: 1 << 20, Per: time.Second, Burst: 1 << 20}, {Name: "minute", Rate: 1 << 20, Per: time.Minute, Burst: 1 << 20}}
	requests := make([]*Request, 100_000)
	for i := range requests {
		requests[i] = ask(fmt.Sprintf("018f-app-%d", i), limits, 1)
		m.Decide(requests[i], start)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m.Decide(requests[i%len(requests)], start)
	}
}
