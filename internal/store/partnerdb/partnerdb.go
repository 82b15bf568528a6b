// Package partnerdb keeps organisations, what they own, and portal accounts in SQL: partner.Store and partner.AccountStore.
package partnerdb

import (
	"context"
	"errors"
	"sync"

	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/problem"
	"portway/internal/store"
)

// Store implements partner.Store and partner.AccountStore on either database.
type Store struct {
	db    *store.DB
	clock ident.Clock

	mu    sync.Mutex
	hints map[int]func() // of those who Listen in this process
	next  int
}

var (
	_ partner.Store        = (*Store)(nil)
	_ partner.AccountStore = (*Store)(nil)
)

// New returns the organisations in db.
func New(db *store.DB, clock ident.Clock) *Store {
	return &Store{db: db, clock: clock, hints: map[int]func(){}}
}

// maxChanges is how many changes one call returns.
const maxChanges = 1000

// Organisations implements partner.Store; the order is that of the slugs.
func (s *Store) Organisations(ctx context.Context) ([]partner.Organisation, error) {
	out := []partner.Organisation{}
	err := s.db.Read().Select(ctx, &out, organisations.selectFrom()+" ORDER BY slug")
	return out, err
}

// Organisation implements partner.Store.
func (s *Store) Organisation(ctx context.Context, org partner.OrgID) (*partner.Bundle, error) {
	var b partner.Bundle
	r := s.db.Read()
	err := r.Get(ctx, &b.Organisation, organisations.selectFrom()+" WHERE id = ?", org)
	if errors.Is(err, store.ErrNoRow) {
		return nil, problem.New(problem.NotFound, "there is no such organisation; check its id")
	}
	if err != nil {
		return nil, err
	}
	for _, part := range []struct {
		into  any
		query string
	}{
		{&b.Sites, sites.selectFrom() + " WHERE org_id = ? ORDER BY code"},
		{&b.Brands, brands.selectFrom() + " WHERE org_id = ? ORDER BY code"},
		{&b.Applications, applications.selectFrom() + " WHERE org_id = ? ORDER BY slug"},
		{&b.Credentials, credentials.selectFrom() + " WHERE org_id = ? ORDER BY created_at, client_id"},
		{&b.Subscriptions, subscriptions.selectFrom() + " WHERE org_id = ? ORDER BY application_id, api, environment"},
		{&b.AddressRules, addressRules.selectFrom() + " WHERE org_id = ? ORDER BY application_id, environment"},
		{&b.VendorGrants, vendorGrants.selectFrom() + " WHERE org_id = ? ORDER BY vendor, application, environment"},
		{&b.Connections, connections.selectFrom() + " WHERE org_id = ? ORDER BY slug"},
		{&b.Accounts, accounts.selectFrom() + " WHERE org_id = ? ORDER BY email"},
	} {
		if err := r.Select(ctx, part.into, part.query, org); err != nil {
			return nil, err
		}
	}
	return &b, nil
}

// stateful are the kinds SetState knows, with their tables and the column that names the organisation.
var stateful = map[string]struct{ table, org string }{
	"organisation": {"organisations", "id"},
	"application":  {"applications", "org_id"},
	"credential":   {"credentials", "org_id"},
	"subscription": {"subscriptions", "org_id"},
	"connection":   {"connections", "org_id"},
	"grant":        {"vendor_grants", "org_id"},
}

// SetState implements partner.Store.
func (s *Store) SetState(ctx context.Context, org partner.OrgID, kind, id string, state partner.State) error {
	k, ok := stateful[kind]
	if !ok {
		return problem.New(problem.NotFound, "there is no kind %q with a state (have application, connection, credential, grant, organisation, subscription)", kind)
	}
	if !validState(state) {
		return problem.New(problem.Conflict, "a state is active, suspended or revoked")
	}
	err := s.db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.Exec(ctx, "UPDATE "+k.table+" SET state = ?, rev = rev + 1 WHERE id = ? AND "+k.org+" = ?", string(state), id, org)
		if err != nil {
			return err
		}
		if n == 0 {
			return problem.New(problem.NotFound, "there is no such %s; check its id", kind)
		}
		return s.changed(ctx, tx, org, kind)
	})
	if err == nil {
		s.hintAll()
	}
	return err
}

func validState(s partner.State) bool {
	return s == partner.Active || s == partner.Suspended || s == partner.Revoked
}

// changed appends to changes. It comes last in its transaction: on PostgreSQL it waits for other writers of changes,
// and whoever waits for a row of this one's then only waits for the commit.
func (s *Store) changed(ctx context.Context, tx *store.Tx, org partner.OrgID, kinds ...string) error {
	return s.change(ctx, tx, string(org), kinds...)
}

func (s *Store) change(ctx context.Context, tx *store.Tx, object string, kinds ...string) error {
	if lock := s.db.Dialect().LockChanges; lock != "" {
		if _, err := tx.Exec(ctx, lock); err != nil {
			return err
		}
	}
	for _, kind := range kinds {
		if _, err := tx.Exec(ctx, "INSERT INTO changes (kind, object_id) VALUES (?, ?)", kind, object); err != nil {
			return err
		}
	}
	if notify := s.db.Dialect().Notify; notify != "" {
		_, err := tx.Exec(ctx, notify)
		return err
	}
	return nil
}

// Changes implements partner.Store.
func (s *Store) Changes(ctx context.Context, after int64) ([]partner.Change, error) {
	out := []partner.Change{}
	err := s.db.Read().Select(ctx, &out, "SELECT position, kind, object_id FROM changes WHERE position > ? ORDER BY position LIMIT ?",
		after, maxChanges)
	return out, err
}

// Listen implements partner.Store. Changes by this process hint too.
func (s *Store) Listen(ctx context.Context, hint func()) error {
	s.mu.Lock()
	id := s.next
	s.next++
	s.hints[id] = hint
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.hints, id)
	}()
	return s.db.Listen(ctx, hint)
}

func (s *Store) hintAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, hint := range s.hints {
		hint()
	}
}
