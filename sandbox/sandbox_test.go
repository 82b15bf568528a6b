package sandbox

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portway/internal/ident"
)

// counting is a server that counts the work it does.
func counting(t *testing.T) (*Server, *httptest.Server, *atomic.Int64) {
	t.Helper()
	var work atomic.Int64
	s := New(Options{Name: "test", Clock: ident.NewManual(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)), MaxBody: 1000, SecretHeaders: []string{"x-key"}},
		Mux([]Route{
			{http.MethodPost, "/jobs", func(w http.ResponseWriter, r *http.Request) {
				var in map[string]any
				if refusal := ReadJSON(r, &in); refusal != nil {
					Fail(w, refusal.Status, refusal.Detail, nil)
					return
				}
				// Larger than net/http buffers, so that an answer which should be lost would show.
				WriteJSON(w, http.StatusCreated, map[string]any{"n": work.Add(1), "padding": strings.Repeat("x", 8192)})
			}},
			{http.MethodGet, "/panic", func(http.ResponseWriter, *http.Request) { panic("boom") }},
		}, Fail))
	ts := httptest.NewServer(s.Handler())
	t.Cleanup(ts.Close)
	return s, ts, &work
}

func do(t *testing.T, method, url, body string, header ...string) (int, string, error) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	// A connection of its own: a client that retries on a reused one would blur what a fault does.
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data), err
}

func TestFaults(t *testing.T) {
	t.Parallel()
	cases := []struct {
		fault  string
		status int
		lost   bool
		work   int64
	}{
		{`{"mode":"none"}`, 201, false, 1},
		{`{"mode":"down","count":1}`, 503, false, 0},
		{`{"mode":"slow","count":1,"delayMs":5}`, 201, false, 1},
		{`{"mode":"garbage","count":1}`, 200, false, 0},
		{`{"mode":"refuse","count":1}`, 0, true, 0},
		{`{"mode":"timeout_after_commit","count":1}`, 0, true, 1},
	}
	for _, c := range cases {
		t.Run(c.fault, func(t *testing.T) {
			t.Parallel()
			s, ts, work := counting(t)
			if status, body, err := do(t, "POST", ts.URL+"/_sim/faults", c.fault); status != 200 {
				t.Fatalf("setting the fault: %d %s %v", status, body, err)
			}
			status, body, err := do(t, "POST", ts.URL+"/jobs", `{}`)
			if (err != nil) != c.lost || status != c.status || work.Load() != c.work {
				t.Fatalf("got %d %q %v with work %d, want %d, lost %v, work %d", status, body, err, work.Load(), c.status, c.lost, c.work)
			}
			if c.status == 200 && json.Valid([]byte(body)) {
				t.Errorf("garbage is valid JSON: %q", body)
			}
			if status, _, err := do(t, "POST", ts.URL+"/jobs", `{}`); status != 201 {
				t.Errorf("after the count: %d %v", status, err)
			}
			if calls := s.Calls(); len(calls) != 2 || (c.lost && c.work == 1 && calls[0].Status != 201) {
				t.Errorf("record: %+v", calls)
			}
		})
	}
}

func TestFaultUntilReset(t *testing.T) {
	t.Parallel()
	_, ts, work := counting(t)
	do(t, "POST", ts.URL+"/_sim/faults", `{"mode":"down"}`)
	for range 3 {
		if status, body, _ := do(t, "POST", ts.URL+"/jobs", `{}`); status != 503 || !strings.Contains(body, "down") {
			t.Fatalf("got %d %s", status, body)
		}
	}
	if status, body, _ := do(t, "GET", ts.URL+"/_sim/faults", ""); status != 200 || !strings.Contains(body, `"down"`) {
		t.Errorf("got %d %s", status, body)
	}
	do(t, "POST", ts.URL+"/_sim/faults", `{"mode":"none"}`)
	if status, _, _ := do(t, "POST", ts.URL+"/jobs", `{}`); status != 201 || work.Load() != 1 {
		t.Errorf("after reset: %d, work %d", status, work.Load())
	}
}

func TestFaultRefused(t *testing.T) {
	t.Parallel()
	_, ts, _ := counting(t)
	for _, body := range []string{`{"mode":"sideways","count":-1,"delayMs":999999999}`, `{"mode":"down","extra":1}`, `{`, ``} {
		status, got, _ := do(t, "POST", ts.URL+"/_sim/faults", body)
		if status != 400 {
			t.Errorf("%s: %d %s", body, status, got)
		}
		if strings.Contains(body, "sideways") {
			for _, want := range []string{"none, down, slow, garbage, refuse, timeout_after_commit", "count:", "delayMs:"} {
				if !strings.Contains(got, want) {
					t.Errorf("%s does not name %q", got, want)
				}
			}
		}
	}
	if status, _, _ := do(t, "POST", ts.URL+"/_sim/faults", `{"mode":"down"}`, "Content-Type", "text/plain"); status != 415 {
		t.Errorf("text/plain: %d", status)
	}
}

func TestStrictness(t *testing.T) {
	t.Parallel()
	_, ts, work := counting(t)
	cases := []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/jobs", `{"a":1}{}`, 400},
		{"POST", "/jobs", `{"a":`, 400},
		{"POST", "/jobs", "{\"a\":\"\xff\"}", 400},
		{"POST", "/jobs", `{"a":"` + strings.Repeat("x", 2000) + `"}`, 413},
		{"PUT", "/jobs", `{}`, 405},
		{"GET", "/nowhere", ``, 404},
		{"GET", "/panic", ``, 500},
	}
	for _, c := range cases {
		status, body, err := do(t, c.method, ts.URL+c.path, c.body)
		if status != c.status || !strings.Contains(body, `"detail"`) || strings.Contains(body, "boom") {
			t.Errorf("%s %s: %d %s %v, want %d", c.method, c.path, status, body, err, c.status)
		}
	}
	if status, _, _ := do(t, "POST", ts.URL+"/jobs", `{}`); status != 201 || work.Load() != 1 {
		t.Errorf("the server does not live on: %d, work %d", status, work.Load())
	}
}

func TestCallsMaskSecretsAndForgetTheOldest(t *testing.T) {
	t.Parallel()
	_, ts, _ := counting(t)
	for range keptCalls + 3 {
		do(t, "POST", ts.URL+"/jobs?x=1", `{}`)
	}
	do(t, "POST", ts.URL+"/jobs", `{}`, "Authorization", "Bearer s3cret", "X-Key", "k3y", "X-Request-Id", "r-1")
	_, body, _ := do(t, "GET", ts.URL+"/_sim/calls", "")
	var out struct{ Calls []Call }
	if err := json.Unmarshal([]byte(body), &out); err != nil || len(out.Calls) != keptCalls {
		t.Fatalf("%v, %d calls", err, len(out.Calls))
	}
	last := out.Calls[keptCalls-1]
	if last.Path != "/jobs" || last.Status != 201 || last.Header["X-Request-Id"][0] != "r-1" || last.Header["X-Key"][0] != "•••" {
		t.Errorf("last call: %+v", last)
	}
	if out.Calls[0].Path != "/jobs?x=1" || strings.Contains(body, "s3cret") || strings.Contains(body, "k3y") {
		t.Error("a secret shows, or the query does not")
	}
}

func TestServeAndClose(t *testing.T) {
	t.Parallel()
	s := New(Options{Name: "test"}, Mux(nil, Fail))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	if err := s.SetFault(Fault{Mode: Slow, Count: 1, DelayMs: int(maxDelay.Milliseconds())}); err != nil {
		t.Fatal(err)
	}
	answered := make(chan int, 1)
	go func() {
		status, _, _ := do(t, "GET", "http://"+ln.Addr().String()+"/", "")
		answered <- status
	}()
	// With a count of one the switch is back at none once the slow call is waiting: Close must end its wait.
	for s.faults.get().Mode == Slow {
		runtime.Gosched()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if status := <-answered; status != 404 {
		t.Errorf("the running call was answered %d", status)
	}
}

type tally struct{ N int }

func TestStoreKeepsAndShares(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, found, err := OpenStore(dir, "tally.json", &tally{})
	if err != nil || found {
		t.Fatalf("%v, found %v", err, found)
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if err := s.Update(func(x *tally) bool { x.N++; return true }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	again, found, err := OpenStore(dir, "tally.json", &tally{})
	if err != nil || !found {
		t.Fatalf("%v, found %v", err, found)
	}
	again.Read(func(x *tally) {
		if x.N != 50 {
			t.Errorf("kept %d of 50", x.N)
		}
	})
}

func TestStoreReportsFailure(t *testing.T) {
	t.Parallel()
	s, _, err := OpenStore(t.TempDir(), "tally.json", &tally{})
	if err != nil {
		t.Fatal(err)
	}
	good := s.path
	s.path = good + "/nowhere/tally.json"
	if err := s.Update(func(x *tally) bool { x.N++; return true }); err == nil {
		t.Fatal("a change that was not written is acknowledged")
	}
	if err := s.Update(func(*tally) bool { return false }); err == nil {
		t.Fatal("an answer about an unwritten change is acknowledged")
	}
	s.path = good
	if err := s.Update(func(*tally) bool { return false }); err != nil {
		t.Fatal(err)
	}
	again, found, err := OpenStore(strings.TrimSuffix(good, "/tally.json"), "tally.json", &tally{})
	if err != nil || !found || again.state.N != 1 {
		t.Errorf("%v, found %v", err, found)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"mode":"down"}`, `{`, `[]`, `{"count":"x"}`, `{"mode":"a"} {}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v Fault
		if refusal := Decode(data, &v, true); refusal != nil && (refusal.Status != 400 || refusal.Detail == "") {
			t.Errorf("%+v", refusal)
		}
	})
}
