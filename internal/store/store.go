// Package store opens the databases and gives the domains' stores one way to read and one way to write on both.
// On SQLite every write of a file goes through one goroutine that commits in groups: an fsync is shared by
// whoever waits for it, a failing write never fails its neighbours. On PostgreSQL a write is a transaction.
//
// SQL is written once, with "?" for parameters; what differs between the databases is in Dialect.
package store

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/jmoiron/sqlx"

	"portway/internal/ident"
)

// Options say which database to open. Exactly one of Dir and PostgresURL is set.
type Options struct {
	Dir         string // data directory of SQLite; created with mode 0700 if absent
	PostgresURL string // postgres://…, or keyword=value pairs
	Clock       ident.Clock
	Log         *slog.Logger
	// Grouped is told how many writes shared each commit of a SQLite file, by the file's name; it may be nil.
	Grouped func(file string, writes int)
}

// Dialect is what SQL text must know about the database.
type Dialect struct {
	Name string // "sqlite" or "postgres"
	// ForUpdate ends a SELECT whose row is changed next; SQLite's single writer needs none.
	ForUpdate string
	// SkipLocked ends a SELECT that takes work which others may be taking.
	SkipLocked string
	// Position is the position of an event: an expression with one parameter, its number within its transaction, from 0
	// and below MaxEvents.
	Position string
	// Horizon limits a reader of events (" AND …") to positions that nothing unfinished can precede. On PostgreSQL any
	// transaction that writes on the same server, even in another database, holds it back while it lasts.
	Horizon string
	// LockChanges is a statement that makes writers of changes commit one after the other, "" where all writers do.
	LockChanges string
	// Notify is a statement that hints other nodes at new rows in changes, "" where there are none.
	Notify string
}

// MaxEvents is how many events one transaction states at most.
const MaxEvents = 1 << 16

var (
	sqliteDialect   = Dialect{Name: "sqlite", Position: "CASE WHEN ? < 0 THEN 0 END"} // NULL: the next one
	postgresDialect = Dialect{Name: "postgres", ForUpdate: " FOR UPDATE", SkipLocked: " FOR UPDATE SKIP LOCKED", Position: "log_position(?)",
		Horizon: " AND position < log_horizon()", LockChanges: "LOCK TABLE changes IN SHARE ROW EXCLUSIVE MODE", Notify: "SELECT pg_notify('" + channel + "', '')"}
)

// DB is the open store. It is safe for concurrent use.
type DB struct {
	dialect Dialect
	clock   ident.Clock
	log     *slog.Logger
	lock    *dirLock // SQLite
	main    *file    // SQLite: portway.db
	traffic *file    // SQLite: traffic.db
	pg      *sqlx.DB // PostgreSQL
	reader  *Reader
	calls   *Reader
}

// Open opens the databases and brings their schema to this program's version. It refuses a schema newer than that,
// a SQLite directory in use or damaged, and a PostgreSQL server that does not wait for the disk.
func Open(ctx context.Context, o Options) (*DB, error) {
	if o.Clock == nil {
		o.Clock = ident.System{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	db := &DB{clock: o.Clock, log: o.Log}
	var err error
	switch {
	case (o.Dir == "") == (o.PostgresURL == ""):
		return nil, errors.New("store: set either a data directory or a PostgreSQL address")
	case o.PostgresURL != "":
		err = db.openPostgres(ctx, o.PostgresURL)
	default:
		err = db.openSQLite(ctx, o)
	}
	if err != nil {
		return nil, err
	}
	return db, nil
}

// Close ends the writes under way, brings SQLite's log into its file and marks the stop as clean.
func (db *DB) Close() error {
	if db.pg != nil {
		return db.pg.Close()
	}
	var errs []error
	for _, f := range []*file{db.traffic, db.main} {
		if f != nil {
			errs = append(errs, f.close())
		}
	}
	err := errors.Join(errs...)
	if db.lock != nil {
		// A directory that never opened is not marked clean: the next start checks it again.
		err = errors.Join(err, db.lock.release(err == nil && db.reader != nil))
	}
	return err
}

// Dialect returns what SQL text must know about the database.
func (db *DB) Dialect() Dialect { return db.dialect }

// Write runs fn in a transaction of the truth and returns after its commit reached the disk. If fn returns an error or
// panics, nothing of it remains. fn must do nothing but talk to tx: no network, no waiting; on PostgreSQL it may run
// again after a serialization failure, so it sets its results anew each time. A context that ends before fn starts means
// fn never runs; afterwards it is not heeded. Errors: fn's own, or problem.StoreUnavailable.
func (db *DB) Write(ctx context.Context, fn func(context.Context, *Tx) error) error {
	if db.pg != nil {
		return db.writePostgres(ctx, fn)
	}
	return db.main.writer.do(ctx, fn)
}

// WriteTraffic is Write for live call records and usage, which may lose the last moments before a power failure.
func (db *DB) WriteTraffic(ctx context.Context, fn func(context.Context, *Tx) error) error {
	if db.pg != nil {
		return db.writePostgres(ctx, fn)
	}
	return db.traffic.writer.do(ctx, fn)
}

// Read returns the reader of the truth.
func (db *DB) Read() *Reader { return db.reader }

// ReadTraffic returns the reader of live call records and usage.
func (db *DB) ReadTraffic() *Reader { return db.calls }

// Split reports whether live traffic is kept apart from the truth, so that a reader of both must merge.
func (db *DB) Split() bool { return db.pg == nil }

// Ping reports whether the database answers.
func (db *DB) Ping(ctx context.Context) error {
	var one int
	return db.reader.Get(ctx, &one, "SELECT 1")
}

// fileExists reports whether there is a file that is not empty.
func fileExists(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Size() > 0
}
