package idempotentdb_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"portway/internal/idempotent"
	"portway/internal/store"
	"portway/internal/store/idempotentdb"
)

// The register of one key as it should be, and a check that what clients saw of the real one can be put in an order in
// which the ideal one would have answered the same (linearizability, Herlihy and Wing 1990; the search is Wing and
// Gong's, with Lowe's memory of what was tried).

// register is the state of one key.
type register struct {
	state   idempotent.State // "" = free
	lease   string
	expired bool // a reservation whose lease is over
	status  int
}

// step is one operation a client did, with what it saw, and when it began and ended by a common counter.
type step struct {
	name         string // reserve, resume, settle, doubt, release, find
	lease        string
	expired      bool // the lease asked for is over at once
	status       int  // settle
	saw          string
	began, ended int64
}

const granted, lost, fine, free = "granted", "lost", "fine", "free"

// shown is what a reader sees of a register.
func (r register) shown() string {
	switch {
	case r.state == "":
		return free
	case r.state == idempotent.InProgress && r.expired:
		return string(idempotent.InDoubt)
	case r.state == idempotent.Done:
		return fmt.Sprint(r.state, r.status)
	}
	return string(r.state)
}

// apply is the ideal register: the state after a step, and what its client sees.
func (r register) apply(s *step) (register, string) {
	holds := r.state != "" && r.state != idempotent.Done && r.lease == s.lease
	switch s.name {
	case "reserve", "resume":
		if r.state == "" || s.name == "resume" && r.shown() == string(idempotent.InDoubt) {
			return register{state: idempotent.InProgress, lease: s.lease, expired: s.expired}, granted
		}
	case "settle":
		if !holds {
			return r, lost
		}
		return register{state: idempotent.Done, lease: s.lease, status: s.status}, fine
	case "doubt":
		if !holds {
			return r, lost
		}
		return register{state: idempotent.InDoubt, lease: s.lease}, fine
	case "release":
		if !holds {
			return r, lost
		}
		return register{}, fine
	}
	return r, r.shown()
}

// linearizable reports whether a history has an order that the ideal register explains.
func linearizable(history []step) bool {
	type node struct {
		done uint64
		at   register
	}
	tried := map[node]bool{}
	var search func(n node) bool
	search = func(n node) bool {
		if n.done == 1<<len(history)-1 {
			return true
		}
		if tried[n] {
			return false
		}
		tried[n] = true
		first := int64(1) << 62 // no step may come before one that ended before it began
		for i := range history {
			if n.done&(1<<i) == 0 {
				first = min(first, history[i].ended)
			}
		}
		for i := range history {
			s := &history[i]
			if n.done&(1<<i) != 0 || s.began > first {
				continue
			}
			if next, saw := n.at.apply(s); saw == s.saw && search(node{n.done | 1<<i, next}) {
				return true
			}
		}
		return false
	}
	return search(node{})
}

// play does a step on the real register.
func (s *step) play(ctx context.Context, db *idempotentdb.Store, k idempotent.Key) error {
	l := held(s.lease)
	if s.expired {
		l.Until = l.From
	}
	var rec *idempotent.Record
	var err error
	none := free
	switch s.name {
	case "reserve", "resume":
		none = granted
		rec, err = db.Reserve(ctx, k, l, s.name == "resume")
	case "find":
		rec, err = db.Find(ctx, k)
	case "settle":
		none, err = fine, db.Settle(ctx, idempotent.Record{Key: k, Lease: s.lease, State: idempotent.Done, Status: s.status})
	case "doubt":
		none, err = fine, db.Settle(ctx, idempotent.Record{Key: k, Lease: s.lease, State: idempotent.InDoubt})
	case "release":
		none, err = fine, db.Release(ctx, k, s.lease)
	}
	switch {
	case errors.Is(err, idempotent.ErrLost):
		s.saw = lost
	case err != nil:
		return err
	case rec == nil:
		s.saw = none
	default:
		r := register{state: rec.StateAt(start), lease: rec.Lease, status: rec.Status}
		s.saw = r.shown()
	}
	return nil
}

// keyLinear lets clients do random steps on one key at once, again and again, each with leases of its own and
// sometimes another's.
func keyLinear(t *testing.T, db *store.DB) {
	rounds := 25
	if os.Getenv("SOAK") != "" {
		rounds = 500
	}
	const clients, steps = 6, 8
	s := idempotentdb.New(db)
	seen := map[string]int{}
	for round := range rounds {
		k := aKey(fmt.Sprintf("key-%016d", round))
		history := make([]step, clients*steps)
		var count atomic.Int64
		var wg sync.WaitGroup
		for c := range clients {
			random := rand.New(rand.NewPCG(uint64(round), uint64(c)))
			wg.Go(func() {
				own := fmt.Sprint("c", c)
				for i := range steps {
					at := &history[c*steps+i]
					*at = step{name: []string{"reserve", "resume", "resume", "settle", "doubt", "doubt", "release", "find"}[random.IntN(8)], lease: own,
						expired: random.IntN(3) == 0, status: 200 + c*steps + i}
					if random.IntN(5) == 0 && at.name != "reserve" && at.name != "resume" {
						at.lease = fmt.Sprint("c", random.IntN(clients))
					}
					if at.name == "settle" && random.IntN(2) == 0 {
						at.name = "find" // so that keys live long enough to be fought over
					}
					at.began = count.Add(1)
					err := at.play(context.Background(), s, k)
					at.ended = count.Add(1)
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		if t.Failed() {
			return
		}
		for i := range history {
			seen[history[i].name+" "+strings.TrimRight(history[i].saw, "0123456789")]++
		}
		if !linearizable(history) {
			t.Fatalf("round %d is not linearizable: %+v", round, history)
		}
	}
	for _, must := range []string{"reserve granted", "resume granted", "settle fine", "settle lost", "release fine", "doubt fine", "find done"} {
		if seen[must] == 0 {
			t.Errorf("the schedules never did %q: %v", must, seen)
		}
	}
	// The check can fail: two clients that both reserved a free key.
	if linearizable([]step{{name: "reserve", lease: "a", saw: granted, began: 1, ended: 3}, {name: "reserve", lease: "b", saw: granted, began: 2, ended: 4}}) {
		t.Error("two winners pass the check")
	}
}
