package idempotency

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"portway/gateway/exchange"
	"portway/internal/catalog"
	"portway/internal/idempotent"
	"portway/internal/ident"
	"portway/internal/problem"
	"portway/internal/store"
	"portway/internal/store/idempotentdb"
)

// failing is a register on disk that does not settle what it is told not to.
type failing struct {
	*idempotentdb.Store
	states string
}

func (f *failing) Settle(ctx context.Context, r idempotent.Record) error {
	if strings.Contains(f.states, string(r.State)) {
		return errors.New("disk full")
	}
	return f.Store.Settle(ctx, r)
}

// backend stands for the proxy dispatch.
type backend struct {
	calls int
	do    func(x *exchange.Exchange) error
}

func (*backend) Name() string { return "proxy" }

func (b *backend) Run(_ context.Context, x *exchange.Exchange) error {
	b.calls++
	if b.do != nil {
		return b.do(x)
	}
	x.UpstreamStatus, x.Response = 201, &exchange.Response{Status: 201, Body: []byte(fmt.Sprint("made ", b.calls))}
	return nil
}

// mapped is a stage after the backend that puts its answer into our words, or cannot.
type mapped struct{ err error }

func (mapped) Name() string { return "mapped" }

func (m mapped) Run(_ context.Context, x *exchange.Exchange) error {
	if m.err == nil {
		x.Response.Body = append([]byte("in our words: "), x.Response.Body...)
	}
	return m.err
}

// line is the stages on the runner, over a register on disk.
type line struct {
	register *failing
	backend  *backend
	clock    *ident.Manual
	runner   *exchange.Pipeline
}

func newLine(t *testing.T) *line {
	t.Helper()
	db, err := store.Open(context.Background(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	l := &line{register: &failing{Store: idempotentdb.New(db)}, backend: &backend{}, clock: ident.NewManual(now)}
	log := slog.New(slog.NewTextHandler(&bytes.Buffer{}, nil))
	keys := &Keys{Store: l.register, Clock: l.clock, Log: log}
	l.runner = &exchange.Pipeline{Inbound: []exchange.Stage{Lookup{keys}, Reserve{keys}},
		Dispatch: map[string]exchange.Stage{string(catalog.Proxy): l.backend}, Produced: []exchange.Stage{mapped{}}, Every: []exchange.Stage{Settle{keys}},
		Docs: "http://p/", Clock: l.clock, Log: log}
	return l
}

func (l *line) call() *exchange.Exchange {
	x := call(catalog.KeyRequired, sent)
	l.runner.Run(context.Background(), x)
	return x
}

func TestTheReplayIsWhatTheCallerGot(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	first, again := l.call().Response, l.call().Response
	if first.Status != 201 || string(first.Body) != "in our words: made 1" || again.Status != 201 || string(again.Body) != string(first.Body) ||
		first.Header.Get(headerReplayed) != "" || again.Header.Get(headerReplayed) != "true" || l.backend.calls != 1 {
		t.Errorf("%d %s, then %d %s", first.Status, first.Body, again.Status, again.Body)
	}
}

func TestASettlementThatFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		states string
		wait   time.Duration // until the key is in doubt
	}{
		"only the answer cannot be stored": {"done", 0},
		"nothing can be stored":            {"done in_doubt", 35 * time.Second},
	} {
		l := newLine(t)
		l.register.states = c.states
		if r := l.call().Response; r.Status != 201 || string(r.Body) != "in our words: made 1" {
			t.Errorf("%s: the answer is %d %s", name, r.Status, r.Body)
		}
		if c.wait > 0 {
			if x := l.call(); x.Err == nil || x.Err.Code != problem.IdempotencyBusy {
				t.Errorf("%s: while the lease lasts: %v", name, x.Err)
			}
		}
		l.clock.Advance(c.wait)
		l.register.states = ""
		for range 2 {
			if x := l.call(); x.Err == nil || x.Err.Code != problem.IdempotencyInDoubt {
				t.Errorf("%s: %v", name, x.Err)
			}
		}
		if l.backend.calls != 1 {
			t.Errorf("%s: %d calls", name, l.backend.calls)
		}
	}
}

func TestWhateverHappensAfterTheReservation(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do    func(x *exchange.Exchange) error
		after error
		first problem.Code
		then  problem.Code // of a repetition; "" when it is carried out, or replayed
		calls int
	}{
		"a panic":           {func(*exchange.Exchange) error { panic("kaboom") }, nil, problem.Internal, problem.IdempotencyInDoubt, 1},
		"nothing was sent":  {func(*exchange.Exchange) error { return problem.New(problem.BackendUnreachable, "down") }, nil, problem.BackendUnreachable, problem.BackendUnreachable, 2},
		"no answer in time": {func(*exchange.Exchange) error { return problem.New(problem.BackendTimeout, "slow") }, nil, problem.BackendTimeout, problem.IdempotencyInDoubt, 1},
		"a bad answer":      {nil, problem.New(problem.BackendBadAnswer, "no JSON"), problem.BackendBadAnswer, problem.IdempotencyInDoubt, 1},
		"a refusal we can word": {func(x *exchange.Exchange) error {
			x.UpstreamStatus, x.Response = 409, &exchange.Response{Status: 409}
			return nil
		}, problem.New(problem.Conflict, "not so"), problem.Conflict, "", 1},
	} {
		l := newLine(t)
		l.backend.do, l.runner.Produced = c.do, []exchange.Stage{mapped{err: c.after}}
		first := l.call()
		if first.Err == nil || first.Err.Code != c.first {
			t.Errorf("%s: %v", name, first.Err)
		}
		x := l.call()
		if c.then == "" && (x.Err != nil || x.Response.Status != first.Response.Status || string(x.Response.Body) != string(first.Response.Body)) || c.then != "" && (x.Err == nil || x.Err.Code != c.then) {
			t.Errorf("%s: repeated: %v, %+v", name, x.Err, x.Response)
		}
		if l.backend.calls != c.calls {
			t.Errorf("%s: %d calls", name, l.backend.calls)
		}
	}
}
