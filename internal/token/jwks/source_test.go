package jwks

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portway/internal/ident"
	"portway/internal/token/jose"
)

// server is an issuer's key endpoint whose answer the test sets.
type server struct {
	*httptest.Server
	calls atomic.Int64

	mu     sync.Mutex
	answer http.HandlerFunc
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		s.mu.Lock()
		answer := s.answer
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) set(f http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

// publish answers with these keys.
func (s *server) publish(control string, keys ...*jose.Key) {
	set, err := jose.NewSet(keys...)
	if err != nil {
		panic(err)
	}
	b, err := json.Marshal(set)
	if err != nil {
		panic(err)
	}
	s.set(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", control)
		_, _ = w.Write(b)
	})
}

func (s *server) status(code int) {
	s.set(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
}

func newKey(t *testing.T) *jose.Key {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k, err := jose.NewKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func source(t *testing.T, url string) (*Source, *ident.Manual) {
	t.Helper()
	clock := ident.NewManual(time.Unix(1e9, 0))
	s, err := New(url, Options{Clock: clock, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s, clock
}

// refresh begins what is due and waits for it.
func refresh(s *Source) {
	if flight := s.begin(); flight != nil {
		<-flight
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"https://issuer.example/keys": true, "https://issuer.example/keys?p=x": true, "http://127.0.0.1:8080/keys": true, "http://[::1]/keys": true,
		"http://localhost/keys": true, "http://issuer.example/keys": false, "http://127.0.0.1.example/keys": false, "": false, "keys.json": false,
		"file:///etc/passwd": false, "https://user:pass@issuer.example/": false, "https:///keys": false, "https://issuer.example/#x": false,
		"ftp://127.0.0.1/keys": false, "http://10.0.0.1/keys": false, "https:issuer": false,
	} {
		if err := CheckAddress(address); (err == nil) != want {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// The issuer is down when we start: tokens cannot be judged, and then they can.
func TestStartWithTheIssuerDown(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	srv.status(503)
	s, clock := source(t, srv.URL)
	k := newKey(t)
	refresh(s)
	if _, err := s.Key(context.Background(), k.ID); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
	if st := s.Status(); st.Problem == nil || st.Keys != 0 || !st.Fetched.IsZero() {
		t.Errorf("status %+v", st)
	}
	srv.publish("", k)
	refresh(s)
	if s.Find(k.ID) != nil {
		t.Error("retried before the first wait was over")
	}
	clock.Advance(2 * retryFirst) // the call that asked failed too
	refresh(s)
	if s.Find(k.ID) == nil || s.Status().Problem != nil {
		t.Errorf("not found after the retry: %+v", s.Status())
	}
}

func TestRefreshAheadOfTheEnd(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	old, next := newKey(t), newKey(t)
	srv.publish("public, max-age=300", old)
	s, clock := source(t, srv.URL)
	refresh(s)
	kept := s.Find(old.ID)
	srv.publish("public, max-age=300", old, next)
	clock.Advance(239 * time.Second)
	refresh(s)
	if srv.calls.Load() != 1 {
		t.Fatalf("%d calls before four fifths of the life", srv.calls.Load())
	}
	clock.Advance(time.Second)
	refresh(s)
	if s.Find(next.ID) == nil || s.Find(old.ID) != kept {
		t.Error("the new key is not there, or the old one lost its identity")
	}
	srv.publish("public, max-age=300", next)
	clock.Advance(240 * time.Second)
	refresh(s)
	if s.Find(old.ID) != nil || s.Find(next.ID) == nil {
		t.Error("a removed key is still there")
	}
	srv.set(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[]}`) })
	clock.Advance(240 * time.Second)
	refresh(s)
	if s.Find(next.ID) != nil {
		t.Error("an issuer that takes all keys back is not obeyed")
	}
}

func TestLife(t *testing.T) {
	t.Parallel()
	for control, want := range map[string]time.Duration{"": lifeDefault, "max-age=300": 5 * time.Minute, "public, Max-Age=\"600\"": 10 * time.Minute,
		"max-age=0": lifeLeast, "max-age=99999999": lifeMost, "max-age=-1": lifeDefault, "max-age=x": lifeDefault, "no-store": lifeDefault, "max-age=99999999999999999999": lifeDefault} {
		if got := life(control); got != want {
			t.Errorf("%q: %s, want %s", control, got, want)
		}
	}
}

// The last good set serves for a day of failures, and no longer.
func TestLastGoodSet(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	k := newKey(t)
	srv.publish("", k)
	s, clock := source(t, srv.URL)
	refresh(s)
	for name, answer := range map[string]http.HandlerFunc{
		"an error":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"not JSON":      func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"a private key": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[{"kty":"oct","k":"AA"}]}`) },
		"too large": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"keys":[]}`+strings.Repeat(" ", maxBytes))
		},
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99")
			fmt.Fprint(w, `{"keys":[]}`)
		},
		"a redirect":      func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"an empty answer": func(http.ResponseWriter, *http.Request) {},
		"hanging up":      func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		srv.set(answer)
		clock.Advance(lifeMost)
		before := srv.calls.Load()
		refresh(s)
		if s.Find(k.ID) == nil || s.Status().Problem == nil {
			t.Errorf("%s: the last good set is gone, or nothing is reported", name)
		}
		if calls := srv.calls.Load() - before; calls < 1 || name == "a redirect" && calls != 1 {
			t.Errorf("%s: %d calls", name, calls)
		}
	}
	clock.Advance(keepFor - 8*lifeMost)
	if s.Find(k.ID) == nil {
		t.Error("gone before 24 hours")
	}
	clock.Advance(time.Second)
	if _, err := s.Key(context.Background(), k.ID); !errors.Is(err, ErrUnavailable) {
		t.Errorf("after 24 hours: %v", err)
	}
}

// TestUnknownKids lets many calls ask for keys that are not there: one fetch in 30 seconds, whoever asks.
func TestUnknownKids(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	k := newKey(t)
	srv.publish("", k)
	s, clock := source(t, srv.URL)
	refresh(s)
	ask := func(n int, kid func(int) string) {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				if _, err := s.Key(context.Background(), kid(i)); !errors.Is(err, ErrUnknown) {
					t.Errorf("%v, want ErrUnknown", err)
				}
			})
		}
		wg.Wait()
	}
	ask(50, func(i int) string { return fmt.Sprint("random-", i) })
	if got := srv.calls.Load(); got != 2 {
		t.Fatalf("%d calls, want 2: the first and one for all", got)
	}
	clock.Advance(askEvery - time.Second)
	ask(50, func(i int) string { return fmt.Sprint("other-", i) })
	if got := srv.calls.Load(); got != 2 {
		t.Fatalf("%d calls within 30 s, want 2", got)
	}
	clock.Advance(time.Second)
	ask(1, func(int) string { return "again" })
	clock.Advance(askEvery)
	ask(50, func(int) string { return "again" })
	if got := srv.calls.Load(); got != 3 {
		t.Fatalf("%d calls, want 3: a kid found absent asks no more for a minute", got)
	}
	// A key that was published in between is found by the call that asks.
	next := newKey(t)
	srv.publish("", k, next)
	if got, err := s.Key(context.Background(), next.ID); err != nil || !got.Same(next) {
		t.Errorf("the new key: %v", err)
	}
	if len(s.missing) > maxMissing {
		t.Errorf("%d kids remembered", len(s.missing))
	}
}

func TestMissingIsBounded(t *testing.T) {
	t.Parallel()
	s, clock := source(t, "http://127.0.0.1:1/")
	for i := range 3 * maxMissing {
		s.miss(fmt.Sprint(i))
	}
	if len(s.missing) != maxMissing {
		t.Errorf("%d kids remembered", len(s.missing))
	}
	clock.Advance(missFor)
	if s.miss("late"); len(s.missing) != 1 {
		t.Errorf("%d kids remembered after their time", len(s.missing))
	}
}

// Calls wait for a slow issuer together, so many at most, and none longer than its own time.
func TestWaiting(t *testing.T) {
	t.Parallel()
	srv := newServer(t)
	k := newKey(t)
	srv.publish("", k)
	s, clock := source(t, srv.URL)
	refresh(s)
	release, arrived := make(chan struct{}), make(chan struct{}, 1)
	srv.set(func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-release
		w.WriteHeader(500)
	})
	clock.Advance(askEvery)
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	wg.Go(func() {
		if _, err := s.Key(ctx, "slow"); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want that of the context", err)
		}
	})
	<-arrived
	if s.Find(k.ID) == nil {
		t.Error("known keys wait for nobody")
	}
	var many []func()
	for range maxWaiting - 1 {
		wait, done := s.ask("more")
		if wait == nil {
			t.Fatal("refused below the bound")
		}
		many = append(many, done)
	}
	if _, err := s.Key(context.Background(), "beyond"); !errors.Is(err, ErrUnknown) {
		t.Errorf("beyond the bound: %v", err)
	}
	cancel()
	wg.Wait()
	for _, done := range many {
		done()
	}
	if s.waiting != 0 {
		t.Errorf("%d still wait", s.waiting)
	}
	flight := s.begin()
	close(release)
	<-flight
	// A fetch that failed says nothing about the kid.
	if len(s.missing) != 0 {
		t.Errorf("%d kids were marked absent by a failure", len(s.missing))
	}
}

// A transport that panics takes down nothing.
func TestPanicInAFetch(t *testing.T) {
	t.Parallel()
	s, err := New("https://issuer.example/keys", Options{Clock: ident.NewManual(time.Unix(1e9, 0)), Log: slog.New(slog.DiscardHandler), Transport: broken{}})
	if err != nil {
		t.Fatal(err)
	}
	refresh(s)
	if st := s.Status(); st.Problem == nil || !strings.Contains(st.Problem.Error(), "panicked") {
		t.Errorf("%+v", st)
	}
}

type broken struct{}

func (broken) RoundTrip(*http.Request) (*http.Response, error) { panic("broken") }
