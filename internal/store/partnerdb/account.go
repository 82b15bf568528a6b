package partnerdb

import (
	"context"
	"errors"

	"portway/internal/partner"
	"portway/internal/problem"
	"portway/internal/store"
)

const sessionColumns = "id, account_id, org_id, csrf, created_at, expires_at, seen_at"

// AccountByEmail implements partner.AccountStore.
func (s *Store) AccountByEmail(ctx context.Context, email string) (*partner.Account, error) {
	return s.account(ctx, "email = ?", email)
}

// Account implements partner.AccountStore.
func (s *Store) Account(ctx context.Context, id string) (*partner.Account, error) {
	return s.account(ctx, "id = ?", id)
}

func (s *Store) account(ctx context.Context, where, arg string) (*partner.Account, error) {
	var a partner.Account
	err := s.db.Read().Get(ctx, &a, accounts.selectFrom()+" WHERE "+where, arg)
	if errors.Is(err, store.ErrNoRow) {
		return nil, problem.New(problem.NotFound, "there is no such account")
	}
	if err != nil {
		return nil, err
	}
	return &a, nil
}

// StartSession implements partner.AccountStore.
func (s *Store) StartSession(ctx context.Context, session partner.Session) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO sessions ("+sessionColumns+") VALUES (?, ?, ?, ?, ?, ?, ?)",
			session.ID, session.Account, session.Org, session.CSRF, session.CreatedAt, session.ExpiresAt, session.SeenAt)
		return err
	})
}

// Session implements partner.AccountStore.
func (s *Store) Session(ctx context.Context, id string) (*partner.Session, error) {
	var session partner.Session
	err := s.db.Read().Get(ctx, &session, "SELECT "+sessionColumns+" FROM sessions WHERE id = ?", id)
	if errors.Is(err, store.ErrNoRow) {
		return nil, problem.New(problem.NotFound, "there is no such session; sign in again")
	}
	if err != nil {
		return nil, err
	}
	return &session, nil
}

// TouchSession implements partner.AccountStore; an absent session is no error.
func (s *Store) TouchSession(ctx context.Context, id string, at int64) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE sessions SET seen_at = ? WHERE id = ? AND seen_at < ?", at, id, at)
		return err
	})
}

// EndSession implements partner.AccountStore.
func (s *Store) EndSession(ctx context.Context, id string) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM sessions WHERE id = ?", id)
		return err
	})
}

// EndExpiredSessions implements partner.AccountStore.
func (s *Store) EndExpiredSessions(ctx context.Context, now, idleBefore int64) (int64, error) {
	var ended int64
	err := s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		ended, err = tx.Exec(ctx, "DELETE FROM sessions WHERE expires_at <= ? OR seen_at <= ?", now, idleBefore)
		return err
	})
	return ended, err
}
