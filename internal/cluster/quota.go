package cluster

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"portway/internal/ident"
)

const (
	// writeBehind is how often counts are written. It bounds what a killed node forgets: the calls of this time.
	writeBehind = 2 * time.Second
	// lastWrite is how long the last write, when the node stops, may take.
	lastWrite = 5 * time.Second
	// kept is how long counts stay in the database after their window.
	kept = 62 * 24 * time.Hour
	// slack is how much longer than its window a count lives in the counters: nodes' clocks differ.
	slack = time.Hour
)

// Quota names the count of one quota in one calendar window.
type Quota struct {
	Org         ident.OrgID
	Application string
	Environment ident.Environment
	Plan        string
	Name        string
	Start       int64 // first instant of the window, Unix seconds
	End         int64 // first instant after it
}

// QuotaUse is a count, or what is to be added to one.
type QuotaUse struct {
	Quota
	Used int64
}

// QuotaStore keeps counts over restarts.
type QuotaStore interface {
	// Quotas returns the counts of windows that end after an instant, in Unix seconds.
	Quotas(ctx context.Context, after int64) ([]QuotaUse, error)
	// AddQuotas adds to counts, all or none, and returns each as it is then, in the given order.
	AddQuotas(ctx context.Context, uses []QuotaUse) ([]QuotaUse, error)
	// EndQuotas removes the counts of windows that ended before an instant, in Unix seconds.
	EndQuotas(ctx context.Context, before int64) error
}

// Quotas counts calls in calendar windows: the window is part of the key, so that the fixed window of the counter is
// the calendar's. With Redis the counts are Redis's, and survive what its persistence survives; while it is away a node
// gives its share of what was left, and adds what it gave when Redis is back. Without Redis the counts are this
// process's: they are written behind to the store every two seconds and when the node stops, and read at the start, so
// a killed node forgets at most the calls of two seconds. Nodes that share the store and have no Redis learn of each
// other's counts at each write.
type Quotas struct {
	redis *Redis
	local *Counter
	store QuotaStore
	nodes int64
	clock ident.Clock
	log   *slog.Logger

	mu      sync.Mutex
	entries map[Quota]*entry
}

type entry struct {
	unsaved int64 // without Redis: counted here and not yet written
	apart   int64 // with Redis: counted here while it was away
	seen    int64 // with Redis: the count when it was last there
}

// NewQuotas returns counts in redis, or in memory and store where redis is nil. nodes is by how many a limit is divided
// while redis is away. Call Load before use and Run beside it.
func NewQuotas(redis *Redis, store QuotaStore, nodes int, clock ident.Clock, log *slog.Logger) *Quotas {
	return &Quotas{redis: redis, local: NewCounter(), store: store, nodes: int64(max(nodes, 1)), clock: clock, log: log, entries: map[Quota]*entry{}}
}

// Load reads the counts of windows that have not ended. It does nothing where Redis keeps them.
func (q *Quotas) Load(ctx context.Context) error {
	if q.redis != nil {
		return nil
	}
	uses, err := q.store.Quotas(ctx, q.clock.Now().Unix())
	if err != nil {
		return err
	}
	for i := range uses {
		if _, err := q.count(ctx, uses[i].Quota, uses[i].Used); err != nil {
			return err
		}
	}
	return nil
}

// Take counts n calls against limit and returns the count. If enforced, what is over the limit is not counted and
// refused; otherwise it is counted and over says so.
func (q *Quotas) Take(ctx context.Context, key Quota, n, limit int64, enforced bool) (used int64, over bool) {
	e := q.entry(key)
	if q.redis != nil {
		return q.takeShared(ctx, e, key, n, limit, enforced)
	}
	used, err := q.count(ctx, key, n)
	if err != nil { // memory does not fail
		return 0, false
	}
	if over = used > limit; over && enforced {
		if used, err = q.count(ctx, key, -n); err != nil {
			return 0, true
		}
		return min(used, limit), true
	}
	q.mu.Lock()
	e.unsaved += n
	q.mu.Unlock()
	return used, over
}

func (q *Quotas) takeShared(ctx context.Context, e *entry, key Quota, n, limit int64, enforced bool) (int64, bool) {
	q.mu.Lock()
	carried := e.apart
	e.apart = 0
	q.mu.Unlock()
	used, err := q.redis.Add(ctx, counterKey(&key), carried+n, q.life(&key))
	if err != nil {
		q.mu.Lock()
		defer q.mu.Unlock()
		e.apart += carried
		over := e.apart+n > max(limit-e.seen, 0)/q.nodes
		if !over || !enforced {
			e.apart += n
		}
		return min(e.seen+e.apart, limit), over
	}
	over := used > limit
	if over && enforced {
		if back, err := q.redis.Add(ctx, counterKey(&key), -n, q.life(&key)); err == nil {
			used = back
		} else {
			q.mu.Lock()
			e.apart -= n // given back when Redis is
			q.mu.Unlock()
			used -= n
		}
	}
	q.mu.Lock()
	e.seen = used
	q.mu.Unlock()
	return min(used, limit), over
}

func (q *Quotas) entry(key Quota) *entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.entries[key]
	if e == nil {
		e = &entry{}
		q.entries[key] = e
	}
	return e
}

// count adds to the count in memory.
func (q *Quotas) count(ctx context.Context, key Quota, n int64) (int64, error) {
	used, _, err := q.local.Add(ctx, counterKey(&key), n, q.life(&key))
	return used, err
}

// life is how long a counter must be kept: until the end of its window, and slack.
func (q *Quotas) life(key *Quota) time.Duration {
	return max(0, time.Unix(key.End, 0).Sub(q.clock.Now())) + slack
}

// counterKey names a count. All that a caller is counted under in Redis shares the hash tag of its application.
func counterKey(k *Quota) string {
	return "{" + k.Application + "}:quota:" + string(k.Org) + ":" + string(k.Environment) + ":" + k.Plan + ":" + k.Name + ":" + strconv.FormatInt(k.Start, 10)
}

// Run writes counts behind until ctx ends, and then a last time.
func (q *Quotas) Run(ctx context.Context) {
	tick := time.NewTicker(writeBehind)
	defer tick.Stop()
	var tidied time.Time
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWrite)
			defer cancel()
			if err := q.Flush(last); err != nil {
				q.log.Error("quotas were not written at the end: the calls of the last seconds are forgotten", "error", err.Error())
			}
			return
		case <-tick.C:
		}
		if err := q.Flush(ctx); err != nil && ctx.Err() == nil {
			q.log.Error("quotas were not written; they stay in memory until the next time", "error", err.Error())
		}
		if now := q.clock.Now(); q.redis == nil && now.Sub(tidied) > 24*time.Hour {
			if err := q.store.EndQuotas(ctx, now.Add(-kept).Unix()); err != nil && ctx.Err() == nil {
				q.log.Error("quotas of past windows were not removed", "error", err.Error())
			}
			tidied = now
		}
	}
}

// Flush writes what was counted since the last time, learns what other nodes wrote, and forgets windows that ended.
func (q *Quotas) Flush(ctx context.Context) error {
	ended := q.clock.Now().Add(-slack).Unix()
	var uses []QuotaUse
	q.mu.Lock()
	for key, e := range q.entries {
		if e.unsaved != 0 {
			uses = append(uses, QuotaUse{key, e.unsaved})
			e.unsaved = 0
		} else if key.End < ended {
			delete(q.entries, key)
		}
	}
	q.mu.Unlock()
	if len(uses) == 0 {
		return nil
	}
	totals, err := q.store.AddQuotas(ctx, uses)
	if err != nil {
		for i := range uses {
			e := q.entry(uses[i].Quota)
			q.mu.Lock()
			e.unsaved += uses[i].Used
			q.mu.Unlock()
		}
		return err
	}
	for i := range totals {
		if err := q.learn(ctx, &totals[i]); err != nil {
			return err
		}
	}
	return nil
}

// learn raises a count in memory to what the store and this node's unwritten calls make together. A call that was
// counted but is not yet in unsaved makes it too low by that call until the next time, never too high.
func (q *Quotas) learn(ctx context.Context, total *QuotaUse) error {
	e := q.entry(total.Quota)
	q.mu.Lock()
	unsaved := e.unsaved
	q.mu.Unlock()
	have, err := q.count(ctx, total.Quota, 0)
	if err != nil {
		return err
	}
	if missing := total.Used + unsaved - have; missing > 0 {
		_, err = q.count(ctx, total.Quota, missing)
	}
	return err
}
