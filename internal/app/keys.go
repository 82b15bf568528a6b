package app

import (
	"context"
	"fmt"

	"portway/gateway/idempotency"
	"portway/internal/idempotent"
	"portway/internal/store/idempotentdb"
)

// openKeys opens the register of Idempotency-Keys. What an earlier run of this program left unfinished is in doubt from
// the start, where nobody else can be at it.
func (p *program) openKeys(ctx context.Context) (*idempotency.Keys, error) {
	register := idempotentdb.New(p.db)
	n, err := register.Recover(ctx)
	if err != nil {
		return nil, fmt.Errorf("idempotency keys: %w", err)
	}
	if n > 0 {
		p.log.Warn("calls with an Idempotency-Key were under way when the program ended; they are in doubt", "keys", n)
	}
	p.sweeper = &idempotent.Sweeper{Store: register, Retention: p.settings.KeyRetention, Clock: p.clock, Log: p.log}
	return &idempotency.Keys{Store: register, Clock: p.clock, Log: p.log}, nil
}
