// Package jwks keeps the public keys of an external issuer: fetched from the one configured address, ahead of need,
// and never because of anything a token says beyond an unknown kid, which may ask once in 30 seconds.
package jwks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"portway/internal/ident"
	"portway/internal/token/jose"
)

// The reasons why there is no key.
var (
	// ErrUnknown says that the issuer publishes no key of that kid.
	ErrUnknown = errors.New("the issuer has no such key")
	// ErrUnavailable says that the issuer's keys are not known: never fetched, or not for 24 hours.
	ErrUnavailable = errors.New("the issuer's keys are not available")
)

const (
	askEvery   = 30 * time.Second // between two fetches that unknown kids ask for
	missFor    = time.Minute      // how long an absent kid asks no more
	maxMissing = 1024             // absent kids remembered; beyond, only askEvery holds them back
	maxWaiting = 64               // calls that wait for one fetch; more are refused at once
	keepFor    = 24 * time.Hour   // how long the last good set serves while fetches fail
	retryFirst = 5 * time.Second  // after the first failure, then doubled
	retryLast  = time.Minute
)

// Options are what a Source needs.
type Options struct {
	Clock ident.Clock
	Log   *slog.Logger
	// Transport makes the calls; nil is one of the source's own, with TLS 1.2 or later and the system's roots.
	Transport http.RoundTripper
}

// held is a set as it was fetched.
type held struct {
	set *jose.Set
	at  time.Time
}

// Source is the keys of one issuer. It is safe for concurrent use.
type Source struct {
	url     string
	options Options
	client  *http.Client
	held    atomic.Pointer[held]

	mu       sync.Mutex
	flight   chan struct{} // closed when the fetch under way ends; nil without one
	waiting  int
	due      time.Time // of the next fetch in the background
	asked    time.Time // when an unknown kid last started one
	failures int
	problem  error
	missing  map[string]time.Time // kid → until when it asks no more
}

// New returns the Source of an address: https, or http on a loopback host. Nothing is fetched yet.
func New(address string, o Options) (*Source, error) {
	if err := CheckAddress(address); err != nil {
		return nil, err
	}
	return &Source{url: address, options: o, client: client(o.Transport), missing: map[string]time.Time{}}, nil
}

// Find returns the key of that kid, or nil. It never waits.
func (s *Source) Find(kid string) *jose.Key {
	h := s.held.Load()
	if h == nil || s.options.Clock.Now().Sub(h.at) > keepFor {
		return nil
	}
	return h.set.Find(kid)
}

// Key returns the key of that kid. An unknown kid starts one fetch, unless one began within 30 seconds or the kid was
// found absent within a minute; calls wait for a fetch under way, 64 at most. The error is ErrUnknown, ErrUnavailable
// or that of ctx.
func (s *Source) Key(ctx context.Context, kid string) (*jose.Key, error) {
	if k := s.Find(kid); k != nil {
		return k, nil
	}
	wait, done := s.ask(kid)
	if wait == nil {
		return nil, s.absent()
	}
	defer done()
	select {
	case <-wait:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if k := s.Find(kid); k != nil {
		return k, nil
	}
	s.miss(kid)
	return nil, s.absent()
}

// absent says why there is no key: none is known, or not this one.
func (s *Source) absent() error {
	if h := s.held.Load(); h == nil || s.options.Clock.Now().Sub(h.at) > keepFor {
		return ErrUnavailable
	}
	return ErrUnknown
}

// ask joins the fetch under way, or starts one if this kid may; wait is nil when neither.
func (s *Source) ask(kid string) (wait chan struct{}, done func()) {
	now := s.options.Clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if until, ok := s.missing[kid]; ok && now.Before(until) {
		return nil, nil
	}
	if s.flight == nil {
		if !s.asked.IsZero() && now.Sub(s.asked) < askEvery {
			return nil, nil
		}
		s.asked = now
		s.start()
	}
	if s.waiting >= maxWaiting {
		return nil, nil
	}
	s.waiting++
	return s.flight, func() {
		s.mu.Lock()
		s.waiting--
		s.mu.Unlock()
	}
}

// miss remembers that a fetch did not bring the kid.
func (s *Source) miss(kid string) {
	now := s.options.Clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.problem != nil {
		return // the fetch failed: it says nothing about the kid
	}
	if len(s.missing) >= maxMissing {
		for k, until := range s.missing {
			if !now.Before(until) {
				delete(s.missing, k)
			}
		}
	}
	if len(s.missing) < maxMissing {
		s.missing[kid] = now.Add(missFor)
	}
}

// Begin starts a fetch if it is time to: at once at first, at four fifths of the set's life, and after a failure
// sooner. It does not wait.
func (s *Source) Begin() { s.begin() }

// begin is Begin that returns the fetch under way, nil without one.
func (s *Source) begin() chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight == nil && !s.options.Clock.Now().Before(s.due) {
		s.start()
	}
	return s.flight
}

// start begins a fetch in the background; the caller holds mu. The fetch is nobody's call: it ends by its own timeout.
func (s *Source) start() {
	flight := make(chan struct{})
	s.flight = flight
	go func() {
		var (
			set  *jose.Set
			life time.Duration
			err  error
		)
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("the fetch panicked: %v", r)
			}
			s.finish(set, life, err)
			close(flight)
		}()
		ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
		defer cancel()
		set, life, err = s.fetch(ctx)
	}()
}

// finish takes over what a fetch brought; a failed one leaves the last good set as it is.
func (s *Source) finish(set *jose.Set, life time.Duration, err error) {
	now := s.options.Clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flight, s.problem = nil, err
	if err != nil {
		wait := min(retryFirst<<min(s.failures, 8), retryLast)
		s.failures++
		s.due = now.Add(wait)
		s.options.Log.Warn("issuer keys not fetched", "url", s.url, "failures", s.failures, "retry_in", wait.String(), "error", err.Error())
		return
	}
	if s.failures > 0 {
		s.options.Log.Info("issuer keys fetched again", "url", s.url, "keys", set.Len())
	}
	s.failures = 0
	s.due = now.Add(life * 4 / 5)
	s.held.Store(&held{set: set, at: now})
}

// Status is how a Source is doing, for health and the portal.
type Status struct {
	URL     string
	Keys    int
	Fetched time.Time // zero when never
	Problem error     // of the last fetch, nil when it went well
}

// Status returns how the Source is doing.
func (s *Source) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Status{URL: s.url, Problem: s.problem}
	if h := s.held.Load(); h != nil {
		out.Keys, out.Fetched = h.set.Len(), h.at
	}
	return out
}
