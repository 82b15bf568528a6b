//go:build unix

// Package pgtest gives tests a PostgreSQL server: the one TEST_POSTGRES_URL names, or one it starts from local binaries,
// which as root on Debian it installs first. A test binary has one server and each test a database of its own.
//
// A package that uses it has: func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }
package pgtest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"portway/internal/needs"
	"portway/internal/store"
)

// pool is the server of this test binary, started when a test first asks.
type pool struct {
	once     sync.Once
	server   *server // nil when TEST_POSTGRES_URL names one
	admin    string  // address of the maintenance database
	template string
	missing  error
	number   atomic.Int64
}

// shared is what Run and the tests of one binary must agree on; nothing outside tests sees it.
var shared pool

// Run runs the tests of a binary and stops the server they started. Its result is for os.Exit.
func Run(m *testing.M) int {
	code := m.Run()
	if err := shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		return 1
	}
	return code
}

// URL returns the address of a fresh, migrated database for one test. Without a server the test
// is skipped, or fails if TEST_REQUIRE lists postgres.
func URL(t testing.TB) string {
	t.Helper()
	shared.once.Do(func() { shared.missing = shared.start() })
	if shared.missing != nil {
		needs.Missing(t, "postgres", fmt.Sprintf("no PostgreSQL: %v", shared.missing))
	}
	name := fmt.Sprintf("%s_%d", shared.template, shared.number.Add(1))
	if err := shared.exec("CREATE DATABASE " + name + " TEMPLATE " + shared.template); err != nil {
		t.Fatalf("create a database for the test: %v", err)
	}
	if shared.server != nil {
		return database(shared.admin, name) // it goes with its server: dropping one costs a checkpoint
	}
	t.Cleanup(func() {
		if err := shared.exec("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)"); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	return database(shared.admin, name)
}

func (p *pool) start() error {
	p.admin = os.Getenv("TEST_POSTGRES_URL")
	if p.admin == "" {
		s, err := startServer()
		if err != nil {
			return err
		}
		p.server, p.admin = s, s.url
	}
	name := fmt.Sprintf("portway_test_%d", os.Getpid())
	if err := p.exec("CREATE DATABASE " + name); err != nil {
		return fmt.Errorf("the server does not take commands: %w", err)
	}
	p.template = name
	db, err := store.Open(context.Background(), store.Options{PostgresURL: database(p.admin, name)})
	if err != nil {
		return err
	}
	return db.Close()
}

func (p *pool) stop() error {
	if p.server != nil {
		return p.server.stop()
	}
	if p.template == "" {
		return nil
	}
	return p.exec("DROP DATABASE IF EXISTS " + p.template + " WITH (FORCE)")
}

func (p *pool) exec(command string) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, p.admin)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, command)
	if e := conn.Close(ctx); err == nil {
		err = e
	}
	return err
}

// database is the address of another database on the same server.
func database(address, name string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme == "" {
		return address + " dbname=" + name
	}
	u.Path = "/" + name
	return u.String()
}
