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

func TestDecideHoldsEveryLimitAtOnce(t *testing.T) {
	t.Parallel()
	m := NewMemory()
	limits := []catalog.Limit{
		{Name: "burst", Rate: 10, Per: time.Second, Burst: 5},
		{Name: "minute", Rate: 60, Per: time.Minute, Burst: 8},
	}
	now := start
	passed := 0
	for range 20 {
		if _, ok := m.Decide("a", limits, 1, now); ok {
			passed++
		}
	}
	if passed != 5 {
		t.Errorf("at once %d calls passed, want the burst of 5", passed)
	}
	now = now.Add(time.Second) // the burst has refilled; of the minute's 8, 5 are used and 1 came back
	passed = 0
	for range 20 {
		if _, ok := m.Decide("a", limits, 1, now); ok {
			passed++
		}
	}
	if passed != 4 {
		t.Errorf("a second later %d calls passed, want 4 by the minute's limit", passed)
	}
	d, ok := m.Decide("a", limits, 1, now)
	if ok || d[0].Allowed == false || d[1].Allowed {
		t.Errorf("the minute's limit alone must refuse: %+v", d)
	}
	if d[1].Reset <= 0 || d[1].Reset > time.Second {
		t.Errorf("reset = %v, want at most a second", d[1].Reset)
	}
	// A refused call takes nothing from the limit that would have allowed it.
	if d[0].Remaining != 1 {
		t.Errorf("burst remaining = %d, want 1", d[0].Remaining)
	}
	if _, ok := m.Decide("b", limits, 1, now); !ok {
		t.Error("another caller shares the limit")
	}
}

func TestDecideCostAndConcurrency(t *testing.T) {
	t.Parallel()
	m := NewMemory()
	limits := []catalog.Limit{{Name: "burst", Rate: 1, Per: time.Hour, Burst: 100}}
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if _, ok := m.Decide("k", limits, 2, start); ok {
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

func TestRefilledKeysAreForgotten(t *testing.T) {
	t.Parallel()
	m := NewMemory()
	limits := []catalog.Limit{{Name: "burst", Rate: 10, Per: time.Second, Burst: 5}}
	const rounds, keys = 10, 100_000
	for r := range rounds {
		now := start.Add(time.Duration(r) * time.Minute)
		for k := range keys {
			m.Decide(fmt.Sprint(r, "/", k), limits, 1, now)
		}
	}
	held := 0
	for i := range m.shards {
		held += len(m.shards[i].keys)
	}
	if held > 3*keys {
		t.Errorf("%d keys are held after %d callers came and went", held, rounds*keys)
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	m := NewMemory()
	limits := []catalog.Limit{
		{Name: "burst", Rate: 20, Per: time.Second, Burst: 40},
		{Name: "minute", Rate: 600, Per: time.Minute, Burst: 30},
	}
	d, _ := m.Decide("k", limits, 1, start)
	got := fmt.Sprint(headers(d))
	want := `[[RateLimit-Policy "burst";q=40;w=2, "minute";q=30;w=3] [RateLimit "burst";r=39;t=0, "minute";r=29;t=0] [X-RateLimit-Limit 30] [X-RateLimit-Remaining 29] [X-RateLimit-Reset 0]]`
	if got != want {
		t.Errorf("headers\n got %s\nwant %s", got, want)
	}
}

func BenchmarkDecide(b *testing.B) {
	m := NewMemory()
	limits := []catalog.Limit{{Name: "burst", Rate: 1 << 20, Per: time.Second, Burst: 1 << 20}, {Name: "minute", Rate: 1 << 20, Per: time.Minute, Burst: 1 << 20}}
	keys := make([]string, 100_000)
	for i := range keys {
		keys[i] = fmt.Sprintf("app-%d/live/standard", i)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		m.Decide(keys[i%len(keys)], limits, 1, start)
		i++
	}
}
