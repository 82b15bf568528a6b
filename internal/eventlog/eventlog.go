// Package eventlog is the append-only truth: documents as received, the canonical events they stated, and
// the order projection, written together or not at all. Accept is the only way in.
package eventlog

import (
	"context"
	"time"

	"portway/internal/idempotent"
	"portway/internal/ident"
	"portway/internal/logistics"
)

// DocumentState says what became of a document as a whole.
type DocumentState string

// The document states.
const (
	DocumentAccepted    DocumentState = "accepted"
	DocumentDuplicate   DocumentState = "duplicate"   // every statement in it was known
	DocumentConflict    DocumentState = "conflict"    // a statement contradicts an earlier one under the same business key
	DocumentParked      DocumentState = "parked"      // read, but a statement could not be applied; waits for someone
	DocumentRejected    DocumentState = "rejected"    // acknowledged as syntactically wrong
	DocumentQuarantined DocumentState = "quarantined" // unreadable, of unknown origin or seen before; no acknowledgement
)

// Document is what a partner sent, byte for byte, and what became of it.
type Document struct {
	ID          string
	Org         ident.OrgID // "" only when quarantined because the sender is unknown
	Environment ident.Environment
	Application string // who called, for documents that came by HTTP
	Connection  string // slug, for EDI and files
	Format      string // "json" or "x12"
	Kind        string // operation id, or the transaction sets ("945")
	ContentType string
	Raw         []byte
	SHA256      string // hexadecimal, of Raw
	RequestID   string
	Received    time.Time
	State       DocumentState
	Reason      string // a problem code, when the state needs one
	Detail      string // a sentence; never contains values
	DuplicateOf string // event id of the original, when State is duplicate or conflict
	Ack         []byte // the 997 as sent
	AckStatus   string // AK901: A, E, P or R; "" when none was sent
}

// Interchange identifies an EDI interchange for the duplicate check (ISA06, ISA08, ISA13).
type Interchange struct {
	Connection string // connection id
	Control    string // ISA13
}

// Statement is one canonical event of a document with what Accept must decide about it.
type Statement struct {
	Event logistics.Event // Sequence, CorrelationID and Recipient may be empty: Accept fills them from the order
	// OrderNumber is the order this event speaks of, "" if none. Order events are applied to the projection.
	OrderNumber string
	// Fulfiller is set on events that open an order: who ships it.
	Fulfiller ident.OrgID
	// BusinessKey decides duplicate and conflict (RULES 9), "" if the type has none. Fingerprint says whether two
	// statements with one key say the same.
	BusinessKey string
	Fingerprint string
	// Subscribers are delivered to, matched before the transaction begins.
	Subscribers []Subscriber
	// Parked, if set, stores the event without applying or delivering it: the mapping already failed to place it.
	Parked string
}

// Subscriber is a delivery to make once the event is committed.
type Subscriber struct {
	Route string // policy id of the route
	Lane  string // critical, normal or bulk (RULES 16)
}

// Control is a set of outgoing EDI control numbers drawn inside the acceptance transaction.
type Control struct {
	Interchange int64 // ISA13
	Group       int64 // GS06, the first of as many as asked for
	Set         int64 // ST02, likewise
}

// Acceptance is everything one received document brings, committed together.
type Acceptance struct {
	Document    Document
	Key         *idempotent.Key // nil without an Idempotency-Key
	Interchange *Interchange    // nil unless EDI
	Statements  []Statement
	// Park stores what cannot be applied as parked instead of refusing the whole acceptance: for documents whose
	// sender cannot be answered with a problem.
	Park bool
	// Acknowledge, if set, renders the outgoing acknowledgement once control numbers are drawn and outcomes are
	// known. It must be pure and fast: it runs inside the transaction.
	Acknowledge func(c Control, outcomes []Outcome) (ack []byte, status string, err error)
	// AckSets is how many functional groups, of one transaction set each, Acknowledge renders: that many group and set
	// control numbers are drawn; 1 when 0.
	AckSets int
	// Reply, if Key is set, renders the answer that a repeated key replays.
	Reply func(r *Result) idempotent.Record
}

// OutcomeKind says what Accept decided about one statement.
type OutcomeKind string

// The outcomes of a statement.
const (
	Accepted  OutcomeKind = "accepted"
	Duplicate OutcomeKind = "duplicate"
	Conflict  OutcomeKind = "conflict"
	Parked    OutcomeKind = "parked"
)

// Outcome is the decision about one statement.
type Outcome struct {
	Kind     OutcomeKind
	EventID  string // the event stored; "" for a duplicate
	Original string // event id of the earlier statement, for duplicate and conflict
	Reason   string // a problem code, for parked
	Order    *logistics.Order
}

// Result is what Accept committed.
type Result struct {
	DocumentID string
	State      DocumentState
	Outcomes   []Outcome
	Ack        []byte
	AckStatus  string
	// Replay is the stored answer when the Idempotency-Key was used before with the same fingerprint;
	// then nothing else was done.
	Replay *idempotent.Record
}

// FeedItem is one entry of a 3PL's order feed.
type FeedItem struct {
	Position int64
	Event    logistics.Event
	Order    logistics.Order
}

// Store keeps the log. All methods but Accept only read; org is never empty.
type Store interface {
	// Accept commits an acceptance with fsync and then returns, or returns an error and has left nothing behind:
	// order.* problems (unless Park), business_key.conflict (unless Park), idempotency.*,
	// edi.duplicate_interchange, store.unavailable.
	Accept(ctx context.Context, a Acceptance) (Result, error)
	// Event returns an event stated by or addressed to org, with the document it came in, or problem.NotFound.
	Event(ctx context.Context, org ident.OrgID, id string) (*logistics.Event, *Document, error)
	// Document returns a document of org with the ids of its events, or problem.NotFound.
	Document(ctx context.Context, org ident.OrgID, id string) (*Document, []string, error)
	// Order returns an order that org owns or fulfils, or problem.OrderUnknown.
	Order(ctx context.Context, org ident.OrgID, env ident.Environment, number string) (*logistics.Order, error)
	// Feed returns events addressed to org after a position, in order, each with its order as it stands now.
	// Positions are stable: an entry never appears before one that was already returned.
	Feed(ctx context.Context, org ident.OrgID, env ident.Environment, after int64, limit int) (items []FeedItem, more bool, err error)
}
