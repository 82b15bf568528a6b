package exchange

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/problem"
)

// fake is a stage that notes that it ran and then does what it is told.
type fake struct {
	name string
	ran  *[]string
	do   func(x *Exchange) error
}

func (f fake) Name() string { return f.name }

func (f fake) Run(_ context.Context, x *Exchange) error {
	*f.ran = append(*f.ran, f.name)
	if f.do == nil {
		return nil
	}
	return f.do(x)
}

// bench is a pipeline with two stages in every place; do gives a stage its behaviour by name.
type bench struct {
	*Pipeline
	ran  []string
	do   map[string]func(x *Exchange) error
	logs bytes.Buffer
}

func answerWith(status int, body string) func(x *Exchange) error {
	return func(x *Exchange) error {
		x.Response = &Response{Status: status, Body: []byte(body)}
		return nil
	}
}

func newBench(do map[string]func(x *Exchange) error) *bench {
	b := &bench{do: do}
	stage := func(name string) Stage { return fake{name, &b.ran, b.do[name]} }
	for _, kind := range []string{"proxy", "accept", "builtin"} {
		if b.do[kind] == nil {
			b.do[kind] = answerWith(200, kind)
		}
	}
	b.Pipeline = &Pipeline{
		Inbound:  []Stage{stage("in1"), stage("in2")},
		Dispatch: map[string]Stage{"proxy": stage("proxy"), "accept": stage("accept"), "builtin": stage("builtin")},
		Produced: []Stage{stage("produced1"), stage("produced2")},
		Every:    []Stage{stage("every1"), stage("every2")},
		Finish: func(_ context.Context, x *Exchange) error {
			b.ran = append(b.ran, "finish")
			if f := b.do["finish"]; f != nil {
				return f(x)
			}
			return nil
		},
		Docs: "https://p/problems/", Clock: ident.System{}, Log: slog.New(slog.NewJSONHandler(&b.logs, nil)),
	}
	return b
}

func (b *bench) call(dispatch catalog.Dispatch) *Exchange {
	x := &Exchange{ID: "r-1", Request: Request{Method: "GET", Path: "/a/b"}, Route: &catalog.Route{Dispatch: dispatch}}
	b.Run(context.Background(), x)
	return x
}

func fails(code problem.Code) func(*Exchange) error {
	return func(*Exchange) error { return problem.New(code, "said so") }
}

func panics(*Exchange) error { panic("the secret reason") }

// TestOrderOfPhases is which stages run, in which order, and what the caller gets.
func TestOrderOfPhases(t *testing.T) {
	t.Parallel()
	typedNil := func(*Exchange) error { var p *problem.Error; return p }
	nothing := func(*Exchange) error { return nil }
	tests := map[string]struct {
		do       map[string]func(*Exchange) error
		dispatch catalog.Dispatch
		ran      string
		status   int
		code     problem.Code
	}{
		"proxy":                        {nil, catalog.Proxy, "in1 in2 proxy produced1 produced2 every1 every2 finish", 200, ""},
		"accept":                       {nil, catalog.Accept, "in1 in2 accept produced1 produced2 every1 every2 finish", 200, ""},
		"builtin":                      {nil, catalog.Builtin, "in1 in2 builtin produced1 produced2 every1 every2 finish", 200, ""},
		"unknown dispatch":             {nil, "magic", "in1 in2 every1 every2 finish", 500, problem.Internal},
		"refused at once":              {map[string]func(*Exchange) error{"in1": fails(problem.AuthMissing)}, catalog.Proxy, "in1 every1 every2 finish", 401, problem.AuthMissing},
		"refused mid-way":              {map[string]func(*Exchange) error{"in2": fails(problem.RateExceeded)}, catalog.Proxy, "in1 in2 every1 every2 finish", 429, problem.RateExceeded},
		"refused by a plain error":     {map[string]func(*Exchange) error{"in2": func(*Exchange) error { return errors.New("the secret reason") }}, catalog.Proxy, "in1 in2 every1 every2 finish", 500, problem.Internal},
		"refused by a nil *Error":      {map[string]func(*Exchange) error{"in2": typedNil}, catalog.Proxy, "in1 in2 every1 every2 finish", 500, problem.Internal},
		"answered inbound":             {map[string]func(*Exchange) error{"in1": answerWith(203, "replayed")}, catalog.Proxy, "in1 every1 every2 finish", 203, ""},
		"refused by the dispatcher":    {map[string]func(*Exchange) error{"proxy": fails(problem.BackendTimeout)}, catalog.Proxy, "in1 in2 proxy every1 every2 finish", 504, problem.BackendTimeout},
		"the dispatcher says nothing":  {map[string]func(*Exchange) error{"proxy": nothing}, catalog.Proxy, "in1 in2 proxy every1 every2 finish", 500, problem.Internal},
		"a produced answer is refused": {map[string]func(*Exchange) error{"produced1": fails(problem.BackendBadAnswer)}, catalog.Proxy, "in1 in2 proxy produced1 every1 every2 finish", 502, problem.BackendBadAnswer},
		"an outbound stage fails":      {map[string]func(*Exchange) error{"every1": fails(problem.Internal)}, catalog.Proxy, "in1 in2 proxy produced1 produced2 every1 every2 finish", 500, problem.Internal},
		"a refusal of a refusal":       {map[string]func(*Exchange) error{"in1": fails(problem.AuthMissing), "every1": fails(problem.Internal)}, catalog.Proxy, "in1 every1 every2 finish", 500, problem.Internal},
		"the record fails":             {map[string]func(*Exchange) error{"finish": func(*Exchange) error { return errors.New("disk full") }}, catalog.Proxy, "in1 in2 proxy produced1 produced2 every1 every2 finish", 200, ""},
		"panic inbound":                {map[string]func(*Exchange) error{"in1": panics}, catalog.Proxy, "in1 every1 every2 finish", 500, problem.Internal},
		"panic in the proxy":           {map[string]func(*Exchange) error{"proxy": panics}, catalog.Proxy, "in1 in2 proxy every1 every2 finish", 500, problem.Internal},
		"panic in accept":              {map[string]func(*Exchange) error{"accept": panics}, catalog.Accept, "in1 in2 accept every1 every2 finish", 500, problem.Internal},
		"panic in a builtin":           {map[string]func(*Exchange) error{"builtin": panics}, catalog.Builtin, "in1 in2 builtin every1 every2 finish", 500, problem.Internal},
		"panic in a produced stage":    {map[string]func(*Exchange) error{"produced2": panics}, catalog.Proxy, "in1 in2 proxy produced1 produced2 every1 every2 finish", 500, problem.Internal},
		"panic outbound":               {map[string]func(*Exchange) error{"every1": panics}, catalog.Proxy, "in1 in2 proxy produced1 produced2 every1 every2 finish", 500, problem.Internal},
		"panic in the last stage":      {map[string]func(*Exchange) error{"every2": panics}, catalog.Proxy, "in1 in2 proxy produced1 produced2 every1 every2 finish", 500, problem.Internal},
		"panic in the record":          {map[string]func(*Exchange) error{"finish": panics}, catalog.Proxy, "in1 in2 proxy produced1 produced2 every1 every2 finish", 200, ""},
		"panic everywhere":             {map[string]func(*Exchange) error{"in1": panics, "every1": panics, "every2": panics, "finish": panics}, catalog.Proxy, "in1 every1 every2 finish", 500, problem.Internal},
		"panic of a nil dereference":   {map[string]func(*Exchange) error{"in2": func(x *Exchange) error { x.Caller.Org = "x"; return nil }}, catalog.Proxy, "in1 in2 every1 every2 finish", 500, problem.Internal},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			do := tt.do
			if do == nil {
				do = map[string]func(*Exchange) error{}
			}
			b := newBench(do)
			x := b.call(tt.dispatch)
			if got := strings.Join(b.ran, " "); got != tt.ran {
				t.Errorf("ran %s\nwant %s", got, tt.ran)
			}
			if x.Response == nil || x.Response.Status != tt.status || x.Response.Header.Get("X-Request-Id") != "r-1" {
				t.Fatalf("response %+v, want %d", x.Response, tt.status)
			}
			if strings.Contains(string(x.Response.Body), "secret reason") {
				t.Error("the cause is shown to the caller")
			}
			if strings.Contains(name, "panic") && !strings.Contains(b.logs.String(), `"request_id":"r-1"`) {
				t.Errorf("the panic is not in the log with the request id: %s", b.logs.String())
			}
			if tt.code == "" {
				if x.Err != nil {
					t.Errorf("an answer carries the refusal %v", x.Err)
				}
				return
			}
			var body map[string]any
			if err := json.Unmarshal(x.Response.Body, &body); err != nil {
				t.Fatal(err)
			}
			if x.Err == nil || x.Err.Code != tt.code || body["code"] != string(tt.code) || body["request_id"] != "r-1" || body["instance"] != "/a/b" ||
				x.Response.Header.Get("Content-Type") != "application/problem+json" || x.Response.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("refusal %s, headers %v", x.Response.Body, x.Response.Header)
			}
		})
	}
}

func TestNoRouteIsNoPanic(t *testing.T) {
	t.Parallel()
	b := newBench(map[string]func(*Exchange) error{})
	x := &Exchange{ID: "r-2"}
	b.Run(context.Background(), x)
	if x.Response.Status != 500 || x.Response.Header.Get("X-Request-Id") != "r-2" {
		t.Errorf("response %+v", x.Response)
	}
	b.Finish = nil
	b.Run(context.Background(), &Exchange{ID: "r-3", Route: &catalog.Route{Dispatch: catalog.Proxy}})
}

// An outbound stage that runs on every answer finds one, and what it adds is on refusals, too.
func TestEveryAnswerGetsTheHeaders(t *testing.T) {
	t.Parallel()
	add := func(x *Exchange) error { x.Response.Header.Set("Deprecation", "@1"); return nil }
	for name, do := range map[string]map[string]func(*Exchange) error{
		"answer": {"every2": add}, "refusal": {"every2": add, "in1": fails(problem.AuthScope)}, "no answer": {"every2": add, "proxy": func(*Exchange) error { return nil }},
		"the stage before it fails": {"every2": add, "every1": panics},
	} {
		b := newBench(do)
		if x := b.call(catalog.Proxy); x.Response.Header.Get("Deprecation") != "@1" {
			t.Errorf("%s: headers %v", name, x.Response.Header)
		}
	}
}

func TestRefusalHeaders(t *testing.T) {
	t.Parallel()
	b := newBench(map[string]func(*Exchange) error{"in1": func(*Exchange) error {
		return fmt.Errorf("wrapped: %w", &problem.Error{Code: problem.AuthUnavailable, Detail: "d", RetryAfter: 1500 * time.Millisecond,
			Header: [][2]string{{"WWW-Authenticate", "Bearer"}, {"WWW-Authenticate", "Basic"}}, Cause: errors.New("the database is down")})
	}})
	x := b.call(catalog.Proxy)
	if x.Response.Status != 503 || x.Response.Header.Get("Retry-After") != "2" || !slices.Equal(x.Response.Header.Values("www-authenticate"), []string{"Bearer", "Basic"}) {
		t.Errorf("response %+v", x.Response)
	}
	if strings.Contains(string(x.Response.Body), "database") || !strings.Contains(b.logs.String(), "the database is down") {
		t.Error("the cause belongs in the log and nowhere else")
	}
}

func TestTrail(t *testing.T) {
	t.Parallel()
	b := newBench(map[string]func(*Exchange) error{"in2": func(x *Exchange) error { x.Note("sandbox"); return nil }})
	clock := ident.NewManual(time.Unix(0, 0))
	b.Clock = clock
	b.do["proxy"] = nil
	b.Dispatch["proxy"] = fake{"proxy", &b.ran, func(x *Exchange) error { clock.Advance(7 * time.Millisecond); return answerWith(200, "")(x) }}
	x := b.call(catalog.Proxy)
	var got []string
	for _, s := range x.Trail {
		got = append(got, fmt.Sprintf("%s %s %d %s", s.Stage, s.Result, s.Micros, s.Note))
	}
	want := []string{"in1 passed 0 ", "in2 passed 0 sandbox", "proxy answered 7000 ", "produced1 passed 0 ", "produced2 passed 0 ", "every1 passed 0 ", "every2 passed 0 "}
	if !slices.Equal(got, want) {
		t.Errorf("trail\n got %q\nwant %q", got, want)
	}
	b = newBench(map[string]func(*Exchange) error{"in2": panics})
	x = b.call(catalog.Proxy)
	if len(x.Trail) != 4 || x.Trail[1].Result != "refused" {
		t.Errorf("trail of a refusal %+v", x.Trail)
	}
}

func TestHeader(t *testing.T) {
	t.Parallel()
	var h Header
	h.Add("X-A", "1")
	h.Add("x-a", "2")
	h.Add("B", "3")
	if h.Get("X-a") != "1" || !slices.Equal(h.Values("X-A"), []string{"1", "2"}) || h.Get("none") != "" || h.Values("none") != nil {
		t.Errorf("header %v", h)
	}
	h.Set("X-A", "4")
	if !slices.Equal(h.Values("x-a"), []string{"4"}) || h.Get("B") != "3" || len(h) != 2 {
		t.Errorf("after Set %v", h)
	}
}

// What a stage holds is given back once, last first, after everything else, whatever becomes of the call and of what
// else is given back.
func TestOnEnd(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(x *Exchange) error{
		"answered": nil, "refused": fails(problem.RateExceeded), "panicked": func(*Exchange) error { panic("kaboom") },
	} {
		var b *bench
		var ended []string
		b = newBench(map[string]func(x *Exchange) error{"in2": do, "in1": func(x *Exchange) error {
			x.OnEnd(func() { ended = append(ended, "first") })
			x.OnEnd(func() { ended = append(ended, "second"); panic("kaboom") })
			x.OnEnd(func() { ended = append(ended, "third after "+b.ran[len(b.ran)-1]) })
			return nil
		}})
		b.call(catalog.Proxy)
		if got := strings.Join(ended, ", "); got != "third after finish, second, first" {
			t.Errorf("%s: %s", name, got)
		}
		if !strings.Contains(b.logs.String(), `"stage":"release"`) {
			t.Errorf("%s: the log does not tell of the panic:\n%s", name, b.logs.String())
		}
	}
}
