package eventdb

import (
	"context"
	"errors"
	"time"

	"portway/internal/delivery"
	"portway/internal/ident"
	"portway/internal/store"
)

// unblocked keeps what may start now (its parameter): a delivery waits while an earlier one of its route and key has not
// been tried yet, is leased, or is due for another try. A head that waits for its next attempt lets successors pass.
const unblocked = ` AND NOT EXISTS (SELECT 1 FROM deliveries b WHERE b.route = d.route AND b.partition_key = d.partition_key
	AND b.ended = 0 AND (b.sequence, b.position) < (d.sequence, d.position) AND (b.attempts = 0 OR b.state = 'leased' OR b.due_at <= ?))`

type deliveryRow struct {
	eventRow
	DeliveryID string `db:"delivery_id"`
	Route      string `db:"route"`
	Lane       string `db:"lane"`
	State      string `db:"delivery_state"`
	Attempts   int    `db:"attempts"`
	DueAt      int64  `db:"due_at"`
	LeaseID    string `db:"lease_id"`
	LastStatus int    `db:"last_status"`
	LastReason string `db:"last_reason"`
	Created    int64  `db:"created"`
	Ended      int64  `db:"ended"`
}

const deliverySelect = `SELECT ` + eventColumns + `, d.id AS delivery_id, d.route, d.lane, d.state AS delivery_state, d.attempts, d.due_at,
	d.lease_id, d.last_status, d.last_reason, d.created, d.ended FROM deliveries d JOIN events e ON e.id = d.event_id `

func (r *deliveryRow) delivery() (delivery.Delivery, error) {
	e, err := r.event()
	d := delivery.Delivery{ID: r.DeliveryID, Event: e, Route: r.Route, Lane: r.Lane, State: delivery.State(r.State), Attempts: r.Attempts,
		NextAttempt: time.UnixMicro(r.DueAt).UTC(), LeaseID: r.LeaseID, LastStatus: r.LastStatus, LastReason: r.LastReason,
		Created: time.UnixMicro(r.Created).UTC()}
	if r.Ended != 0 {
		d.Ended = time.UnixMicro(r.Ended).UTC()
	}
	return d, err
}

func deliveries(rows []deliveryRow) ([]delivery.Delivery, error) {
	out := make([]delivery.Delivery, 0, len(rows))
	for i := range rows {
		d, err := rows[i].delivery()
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// Lease implements delivery.Store.
func (s *Store) Lease(ctx context.Context, lane string, n int, now, until time.Time) ([]delivery.Delivery, error) {
	var rows []deliveryRow
	err := s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		rows = nil
		lease := ident.NewID(s.clock)
		at := now.UnixMicro()
		// Materialized, because PostgreSQL may otherwise take more rows than the limit.
		taken, err := tx.Exec(ctx, `WITH due AS MATERIALIZED (SELECT d.id FROM deliveries d WHERE d.ended = 0 AND d.lane = ? AND d.due_at <= ?`+
			unblocked+` ORDER BY d.due_at, d.sequence, d.position LIMIT ?`+s.db.Dialect().SkipLocked+`)
			UPDATE deliveries SET state = 'leased', lease_id = ?, due_at = ?, rev = rev + 1 WHERE id IN (SELECT id FROM due)`,
			lane, at, at, n, lease, until.UnixMicro())
		if err != nil || taken == 0 {
			return err
		}
		return tx.Select(ctx, &rows, deliverySelect+"WHERE d.ended = 0 AND d.lease_id = ? ORDER BY d.due_at, d.sequence, d.position, d.id", lease)
	})
	if err != nil {
		return nil, err
	}
	return deliveries(rows)
}

// Finish implements delivery.Store.
func (s *Store) Finish(ctx context.Context, d *delivery.Delivery, a delivery.Attempt, state delivery.State, next time.Time) (bool, error) {
	var kept bool
	err := s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		kept = false
		due, ended := next.UnixMicro(), int64(0)
		if state != delivery.Pending {
			due, ended = a.At.UnixMicro(), a.At.Add(a.Took).UnixMicro()
		}
		n, err := tx.Exec(ctx, `UPDATE deliveries SET state = ?, attempts = attempts + 1, due_at = ?, lease_id = '', last_status = ?, last_reason = ?,
			ended = ?, rev = rev + 1 WHERE id = ? AND lease_id = ? AND state = 'leased'`,
			string(state), due, a.Status, a.Reason, ended, d.ID, d.LeaseID)
		if err != nil || n == 0 {
			return err
		}
		kept = true
		_, err = tx.Exec(ctx, `INSERT INTO delivery_attempts (delivery_id, number, org_id, at, took, status, reason)
			SELECT id, attempts, org_id, ?, ?, ?, ? FROM deliveries WHERE id = ?`,
			a.At.UnixMicro(), a.Took.Microseconds(), a.Status, a.Reason, d.ID)
		return err
	})
	return kept, err
}

// ByEvent implements delivery.Store.
func (s *Store) ByEvent(ctx context.Context, org ident.OrgID, eventID string) ([]delivery.Delivery, error) {
	if org == "" {
		return nil, nil
	}
	var rows []deliveryRow
	err := s.db.Read().Select(ctx, &rows, deliverySelect+"WHERE d.event_id = ? AND (e.org_id = ? OR e.recipient_id = ?) ORDER BY d.created, d.id",
		eventID, org, org)
	if err != nil {
		return nil, err
	}
	return deliveries(rows)
}

// Next implements delivery.Store. A lease counts as due when it expires; what waits for an earlier delivery of its key
// does not count, so that a worker that sleeps until Next finds something to do.
func (s *Store) Next(ctx context.Context) (time.Time, error) {
	var due int64
	err := s.db.Read().Get(ctx, &due, "SELECT d.due_at FROM deliveries d WHERE d.ended = 0"+unblocked+" ORDER BY d.due_at LIMIT 1",
		s.clock.Now().UnixMicro())
	if errors.Is(err, store.ErrNoRow) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	return time.UnixMicro(due).UTC(), nil
}
