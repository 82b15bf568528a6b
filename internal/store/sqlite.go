package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/jmoiron/sqlx"
)

// readers is the number of reading connections per SQLite file.
const readers = 4

// checkWhole is the size up to which a file is checked completely after an unclean stop; above it the check leaves
// out whether indexes agree with their tables, so that a start stays short.
const checkWhole = 256 << 20

// file is one SQLite database: a writing connection and some reading ones.
type file struct {
	path   string
	write  *sqlx.DB
	read   *sqlx.DB
	stmts  *prepared
	writer *writer
}

func (db *DB) openSQLite(ctx context.Context, o Options) (err error) {
	dir := o.Dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("store: the data directory cannot be made: %w", err)
	}
	db.dialect = sqliteDialect
	if db.lock, err = lockDir(dir); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	if db.main, err = openFile(filepath.Join(dir, "portway.db"), "FULL"); err != nil {
		return err
	}
	if db.traffic, err = openFile(filepath.Join(dir, "traffic.db"), "NORMAL"); err != nil {
		return err
	}
	for f, s := range map[*file]schema{db.main: portwaySchema, db.traffic: trafficSchema} {
		if db.lock.unclean {
			if err := f.check(ctx, db.log); err != nil {
				return err
			}
		}
		backup := func(from int64) error {
			return f.backup(ctx, from, db.clock.Now().UTC().Format("20060102T150405Z"), db.log)
		}
		if err := s.migrate(ctx, f.write.DB, backup); err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
	}
	for _, f := range []*file{db.main, db.traffic} {
		f.writer = startWriter(f.write, db.log, func(writes int) {
			if o.Grouped != nil {
				o.Grouped(filepath.Base(f.path), writes)
			}
		})
	}
	db.reader = &Reader{session: db.main.stmts}
	db.calls = &Reader{session: db.traffic.stmts}
	return nil
}

// openFile opens a database in WAL mode with the given synchronous level and verifies that it got both.
func openFile(path, synchronous string) (*file, error) {
	// Made here, for the mode: SQLite gives its other files the same one.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	out := &file{path: path}
	if out.write, err = connect(path, synchronous, false); err != nil {
		return nil, err
	}
	out.write.SetMaxOpenConns(1)
	var mode, level string
	if err := out.write.Get(&mode, "PRAGMA journal_mode"); err != nil {
		return nil, errors.Join(fmt.Errorf("store: open %s: %w", path, err), out.write.Close())
	}
	if err := out.write.Get(&level, "PRAGMA synchronous"); err != nil {
		return nil, errors.Join(fmt.Errorf("store: open %s: %w", path, err), out.write.Close())
	}
	if want := map[string]string{"NORMAL": "1", "FULL": "2"}[synchronous]; mode != "wal" || level != want {
		return nil, errors.Join(fmt.Errorf("store: %s is in journal mode %q, synchronous %s: the file system does not allow what durability needs", path, mode, level), out.write.Close())
	}
	if out.read, err = connect(path, synchronous, true); err != nil {
		return nil, errors.Join(err, out.write.Close())
	}
	out.read.SetMaxOpenConns(readers)
	out.read.SetMaxIdleConns(readers)
	out.stmts = &prepared{prepare: out.read.PreparexContext, stmts: map[string]*sqlx.Stmt{}}
	return out, nil
}

func connect(path, synchronous string, readOnly bool) (*sqlx.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {"busy_timeout(5000)", "journal_mode(WAL)",
		"synchronous(" + synchronous + ")", "foreign_keys(1)", "temp_store(MEMORY)", "cache_size(-16000)"}}
	if readOnly {
		q["_pragma"] = append(q["_pragma"], "query_only(1)")
	}
	name := (&url.URL{Scheme: "file", Path: filepath.ToSlash(abs), RawQuery: q.Encode()}).String()
	db, err := sqlx.Open("sqlite", name)
	if err != nil {
		return nil, fmt.Errorf("store: open %s: %w", path, err)
	}
	return db, nil
}

// check looks for damage after an unclean stop.
func (f *file) check(ctx context.Context, log *slog.Logger) error {
	pragma := "PRAGMA integrity_check(10)"
	if info, err := os.Stat(f.path); err == nil && info.Size() > checkWhole {
		pragma = "PRAGMA quick_check(10)"
	}
	var found []string
	if err := f.write.SelectContext(ctx, &found, pragma); err != nil {
		return fmt.Errorf("store: %s is damaged or cannot be read: restore the newest backup: %w", f.path, err)
	}
	if len(found) != 1 || found[0] != "ok" {
		return fmt.Errorf("store: %s is damaged: restore the newest backup; the check says: %s", f.path, strings.Join(found, "; "))
	}
	log.Info("the last stop was not clean; the database is whole", "file", filepath.Base(f.path))
	return nil
}

// backup copies the database as it stands into the folder backup beside it.
func (f *file) backup(ctx context.Context, from int64, stamp string, log *slog.Logger) error {
	dir := filepath.Join(filepath.Dir(f.path), "backup")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	name := fmt.Sprintf("%s-schema-%04d-%s.db", strings.TrimSuffix(filepath.Base(f.path), ".db"), from, stamp)
	to := filepath.Join(dir, name)
	if _, err := f.write.ExecContext(ctx, "VACUUM INTO ?", to); err != nil {
		return err
	}
	copied, err := os.OpenFile(to, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	err = errors.Join(copied.Chmod(0o600), copied.Sync(), copied.Close())
	if err == nil {
		log.Info("the database was copied before its schema changes", "backup", name)
	}
	return err
}

// close ends the writer, empties the write-ahead log into the file and closes the connections.
func (f *file) close() error {
	if f.writer != nil {
		f.writer.stop()
	}
	f.stmts.close()
	err := f.read.Close()
	if f.writer != nil {
		if _, e := f.write.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); e != nil {
			err = errors.Join(err, e)
		}
	}
	return errors.Join(err, f.write.Close())
}
