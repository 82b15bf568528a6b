package budget

import (
	"sync"
	"time"
)

// Retries keeps repeated tries to a share of the calls: every call earns a part of a try. Once in ten seconds a
// try can be had on credit, so that a backend that is seldom called gets its second try; the next calls pay it back.
type Retries struct {
	share float64

	mu      sync.Mutex
	balance float64
	credit  float64
	lent    time.Time
}

// NewRetries returns Retries of a share of the calls, 0.1 for a tenth, with saved tries at hand.
func NewRetries(share, saved float64) *Retries { return &Retries{share: share, balance: saved} }

const (
	creditEvery = 10 * time.Second
	budgetMost  = 100 // tries that can be saved
)

// Earn counts a call.
func (r *Retries) Earn() {
	r.mu.Lock()
	if r.credit > 0 {
		r.credit -= r.share
	} else {
		r.balance = min(r.balance+r.share, budgetMost)
	}
	r.mu.Unlock()
}

// Spend takes one repeated try, or says that there is none.
func (r *Retries) Spend(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.balance >= enough:
		r.balance--
	case now.Sub(r.lent) >= creditEvery:
		r.lent, r.credit = now, 1
	default:
		return false
	}
	return true
}
