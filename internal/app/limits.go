package app

import (
	"context"
	"fmt"

	"portway/gateway/throttle"
	"portway/internal/cluster"
	"portway/internal/secret"
	"portway/internal/store/quotadb"
)

// openLimits makes the stage that counts calls against plans, with what nodes share it in. It connects to nothing:
// Redis may be away.
func (p *program) openLimits(ctx context.Context) (*throttle.Caller, error) {
	s := p.settings
	if s.Redis != "" {
		address := s.Redis
		if secret.IsReference(address) {
			v, err := secret.Resolve(address, p.getenv)
			if err != nil {
				return nil, fmt.Errorf("redis: %w", err)
			}
			address = v.Reveal()
		}
		r, err := cluster.Open(address, p.log)
		if err != nil {
			return nil, fmt.Errorf("redis: %w", err)
		}
		p.redis = r
	}
	p.quotas = cluster.NewQuotas(p.redis, quotadb.New(p.db), s.Nodes, p.clock, p.log)
	if err := p.quotas.Load(ctx); err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	return throttle.New(throttle.Options{Redis: p.redis, Quotas: p.quotas, Nodes: s.Nodes, Clock: p.clock, Log: p.log}), nil
}
