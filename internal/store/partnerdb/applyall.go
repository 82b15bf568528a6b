package partnerdb

import (
	"context"
	"errors"

	"portway/internal/partner"
	"portway/internal/problem"
	"portway/internal/store"
)

// ApplyAll is Apply for several organisations in one transaction: all of them or none. A bundle may name what one before
// it brings. The error joins those of every bundle that is refused; their order is that of the bundles.
func (s *Store) ApplyAll(ctx context.Context, bundles ...*partner.Bundle) error {
	var done []partner.Bundle
	var changed bool
	run := func(ctx context.Context, tx *store.Tx) error {
		done, changed = make([]partner.Bundle, len(bundles)), false
		var refused []error
		for i, b := range bundles {
			done[i] = clone(b)
			a := &applier{store: s, tx: tx, org: &done[i].Organisation, refused: map[string]bool{}, pairs: map[string]string{}}
			if err := a.bundle(ctx, &done[i]); err != nil {
				if !problem.Is(err, problem.Conflict) {
					return err
				}
				refused = append(refused, err)
				continue
			}
			if len(a.changed) == 0 {
				continue
			}
			changed = true
			if err := s.changed(ctx, tx, done[i].Organisation.ID, a.changed...); err != nil {
				return err
			}
		}
		if len(refused) == 1 {
			return refused[0]
		}
		return errors.Join(refused...)
	}
	err := s.db.Write(ctx, run)
	if store.IsUnique(err) { // another node stored one of the names in between: now it is found
		err = s.db.Write(ctx, run)
	}
	if err != nil {
		return err
	}
	for i := range bundles {
		*bundles[i] = done[i]
	}
	if changed {
		s.hintAll()
	}
	return nil
}
