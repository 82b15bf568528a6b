package delivery

import (
	"testing"
	"time"

	"portway/internal/problem"
)

// What was not sent, because the backend's breaker, places or call budget said no, does not make a target silent.
func TestWhatWasNotSentIsNoSilence(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 9, 14, 8, 0, 0, 0, time.UTC)
	b := &breaker{}
	for range 2 * silentMost {
		if opened, _ := b.settle(now, Sent{Reason: string(problem.BackendUnavailable)}); opened || b.open(now) {
			t.Fatal("deliveries that were not sent opened the breaker")
		}
	}
	for range silentMost {
		b.settle(now, Sent{Reason: string(problem.BackendTimeout)})
	}
	if !b.open(now) {
		t.Fatal("a silent target is not left alone")
	}
	b.probe(now.Add(silentTime))
	if _, closed := b.settle(now.Add(silentTime), Sent{Reason: string(problem.BackendUnavailable)}); closed || b.silent < silentMost {
		t.Error("a probe that was not sent closed the breaker")
	}
}
