package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"portway/internal/problem"
)

const (
	maxGroup  = 200                  // writes per commit
	groupWait = 2 * time.Millisecond // for those expected to join
	maxQueued = 1024                 // writes waiting; more wait with their callers
)

// The stages of a request, so that either the writer runs it or its caller gives up, never both.
const (
	queued int32 = iota
	taken
	abandoned
)

type request struct {
	ctx   context.Context
	fn    func(context.Context, *Tx) error
	stage atomic.Int32
	err   error      // of fn, known before the commit
	done  chan error // one value, after the commit
}

// writer owns the only writing connection of a SQLite file and commits in groups: what has queued up while the last
// group reached the disk shares the next fsync. A lone write never waits for company; only when the last group had
// several members does the next wait up to groupWait for as many.
type writer struct {
	db      *sqlx.DB
	log     *slog.Logger
	grouped func(writes int) // told of every commit
	queue   chan *request
	quit    chan struct{}
	stopped chan struct{}

	conn  *sqlx.Conn
	stmts *prepared
	tx    *Tx
}

func startWriter(db *sqlx.DB, log *slog.Logger, grouped func(int)) *writer {
	w := &writer{db: db, log: log, grouped: grouped, queue: make(chan *request, maxQueued), quit: make(chan struct{}), stopped: make(chan struct{})}
	go w.run()
	return w
}

// do queues fn and returns its outcome after the commit.
func (w *writer) do(ctx context.Context, fn func(context.Context, *Tx) error) error {
	if err := ctx.Err(); err != nil {
		return unavailable(err)
	}
	r := &request{ctx: ctx, fn: fn, done: make(chan error, 1)}
	select {
	case w.queue <- r:
	case <-ctx.Done():
		return unavailable(ctx.Err())
	case <-w.stopped:
		return unavailable(errClosed)
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		if r.stage.CompareAndSwap(queued, abandoned) {
			return unavailable(ctx.Err())
		}
		return <-r.done
	case <-w.stopped:
		select {
		case err := <-r.done:
			return err
		default:
			return unavailable(errClosed)
		}
	}
}

// stop runs what is queued and ends the writer.
func (w *writer) stop() {
	close(w.quit)
	<-w.stopped
}

func (w *writer) run() {
	defer close(w.stopped)
	defer w.disconnect(false)
	expect := 1
	for {
		select {
		case r := <-w.queue:
			expect = w.group(r, expect)
		case <-w.quit:
			for {
				select {
				case r := <-w.queue:
					w.group(r, 1)
				default:
					return
				}
			}
		}
	}
}

// group commits first and those that join it, and returns how many there were.
func (w *writer) group(first *request, expect int) int {
	if !first.stage.CompareAndSwap(queued, taken) {
		return expect
	}
	members := append(make([]*request, 0, expect), first)
	err := w.begin()
	for r := first; err == nil && r != nil; {
		err = w.member(r)
		if err == nil && len(members) < maxGroup {
			if r = w.next(len(members) < expect); r != nil {
				members = append(members, r)
			}
		} else {
			r = nil
		}
	}
	if err == nil {
		err = w.exec("COMMIT")
	}
	if err != nil {
		w.log.Error("a group of writes was not stored", "writes", len(members), "error", err.Error())
		w.disconnect(true)
	} else {
		w.grouped(len(members))
	}
	for _, r := range members {
		if err != nil && r.err == nil {
			r.err = unavailable(err)
		}
		r.done <- r.err
	}
	return len(members)
}

// next takes a queued write, or nil. If wait, it gives those who just got their answer a moment to come back.
func (w *writer) next(wait bool) *request {
	var timeout <-chan time.Time
	for {
		select {
		case r := <-w.queue:
			if r.stage.CompareAndSwap(queued, taken) {
				return r
			}
			continue
		default:
		}
		if !wait {
			return nil
		}
		if timeout == nil {
			timer := time.NewTimer(groupWait)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case r := <-w.queue:
			if r.stage.CompareAndSwap(queued, taken) {
				return r
			}
		case <-timeout:
			return nil
		}
	}
}

// member runs one write in its own savepoint. The error is one that ends the group; the write's own is in r.err.
func (w *writer) member(r *request) error {
	if err := w.exec("SAVEPOINT member"); err != nil {
		return err
	}
	if r.err = guard(r.ctx, r.fn, w.tx, w.log); r.err == nil {
		return w.exec("RELEASE member")
	}
	// Some errors (disk full, input/output) make SQLite roll back everything; then there is no savepoint left and
	// the group cannot go on.
	if err := w.exec("ROLLBACK TO member"); err != nil {
		return err
	}
	return w.exec("RELEASE member")
}

// guard runs fn and turns a panic into an error.
func guard(ctx context.Context, fn func(context.Context, *Tx) error, tx *Tx, log *slog.Logger) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("a write panicked and was rolled back", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = problem.Wrap(problem.Internal, fmt.Errorf("panic: %v", p), "the gateway failed; the request id names this call in our log")
		}
	}()
	return fn(context.WithoutCancel(ctx), tx)
}

func (w *writer) begin() error {
	if w.conn == nil {
		conn, err := w.db.Connx(context.Background())
		if err != nil {
			return err
		}
		w.conn = conn
		w.stmts = &prepared{prepare: conn.PreparexContext, steady: true, stmts: map[string]*sqlx.Stmt{}}
		w.tx = &Tx{Reader{session: w.stmts}}
	}
	return w.exec("BEGIN IMMEDIATE")
}

func (w *writer) exec(query string) error {
	_, err := w.stmts.ExecContext(context.Background(), query)
	return err
}

// disconnect gives the connection up. After a failure it is thrown away, with whatever transaction it has.
func (w *writer) disconnect(failed bool) {
	if w.conn == nil {
		return
	}
	w.stmts.close()
	if failed {
		_, _ = w.conn.ExecContext(context.Background(), "ROLLBACK") // there may be none left
		_ = w.conn.Raw(func(any) error { return driver.ErrBadConn })
	}
	if err := w.conn.Close(); err != nil && !errors.Is(err, driver.ErrBadConn) && !failed {
		w.log.Warn("the writing connection did not close", "error", err.Error())
	}
	w.conn = nil
}
