package store

import (
	"context"
	"errors"

	"portway/internal/problem"
)

// Settings keeps what an installation makes once and then lives with, such as the key that signs cursors.
type Settings struct{ db *DB }

// NewSettings returns the settings of db.
func NewSettings(db *DB) *Settings { return &Settings{db: db} }

// Get returns a value, or problem.NotFound.
func (s *Settings) Get(ctx context.Context, key string) ([]byte, error) {
	var value []byte
	err := s.db.Read().Get(ctx, &value, "SELECT value FROM settings WHERE key = ?", key)
	if errors.Is(err, ErrNoRow) {
		return nil, problem.New(problem.NotFound, "there is no setting %q", key)
	}
	return value, err
}

// PutOnce stores a value unless there is one, and returns the one that is kept: nodes that start at the same time
// agree on it.
func (s *Settings) PutOnce(ctx context.Context, key string, value []byte) ([]byte, error) {
	var kept []byte
	err := s.db.Write(ctx, func(ctx context.Context, tx *Tx) error {
		if _, err := tx.Exec(ctx, "INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO NOTHING", key, Bytes(value)); err != nil {
			return err
		}
		return tx.Get(ctx, &kept, "SELECT value FROM settings WHERE key = ?", key)
	})
	return kept, err
}

// Swap replaces the value old by value, and reports false when old is not what is kept: of two nodes that change a
// setting at the same time, one wins and the other sees it.
func (s *Settings) Swap(ctx context.Context, key string, old, value []byte) (bool, error) {
	var n int64
	err := s.db.Write(ctx, func(ctx context.Context, tx *Tx) error {
		var err error
		n, err = tx.Exec(ctx, "UPDATE settings SET value = ? WHERE key = ? AND value = ?", Bytes(value), key, Bytes(old))
		return err
	})
	return n == 1, err
}
