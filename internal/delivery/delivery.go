// Package delivery brings committed events to their subscribers: at least once, in order of start per
// subscriber and key, with retries, until delivered or dead with the reason. Nothing is dropped.
package delivery

import (
	"context"
	"time"

	"portway/internal/ident"
	"portway/internal/logistics"
)

// State is where a delivery stands.
type State string

// The delivery states.
const (
	Pending   State = "pending"
	Leased    State = "leased"
	Delivered State = "delivered"
	Dead      State = "dead"
)

// Delivery is one event on its way to one route.
type Delivery struct {
	ID          string
	Event       logistics.Event
	Route       string
	Lane        string
	State       State
	Attempts    int
	NextAttempt time.Time
	LeaseID     string
	LastStatus  int    // HTTP status of the last attempt, 0 if there was no answer
	LastReason  string // one word or sentence of ours, never the peer's text
	Created     time.Time
	Ended       time.Time // zero until delivered or dead
}

// Attempt is the result of one try.
type Attempt struct {
	At     time.Time
	Took   time.Duration
	Status int
	Reason string
}

// Store keeps deliveries. Rows are created by eventlog.Store.Accept in the acceptance's transaction.
type Store interface {
	// Lease takes up to n due deliveries of a lane for one worker until the given time. Among deliveries of one route
	// and partition key, none starts while an earlier one has not been tried yet or is leased. An expired lease counts as due.
	Lease(ctx context.Context, lane string, n int, now, until time.Time) ([]Delivery, error)
	// Finish records an attempt and its result: state Delivered or Dead, or Pending with the next attempt's time.
	// It returns false when the lease was lost in between; then nothing was written.
	Finish(ctx context.Context, d *Delivery, a Attempt, state State, next time.Time) (bool, error)
	// ByEvent returns the deliveries of an event visible to org, oldest first.
	ByEvent(ctx context.Context, org ident.OrgID, eventID string) ([]Delivery, error)
	// Next returns when the next delivery is due, zero if none is waiting.
	Next(ctx context.Context) (time.Time, error)
}
