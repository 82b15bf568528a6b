// Package idempotentdb keeps the register of Idempotency-Keys in SQL. The event log writes to the same table inside its
// own transactions, through Lookup and Insert.
package idempotentdb

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"portway/internal/idempotent"
	"portway/internal/store"
)

// Store implements idempotent.Store on either database.
type Store struct {
	db *store.DB
}

var _ idempotent.Store = (*Store)(nil)

// New returns the register in db.
func New(db *store.DB) *Store { return &Store{db: db} }

const (
	columns = `org_id, application_id, environment, operation, key, fingerprint, state, status, header, body, lease_id, lease_until, created_at`
	where   = ` WHERE org_id = ? AND application_id = ? AND environment = ? AND operation = ? AND key = ?`
	// races bounds how often a reservation starts anew because the record it met was removed meanwhile.
	races = 4
	// batch is how many records one transaction removes: a long one would hold up acceptances.
	batch = 500
)

// Find implements idempotent.Store with one read of the primary key.
func (s *Store) Find(ctx context.Context, k idempotent.Key) (*idempotent.Record, error) {
	return Lookup(ctx, s.db.Read(), k, "")
}

var errGone = errors.New("the record was removed meanwhile")

// Reserve implements idempotent.Store. The insertion decides a race; on PostgreSQL the loser waits for the winner's
// commit.
func (s *Store) Reserve(ctx context.Context, k idempotent.Key, l idempotent.Lease, resume bool) (*idempotent.Record, error) {
	fresh := idempotent.Record{Key: k, State: idempotent.InProgress, Lease: l.ID, LeaseUntil: l.Until.UnixMicro(), CreatedAt: l.From.UnixMicro()}
	for try := 0; ; try++ {
		var taken *idempotent.Record
		err := s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
			taken = nil
			n, err := insert(ctx, tx, &fresh, " ON CONFLICT DO NOTHING")
			if err != nil || n == 1 {
				return err
			}
			if taken, err = Lookup(ctx, &tx.Reader, k, s.db.Dialect().ForUpdate); err != nil {
				return err
			}
			if taken == nil {
				return errGone
			}
			if !resume || taken.Key.Fingerprint != k.Fingerprint || taken.StateAt(l.From) != idempotent.InDoubt {
				return nil
			}
			taken = nil
			_, err = tx.Exec(ctx, "UPDATE idempotency_keys SET state = 'in_progress', lease_id = ?, lease_until = ?"+where,
				append([]any{l.ID, l.Until.UnixMicro()}, scope(k)...)...)
			return err
		})
		if errors.Is(err, errGone) && try < races {
			continue
		}
		return taken, err
	}
}

// Settle implements idempotent.Store.
func (s *Store) Settle(ctx context.Context, r idempotent.Record) error {
	header, err := encode(r.Header)
	if err != nil {
		return err
	}
	return s.held(ctx, "UPDATE idempotency_keys SET state = ?, status = ?, header = ?, body = ?, lease_until = 0"+where+" AND lease_id = ? AND state <> 'done'",
		append(append([]any{string(r.State), r.Status, header, store.Bytes(r.Body)}, scope(r.Key)...), r.Lease)...)
}

// Release implements idempotent.Store.
func (s *Store) Release(ctx context.Context, k idempotent.Key, lease string) error {
	return s.held(ctx, "DELETE FROM idempotency_keys"+where+" AND lease_id = ? AND state <> 'done'", append(scope(k), lease)...)
}

// held runs a statement that touches the row a lease holds.
func (s *Store) held(ctx context.Context, statement string, args ...any) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.Exec(ctx, statement, args...)
		if err == nil && n == 0 {
			return idempotent.ErrLost
		}
		return err
	})
}

// Remove implements idempotent.Store, some records a transaction.
func (s *Store) Remove(ctx context.Context, before time.Time) (int64, error) {
	total := int64(0)
	for {
		var n int64
		err := s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
			n, err = tx.Exec(ctx, `DELETE FROM idempotency_keys WHERE (org_id, application_id, environment, operation, key) IN (
				SELECT org_id, application_id, environment, operation, key FROM idempotency_keys WHERE created_at < ? ORDER BY created_at LIMIT ?)`,
				before.UnixMicro(), batch)
			return err
		})
		if err != nil {
			return total, err
		}
		if total += n; n < batch {
			return total, nil
		}
	}
}

// Recover puts reservations in doubt that no process can hold any more: on SQLite, whose folder one process owns, all
// that are there when it starts. On PostgreSQL other nodes hold some, and expiry tells. It returns how many there were.
func (s *Store) Recover(ctx context.Context) (n int64, err error) {
	if s.db.Dialect().Name != "sqlite" {
		return 0, nil
	}
	err = s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		n, err = tx.Exec(ctx, "UPDATE idempotency_keys SET state = 'in_doubt', lease_until = 0 WHERE state = 'in_progress'")
		return err
	})
	return n, err
}

// Lookup returns the record of a key, or nil, by the reader of a transaction or of the database. lock ends the query:
// the dialect's ForUpdate, or "".
func Lookup(ctx context.Context, r *store.Reader, k idempotent.Key, lock string) (*idempotent.Record, error) {
	var row struct {
		Fingerprint string `db:"fingerprint"`
		State       string `db:"state"`
		Status      int    `db:"status"`
		Header      string `db:"header"`
		Body        []byte `db:"body"`
		Lease       string `db:"lease_id"`
		LeaseUntil  int64  `db:"lease_until"`
		CreatedAt   int64  `db:"created_at"`
	}
	err := r.Get(ctx, &row, "SELECT fingerprint, state, status, header, body, lease_id, lease_until, created_at FROM idempotency_keys"+where+lock, scope(k)...)
	if errors.Is(err, store.ErrNoRow) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	k.Fingerprint = row.Fingerprint
	rec := &idempotent.Record{Key: k, State: idempotent.State(row.State), Status: row.Status, Body: row.Body, Lease: row.Lease,
		LeaseUntil: row.LeaseUntil, CreatedAt: row.CreatedAt}
	return rec, json.Unmarshal([]byte(row.Header), &rec.Header)
}

// Insert adds a record; the error is one of store.IsUnique when the key is taken.
func Insert(ctx context.Context, tx *store.Tx, r *idempotent.Record) error {
	_, err := insert(ctx, tx, r, "")
	return err
}

func insert(ctx context.Context, tx *store.Tx, r *idempotent.Record, conflict string) (int64, error) {
	header, err := encode(r.Header)
	if err != nil {
		return 0, err
	}
	return tx.Exec(ctx, "INSERT INTO idempotency_keys ("+columns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"+conflict,
		append(scope(r.Key), r.Key.Fingerprint, string(r.State), r.Status, header, store.Bytes(r.Body), r.Lease, r.LeaseUntil, r.CreatedAt)...)
}

// scope lists the values of the primary key, in the order of where and columns.
func scope(k idempotent.Key) []any {
	return []any{k.Org, k.Application, k.Environment, k.Operation, k.Value}
}

func encode(header [][2]string) (string, error) {
	if header == nil {
		header = [][2]string{}
	}
	b, err := json.Marshal(header)
	return string(b), err
}
