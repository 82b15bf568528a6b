// Package throttle decides how much a caller may do: all limits of a plan in one atomic step, the calendar quotas, the
// calls under way, the calls from one address, and the headers that tell the caller where it stands.
package throttle

import (
	"hash/maphash"
	"sync"
	"time"

	"portway/internal/catalog"
)

// shards is how many locks the callers are spread over.
const shards = 64

// Request is one call to be decided.
type Request struct {
	// Caller is whose limits these are. All buckets of a caller are kept together: behind one lock here, in one slot of
	// a Redis cluster.
	Caller string
	// Plan names the caller's limits that count the call: environment and plan. Bucket is Plan, or Plan and the
	// operation that has limits of its own.
	Plan, Bucket string
	Limits       []catalog.Limit
	Cost         int
	// Concurrency is how many calls may be under way at once, 0 for any number; Soft means that it is only counted.
	Concurrency int
	Soft        bool
	// Call is the call's id. Its place is given up after Lease should nobody release it, because a node died.
	Call  string
	Lease time.Duration
}

// Decision is the state of one limit after a call was counted or refused.
type Decision struct {
	Limit     *catalog.Limit
	Remaining int           // calls of cost 1 that could follow at once
	Wait      time.Duration // until another call of this cost is possible; 0 = now
	Reset     time.Duration // until the whole burst is there again
	Allowed   bool
}

// Verdict is what became of a call: counted against all limits and concurrency, or against none.
type Verdict struct {
	Allowed bool
	Limits  []Decision // in the plan's order; a shadow limit may say no to an allowed call
	Active  int        // calls under way, this one included if allowed; of plans with concurrency only
	Full    bool       // no place for the call, were Concurrency enforced
}

// Memory keeps the limits of callers in this process. A bucket costs about 150 bytes until its limits have refilled; a
// decision takes one lock among 64, whatever the number of callers.
type Memory struct {
	seed   maphash.Seed
	share  int64 // by how many nodes each limit is divided
	shards [shards]shard
}

type shard struct {
	mu   sync.Mutex
	keys map[key]*bucket
	next int // size at which refilled buckets are swept
}

type key struct{ caller, bucket string }

type bucket struct {
	tats   []int64  // theoretical arrival time (GCRA) of each limit, in Unix nanoseconds
	few    [4]int64 // where tats are, unless there are more: beside the rest, in the same cache line
	active int      // calls under way
}

// NewMemory returns an empty Memory that gives the share of one among nodes.
func NewMemory(nodes int) *Memory {
	m := &Memory{seed: maphash.MakeSeed(), share: int64(max(nodes, 1))}
	for i := range m.shards {
		m.shards[i].keys = map[key]*bucket{}
		m.shards[i].next = 1024
	}
	return m
}

// Decide counts a call against every limit by GCRA and takes a place among the calls under way, or does neither if one
// refuses. A shadow limit that would refuse is not charged, as if it had refused, so that it counts as it would. The
// place is given back by Release.
func (m *Memory) Decide(r *Request, now time.Time) Verdict {
	v := Verdict{Allowed: true, Limits: make([]Decision, len(r.Limits))}
	at := now.UnixNano()
	s := &m.shards[maphash.String(m.seed, r.Caller)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.bucket(key{r.Caller, r.Bucket}, len(r.Limits), at)
	for i := range r.Limits {
		interval, window := m.pace(&r.Limits[i], r.Cost)
		v.Limits[i].Allowed = max(b.tats[i], at)+interval*int64(r.Cost)-at <= window
		v.Allowed = v.Allowed && (v.Limits[i].Allowed || r.Limits[i].Shadow)
	}
	var places *bucket
	if r.Concurrency > 0 {
		places = b
		if r.Bucket != r.Plan {
			places = s.bucket(key{r.Caller, r.Plan}, -1, at)
		}
		v.Full = places.active >= max(1, r.Concurrency/int(m.share))
		v.Allowed = v.Allowed && (!v.Full || r.Soft)
		if v.Allowed {
			places.active++
		}
		v.Active = places.active
	}
	for i := range r.Limits {
		interval, window := m.pace(&r.Limits[i], r.Cost)
		if v.Allowed && v.Limits[i].Allowed {
			b.tats[i] = max(b.tats[i], at) + interval*int64(r.Cost)
		}
		v.Limits[i].state(&r.Limits[i], max(b.tats[i]-at, 0), interval, window, r.Cost)
	}
	return v
}

// pace is the time one unit of cost takes from a limit, and how much time may be taken at once. Where nodes share a
// limit, each gives it more slowly; one call of the cost always fits.
func (m *Memory) pace(l *catalog.Limit, cost int) (interval, window int64) {
	interval = int64(l.Per) / int64(l.Rate)
	window = interval * int64(l.Burst)
	if m.share > 1 {
		interval *= m.share
		window = max(window, interval*int64(cost))
	}
	return interval, window
}

// state fills in a decision from the time that is taken from a limit.
func (d *Decision) state(l *catalog.Limit, used, interval, window int64, cost int) {
	d.Limit, d.Reset = l, time.Duration(used)
	d.Remaining = int(max(window-used, 0) / interval)
	d.Wait = time.Duration(max(used+interval*int64(cost)-window, 0))
}

// Release gives back the place of a call that Decide allowed.
func (m *Memory) Release(r *Request) {
	s := &m.shards[maphash.String(m.seed, r.Caller)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.keys[key{r.Caller, r.Plan}]; b != nil && b.active > 0 {
		b.active--
	}
}

// bucket finds or makes a bucket with n limits, any number when n is below 0. A plan that was changed to another
// number of limits begins anew.
func (s *shard) bucket(k key, n int, at int64) *bucket {
	b := s.keys[k]
	if b == nil {
		s.sweep(at)
		b = &bucket{}
		s.keys[k] = b
	}
	if n >= 0 && len(b.tats) != n {
		if b.few = [4]int64{}; n <= len(b.few) {
			b.tats = b.few[:n:n]
		} else {
			b.tats = make([]int64, n)
		}
	}
	return b
}

// sweep forgets buckets whose limits have all refilled and that no call is under way for, when there are twice as many
// as after the last sweep.
func (s *shard) sweep(at int64) {
	if len(s.keys) < s.next {
		return
	}
	for k, b := range s.keys {
		idle := b.active == 0
		for _, t := range b.tats {
			idle = idle && t <= at
		}
		if idle {
			delete(s.keys, k)
		}
	}
	s.next = max(1024, 2*len(s.keys))
}
