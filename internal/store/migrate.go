package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"

	"portway/migrations"
)

// schema is the numbered SQL of one database.
type schema struct {
	files   fs.FS
	folder  string // below migrations
	dialect goose.Dialect
	exists  string // a query that returns 1 if the table of applied steps exists
}

const sqliteExists = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'goose_db_version'"

var (
	portwaySchema  = schema{migrations.Files, "sqlite/portway", goose.DialectSQLite3, sqliteExists}
	trafficSchema  = schema{migrations.Files, "sqlite/traffic", goose.DialectSQLite3, sqliteExists}
	postgresSchema = schema{migrations.Files, "postgres", goose.DialectPostgres, "SELECT 1 WHERE to_regclass('goose_db_version') IS NOT NULL"}
)

// migrate brings db to the newest step. It refuses a database that has steps this program does not know. before, if
// set, runs ahead of the first step on a database that has older ones.
func (s schema) migrate(ctx context.Context, db *sql.DB, before func(from int64) error, opts ...goose.ProviderOption) error {
	sub, err := fs.Sub(s.files, s.folder)
	if err != nil {
		return err
	}
	opts = append(opts, goose.WithDisableGlobalRegistry(true))
	provider, err := goose.NewProvider(s.dialect, db, sub, opts...)
	if err != nil {
		return fmt.Errorf("store: migrations of %s: %w", s.folder, err)
	}
	sources := provider.ListSources()
	newest := sources[len(sources)-1].Version
	have, err := s.version(ctx, db)
	if err != nil {
		return fmt.Errorf("store: read the schema version: %w", err)
	}
	if have > newest {
		return fmt.Errorf("store: the database is at schema %d, this program knows %d: run the newer release, or restore the backup made before it", have, newest)
	}
	if have == newest {
		return nil
	}
	if have > 0 && before != nil {
		if err := before(have); err != nil {
			return fmt.Errorf("store: back up before migrating: %w", err)
		}
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("store: migrate %s: %w", s.folder, err)
	}
	return nil
}

// version is the newest applied step, 0 for an empty database.
func (s schema) version(ctx context.Context, db *sql.DB) (int64, error) {
	var one int
	err := db.QueryRowContext(ctx, s.exists).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var v sql.NullInt64
	err = db.QueryRowContext(ctx, "SELECT max(version_id) FROM goose_db_version WHERE is_applied").Scan(&v)
	return v.Int64, err
}
