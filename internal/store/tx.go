package store

import (
	"context"
	"database/sql"
	"reflect"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/jmoiron/sqlx"
)

// ErrNoRow says that a Get found nothing. Test for it with errors.Is.
var ErrNoRow = sql.ErrNoRows

// session is what a connection pool, a transaction or prepared statements offer alike.
type session interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	GetContext(ctx context.Context, dest any, query string, args ...any) error
	SelectContext(ctx context.Context, dest any, query string, args ...any) error
}

// Reader reads committed rows.
type Reader struct {
	session session
	rebind  *rebinder // nil on SQLite
}

// Get scans the first row of a query into dest (a struct with db tags, or a single value), or returns ErrNoRow.
func (r *Reader) Get(ctx context.Context, dest any, query string, args ...any) error {
	return classify(r.session.GetContext(ctx, dest, r.rebind.text(query), clean(args)...))
}

// Select scans all rows of a query into the slice dest points to.
func (r *Reader) Select(ctx context.Context, dest any, query string, args ...any) error {
	return classify(r.session.SelectContext(ctx, dest, r.rebind.text(query), clean(args)...))
}

// Tx reads and writes inside one Write; it is dead when the closure returns.
type Tx struct{ Reader }

// Exec runs a statement and returns how many rows it touched.
func (t *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := t.session.ExecContext(ctx, t.rebind.text(query), clean(args)...)
	if err != nil {
		return 0, classify(err)
	}
	n, err := res.RowsAffected()
	return n, classify(err)
}

// clean makes texts storable everywhere: valid UTF-8 without U+0000, which PostgreSQL refuses; what is not becomes U+FFFD.
// Look-ups are cleaned alike, so a value is found as it was written. Bytes stay as they are.
func clean(args []any) []any {
	for i, a := range args {
		v := reflect.ValueOf(a)
		if v.Kind() != reflect.String {
			continue
		}
		if s := v.String(); strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s) {
			args[i] = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
		}
	}
	return args
}

// rebinder turns "?" into "$1" once per statement text.
type rebinder struct{ texts sync.Map }

func (r *rebinder) text(query string) string {
	if r == nil {
		return query
	}
	if v, ok := r.texts.Load(query); ok {
		return v.(string)
	}
	out := sqlx.Rebind(sqlx.DOLLAR, query)
	r.texts.Store(strings.Clone(query), out)
	return out
}

// maxPrepared bounds the statements kept per connection or pool; texts beyond it are prepared each time.
const maxPrepared = 400

// prepared runs statements that are compiled once. SQLite compiles in the caller's process, which costs more than
// running most of our statements does.
type prepared struct {
	prepare func(ctx context.Context, query string) (*sqlx.Stmt, error)
	// steady hides the caller's cancellation: SQLite rolls back the whole transaction of an interrupted write, and
	// with it the neighbours in the group.
	steady bool

	mu    sync.Mutex
	stmts map[string]*sqlx.Stmt
}

func (p *prepared) with(ctx context.Context, query string, run func(context.Context, *sqlx.Stmt) error) error {
	if p.steady {
		ctx = context.WithoutCancel(ctx)
	}
	p.mu.Lock()
	s, ok := p.stmts[query]
	p.mu.Unlock()
	if ok {
		return run(ctx, s)
	}
	// A statement that lives on is not compiled under a context that ends with this call.
	s, err := p.prepare(context.WithoutCancel(ctx), query)
	if err != nil {
		return err
	}
	p.mu.Lock()
	_, raced := p.stmts[query]
	keep := !raced && len(p.stmts) < maxPrepared
	if keep {
		p.stmts[strings.Clone(query)] = s
	}
	p.mu.Unlock()
	if keep {
		return run(ctx, s)
	}
	defer s.Close()
	return run(ctx, s)
}

func (p *prepared) ExecContext(ctx context.Context, query string, args ...any) (res sql.Result, err error) {
	err = p.with(ctx, query, func(ctx context.Context, s *sqlx.Stmt) error {
		res, err = s.ExecContext(ctx, args...)
		return err
	})
	return res, err
}

func (p *prepared) GetContext(ctx context.Context, dest any, query string, args ...any) error {
	return p.with(ctx, query, func(ctx context.Context, s *sqlx.Stmt) error { return s.GetContext(ctx, dest, args...) })
}

func (p *prepared) SelectContext(ctx context.Context, dest any, query string, args ...any) error {
	return p.with(ctx, query, func(ctx context.Context, s *sqlx.Stmt) error { return s.SelectContext(ctx, dest, args...) })
}

func (p *prepared) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.stmts {
		_ = s.Close() // the connection goes next and takes the statement with it
	}
	p.stmts = map[string]*sqlx.Stmt{}
}
