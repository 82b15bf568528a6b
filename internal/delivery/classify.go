package delivery

import (
	"context"
	"net/http"
	"slices"
	"time"

	"portway/internal/catalog"
)

// Class is what a target's answer means for the delivery (RULES 15).
type Class int

// The classes. The zero Class is Transient: what nobody said anything about is tried again.
const (
	Transient Class = iota // no answer, or one that may change: retried by the route's schedule
	Locked                 // the target's record is in use (423): retried soon
	Done                   // the target has it
	Already                // the target had it before: success
	Rejected               // the target's business rules refuse it: an exception at once, no retry
)

// Reasons kept with a delivery, beside the problem codes of failed calls. They are codes: the portal explains them.
const (
	ReasonAlready   = "already_done"
	ReasonRejected  = "rejected"
	ReasonLocked    = "locked"
	ReasonTransient = "refused_for_now"
	ReasonExhausted = "exhausted"
	ReasonNoRoute   = "route_removed"
	ReasonNotServed = "environment_not_served"
	ReasonWaiting   = "target_silent"
	ReasonPanic     = "internal"
)

// Sent is what one try of a Sender came to.
type Sent struct {
	Class  Class
	Status int    // HTTP status, 0 when there was no answer
	Reason string // a problem code or one of the reasons above; never the peer's text
	// RetryAfter is what the target asked for, 0 when it said nothing.
	RetryAfter time.Duration
}

// Sender tries once to bring an event to a route's target. It must return when ctx ends; it may be called for
// several deliveries at once.
type Sender interface {
	Send(ctx context.Context, d *Delivery, r *catalog.DeliveryRoute) Sent
}

// Classify says what an HTTP status means by a route's data: 2xx is done, what is listed is as listed, 423 is
// locked, and everything else is transient.
func Classify(a catalog.Answers, status int) Class {
	switch {
	case slices.Contains(a.Rejected, status):
		return Rejected
	case slices.Contains(a.Already, status):
		return Already
	case slices.Contains(a.Transient, status):
		return Transient
	case slices.Contains(a.Done, status), status >= 200 && status < 300:
		return Done
	case slices.Contains(a.Locked, status), status == http.StatusLocked:
		return Locked
	}
	return Transient
}
