// Package throttle decides how much a caller may do: all limits of a plan in one atomic step, and the
// headers that tell the caller where it stands.
package throttle

import (
	"hash/maphash"
	"sync"
	"time"

	"portway/internal/catalog"
)

// shards is how many locks the keys are spread over.
const shards = 64

// Decision is the state of one limit after a call was counted or refused.
type Decision struct {
	Limit     *catalog.Limit
	Remaining int           // calls that could follow at once
	Reset     time.Duration // until one more call is possible
	Allowed   bool
}

// Memory keeps the limits of callers in this process. A key costs about 100 bytes until its limits have
// refilled; a decision takes one lock among 64, whatever the number of keys.
type Memory struct {
	seed   maphash.Seed
	shards [shards]shard
}

type shard struct {
	mu   sync.Mutex
	keys map[string][]int64 // theoretical arrival time (GCRA) of each limit, in Unix nanoseconds
	next int                // size at which refilled keys are swept
}

// NewMemory returns an empty Memory.
func NewMemory() *Memory {
	m := &Memory{seed: maphash.MakeSeed()}
	for i := range m.shards {
		m.shards[i].keys = map[string][]int64{}
		m.shards[i].next = 1024
	}
	return m
}

// Decide counts a call of the given cost against every limit of a plan by GCRA, or against none if one
// refuses. It returns a decision per limit, in the plan's order.
func (m *Memory) Decide(key string, limits []catalog.Limit, cost int, now time.Time) ([]Decision, bool) {
	out := make([]Decision, len(limits))
	at := now.UnixNano()
	s := &m.shards[maphash.String(m.seed, key)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	tats := s.keys[key]
	if len(tats) != len(limits) {
		tats = make([]int64, len(limits))
		s.keys[key] = tats
		s.sweep(at)
	}
	allowed := true
	for i := range limits {
		interval := int64(limits[i].Per) / int64(limits[i].Rate)
		window := interval * int64(limits[i].Burst)
		tat := max(tats[i], at) + interval*int64(cost)
		out[i] = Decision{Limit: &limits[i], Allowed: tat-at <= window}
		if !out[i].Allowed {
			allowed = false
		}
	}
	for i := range limits {
		interval := int64(limits[i].Per) / int64(limits[i].Rate)
		window := interval * int64(limits[i].Burst)
		if allowed {
			tats[i] = max(tats[i], at) + interval*int64(cost)
		}
		used := max(tats[i]-at, 0)
		out[i].Remaining = int(max(window-used, 0) / interval)
		if wait := used + interval*int64(cost) - window; wait > 0 {
			out[i].Reset = time.Duration(wait)
		}
	}
	return out, allowed
}

// sweep forgets keys whose limits have all refilled, when there are twice as many as after the last sweep.
func (s *shard) sweep(at int64) {
	if len(s.keys) < s.next {
		return
	}
	for k, tats := range s.keys {
		full := true
		for _, t := range tats {
			full = full && t <= at
		}
		if full {
			delete(s.keys, k)
		}
	}
	s.next = max(1024, 2*len(s.keys))
}
