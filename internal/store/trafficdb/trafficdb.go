// Package trafficdb keeps call records, hourly usage and contract violations: on SQLite those of sandbox calls beside
// the truth, with fsync, because they are evidence in certification, and live ones in a file of their own; on
// PostgreSQL all in one place.
package trafficdb

import (
	"context"
	"encoding/json"
	"errors"
	"sort"
	"time"

	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/problem"
	"portway/internal/store"
	"portway/internal/traffic"
)

const (
	defaultLimit = 100
	maxLimit     = 200
)

// Store implements traffic.Store on either database.
type Store struct{ db *store.DB }

var _ traffic.Store = (*Store)(nil)

// New returns the call records in db.
func New(db *store.DB) *Store { return &Store{db: db} }

// Append implements traffic.Store. A record that is there already is left alone and not counted again, so an append that
// failed may be repeated.
func (s *Store) Append(ctx context.Context, calls []traffic.Call) error {
	if !s.db.Split() {
		return s.append(ctx, calls, s.db.Write)
	}
	var sandbox, live []traffic.Call
	for _, c := range calls {
		if c.Environment == ident.Sandbox {
			sandbox = append(sandbox, c)
		} else {
			live = append(live, c)
		}
	}
	if err := s.append(ctx, sandbox, s.db.Write); err != nil {
		return err
	}
	return s.append(ctx, live, s.db.WriteTraffic)
}

type writeFunc func(context.Context, func(context.Context, *store.Tx) error) error

func (s *Store) append(ctx context.Context, calls []traffic.Call, write writeFunc) error {
	if len(calls) == 0 {
		return nil
	}
	return write(ctx, func(ctx context.Context, tx *store.Tx) error {
		usage, broken := map[traffic.Usage]*count{}, tallies{}
		for i := range calls {
			added, err := insert(ctx, tx, &calls[i])
			if err != nil {
				return err
			}
			if !added {
				continue
			}
			add(usage, &calls[i])
			broken.addBreaches(&calls[i])
			if err := addRefs(ctx, tx, &calls[i]); err != nil {
				return err
			}
		}
		if err := addUsage(ctx, tx, usage); err != nil {
			return err
		}
		return broken.write(ctx, tx)
	})
}

// insert writes one record and reports whether it is new.
func insert(ctx context.Context, tx *store.Tx, c *traffic.Call) (bool, error) {
	trail, err := list(c.Trail)
	if err != nil {
		return false, err
	}
	violations, err := list(c.Violations)
	if err != nil {
		return false, err
	}
	n, err := tx.Exec(ctx, `INSERT INTO calls (`+columns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO NOTHING`,
		c.ID, c.ClientRequestID, c.Received.UnixMicro(), c.Org, c.Application, c.Credential, c.Environment, c.API, c.Version,
		c.Operation, c.Method, c.Path, c.Status, c.Code, c.Duration.Microseconds(), c.Upstream.Microseconds(),
		c.BytesIn, c.BytesOut, c.EventID, trail, violations)
	return n > 0, err
}

// list renders a slice as a JSON array, never null.
func list[T any](items []T) (string, error) {
	if len(items) == 0 {
		return "[]", nil
	}
	out, err := json.Marshal(items)
	return string(out), err
}

// Calls implements traffic.Store. Before names a call of org; an unknown one is problem.NotFound.
func (s *Store) Calls(ctx context.Context, org partner.OrgID, f traffic.Filter) ([]traffic.Call, error) {
	if org == "" {
		return nil, nil
	}
	limit := f.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	limit = min(limit, maxLimit)
	query, args := "SELECT "+columns+" FROM calls WHERE org_id = ?", []any{org}
	if f.Application != "" {
		query, args = query+" AND application_id = ?", append(args, f.Application)
	}
	if f.Environment != "" {
		query, args = query+" AND environment = ?", append(args, f.Environment)
	}
	if f.Ref.Value != "" {
		query += " AND id IN (SELECT call_id FROM call_refs WHERE org_id = ? AND scheme = ? AND value = ?)"
		args = append(args, org, f.Ref.Scheme, f.Ref.Value)
	}
	if f.MinStatus > 0 {
		query, args = query+" AND status >= ?", append(args, f.MinStatus)
	}
	if f.MaxStatus > 0 {
		query, args = query+" AND status <= ?", append(args, f.MaxStatus)
	}
	if f.Before != "" {
		last, err := s.Call(ctx, org, f.Before)
		if err != nil {
			return nil, err
		}
		query, args = query+" AND (received, id) < (?, ?)", append(args, last.Received.UnixMicro(), last.ID)
	}
	query, args = query+" ORDER BY received DESC, id DESC LIMIT ?", append(args, limit)
	var rows []row
	for _, r := range s.readers(f.Environment) {
		var part []row
		if err := r.Select(ctx, &part, query, args...); err != nil {
			return nil, err
		}
		rows = append(rows, part...)
	}
	sort.Slice(rows, func(i, j int) bool {
		if rows[i].Received != rows[j].Received {
			return rows[i].Received > rows[j].Received
		}
		return rows[i].ID > rows[j].ID
	})
	out := make([]traffic.Call, 0, min(limit, len(rows)))
	for i := range rows[:min(limit, len(rows))] {
		c, err := rows[i].call()
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// readers are the places that may hold calls of an environment, all when it is "".
func (s *Store) readers(env partner.Environment) []*store.Reader {
	switch {
	case !s.db.Split() || env == ident.Sandbox:
		return []*store.Reader{s.db.Read()}
	case env == ident.Live:
		return []*store.Reader{s.db.ReadTraffic()}
	}
	return []*store.Reader{s.db.Read(), s.db.ReadTraffic()}
}

// Call implements traffic.Store.
func (s *Store) Call(ctx context.Context, org partner.OrgID, id string) (*traffic.Call, error) {
	if org != "" {
		for _, r := range s.readers("") {
			var found row
			err := r.Get(ctx, &found, "SELECT "+columns+" FROM calls WHERE id = ? AND org_id = ?", id, org)
			if errors.Is(err, store.ErrNoRow) {
				continue
			}
			if err != nil {
				return nil, err
			}
			c, err := found.call()
			if err == nil {
				c.Refs, err = refsOf(ctx, r, id)
			}
			return &c, err
		}
	}
	return nil, problem.New(problem.NotFound, "there is no such call; check its request id")
}

const columns = `id, client_request_id, received, org_id, application_id, credential_id, environment, api, version, operation, method, path,
	status, code, duration, upstream, bytes_in, bytes_out, event_id, trail, violations`

type row struct {
	ID              string            `db:"id"`
	ClientRequestID string            `db:"client_request_id"`
	Received        int64             `db:"received"`
	Org             ident.OrgID       `db:"org_id"`
	Application     string            `db:"application_id"`
	Credential      string            `db:"credential_id"`
	Environment     ident.Environment `db:"environment"`
	API             string            `db:"api"`
	Version         string            `db:"version"`
	Operation       string            `db:"operation"`
	Method          string            `db:"method"`
	Path            string            `db:"path"`
	Status          int               `db:"status"`
	Code            string            `db:"code"`
	Duration        int64             `db:"duration"`
	Upstream        int64             `db:"upstream"`
	BytesIn         int64             `db:"bytes_in"`
	BytesOut        int64             `db:"bytes_out"`
	EventID         string            `db:"event_id"`
	Trail           string            `db:"trail"`
	Violations      string            `db:"violations"`
}

func (r *row) call() (traffic.Call, error) {
	c := traffic.Call{ID: r.ID, ClientRequestID: r.ClientRequestID, Received: time.UnixMicro(r.Received).UTC(), Org: r.Org,
		Application: r.Application, Credential: r.Credential, Environment: r.Environment, API: r.API, Version: r.Version,
		Operation: r.Operation, Method: r.Method, Path: r.Path, Status: r.Status, Code: problem.Code(r.Code),
		Duration: time.Duration(r.Duration) * time.Microsecond, Upstream: time.Duration(r.Upstream) * time.Microsecond,
		BytesIn: r.BytesIn, BytesOut: r.BytesOut, EventID: r.EventID}
	if err := json.Unmarshal([]byte(r.Trail), &c.Trail); err != nil {
		return c, err
	}
	return c, json.Unmarshal([]byte(r.Violations), &c.Violations)
}
