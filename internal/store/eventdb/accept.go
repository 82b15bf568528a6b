package eventdb

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"portway/internal/eventlog"
	"portway/internal/idempotent"
	"portway/internal/ident"
	"portway/internal/problem"
	"portway/internal/store"
	"portway/internal/store/idempotentdb"
)

// raceRetries bounds how often an acceptance that lost a race for a key is decided anew; the second time it sees the
// winner, so one is enough unless several keys are raced for.
const raceRetries = 4

// Accept implements eventlog.Store.
func (s *Store) Accept(ctx context.Context, a eventlog.Acceptance) (eventlog.Result, error) {
	for try := 0; ; try++ {
		var acc *acceptance
		err := s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
			acc = newAcceptance(s, tx, &a)
			return acc.run(ctx)
		})
		if store.IsUnique(err) && try < raceRetries {
			continue
		}
		if err != nil {
			return eventlog.Result{}, err
		}
		if acc.delivered {
			s.wake()
		}
		return acc.result, nil
	}
}

// acceptance is one run of Accept inside its transaction.
type acceptance struct {
	store     *Store
	tx        *store.Tx
	in        *eventlog.Acceptance
	doc       eventlog.Document
	rows      []*decided // of the statements so far; written after the document
	result    eventlog.Result
	delivered bool
}

func newAcceptance(s *Store, tx *store.Tx, a *eventlog.Acceptance) *acceptance {
	acc := &acceptance{store: s, tx: tx, in: a, doc: a.Document}
	if acc.doc.ID == "" {
		acc.doc.ID = ident.NewID(s.clock)
	}
	if acc.doc.Received.IsZero() {
		acc.doc.Received = s.clock.Now()
	}
	acc.result = eventlog.Result{DocumentID: acc.doc.ID, Outcomes: make([]eventlog.Outcome, 0, len(a.Statements))}
	return acc
}

func (a *acceptance) run(ctx context.Context) error {
	if len(a.in.Statements) > store.MaxEvents {
		return problem.New(problem.BodyTooLarge, "a document states %d events at most; send it in parts", store.MaxEvents)
	}
	replay, err := a.replay(ctx)
	if err != nil {
		return err
	}
	if replay != nil {
		a.result = eventlog.Result{Replay: replay}
		return nil
	}
	if err := a.checkInterchange(ctx); err != nil {
		return err
	}
	// What is stored is decided first, because the document carries its own outcome and is never changed. Orders are
	// written at once: a document may speak of one order twice.
	for i := range a.in.Statements {
		d, err := a.decide(ctx, &a.in.Statements[i])
		if err != nil {
			return err
		}
		a.rows = append(a.rows, d)
		a.result.Outcomes = append(a.result.Outcomes, d.outcome)
	}
	a.settleDocument()
	if err := a.acknowledge(ctx); err != nil {
		return err
	}
	if err := a.insertDocument(ctx); err != nil {
		return err
	}
	for i, d := range a.rows {
		if err := a.insert(ctx, d, i); err != nil {
			return err
		}
	}
	return a.insertKey(ctx)
}

// checkInterchange refuses an interchange that was accepted before. It is claimed after the document it belongs to.
func (a *acceptance) checkInterchange(ctx context.Context) error {
	if a.in.Interchange == nil {
		return nil
	}
	var original string
	err := a.tx.Get(ctx, &original, "SELECT document_id FROM interchanges WHERE connection_id = ? AND control = ?",
		a.in.Interchange.Connection, a.in.Interchange.Control)
	if errors.Is(err, store.ErrNoRow) {
		return nil
	}
	if err != nil {
		return err
	}
	p := problem.New(problem.EDIDuplicate, "the interchange control number (ISA13) was received before on this connection; use a new one")
	p.Extra = map[string]any{"original": original}
	return p
}

// settleDocument derives the document's state from the outcomes of its statements.
func (a *acceptance) settleDocument() {
	d, count := &a.doc, map[eventlog.OutcomeKind]int{}
	for _, o := range a.result.Outcomes {
		count[o.Kind]++
		if d.Reason == "" {
			d.Reason = o.Reason
		}
		if d.DuplicateOf == "" {
			d.DuplicateOf = o.Original
		}
	}
	n := len(a.result.Outcomes)
	switch {
	case n == 0 && d.State != "":
		// The caller knows: rejected, quarantined, or something that states nothing, such as an acknowledgement.
	case n > 0 && count[eventlog.Duplicate] == n:
		d.State = eventlog.DocumentDuplicate
	case count[eventlog.Parked] > 0:
		d.State = eventlog.DocumentParked
	case count[eventlog.Conflict] > 0:
		d.State = eventlog.DocumentConflict
	default:
		d.State = eventlog.DocumentAccepted
	}
	a.result.State = d.State
}

func (a *acceptance) insertDocument(ctx context.Context) error {
	d := &a.doc
	_, err := a.tx.Exec(ctx, `INSERT INTO documents (`+documentColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		d.ID, d.Org, d.Environment, d.Application, d.Connection, d.Format, d.Kind, d.ContentType,
		store.Bytes(d.Raw), d.SHA256, d.RequestID, d.Received.UnixMicro(), d.State, d.Reason, d.Detail, d.DuplicateOf,
		store.Bytes(d.Ack), d.AckStatus)
	if err != nil || a.in.Interchange == nil {
		return err
	}
	_, err = a.tx.Exec(ctx, "INSERT INTO interchanges (connection_id, control, org_id, document_id) VALUES (?, ?, ?, ?)",
		a.in.Interchange.Connection, a.in.Interchange.Control, d.Org, d.ID)
	return err
}

// insert writes what decide found about the n-th statement: the event with its refs and deliveries, or nothing for a
// duplicate.
func (a *acceptance) insert(ctx context.Context, d *decided, n int) error {
	if d.state == "" {
		return nil
	}
	e := &d.event
	refs, err := json.Marshal(e.Refs)
	if err != nil {
		return err
	}
	var position int64
	err = a.tx.Get(ctx, &position, `INSERT INTO events (position, id, type, source, subject, time, time_offset, time_zone, recorded, org_id, recipient_id,
		environment, correlation_id, causation_id, partition_key, sequence, refs, data, document_id, state, reason)
		VALUES (`+a.store.db.Dialect().Position+`, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING position`,
		n, e.ID, e.Type, e.Source, e.Subject, e.Time.Micros, e.Time.Offset, string(e.Time.Zone), e.Recorded.UnixMicro(),
		e.Org, e.Recipient, e.Environment, e.CorrelationID, e.CausationID, e.PartitionKey, e.Sequence, string(refs),
		string(e.Data), a.doc.ID, d.state, d.outcome.Reason)
	if err != nil {
		return err
	}
	for _, r := range e.Refs {
		if _, err := a.tx.Exec(ctx, `INSERT INTO event_refs (scheme, value, org_id, scope, event_id, order_id) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT DO NOTHING`, // a document may repeat a number
			r.Scheme, r.Value, e.Org, r.Scope, e.ID, d.orderID); err != nil {
			return err
		}
	}
	if d.state != eventAccepted {
		return nil
	}
	if d.statement.BusinessKey != "" {
		if _, err := a.tx.Exec(ctx, "INSERT INTO business_keys (org_id, environment, type, key, fingerprint, event_id) VALUES (?, ?, ?, ?, ?, ?)",
			e.Org, e.Environment, e.Type, keyText(d.statement.BusinessKey), keyText(d.statement.Fingerprint), e.ID); err != nil {
			return err
		}
	}
	return a.insertDeliveries(ctx, d, position)
}

func (a *acceptance) insertDeliveries(ctx context.Context, d *decided, position int64) error {
	e, now := &d.event, a.store.clock.Now().UnixMicro()
	for _, sub := range d.statement.Subscribers {
		if _, err := a.tx.Exec(ctx, `INSERT INTO deliveries (id, event_id, org_id, sequence, position, route, lane, partition_key, state, attempts, due_at,
			lease_id, last_status, last_reason, created, ended, rev) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'pending', 0, ?, '', 0, '', ?, 0, 1)`,
			ident.NewID(a.store.clock), e.ID, e.Org, e.Sequence, position, sub.Route, sub.Lane, e.PartitionKey, now, now); err != nil {
			return err
		}
		a.delivered = true
	}
	return nil
}

// insertKey keeps the answer that a repeated Idempotency-Key replays.
func (a *acceptance) insertKey(ctx context.Context) error {
	if a.in.Key == nil {
		return nil
	}
	rec := idempotent.Record{}
	if a.in.Reply != nil {
		rec = a.in.Reply(&a.result)
	}
	rec.Key, rec.State = *a.in.Key, idempotent.Done
	if rec.CreatedAt == 0 {
		rec.CreatedAt = a.store.clock.Now().UnixMicro()
	}
	return idempotentdb.Insert(ctx, a.tx, &rec)
}

// replay returns the answer of an earlier use of the call's key, nil if there was none, or an idempotency.* problem.
func (a *acceptance) replay(ctx context.Context) (*idempotent.Record, error) {
	if a.in.Key == nil {
		return nil, nil
	}
	rec, err := idempotentdb.Lookup(ctx, &a.tx.Reader, *a.in.Key, "")
	if rec == nil || err != nil {
		return nil, err
	}
	if p := rec.Refusal(a.in.Key, a.store.clock.Now()); p != nil {
		return nil, p
	}
	return rec, nil
}

// keyText is a key as it is stored. Callers may join parts with U+0000, which PostgreSQL does not store; U+001F (unit
// separator) means the same.
func keyText(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\x1f"), "\uFFFD")
}
