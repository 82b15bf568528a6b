// Package outbound is every call that leaves the program for a configured backend: pools, credentials, deadlines,
// retries, breakers and budgets. Client is for the request path; HTTP is for deliveries and shares all of that.
package outbound

import (
	"log/slog"
	"time"

	"portway/internal/ident"
)

// Options of NewClient.
type Options struct {
	// Getenv resolves "env:" references.
	Getenv func(string) string
	// Clock is for breakers, budgets and tokens; the system's when nil. Deadlines of the network are always real.
	Clock ident.Clock
	// Metrics and Log may be nil.
	Metrics Metrics
	Log     *slog.Logger
}

// Metrics is told what becomes of calls. All that it gets is of a closed set: ids of backends, environments, the
// outcomes, the states. It is called on the request path and must be quick and safe for concurrent use.
type Metrics interface {
	// Attempt is one try at a backend, or one call that was refused before it was sent.
	Attempt(backend string, env ident.Environment, outcome Outcome, took time.Duration)
	// Breaker is a breaker that changed its state to "closed", "open" or "half-open"; target counts from 0 in the
	// order of the policy.
	Breaker(backend string, env ident.Environment, target int, state string)
}

// Outcome is what became of one try.
type Outcome string

// The outcomes. Those from NoTarget on were not sent.
const (
	Answered    Outcome = "answered"     // below 400
	Refused     Outcome = "refused"      // 400 to 499
	Failed      Outcome = "failed"       // 500 and above
	Unreachable Outcome = "unreachable"  // no connection
	TimedOut    Outcome = "timed_out"    // no whole answer in time
	BadAnswer   Outcome = "bad_answer"   // not an answer
	NoTarget    Outcome = "breaker_open" // every breaker is open
	Full        Outcome = "full"         // as many calls under way as the backend takes
	OverBudget  Outcome = "over_budget"  // the backend's call budget is used up
	NoToken     Outcome = "no_token"     // no access token could be had
)

// Identity is what a backend is told about a call. The gateway sets it; nothing a caller sends gets there.
type Identity struct {
	RequestID    string // X-Request-Id
	Organisation string // Portway-Organisation: the slug
	Application  string // Portway-Application: the id
	Environment  ident.Environment
}

// each calls fn for every part of the identity that is not empty.
func (i *Identity) each(fn func(name, value string)) {
	for _, h := range [...]struct{ name, value string }{
		{"X-Request-Id", i.RequestID},
		{"Portway-Organisation", i.Organisation},
		{"Portway-Application", i.Application},
		{"Portway-Environment", string(i.Environment)},
	} {
		if h.value != "" {
			fn(h.name, h.value)
		}
	}
}
