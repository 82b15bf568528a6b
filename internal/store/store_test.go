package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"portway/internal/ident"
	"portway/internal/problem"
	"portway/internal/store"
)

var start = time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)

func open(t *testing.T, dir string, logs *bytes.Buffer) *store.DB {
	t.Helper()
	db, err := store.Open(context.Background(), options(dir, logs))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func options(dir string, logs *bytes.Buffer) store.Options {
	o := store.Options{Dir: dir, Clock: ident.NewManual(start)}
	if logs != nil {
		o.Log = slog.New(slog.NewTextHandler(logs, nil))
	}
	return o
}

func closed(t *testing.T, db *store.DB) {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

func put(key string) func(context.Context, *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO settings (key, value) VALUES (?, ?)", key, []byte(key))
		return err
	}
}

func count(t *testing.T, db *store.DB) int {
	t.Helper()
	var n int
	if err := db.Read().Get(context.Background(), &n, "SELECT count(*) FROM settings"); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []store.Options{{}, {Dir: t.TempDir(), PostgresURL: "postgres://x"}, {PostgresURL: "postgres://%zz"},
		{Dir: filepath.Join(os.DevNull, "below a file")}, {PostgresURL: "host=" + t.TempDir() + " user=nobody dbname=none"}} {
		if db, err := store.Open(context.Background(), o); err == nil {
			closed(t, db)
			t.Errorf("opened with %+v", o)
		}
	}
}

func TestReopen(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new")
	var logs bytes.Buffer
	db := open(t, dir, &logs)
	if err := db.Write(context.Background(), put("x")); err != nil {
		t.Fatal(err)
	}
	_, err := store.Open(context.Background(), options(dir, nil))
	if err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("opened twice: %v", err)
	}
	closed(t, db)
	for _, name := range []string{"portway.db-wal", "traffic.db-wal"} {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left after a clean stop", name)
		}
	}
	for name, mode := range map[string]os.FileMode{"": 0o700, "portway.db": 0o600, "traffic.db": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%q has mode %v, %v", name, info.Mode(), err)
		}
	}
	if err := db.Write(context.Background(), put("y")); !problem.Is(err, problem.StoreUnavailable) {
		t.Errorf("a write after close: %v", err)
	}
	db = open(t, dir, &logs)
	defer closed(t, db)
	if count(t, db) != 1 {
		t.Error("the write is gone")
	}
	if err := db.Ping(context.Background()); err != nil {
		t.Error(err)
	}
	if logs.Len() > 0 {
		t.Errorf("a clean stop and start has nothing to say, but: %s", &logs)
	}
}

// copyDir copies an open data directory as a crash would leave it.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(e.Name(), "-shm") {
			continue // memory, not file
		}
		if err := os.WriteFile(filepath.Join(to, e.Name()), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func TestUncleanStop(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := open(t, dir, nil)
	defer closed(t, db)
	if err := db.Write(context.Background(), put("x")); err != nil {
		t.Fatal(err)
	}
	crashed := copyDir(t, dir)
	var logs bytes.Buffer
	again := open(t, crashed, &logs)
	if count(t, again) != 1 {
		t.Error("the committed write is gone")
	}
	if !strings.Contains(logs.String(), "the last stop was not clean; the database is whole") {
		t.Errorf("log: %s", &logs)
	}
	closed(t, again)
}

func TestDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := open(t, dir, nil)
	for i := range 200 {
		if err := db.Write(context.Background(), put(fmt.Sprintf("%0512d", i))); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, db)
	path := filepath.Join(dir, "portway.db")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(raw) - 8*4096; i < len(raw)-4096; i++ {
		raw[i] = 0x5a
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "portway.lock"), []byte("running\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a refused start does not count as a clean stop
		if _, err := store.Open(context.Background(), options(dir, nil)); err == nil || !strings.Contains(err.Error(), "is damaged") {
			t.Errorf("got %v", err)
		}
	}
}

func TestNewerSchema(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := open(t, dir, nil)
	err := db.Write(context.Background(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	closed(t, db)
	if _, err := store.Open(context.Background(), options(dir, nil)); err == nil || !strings.Contains(err.Error(), "schema 9999") {
		t.Errorf("got %v", err)
	}
}

// hold starts a write that stays open until the returned function is called, so that others queue up behind it.
func hold(t *testing.T, db *store.DB) (release func()) {
	t.Helper()
	running, end, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- db.Write(context.Background(), func(context.Context, *store.Tx) error {
			close(running)
			<-end
			return nil
		})
	}()
	<-running
	return func() {
		close(end)
		if err := <-done; err != nil && !problem.Is(err, problem.StoreUnavailable) {
			t.Error(err)
		}
	}
}

// queue starts writes while another holds the writer, and returns once all of them are queued.
func queue(db *store.DB, fns ...func(context.Context, *store.Tx) error) (wait func() []error) {
	errs := make([]error, len(fns))
	var wg sync.WaitGroup
	for i, fn := range fns {
		wg.Add(1)
		go func() {
			defer wg.Done()
			errs[i] = db.Write(context.Background(), fn)
		}()
	}
	for db.Queued() < len(fns) {
		runtime.Gosched()
	}
	return func() []error { wg.Wait(); return errs }
}

// orphan is a write whose commit fails.
func orphan(ctx context.Context, tx *store.Tx) error {
	if _, err := tx.Exec(ctx, "PRAGMA defer_foreign_keys = ON"); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `INSERT INTO sites (id, org_id, code, name, gln, zone, cut_off, origin, rev) VALUES ('s', 'absent', '', '', '', '', '', 'file', 1)`)
	return err
}

// TestCommitFails makes the commit of a group fail: nobody in it is told otherwise, nothing remains, the store goes on.
func TestCommitFails(t *testing.T) {
	t.Parallel()
	db := open(t, t.TempDir(), nil)
	defer closed(t, db)
	own := errors.New("own")
	failing := func(context.Context, *store.Tx) error { return own }
	release := hold(t, db)
	wait := queue(db, put("a"), failing, orphan, put("b"))
	release()
	for i, err := range wait() {
		if i == 1 && errors.Is(err, own) {
			continue
		}
		if i == 1 || !problem.Is(err, problem.StoreUnavailable) || problem.From(err).RetryAfter <= 0 {
			t.Errorf("write %d of the failed group: %v", i, err)
		}
	}
	if n := count(t, db); n != 0 {
		t.Errorf("%d rows remain", n)
	}
	release = hold(t, db)
	wait = queue(db, put("a"), failing, put("b"))
	release()
	for i, err := range wait() {
		if (i == 1) != errors.Is(err, own) || (i != 1 && err != nil) {
			t.Errorf("write %d of the next group: %v", i, err)
		}
	}
	if n := count(t, db); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
}

// TestDiskFull lets the file grow no further: a 503 with Retry-After, nothing half-written, and writes work again later.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	db := open(t, t.TempDir(), nil)
	defer closed(t, db)
	err := db.Write(context.Background(), func(ctx context.Context, tx *store.Tx) error {
		var pages int
		if err := tx.Get(ctx, &pages, "PRAGMA page_count"); err != nil {
			return err
		}
		if err := tx.Get(ctx, &pages, fmt.Sprintf("PRAGMA max_page_count = %d", pages+2)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO settings (key, value) VALUES ('big', zeroblob(1000000))")
		return err
	})
	if !problem.Is(err, problem.StoreUnavailable) || problem.From(err).RetryAfter <= 0 {
		t.Fatalf("got %v", err)
	}
	if count(t, db) != 0 {
		t.Error("something remains")
	}
	if err := db.Write(context.Background(), put("small")); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestGiveUp lets a caller give up while it waits in the queue: it returns at once and its write never runs.
func TestGiveUp(t *testing.T) {
	t.Parallel()
	db := open(t, t.TempDir(), nil)
	defer closed(t, db)
	release := hold(t, db)
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(5*time.Millisecond, cancel)
	if err := db.Write(ctx, put("never")); !problem.Is(err, problem.StoreUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	release()
	if err := db.Write(context.Background(), put("later")); err != nil {
		t.Fatal(err)
	}
	if n := count(t, db); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

// TestLoneWriter shows that a write without company does not wait for any.
func TestLoneWriter(t *testing.T) {
	t.Parallel()
	db := open(t, t.TempDir(), nil)
	defer closed(t, db)
	const n = 200
	nothing := func(context.Context, *store.Tx) error { return nil } // no rows, so no fsync either
	best := time.Hour
	for range 5 {
		begun := time.Now()
		for range n {
			if err := db.Write(context.Background(), nothing); err != nil {
				t.Fatal(err)
			}
		}
		best = min(best, time.Since(begun))
	}
	if best > n*time.Millisecond {
		t.Errorf("%d lone writes took %v: they wait for company", n, best)
	}
}
