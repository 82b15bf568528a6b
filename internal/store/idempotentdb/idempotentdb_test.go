package idempotentdb_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portway/internal/idempotent"
	"portway/internal/ident"
	"portway/internal/store"
	"portway/internal/store/idempotentdb"
	"portway/internal/store/pgtest"
)

var keyCases = map[string]func(*testing.T, *store.DB){
	"the life of a key":                           keyLife,
	"a key is its caller's own":                   keyScope,
	"fifty at once reserve one key once":          keyRace,
	"who is late does not overwrite":              keyFencing,
	"what is in doubt is taken over by one":       keyResume,
	"old records are forgotten, a part at a time": keyRemoval,
	"what a dead process left is in doubt":        keyRecovery,
	"random schedules are linearizable":           keyLinear,
}

// start is when every case's clock begins.
var start = time.Date(2026, 3, 2, 9, 30, 0, 123456000, time.UTC)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

func open(t testing.TB, o store.Options) *store.DB {
	t.Helper()
	db, err := store.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

// TestRegister runs every case on both databases.
func TestRegister(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]func(*testing.T) store.Options{
		"sqlite":   func(t *testing.T) store.Options { return store.Options{Dir: t.TempDir()} },
		"postgres": func(t *testing.T) store.Options { return store.Options{PostgresURL: pgtest.URL(t)} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for name, run := range keyCases {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					run(t, open(t, options(t)))
				})
			}
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// equal fails the test unless got is want.
func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func aKey(value string) idempotent.Key {
	return idempotent.Key{Org: "org-3pl", Application: "app", Environment: ident.Live, Operation: "shipments/v2/createShipment", Value: value, Fingerprint: "f"}
}

// held is a lease that ends a minute after start.
func held(id string) idempotent.Lease {
	return idempotent.Lease{ID: id, From: start, Until: start.Add(time.Minute)}
}

func keyLife(t *testing.T, db *store.DB) {
	ctx, s, k := context.Background(), idempotentdb.New(db), aKey("key-0000000000000001")
	if r, err := s.Find(ctx, k); err != nil || r != nil {
		t.Fatalf("an unknown key: %+v, %v", r, err)
	}
	r, err := s.Reserve(ctx, k, held("one"), false)
	check(t, err)
	if r != nil {
		t.Fatalf("a free key is taken: %+v", r)
	}
	r, err = s.Reserve(ctx, k, held("two"), true)
	check(t, err)
	equal(t, "state", r.StateAt(start), idempotent.InProgress)
	equal(t, "after the lease", r.StateAt(start.Add(time.Minute)), idempotent.InDoubt)
	check(t, s.Settle(ctx, idempotent.Record{Key: k, Lease: "one", State: idempotent.Done, Status: 201,
		Header: [][2]string{{"Location", "/x/1"}, {"X", "a"}, {"X", "b"}}, Body: []byte("\x00binary\xff")}))
	r, err = s.Find(ctx, k)
	check(t, err)
	if r.State != idempotent.Done || r.Status != 201 || fmt.Sprint(r.Header) != "[[Location /x/1] [X a] [X b]]" || string(r.Body) != "\x00binary\xff" ||
		r.Key != k || r.CreatedAt != start.UnixMicro() {
		t.Fatalf("settled %+v", r)
	}
	if err := s.Release(ctx, k, "one"); !errors.Is(err, idempotent.ErrLost) {
		t.Fatalf("a settled key was released: %v", err)
	}
	// A released key is free.
	k = aKey("key-0000000000000002")
	_, err = s.Reserve(ctx, k, held("one"), false)
	check(t, err)
	check(t, s.Release(ctx, k, "one"))
	r, err = s.Reserve(ctx, k, held("two"), false)
	check(t, err)
	if r != nil {
		t.Fatalf("a released key is taken: %+v", r)
	}
}

func keyScope(t *testing.T, db *store.DB) {
	ctx, s := context.Background(), idempotentdb.New(db)
	own := aKey("key-0000000000000001")
	_, err := s.Reserve(ctx, own, held("one"), false)
	check(t, err)
	for name, change := range map[string]func(*idempotent.Key){
		"organisation": func(k *idempotent.Key) { k.Org = "org-foreign" },
		"application":  func(k *idempotent.Key) { k.Application = "other" },
		"environment":  func(k *idempotent.Key) { k.Environment = ident.Sandbox },
		"operation":    func(k *idempotent.Key) { k.Operation = "shipments/v1/createShipment" },
		"value":        func(k *idempotent.Key) { k.Value = "key-0000000000000009" },
	} {
		k := own
		change(&k)
		if r, err := s.Reserve(ctx, k, held("other"), false); err != nil || r != nil {
			t.Errorf("another %s has the key: %+v, %v", name, r, err)
		}
	}
}

func keyRace(t *testing.T, db *store.DB) {
	s := idempotentdb.New(db)
	var won atomic.Int64
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			r, err := s.Reserve(context.Background(), aKey("key-0000000000000001"), held(fmt.Sprint(i)), true)
			if err != nil {
				t.Error(err)
			} else if r == nil {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	equal(t, "winners", won.Load(), 1)
}

func keyFencing(t *testing.T, db *store.DB) {
	ctx, s, k := context.Background(), idempotentdb.New(db), aKey("key-0000000000000001")
	_, err := s.Reserve(ctx, k, held("slow"), false)
	check(t, err)
	later := idempotent.Lease{ID: "next", From: start.Add(time.Hour), Until: start.Add(2 * time.Hour)}
	r, err := s.Reserve(ctx, k, later, false)
	check(t, err)
	if r == nil {
		t.Fatal("an expired reservation was taken over without leave")
	}
	// Not taken over: the slow one may still say how it ended.
	other := k
	other.Fingerprint = "another request"
	r, err = s.Reserve(ctx, other, later, true)
	check(t, err)
	if r == nil {
		t.Fatal("another request took the key over")
	}
	r, err = s.Reserve(ctx, k, later, true)
	check(t, err)
	if r != nil {
		t.Fatalf("an expired reservation cannot be taken over: %+v", r)
	}
	for name, err := range map[string]error{
		"settle":  s.Settle(ctx, idempotent.Record{Key: k, Lease: "slow", State: idempotent.Done, Status: 500}),
		"release": s.Release(ctx, k, "slow"),
	} {
		if !errors.Is(err, idempotent.ErrLost) {
			t.Errorf("%s by a lost lease: %v", name, err)
		}
	}
	check(t, s.Settle(ctx, idempotent.Record{Key: k, Lease: "next", State: idempotent.Done, Status: 201}))
}

func keyResume(t *testing.T, db *store.DB) {
	ctx, s, k := context.Background(), idempotentdb.New(db), aKey("key-0000000000000001")
	_, err := s.Reserve(ctx, k, held("one"), false)
	check(t, err)
	check(t, s.Settle(ctx, idempotent.Record{Key: k, Lease: "one", State: idempotent.InDoubt, Status: 201}))
	var won atomic.Int64
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			r, err := s.Reserve(ctx, k, held(fmt.Sprint("again", i)), true)
			if err != nil {
				t.Error(err)
			} else if r == nil {
				won.Add(1)
			} else if r.StateAt(start) != idempotent.InProgress {
				t.Errorf("the others see %s", r.State)
			}
		})
	}
	wg.Wait()
	equal(t, "winners", won.Load(), 1)
	r, err := s.Find(ctx, k)
	check(t, err)
	equal(t, "what is known of the first answer", r.Status, 201)
}

func keyRemoval(t *testing.T, db *store.DB) {
	ctx, s := context.Background(), idempotentdb.New(db)
	const old, young = 1203, 5
	check(t, db.Write(ctx, func(ctx context.Context, tx *store.Tx) error {
		for i := range old + young {
			at := start.Add(-8 * 24 * time.Hour)
			if i >= old {
				at = start
			}
			r := idempotent.Record{Key: aKey(fmt.Sprintf("key-%016d", i)), State: idempotent.Done, Status: 200, CreatedAt: at.UnixMicro()}
			if err := idempotentdb.Insert(ctx, tx, &r); err != nil {
				return err
			}
		}
		return nil
	}))
	n, err := s.Remove(ctx, start.Add(-7*24*time.Hour))
	check(t, err)
	equal(t, "removed", n, old)
	var left int
	check(t, db.Read().Get(ctx, &left, "SELECT count(*) FROM idempotency_keys"))
	equal(t, "left", left, young)
}

func keyRecovery(t *testing.T, db *store.DB) {
	ctx, s, k := context.Background(), idempotentdb.New(db), aKey("key-0000000000000001")
	_, err := s.Reserve(ctx, k, held("dead"), false)
	check(t, err)
	done := aKey("key-0000000000000002")
	_, err = s.Reserve(ctx, done, held("done"), false)
	check(t, err)
	check(t, s.Settle(ctx, idempotent.Record{Key: done, Lease: "done", State: idempotent.Done, Status: 200}))
	n, err := s.Recover(ctx)
	check(t, err)
	r, err := s.Find(ctx, k)
	check(t, err)
	if db.Dialect().Name == "postgres" { // another node may be at it: only time tells
		equal(t, "recovered", n, 0)
		equal(t, "state", r.StateAt(start), idempotent.InProgress)
		return
	}
	equal(t, "recovered", n, 1)
	equal(t, "state", r.StateAt(start), idempotent.InDoubt)
	r, err = s.Find(ctx, done)
	check(t, err)
	equal(t, "a settled one", r.State, idempotent.Done)
}
