package store_test

import (
	"context"
	"log/slog"
	"testing"

	"portway/internal/ident"
	"portway/internal/store"
)

// TestAcceptanceIsSynced holds SQLite to what an acknowledgement promises: every commit of the log is synced
// (WAL, synchronous = FULL); call records may be NORMAL.
func TestAcceptanceIsSynced(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db, err := store.Open(ctx, store.Options{Dir: t.TempDir(), Clock: ident.System{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	pragma := func(write func(context.Context, func(context.Context, *store.Tx) error) error, name string) (value string) {
		t.Helper()
		if err := write(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.Get(ctx, &value, "PRAGMA "+name) }); err != nil {
			t.Fatal(err)
		}
		return value
	}
	if got := pragma(db.Write, "synchronous"); got != "2" {
		t.Errorf("the log's synchronous is %s, want 2 (FULL)", got)
	}
	for _, write := range []func(context.Context, func(context.Context, *store.Tx) error) error{db.Write, db.WriteTraffic} {
		if got := pragma(write, "journal_mode"); got != "wal" {
			t.Errorf("journal mode is %s, want wal", got)
		}
		if got := pragma(write, "foreign_keys"); got != "1" {
			t.Errorf("foreign keys are %s, want 1", got)
		}
	}
}
