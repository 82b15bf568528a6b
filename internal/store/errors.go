package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"portway/internal/problem"
)

var errClosed = errors.New("the store is closed")

// retryAfter is what a caller is told to wait when nothing can be stored.
const retryAfter = 5 * time.Second

func unavailable(cause error) error {
	e := problem.Wrap(problem.StoreUnavailable, cause, "nothing can be stored at the moment; nothing was accepted")
	e.RetryAfter = retryAfter
	return e
}

// classify turns what the caller may try again later (disk full, read-only, no connection, a context that ended)
// into problem.StoreUnavailable and leaves everything else as it is.
func classify(err error) error {
	var p *problem.Error
	switch {
	case err == nil, errors.Is(err, sql.ErrNoRows), errors.As(err, &p):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, driver.ErrBadConn),
		errors.Is(err, sql.ErrConnDone), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return unavailable(err)
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		switch lite.Code() & 0xff {
		case sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY,
			sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_INTERRUPT:
			return unavailable(err)
		}
		return err
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		// 08 connection, 53 resources, 57 operator intervention, 58 system error, 25006 read-only, 55P03 lock timeout.
		if pg.Code == "25006" || pg.Code == "55P03" || strings.HasPrefix(pg.Code, "08") || strings.HasPrefix(pg.Code, "53") ||
			strings.HasPrefix(pg.Code, "57") || strings.HasPrefix(pg.Code, "58") {
			return unavailable(err)
		}
		return err
	}
	var connect *pgconn.ConnectError
	var network net.Error
	if errors.As(err, &connect) || errors.As(err, &network) {
		return unavailable(err)
	}
	return err
}

// IsUnique reports whether a write failed because a unique name or key was taken.
func IsUnique(err error) bool {
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return lite.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || lite.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
	}
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505"
}

// serialization reports whether PostgreSQL asks to run the transaction again.
func serialization(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}

// Bytes returns b, never nil: an empty value is not an absent one.
func Bytes(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
