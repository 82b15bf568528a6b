package throttle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"portway/gateway/exchange"
	"portway/internal/catalog"
	"portway/internal/cluster"
	"portway/internal/cluster/redistest"
	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/problem"
)

const spec = `openapi: 3.1.0
info: {title: Work, version: 1.0.0}
paths:
  /plain: {get: {operationId: plain, responses: {"200": {description: ok}}}}
  /dear: {get: {operationId: dear, responses: {"200": {description: ok}}}}
  /own: {get: {operationId: own, responses: {"200": {description: ok}}}}
  /flight: {get: {operationId: flight, responses: {"200": {description: ok}}}}
  /open: {get: {operationId: open, security: [], responses: {"200": {description: ok}}}}
components: {securitySchemes: {o: {type: http, scheme: bearer}}}
security: [{o: []}]
`

const api = `kind: api
schema: 1
title: Work
versions: {v1: {}}
operations:
  plain: {dispatch: builtin}
  dear: {dispatch: builtin, cost: 3}
  own: {dispatch: builtin}
  flight: {dispatch: builtin, inFlight: true}
  open: {dispatch: builtin}
`

// snapshot is the catalogue with one plan "p".
func snapshot(t *testing.T, plan string) *catalog.Snapshot {
	t.Helper()
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	var policies fs.FS = fstest.MapFS{"apis/work.yaml": file(api), "plans/p.yaml": file("kind: plan\nschema: 1\nname: P\n" + plan)}
	snap, problems := catalog.Load(catalog.Sources{Specs: fstest.MapFS{"work/v1/openapi.yaml": file(spec)}, Policies: policies, Clock: ident.System{}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return snap
}

// desk is a pipeline of the stages of this package in front of something that answers.
type desk struct {
	t     *testing.T
	snap  *catalog.Snapshot
	clock *ident.Manual
	stage *Caller
	log   bytes.Buffer
	do    func(x *exchange.Exchange) error // the dispatch, nil answers 200
	n     int
}

func newDesk(t *testing.T, plan string) *desk {
	d := &desk{t: t, snap: snapshot(t, plan), clock: ident.NewManual(start)}
	log := slog.New(slog.NewTextHandler(&d.log, nil))
	d.stage = New(Options{Quotas: cluster.NewQuotas(nil, nil, 1, d.clock, log), Clock: d.clock, Log: log})
	return d
}

type step func(x *exchange.Exchange) error

func (step) Name() string                                        { return "step" }
func (s step) Run(_ context.Context, x *exchange.Exchange) error { return s(x) }

func (d *desk) call(operation string) *exchange.Exchange { return d.callAs("a", operation) }

func (d *desk) callAs(app, operation string) *exchange.Exchange {
	d.t.Helper()
	d.n++
	x := &exchange.Exchange{ID: fmt.Sprint("call-", d.n), Snapshot: d.snap, Route: d.snap.Match("GET", "/work/v1/"+operation).Route,
		Caller: &partner.Caller{Org: "o", Application: app, Environment: ident.Live}, Grant: &partner.Grant{Plan: "p"}}
	d.run(x)
	return x
}

func (d *desk) run(x *exchange.Exchange) {
	d.t.Helper()
	answer := step(func(x *exchange.Exchange) error {
		if d.do != nil {
			return d.do(x)
		}
		x.Response = &exchange.Response{Status: 200}
		return nil
	})
	if x.Route == nil {
		d.t.Fatal("no such operation")
	}
	p := exchange.Pipeline{Inbound: []exchange.Stage{d.stage}, Dispatch: map[string]exchange.Stage{"builtin": answer}, Every: []exchange.Stage{Headers{}},
		Clock: d.clock, Log: slog.New(slog.NewTextHandler(&d.log, nil))}
	p.Run(context.Background(), x)
}

// statuses are the answers to n calls of an operation.
func (d *desk) statuses(operation string, n int) string {
	d.t.Helper()
	var out []string
	for range n {
		out = append(out, fmt.Sprint(d.call(operation).Response.Status))
	}
	return strings.Join(out, " ")
}

func rate(x *exchange.Exchange) string {
	var out []string
	for _, h := range x.Response.Header {
		if strings.HasPrefix(h[0], "RateLimit") || strings.HasPrefix(h[0], "X-RateLimit") || h[0] == "Retry-After" {
			out = append(out, h[0]+": "+h[1])
		}
	}
	return strings.Join(out, "\n")
}

const everything = `limits: [{name: burst, rate: 2, per: 1s, burst: 10}, {name: watched, rate: 1, per: 1m, burst: 3, shadow: true}]
quotas:
  - {name: daily, per: day, limit: 20, zone: America/Chicago}
  - {name: monthly, per: month, limit: 1000}
concurrency: {limit: 4}
`

func TestHeadersFromOneDecision(t *testing.T) {
	t.Parallel()
	d := newDesk(t, everything)
	d.call("plain")
	// 9:00 UTC is 3:00 in Chicago: 21 hours are left of the day there, 5 days and 15 hours of the month in UTC.
	want := `RateLimit-Policy: "burst";q=10;w=5, "daily";q=20;qu="requests";w=86400, "monthly";q=1000;qu="requests";w=2592000, "concurrency";q=4;qu="concurrent-requests"
RateLimit: "burst";r=6;t=2, "daily";r=16;t=75600, "monthly";r=996;t=486000, "concurrency";r=3
X-RateLimit-Limit: 10
X-RateLimit-Remaining: 6
X-RateLimit-Reset: 2`
	if diff := cmp.Diff(want, rate(d.call("dear"))); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

func TestRefusal(t *testing.T) {
	t.Parallel()
	d := newDesk(t, everything)
	if got := d.statuses("dear", 4); got != "200 200 200 429" {
		t.Errorf("calls of cost 3 under a burst of 10: %s", got)
	}
	x := d.call("dear")
	want := `RateLimit-Policy: "burst";q=10;w=5, "concurrency";q=4;qu="concurrent-requests"
RateLimit: "burst";r=1;t=1, "concurrency";r=4
X-RateLimit-Limit: 10
X-RateLimit-Remaining: 1
X-RateLimit-Reset: 1`
	if diff := cmp.Diff("Retry-After: 1\n"+want, rate(x)); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	if x.Err == nil || x.Err.Code != problem.RateExceeded || fmt.Sprint(x.Err.Extra) != "map[plan:p violated_policies:[burst]]" {
		t.Errorf("problem %+v", x.Err)
	}
	// A refused call is not counted against the quotas.
	d.clock.Advance(time.Second)
	if got := rate(d.call("plain")); !strings.Contains(got, `"daily";r=10;`) {
		t.Errorf("9 and 1 were used:\n%s", got)
	}
	if d.callAs("b", "dear").Response.Status != 200 {
		t.Error("another application shares the limits")
	}
}

func TestQuotaRefuses(t *testing.T) {
	t.Parallel()
	d := newDesk(t, "quotas: [{name: monthly, per: month, limit: 100}, {name: daily, per: day, limit: 4}]\n")
	if got := d.statuses("dear", 2); got != "200 429" {
		t.Errorf("cost 3 of a quota of 4: %s", got)
	}
	if got := d.statuses("plain", 2); got != "200 429" {
		t.Errorf("one was left: %s", got)
	}
	x := d.call("plain")
	if fmt.Sprint(x.Err.Extra["violated_policies"]) != "[daily]" || x.Response.Header.Get("Retry-After") != "54000" {
		t.Errorf("%+v\n%s", x.Err, rate(x))
	}
	// What the day refused is given back to the month.
	if got := x.Response.Header.Get("RateLimit"); got != `"monthly";r=96;t=486000, "daily";r=0;t=54000` {
		t.Errorf("RateLimit: %s", got)
	}
	// Work under way is not refused (RULES 14), but counted.
	for range 3 {
		if x := d.call("flight"); x.Response.Status != 200 || !strings.Contains(x.Response.Header.Get("RateLimit"), `"daily";r=0`) {
			t.Fatalf("work under way: %d\n%s", x.Response.Status, rate(x))
		}
	}
	if x := d.call("plain"); !strings.Contains(x.Response.Header.Get("RateLimit"), `"monthly";r=93`) {
		t.Errorf("work under way is not counted:\n%s", rate(x))
	}
	d.clock.Advance(15 * time.Hour)
	if got := d.statuses("plain", 1); got != "200" {
		t.Errorf("on the next day: %s", got)
	}
}

func TestBurstAppliesToWorkUnderWay(t *testing.T) {
	t.Parallel()
	d := newDesk(t, "limits: [{name: burst, rate: 1, per: 1s, burst: 3}]\n")
	if got := d.statuses("flight", 4); got != "200 200 200 429" {
		t.Errorf("%s", got)
	}
}

func TestOperationsOfTheirOwn(t *testing.T) {
	t.Parallel()
	d := newDesk(t, "limits: [{name: burst, rate: 1, per: 1h, burst: 6}]\noperations:\n  dear: {cost: 1}\n  v1/own: {cost: 2, limits: [{name: own, rate: 1, per: 1h, burst: 4}]}\n  own: {cost: 4, limits: [{name: wide, rate: 1, per: 1h, burst: 400}]}\n")
	if got := d.statuses("own", 3); got != "200 200 429" {
		t.Errorf("own bucket: %s", got)
	}
	if got := d.statuses("dear", 4); got != "200 200 200 200" {
		t.Errorf("own cost: %s", got)
	}
	if got := d.statuses("plain", 3); got != "200 200 429" {
		t.Errorf("the plan's bucket: %s", got)
	}
}

func TestShadowRefusesNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t, "limits: [{name: burst, rate: 1, per: 1h, burst: 3, shadow: true}]\nquotas: [{name: daily, per: day, limit: 4, shadow: true}]\nconcurrency: {limit: 1, shadow: true}\n")
	if got := d.statuses("plain", 4); got != "200 200 200 200" {
		t.Fatalf("%s", got)
	}
	x := d.call("plain")
	if rate(x) != "" {
		t.Errorf("the caller sees what is not its business yet:\n%s", rate(x))
	}
	if note := x.Trail[0].Note; note != "over burst, daily, which refuses nothing here" {
		t.Errorf("trail %q", note)
	}
	if !strings.Contains(d.log.String(), "event=limit.shadow request_id=call-5 app=a plan=p limits=\"burst, daily\"") {
		t.Errorf("log:\n%s", d.log.String())
	}
	got := map[Refusal]uint64{}
	d.stage.Refusals(func(r Refusal, n uint64) { got[r] = n })
	if diff := cmp.Diff(map[Refusal]uint64{{"p", "burst", true}: 2, {"p", "daily", true}: 1}, got); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

// A place is given back whatever becomes of the call.
func TestPlacesAreReleased(t *testing.T) {
	t.Parallel()
	d := newDesk(t, "concurrency: {limit: 2}\n")
	for name, do := range map[string]func(x *exchange.Exchange) error{
		"answered": nil, "refused": func(*exchange.Exchange) error { return problem.New(problem.NotFound, "no") },
		"failed": func(*exchange.Exchange) error { return errors.New("broken") }, "panicked": func(*exchange.Exchange) error { panic("kaboom") },
	} {
		d.do = do
		for range 5 {
			if x := d.call("plain"); x.Response.Status == 429 {
				t.Errorf("%s: a place was kept", name)
			}
		}
	}
	var inner []*exchange.Exchange
	d.do = func(x *exchange.Exchange) error {
		x.Response = &exchange.Response{Status: 200}
		if len(inner) < 2 {
			inner = append(inner, nil)
			inner[len(inner)-1] = d.call("plain")
		}
		return nil
	}
	if x := d.call("plain"); x.Response.Status != 200 {
		t.Errorf("%d", x.Response.Status)
	}
	third := inner[1]
	if third.Response.Status != 429 || third.Response.Header.Get("Retry-After") != "1" || fmt.Sprint(third.Err.Extra["violated_policies"]) != "[concurrency]" {
		t.Errorf("third at once: %d %+v", third.Response.Status, third.Err)
	}
}

func TestNoPlanNoLimits(t *testing.T) {
	t.Parallel()
	d := newDesk(t, "")
	for range 3 {
		if x := d.call("plain"); x.Response.Status != 200 || rate(x) != "" {
			t.Errorf("an empty plan: %d\n%s", x.Response.Status, rate(x))
		}
	}
	x := &exchange.Exchange{Snapshot: d.snap, Route: d.snap.Match("GET", "/work/v1/open").Route}
	if d.run(x); x.Response.Status != 200 {
		t.Errorf("nobody: %d", x.Response.Status)
	}
}

// Redis is killed under load and comes back: no call fails because of it, three nodes give at most 120 % of the limit,
// and they are one again within five seconds.
func TestRedisIsKilledUnderLoad(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	const burst = 300
	snap := snapshot(t, fmt.Sprintf("limits: [{name: burst, rate: 1, per: 1h, burst: %d}]\nconcurrency: {limit: 1000}\n", burst))
	var nodes []*Caller
	for range 3 {
		r, err := cluster.Open(s.Patient(), quiet)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		nodes = append(nodes, New(Options{Redis: r, Nodes: 3, Quotas: cluster.NewQuotas(r, nil, 3, ident.System{}, quiet), Clock: ident.System{}, Log: quiet}))
	}
	var mu sync.Mutex
	passed := map[string]int{}
	load := func(app string, calls int) {
		var wg sync.WaitGroup
		for _, n := range nodes {
			wg.Go(func() {
				d := &desk{t: t, snap: snap, clock: ident.NewManual(start), stage: n}
				for range calls {
					switch status := d.callAs(app, "plain").Response.Status; status {
					case 200:
						mu.Lock()
						passed[app]++
						mu.Unlock()
					case 429:
					default:
						t.Errorf("status %d", status)
					}
				}
			})
		}
		wg.Wait()
	}
	load("whole", 200)
	if passed["whole"] != burst {
		t.Errorf("with Redis %d passed, want %d", passed["whole"], burst)
	}
	load("cut", 20)
	s.Kill()
	load("cut", 200)
	if got := passed["cut"]; got < burst || got > burst*120/100 {
		t.Errorf("with Redis killed after 60, %d passed, want %d to %d", got, burst, burst*120/100)
	}
	load("apart", 200)
	if got := passed["apart"]; got != burst {
		t.Errorf("without Redis %d passed, want three shares of %d", got, burst/3)
	}
	for i, n := range nodes {
		if !n.Degraded() || n.Without() == 0 {
			t.Errorf("node %d: degraded %v, %d without", i, n.Degraded(), n.Without())
		}
	}
	s.Restart()
	for began := time.Now(); nodes[0].Degraded() || nodes[1].Degraded() || nodes[2].Degraded(); {
		if time.Since(began) > 5*time.Second {
			t.Fatal("not one again within 5 s")
		}
	}
	load("again", 200)
	if passed["again"] != burst {
		t.Errorf("with Redis back %d passed, want %d", passed["again"], burst)
	}
}
