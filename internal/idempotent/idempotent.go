// Package idempotent is the register of calls made with an Idempotency-Key: what a key was used for, whether that call
// is still going on or how it ended, and the answer that a repeated key gets.
//
// A key is reserved, durably, before anything that cannot be repeated is done in its name. From then on the record only
// ever says less than what happened: a reservation whose holder is gone is in doubt, never free.
package idempotent

import (
	"context"
	"errors"
	"time"

	"portway/internal/partner"
	"portway/internal/problem"
)

// MaxBody is the largest answer that is kept for a repeated key: 1 MiB. Of a larger one only status and headers are.
const MaxBody = 1 << 20

// Busy is how long a caller is told to wait while the first call with its key is being answered.
const Busy = time.Second

// Key is one use of an Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07), scoped to the caller, the
// environment and the operation. Fingerprint is the hexadecimal SHA-256 of what the key was used for.
type Key struct {
	Org         partner.OrgID
	Application string
	Environment partner.Environment
	Operation   string // "orders/v1/claimOrder"
	Value       string // 16 to 255 characters
	Fingerprint string
}

// State says what is known of the call a key was first used for.
type State string

// The states of a record.
const (
	InProgress State = "in_progress" // reserved; who holds the lease is at it
	InDoubt    State = "in_doubt"    // begun, and its end or its answer is not known
	Done       State = "done"        // answered; a repeated key gets the answer
)

// Record is what is kept of a call.
type Record struct {
	Key   Key
	State State
	// Status, Header and Body are the answer. In doubt with a status means: carried out and answered so, but the answer
	// was too large to keep.
	Status     int
	Header     [][2]string
	Body       []byte
	Lease      string // who reserved the key last
	LeaseUntil int64  // Unix microseconds; a reservation not settled by then is in doubt
	CreatedAt  int64  // Unix microseconds
}

// Lease is the right to act in a key's name for a while.
type Lease struct {
	ID          string // unique
	From, Until time.Time
}

// ErrLost says that a lease no longer holds its key: somebody took the key over, or it was settled or removed.
var ErrLost = errors.New("the reservation of the key was lost")

// Store keeps the register. Every method but Find has reached the disk when it returns without error. Errors:
// problem.StoreUnavailable, and ErrLost where named.
type Store interface {
	// Find returns the record of a key, whatever its fingerprint, or nil.
	Find(ctx context.Context, k Key) (*Record, error)
	// Reserve takes a key that is free and returns nil. It returns the record of a key that is taken and changes nothing,
	// except that with resume a record in doubt of the same fingerprint is taken over: for those whose repetition has no
	// second effect.
	Reserve(ctx context.Context, k Key, l Lease, resume bool) (*Record, error)
	// Settle ends the reservation r.Lease of r.Key with r.State, which is Done or InDoubt, and the answer in r. ErrLost.
	Settle(ctx context.Context, r Record) error
	// Release frees a key whose reservation led to nothing. ErrLost.
	Release(ctx context.Context, k Key, lease string) error
	// Remove forgets the records made before a moment and returns how many there were.
	Remove(ctx context.Context, before time.Time) (int64, error)
}

// StateAt is the state at a moment: an expired reservation is in doubt.
func (r *Record) StateAt(now time.Time) State {
	if r.State == InProgress && r.LeaseUntil <= now.UnixMicro() {
		return InDoubt
	}
	return r.State
}

// Refusal is why a call with key k is not answered by the record: idempotency.key_reused, idempotency.in_progress or
// idempotency.in_doubt; nil when the record's answer is the answer.
func (r *Record) Refusal(k *Key, now time.Time) *problem.Error {
	if r.Key.Fingerprint != k.Fingerprint {
		return problem.New(problem.IdempotencyReuse, "this Idempotency-Key was used for another request; use a new key")
	}
	switch r.StateAt(now) {
	case Done:
		return nil
	case InProgress:
		p := problem.New(problem.IdempotencyBusy, "the first call with this Idempotency-Key is still being answered; send it again later with the same key")
		p.RetryAfter = Busy
		return p
	}
	if r.Status == 0 {
		p := problem.New(problem.IdempotencyInDoubt, "it is not known whether the first call with this Idempotency-Key was carried out; read the resource before you send it with a new key")
		p.Extra = map[string]any{"first_call": "unknown"}
		return p
	}
	p := problem.New(problem.IdempotencyInDoubt, "the first call with this Idempotency-Key was carried out, but its answer was too large to keep; read the resource")
	p.Extra = map[string]any{"first_call": "carried_out", "first_status": r.Status}
	for _, h := range r.Header {
		if h[0] == "Location" {
			p.Header = append(p.Header, h)
		}
	}
	return p
}
