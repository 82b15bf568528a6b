package store

import (
	"context"
	"io/fs"
	"path/filepath"
	"testing"
	"testing/fstest"

	"portway/migrations"
)

// TestKeysOfTheFirstRelease: answers that the first release kept are replayed by this one; the environment, which it
// wrote before the operation, has a column of its own.
func TestKeysOfTheFirstRelease(t *testing.T) {
	t.Parallel()
	f, err := openFile(filepath.Join(t.TempDir(), "portway.db"), "FULL")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.close(); err != nil {
			t.Error(err)
		}
	})
	const first = "/0001_foundation.sql"
	src, err := fs.ReadFile(migrations.Files, portwaySchema.folder+first)
	if err != nil {
		t.Fatal(err)
	}
	ctx, old := context.Background(), portwaySchema
	old.files = fstest.MapFS{old.folder + first: {Data: src}}
	if err := old.migrate(ctx, f.write.DB, nil); err != nil {
		t.Fatal(err)
	}
	for _, operation := range []string{"live/a/v1/do", "sandbox/a/v1/do"} {
		if _, err := f.write.Exec(`INSERT INTO idempotency_keys (org_id, application_id, operation, key, fingerprint, status, header, body, created_at)
			VALUES ('o', 'a', ?, 'k', 'f', 201, '[]', x'01', 7)`, operation); err != nil {
			t.Fatal(err)
		}
	}
	if err := portwaySchema.migrate(ctx, f.write.DB, func(int64) error { return nil }); err != nil {
		t.Fatal(err)
	}
	var kept []struct {
		Environment string `db:"environment"`
		Operation   string `db:"operation"`
		State       string `db:"state"`
		Status      int    `db:"status"`
		Created     int64  `db:"created_at"`
	}
	if err := f.write.Select(&kept, "SELECT environment, operation, state, status, created_at FROM idempotency_keys ORDER BY environment"); err != nil {
		t.Fatal(err)
	}
	if len(kept) != 2 || kept[0].Environment != "live" || kept[1].Environment != "sandbox" {
		t.Fatalf("kept %+v", kept)
	}
	for _, k := range kept {
		if k.Operation != "a/v1/do" || k.State != "done" || k.Status != 201 || k.Created != 7 {
			t.Errorf("kept %+v", k)
		}
	}
}
