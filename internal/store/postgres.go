package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// channel carries hints that rows were added to changes.
const channel = "portway_changes"

const (
	pgConnections = 16
	pgRetries     = 3 // after a serialization failure or a deadlock
)

// pgLimits end what hangs: a write that began no longer heeds its caller. An address may set others.
var pgLimits = map[string]string{"statement_timeout": "30s", "lock_timeout": "10s", "idle_in_transaction_session_timeout": "30s"}

func (db *DB) openPostgres(ctx context.Context, url string) error {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return errors.New("store: the PostgreSQL address cannot be read: write postgres://user@host:port/database")
	}
	first := sqlx.NewDb(stdlib.OpenDB(*config), "pgx") // without the limits below: a migration may take long
	if err := errors.Join(preparePostgres(ctx, first), first.Close()); err != nil {
		return err
	}
	for name, value := range pgLimits {
		if _, set := config.RuntimeParams[name]; !set {
			config.RuntimeParams[name] = value
		}
	}
	pool := sqlx.NewDb(stdlib.OpenDB(*config), "pgx")
	pool.SetMaxOpenConns(pgConnections)
	pool.SetMaxIdleConns(pgConnections)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	db.dialect, db.pg = postgresDialect, pool
	db.reader = &Reader{session: pool, rebind: &rebinder{}}
	db.calls = db.reader
	return nil
}

// preparePostgres checks what acknowledgements rely on and migrates; a lock lets nodes start at the same time.
func preparePostgres(ctx context.Context, pool *sqlx.DB) error {
	for _, setting := range []string{"fsync", "synchronous_commit"} {
		var value string
		if err := pool.GetContext(ctx, &value, "SELECT current_setting($1)", setting); err != nil {
			return fmt.Errorf("store: PostgreSQL does not answer: %w", err)
		}
		if value == "off" {
			return fmt.Errorf("store: PostgreSQL runs with %s = off and would lose what was acknowledged: turn it on", setting)
		}
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 120))
	if err != nil {
		return err
	}
	if err := postgresSchema.migrate(ctx, pool.DB, nil, goose.WithSessionLocker(locker)); err != nil {
		return err
	}
	if _, err := pool.ExecContext(ctx, raiseShift); err != nil {
		return fmt.Errorf("store: check the positions: %w", err)
	}
	return nil
}

// raiseShift notices data that came from a server whose transaction ids were ahead of this one's (a restored dump) and
// makes new positions follow the old ones. What this server wrote is always below its own next transaction id.
const raiseShift = `UPDATE log_shift SET shift = was.top / 65536 + 1 - was.next
	FROM (SELECT (SELECT max(position) FROM events) AS top,
		pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next) was
	WHERE was.top >= (was.next + shift) * 65536`

func (db *DB) writePostgres(ctx context.Context, fn func(context.Context, *Tx) error) error {
	for try := 0; ; try++ {
		err := db.tryPostgres(ctx, fn)
		if !serialization(err) {
			return err
		}
		if try == pgRetries {
			return unavailable(err)
		}
		wait := time.NewTimer(time.Duration(1+rand.IntN(5<<try)) * time.Millisecond)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return unavailable(ctx.Err())
		}
	}
}

func (db *DB) tryPostgres(ctx context.Context, fn func(context.Context, *Tx) error) error {
	if err := ctx.Err(); err != nil {
		return unavailable(err)
	}
	// Once begun, a write is finished: a cancelled COMMIT would leave its outcome unknown.
	ctx = context.WithoutCancel(ctx)
	tx, err := db.pg.BeginTxx(ctx, nil)
	if err != nil {
		return unavailable(err)
	}
	if err := guard(ctx, fn, &Tx{Reader{session: tx, rebind: db.reader.rebind}}, db.log); err != nil {
		if back := tx.Rollback(); back != nil {
			db.log.Warn("a write could not be rolled back; its connection is given up", "error", back.Error())
		}
		return err
	}
	if err := tx.Commit(); err != nil {
		if serialization(err) {
			return err
		}
		return unavailable(err)
	}
	return nil
}

// relisten is how long Listen waits before it connects again, at first and at most.
const (
	relistenFirst = 50 * time.Millisecond
	relistenMost  = 5 * time.Second
)

// Listen calls hint whenever another node, or this one, added rows to changes, and connects again when it lost the
// connection. On SQLite there is no other node and it only waits. It returns when ctx ends.
func (db *DB) Listen(ctx context.Context, hint func()) error {
	if db.pg == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	pause := relistenFirst
	for {
		begun := db.clock.Now()
		err := db.listenOnce(ctx, hint)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if db.clock.Now().Sub(begun) > relistenMost {
			pause = relistenFirst
		}
		db.log.Warn("lost the connection that hints at changes; polling meanwhile", "error", err.Error())
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return ctx.Err()
		}
		pause = min(2*pause, relistenMost)
	}
}

// listenOnce listens on one connection until it is lost or ctx ends.
func (db *DB) listenOnce(ctx context.Context, hint func()) error {
	conn, err := db.pg.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Raw(func(driver any) error {
		c := driver.(*stdlib.Conn).Conn()
		// The connection still listens afterwards: it does not go back to the pool.
		defer c.Close(context.WithoutCancel(ctx))
		if _, err := c.Exec(ctx, "LISTEN "+channel); err != nil {
			return err
		}
		hint() // for what was missed before
		for {
			if _, err := c.WaitForNotification(ctx); err != nil {
				return err
			}
			hint()
		}
	})
}
