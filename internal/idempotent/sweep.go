package idempotent

import (
	"context"
	"log/slog"
	"time"

	"portway/internal/ident"
)

// sweepEvery is the time between two sweeps.
const sweepEvery = time.Hour

// Sweeper forgets records that are older than Retention.
type Sweeper struct {
	Store     Store
	Retention time.Duration
	Clock     ident.Clock
	Log       *slog.Logger
}

// Run sweeps now and then every hour until ctx ends.
func (s *Sweeper) Run(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		s.Sweep(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Sweep removes what is over. A failure is logged; the next sweep does what this one did not.
func (s *Sweeper) Sweep(ctx context.Context) {
	n, err := s.Store.Remove(ctx, s.Clock.Now().Add(-s.Retention))
	switch {
	case err != nil && ctx.Err() == nil:
		s.Log.Error("idempotency keys were not removed", "error", err.Error())
	case n > 0:
		s.Log.Info("idempotency keys removed", "keys", n)
	}
}
