// Package quotadb keeps what callers have used of their calendar quotas.
package quotadb

import (
	"cmp"
	"context"
	"slices"

	"portway/internal/cluster"
	"portway/internal/ident"
	"portway/internal/store"
)

// Store implements cluster.QuotaStore on either database.
type Store struct{ db *store.DB }

var _ cluster.QuotaStore = (*Store)(nil)

// New returns the quotas in db.
func New(db *store.DB) *Store { return &Store{db: db} }

// Quotas implements cluster.QuotaStore.
func (s *Store) Quotas(ctx context.Context, after int64) ([]cluster.QuotaUse, error) {
	var rows []struct {
		Org         ident.OrgID       `db:"org_id"`
		Application string            `db:"application_id"`
		Environment ident.Environment `db:"environment"`
		Plan        string            `db:"plan"`
		Quota       string            `db:"quota"`
		Starts      int64             `db:"starts"`
		Ends        int64             `db:"ends"`
		Used        int64             `db:"used"`
	}
	if err := s.db.Read().Select(ctx, &rows, `SELECT org_id, application_id, environment, plan, quota, starts, ends, used
		FROM quota_uses WHERE ends > ?`, after); err != nil {
		return nil, err
	}
	out := make([]cluster.QuotaUse, 0, len(rows))
	for _, r := range rows {
		out = append(out, cluster.QuotaUse{Used: r.Used, Quota: cluster.Quota{Org: r.Org, Application: r.Application,
			Environment: r.Environment, Plan: r.Plan, Name: r.Quota, Start: r.Starts, End: r.Ends}})
	}
	return out, nil
}

// AddQuotas implements cluster.QuotaStore. Rows are touched in one order, so that two nodes never wait for each other
// in a circle.
func (s *Store) AddQuotas(ctx context.Context, uses []cluster.QuotaUse) ([]cluster.QuotaUse, error) {
	order := make([]int, len(uses))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return compare(&uses[a].Quota, &uses[b].Quota) })
	totals := slices.Clone(uses)
	err := s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		for _, i := range order {
			u := &uses[i]
			if err := tx.Get(ctx, &totals[i].Used, `INSERT INTO quota_uses (org_id, application_id, environment, plan, quota, starts, ends, used)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (org_id, application_id, environment, plan, quota, starts)
				DO UPDATE SET used = quota_uses.used + excluded.used RETURNING used`,
				u.Org, u.Application, u.Environment, u.Plan, u.Name, u.Start, u.End, u.Used); err != nil {
				return err
			}
		}
		return nil
	})
	return totals, err
}

func compare(a, b *cluster.Quota) int {
	return cmp.Or(cmp.Compare(a.Org, b.Org), cmp.Compare(a.Application, b.Application), cmp.Compare(a.Environment, b.Environment),
		cmp.Compare(a.Plan, b.Plan), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Start, b.Start))
}

// EndQuotas implements cluster.QuotaStore.
func (s *Store) EndQuotas(ctx context.Context, before int64) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM quota_uses WHERE ends < ?", before)
		return err
	})
}
