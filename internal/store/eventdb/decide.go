package eventdb

import (
	"context"
	"encoding/json"
	"errors"

	"portway/internal/eventlog"
	"portway/internal/ident"
	"portway/internal/logistics"
	"portway/internal/problem"
	"portway/internal/store"
)

// decided is a statement with what becomes of it. state is empty for a duplicate, of which nothing is stored.
type decided struct {
	statement *eventlog.Statement
	event     logistics.Event
	orderID   string
	state     string
	outcome   eventlog.Outcome
}

// decide says what becomes of one statement and, if it changes an order, writes the order.
func (a *acceptance) decide(ctx context.Context, st *eventlog.Statement) (*decided, error) {
	d := &decided{statement: st, event: st.Event}
	a.complete(&d.event)
	if st.BusinessKey != "" {
		known, err := a.decideByKey(ctx, d)
		if known || err != nil {
			return d, err
		}
	}
	if st.Parked != "" {
		d.park(st.Parked)
		return d, nil
	}
	var err error
	if st.OrderNumber != "" {
		err = a.applyToOrder(ctx, d)
	}
	var p *problem.Error
	if errors.As(err, &p) && a.in.Park && refusal(p.Code) {
		if p.Code == problem.BusinessConflict {
			d.conflict(original(p))
			return d, nil
		}
		d.park(string(p.Code))
		return d, nil
	}
	if err != nil {
		return nil, err
	}
	d.state = eventAccepted
	d.outcome.Kind, d.outcome.EventID = eventlog.Accepted, d.event.ID
	return d, nil
}

// complete fills what the caller may leave to the log.
func (a *acceptance) complete(e *logistics.Event) {
	if e.ID == "" {
		e.ID = ident.NewID(a.store.clock)
	}
	if e.Recorded.IsZero() {
		e.Recorded = a.store.clock.Now()
	}
	if e.Org == "" {
		e.Org = a.doc.Org
	}
	if e.Environment == "" {
		e.Environment = a.doc.Environment
	}
	if e.Refs == nil {
		e.Refs = []logistics.Ref{}
	}
	if e.Sequence == 0 {
		e.Sequence = 1
	}
}

// refusal reports whether a code says that a statement does not fit the order, so that it can be parked.
func refusal(c problem.Code) bool {
	switch c {
	case problem.OrderUnknown, problem.OrderTooLate, problem.OrderState, problem.OrderVersion, problem.OrderLedger,
		problem.NotOwner, problem.BusinessConflict, problem.SchemaViolation, problem.Conflict:
		return true
	}
	return false
}

func (d *decided) park(reason string) {
	d.state = eventParked
	d.event.Sequence, d.event.Recipient = 0, ""
	d.outcome.Kind, d.outcome.EventID, d.outcome.Reason = eventlog.Parked, d.event.ID, reason
}

func (d *decided) conflict(original string) {
	d.state = eventConflict
	d.event.Sequence, d.event.Recipient = 0, ""
	d.outcome.Kind, d.outcome.EventID, d.outcome.Original = eventlog.Conflict, d.event.ID, original
	d.outcome.Reason = string(problem.BusinessConflict)
}

// decideByKey looks the business key up and reports whether that settles the statement: a duplicate or a conflict.
// Earlier statements of the same document count too.
func (a *acceptance) decideByKey(ctx context.Context, d *decided) (bool, error) {
	key, print := keyText(d.statement.BusinessKey), keyText(d.statement.Fingerprint)
	var found struct {
		Event       string `db:"event_id"`
		Fingerprint string `db:"fingerprint"`
		Correlation string `db:"correlation_id"`
	}
	for _, b := range a.rows {
		if b.state == eventAccepted && b.event.Type == d.event.Type && keyText(b.statement.BusinessKey) == key {
			found.Event, found.Fingerprint, found.Correlation = b.event.ID, keyText(b.statement.Fingerprint), b.orderID
		}
	}
	if found.Event == "" {
		err := a.tx.Get(ctx, &found, `SELECT k.event_id, k.fingerprint, e.correlation_id FROM business_keys k JOIN events e ON e.id = k.event_id
			WHERE k.org_id = ? AND k.environment = ? AND k.type = ? AND k.key = ?`, d.event.Org, d.event.Environment, d.event.Type, key)
		if errors.Is(err, store.ErrNoRow) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	if d.statement.OrderNumber != "" {
		var projection string
		err := a.tx.Get(ctx, &projection, "SELECT projection FROM orders WHERE id = ?", found.Correlation)
		if err == nil {
			d.outcome.Order, err = decodeOrder(projection)
		}
		if err != nil && !errors.Is(err, store.ErrNoRow) {
			return false, err
		}
	}
	if found.Fingerprint == print {
		d.outcome.Kind, d.outcome.Original = eventlog.Duplicate, found.Event
		return true, nil
	}
	if !a.in.Park {
		return true, keyConflict(found.Event)
	}
	d.event.CorrelationID, d.orderID = found.Correlation, found.Correlation
	d.conflict(found.Event)
	return true, nil
}

func keyConflict(original string) *problem.Error {
	p := problem.New(problem.BusinessConflict, "this was stated before with other content; send a correction, or use the key of the new document")
	p.Extra = map[string]any{"original": original}
	return p
}

func original(p *problem.Error) string {
	id, _ := p.Extra["original"].(string)
	return id
}

// applyToOrder opens or changes the order the statement speaks of and fills the event from it.
func (a *acceptance) applyToOrder(ctx context.Context, d *decided) error {
	if logistics.Opens(d.event.Type) {
		return a.openOrder(ctx, d)
	}
	order, err := a.lockOrder(ctx, d)
	if err != nil {
		return err
	}
	if f := d.statement.Fulfiller; f != "" && f != order.Fulfiller {
		return problem.New(problem.OrderState, "an amendment cannot move an order to another fulfiller: cancel it and release a new one")
	}
	d.address(order, order.Sequence+1)
	next, err := order.Apply(&d.event)
	if err != nil {
		return asRefusal(err)
	}
	d.event.Sequence = next.Sequence
	d.outcome.Order = next
	projection, err := json.Marshal(next)
	if err != nil {
		return err
	}
	_, err = a.tx.Exec(ctx, "UPDATE orders SET state = ?, version = ?, projection = ?, updated = ?, rev = rev + 1 WHERE id = ?",
		string(next.State), next.Version, string(projection), next.Updated.UnixMicro(), next.ID)
	return err
}

// asRefusal is err as a problem the sender can act on: data that cannot be read breaks its contract.
func asRefusal(err error) error {
	var p *problem.Error
	if errors.As(err, &p) {
		return p
	}
	return problem.Wrap(problem.SchemaViolation, err, "the statement cannot be applied to an order: a member has another form than its schema says")
}

// address fills what every event of an order has from the order.
func (d *decided) address(o *logistics.Order, sequence int64) {
	d.orderID = o.ID
	d.event.CorrelationID, d.event.PartitionKey, d.event.Sequence = o.ID, o.ID, sequence
	d.event.Recipient = o.Owner
	if byOwner(d.event.Type) {
		d.event.Recipient = o.Fulfiller
	}
}

// byOwner reports whether the order's owner states events of this type; the others are the fulfiller's.
func byOwner(eventType string) bool {
	switch eventType {
	case logistics.OrderReleased, logistics.OrderAmended, logistics.OrderCancelled:
		return true
	}
	return false
}

func (a *acceptance) openOrder(ctx context.Context, d *decided) error {
	var id string
	err := a.tx.Get(ctx, &id, "SELECT id FROM orders WHERE owner_id = ? AND environment = ? AND number = ?",
		d.event.Org, d.event.Environment, d.statement.OrderNumber)
	if err == nil { // released before, under another business key
		return a.releasedBefore(ctx, d.event.Org, id)
	}
	if !errors.Is(err, store.ErrNoRow) {
		return err
	}
	if d.event.CorrelationID == "" {
		d.event.CorrelationID = ident.NewID(a.store.clock)
	}
	order, err := logistics.Open(&d.event, d.statement.Fulfiller)
	if err != nil {
		return asRefusal(err)
	}
	order.Number = d.statement.OrderNumber
	d.address(order, order.Sequence)
	d.outcome.Order = order
	projection, err := json.Marshal(order)
	if err != nil {
		return err
	}
	_, err = a.tx.Exec(ctx, `INSERT INTO orders (id, owner_id, fulfiller_id, environment, number, state, version, projection, updated, rev)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1)`, order.ID, order.Owner, order.Fulfiller, order.Environment, order.Number,
		string(order.State), order.Version, string(projection), order.Updated.UnixMicro())
	return err
}

// releasedBefore is the conflict with the event that opened an order.
func (a *acceptance) releasedBefore(ctx context.Context, org ident.OrgID, orderID string) error {
	for _, b := range a.rows {
		if b.state == eventAccepted && b.orderID == orderID && logistics.Opens(b.event.Type) {
			return keyConflict(b.event.ID)
		}
	}
	var release string
	err := a.tx.Get(ctx, &release, "SELECT id FROM events WHERE org_id = ? AND correlation_id = ? AND sequence = 1 AND state = 'accepted'", org, orderID)
	if err != nil {
		return err
	}
	return keyConflict(release)
}

// lockOrder loads the order for change, if the event's organisation has the part in it that the event type needs.
// An order of others is as unknown as one that does not exist.
func (a *acceptance) lockOrder(ctx context.Context, d *decided) (*logistics.Order, error) {
	query := "SELECT projection FROM orders WHERE fulfiller_id = ? AND environment = ? AND number = ? LIMIT 2"
	if byOwner(d.event.Type) {
		query = "SELECT projection FROM orders WHERE owner_id = ? AND environment = ? AND number = ? LIMIT 2"
	}
	var found []string
	err := a.tx.Select(ctx, &found, query+a.store.db.Dialect().ForUpdate,
		d.event.Org, d.event.Environment, d.statement.OrderNumber)
	if err != nil {
		return nil, err
	}
	return oneOrder(found)
}

// oneOrder decodes the only projection found. Two owners may release the same number to one fulfiller; which one a
// statement means is then not guessed.
func oneOrder(found []string) (*logistics.Order, error) {
	switch len(found) {
	case 0:
		return nil, problem.New(problem.OrderUnknown, "there is no such order; check its number and the organisation it was released to")
	case 1:
		return decodeOrder(found[0])
	}
	return nil, problem.New(problem.Conflict, "two owners released an order with this number to you; ask them for distinct numbers")
}
