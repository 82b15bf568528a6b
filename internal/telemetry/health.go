package telemetry

import (
	"context"
	"fmt"
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

// checkTime is how long one check may take; a slower one has failed.
const checkTime = 2 * time.Second

// Reason says why the program is not ready.
type Reason struct {
	Check  string `json:"check"`
	Reason string `json:"reason"`
}

// Health is what the program knows of its own state: what it needs to take calls, and what is worth knowing beside.
// It is safe for concurrent use.
type Health struct {
	mu       sync.Mutex
	required map[string]func(context.Context) error
	details  map[string]func(context.Context) (any, bool)
	draining atomic.Bool
}

// NewHealth returns a Health that requires nothing.
func NewHealth() *Health {
	return &Health{required: map[string]func(context.Context) error{}, details: map[string]func(context.Context) (any, bool){}}
}

// Require makes readiness depend on a check. Its error is shown to whoever asks: it names what is wrong, no secret.
func (h *Health) Require(name string, check func(context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.required[name] = check
}

// Detail adds a value to the health report, and whether it means that the program serves less well than it should.
// The value is written as JSON.
func (h *Health) Detail(name string, read func(context.Context) (value any, degraded bool)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.details[name] = read
}

// Drain makes the program not ready, for good: it is about to stop.
func (h *Health) Drain() { h.draining.Store(true) }

// Ready returns every reason why the program cannot take calls, in order of check; none when it can.
func (h *Health) Ready(ctx context.Context) []Reason {
	h.mu.Lock()
	checks := make(map[string]func(context.Context) error, len(h.required))
	for name, check := range h.required {
		checks[name] = check
	}
	h.mu.Unlock()
	reasons := []Reason{}
	if h.draining.Load() {
		reasons = append(reasons, Reason{"draining", "the program is stopping"})
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	for name, check := range checks {
		all.Go(func() {
			if err := limited(ctx, check); err != nil {
				mu.Lock()
				defer mu.Unlock()
				reasons = append(reasons, Reason{name, err.Error()})
			}
		})
	}
	all.Wait()
	sort.Slice(reasons, func(i, j int) bool { return reasons[i].Check < reasons[j].Check })
	return reasons
}

// limited runs a check within its time, even one that does not heed its context; a panic is a failure.
func limited(ctx context.Context, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- fmt.Errorf("the check panicked: %v", p)
			}
		}()
		done <- check(ctx)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("no answer within %v", checkTime)
	}
}

// Report is the whole state: "ok", "degraded" or "not ready", the reasons, and every detail.
type Report struct {
	Status   string         `json:"status"`
	Reasons  []Reason       `json:"reasons"`
	Degraded []string       `json:"degraded"`
	Details  map[string]any `json:"details"`
}

// Report gathers the whole state.
func (h *Health) Report(ctx context.Context) Report {
	r := Report{Status: "ok", Reasons: h.Ready(ctx), Degraded: []string{}, Details: map[string]any{}}
	h.mu.Lock()
	details := make(map[string]func(context.Context) (any, bool), len(h.details))
	for name, read := range h.details {
		details[name] = read
	}
	h.mu.Unlock()
	for name, read := range details {
		type detail struct {
			value    any
			degraded bool
		}
		got := make(chan detail, 1)
		err := limited(ctx, func(ctx context.Context) error {
			value, degraded := read(ctx)
			got <- detail{value, degraded}
			return nil
		})
		if err != nil {
			r.Details[name], r.Degraded = map[string]string{"error": err.Error()}, append(r.Degraded, name)
			continue
		}
		d := <-got
		if r.Details[name] = d.value; d.degraded {
			r.Degraded = append(r.Degraded, name)
		}
	}
	sort.Strings(r.Degraded)
	switch {
	case len(r.Reasons) > 0:
		r.Status = "not ready"
	case len(r.Degraded) > 0:
		r.Status = "degraded"
	}
	return r
}
