package outbound

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// target is one address of a pool.
type target struct {
	index   int
	base    string // without trailing slash
	host    string
	weight  uint32
	client  *fasthttp.HostClient
	breaker *breaker

	down      atomic.Bool  // by the last health check
	failures  atomic.Int32 // in a row
	ejections atomic.Int32 // in a row
	outUntil  atomic.Int64 // Unix nanoseconds
}

const (
	outlierFailures = 5 // in a row take a target out, if there is another
	outlierFor      = 30 * time.Second
	outlierLongest  = 5 * time.Minute
)

// in reports whether a target takes part in the choice.
func (t *target) in(now time.Time) bool {
	return !t.down.Load() && t.outUntil.Load() <= now.UnixNano()
}

// note keeps count of failures in a row.
func (t *target) note(good bool, now time.Time) {
	if good {
		if t.failures.Load() != 0 {
			t.failures.Store(0)
		}
		if t.ejections.Load() != 0 {
			t.ejections.Store(0)
		}
		return
	}
	if t.failures.Add(1) < outlierFailures {
		return
	}
	t.failures.Store(0)
	n := t.ejections.Add(1)
	t.outUntil.Store(now.Add(min(time.Duration(n)*outlierFor, outlierLongest)).UnixNano())
}

// pick chooses a target and takes its breaker's permit: by weight among those that are in and were not tried, else
// among those that are in, else, when all are out, among all. It returns nil when every breaker is open, and how long
// that lasts. tried has a bit for each target.
func (p *pool) pick(now time.Time, tried uint64) (t *target, permit uint64, wait time.Duration) {
	if len(p.targets) == 1 {
		t = p.targets[0]
		if permit, ok := t.breaker.acquire(now); ok {
			return t, permit, 0
		}
		return nil, 0, t.breaker.wait(now)
	}
	blocked := uint64(0)
	for range p.targets {
		if t = p.weighted(now, tried, blocked); t == nil {
			break
		}
		if permit, ok := t.breaker.acquire(now); ok {
			return t, permit, 0
		}
		blocked |= 1 << t.index
	}
	wait = time.Hour
	for _, t := range p.targets {
		wait = min(wait, t.breaker.wait(now))
	}
	return nil, 0, wait
}

func (p *pool) weighted(now time.Time, tried, blocked uint64) *target {
	for _, choice := range [...]struct {
		without uint64
		anybody bool
	}{{tried | blocked, false}, {blocked, false}, {blocked, true}} {
		total := uint32(0)
		for _, t := range p.targets {
			if choice.without&(1<<t.index) == 0 && (choice.anybody || t.in(now)) {
				total += t.weight
			}
		}
		if total == 0 {
			continue
		}
		at := rand.Uint32N(total)
		for _, t := range p.targets {
			if choice.without&(1<<t.index) != 0 || !choice.anybody && !t.in(now) {
				continue
			}
			if at < t.weight {
				return t
			}
			at -= t.weight
		}
	}
	return nil
}

const (
	healthEvery   = 10 * time.Second
	healthTimeout = 3 * time.Second
)

// Run checks the health of targets whose backends ask for it, until ctx ends.
func (c *Client) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		c.checkHealth(ctx, false)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// checkHealth starts the checks that are due; with wait it returns when they are done. A slow target delays no other.
func (c *Client) checkHealth(ctx context.Context, wait bool) {
	now := c.clock.Now()
	done := make(chan struct{}, 64)
	started := 0
	for _, e := range *c.pools.Load() {
		p := e.pool
		if p == nil || p.health.Path == "" || p.checkAt.Load() > now.UnixNano() {
			continue
		}
		p.checkAt.Store(now.Add(orDefault(p.health.Every, healthEvery)).UnixNano())
		for _, t := range p.targets {
			if started == cap(done) {
				break
			}
			started++
			go func() {
				defer func() { done <- struct{}{} }()
				c.check(ctx, p, t)
			}()
		}
	}
	for ; wait && started > 0; started-- {
		<-done
	}
}

// check reads a target's health: any answer below 500 shows that it is there.
func (c *Client) check(ctx context.Context, p *pool, t *target) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.base+p.health.Path, nil)
	if err != nil {
		return
	}
	req.Header.Set("User-Agent", userAgent)
	for _, h := range p.headers {
		req.Header.Set(h[0], h[1])
	}
	resp, err := p.plain.Do(req)
	up := err == nil && resp.StatusCode < 500
	if err == nil {
		resp.Body.Close()
	}
	if t.down.Swap(!up) == up && ctx.Err() != context.Canceled {
		c.log.Warn("a target's health changed", "backend", p.backend, "environment", string(p.env), "target", t.index, "up", up)
	}
}
