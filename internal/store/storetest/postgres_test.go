package storetest_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"portway/internal/ident"
	"portway/internal/problem"
	"portway/internal/store"
	"portway/internal/store/eventdb"
	"portway/internal/store/pgtest"
)

func run(t *testing.T, db *store.DB, statement string) {
	t.Helper()
	err := db.Write(context.Background(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, statement)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestPostgresDurability: a server that acknowledges before the disk does is refused.
func TestPostgresDurability(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	db := open(t, store.Options{PostgresURL: url})
	run(t, db, "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$")
	refused, err := store.Open(context.Background(), store.Options{PostgresURL: url})
	if err == nil {
		t.Fatal(refused.Close(), "opened")
	}
	if !strings.Contains(err.Error(), "synchronous_commit = off") {
		t.Fatal(err)
	}
}

// TestPostgresNewerSchema: an older program does not touch a newer database.
func TestPostgresNewerSchema(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	run(t, open(t, store.Options{PostgresURL: url}), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)")
	refused, err := store.Open(context.Background(), store.Options{PostgresURL: url})
	if err == nil {
		t.Fatal(refused.Close(), "opened")
	}
	if !strings.Contains(err.Error(), "schema 9999") {
		t.Fatal(err)
	}
}

// TestPostgresRestored moves the data to a server whose transaction ids are smaller: positions still grow.
func TestPostgresRestored(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	db := open(t, store.Options{PostgresURL: url})
	accept := func(db *store.DB, number string) (position int64) {
		t.Helper()
		r, err := eventdb.New(db, ident.System{}, nil).Accept(context.Background(), statement(number))
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Read().Get(context.Background(), &position, "SELECT position FROM events WHERE id = ?", r.Outcomes[0].EventID); err != nil {
			t.Fatal(err)
		}
		return position
	}
	run(t, db, "UPDATE log_shift SET shift = 1000000") // the old server was a million transactions ahead
	before := accept(db, "N1")
	run(t, db, "UPDATE log_shift SET shift = 0")
	again := open(t, store.Options{PostgresURL: url})
	if after := accept(again, "N2"); after <= before {
		t.Errorf("position %d comes after %d", after, before)
	}
	var shift int64
	if err := again.Read().Get(context.Background(), &shift, "SELECT shift FROM log_shift"); err != nil {
		t.Fatal(err)
	}
	third := open(t, store.Options{PostgresURL: url})
	var same int64
	if err := third.Read().Get(context.Background(), &same, "SELECT shift FROM log_shift"); err != nil || same != shift {
		t.Errorf("a start without a move changed the shift from %d to %d, %v", shift, same, err)
	}
}

// TestPostgresRetries: a serialization failure runs the closure again, a lasting one is a 503.
func TestPostgresRetries(t *testing.T) {
	t.Parallel()
	db := open(t, store.Options{PostgresURL: pgtest.URL(t)})
	for _, tc := range []struct{ failures, runs int }{{2, 3}, {100, 4}} {
		runs := 0
		err := db.Write(context.Background(), func(ctx context.Context, tx *store.Tx) error {
			if runs++; runs <= tc.failures {
				_, err := tx.Exec(ctx, "DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$")
				return err
			}
			return nil
		})
		if runs != tc.runs {
			t.Errorf("%d runs, want %d", runs, tc.runs)
		}
		if tc.failures < tc.runs && err != nil || tc.failures >= tc.runs && !problem.Is(err, problem.StoreUnavailable) {
			t.Errorf("after %d failures: %v", tc.failures, err)
		}
	}
}

// TestPostgresListen: hints of another node's changes arrive, also after the connection was lost.
func TestPostgresListen(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	here := open(t, store.Options{PostgresURL: url, Clock: ident.System{}})
	there := open(t, store.Options{PostgresURL: url})
	ctx, cancel := context.WithCancel(context.Background())
	hints, ended := make(chan struct{}, 100), make(chan error, 1)
	go func() { ended <- here.Listen(ctx, func() { hints <- struct{}{} }) }()
	<-hints // it listens
	run(t, there, there.Dialect().Notify)
	<-hints
	run(t, there, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'")
	<-hints // it listens again
	run(t, there, there.Dialect().Notify)
	<-hints
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
