package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"portway/internal/app/observe"
)

const runningSpec = `openapi: 3.1.0
info: {title: Things, version: "1"}
servers: [{url: /things/v1}]
security: [{oauth2: [things:read]}]
paths:
  /things/{id}:
    get:
      operationId: getThing
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
      responses: {'200': {description: it, content: {application/json: {schema: {type: object}}}}}
components:
  securitySchemes:
    oauth2: {type: oauth2, flows: {clientCredentials: {tokenUrl: /token, scopes: {'things:read': read}}}}
`

const runningPlan = "kind: plan\nschema: 1\nname: Wide %d\nlimits: [{name: burst, rate: 100000, per: 1s, burst: 100000}]\n"

var runningSecret = strings.Repeat("s3cret", 8)

// runningInstallation writes a --config folder with one proxied operation, and a backend for it.
func runningInstallation(t *testing.T, backend http.HandlerFunc) string {
	t.Helper()
	b := httptest.NewServer(backend)
	t.Cleanup(b.Close)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"specs/things/v1/openapi.yaml":  runningSpec,
		"policies/apis/things.yaml":     "kind: api\nschema: 1\ntitle: Things\nversions: {v1: {}}\noperations: {getThing: {dispatch: proxy, backend: {fixed: store}}}\n",
		"policies/plans/wide.yaml":      fmt.Sprintf(runningPlan, 0),
		"policies/backends/store.yaml":  "kind: backend\nschema: 1\nname: Store\nurls: {live: \"" + b.URL + "\"}\n",
		"policies/partners/caller.yaml": runningPartner,
	} {
		putFile(t, dir, name, []byte(text))
	}
	return dir
}

const runningPartner = `kind: partner
schema: 1
organisation: {name: Caller, kind: 3pl, zone: UTC}
applications:
  - slug: app
    name: App
    credentials: [{environment: live, clientId: running, secret: "env:RUNNING_SECRET"}]
    subscriptions: [{api: things, environments: [live], plan: wide, scopes: ["things:read"]}]
`

func thing(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, `{"id":"1"}`)
}

// bigThing answers more than a client that does not read makes room for.
func bigThing(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/big") {
		thing(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"id":%q}`, strings.Repeat("x", 32<<10))
}

func secretsOfRunning() []string { return []string{"RUNNING_SECRET=" + runningSecret} }

// digest is the digest of the catalogue in force, and the result of the last reload.
func digest(t *testing.T, admin string) (digest, result string, problems []string) {
	t.Helper()
	_, text := fetch(t, admin+"/healthz")
	var r struct {
		Details struct {
			Catalogue struct {
				Digest string         `json:"digest"`
				Last   observe.Reload `json:"last_reload"`
			} `json:"catalogue"`
		} `json:"details"`
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	return r.Details.Catalogue.Digest, r.Details.Catalogue.Last.Result, r.Details.Catalogue.Last.Problems
}

// TestReloadUnderLoad changes a policy file again and again while callers call: none of them notices, the old snapshots
// are collected, and the memory that is in use does not grow. SOAK makes it 1,000 times.
func TestReloadUnderLoad(t *testing.T) {
	reloads := 50
	if os.Getenv("SOAK") != "" {
		reloads = 1000
	}
	dir := runningInstallation(t, thing)
	p := launch(t, secretsOfRunning(), "--config="+dir, "--watch-every=10ms", "--log-level=error")
	l := begin(p.at("gateway"), bearer(t, p.at("gateway")), "/things/v1/things/1", 8, 200)
	was, _, _ := digest(t, p.at("admin"))
	heap := make([]float64, 0, reloads)
	for i := range reloads {
		putFile(t, dir, "policies/plans/wide.yaml", fmt.Appendf(nil, runningPlan, i+1))
		until(t, fmt.Sprintf("reload %d", i+1), func() bool {
			now, _, _ := digest(t, p.at("admin"))
			ok := now != was
			was = now
			return ok
		})
		if status, _ := p.get("/debug/pprof/heap?gc=1"); status != 200 { // collects before it answers
			t.Fatalf("no heap profile: %d", status)
		}
		_, metrics := p.get("/metrics")
		heap = append(heap, number(t, metrics, "go_gc_heap_live_bytes"))
	}
	l.end(t)
	_, metrics := p.get("/metrics")
	if n := number(t, metrics, `portway_reloads_total{result="applied",what="catalogue"}`); n < float64(reloads) {
		t.Errorf("%v reloads were applied, want %d", n, reloads)
	}
	p.get("/debug/pprof/heap?gc=1")
	_, metrics = p.get("/metrics")
	if n := number(t, metrics, "portway_catalogue_retired_snapshots"); n > 1 { // one may still be cached by a page
		t.Errorf("%v replaced snapshots are in memory", n)
	}
	if n := number(t, metrics, "portway_panics_total"); n != 0 {
		t.Errorf("%v panics", n)
	}
	half := heap[reloads/2:]
	early, late := median(half[:len(half)/2]), median(half[len(half)/2:])
	t.Logf("%d reloads, %d calls answered, heap after collection %.2f MiB, then %.2f MiB", reloads, l.count(), early/(1<<20), late/(1<<20))
	if late > early*1.02+128<<10 {
		t.Errorf("the heap grows over the last half: %.0f to %.0f bytes", early, late)
	}
	if l.count() < reloads {
		t.Errorf("only %d calls were made: that is no load", l.count())
	}
	p.signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 {
		t.Errorf("ended with %d", code)
	}
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}

// TestBadEditKeepsTheOldOne breaks files one after the other: what is in force stays, and log, health and metrics say
// why with file and line; the corrected files are applied.
func TestBadEditKeepsTheOldOne(t *testing.T) {
	t.Parallel()
	dir := runningInstallation(t, thing)
	r := start(t, map[string]string{"RUNNING_SECRET": runningSecret, "SECOND_SECRET": strings.Repeat("0ther!", 8)}, "--data="+t.TempDir(), "--config="+dir,
		"--watch-every=10ms", "--admin-listen=127.0.0.1:0")
	admin := r.at("admin")
	ask := call{method: "GET", path: "/things/v1/things/1", header: map[string]string{"Authorization": "Bearer " + r.tokenOf("running", runningSecret)}}
	if got := r.do(ask); got.status != 200 {
		t.Fatalf("before: %d %s", got.status, got.body)
	}
	before, _, _ := digest(t, admin)
	for _, c := range []struct{ name, file, text, want string }{
		{"an unknown key of a plan", "policies/plans/wide.yaml", "kind: plan\nschema: 1\nname: Wide\nlimit: []\n", "policies/plans/wide.yaml:4"},
		{"a contract that is none", "specs/things/v1/openapi.yaml", "openapi: 3.1.0\ninfo: {title: x\n", "specs/things/v1/openapi.yaml"},
		{"a partner with a plan that is none", "policies/partners/caller.yaml", strings.Replace(runningPartner, "plan: wide", "plan: absent", 1), `plan "absent"`},
		{"a partner file with a bad key", "policies/partners/caller.yaml", runningPartner + "color: red\n", "policies/partners/caller.yaml:9"},
		{"a secret that is not there", "policies/partners/new.yaml", strings.NewReplacer("clientId: running", "clientId: third", "RUNNING_SECRET", "ABSENT_SECRET").Replace(runningPartner), "ABSENT_SECRET"},
		{"another organisation's client id", "policies/partners/new.yaml", runningPartner, "running"},
	} {
		good, err := os.ReadFile(filepath.Join(dir, c.file))
		fresh := os.IsNotExist(err)
		if err != nil && !fresh {
			t.Fatal(err)
		}
		putFile(t, dir, c.file, []byte(c.text))
		until(t, c.name+": a refusal with its place", func() bool {
			_, result, problems := digest(t, admin)
			return result == "refused" && strings.Contains(strings.Join(problems, "\n"), c.want)
		})
		until(t, c.name+": a log line with the place", func() bool { return strings.Contains(r.logs.String(), strings.ReplaceAll(c.want, `"`, `\"`)) })
		now, _, _ := digest(t, admin)
		if got := r.do(ask); got.status != 200 || now != before {
			t.Errorf("%s: the old one is not in force: %d, %s", c.name, got.status, now)
		}
		if _, metrics := fetch(t, admin+"/metrics"); number(t, metrics, "portway_reload_refused") != 1 {
			t.Errorf("%s: no metric says so", c.name)
		}
		if fresh {
			err = os.Remove(filepath.Join(dir, c.file))
		} else {
			err = os.WriteFile(filepath.Join(dir, c.file), good, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		until(t, c.name+": in order again", func() bool { _, result, _ := digest(t, admin); return result != "refused" })
	}
	// A good edit of several files at once: a second operation, and a partner who may call it.
	putFile(t, dir, "specs/things/v1/openapi.yaml", []byte(strings.Replace(runningSpec, "  /things/{id}:", "  /things:\n    get:\n      operationId: listThings\n      responses: {'200': {description: all, content: {application/json: {schema: {type: object}}}}}\n  /things/{id}:", 1)))
	putFile(t, dir, "policies/apis/things.yaml", []byte("kind: api\nschema: 1\ntitle: Things\nversions: {v1: {}}\noperations: {getThing: {dispatch: proxy, backend: {fixed: store}}, listThings: {dispatch: proxy, backend: {fixed: store}}}\n"))
	putFile(t, dir, "policies/partners/second.yaml", []byte(strings.NewReplacer("Caller", "Second", "clientId: running", "clientId: second", "RUNNING_SECRET", "SECOND_SECRET").Replace(runningPartner)))
	until(t, "the edit is in force", func() bool { now, _, _ := digest(t, admin); return now != before })
	until(t, "the new partner is known", func() bool {
		got := r.do(call{method: "POST", path: "/oauth2/token", body: "grant_type=client_credentials&client_id=second&client_secret=" + strings.Repeat("0ther!", 8), header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}})
		return got.status == 200
	})
	token := "Bearer " + r.tokenOf("second", strings.Repeat("0ther!", 8))
	if got := r.do(call{method: "GET", path: "/things/v1/things", header: map[string]string{"Authorization": token}}); got.status != 200 {
		t.Errorf("the new operation for the new partner: %d %s", got.status, got.body)
	}
}

// TestSpecIsReadAgain edits the document of --spec.
func TestSpecIsReadAgain(t *testing.T) {
	t.Parallel()
	backend := httptest.NewServer(http.HandlerFunc(thing))
	defer backend.Close()
	file := filepath.Join(t.TempDir(), "openapi.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(runningSpec)
	r := start(t, nil, "--data="+t.TempDir(), "--spec="+file, "--backend="+backend.URL, "--insecure-no-auth", "--watch-every=10ms", "--admin-listen=127.0.0.1:0")
	old, fresh := call{method: "GET", path: "/things/v1/things/1"}, call{method: "GET", path: "/things/v1/items/1"}
	if a, b := r.do(old), r.do(fresh); a.status != 200 || b.status != 404 {
		t.Fatalf("before: %d %s, %d", a.status, a.body, b.status)
	}
	write("openapi: 3.1.0\n")
	until(t, "a refusal", func() bool { _, result, _ := digest(t, r.at("admin")); return result == "refused" })
	if got := r.do(old); got.status != 200 {
		t.Errorf("after a bad edit: %d %s", got.status, got.body)
	}
	write(strings.Replace(runningSpec, "/things/{id}:", "/items/{id}:", 1))
	until(t, "the new path", func() bool { return r.do(fresh).status == 200 })
	if got := r.do(old); got.status != 404 {
		t.Errorf("the old path: %d", got.status)
	}
}

// TestHangupReadsAgain turns polling off: SIGHUP reads files again, and opens the access log anew.
func TestHangupReadsAgain(t *testing.T) {
	t.Parallel()
	dir, logs := runningInstallation(t, thing), filepath.Join(t.TempDir(), "access.log")
	p := launch(t, secretsOfRunning(), "--config="+dir, "--watch-every=0", "--access-log="+logs)
	token := bearer(t, p.at("gateway"))
	before, _, _ := digest(t, p.at("admin"))
	putFile(t, dir, "policies/plans/wide.yaml", fmt.Appendf(nil, runningPlan, 7))
	if err := os.Rename(logs, logs+".1"); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	until(t, "the edit is in force", func() bool { now, _, _ := digest(t, p.at("admin")); return now != before })
	l := begin(p.at("gateway"), token, "/things/v1/things/1", 1, 100)
	until(t, "a call", func() bool { return l.count() > 0 })
	l.end(t)
	p.signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 {
		t.Errorf("ended with %d", code)
	}
	for file, want := range map[string]string{logs + ".1": `"operation":"issueToken"`, logs: `"operation":"getThing"`} {
		if b, err := os.ReadFile(file); err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s: no line with %s (%v)\n%s", filepath.Base(file), want, err, b)
		}
	}
}

// TestStopUnderLoad sends SIGTERM while 500 calls a second come over open connections: every one of them is answered,
// and the program ends with 0. SOAK makes it 100 times.
func TestStopUnderLoad(t *testing.T) {
	times := 2
	if os.Getenv("SOAK") != "" {
		times = 100
	}
	dir := runningInstallation(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/slow") {
			select {
			case <-time.After(300 * time.Millisecond):
			case <-r.Context().Done():
			}
		}
		thing(w, r)
	})
	answered, refused := 0, 0
	for range times {
		p := launch(t, secretsOfRunning(), "--config="+dir, "--log-level=warn")
		token := bearer(t, p.at("gateway"))
		l := begin(p.at("gateway"), token, "/things/v1/things/1", 25, 500)
		slow := begin(p.at("gateway"), token, "/things/v1/things/slow", 5, 15)
		until(t, "a load", func() bool { return l.count() > 250 && slow.count() > 3 })
		close(l.stopping)
		close(slow.stopping)
		p.signal(syscall.SIGTERM)
		if code := p.exit(); code != 0 {
			t.Errorf("ended with %d", code)
		}
		l.end(t)
		slow.end(t)
		answered, refused = answered+l.count()+slow.count(), refused+l.refused+slow.refused
		if t.Failed() {
			break
		}
	}
	t.Logf("%d stops: %d calls answered, %d new connections refused, 0 calls failed", times, answered, refused)
}

// TestDrainDelay goes on taking calls for a while after SIGTERM, and says that it is not ready.
func TestDrainDelay(t *testing.T) {
	t.Parallel()
	p := launch(t, secretsOfRunning(), "--config="+runningInstallation(t, thing), "--drain-delay=2s")
	token := bearer(t, p.at("gateway"))
	if status, text := p.get("/readyz"); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	p.signal(syscall.SIGTERM)
	until(t, "not ready", func() bool {
		status, text := p.get("/readyz")
		return status == 503 && strings.Contains(text, "draining")
	})
	req, err := http.NewRequest("GET", p.at("gateway")+"/things/v1/things/1", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("a call while draining: %v", err)
	}
	res.Body.Close()
	if res.StatusCode != 200 || !res.Close {
		t.Errorf("a call while draining: %d, connection closed %v", res.StatusCode, res.Close)
	}
	if code := p.exit(); code != 0 {
		t.Errorf("ended with %d", code)
	}
}

// TestSecondSignalEndsAtOnce does not wait for a call that hangs.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	hangs, over := make(chan struct{}, 1), make(chan struct{})
	dir := runningInstallation(t, func(http.ResponseWriter, *http.Request) {
		hangs <- struct{}{}
		<-over
	})
	defer close(over)
	p := launch(t, secretsOfRunning(), "--config="+dir)
	l := begin(p.at("gateway"), bearer(t, p.at("gateway")), "/things/v1/things/1", 1, 1)
	<-hangs
	began := time.Now()
	p.signal(syscall.SIGTERM)
	p.signal(syscall.SIGTERM) // as one
	until(t, "it stops", func() bool { return strings.Contains(p.logs.String(), "stopping") })
	until(t, "it ends", func() bool {
		select {
		case <-p.ended:
			return true
		default:
			if time.Since(began) > sameSignal {
				_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by now
			}
			return false
		}
	})
	if code := p.exit(); code != 1 || time.Since(began) < sameSignal || time.Since(began) > 8*time.Second {
		t.Errorf("ended with %d after %v", code, time.Since(began))
	}
	close(l.done)
	l.wait.Wait()
}

// TestAdminListener reads what operators see of the demo.
func TestAdminListener(t *testing.T) {
	t.Parallel()
	r := demo(t)
	admin := r.at("admin")
	if status, text := fetch(t, admin+"/livez"); status != 200 {
		t.Errorf("livez: %d %s", status, text)
	}
	if status, text := fetch(t, admin+"/readyz"); status != 200 || !strings.Contains(text, `"ready"`) {
		t.Errorf("readyz: %d %s", status, text)
	}
	for range 3 {
		if got := r.do(call{method: "GET", path: "/inventory/v1/availability?sku=ACME-1001", as: harbor}); got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	for _, path := range []string{"/nowhere", "/inventory/v1/" + "nothing", "/orders/v9/x", "/%61bc/secret-path"} {
		r.do(call{method: "GET", path: path, as: harbor})
	}
	_, metrics := fetch(t, admin+"/metrics")
	for series, want := range map[string]float64{
		`portway_calls_total{class="2xx",environment="sandbox",operation="inventory/v1/getAvailability"}`: 3,
		`portway_calls_total{class="4xx",environment="none",operation="none"}`:                            4,
		`portway_gateway_seconds_count{operation="inventory/v1/getAvailability"}`:                         3,
		`portway_backend_seconds_count{backend="erp",environment="sandbox"}`:                              3,
		`portway_limiter_degraded`:           0,
		`portway_panics_total`:               0,
		`portway_reload_refused`:             0,
		`portway_call_records_dropped_total`: 0,
	} {
		if !strings.Contains(metrics, "\n"+series+" ") || number(t, metrics, series) != want {
			t.Errorf("%s = %v, want %v", series, number(t, metrics, series), want)
		}
	}
	if !strings.Contains(metrics, `portway_store_group_writes_count{file="portway.db"}`) {
		t.Error("no group commits are counted")
	}
	credential := r.credential(harborWMS, "sandbox")
	for _, text := range []string{"harbor", "northgate", "secret-path", credential.ClientID} {
		if strings.Contains(strings.ToLower(metrics), strings.ToLower(text)) {
			t.Errorf("metrics name %q", text)
		}
	}
	status, health := fetch(t, admin+"/healthz")
	for _, want := range []string{`"catalogue"`, `"limiter"`, `"deliveries"`, `"backends"`, `"call_records"`} {
		if status != 200 || !strings.Contains(health, want) {
			t.Errorf("health %d without %s: %s", status, want, health)
		}
	}
	address := strings.TrimPrefix(admin, "http://")
	if code, out, stderr := invoke(nil, "health", "--admin-listen="+address); code != 0 || out != "ready\n" {
		t.Errorf("portway health: %d %s%s", code, out, stderr)
	}
	if code, _, stderr := invoke(map[string]string{"PORTWAY_ADMIN_LISTEN": "127.0.0.1:1"}, "health"); code != 1 || !strings.Contains(stderr, "health: ") {
		t.Errorf("portway health of nothing: %d %s", code, stderr)
	}
}

// TestAccessLog writes a line for every call, in JSON whatever a caller sends, and no secret.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "access.log")
	r := demo(t, "--access-log="+file)
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	good := r.do(call{method: "GET", path: "/inventory/v1/availability?sku=ACME-1001", as: harbor, header: map[string]string{
		"X-Request-Id": `mine" \ {}`, "Traceparent": "00-" + trace + "-00f067aa0ba902b7-01", "X-Forwarded-For": "6.6.6.6"}})
	bad := r.do(call{method: "GET", path: "/no/such%20path?token=hunter2", header: map[string]string{"Authorization": "Bearer hunter2", "Traceparent": "00-zz"}})
	if code := r.stop(); code != 0 {
		t.Fatalf("stopped with %d", code)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]map[string]any{}
	for line := range strings.SplitSeq(strings.TrimSpace(string(b)), "\n") {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("not a line of JSON: %q: %v", line, err)
		}
		lines[fmt.Sprint(m["request_id"])] = m
	}
	line := lines[good.header.Get("X-Request-Id")]
	for key, want := range map[string]any{"client_request_id": `mine" \ {}`, "trace_id": trace, "remote": "127.0.0.1", "environment": "sandbox", "operation": "getAvailability",
		"api": "inventory", "version": "v1", "path": "/inventory/v1/availability", "status": float64(200), "backend": "erp", "method": "GET"} {
		if line[key] != want {
			t.Errorf("%s = %v, want %v", key, line[key], want)
		}
	}
	if line["catalogue"] == "" || line["app"] == "" || line["org"] == "" {
		t.Errorf("the line %v", line)
	}
	if refused := lines[bad.header.Get("X-Request-Id")]; refused == nil || refused["operation"] != "" {
		t.Errorf("the refused call: %v", refused)
	}
	credential := r.credential(harborWMS, "sandbox")
	for _, secret := range []string{"hunter2", credential.Secret, r.token(harborWMS, "sandbox")} {
		if strings.Contains(string(b), secret) {
			t.Error("a secret is in the access log")
		}
	}
}
