package throttle

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portway/internal/catalog"
	"portway/internal/cluster"
	"portway/internal/cluster/redistest"
)

var quiet = slog.New(slog.DiscardHandler)

// node is a client of its own, as another node has.
func node(t testing.TB, s *redistest.Server) *shared {
	t.Helper()
	r, err := cluster.Open(s.Patient(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return newShared(r)
}

func (s *shared) must(t *testing.T, r *Request) Verdict {
	t.Helper()
	v, err := s.Decide(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Three nodes with one Redis give exactly what one would, whatever the limits are called and however calls race.
func TestSharedIsExactOverNodes(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	limits := []catalog.Limit{{Name: "hour", Rate: 1, Per: time.Hour, Burst: 300}, {Name: "wide", Rate: 1, Per: time.Hour, Burst: 1000}}
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 3 {
		n := node(t, s)
		n.must(t, ask("warm", limits, 1))
		for range 4 {
			wg.Go(func() {
				for range 100 {
					v, err := n.Decide(context.Background(), ask("a", limits, 2))
					if err != nil {
						t.Error(err)
					}
					if v.Allowed {
						passed.Add(1)
					}
				}
			})
		}
	}
	wg.Wait()
	if passed.Load() != 150 {
		t.Errorf("%d calls of cost 2 passed a limit of 300, want exactly 150", passed.Load())
	}
	v := node(t, s).must(t, ask("a", limits, 2))
	if v.Allowed || v.Limits[0].Allowed || !v.Limits[1].Allowed || v.Limits[0].Remaining != 0 || v.Limits[1].Remaining != 700 {
		t.Errorf("what was refused was counted: %+v", v)
	}
	if w := v.Limits[0].Wait; w <= time.Hour || w > 2*time.Hour {
		t.Errorf("wait %v, want about two hours", w)
	}
}

// Memory and Redis decide alike: the same calls at the same moment, the same answers.
func TestSharedDecidesAsMemoryDoes(t *testing.T) {
	t.Parallel()
	n, m := node(t, redistest.Start(t)), NewMemory(1)
	limits := []catalog.Limit{
		{Name: "third", Rate: 3, Per: 1000 * time.Hour, Burst: 7}, // intervals that are no whole microseconds
		{Name: "tight", Rate: 1, Per: 1000 * time.Hour, Burst: 4, Shadow: true},
		{Name: "seven", Rate: 7, Per: 1000 * time.Hour, Burst: 9},
	}
	for i, cost := range []int{1, 2, 1, 1, 3, 1, 1, 1, 2, 1} {
		r := ask("a", limits, cost)
		r.Concurrency, r.Call = 6, fmt.Sprint(i)
		want, got := m.Decide(r, start), n.must(t, r)
		if got.Allowed != want.Allowed || got.Active != want.Active || got.Full != want.Full {
			t.Errorf("call %d: %+v, want %+v", i, got, want)
		}
		for j := range limits {
			g, w := got.Limits[j], want.Limits[j]
			if g.Allowed != w.Allowed || g.Remaining != w.Remaining || (g.Reset-w.Reset).Abs() > 30*time.Second || (g.Wait-w.Wait).Abs() > 30*time.Second {
				t.Errorf("call %d, limit %s: %+v, want %+v", i, limits[j].Name, g, w)
			}
		}
	}
}

func TestSharedRefills(t *testing.T) {
	t.Parallel()
	n := node(t, redistest.Start(t))
	limits := []catalog.Limit{{Name: "burst", Rate: 50, Per: time.Second, Burst: 2}}
	passed, began := 0, time.Now()
	for time.Since(began) < 500*time.Millisecond {
		if n.must(t, ask("a", limits, 1)).Allowed {
			passed++
		}
	}
	most := 2 + int(time.Since(began)/(20*time.Millisecond)) + 1
	if passed < 4 || passed > most { // a busy machine asks too seldom to get all of them
		t.Errorf("%d calls passed, want more than the burst, and at most one each 20 ms: %d", passed, most)
	}
}

func TestSharedPlaces(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	one, two := node(t, s), node(t, s)
	call := func(id string, lease time.Duration) *Request {
		r := ask("a", nil, 1)
		r.Concurrency, r.Call, r.Lease = 2, id, lease
		return r
	}
	first, second := call("1", time.Minute), call("2", time.Minute)
	if v := one.must(t, first); !v.Allowed || v.Active != 1 {
		t.Errorf("first: %+v", v)
	}
	if v := two.must(t, second); !v.Allowed || v.Active != 2 {
		t.Errorf("second, at another node: %+v", v)
	}
	if v := one.must(t, call("3", time.Minute)); v.Allowed || !v.Full || v.Active != 2 {
		t.Errorf("third: %+v", v)
	}
	two.Release(context.Background(), second)
	// A lease that ends gives the place back, though nobody does.
	if v := one.must(t, call("4", time.Millisecond)); !v.Allowed {
		t.Errorf("after a release: %+v", v)
	}
	for began := time.Now(); !two.must(t, call("5", time.Minute)).Allowed; {
		if time.Since(began) > 5*time.Second {
			t.Fatal("the place of a dead node is never given up")
		}
	}
	if ttl := s.Do("PTTL", "portway:{a}:active:live/standard"); len(ttl) < 5 {
		t.Errorf("the set ends in %s ms, before the calls in it may", ttl)
	}
}

// Every key is found by the caller's hash tag, so that a cluster has them in one place, and none lives for ever.
func TestSharedKeys(t *testing.T) {
	t.Parallel()
	s := redistest.StartCluster(t)
	n := node(t, s)
	limits := []catalog.Limit{{Name: "burst", Rate: 10, Per: time.Second, Burst: 5}, {Name: "minute", Rate: 60, Per: time.Minute, Burst: 60}}
	for _, caller := range []string{"app-1", "app-2/org-1"} {
		r := ask(caller, limits, 1)
		r.Bucket, r.Concurrency, r.Call = r.Bucket+"/labels/v1/createLabel", 3, "c"
		if v := n.must(t, r); !v.Allowed {
			t.Errorf("%+v", v)
		}
	}
	keys := strings.Split(s.Do("KEYS", "*"), "\n")
	if len(keys) != 6 {
		t.Errorf("%d keys, want 3 a caller: %q", len(keys), keys)
	}
	for _, k := range keys {
		if ttl := s.Do("PTTL", k); strings.HasPrefix(ttl, "-") {
			t.Errorf("%s has no time to live", k)
		}
		if !strings.HasPrefix(k, "portway:{app-1}:") && !strings.HasPrefix(k, "portway:{app-2/org-1}:") {
			t.Errorf("%s has no hash tag", k)
		}
	}
}

func BenchmarkDecideRedis(b *testing.B) {
	n := node(b, redistest.Start(b))
	limits := []catalog.Limit{{Name: "burst", Rate: 1 << 20, Per: time.Second, Burst: 1 << 20}, {Name: "minute", Rate: 1 << 20, Per: time.Minute, Burst: 1 << 20}}
	requests := make([]*Request, 1000)
	for i := range requests {
		requests[i] = ask(fmt.Sprintf("018f-app-%d", i), limits, 1)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := n.Decide(context.Background(), requests[i%len(requests)]); err != nil {
			b.Fatal(err)
		}
	}
}
