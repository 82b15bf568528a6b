package delivery

import (
	"time"

	"portway/internal/problem"
)

const (
	silentMost = 3                // tries in a row without an answer that make a target count as silent
	silentTime = 30 * time.Second // how long it is left alone before one delivery tries it again
)

// breaker keeps a target that does not answer from taking a lane's places for the length of its timeouts: while
// it is open, deliveries of the route are put off untried.
type breaker struct {
	silent  int
	until   time.Time
	probing bool
}

func (l *lane) breaker(route string) *breaker {
	b := l.routes[route]
	if b == nil {
		b = &breaker{}
		l.routes[route] = b
	}
	return b
}

// open reports whether nothing may be sent now.
func (b *breaker) open(now time.Time) bool {
	return b.silent >= silentMost && (b.probing || now.Before(b.until))
}

// probe notes that a send starts; while the target counts as silent it is the only one.
func (b *breaker) probe(now time.Time) {
	if b.silent >= silentMost {
		b.probing, b.until = true, now.Add(silentTime)
	}
}

// settle takes the result of a send: any answer, even a refusal, shows that the target is there. It says whether the
// target has just begun, or ceased, to count as silent.
func (b *breaker) settle(now time.Time, s Sent) (opened, closed bool) {
	was := b.silent >= silentMost
	b.probing = false
	if s.Reason == string(problem.BackendUnavailable) {
		return false, false // it was not sent: the backend's own breaker, places or call budget said no
	}
	if s.Status != 0 || s.Class != Transient || s.Reason == ReasonPanic {
		b.silent = 0
		return false, was
	}
	b.silent++
	b.until = now.Add(silentTime)
	return !was && b.silent >= silentMost, false
}
