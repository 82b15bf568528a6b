package outbound

import (
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"portway/internal/catalog/egress"
)

// breaker leaves a failing target alone. The rate of failures is failsafe's business; how long the breaker stays open
// is ours, because it doubles and must follow the program's clock.
type breaker struct {
	first, longest time.Duration
	changed        func(state string)

	mu      sync.Mutex
	cb      circuitbreaker.CircuitBreaker[any]
	until   time.Time // while open
	openFor time.Duration
	// generation counts changes of state: a call that began before the last one says nothing about the present.
	generation uint64
}

// newBreaker returns a closed breaker, nil when the policy has none.
func newBreaker(c egress.Breaker, changed func(state string)) *breaker {
	if c.Off {
		return nil
	}
	b := &breaker{first: orDefault(c.Open, 30*time.Second), longest: orDefault(c.Longest, 10*time.Minute), changed: changed}
	b.longest = max(b.longest, b.first)
	b.cb = circuitbreaker.NewBuilder[any]().
		WithFailureRateThreshold(float64(orDefault(c.Failures, 70))/100, uint(orDefault(c.Requests, 10)), time.Minute).
		WithDelay(1000 * time.Hour). // it half-opens when we say so
		WithSuccessThreshold(1).     // and lets one probe through
		Build()
	return b
}

// acquire asks for one call and returns its permit, which settle takes back.
func (b *breaker) acquire(now time.Time) (permit uint64, ok bool) {
	if b == nil {
		return 0, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cb.TryAcquirePermit() {
		return b.generation, true
	}
	if b.cb.State() != circuitbreaker.OpenState || now.Before(b.until) {
		return 0, false
	}
	b.cb.HalfOpen()
	b.generation++
	b.changed("half-open")
	return b.generation, b.cb.TryAcquirePermit()
}

// settle says how the call with a permit went. Every permit must come back, or a half-open breaker waits for ever.
func (b *breaker) settle(permit uint64, good bool, now time.Time) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if permit != b.generation {
		return
	}
	before := b.cb.State()
	if good {
		b.cb.RecordSuccess()
	} else {
		b.cb.RecordFailure()
	}
	after := b.cb.State()
	if after == before {
		return
	}
	b.generation++
	if after == circuitbreaker.OpenState {
		if b.openFor *= 2; before != circuitbreaker.HalfOpenState || b.openFor == 0 {
			b.openFor = b.first
		}
		b.openFor = min(b.openFor, b.longest)
		b.until = now.Add(b.openFor)
	} else {
		b.openFor = 0
	}
	b.changed(after.String())
}

// wait is how long an open breaker stays so; a half-open one is asked again in a second.
func (b *breaker) wait(now time.Time) time.Duration {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(b.until.Sub(now), time.Second)
}

// state is "closed", "open" or "half-open".
func (b *breaker) state() string {
	if b == nil {
		return circuitbreaker.ClosedState.String()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cb.State().String()
}

func orDefault[T int | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}
