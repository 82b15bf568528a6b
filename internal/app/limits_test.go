package app

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"portway/internal/cluster/redistest"
)

const limitsSpec = `openapi: 3.1.0
info: {title: Work, version: 1.0.0}
security: [{oauth: ["work"]}]
paths:
  /plain: {get: {operationId: plain, responses: {"200": {description: ok}}}}
  /flight: {get: {operationId: flight, responses: {"200": {description: ok}}}}
  /hold: {get: {operationId: hold, responses: {"200": {description: ok}}}}
components: {securitySchemes: {oauth: {type: oauth2, flows: {clientCredentials: {tokenUrl: /oauth2/token, scopes: {work: w}}}}}}
`

const limitsAPI = `kind: api
schema: 1
title: Work
versions: {v1: {}}
operations:
  plain: {dispatch: proxy, backend: {fixed: work}}
  flight: {dispatch: proxy, backend: {fixed: work}, inFlight: true}
  hold: {dispatch: proxy, backend: {fixed: work}}
`

// limited is an installation of one API under one plan, and a partner with an application for each letter of apps.
func limited(t *testing.T, plan, apps string, backend http.HandlerFunc) (dir string, environment map[string]string) {
	t.Helper()
	b := httptest.NewServer(backend)
	t.Cleanup(b.Close)
	dir = t.TempDir()
	put := func(name, text string) { t.Helper(); putFile(t, dir, name, []byte(text)) }
	put("specs/work/v1/openapi.yaml", limitsSpec)
	put("policies/apis/work.yaml", limitsAPI)
	put("policies/backends/work.yaml", "kind: backend\nschema: 1\nname: Work\nurls: {live: \""+b.URL+"\"}\noperations: {plain: {}, flight: {}, hold: {}}\n")
	put("policies/plans/p.yaml", "kind: plan\nschema: 1\nname: P\n"+plan)
	partner := "kind: partner\nschema: 1\norganisation: {name: Worker, kind: 3pl, zone: America/Chicago}\napplications:\n"
	environment = map[string]string{}
	for _, app := range strings.Split(apps, "") {
		partner += "  - slug: app-" + app + "\n    name: App\n    credentials: [{environment: live, clientId: client-" + app + ", secret: \"env:SECRET_" + app + "\"}]\n" +
			"    subscriptions: [{api: work, environments: [live], plan: p, scopes: [work]}]\n"
		environment["SECRET_"+app] = strings.Repeat("s3cret"+app, 8)
	}
	put("policies/partners/worker.yaml", partner)
	return dir, environment
}

func fine(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }

// caller calls operations as one application.
type caller struct {
	r     *running
	token string
}

func (r *running) caller(app string, environment map[string]string) *caller {
	r.t.Helper()
	return &caller{r, "Bearer " + r.tokenOf("client-"+app, environment["SECRET_"+app])}
}

func (c *caller) get(operation string) *answer {
	c.r.t.Helper()
	return c.r.do(call{method: "GET", path: "/work/v1/" + operation, header: map[string]string{"Authorization": c.token}})
}

func (c *caller) statuses(operation string, n int) string {
	c.r.t.Helper()
	var out []string
	for range n {
		out = append(out, fmt.Sprint(c.get(operation).status))
	}
	return strings.Join(out, " ")
}

// A caller sees where it stands, is refused above it, and another is not.
func TestLimitsRefuse(t *testing.T) {
	t.Parallel()
	dir, env := limited(t, "limits: [{name: burst, rate: 1, per: 1m, burst: 3}, {name: watched, rate: 1, per: 1h, burst: 1, shadow: true}]\n", "ab", fine)
	r := start(t, env, "--data="+t.TempDir(), "--config="+dir)
	a, b := r.caller("a", env), r.caller("b", env)
	first := a.get("plain")
	if first.status != 200 || first.header.Get("RateLimit-Policy") != `"burst";q=3;w=180` || first.header.Get("RateLimit") != `"burst";r=2;t=60` ||
		first.header.Get("X-RateLimit-Limit") != "3" || first.header.Get("X-RateLimit-Remaining") != "2" || first.header.Get("X-RateLimit-Reset") != "60" {
		t.Errorf("first: %d %v", first.status, first.header)
	}
	if got := a.statuses("plain", 3); got != "200 200 429" { // the shadow limit of 1 refuses nothing
		t.Errorf("then: %s", got)
	}
	over := a.get("flight") // work under way too: a burst limit protects us
	if over.status != 429 || over.field("code") != "rate.exceeded" || over.field("plan") != "p" || over.field("violated_policies") != "[burst]" {
		t.Errorf("over: %d %s", over.status, over.body)
	}
	if wait := over.header.Get("Retry-After"); wait < "50" || wait > "60" || over.header.Get("RateLimit") != `"burst";r=0;t=`+wait {
		t.Errorf("Retry-After %q, RateLimit %q", wait, over.header.Get("RateLimit"))
	}
	if got := b.statuses("plain", 1); got != "200" {
		t.Errorf("another application: %s", got)
	}
	if logs := r.logs.String(); !strings.Contains(logs, "event=limit.shadow") || !strings.Contains(logs, "limits=watched") {
		t.Error("nothing tells of the shadow limit")
	}
}

// What was used of a quota is known after a restart; work under way passes, and is counted.
func TestQuotaSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir, env := limited(t, "quotas: [{name: monthly, per: month, limit: 5, zone: America/Chicago}]\n", "a", fine)
	data := t.TempDir()
	r := start(t, env, "--data="+data, "--config="+dir)
	if got := r.caller("a", env).statuses("plain", 3); got != "200 200 200" {
		t.Fatalf("before: %s", got)
	}
	if code := r.stop(); code != 0 {
		t.Fatalf("serve ended with %d", code)
	}
	r = start(t, env, "--data="+data, "--config="+dir)
	a := r.caller("a", env)
	if got := a.get("flight"); got.status != 200 || !strings.HasPrefix(got.header.Get("RateLimit"), `"monthly";r=1;t=`) || !strings.HasPrefix(got.header.Get("RateLimit-Policy"), `"monthly";q=5;qu="requests";w=2`) {
		t.Errorf("after: %d %v", got.status, got.header)
	}
	if got := a.statuses("plain", 2) + " " + a.statuses("flight", 2); got != "200 429 200 200" {
		t.Errorf("at the end of the quota: %s", got)
	}
	if got := a.get("plain"); got.field("violated_policies") != "[monthly]" || got.header.Get("Retry-After") == "" {
		t.Errorf("over: %s", got.body)
	}
}

// So many calls at once and no more; a place is free again when its call is over.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan bool, 2), make(chan bool)
	dir, env := limited(t, "concurrency: {limit: 2}\n", "a", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/hold") {
			arrived <- true
			<-release
		}
		fine(w, r)
	})
	r := start(t, env, "--data="+t.TempDir(), "--config="+dir)
	a := r.caller("a", env)
	done := make(chan int, 2)
	for range 2 {
		go func() { done <- a.get("hold").status }()
	}
	<-arrived
	<-arrived
	over := a.get("plain")
	if over.status != 429 || over.field("violated_policies") != "[concurrency]" || over.header.Get("Retry-After") != "1" ||
		over.header.Get("RateLimit-Policy") != `"concurrency";q=2;qu="concurrent-requests"` || over.header.Get("RateLimit") != `"concurrency";r=0` {
		t.Errorf("third at once: %d %v %s", over.status, over.header, over.body)
	}
	close(release)
	if one, two := <-done, <-done; one != 200 || two != 200 {
		t.Errorf("the first two: %d %d", one, two)
	}
	if got := a.statuses("plain", 5); got != "200 200 200 200 200" {
		t.Errorf("afterwards: %s", got)
	}
}

// The program starts without its Redis, answers, and uses it when it is there.
func TestRedisComesAfterTheStart(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	s.Kill()
	dir, env := limited(t, "limits: [{name: burst, rate: 1, per: 1h, burst: 100}]\nquotas: [{name: monthly, per: month, limit: 1000}]\n", "a", fine)
	r := start(t, env, "--data="+t.TempDir(), "--config="+dir, "--redis="+s.Patient(), "--nodes=2")
	a := r.caller("a", env)
	if got := a.statuses("plain", 55); strings.Count(got, "200") != 50 || strings.Count(got, "429") != 5 {
		t.Errorf("half of the limit without Redis: %s", got)
	}
	s.Restart()
	until(t, "redis is back", func() bool { return strings.Contains(r.logs.String(), "cluster.recovered") })
	until(t, "a call is decided in Redis", func() bool {
		if got := a.get("plain"); got.status != 200 {
			t.Fatalf("with Redis: %d %s", got.status, got.body)
		}
		keys := s.Do("KEYS", "portway*")
		return strings.Contains(keys, ":limit:live/p:burst") && strings.Contains(keys, ":quota:")
	})
}

// Secrets cannot be guessed at speed, and those who guess do not lock out a system that has its token.
func TestGuessingSecretsIsBounded(t *testing.T) {
	t.Parallel()
	dir, env := limited(t, "", "a", fine)
	r := start(t, env, "--data="+t.TempDir(), "--config="+dir, "--address-failures=5")
	a := r.caller("a", env)
	guess := func(secret string) *answer {
		return r.do(call{method: "POST", path: "/oauth2/token", body: "grant_type=client_credentials&client_id=client-a&client_secret=" + secret,
			header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}})
	}
	for i := range 5 {
		if got := guess(fmt.Sprint("wrong-", i)); got.status != 401 {
			t.Fatalf("guess %d: %d %s", i, got.status, got.body)
		}
	}
	for _, secret := range []string{"wrong", env["SECRET_a"]} {
		if got := guess(secret); got.status != 429 || got.header.Get("Retry-After") == "" || got.field("error") == "" {
			t.Errorf("a guess too many: %d %v %s", got.status, got.header, got.body)
		}
	}
	if got := a.statuses("plain", 3); got != "200 200 200" {
		t.Errorf("a system with its token: %s", got)
	}
}
