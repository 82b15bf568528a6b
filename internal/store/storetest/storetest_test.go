package storetest_test

import (
	"context"
	"os"
	"testing"

	"portway/internal/store"
	"portway/internal/store/pgtest"
	"portway/internal/store/storetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		os.Exit(child(dir))
	}
	os.Exit(pgtest.Run(m))
}

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

func TestSQLite(t *testing.T) {
	t.Parallel()
	storetest.RunSuite(t, func(t *testing.T) *store.DB { return open(t, store.Options{Dir: t.TempDir()}) })
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	storetest.RunSuite(t, func(t *testing.T) *store.DB { return open(t, store.Options{PostgresURL: pgtest.URL(t)}) })
}
