package budget

import (
	"slices"
	"testing"
	"time"

	"portway/internal/catalog/egress"
	"portway/internal/ident"
)

var start = time.Date(2026, 9, 14, 8, 0, 0, 0, time.UTC)

func TestRetryBudget(t *testing.T) {
	t.Parallel()
	r := NewRetries(0.1, 0)
	spent := 0
	for range 1000 {
		r.Earn()
		if r.Spend(start) {
			spent++
		}
	}
	if spent < 95 || spent > 100 {
		t.Errorf("%d repeated tries for 1,000 calls", spent)
	}
	r = NewRetries(0.1, 0)
	now := start
	for range 5 { // a call a minute has its second try
		r.Earn()
		if !r.Spend(now) || r.Spend(now) {
			t.Error("a seldom called backend has not exactly one repeated try")
		}
		now = now.Add(time.Minute)
	}
}

func TestShareKeepsToTheRate(t *testing.T) {
	t.Parallel()
	s := NewShare(egress.Budget{Rate: 10, Per: time.Second, Burst: 20}, start)
	clock, taken := ident.NewManual(start), 0
	for range 100 * 60 { // a minute, greedily
		if _, ok := s.Take("a", clock.Now()); ok {
			taken++
		}
		clock.Advance(10 * time.Millisecond)
	}
	if taken < 10*60 || taken > 10*60+20 {
		t.Errorf("%d calls in a minute at 10 a second and a burst of 20", taken)
	}
	free := NewShare(egress.Budget{}, start)
	for range 10000 {
		if _, ok := free.Take("a", start); !ok {
			t.Fatal("a backend without a budget refuses")
		}
	}
}

// TestShareIsFair has organisations ask as often as they like; whoever asks for less than an equal part gets all of it,
// and nothing of the budget is left unused.
func TestShareIsFair(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		burst int
		every map[string]int // steps of 10 ms between the asks
	}{
		"greedy and modest":      {20, map[string]int{"greedy": 1, "modest": 50}},
		"small burst":            {2, map[string]int{"greedy": 1, "modest": 50}},
		"no burst":               {1, map[string]int{"greedy": 1, "modest": 50}},
		"two greedy, one seldom": {10, map[string]int{"greedy": 1, "greedy too": 1, "modest": 500}},
		"a dozen":                {20, map[string]int{"greedy": 1, "a": 200, "b": 200, "c": 200, "d": 200, "e": 200, "f": 200, "g": 200, "h": 200, "i": 200, "j": 200, "k": 200}},
	} {
		s := NewShare(egress.Budget{Rate: 10, Per: time.Second, Burst: c.burst}, start)
		now, asked, got, all := start, map[string]int{}, map[string]int{}, 0
		for step := range 100 * 120 {
			for _, org := range slices.Sorted(keys(c.every)) {
				if step%c.every[org] != 0 {
					continue
				}
				if step > 1000 {
					asked[org]++
				}
				if _, ok := s.Take(org, now); ok && step > 1000 { // after the first burst
					got[org]++
					all++
				}
			}
			now = now.Add(10 * time.Millisecond)
		}
		for org, every := range c.every {
			least := asked[org] * 98 / 100
			if c.burst == 1 { // the one token may be under way; asking again, it comes
				least = asked[org] / 3
			}
			if every > 10 && got[org] < least {
				t.Errorf("%s: %s got %d of %d", name, org, got[org], asked[org])
			}
		}
		if all < 1100*95/100 && c.burst > 1 || all > 1100+c.burst {
			t.Errorf("%s: %d calls of 1,100 were made", name, all)
		}
		if a, b := got["greedy"], got["greedy too"]; b > 0 && (a > b*12/10 || b > a*12/10) {
			t.Errorf("%s: two who ask alike got %d and %d", name, a, b)
		}
	}
}

func keys(m map[string]int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func TestShareLearnsFromTheBackend(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status  int
		headers [][2]string
		first   bool          // is a call let through at once
		wait    time.Duration // when not
		calls   int           // that are let through until then
	}{
		"nothing said":         {200, nil, true, 0, 1000},
		"429":                  {429, nil, false, time.Second, 0},
		"429 with seconds":     {429, [][2]string{{"Retry-After", "30"}}, false, 30 * time.Second, 0},
		"429 with a date":      {429, [][2]string{{"retry-after", "Mon, 14 Sep 2026 08:02:00 GMT"}}, false, 2 * time.Minute, 0},
		"429 for a week":       {429, [][2]string{{"Retry-After", "604800"}}, false, time.Hour, 0},
		"503 with Retry-After": {503, [][2]string{{"Retry-After", "7"}}, false, 7 * time.Second, 0},
		"503":                  {503, nil, true, 0, 1000},
		"draft 11":             {200, [][2]string{{"RateLimit", `"burst";r=50;t=10, "daily";r=3;t=600`}}, true, 0, 3},
		"draft 7":              {200, [][2]string{{"RateLimit", "limit=100, remaining=4, reset=60"}}, true, 0, 4},
		"three fields":         {200, [][2]string{{"RateLimit-Limit", "9"}, {"RateLimit-Remaining", "5"}, {"RateLimit-Reset", "60"}}, true, 0, 5},
		"X- and Unix time":     {200, [][2]string{{"X-RateLimit-Remaining", "6"}, {"X-RateLimit-Reset", "1789372860"}}, true, 0, 6},
		"none left":            {200, [][2]string{{"X-RateLimit-Remaining", "0"}, {"X-RateLimit-Reset", "60"}}, false, time.Minute, 0},
		"nonsense":             {200, [][2]string{{"RateLimit", `";;=r=-1;t=x`}, {"X-RateLimit-Remaining", "-4"}, {"Retry-After", "soon"}}, true, 0, 1000},
	} {
		s := NewShare(egress.Budget{}, start)
		said := NewLimits()
		for _, h := range c.headers {
			said.Header(h[0], h[1])
		}
		s.Learn(c.status, &said, start)
		wait, ok := s.Take("a", start)
		if ok != c.first || wait != c.wait {
			t.Errorf("%s: %t %s", name, ok, wait)
		}
		n := 1
		for ok && n < 1000 {
			if _, more := s.Take("a", start); !more {
				break
			}
			n++
		}
		if ok && n != c.calls {
			t.Errorf("%s: %d calls, want %d", name, n, c.calls)
		}
		if _, ok := s.Take("a", start.Add(2*time.Hour)); !ok {
			t.Errorf("%s: still closed when the time is over", name)
		}
	}
}

func TestAWindowThatIsLearnedIsShared(t *testing.T) {
	t.Parallel()
	s := NewShare(egress.Budget{}, start)
	left := func(remaining, reset int64, now time.Time) {
		l := NewLimits()
		l.remaining, l.reset, l.said = remaining, reset, true
		s.Learn(200, &l, now)
	}
	left(100, 60, start)
	s.Take("modest", start)
	greedy := 0
	for range 1000 {
		if _, ok := s.Take("greedy", start); ok {
			greedy++
		}
	}
	modest := 0
	for range 1000 {
		if _, ok := s.Take("modest", start); ok {
			modest++
		}
	}
	if greedy > 75 || modest < 24 || greedy+modest != 99 {
		t.Errorf("of 99 calls the greedy got %d and the modest %d", greedy, modest)
	}
	left(50, 60, start.Add(time.Second)) // an answer that was overtaken
	if _, ok := s.Take("modest", start.Add(time.Second)); ok {
		t.Error("an older answer opened the window again")
	}
	left(100, 60, start.Add(30*time.Second)) // a new window
	if _, ok := s.Take("greedy", start.Add(30*time.Second)); !ok {
		t.Error("a new window is not used")
	}
}

func FuzzLimits(f *testing.F) {
	f.Add("RateLimit", `"burst";r=50;t=10`, 429)
	f.Add("Retry-After", "Mon, 14 Sep 2026 08:02:00 GMT", 503)
	f.Add("X-RateLimit-Reset", "99999999999999999", 200)
	f.Fuzz(func(t *testing.T, name, value string, status int) {
		s := NewShare(egress.Budget{}, start)
		l := NewLimits()
		l.Header(name, value)
		l.Header("X-RateLimit-Remaining", "1")
		s.Learn(status, &l, start)
		if wait, _ := s.Take("a", start); wait < 0 || wait > 24*time.Hour {
			t.Errorf("a wait of %s", wait)
		}
		if _, ok := s.Take("a", start.Add(25*time.Hour)); !ok {
			t.Error("closed for more than a day")
		}
	})
}
