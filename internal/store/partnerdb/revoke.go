package partnerdb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"portway/internal/partner"
	"portway/internal/problem"
	"portway/internal/store"
)

const revokedColumns = "id, org_id, client_id, revoked_at, expires_at"

// RevokeToken implements partner.Store.
func (s *Store) RevokeToken(ctx context.Context, t partner.RevokedToken) error {
	return s.revoke(ctx, func(ctx context.Context, tx *store.Tx) (bool, error) {
		n, err := tx.Exec(ctx, "INSERT INTO revoked_tokens ("+revokedColumns+") VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
			t.ID, t.Org, t.ClientID, t.RevokedAt, t.ExpiresAt)
		if err != nil || n == 0 {
			return false, err
		}
		return true, s.change(ctx, tx, t.ID, "token")
	})
}

// RevokeTokens implements partner.Store.
func (s *Store) RevokeTokens(ctx context.Context, org partner.OrgID, credential string, at int64) error {
	return s.revoke(ctx, func(ctx context.Context, tx *store.Tx) (bool, error) {
		n, err := tx.Exec(ctx, "UPDATE credentials SET revoked_before = ?, rev = rev + 1 WHERE id = ? AND org_id = ? AND revoked_before < ?",
			at, credential, org, at)
		if err != nil {
			return false, err
		}
		if n > 0 {
			return true, s.changed(ctx, tx, org, "credential")
		}
		var there int
		if err := tx.Get(ctx, &there, "SELECT count(*) FROM credentials WHERE id = ? AND org_id = ?", credential, org); err != nil {
			return false, err
		}
		if there == 0 {
			return false, problem.New(problem.NotFound, "there is no such credential; check its id")
		}
		return false, nil
	})
}

// revoke runs a write that reports whether it changed anything, and hints if it did.
func (s *Store) revoke(ctx context.Context, write func(context.Context, *store.Tx) (bool, error)) error {
	var wrote bool
	err := s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		wrote, err = write(ctx, tx)
		return err
	})
	if err == nil && wrote {
		s.hintAll()
	}
	return err
}

// RevokedToken implements partner.Store.
func (s *Store) RevokedToken(ctx context.Context, id string) (*partner.RevokedToken, error) {
	var t partner.RevokedToken
	err := s.db.Read().Get(ctx, &t, "SELECT "+revokedColumns+" FROM revoked_tokens WHERE id = ?", id)
	if errors.Is(err, store.ErrNoRow) {
		return nil, problem.New(problem.NotFound, "that token was not revoked")
	}
	if err != nil {
		return nil, err
	}
	return &t, nil
}

// RevokedTokens implements partner.Store.
func (s *Store) RevokedTokens(ctx context.Context, after int64) ([]partner.RevokedToken, error) {
	out := []partner.RevokedToken{}
	err := s.db.Read().Select(ctx, &out, "SELECT "+revokedColumns+" FROM revoked_tokens WHERE expires_at > ?", after)
	return out, err
}

// First implements token.Once for all nodes; only a digest of the key is stored.
func (s *Store) First(ctx context.Context, key string, until time.Time) (bool, error) {
	sum := sha256.Sum256([]byte(key))
	var first bool
	err := s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.Exec(ctx, "INSERT INTO presented_once (key, expires_at) VALUES (?, ?) ON CONFLICT DO NOTHING",
			hex.EncodeToString(sum[:]), until.UnixMicro())
		first = n == 1
		return err
	})
	return first && err == nil, err
}

// Forget removes revocations of tokens, and records of First, that expired before (Unix microseconds), and returns how
// many.
func (s *Store) Forget(ctx context.Context, before int64) (int64, error) {
	var gone int64
	err := s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		gone = 0
		for _, table := range []string{"revoked_tokens", "presented_once"} {
			n, err := tx.Exec(ctx, "DELETE FROM "+table+" WHERE expires_at < ?", before)
			if err != nil {
				return err
			}
			gone += n
		}
		return nil
	})
	return gone, err
}
