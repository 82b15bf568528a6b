package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	b, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(b)
}

func TestMetricsAreCountedUnderClosedLabels(t *testing.T) {
	t.Parallel()
	m := NewMetrics("1.2.3")
	admin := NewAdmin(m, NewHealth(), slog.New(slog.DiscardHandler)).server.Handler
	m.Call(Call{Operation: "orders/v1/getFeed", Environment: "live", Status: 200, Took: 30 * time.Millisecond, Upstream: 20 * time.Millisecond})
	m.Attempt("erp", "live", "answered", true, 20*time.Millisecond)
	m.Attempt("erp", "live", "breaker_open", false, 0)
	m.Breaker("erp", "live", "open")
	m.Call(Call{Operation: "orders/v1/getFeed", Environment: "live", Status: 429, Code: "rate.exceeded", Took: time.Millisecond})
	for range 1000 { // whatever is called, an unknown operation is one label
		m.Call(Call{Status: 404, Code: "route.unknown"})
	}
	m.Call(Call{Status: 4711, Took: -time.Second, Upstream: time.Second})
	m.Reload("catalogue", "refused")
	m.Group("portway.db", 7)
	m.Add(Series{Name: "portway_deliveries", Help: "h", Labels: []string{"lane", "state"}, Read: func(emit Emit) {
		emit(3, "bulk", "pending")
		emit(1, "bulk", "dead")
	}})
	status, text := get(t, admin, "/metrics")
	if status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	for _, line := range []string{
		`portway_calls_total{class="2xx",environment="live",operation="orders/v1/getFeed"} 1`,
		`portway_calls_total{class="4xx",environment="live",operation="orders/v1/getFeed"} 1`,
		`portway_calls_total{class="4xx",environment="none",operation="none"} 1000`,
		`portway_calls_total{class="other",environment="none",operation="none"} 1`,
		`portway_refusals_total{code="rate.exceeded",environment="live"} 1`,
		`portway_gateway_seconds_bucket{operation="orders/v1/getFeed",le="0.01"} 2`,
		`portway_backend_seconds_bucket{backend="erp",environment="live",le="0.025"} 1`,
		`portway_backend_seconds_count{backend="erp",environment="live"} 1`,
		`portway_backend_attempts_total{backend="erp",environment="live",outcome="answered"} 1`,
		`portway_backend_attempts_total{backend="erp",environment="live",outcome="breaker_open"} 1`,
		`portway_breaker_changes_total{backend="erp",environment="live",state="open"} 1`,
		`portway_reloads_total{result="refused",what="catalogue"} 1`,
		`portway_store_group_writes_bucket{file="portway.db",le="8"} 1`,
		`portway_deliveries{lane="bulk",state="pending"} 3`,
		`portway_build_info{version="1.2.3"} 1`,
		"go_memstats_heap_alloc_bytes ", "go_gc_heap_live_bytes ", "process_cpu_seconds_total ",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("no line %q", line)
		}
	}
	if n := strings.Count(text, "\nportway_calls_total{"); n != 4 {
		t.Errorf("%d series of calls, want 4", n)
	}
}

func TestNilMetricsKeepNothing(t *testing.T) {
	t.Parallel()
	var m *Metrics
	m.Call(Call{})
	m.Reload("catalogue", "applied")
	m.Group("f", 1)
	m.Attempt("b", "live", "answered", true, 0)
	m.Breaker("b", "live", "open")
	m.Add(Series{})
}

func TestReadyNamesEveryReason(t *testing.T) {
	t.Parallel()
	h := NewHealth()
	admin := NewAdmin(NewMetrics("v"), h, slog.New(slog.DiscardHandler)).server.Handler
	if status, text := get(t, admin, "/readyz"); status != 200 || !strings.Contains(text, `"ready"`) {
		t.Errorf("nothing required: %d %s", status, text)
	}
	down := true
	h.Require("store", func(context.Context) error {
		if down {
			return errors.New("no answer")
		}
		return nil
	})
	h.Require("directory", func(context.Context) error { panic("boom") })
	h.Require("slow", func(ctx context.Context) error { <-ctx.Done(); return nil })
	status, text := get(t, admin, "/readyz")
	for _, want := range []string{`"store"`, "no answer", `"directory"`, "panicked", `"slow"`, "no answer within"} {
		if status != 503 || !strings.Contains(text, want) {
			t.Errorf("%d without %s: %s", status, want, text)
		}
	}
	if status, _ := get(t, admin, "/livez"); status != 200 {
		t.Errorf("alive although not ready: %d", status)
	}
	down = false
	h.Require("directory", func(context.Context) error { return nil })
	h.Require("slow", func(context.Context) error { return nil })
	if status, text := get(t, admin, "/readyz"); status != 200 {
		t.Errorf("all in order: %d %s", status, text)
	}
	h.Drain()
	if status, text := get(t, admin, "/readyz"); status != 503 || !strings.Contains(text, "draining") {
		t.Errorf("draining: %d %s", status, text)
	}
}

func TestReportSaysWhatIsDegraded(t *testing.T) {
	t.Parallel()
	h := NewHealth()
	admin := NewAdmin(NewMetrics("v"), h, slog.New(slog.DiscardHandler)).server.Handler
	h.Detail("limiter", func(context.Context) (any, bool) { return map[string]bool{"local": true}, true })
	h.Detail("catalogue", func(context.Context) (any, bool) { return "abc", false })
	h.Detail("broken", func(context.Context) (any, bool) { panic("boom") })
	status, text := get(t, admin, "/healthz")
	var r Report
	if err := json.Unmarshal([]byte(text), &r); err != nil || status != 200 {
		t.Fatalf("%d %v %s", status, err, text)
	}
	if r.Status != "degraded" || fmt.Sprint(r.Degraded) != "[broken limiter]" || r.Details["catalogue"] != "abc" {
		t.Errorf("%+v", r)
	}
	h.Drain()
	if status, text := get(t, admin, "/healthz"); status != 503 || !strings.Contains(text, `"not ready"`) {
		t.Errorf("draining: %d %s", status, text)
	}
}

func TestAdminServesNothingElse(t *testing.T) {
	t.Parallel()
	admin := NewAdmin(NewMetrics("v"), NewHealth(), slog.New(slog.DiscardHandler)).server.Handler
	for _, path := range []string{"/", "/orders/v1/feed", "/debug/pprof/cmdline"} {
		if status, _ := get(t, admin, path); status != 404 {
			t.Errorf("%s: %d", path, status)
		}
	}
	w := httptest.NewRecorder()
	admin.ServeHTTP(w, httptest.NewRequest("POST", "/readyz", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
	if status, text := get(t, admin, "/debug/pprof/heap?debug=1"); status != 200 || !strings.Contains(text, "heap profile") {
		t.Errorf("heap profile: %d", status)
	}
}

func TestCountLogs(t *testing.T) {
	t.Parallel()
	m := NewMetrics("v")
	var out bytes.Buffer
	log := slog.New(CountLogs(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelError}), m)).With("room", "test").WithGroup("g")
	log.Info("not shown")
	log.Warn("counted, not shown")
	log.Error("shown")
	log.Error("panic", "stage", "x", "panic", "boom")
	if text := out.String(); strings.Contains(text, "not shown") || strings.Count(text, "\n") != 2 || !strings.Contains(text, "room=test") {
		t.Errorf("log:\n%s", text)
	}
	_, text := get(t, NewAdmin(m, NewHealth(), slog.New(slog.DiscardHandler)).server.Handler, "/metrics")
	for _, line := range []string{`portway_log_records_total{level="warn"} 1`, `portway_log_records_total{level="error"} 2`, "portway_panics_total 1"} {
		if !strings.Contains(text, line) {
			t.Errorf("no line %q", line)
		}
	}
}

func TestFileGoesOnAfterItWasMoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, moved := filepath.Join(dir, "access.log"), filepath.Join(dir, "access.log.1")
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(s string) {
		t.Helper()
		if _, err := io.WriteString(f, s); err != nil {
			t.Fatal(err)
		}
	}
	write("one\n")
	if err := os.Rename(path, moved); err != nil {
		t.Fatal(err)
	}
	write("two\n")
	if err := f.Reopen(); err != nil {
		t.Fatal(err)
	}
	write("three\n")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{moved: "one\ntwo\n", path: "three\n"} {
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("%s holds %q (%v), want %q", filepath.Base(file), got, err, want)
		}
	}
	if _, err := OpenFile(filepath.Join(dir, "absent", "x")); err == nil {
		t.Error("a file in no folder was opened")
	}
}
