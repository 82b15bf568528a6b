// Package cluster is what the nodes of one installation share: counters and scripts in Redis, and the same in this
// process's memory where there is no Redis or it is away.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/ulule/limiter/v3"
)

const (
	// patience is how long a call waits for Redis, connecting included, unless its address says otherwise. There is no
	// second try: the caller has its own way to go on.
	patience = 50 * time.Millisecond
	// tolerated is how many failures in a row are single failures; one more and Redis is away.
	tolerated = 2
	// probeEvery is how often Redis is asked whether it is back, and probeLimit how long the answer may take.
	probeEvery, probeLimit = 250 * time.Millisecond, time.Second
)

// ErrAway says that Redis did not do what was asked. The caller decides by what it knows itself.
var ErrAway = errors.New("redis is away")

// Redis is a Redis server or cluster that may be away at any time, at the start too. While it is away nothing waits for
// it: calls fail at once, and one probe asks until it takes writes again.
type Redis struct {
	client   redis.UniversalClient
	patience time.Duration
	log      *slog.Logger
	failures atomic.Int64 // in a row
	away     atomic.Bool
	without  atomic.Uint64
	life     context.Context
	end      context.CancelFunc
	probing  sync.WaitGroup
	closing  sync.Mutex // orders a probe's start before the end of life
	mu       sync.Mutex
	counters atomic.Pointer[limiter.Store]
}

// Open reads the address of a Redis, "redis://" or "rediss://" with user, password and database; further nodes of a
// cluster follow as "?addr=host:port", and "?read_timeout=100ms" is how long a call waits, 50 ms without. It connects at
// the first use. Close it.
func Open(address string, log *slog.Logger) (*Redis, error) {
	logging.Disable() // what the client says is known here as an error, and it names addresses
	client, wait, err := open(address)
	if err != nil {
		return nil, err
	}
	r := &Redis{client: client, patience: wait, log: log}
	r.life, r.end = context.WithCancel(context.Background())
	return r, nil
}

func open(address string) (redis.UniversalClient, time.Duration, error) {
	// The parsers quote the address, which may hold a password.
	bad := errors.New("not an address like redis://host:6379/0 or rediss://user:password@host:6379")
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, 0, bad
	}
	if u.Query().Has("addr") {
		o, err := redis.ParseClusterURL(address)
		if err != nil {
			return nil, 0, bad
		}
		wait := orPatience(o.ReadTimeout)
		o.MaxRetries, o.MaxRedirects, o.DialerRetries, o.Protocol = -1, 2, 1, 2
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout, o.ContextTimeoutEnabled = wait, wait, wait, wait, true
		o.DisableIdentity, o.MaintNotificationsConfig = true, &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
		return redis.NewClusterClient(o), wait, nil
	}
	o, err := redis.ParseURL(address)
	if err != nil {
		return nil, 0, bad
	}
	wait := orPatience(o.ReadTimeout)
	o.MaxRetries, o.DialerRetries, o.Protocol = -1, 1, 2
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout, o.ContextTimeoutEnabled = wait, wait, wait, wait, true
	o.DisableIdentity, o.MaintNotificationsConfig = true, &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(o), wait, nil
}

func orPatience(given time.Duration) time.Duration {
	if given > 0 {
		return given
	}
	return patience
}

// Degraded reports whether Redis is away, so that this node decides alone.
func (r *Redis) Degraded() bool { return r.away.Load() }

// Without counts the decisions that were made without Redis since the start.
func (r *Redis) Without() uint64 { return r.without.Load() }

// Close ends the probe and the connections.
func (r *Redis) Close() error {
	r.closing.Lock()
	r.end()
	r.closing.Unlock()
	r.probing.Wait()
	return r.client.Close()
}

// Script is a Lua program that Redis runs in one atomic step. All its keys share a hash tag, so that a cluster has them
// in one place, and every key it writes has a time to live.
type Script struct{ *redis.Script }

// NewScript returns the script with this source.
func NewScript(source string) *Script { return &Script{redis.NewScript(source)} }

// Run runs a script that answers with integers; any failure is ErrAway, with its cause.
func (r *Redis) Run(ctx context.Context, s *Script, keys []string, args ...any) ([]int64, error) {
	var out []int64
	err := r.do(ctx, func(ctx context.Context) (err error) {
		out, err = s.Script.Run(ctx, r.client, keys, args...).Int64Slice()
		return err
	})
	return out, err
}

// Add counts n under a key that lives for period from its first count, and returns the count.
func (r *Redis) Add(ctx context.Context, key string, n int64, period time.Duration) (int64, error) {
	var used int64
	err := r.do(ctx, func(ctx context.Context) error {
		store, err := r.store()
		if err != nil {
			return err
		}
		used, _, err = add(ctx, store, key, n, period)
		return err
	})
	return used, err
}

// do asks Redis once, within its patience, unless it is known to be away.
func (r *Redis) do(ctx context.Context, ask func(context.Context) error) error {
	if r.away.Load() {
		r.without.Add(1)
		return ErrAway
	}
	ctx, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	err := ask(ctx)
	if err == nil {
		if r.failures.Load() != 0 {
			r.failures.Store(0)
		}
		return nil
	}
	r.without.Add(1)
	if r.failures.Add(1) > tolerated {
		r.leave(err)
	}
	return fmt.Errorf("%w: %w", ErrAway, err)
}

// leave starts the probe, once for each time that Redis is away.
func (r *Redis) leave(cause error) {
	r.closing.Lock()
	defer r.closing.Unlock()
	if r.life.Err() != nil || !r.away.CompareAndSwap(false, true) {
		return
	}
	r.log.Warn("redis is away: limits are decided by this node alone until it is back", "event", "cluster.degraded", "cause", cause.Error())
	r.probing.Go(r.probe)
}

// returned is a write, because a Redis that answers but takes none is no help.
var returned = redis.NewScript(`return redis.call('SET', KEYS[1], '1', 'PX', 5000)`)

func (r *Redis) probe() {
	began := time.Now()
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-r.life.Done():
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(r.life, probeLimit)
		err := returned.Run(ctx, r.client, []string{"portway:probe"}).Err()
		cancel()
		if err == nil {
			r.log.Info("redis is back", "event", "cluster.recovered", "after", time.Since(began).String())
			r.failures.Store(0)
			r.away.Store(false)
			return
		}
	}
}
