package storetest

import (
	"context"
	"testing"

	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/problem"
	"portway/internal/store"
	"portway/internal/store/partnerdb"
)

// appliedTogether applies several organisations at once: all of them, or none when one is refused.
func appliedTogether(t *testing.T, db *store.DB) {
	ctx := context.Background()
	s := partnerdb.New(db, ident.System{})
	one, two := bundle("together-one", partner.FromFile), bundle("together-two", partner.FromFile)
	for _, b := range []*partner.Bundle{one, two} { // nothing that only one organisation may have
		b.Credentials, b.Connections, b.Accounts = nil, nil, nil
	}
	spoilt := *two
	spoilt.Applications = append([]partner.Application(nil), two.Applications...)
	spoilt.Applications[0].Origin = "elsewhere"
	worse := spoilt
	worse.Organisation.Slug = "together-three"
	refused(t, s.ApplyAll(ctx, one, &spoilt), problem.Conflict)
	err := s.ApplyAll(ctx, &spoilt, one, &worse)
	if both, ok := err.(interface{ Unwrap() []error }); !ok || len(both.Unwrap()) != 2 {
		t.Errorf("two are refused, got %v", err)
	}
	orgs, err := s.Organisations(ctx)
	check(t, err)
	for _, o := range orgs {
		if o.Slug == "together-one" || o.Slug == "together-two" {
			t.Errorf("%s is stored although the other was refused", o.Slug)
		}
	}
	check(t, s.ApplyAll(ctx, one, two))
	if one.Organisation.ID == "" || two.Organisation.ID == "" || one.Organisation.ID == two.Organisation.ID {
		t.Errorf("ids %q and %q", one.Organisation.ID, two.Organisation.ID)
	}
	check(t, s.ApplyAll(ctx))
}
