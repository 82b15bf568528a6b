package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"portway/migrations"
)

// TestMigrationNumbers: one number means one step in every folder, under one name.
func TestMigrationNumbers(t *testing.T) {
	t.Parallel()
	names := map[string]string{}
	folders := map[string]map[string]bool{}
	for _, folder := range []string{portwaySchema.folder, trafficSchema.folder, postgresSchema.folder} {
		entries, err := fs.ReadDir(migrations.Files, folder)
		if err != nil {
			t.Fatal(err)
		}
		folders[folder] = map[string]bool{}
		for _, e := range entries {
			number, name, _ := strings.Cut(e.Name(), "_")
			if len(number) != 4 {
				t.Errorf("%s/%s: the number has four digits", folder, e.Name())
			}
			if have, ok := names[number]; ok && have != name {
				t.Errorf("%s is called %s and %s", number, have, name)
			}
			names[number] = name
			folders[folder][number] = true
		}
	}
	for number := range names {
		lite := folders[portwaySchema.folder][number] || folders[trafficSchema.folder][number]
		if !lite || !folders[postgresSchema.folder][number] {
			t.Errorf("%s is there for one database only", number)
		}
	}
}

// TestTables: every table names its retention class, and both databases have the same tables and columns.
func TestTables(t *testing.T) {
	t.Parallel()
	table := regexp.MustCompile(`(?ms)^CREATE TABLE (\w+) \((.*?)^\)`)
	column := regexp.MustCompile(`(?m)^  "?([a-z_0-9]+)"? +[A-Z]`)
	retention := regexp.MustCompile(`retention +TEXT NOT NULL DEFAULT '(reference|transaction|delivery|telemetry|session)'`)
	read := func(folders ...string) map[string]string {
		out := map[string]string{}
		for _, folder := range folders {
			entries, err := fs.ReadDir(migrations.Files, folder)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				raw, err := fs.ReadFile(migrations.Files, path.Join(folder, e.Name()))
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range table.FindAllStringSubmatch(string(raw), -1) {
					if !retention.MatchString(m[2]) {
						t.Errorf("%s in %s has no retention class", m[1], folder)
					}
					var columns []string
					for _, c := range column.FindAllStringSubmatch(m[2], -1) {
						columns = append(columns, c[1])
					}
					out[m[1]] = strings.Join(columns, " ")
				}
			}
		}
		return out
	}
	lite, pg := read(portwaySchema.folder, trafficSchema.folder), read(postgresSchema.folder)
	if len(lite) < 20 {
		t.Fatalf("only %d tables found", len(lite))
	}
	delete(pg, "log_shift") // SQLite counts positions by itself
	for name, columns := range lite {
		if pg[name] != columns {
			t.Errorf("%s: SQLite has %q, PostgreSQL has %q", name, columns, pg[name])
		}
	}
	if len(lite) != len(pg) {
		t.Errorf("SQLite has %d tables, PostgreSQL %d", len(lite), len(pg))
	}
}

// TestBackup: the copy made before a migration is whole and has the rows.
func TestBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := openFile(filepath.Join(dir, "portway.db"), "FULL")
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if err := portwaySchema.migrate(ctx, f.write.DB, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := f.write.Exec("INSERT INTO settings (key, value) VALUES ('old', x'01')"); err != nil {
		t.Fatal(err)
	}
	var logs bytes.Buffer
	if err := f.backup(ctx, 1, "20260302T093000Z", slog.New(slog.NewTextHandler(&logs, nil))); err != nil {
		t.Fatal(err)
	}
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "backup", "portway-schema-0001-20260302T093000Z.db")
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the copy: %v, %v", info, err)
	}
	copied, err := openFile(name, "FULL")
	if err != nil {
		t.Fatal(err)
	}
	var key string
	if err := copied.write.Get(&key, "SELECT key FROM settings"); err != nil || key != "old" {
		t.Errorf("the copy has %q, %v", key, err)
	}
	if err := copied.check(ctx, slog.New(slog.DiscardHandler)); err != nil {
		t.Error(err)
	}
	if err := copied.close(); err != nil {
		t.Fatal(err)
	}
}

// TestMigrateOrder: a copy is made before the first new step of an older database only, and a failing one stops the
// migration.
func TestMigrateOrder(t *testing.T) {
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
	ctx := context.Background()
	called := 0
	before := func(int64) error { called++; return sql.ErrConnDone }
	if err := portwaySchema.migrate(ctx, f.write.DB, before); err != nil || called != 0 {
		t.Fatalf("a new database has nothing to copy: %v, %d calls", err, called)
	}
	if err := portwaySchema.migrate(ctx, f.write.DB, before); err != nil || called != 0 {
		t.Fatalf("a current database has nothing to copy: %v, %d calls", err, called)
	}
	newest, err := portwaySchema.version(ctx, f.write.DB)
	if err != nil {
		t.Fatal(err)
	}
	newer, steps := portwaySchema, fstest.MapFS{}
	entries, err := fs.ReadDir(migrations.Files, newer.folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		steps[newer.folder+"/"+e.Name()] = &fstest.MapFile{Data: []byte("-- +goose Up\nSELECT 1;\n")}
	}
	steps[newer.folder+"/9999_next.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE next (id TEXT);\n")}
	newer.files = steps
	if err := newer.migrate(ctx, f.write.DB, before); !errors.Is(err, sql.ErrConnDone) || called != 1 {
		t.Fatalf("a copy that fails stops the migration: %v, %d calls", err, called)
	}
	if v, err := newer.version(ctx, f.write.DB); err != nil || v != newest {
		t.Fatalf("version %d, %v", v, err)
	}
	before = func(from int64) error { called += int(from); return nil }
	if err := newer.migrate(ctx, f.write.DB, before); err != nil || called != 1+int(newest) {
		t.Fatalf("migrate: %v, %d calls", err, called)
	}
	if err := portwaySchema.migrate(ctx, f.write.DB, nil); err == nil || !strings.Contains(err.Error(), "schema 9999") {
		t.Fatalf("an older program: %v", err)
	}
}
