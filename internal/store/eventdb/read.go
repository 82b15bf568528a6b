package eventdb

import (
	"context"
	"errors"

	"portway/internal/eventlog"
	"portway/internal/ident"
	"portway/internal/logistics"
	"portway/internal/problem"
	"portway/internal/store"
)

// feedLimit caps one page of a feed.
const feedLimit = 1000

// Event implements eventlog.Store. The organisation an event is addressed to learns of its document only that it
// exists; what was sent, by what and how it was answered stays with the sender.
func (s *Store) Event(ctx context.Context, org ident.OrgID, id string) (*logistics.Event, *eventlog.Document, error) {
	if org == "" {
		return nil, nil, noEvent()
	}
	r := s.db.Read()
	var row eventRow
	err := r.Get(ctx, &row, "SELECT "+eventColumns+" FROM events e WHERE e.id = ? AND (e.org_id = ? OR e.recipient_id = ?)", id, org, org)
	if errors.Is(err, store.ErrNoRow) {
		return nil, nil, noEvent()
	}
	if err != nil {
		return nil, nil, err
	}
	e, err := row.event()
	if err != nil {
		return nil, nil, err
	}
	var doc documentRow
	if err := r.Get(ctx, &doc, "SELECT "+documentColumns+" FROM documents WHERE id = ?", row.Document); err != nil {
		return nil, nil, err
	}
	d := doc.document()
	if d.Org != org {
		d = &eventlog.Document{ID: d.ID, Org: d.Org, Environment: d.Environment, Format: d.Format, Kind: d.Kind, Received: d.Received, State: d.State}
	}
	return &e, d, nil
}

func noEvent() error { return problem.New(problem.NotFound, "there is no such event; check its id") }

// Document implements eventlog.Store.
func (s *Store) Document(ctx context.Context, org ident.OrgID, id string) (*eventlog.Document, []string, error) {
	absent := problem.New(problem.NotFound, "there is no such document; check its id")
	if org == "" {
		return nil, nil, absent
	}
	var row documentRow
	err := s.db.Read().Get(ctx, &row, "SELECT "+documentColumns+" FROM documents WHERE id = ? AND org_id = ?", id, org)
	if errors.Is(err, store.ErrNoRow) {
		return nil, nil, absent
	}
	if err != nil {
		return nil, nil, err
	}
	events := []string{}
	err = s.db.Read().Select(ctx, &events, "SELECT id FROM events WHERE document_id = ? AND org_id = ? ORDER BY position", id, org)
	return row.document(), events, err
}

// Order implements eventlog.Store. An order that org owns comes before one it fulfils.
func (s *Store) Order(ctx context.Context, org ident.OrgID, env ident.Environment, number string) (*logistics.Order, error) {
	if org == "" {
		return oneOrder(nil)
	}
	var found []string
	for _, query := range []string{
		"SELECT projection FROM orders WHERE owner_id = ? AND environment = ? AND number = ? LIMIT 2",
		"SELECT projection FROM orders WHERE fulfiller_id = ? AND environment = ? AND number = ? LIMIT 2",
	} {
		if err := s.db.Read().Select(ctx, &found, query, org, env, number); err != nil {
			return nil, err
		}
		if len(found) > 0 {
			break
		}
	}
	return oneOrder(found)
}

// Feed implements eventlog.Store. limit is 1,000 at most.
func (s *Store) Feed(ctx context.Context, org ident.OrgID, env ident.Environment, after int64, limit int) ([]eventlog.FeedItem, bool, error) {
	limit = max(1, min(limit, feedLimit))
	var rows []struct {
		eventRow
		Projection string `db:"projection"`
	}
	err := s.db.Read().Select(ctx, &rows, `SELECT `+eventColumns+`, o.projection FROM events e JOIN orders o ON o.id = e.correlation_id
		WHERE e.recipient_id = ? AND e.environment = ? AND e.position > ? AND e.state = 'accepted' AND e.recipient_id <> ''`+
		s.db.Dialect().Horizon+` ORDER BY e.position LIMIT ?`, org, env, after, limit+1)
	if err != nil {
		return nil, false, err
	}
	more := len(rows) > limit
	if more {
		rows = rows[:limit]
	}
	items := make([]eventlog.FeedItem, 0, len(rows))
	for i := range rows {
		e, err := rows[i].event()
		if err != nil {
			return nil, false, err
		}
		o, err := decodeOrder(rows[i].Projection)
		if err != nil {
			return nil, false, err
		}
		items = append(items, eventlog.FeedItem{Position: rows[i].Position, Event: e, Order: *o})
	}
	return items, more, nil
}
