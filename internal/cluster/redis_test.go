package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portway/internal/cluster/redistest"
	"portway/internal/ident"
)

var quiet = slog.New(slog.DiscardHandler)

func opened(t testing.TB, address string, log *slog.Logger) *Redis {
	t.Helper()
	r, err := Open(address, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return r
}

// eventually fails the test unless ok within the time.
func eventually(t *testing.T, within time.Duration, ok func() bool) time.Duration {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		if ok() {
			return time.Since(began)
		}
		if time.Since(began) > within {
			t.Fatalf("it did not happen within %v", within)
		}
	}
}

var one = NewScript(`redis.call('SET', KEYS[1], ARGV[1], 'PX', 60000) return {1}`)

func TestOpenRefusesWithoutEchoing(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "127.0.0.1:6379", "http://user:hunter2@h", "redis://", "redis://:hunter2@h:port", "redis://:hunter2@h/x?addr=a b", "redis://h?no=such"} {
		r, err := Open(address, quiet)
		if err == nil {
			t.Errorf("%q was taken", address)
			r.Close()
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error quotes the address: %v", err)
		}
	}
}

// A program starts without Redis, does not wait for it, and has it when it comes.
func TestRedisComesLater(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	s.Kill()
	var log bytes.Buffer
	r := opened(t, s.Patient(), slog.New(slog.NewTextHandler(&log, nil)))
	ctx := context.Background()
	for i := range 10 {
		began := time.Now()
		if _, err := r.Run(ctx, one, []string{"k"}, "v"); !errors.Is(err, ErrAway) {
			t.Fatalf("run %d: %v", i, err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("run %d took %v", i, took)
		}
	}
	if !r.Degraded() || r.Without() != 10 {
		t.Errorf("degraded %v, %d decisions without", r.Degraded(), r.Without())
	}
	s.Restart()
	if took := eventually(t, 5*time.Second, func() bool { return !r.Degraded() }); took > 5*time.Second {
		t.Errorf("back after %v", took)
	}
	if out, err := r.Run(ctx, one, []string{"k"}, "v"); err != nil || len(out) != 1 {
		t.Errorf("after it is back: %v, %v", out, err)
	}
	if n, err := r.Add(ctx, "c", 3, time.Minute); err != nil || n != 3 {
		t.Errorf("counter after it is back: %d, %v", n, err)
	}
	if text := log.String(); strings.Count(text, "cluster.degraded") != 1 || strings.Count(text, "cluster.recovered") != 1 {
		t.Errorf("log:\n%s", text)
	}
}

// A server that takes connections and does not answer costs one patience each, three times, and then nothing.
func TestRedisHangs(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	r := opened(t, s.Address(), quiet)
	ctx := context.Background()
	eventually(t, 20*time.Second, func() bool { // its patience is short, and the machine may be busy
		_, err := r.Run(ctx, one, []string{"k"}, "v")
		return err == nil
	})
	s.Pause()
	began := time.Now()
	for range 1000 {
		if _, err := r.Run(ctx, one, []string{"k"}, "v"); !errors.Is(err, ErrAway) {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("1000 calls took %v", took)
	}
	s.Resume()
	eventually(t, 5*time.Second, func() bool { return !r.Degraded() })
}

// A server that answers but takes no writes is away, and the probe is not fooled.
func TestRedisIsReadOnly(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	r := opened(t, s.Patient(), quiet)
	s.Do("CONFIG", "SET", "maxmemory", "1")
	ctx := context.Background()
	for range 4 {
		if _, err := r.Run(ctx, one, []string{"k"}, "v"); !errors.Is(err, ErrAway) {
			t.Fatal(err)
		}
	}
	if !r.Degraded() {
		t.Fatal("a Redis that refuses writes is not away")
	}
	if err := returned.Run(ctx, r.client, []string{"portway:probe"}).Err(); err == nil {
		t.Error("the probe passes")
	}
	s.Do("CONFIG", "SET", "maxmemory", "0")
	eventually(t, 5*time.Second, func() bool { return !r.Degraded() })
}

func TestScriptsAndCountersSurviveAFlush(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	r := opened(t, s.Patient(), quiet)
	ctx := context.Background()
	for range 2 {
		if _, err := r.Run(ctx, one, []string{"k"}, "v"); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Add(ctx, "c", 1, time.Minute); err != nil {
			t.Fatal(err)
		}
		s.Do("SCRIPT", "FLUSH")
	}
	if n, err := r.Add(ctx, "c", -2, time.Minute); err != nil || n != 0 {
		t.Errorf("given back: %d, %v", n, err)
	}
	if ttl := s.Do("PTTL", "portway:c"); ttl == "-1" {
		t.Error("a counter lives for ever")
	}
}

// Keys of one caller share a slot, so that a cluster runs the scripts: the server here is one that refuses otherwise.
func TestRedisCluster(t *testing.T) {
	t.Parallel()
	s := redistest.StartCluster(t)
	r := opened(t, s.Patient()+"&addr="+strings.TrimPrefix(s.Address(), "redis://"), quiet)
	ctx := context.Background()
	both := NewScript(`redis.call('SET', KEYS[1], 1, 'PX', 60000) redis.call('SET', KEYS[2], 1, 'PX', 60000) return {1}`)
	if _, err := r.Run(ctx, both, []string{"portway:{a}:1", "portway:{b}:1"}); err == nil {
		t.Error("a cluster ran a script over two slots: the test sees nothing")
	}
	if _, err := r.Run(ctx, both, []string{"portway:{a}:1", "portway:{a}:2"}); err != nil {
		t.Error(err)
	}
	if n, err := r.Add(ctx, counterKey(&Quota{Application: "a", Name: "daily"}), 2, time.Minute); err != nil || n != 2 {
		t.Errorf("counter: %d, %v", n, err)
	}
}

// Close while calls fail neither hangs nor leaves a probe.
func TestCloseWhileAway(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "redis://" + ln.Addr().String()
	ln.Close()
	for range 20 {
		r, err := Open(address, quiet)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 4 {
					r.Run(context.Background(), one, []string{"k"}, "v")
				}
			})
		}
		r.Close()
		wg.Wait()
	}
}

func TestCounterWindows(t *testing.T) {
	t.Parallel()
	c, ctx := NewCounter(), context.Background()
	if n, _, err := c.Peek(ctx, "k", time.Minute); n != 0 || err != nil {
		t.Errorf("before the first: %d, %v", n, err)
	}
	for want := int64(2); want <= 6; want += 2 {
		if n, until, err := c.Add(ctx, "k", 2, time.Minute); n != want || err != nil || until.Before(time.Now()) {
			t.Errorf("count %d until %v, %v, want %d", n, until, err, want)
		}
	}
	if n, _, _ := c.Add(ctx, "k", -8, time.Minute); n != -2 {
		t.Errorf("below zero: %d", n)
	}
	if n, _, _ := c.Add(ctx, "short", 1, -time.Second); n != 1 {
		t.Errorf("first of a window: %d", n)
	}
	if n, _, _ := c.Add(ctx, "short", 1, time.Minute); n != 1 {
		t.Errorf("first after a window's end: %d", n)
	}
}

func key(app string, at time.Time) Quota {
	day := at.UTC().Truncate(24 * time.Hour)
	return Quota{Org: "o", Application: app, Environment: ident.Live, Plan: "p", Name: "daily", Start: day.Unix(), End: day.Add(24 * time.Hour).Unix()}
}

// Three nodes with one Redis give exactly the limit, however they race, and what costs more than is left takes nothing.
func TestQuotasAreExactOverNodes(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	clock := ident.NewManual(start)
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 3 {
		q := NewQuotas(opened(t, s.Patient(), quiet), nil, 3, clock, quiet)
		for range 4 {
			wg.Go(func() {
				for range 50 {
					if _, over := q.Take(context.Background(), key("a", start), 1, 333, true); !over {
						passed.Add(1)
					}
				}
			})
		}
	}
	wg.Wait()
	if passed.Load() > 333 || passed.Load() < 330 {
		t.Errorf("%d calls passed a quota of 333", passed.Load())
	}
	q := NewQuotas(opened(t, s.Patient(), quiet), nil, 3, clock, quiet)
	for used, over := q.Take(context.Background(), key("a", start), 1, 333, true); !over; used, over = q.Take(context.Background(), key("a", start), 1, 333, true) {
		if passed.Add(1); used > 333 {
			t.Fatalf("%d used", used)
		}
	}
	if passed.Load() != 333 {
		t.Errorf("%d calls passed a quota of 333 in the end", passed.Load())
	}
	if _, over := q.Take(context.Background(), key("b", start), 5, 10, true); over {
		t.Error("another application shares the quota")
	}
	if used, over := q.Take(context.Background(), key("b", start), 6, 10, true); !over || used != 5 {
		t.Errorf("6 of 5 left: %d, %v", used, over)
	}
	if used, over := q.Take(context.Background(), key("b", start), 6, 10, false); !over || used != 10 {
		t.Errorf("work under way: %d, %v", used, over)
	}
	for _, k := range strings.Split(s.Do("KEYS", "*"), "\n") {
		if s.Do("PTTL", k) == "-1" {
			t.Errorf("%s lives for ever", k)
		}
		if !strings.Contains(k, "{a}") && !strings.Contains(k, "{b}") {
			t.Errorf("%s has no hash tag", k)
		}
	}
}

// While Redis is away a node gives its share of what was left; when Redis is back the count has it.
func TestQuotasWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	clock, ctx := ident.NewManual(start), context.Background()
	q := NewQuotas(opened(t, s.Patient(), quiet), nil, 2, clock, quiet)
	take := func(n int) (passed int) {
		for range n {
			if _, over := q.Take(ctx, key("a", start), 1, 100, true); !over {
				passed++
			}
		}
		return passed
	}
	if got := take(40); got != 40 {
		t.Fatalf("%d of 40", got)
	}
	s.Kill()
	if got := take(100); got != 30 {
		t.Errorf("alone, %d calls passed: half of the 60 left is 30", got)
	}
	if _, over := q.Take(ctx, key("a", start), 1, 100, false); !over {
		t.Error("work under way is not told that the quota is over")
	}
	s.Restart()
	eventually(t, 5*time.Second, func() bool { return !q.redis.Degraded() })
	if got := take(100); got != 29 {
		t.Errorf("with Redis again, %d calls passed: 40 and 31 were used, 29 are left", got)
	}
}

var start = time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)

// shelf is a QuotaStore in memory.
type shelf struct {
	mu     sync.Mutex
	counts map[Quota]int64
	fail   bool
}

func (s *shelf) Quotas(_ context.Context, after int64) ([]QuotaUse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []QuotaUse
	for k, n := range s.counts {
		if k.End > after {
			out = append(out, QuotaUse{k, n})
		}
	}
	return out, nil
}

func (s *shelf) AddQuotas(_ context.Context, uses []QuotaUse) ([]QuotaUse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail {
		return nil, errors.New("disk full")
	}
	out := make([]QuotaUse, len(uses))
	for i, u := range uses {
		s.counts[u.Quota] += u.Used
		out[i] = QuotaUse{u.Quota, s.counts[u.Quota]}
	}
	return out, nil
}

func (s *shelf) EndQuotas(context.Context, int64) error { return nil }

func TestQuotasSurviveARestart(t *testing.T) {
	t.Parallel()
	store, clock, ctx := &shelf{counts: map[Quota]int64{}}, ident.NewManual(start), context.Background()
	taken := func(q *Quotas) int64 {
		used, _ := q.Take(ctx, key("a", clock.Now()), 1, 10, true)
		return used
	}
	first := NewQuotas(nil, store, 1, clock, quiet)
	for range 4 {
		taken(first)
	}
	store.fail = true
	if err := first.Flush(ctx); err == nil {
		t.Fatal("no error")
	}
	store.fail = false
	run, stop := context.WithCancel(ctx)
	stop()
	first.Run(run) // the last write, when the program stops
	second := NewQuotas(nil, store, 1, clock, quiet)
	if err := second.Load(ctx); err != nil {
		t.Fatal(err)
	}
	if got := taken(second); got != 5 {
		t.Errorf("after the restart the count is %d, want 5", got)
	}
	// Another node on the same store, without Redis: each learns of the other's count as it writes its own.
	taken(first)
	for _, q := range []*Quotas{first, second, first} {
		if err := q.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if got := taken(second); got != 7 {
		t.Errorf("the second node counts %d, want 7", got)
	}
	// The next day is another count.
	clock.Advance(24 * time.Hour)
	if got := taken(second); got != 1 {
		t.Errorf("on the next day the count is %d, want 1", got)
	}
	third := NewQuotas(nil, store, 1, clock, quiet)
	if err := third.Load(ctx); err != nil {
		t.Fatal(err)
	}
	if got := taken(third); got != 1 {
		t.Errorf("yesterday's count is %d today", got)
	}
}

func TestQuotasInMemoryAreExact(t *testing.T) {
	t.Parallel()
	store, clock, ctx := &shelf{counts: map[Quota]int64{}}, ident.NewManual(start), context.Background()
	q := NewQuotas(nil, store, 1, clock, quiet)
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if _, over := q.Take(ctx, key("a", start), 1, 500, true); !over {
					passed.Add(1)
				}
				if err := q.Flush(ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, over := q.Take(ctx, key("a", start), 1, 500, true); !over; _, over = q.Take(ctx, key("a", start), 1, 500, true) {
		passed.Add(1)
	}
	if err := q.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if passed.Load() != 500 || store.counts[key("a", start)] != 500 {
		t.Errorf("%d passed, %d are written, want 500", passed.Load(), store.counts[key("a", start)])
	}
	clock.Advance(48 * time.Hour)
	if err := q.Flush(ctx); err != nil || len(q.entries) != 0 {
		t.Errorf("%d past windows are held, %v", len(q.entries), err)
	}
}

func BenchmarkQuotaMemory(b *testing.B) {
	q := NewQuotas(nil, &shelf{counts: map[Quota]int64{}}, 1, ident.NewManual(start), quiet)
	keys := make([]Quota, 10_000)
	for i := range keys {
		keys[i] = key(fmt.Sprint("app-", i), start)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		q.Take(context.Background(), keys[i%len(keys)], 1, 1<<30, true)
	}
}
