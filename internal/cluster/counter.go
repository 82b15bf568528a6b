package cluster

import (
	"context"
	"time"

	"github.com/ulule/limiter/v3"
	"github.com/ulule/limiter/v3/drivers/store/memory"
	limits "github.com/ulule/limiter/v3/drivers/store/redis"
)

// prefix begins every key of a counter in Redis.
const prefix = "portway"

// unlimited is a limit that no count reaches: what is left of it tells the count, which the store does not.
const unlimited = 1 << 62

// Counter counts in this process by key, in fixed windows: a key's window begins with its first count and a new one
// with the first count after its end. So a caller may have up to twice the limit across the edge of two windows; keys
// that name a calendar window have no such edge. A key costs about 250 bytes until a minute after its window's end.
type Counter struct{ store limiter.Store }

// NewCounter returns an empty Counter.
func NewCounter() *Counter {
	return &Counter{memory.NewStoreWithOptions(limiter.StoreOptions{Prefix: prefix, CleanUpInterval: time.Minute})}
}

// Add counts n, which may be 0 or below, and returns the count and when its window ends.
func (c *Counter) Add(ctx context.Context, key string, n int64, period time.Duration) (int64, time.Time, error) {
	return add(ctx, c.store, key, n, period)
}

// Peek returns what Add with 0 would, and makes no key.
func (c *Counter) Peek(ctx context.Context, key string, period time.Duration) (int64, time.Time, error) {
	state, err := c.store.Peek(ctx, key, limiter.Rate{Period: period, Limit: unlimited})
	return unlimited - state.Remaining, time.Unix(state.Reset, 0), err
}

func add(ctx context.Context, store limiter.Store, key string, n int64, period time.Duration) (int64, time.Time, error) {
	state, err := store.Increment(ctx, key, n, limiter.Rate{Period: period, Limit: unlimited})
	if err != nil {
		return 0, time.Time{}, err
	}
	return unlimited - state.Remaining, time.Unix(state.Reset, 0), nil
}

// store is ulule's store in Redis. It loads its scripts when it is made, so it is made when Redis is first there.
func (r *Redis) store() (limiter.Store, error) {
	if s := r.counters.Load(); s != nil {
		return *s, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.counters.Load(); s != nil {
		return *s, nil
	}
	if r.away.Load() { // found out by those who had the lock before
		return nil, ErrAway
	}
	s, err := limits.NewStoreWithOptions(r.client, limiter.StoreOptions{Prefix: prefix})
	if err != nil {
		return nil, err
	}
	r.counters.Store(&s)
	return s, nil
}
