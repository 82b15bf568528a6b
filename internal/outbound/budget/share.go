// Package budget counts what a backend may be called: Share is its call budget and how organisations share it, Retries
// keeps repeated tries to a part of the calls. Both are of one program; nodes do not know of each other.
package budget

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"portway/internal/catalog/egress"
)

const (
	// activeFor is how long an organisation that asked has a share of the budget.
	activeFor = 10 * time.Minute
	// maxPause is the longest that a backend's Retry-After keeps everybody away.
	maxPause = time.Hour
	// defaultPause is for a 429 that says nothing.
	defaultPause = time.Second
)

// Share is the call budget of a backend and how organisations share it. The budget is a token bucket, by policy or as
// the backend's own headers say. Each organisation has a bucket of its own, filled at an equal part of the rate. Beyond
// that it may take, in turn, from what others leave, but only down to half of the whole: so nothing is left unused, and
// whoever asks for less than an equal part always finds it.
type Share struct {
	counting atomic.Bool // false = nothing to count, the usual case

	mu          sync.Mutex
	policy      egress.Budget
	rate, burst float64 // of tokens in a second; burst 0 = no bucket
	tokens      float64
	at          time.Time // of tokens
	learned     time.Time // until when the backend's headers stand, zero if they said nothing
	paused      time.Time // until when the backend wants no calls
	orgs        map[string]*slice
	pruned      time.Time
	last        string // who took last from what others left, and when
	lastAt      time.Time
}

// slice is one organisation's part.
type slice struct {
	tokens float64
	at     time.Time
}

// NewShare returns a full Share of a policy's budget; the zero Budget counts nothing until the backend itself says so.
func NewShare(b egress.Budget, now time.Time) *Share {
	s := &Share{policy: b, at: now, pruned: now, orgs: map[string]*slice{}}
	s.reset()
	s.counting.Store(s.burst > 0)
	return s
}

// reset goes back to what the policy says.
func (s *Share) reset() {
	s.rate, s.burst, s.learned = 0, 0, time.Time{}
	if s.policy.Rate > 0 {
		s.rate, s.burst = float64(s.policy.Rate)/s.policy.Per.Seconds(), float64(s.policy.Burst)
	}
	s.tokens = s.burst
}

// Take asks for one call of an organisation; wait says when to ask again when there is none.
func (s *Share) Take(org string, now time.Time) (wait time.Duration, ok bool) {
	if !s.counting.Load() {
		return 0, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refill(now)
	if now.Before(s.paused) {
		return s.paused.Sub(now), false
	}
	if s.burst == 0 {
		s.counting.Store(false)
		return 0, true
	}
	own, parts := s.slice(org, now)
	switch {
	case s.tokens < enough:
		return s.until(1-s.tokens, s.rate), false
	case own.tokens >= enough || parts == 1:
	case s.tokens-1 >= max((s.burst-1)/2, 0.5) && s.turn(org, now):
		s.last, s.lastAt = org, now
	default:
		return s.until(1-own.tokens, s.rate/float64(parts)), false
	}
	s.tokens--
	own.tokens = max(own.tokens-1, 0)
	return 0, true
}

// turn reports whether an organisation may take from what others leave: not twice in a row, while another might come,
// unless there is plenty.
func (s *Share) turn(org string, now time.Time) bool {
	return s.last != org || s.tokens-1 >= (s.burst-1)*3/4 || now.Sub(s.lastAt).Seconds()*s.rate >= 2
}

// enough is one token but for rounding.
const enough = 1 - 1e-6

// until is the time in which tokens are filled up.
func (s *Share) until(tokens, rate float64) time.Duration {
	if rate <= 0 {
		return max(s.learned.Sub(s.at), time.Second)
	}
	return time.Duration(math.Ceil(tokens / rate * float64(time.Second)))
}

// refill brings the bucket to now, and forgets what headers said about a time that is over.
func (s *Share) refill(now time.Time) {
	if !s.learned.IsZero() && !now.Before(s.learned) {
		tokens := s.tokens
		if s.reset(); s.burst > 0 { // a policy's bucket goes on from where it was
			s.tokens = min(tokens, s.burst)
		}
	}
	if passed := now.Sub(s.at); passed > 0 {
		s.tokens, s.at = min(s.tokens+s.rate*passed.Seconds(), s.burst), now
	}
}

// slice returns an organisation's part, filled up to now, and the number of parts.
func (s *Share) slice(org string, now time.Time) (*slice, int) {
	if now.Sub(s.pruned) > time.Minute {
		for name, o := range s.orgs {
			if now.Sub(o.at) > activeFor {
				delete(s.orgs, name)
			}
		}
		s.pruned = now
	}
	own := s.orgs[org]
	if own == nil {
		own = &slice{tokens: math.Inf(1), at: now} // cut to its part below
		s.orgs[org] = own
	}
	parts := float64(len(s.orgs))
	if passed := now.Sub(own.at); passed > 0 {
		own.tokens += s.rate / parts * passed.Seconds()
		own.at = now
	}
	own.tokens = min(own.tokens, max(s.burst/parts, 1))
	return own, len(s.orgs)
}

// Limits gathers what an answer's headers say about the budget.
type Limits struct {
	remaining, reset int64 // -1 = not said
	retryAfter       string
	said             bool
}

// NewLimits returns Limits to which nothing was said.
func NewLimits() Limits { return Limits{remaining: -1, reset: -1} }

// Header takes one header of an answer. It is called for each, so most are sorted out by their length.
func (l *Limits) Header(name, value string) {
	switch len(name) {
	case len("RateLimit"):
		if strings.EqualFold(name, "RateLimit") {
			l.list(value)
		}
	case len("Retry-After"):
		if strings.EqualFold(name, "Retry-After") {
			l.retryAfter, l.said = value, true
		}
	case len("RateLimit-Reset"):
		if strings.EqualFold(name, "RateLimit-Reset") {
			l.set(&l.reset, value)
		}
	case len("RateLimit-Remaining"):
		if strings.EqualFold(name, "RateLimit-Remaining") {
			l.set(&l.remaining, value)
		}
	case len("X-RateLimit-Reset"):
		if strings.EqualFold(name, "X-RateLimit-Reset") {
			l.set(&l.reset, value)
		}
	case len("X-RateLimit-Remaining"):
		if strings.EqualFold(name, "X-RateLimit-Remaining") {
			l.set(&l.remaining, value)
		}
	}
}

func (l *Limits) set(into *int64, value string) {
	if n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64); err == nil && n >= 0 {
		*into, l.said = n, true
	}
}

// list reads the RateLimit header: `"burst";r=50;t=30, "daily";r=9;t=600` (draft -11), of which the least remaining
// counts, or `limit=100, remaining=50, reset=5` of earlier drafts.
func (l *Limits) list(value string) {
	if len(value) > 1024 {
		return
	}
	for item := range strings.SplitSeq(value, ",") {
		remaining, reset := int64(-1), int64(-1)
		for part := range strings.SplitSeq(item, ";") {
			name, text, _ := strings.Cut(strings.TrimSpace(part), "=")
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil || n < 0 {
				continue
			}
			switch name {
			case "r":
				remaining = n
			case "t":
				reset = n
			case "remaining":
				l.remaining, l.said = n, true
			case "reset":
				l.reset, l.said = n, true
			}
		}
		if remaining >= 0 && (l.remaining < 0 || remaining < l.remaining) {
			l.remaining, l.reset, l.said = remaining, reset, true
		}
	}
}

// Learn takes over what an answer says: 429, and 503 with Retry-After, keep everybody away for that long; a number of
// calls left until a time is shared out over that time.
func (s *Share) Learn(status int, l *Limits, now time.Time) {
	if !l.said && status != http.StatusTooManyRequests {
		return
	}
	after := retryAfter(l.retryAfter, now)
	reset := time.Duration(0)
	switch {
	case l.reset > 1e9: // a moment of Unix time
		reset = time.Unix(l.reset, 0).Sub(now)
	case l.reset > 0:
		reset = time.Duration(l.reset) * time.Second
	}
	reset = min(max(reset, 0), 24*time.Hour)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refill(now)
	switch {
	case status == http.StatusTooManyRequests:
		s.pause(max(after, defaultPause), now)
	case status == http.StatusServiceUnavailable && after > 0:
		s.pause(after, now)
	case l.remaining == 0 && reset > 0:
		s.pause(reset, now)
	case l.remaining > 0 && reset > 0:
		s.left(float64(l.remaining), reset, now)
	}
}

func (s *Share) pause(d time.Duration, now time.Time) {
	if until := now.Add(min(d, maxPause)); until.After(s.paused) {
		s.paused = until
	}
	s.counting.Store(true)
}

// left takes over that so many calls are left until reset. A policy's bucket only shrinks by it.
func (s *Share) left(remaining float64, reset time.Duration, now time.Time) {
	until := now.Add(reset)
	switch {
	case s.policy.Rate > 0:
		s.tokens = min(s.tokens, remaining)
		return
	case s.learned.IsZero() || until.Sub(s.learned) > time.Second: // a new window
		s.burst, s.tokens = remaining, remaining
		for _, o := range s.orgs {
			o.tokens = math.Inf(1)
		}
	default: // answers overtake each other: the least counts
		s.tokens = min(s.tokens, remaining)
	}
	s.learned, s.rate = until, 0
	s.counting.Store(true)
}

// retryAfter reads that header (RFC 9110 section 10.2.3), seconds or a date; anything else is 0.
func retryAfter(v string, now time.Time) time.Duration {
	if v == "" {
		return 0
	}
	if n, err := strconv.ParseInt(v, 10, 32); err == nil {
		return time.Duration(max(n, 0)) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(t.Sub(now), 0)
	}
	return 0
}
