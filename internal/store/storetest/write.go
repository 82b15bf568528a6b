package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"portway/internal/problem"
	"portway/internal/store"
)

var writeCases = map[string]func(*testing.T, *store.DB){
	"a failing or panicking write never fails its neighbours": isolation,
	"a context that ended means the write never runs":         cancelled,
	"reads see what was committed only":                       committedOnly,
	"unique violations are recognised":                        unique,
	"the reader does not write":                               readOnly,
}

var settingsCases = map[string]func(*testing.T, *store.DB){
	"the first value wins":             putOnce,
	"of two changes at once, one wins": swap,
}

func put(key string) func(context.Context, *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO settings (key, value) VALUES (?, ?)", key, []byte(key))
		return err
	}
}

func isolation(t *testing.T, db *store.DB) {
	const n = 100
	own := errors.New("own error")
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			errs[i] = db.Write(context.Background(), func(ctx context.Context, tx *store.Tx) error {
				if err := put(fmt.Sprintf("k%03d", i))(ctx, tx); err != nil {
					return err
				}
				switch i {
				case 42:
					return own
				case 43:
					panic("a bug in a closure")
				case 44:
					return put("k044")(ctx, tx) // its own key again
				}
				return nil
			})
		}()
	}
	wg.Wait()
	for i, err := range errs {
		switch i {
		case 42:
			if !errors.Is(err, own) {
				t.Errorf("write 42: got %v", err)
			}
		case 43:
			if !problem.Is(err, problem.Internal) {
				t.Errorf("write 43: got %v", err)
			}
		case 44:
			if !store.IsUnique(err) {
				t.Errorf("write 44: got %v", err)
			}
		default:
			if err != nil {
				t.Errorf("write %d: %v", i, err)
			}
		}
	}
	equal(t, "rows", rows(t, db, "settings"), n-3)
}

func cancelled(t *testing.T, db *store.DB) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	ran := false
	err := db.Write(ctx, func(context.Context, *store.Tx) error { ran = true; return nil })
	refused(t, err, problem.StoreUnavailable)
	if ran || !errors.Is(err, context.Canceled) {
		t.Fatalf("ran %v, error %v", ran, err)
	}
	// A context that ends while fn runs changes nothing: fn is in the middle of a group.
	ctx, cancel = context.WithCancel(context.Background())
	err = db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		cancel()
		return put("kept")(ctx, tx)
	})
	check(t, err)
	equal(t, "rows", rows(t, db, "settings"), 1)
}

func committedOnly(t *testing.T, db *store.DB) {
	check(t, db.Write(context.Background(), func(ctx context.Context, tx *store.Tx) error {
		if err := put("x")(ctx, tx); err != nil {
			return err
		}
		var inside, outside int
		if err := tx.Get(ctx, &inside, "SELECT count(*) FROM settings"); err != nil {
			return err
		}
		if err := db.Read().Get(ctx, &outside, "SELECT count(*) FROM settings"); err != nil {
			return err
		}
		if inside != 1 || outside != 0 {
			return fmt.Errorf("inside %d, outside %d", inside, outside)
		}
		return nil
	}))
	equal(t, "rows", rows(t, db, "settings"), 1)
}

func unique(t *testing.T, db *store.DB) {
	check(t, db.Write(context.Background(), put("x")))
	if err := db.Write(context.Background(), put("x")); !store.IsUnique(err) {
		t.Fatalf("got %v", err)
	}
	var v int
	if err := db.Read().Get(context.Background(), &v, "SELECT count(*) FROM settings WHERE key = ? HAVING count(*) > 5", "x"); !errors.Is(err, store.ErrNoRow) {
		t.Fatalf("got %v", err)
	}
}

func readOnly(t *testing.T, db *store.DB) {
	if db.Dialect().Name != "sqlite" {
		t.Skip("PostgreSQL reads and writes through one pool")
	}
	var v string
	err := db.Read().Get(context.Background(), &v, "INSERT INTO settings (key, value) VALUES ('x', x'00') RETURNING key")
	refused(t, err, problem.StoreUnavailable)
}

func putOnce(t *testing.T, db *store.DB) {
	s := store.NewSettings(db)
	ctx := context.Background()
	_, err := s.Get(ctx, "cursor")
	refused(t, err, problem.NotFound)
	var wg sync.WaitGroup
	kept := make([]string, 8)
	for i := range kept {
		wg.Add(1)
		go func() {
			defer wg.Done()
			v, err := s.PutOnce(ctx, "cursor", []byte{byte(i), 0, 255})
			if err != nil {
				t.Error(err)
			}
			kept[i] = string(v)
		}()
	}
	wg.Wait()
	for _, v := range kept {
		equal(t, "kept value", v, kept[0])
	}
	v, err := s.Get(ctx, "cursor")
	check(t, err)
	equal(t, "read value", string(v), kept[0])
}

func swap(t *testing.T, db *store.DB) {
	s := store.NewSettings(db)
	ctx := context.Background()
	if done, err := s.Swap(ctx, "keys", nil, []byte{1}); done || err != nil {
		t.Errorf("a setting that is not there: %v, %v", done, err)
	}
	first := []byte{0, 255, 0}
	_, err := s.PutOnce(ctx, "keys", first)
	check(t, err)
	var wg sync.WaitGroup
	won := make([]bool, 8)
	for i := range won {
		wg.Go(func() {
			var err error
			if won[i], err = s.Swap(ctx, "keys", first, []byte{byte(i), 0, 1}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	kept, err := s.Get(ctx, "keys")
	check(t, err)
	for i, done := range won {
		equal(t, fmt.Sprintf("winner %d", i), done, int(kept[0]) == i && len(kept) == 3 && kept[2] == 1)
	}
}
