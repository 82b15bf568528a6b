package app

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"portway/internal/store/pgtest"
)

// An installation whose backend counts what it carries out, to see that a key makes a call happen once.

const onceSpec = `
openapi: 3.1.0
info: {title: Jobs, version: 1.0.0}
security: [{oauth2: ['jobs:write']}]
paths:
  /jobs:
    post:
      operationId: createJob
      parameters: [{$ref: '#/components/parameters/IdempotencyKey'}]
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Job'}}}}
      responses: {'201': {description: made, content: {application/json: {schema: {type: object}}}}}
  /notes:
    post:
      operationId: createNote
      parameters: [{$ref: '#/components/parameters/IdempotencyKey'}]
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Job'}}}}
      responses: {'201': {description: made, content: {application/json: {schema: {type: object}}}}}
  /labels:
    post:
      operationId: createLabel
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Job'}}}}
      responses: {'201': {description: made, content: {application/json: {schema: {type: object}}}}}
components:
  parameters:
    IdempotencyKey: {name: Idempotency-Key, in: header, schema: {type: string, maxLength: 257}}
  schemas:
    Job:
      type: object
      required: [name]
      properties: {name: {type: string, minLength: 1}, sentAt: {type: string, format: date-time}, count: {type: integer}}
  securitySchemes:
    oauth2: {type: oauth2, flows: {clientCredentials: {tokenUrl: /token, scopes: {'jobs:write': write}}}}
`

const oncePolicy = `
kind: api
schema: 1
title: Jobs
versions: {v1: {}}
operations:
  createJob: {dispatch: proxy, backend: {fixed: plain}, timeout: 1s, idempotency: {key: required, fields: [/name, /count]}}
  createNote: {dispatch: proxy, backend: {fixed: plain}, timeout: 1s}
  createLabel: {dispatch: proxy, backend: {fixed: knowing}, timeout: 1s}
`

const oncePartner = `
kind: partner
schema: 1
organisation: {name: Caller, kind: 3pl, zone: UTC}
applications:
  - slug: app
    name: App
    credentials: [{environment: live, clientId: once, secret: "env:ONCE_SECRET"}]
    subscriptions: [{api: jobs, environments: [live], plan: wide, scopes: ["jobs:write"]}]
`

var onceSecret = strings.Repeat("s3cret", 8)

// counter is a backend that honours nothing and counts. What a job's name begins with is what it does.
type counter struct {
	*httptest.Server
	mu    sync.Mutex
	done  map[string]int      // executions by name
	keys  map[string][]string // Idempotency-Key headers by name
	hold  chan struct{}       // closed when slow calls may end
	heard chan string         // the names of slow calls as they come
}

func newCounter(t *testing.T) *counter {
	t.Helper()
	c := &counter{done: map[string]int{}, keys: map[string][]string{}, hold: make(chan struct{}), heard: make(chan string, 1000)}
	c.Server = httptest.NewServer(c)
	t.Cleanup(func() {
		close(c.hold)
		c.Close()
	})
	return c
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var job struct {
		Name string `json:"name"`
	}
	if err := json.NewDecoder(r.Body).Decode(&job); err != nil {
		w.WriteHeader(400)
		return
	}
	c.mu.Lock()
	c.done[job.Name]++
	n := c.done[job.Name]
	c.keys[job.Name] = append(c.keys[job.Name], r.Header.Get("Idempotency-Key"))
	c.mu.Unlock()
	what, _, _ := strings.Cut(job.Name, "-")
	w.Header().Set("Content-Type", "application/json")
	switch {
	case what == "slow" || what == "slowonce" && n == 1:
		c.heard <- job.Name
		<-c.hold
	case what == "fail" || what == "failonce" && n == 1:
		w.WriteHeader(500)
		return
	case what == "reject":
		w.WriteHeader(422)
	case what == "busyonce" && n == 1:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(429)
		return
	default:
		w.Header().Set("Location", "/jobs/"+job.Name)
		w.Header().Set("ETag", `"1"`)
		w.WriteHeader(201)
	}
	filler := ""
	if what == "huge" {
		filler = strings.Repeat("x", 1<<20)
	}
	fmt.Fprintf(w, `{"job":%q,"execution":%d,"filler":%q}`, job.Name, n, filler)
}

func (c *counter) executions(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done[name]
}

// onceInstallation writes the --config folder.
func onceInstallation(t *testing.T, plain, knowing string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"specs/jobs/v1/openapi.yaml":     onceSpec,
		"policies/apis/jobs.yaml":        oncePolicy,
		"policies/plans/wide.yaml":       "kind: plan\nschema: 1\nname: Wide\nlimits: [{name: burst, rate: 100000, per: 1s, burst: 100000}]\n",
		"policies/backends/plain.yaml":   "kind: backend\nschema: 1\nname: Plain\nurls: {live: \"" + plain + "\"}\nbreaker: {off: true}\nmaxInFlight: 1000\n",
		"policies/backends/knowing.yaml": "kind: backend\nschema: 1\nname: Knowing\nurls: {live: \"" + knowing + "\"}\nhonoursKey: true\nbreaker: {off: true}\n",
		"policies/partners/caller.yaml":  oncePartner,
	} {
		putFile(t, dir, name, []byte(text))
	}
	return dir
}

// node is one Portway of the installation as a caller sees it.
type node struct {
	url    string
	token  string
	client *http.Client
}

type reply struct {
	status int
	header http.Header
	body   string
}

func (r *reply) code() string {
	var p struct {
		Code string `json:"code"`
	}
	if json.Unmarshal([]byte(r.body), &p) != nil {
		return ""
	}
	return p.Code
}

// post sends a job; the error is one of the connection.
func (n *node) post(path, key, body string) (*reply, error) {
	req, err := http.NewRequest("POST", n.url+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+n.token)
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := n.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return &reply{res.StatusCode, res.Header, string(b)}, err
}

func (n *node) must(t *testing.T, path, key, body string) *reply {
	t.Helper()
	r, err := n.post(path, key, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newClient(t *testing.T) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// startOnce starts a node of the installation in this process; database is "" for SQLite.
func startOnce(t *testing.T, config, database string) *node {
	t.Helper()
	args := []string{"--data=" + t.TempDir(), "--config=" + config, "--log-level=warn"}
	environment := map[string]string{"ONCE_SECRET": onceSecret, "ONCE_DATABASE": database}
	if database != "" {
		args = append(args, "--database=env:ONCE_DATABASE", "--seal-key=file:"+sealKey(t, config))
	}
	r := start(t, environment, args...)
	return &node{url: r.at("gateway"), token: r.tokenOf("once", onceSecret), client: newClient(t)}
}

// sealKey is the key that nodes with one database share.
func sealKey(t *testing.T, config string) string {
	t.Helper()
	return filepath.Join(config, "seal.key")
}

// eachDatabase runs a test on SQLite and on PostgreSQL.
func eachDatabase(t *testing.T, run func(t *testing.T, database string)) {
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); run(t, "") })
	t.Run("postgres", func(t *testing.T) { t.Parallel(); run(t, pgtest.URL(t)) })
}

func key(name string) string { return `"key-of-` + name + `-0123456789"` }

func job(name string) string { return fmt.Sprintf(`{"name":%q}`, name) }

// TestExactlyOnce sends every key many times at once: the backend carries each out once, whoever gets an answer gets the
// same, and the others are told to come back, and get it then.
func TestExactlyOnce(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, database string) {
		backend := newCounter(t)
		n := startOnce(t, onceInstallation(t, backend.URL, backend.URL), database)
		storm(t, backend, []*node{n})
	})
}

// TestExactlyOnceOnTwoNodes does the same through two nodes that share a PostgreSQL.
func TestExactlyOnceOnTwoNodes(t *testing.T) {
	t.Parallel()
	backend, database := newCounter(t), pgtest.URL(t)
	config := onceInstallation(t, backend.URL, backend.URL)
	storm(t, backend, []*node{startOnce(t, config, database), startOnce(t, config, database)})
}

func storm(t *testing.T, backend *counter, nodes []*node) {
	t.Helper()
	keys, clients := 100, 20
	if os.Getenv("SOAK") != "" {
		keys, clients = 1000, 50
	}
	waited, replayed := 0, 0
	var mu sync.Mutex
	var wg sync.WaitGroup
	names := make(chan string)
	for range 4 {
		wg.Go(func() {
			for name := range names {
				w, r := stormKey(t, nodes, name, clients)
				mu.Lock()
				waited, replayed = waited+w, replayed+r
				mu.Unlock()
			}
		})
	}
	for i := range keys {
		names <- fmt.Sprint("ok-", i)
	}
	close(names)
	wg.Wait()
	for i := range keys {
		if got := backend.executions(fmt.Sprint("ok-", i)); got != 1 {
			t.Errorf("key %d: %d executions", i, got)
		}
	}
	if waited == 0 || replayed == 0 {
		t.Errorf("nobody met anybody: %d told to wait, %d replayed", waited, replayed)
	}
	t.Logf("%d keys, %d clients each: one execution each; %d told to wait, %d answers replayed", keys, clients, waited, replayed)
}

// stormKey sends one key by all clients at once, and once more by those told to wait.
func stormKey(t *testing.T, nodes []*node, name string, clients int) (waited, replayed int) {
	first := make([]*reply, clients)
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			r, err := nodes[i%len(nodes)].post("/jobs/v1/jobs", key(name), job(name))
			if err != nil {
				t.Error(err)
				return
			}
			first[i] = r
		})
	}
	wg.Wait()
	body := ""
	for i, r := range first {
		if r == nil {
			return
		}
		if r.code() == "idempotency.in_progress" {
			if r.header.Get("Retry-After") == "" {
				t.Errorf("%s: told to wait, but not how long", name)
			}
			waited++
			var err error
			if r, err = nodes[i%len(nodes)].post("/jobs/v1/jobs", key(name), job(name)); err != nil {
				t.Error(err)
				return
			}
		}
		if r.header.Get("Idempotent-Replayed") == "true" {
			replayed++
		}
		if r.status != 201 || body != "" && r.body != body {
			t.Errorf("%s: %d %s, others got %s", name, r.status, r.body, body)
		}
		body = r.body
	}
	return waited, replayed
}

// TestKeysEndToEnd is what a caller sees of keys, in every way a call can end.
func TestKeysEndToEnd(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, database string) {
		backend := newCounter(t)
		n := startOnce(t, onceInstallation(t, backend.URL, backend.URL), database)
		for _, c := range []struct {
			name string
			run  func(*testing.T, *node, *counter)
		}{
			{"keys are asked for and read", keysRead}, {"a replay is the first answer", keysReplay}, {"ends that are not known", keysInDoubt},
			{"ends that free the key", keysFreed}, {"a backend that knows keys", keysKnown},
		} {
			t.Run(c.name, func(t *testing.T) { c.run(t, n, backend) })
		}
	})
}

func keysRead(t *testing.T, n *node, backend *counter) {
	for _, c := range []struct {
		path, key, body string
		status          int
		code            string
	}{
		{"/jobs/v1/jobs", "", job("ok-r1"), 400, "idempotency.key_invalid"},
		{"/jobs/v1/jobs", "short", job("ok-r1"), 400, "idempotency.key_invalid"},
		{"/jobs/v1/notes", `"0123456789abcdef"; a=1`, job("ok-r1"), 400, "idempotency.key_invalid"},
		{"/jobs/v1/jobs", key("r1"), `{"name":7}`, 422, "schema.violation"},
		{"/jobs/v1/jobs", key("r1"), `{"name"`, 400, "body.malformed"},
		{"/jobs/v1/jobs", key("r1"), job("ok-r1"), 201, ""}, // what we refused did not use the key up
		{"/jobs/v1/jobs", key("r1"), job("ok-r2"), 422, "idempotency.key_reused"},
		{"/jobs/v1/notes", key("r1"), job("ok-r3"), 201, ""}, // another operation
		{"/jobs/v1/notes", key("r1"), " " + job("ok-r3"), 422, "idempotency.key_reused"},
		{"/jobs/v1/notes", "", job("ok-r4"), 201, ""},
		{"/jobs/v1/notes", "", job("ok-r4"), 201, ""},
	} {
		r := n.must(t, c.path, c.key, c.body)
		if r.status != c.status || r.code() != c.code {
			t.Errorf("%s %q %s: %d %s", c.path, c.key, c.body, r.status, r.body)
		}
	}
	for name, want := range map[string]int{"ok-r1": 1, "ok-r2": 0, "ok-r3": 1, "ok-r4": 2} {
		if got := backend.executions(name); got != want {
			t.Errorf("%s: %d executions, want %d", name, got, want)
		}
	}
}

func keysReplay(t *testing.T, n *node, backend *counter) {
	for _, c := range []struct{ name, status string }{{"ok-p", "201"}, {"reject-p", "422"}} {
		first := n.must(t, "/jobs/v1/jobs", key(c.name), job(c.name))
		// A system that builds the body anew: other order and white space, another stamp, the key without quotes.
		again := n.must(t, "/jobs/v1/jobs", strings.Trim(key(c.name), `"`), fmt.Sprintf(`{ "sentAt":"2026-11-25T09:00:00Z", "name":%q}`, c.name))
		if fmt.Sprint(first.status) != c.status || again.status != first.status || again.body != first.body || backend.executions(c.name) != 1 {
			t.Errorf("%s: %d %s, then %d %s", c.name, first.status, first.body, again.status, again.body)
		}
		for _, name := range []string{"Content-Type", "Location", "Etag", "Cache-Control"} {
			if first.header.Get(name) != again.header.Get(name) {
				t.Errorf("%s: %s was %q, is %q", c.name, name, first.header.Get(name), again.header.Get(name))
			}
		}
		if first.header.Get("Idempotent-Replayed") != "" || again.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%s: the replay is not marked, or the first is", c.name)
		}
		if a, b := first.header.Get("X-Request-Id"), again.header.Get("X-Request-Id"); a == b || b == "" {
			t.Errorf("%s: both calls have the id %q", c.name, a)
		}
		if first.header.Get("RateLimit") == "" || again.header.Get("RateLimit") != "" {
			t.Errorf("%s: a replay is charged: %q", c.name, again.header.Get("RateLimit"))
		}
	}
}

func keysInDoubt(t *testing.T, n *node, backend *counter) {
	for _, c := range []struct {
		name   string
		first  int
		called string
		known  float64
	}{
		{"fail-d", 500, "unknown", 0}, {"failonce-d", 500, "unknown", 0}, {"slow-d", 504, "unknown", 0}, {"huge-d", 201, "carried_out", 201},
	} {
		first := n.must(t, "/jobs/v1/jobs", key(c.name), job(c.name))
		if first.status != c.first {
			t.Errorf("%s: %d %.200s", c.name, first.status, first.body)
		}
		for range 2 {
			again := n.must(t, "/jobs/v1/jobs", key(c.name), job(c.name))
			var p map[string]any
			if err := json.Unmarshal([]byte(again.body), &p); err != nil {
				t.Fatal(err)
			}
			if again.status != 409 || again.code() != "idempotency.in_doubt" || p["first_call"] != c.called || c.known != 0 && (p["first_status"] != c.known || again.header.Get("Location") == "") {
				t.Errorf("%s: %d %s", c.name, again.status, again.body)
			}
		}
		if got := backend.executions(c.name); got != 1 {
			t.Errorf("%s: %d executions", c.name, got)
		}
	}
}

func keysFreed(t *testing.T, n *node, backend *counter) {
	if first := n.must(t, "/jobs/v1/jobs", key("busyonce-f"), job("busyonce-f")); first.status != 429 {
		t.Errorf("%d %s", first.status, first.body)
	}
	// Having said that it is busy, the backend is left alone for a moment; that, too, leaves the key free.
	var again *reply
	until(t, "an answer after too many requests", func() bool {
		again = n.must(t, "/jobs/v1/jobs", key("busyonce-f"), job("busyonce-f"))
		return again.code() != "backend.unavailable"
	})
	if again.status != 201 || again.header.Get("Idempotent-Replayed") != "" || backend.executions("busyonce-f") != 2 {
		t.Errorf("after too many requests: %d %s", again.status, again.body)
	}
}

func keysKnown(t *testing.T, n *node, backend *counter) {
	for _, name := range []string{"failonce-k", "slowonce-k"} {
		first := n.must(t, "/jobs/v1/labels", key(name), job(name))
		again := n.must(t, "/jobs/v1/labels", key(name), job(name))
		third := n.must(t, "/jobs/v1/labels", key(name), job(name))
		if first.status < 500 || again.status != 201 || again.header.Get("Idempotent-Replayed") != "" || third.status != 201 || third.body != again.body || third.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%s: %d, %d, %d", name, first.status, again.status, third.status)
		}
		backend.mu.Lock()
		keys := backend.keys[name]
		backend.mu.Unlock()
		if len(keys) != 2 || keys[0] != keys[1] || keys[0] == "" || strings.Contains(keys[0], name) {
			t.Errorf("%s: the backend got the keys %q", name, keys)
		}
	}
	backend.mu.Lock()
	defer backend.mu.Unlock()
	if got := backend.keys["ok-p"]; len(got) != 1 || got[0] != "" {
		t.Errorf("a backend that knows no keys got %q", got)
	}
}

// TestABackendThatWasNotReached leaves the key free: nothing was sent.
func TestABackendThatWasNotReached(t *testing.T) {
	t.Parallel()
	n := startOnce(t, onceInstallation(t, "http://127.0.0.1:1", "http://127.0.0.1:1"), "")
	for range 3 {
		if r := n.must(t, "/jobs/v1/jobs", key("ok-u"), job("ok-u")); r.status != 502 || r.code() != "backend.unreachable" {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
}

// TestATimeoutAfterTheLabelWasMade gives the same label when the call is repeated with its key: the carrier knows its
// reference (RULES 20), so a call in doubt is sent again.
func TestATimeoutAfterTheLabelWasMade(t *testing.T) {
	t.Parallel()
	r := demo(t)
	for carrier, c := range map[string]struct{ server, country string }{"swiftline": {"parcel", "US"}, "parcelhaus": {"returns", "DE"}} {
		if got := r.doAt(r.at(c.server), call{method: "POST", path: "/_sim/faults", body: `{"mode":"timeout_after_commit","count":1}`}); got.status >= 300 {
			t.Fatalf("%s: %d %s", carrier, got.status, got.body)
		}
		send := call{method: "POST", path: "/shipments/v2/shipments", body: label(carrier, "LOST-1", c.country), as: harbor,
			header: map[string]string{"Idempotency-Key": key(carrier)}}
		if lost := r.do(send); lost.status < 500 {
			t.Errorf("%s: the answer was not lost: %d %s", carrier, lost.status, lost.body)
		}
		found := r.do(send)
		again := r.do(send)
		if found.status >= 300 || found.field("shipmentId") == "" || found.header.Get("Idempotent-Replayed") != "" {
			t.Errorf("%s: repeated: %d %s", carrier, found.status, found.body)
		}
		if again.status != found.status || string(again.body) != string(found.body) || again.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%s: repeated again: %d %s", carrier, again.status, again.body)
		}
		send.header = nil
		if other := r.do(send); other.field("shipmentId") != found.field("shipmentId") {
			t.Errorf("%s: two labels, %s and %s", carrier, found.field("shipmentId"), other.field("shipmentId"))
		}
	}
}

// TestKeysOfStatements behave as keys of calls that are passed on: the same refusals, the same marks, no charge.
func TestKeysOfStatements(t *testing.T) {
	t.Parallel()
	r := demo(t)
	order := `{"order":"SO-K1","version":1,"purchaseOrder":"PO-1","fulfiller":"harbor","site":"CHI","priority":"normal","serviceLevel":"GROUND",
		"shipTo":{"name":"A","street":["B 1"],"city":"C","postalCode":"05301","country":"US"},"lines":[{"lineNo":1,"sku":"SKU-1","quantity":{"value":"1","unit":"EA"}}]}`
	send := call{method: "POST", path: "/orders/v1/releases", body: order, as: "acme/erp@sandbox", header: map[string]string{"Idempotency-Key": key("release")}}
	first := r.do(send)
	if first.status != 202 {
		t.Fatalf("release: %d %s", first.status, first.body)
	}
	again := r.do(send)
	if again.status != 202 || string(again.body) != string(first.body) || again.header.Get("Idempotent-Replayed") != "true" || again.header.Get("Location") != first.header.Get("Location") {
		t.Errorf("replayed: %d %s", again.status, again.body)
	}
	if first.header.Get("RateLimit") == "" || again.header.Get("RateLimit") != "" {
		t.Errorf("a replay is charged: %q", again.header.Get("RateLimit"))
	}
	send.body = strings.Replace(order, "PO-1", "PO-2", 1)
	if reused := r.do(send); reused.status != 422 || reused.field("code") != "idempotency.key_reused" {
		t.Errorf("reused: %d %s", reused.status, reused.body)
	}
	send.header = map[string]string{"Idempotency-Key": "short"}
	if bad := r.do(send); bad.status != 400 || bad.field("code") != "idempotency.key_invalid" {
		t.Errorf("malformed: %d %s", bad.status, bad.body)
	}
}
