package storetest

import (
	"context"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portway/internal/cluster"
	"portway/internal/ident"
	"portway/internal/store"
	"portway/internal/store/quotadb"
)

var quotaCases = map[string]func(*testing.T, *store.DB){
	"counts add up, by every part of their name": quotaCounts,
	"two nodes add in any order":                 quotaNodes,
}

func quotaUse(app, name string, day, used int64) cluster.QuotaUse {
	return cluster.QuotaUse{Used: used, Quota: cluster.Quota{Org: three, Application: app, Environment: ident.Live, Plan: "standard", Name: name,
		Start: day * 86400, End: (day + 1) * 86400}}
}

func quotaCounts(t *testing.T, db *store.DB) {
	s, ctx := quotadb.New(db), context.Background()
	totals, err := s.AddQuotas(ctx, []cluster.QuotaUse{quotaUse("b", "daily", 2, 5), quotaUse("a", "daily", 2, 7), quotaUse("a", "daily", 1, 9)})
	check(t, err)
	if d := cmp.Diff([]cluster.QuotaUse{quotaUse("b", "daily", 2, 5), quotaUse("a", "daily", 2, 7), quotaUse("a", "daily", 1, 9)}, totals); d != "" {
		t.Errorf("first totals (-want +got):\n%s", d)
	}
	sandbox := quotaUse("a", "daily", 2, 1)
	sandbox.Environment = ident.Sandbox
	totals, err = s.AddQuotas(ctx, []cluster.QuotaUse{quotaUse("b", "daily", 2, 1), sandbox, quotaUse("b", "other", 2, 1), quotaUse("a", "daily", 2, -2)})
	check(t, err)
	if d := cmp.Diff([]cluster.QuotaUse{quotaUse("b", "daily", 2, 6), sandbox, quotaUse("b", "other", 2, 1), quotaUse("a", "daily", 2, 5)}, totals); d != "" {
		t.Errorf("totals (-want +got):\n%s", d)
	}
	open, err := s.Quotas(ctx, 2*86400)
	check(t, err)
	equal(t, "windows that have not ended", len(open), 4)
	check(t, s.EndQuotas(ctx, 3*86400))
	equal(t, "rows that ended before the third day", rows(t, db, "quota_uses"), 4)
	check(t, s.EndQuotas(ctx, 3*86400+1))
	equal(t, "rows after all ended", rows(t, db, "quota_uses"), 0)
}

func quotaNodes(t *testing.T, db *store.DB) {
	s, ctx := quotadb.New(db), context.Background()
	var wg sync.WaitGroup
	for node := range 4 {
		wg.Go(func() {
			for range 10 {
				uses := []cluster.QuotaUse{quotaUse("a", "daily", 1, 1), quotaUse("b", "daily", 1, 1)}
				if node%2 == 1 {
					uses[0], uses[1] = uses[1], uses[0]
				}
				if _, err := s.AddQuotas(ctx, uses); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	all, err := s.Quotas(ctx, 0)
	check(t, err)
	equal(t, "counts", len(all), 2)
	for _, u := range all {
		equal(t, "used", u.Used, 40)
	}
}
