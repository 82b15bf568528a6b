package outbound

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portway/internal/catalog"
	"portway/internal/catalog/egress"
	"portway/internal/ident"
	"portway/internal/outbound/budget"
	"portway/internal/problem"
)

// served is a backend whose answers a test writes.
type served struct {
	*httptest.Server
	calls  atomic.Int32
	answer atomic.Pointer[func(w http.ResponseWriter, r *http.Request)]
}

func serve(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) *served {
	t.Helper()
	s := &served{}
	s.answer.Store(&answer)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		(*s.answer.Load())(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func status(code int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// metrics keeps what it is told.
type metrics struct {
	mu       sync.Mutex
	outcomes map[Outcome]int
	states   []string
}

func (m *metrics) Attempt(_ string, _ ident.Environment, o Outcome, _ time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.outcomes == nil {
		m.outcomes = map[Outcome]int{}
	}
	m.outcomes[o]++
}

func (m *metrics) Breaker(_ string, _ ident.Environment, target int, state string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.states = append(m.states, fmt.Sprint(target, " ", state))
}

// rig is a client with a clock of its own that does not wait.
type rig struct {
	*Client
	clock   *ident.Manual
	metrics *metrics
	waits   []time.Duration
}

func newRig(env map[string]string) *rig {
	r := &rig{clock: ident.NewManual(start), metrics: &metrics{}}
	r.Client = NewClient(Options{Getenv: func(name string) string { return env[name] }, Clock: r.clock, Metrics: r.metrics})
	r.wait = func(_ context.Context, d time.Duration) error {
		r.waits = append(r.waits, d)
		return nil
	}
	return r
}

func (r *rig) call(b *catalog.Backend, method, key string) (*Answer, error) {
	return r.Send(context.Background(), b, ident.Sandbox, Request{Method: method, Path: "/o", Key: key, Org: "o1", Body: []byte(strings.Repeat("x", len(key)))})
}

// TestWhatIsRepeated is which calls a backend that answers 503 gets, and how often.
func TestWhatIsRepeated(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method, key string
		honours     bool
		status      int
		calls       int32
	}{
		{"GET", "", false, 503, 3}, {"HEAD", "", false, 503, 3}, {"GET", "", false, 502, 3}, {"GET", "", false, 504, 3},
		{"GET", "", false, 500, 1}, {"GET", "", false, 404, 1}, {"GET", "", false, 429, 1}, {"GET", "", false, 200, 1},
		{"POST", "", true, 503, 1}, {"PUT", "", false, 503, 1}, {"DELETE", "", false, 503, 1}, {"PATCH", "", true, 502, 1},
		{"POST", "k", false, 503, 1}, {"POST", "k", true, 503, 3}, {"PUT", "k", true, 504, 3}, {"POST", "k", true, 500, 1},
		{"GET", "", false, 418, 3}, {"GET", "", false, 423, 3}, {"POST", "", false, 423, 1}, // transient and locked by data
		{"GET", "", false, 598, 1}, // 5xx that the data calls final
	} {
		s := serve(t, status(c.status))
		b := backend(s.URL)
		b.HonoursKey, b.Retries, b.Breaker.Off = c.honours, egress.Retries{Attempts: 3}, true
		b.Answers = catalog.Answers{Transient: []int{418}, Locked: []int{423}, Rejected: []int{598}}
		r := newRig(nil)
		p, err := r.pool(b, ident.Sandbox)
		if err != nil {
			t.Fatal(err)
		}
		p.retries = budget.NewRetries(0.1, 10)
		a, err := r.call(b, c.method, c.key)
		if err != nil || a.Status != c.status || s.calls.Load() != c.calls {
			t.Errorf("%+v: %v %v after %d calls", c, a, err, s.calls.Load())
		}
	}
}

func TestRetriesSucceedAndWaitWithJitter(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	flaky := func(w http.ResponseWriter, _ *http.Request) {
		if s.calls.Load()%4 != 0 {
			w.WriteHeader(503)
		}
	}
	s.answer.Store(&flaky)
	b := backend(s.URL)
	b.Retries, b.Breaker.Off = egress.Retries{Attempts: 10, Base: 10 * time.Millisecond, Max: 30 * time.Millisecond}, true
	r := newRig(nil)
	p, _ := r.pool(b, ident.Sandbox)
	p.retries = budget.NewRetries(0.1, 100)
	for range 20 {
		if a, err := r.call(b, "GET", ""); err != nil || a.Status != 200 {
			t.Fatalf("got %v %v", a, err)
		}
	}
	different := map[time.Duration]bool{}
	for i, w := range r.waits {
		if most := min(10*time.Millisecond<<(i%3), 30*time.Millisecond); w < 0 || w >= most {
			t.Errorf("wait %d is %s, want less than %s", i, w, most)
		}
		different[w] = true
	}
	if len(r.waits) != 60 || len(different) < 50 {
		t.Errorf("%d waits, %d different", len(r.waits), len(different))
	}
}

// TestTotalOutage: a backend that always fails gets at most a tenth more calls than were made, whatever the policy says.
func TestTotalOutage(t *testing.T) {
	t.Parallel()
	s := serve(t, status(503))
	b := backend(s.URL)
	b.Retries, b.Breaker.Off = egress.Retries{Attempts: 10}, true
	r := newRig(nil)
	const calls = 300
	for range calls {
		if a, err := r.call(b, "GET", ""); err != nil || a.Status != 503 {
			t.Fatalf("got %v %v", a, err)
		}
	}
	if n := s.calls.Load(); n > calls*110/100 || n < calls*105/100 {
		t.Errorf("%d calls became %d", calls, n)
	}
}

// TestAPostIsNeverSentTwice meets every failure that a backend has after it was sent something.
func TestAPostIsNeverSentTwice(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(c net.Conn){
		"closes":       func(net.Conn) {},
		"resets":       func(c net.Conn) { c.(*net.TCPConn).SetLinger(0) },
		"is silent":    func(c net.Conn) { io.Copy(io.Discard, c) },
		"garbage":      func(c net.Conn) { io.WriteString(c, "garbage\r\n\r\n") },
		"half an head": func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Le") },
		"half a body":  func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok") },
		"502":          func(c net.Conn) { io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n") },
		"503":          func(c net.Conn) { io.WriteString(c, "HTTP/1.1 503 No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sent atomic.Int32
			target := func() string {
				return raw(t, func(c net.Conn, _ int) {
					if _, err := readHead(c); err == nil {
						sent.Add(1)
						answer(c)
					}
				})
			}
			b := backend(target())
			b.Targets = map[ident.Environment][]egress.Target{ident.Sandbox: {{URL: b.URLs[ident.Sandbox], Weight: 1}, {URL: target(), Weight: 1}}}
			b.Retries, b.TryTimeout = egress.Retries{Attempts: 5}, 100*time.Millisecond
			for _, key := range []string{"", "a-key-that-is-not-honoured"} {
				sent.Store(0)
				newRig(nil).call(b, "POST", key)
				if n := sent.Load(); n != 1 {
					t.Errorf("key %q: sent %d times", key, n)
				}
			}
		})
	}
}

// down is an address where nobody listens.
func down(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return "http://" + ln.Addr().String()
}

func pooled(b *catalog.Backend, targets ...egress.Target) *catalog.Backend {
	b.URLs[ident.Sandbox], b.Targets = targets[0].URL, map[ident.Environment][]egress.Target{ident.Sandbox: targets}
	return b
}

// What was not sent goes to another target, whatever it is; what is down is soon left out.
func TestATargetThatIsDown(t *testing.T) {
	t.Parallel()
	up := serve(t, status(201))
	b := pooled(backend(""), egress.Target{URL: down(t), Weight: 9}, egress.Target{URL: up.URL, Weight: 1})
	r := newRig(nil)
	p, _ := r.pool(b, ident.Sandbox)
	p.retries = budget.NewRetries(0.1, 100)
	for range 100 {
		if a, err := r.call(b, "POST", ""); err != nil || a.Status != 201 {
			t.Fatalf("got %v %v", a, err)
		}
	}
	if n := r.metrics.outcomes[Unreachable]; up.calls.Load() != 100 || n == 0 || n > outlierFailures {
		t.Errorf("%d calls arrived, %d tries failed", up.calls.Load(), n)
	}
	if s := r.State(); len(s) != 2 || s[0].In || !s[1].In || s[0].InFlight != 0 {
		t.Errorf("state %+v", s)
	}
	only := backend(down(t))
	if _, err := newRig(nil).call(only, "POST", ""); code(err) != problem.BackendUnreachable {
		t.Errorf("one target: %v", err)
	}
}

func TestWeightedSplit(t *testing.T) {
	t.Parallel()
	r := newRig(nil)
	b := pooled(backend(""), egress.Target{URL: "http://127.0.0.1:1", Weight: 5}, egress.Target{URL: "http://127.0.0.1:2", Weight: 3}, egress.Target{URL: "http://127.0.0.1:3", Weight: 2})
	p, err := r.pool(b, ident.Sandbox)
	if err != nil {
		t.Fatal(err)
	}
	counts := make([]int, 3)
	const calls = 20000
	for range calls {
		target, permit, _ := p.pick(start, 0)
		target.breaker.settle(permit, true, start)
		counts[target.index]++
	}
	for i, share := range []int{50, 30, 20} {
		if got := counts[i] * 100; got < (share-2)*calls || got > (share+2)*calls {
			t.Errorf("target %d got %d of %d calls, want %d %%", i, counts[i], calls, share)
		}
	}
	p.targets[0].down.Store(true)
	if target, _, _ := p.pick(start, 1<<1); target.index != 2 {
		t.Errorf("with one down and one tried, target %d was chosen", target.index)
	}
	for _, target := range p.targets {
		target.down.Store(true)
	}
	if target, _, _ := p.pick(start, 0); target == nil {
		t.Error("when all are out, none is tried")
	}
}

// TestBreakerOfABackend goes through a whole outage: calls are refused at once, one probe at a time, and back.
func TestBreakerOfABackend(t *testing.T) {
	t.Parallel()
	s := serve(t, status(500))
	b, r := backend(s.URL), newRig(nil)
	for range 10 {
		if a, err := r.call(b, "POST", ""); err != nil || a.Status != 500 {
			t.Fatalf("got %v %v", a, err)
		}
	}
	for range 50 {
		if _, err := r.call(b, "POST", ""); code(err) != problem.BackendUnavailable || problem.From(err).RetryAfter != 30*time.Second {
			t.Fatalf("an open breaker: %v", err)
		}
	}
	r.clock.Advance(30 * time.Second)
	if a, err := r.call(b, "POST", ""); err != nil || a.Status != 500 {
		t.Errorf("the probe: %v %v", a, err)
	}
	if _, err := r.call(b, "POST", ""); problem.From(err).RetryAfter != time.Minute {
		t.Errorf("after a bad probe: %v", err)
	}
	well := status(200)
	s.answer.Store(&well)
	r.clock.Advance(time.Minute)
	for range 20 {
		if a, err := r.call(b, "POST", ""); err != nil || a.Status != 200 {
			t.Fatalf("after a good probe: %v %v", a, err)
		}
	}
	if s.calls.Load() != 31 || r.metrics.outcomes[NoTarget] != 51 || strings.Join(r.metrics.states, ",") != "0 open,0 half-open,0 open,0 half-open,0 closed" {
		t.Errorf("%d calls, %v, %v", s.calls.Load(), r.metrics.outcomes, r.metrics.states)
	}
}

// What a business rule refuses, and what is a fault of ours, opens no breaker.
func TestRefusalsOpenNoBreaker(t *testing.T) {
	t.Parallel()
	n := atomic.Int32{}
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader([]int{400, 404, 409, 422, 598}[n.Add(1)%5])
	})
	b, r := backend(s.URL), newRig(nil)
	b.Answers.Rejected = []int{598}
	for range 50 {
		if _, err := r.call(b, "POST", ""); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFullIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	s := serve(t, func(http.ResponseWriter, *http.Request) { entered <- struct{}{}; <-leave })
	b, r := backend(s.URL), newRig(nil)
	b.MaxInFlight = 3
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if _, err := r.call(b, "GET", ""); err != nil {
				t.Error(err)
			}
		})
		<-entered
	}
	if st := r.State(); st[0].InFlight != 3 {
		t.Errorf("state %+v", st)
	}
	_, err := r.call(b, "GET", "")
	if code(err) != problem.BackendUnavailable || problem.From(err).RetryAfter < time.Second {
		t.Errorf("a fourth call: %v", err)
	}
	if _, _, _, err := NewHTTP(r.Client).Post(context.Background(), b, ident.Sandbox, "o1", "/e", "text/plain", nil); code(err) != problem.BackendUnavailable {
		t.Errorf("a delivery: %v", err)
	}
	close(leave)
	wg.Wait()
	go func() { <-entered }()
	if _, err := r.call(b, "GET", ""); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
}

func TestATryHasItsOwnTime(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := serve(t, nil)
	slowOnce := func(http.ResponseWriter, *http.Request) {
		if s.calls.Load() == 1 {
			<-release
		}
	}
	s.answer.Store(&slowOnce)
	defer close(release)
	b, r := backend(s.URL), newRig(nil)
	b.Timeout, b.TryTimeout, b.Retries.Attempts = 10*time.Second, 50*time.Millisecond, 2
	if a, err := r.call(b, "GET", ""); err != nil || a.Status != 200 || s.calls.Load() != 2 {
		t.Errorf("got %v %v after %d calls", a, err, s.calls.Load())
	}
	if r.metrics.outcomes[TimedOut] != 1 {
		t.Errorf("outcomes %v", r.metrics.outcomes)
	}
}

// Deliveries and calls share what a backend lets us call, and a backend's own 429 stops both.
func TestOneBudgetForCallsAndDeliveries(t *testing.T) {
	t.Parallel()
	s := serve(t, status(200))
	b, r := backend(s.URL), newRig(nil)
	b.Budget = egress.Budget{Rate: 1, Per: time.Second, Burst: 10}
	h := NewHTTP(r.Client)
	post := func() error {
		_, _, _, err := h.Post(context.Background(), b, ident.Sandbox, "o1", "/e", "text/plain", nil)
		return err
	}
	for range 5 {
		if _, err := r.call(b, "GET", ""); err != nil {
			t.Fatal(err)
		}
		if err := post(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := r.call(b, "GET", "")
	for name, err := range map[string]error{"call": err, "delivery": post()} {
		if p := problem.From(err); p.Code != problem.BackendUnavailable || p.RetryAfter != time.Second {
			t.Errorf("an eleventh %s: %v", name, err)
		}
	}
	limited := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "40")
		w.WriteHeader(429)
	}
	s.answer.Store(&limited)
	r.clock.Advance(time.Minute)
	if err := post(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.call(b, "GET", ""); problem.From(err).RetryAfter != 40*time.Second || s.calls.Load() != 11 {
		t.Errorf("after a 429: %v, %d calls", err, s.calls.Load())
	}
}

func TestHealthTakesATargetOutAndBack(t *testing.T) {
	t.Parallel()
	var sick atomic.Bool
	health := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/base/health" && sick.Load() {
			w.WriteHeader(503)
		}
	}
	one, two := serve(t, health), serve(t, status(200))
	b := pooled(backend(""), egress.Target{URL: one.URL + "/base", Weight: 1}, egress.Target{URL: two.URL, Weight: 1})
	b.Health = egress.Health{Path: "/health", Every: 5 * time.Second}
	r := newRig(nil)
	if err := r.Use(&catalog.Snapshot{Backends: map[string]*catalog.Backend{"erp": b}}); err != nil {
		t.Fatal(err)
	}
	in := func() string {
		s := r.State()
		return fmt.Sprint(s[0].In, s[1].In)
	}
	sick.Store(true)
	for step, want := range []string{"false true", "false true", "true true"} {
		if step == 2 {
			sick.Store(false)
		}
		r.checkHealth(context.Background(), true)
		r.checkHealth(context.Background(), true) // is not due
		if in() != want || two.calls.Load() != int32(step+1) {
			t.Errorf("step %d: in is %s after %d checks, want %s", step, in(), two.calls.Load(), want)
		}
		r.clock.Advance(5 * time.Second)
	}
}

// TestUse: a new snapshot goes on with pools whose policy is the same, and closes what is gone.
func TestUse(t *testing.T) {
	t.Parallel()
	s := serve(t, status(500))
	r := newRig(map[string]string{"KEY": "a"})
	snapshot := func(b *catalog.Backend) *catalog.Snapshot {
		return &catalog.Snapshot{Backends: map[string]*catalog.Backend{b.ID: b}}
	}
	first := backend(s.URL)
	first.Headers = map[string]string{"X-Key": "env:KEY"}
	if err := r.Use(snapshot(first)); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		r.call(first, "POST", "")
	}
	same := *first
	if err := r.Use(snapshot(&same)); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*catalog.Backend{"the new": &same, "the old": first} {
		if _, err := r.call(b, "POST", ""); code(err) != problem.BackendUnavailable {
			t.Errorf("%s backend lost its breaker: %v", name, err)
		}
	}
	changed := same
	changed.Budget = egress.Budget{Rate: 1, Per: time.Second, Burst: 1}
	if err := r.Use(snapshot(&changed)); err != nil {
		t.Fatal(err)
	}
	if a, err := r.call(&changed, "POST", ""); err != nil || a.Status != 500 {
		t.Errorf("a changed backend: %v %v", a, err)
	}
	if _, err := r.call(&same, "POST", ""); code(err) != problem.BackendUnavailable {
		t.Errorf("a call that holds the snapshot before: %v", err)
	}
	missing := changed
	missing.Headers = map[string]string{"X-Key": "env:NONE"}
	if err := r.Use(snapshot(&missing)); err == nil || !strings.Contains(err.Error(), "NONE") {
		t.Errorf("a secret that is missing: %v", err)
	}
	if err := r.Use(&catalog.Snapshot{}); err != nil || len(*r.pools.Load()) != 0 {
		t.Errorf("%v, %d pools are left", err, len(*r.pools.Load()))
	}
}
