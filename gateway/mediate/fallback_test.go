package mediate_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"portway/gateway/exchange"
	"portway/gateway/mediate"
	"portway/internal/catalog"
	"portway/internal/catalog/egress"
	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/problem"
)

var morning = time.Date(2026, 9, 14, 8, 0, 0, 0, time.UTC)

// asked is a finished read of an operation with a fallback.
func asked(org ident.OrgID, query string, f egress.Fallback) *exchange.Exchange {
	x := &exchange.Exchange{Environment: ident.Sandbox, Backend: &catalog.Backend{ID: "erp"}, Caller: &partner.Caller{Org: org},
		Route: &catalog.Route{ID: "stock/v1/get", Dispatch: catalog.Proxy, Fallback: f}}
	x.Request.Method, x.Request.Path, x.Request.Query = "GET", "/stock/v1/stock", query
	return x
}

func good(x *exchange.Exchange, body string) *exchange.Exchange {
	x.Response = &exchange.Response{Status: 200, Body: []byte(body)}
	x.Response.Header.Set("Content-Type", "application/json")
	return x
}

func refused(x *exchange.Exchange, code problem.Code) *exchange.Exchange {
	x.Err = problem.New(code, "no")
	x.Response = &exchange.Response{Status: x.Err.Status(), Body: []byte("problem")}
	return x
}

func TestFallback(t *testing.T) {
	t.Parallel()
	own := egress.Fallback{Kind: "last_good", MaxAge: 5 * time.Minute}
	shared := own
	shared.Shared = true
	for name, c := range map[string]struct {
		first, then *exchange.Exchange
		after       time.Duration
		served      bool
	}{
		"unreachable":         {good(asked("a", "q=1", own), "1"), refused(asked("a", "q=1", own), problem.BackendUnreachable), 7 * time.Second, true},
		"timeout":             {good(asked("a", "", own), "1"), refused(asked("a", "", own), problem.BackendTimeout), time.Minute, true},
		"unavailable":         {good(asked("a", "", own), "1"), refused(asked("a", "", own), problem.BackendUnavailable), 5 * time.Minute, true},
		"bad answer":          {good(asked("a", "", own), "1"), refused(asked("a", "", own), problem.BackendBadAnswer), 0, true},
		"too old":             {good(asked("a", "", own), "1"), refused(asked("a", "", own), problem.BackendTimeout), 5*time.Minute + 1, false},
		"not found":           {good(asked("a", "", own), "1"), refused(asked("a", "", own), problem.NotFound), 0, false},
		"rate":                {good(asked("a", "", own), "1"), refused(asked("a", "", own), problem.RateExceeded), 0, false},
		"another query":       {good(asked("a", "q=1", own), "1"), refused(asked("a", "q=2", own), problem.BackendTimeout), 0, false},
		"another partner":     {good(asked("a", "", own), "1"), refused(asked("b", "", own), problem.BackendTimeout), 0, false},
		"a partner, shared":   {good(asked("a", "", shared), "1"), refused(asked("b", "", shared), problem.BackendTimeout), 0, true},
		"nothing declared":    {good(asked("a", "", egress.Fallback{}), "1"), refused(asked("a", "", egress.Fallback{}), problem.BackendTimeout), 0, false},
		"no answer before":    {refused(asked("a", "", own), problem.BackendTimeout), refused(asked("a", "", own), problem.BackendTimeout), 0, false},
		"not to be kept":      {noStore(good(asked("a", "", own), "1")), refused(asked("a", "", own), problem.BackendTimeout), 0, false},
		"too large to keep":   {good(asked("a", "", own), strings.Repeat("x", 2<<20)), refused(asked("a", "", own), problem.BackendTimeout), 0, false},
		"another environment": {good(asked("a", "", shared), "1"), live(refused(asked("a", "", shared), problem.BackendTimeout)), 0, false},
	} {
		clock := ident.NewManual(morning)
		s := mediate.NewFallback(clock)
		for _, x := range []*exchange.Exchange{c.first, c.then} {
			if err := s.Run(context.Background(), x); err != nil {
				t.Fatal(err)
			}
			if x == c.first {
				clock.Advance(c.after)
			}
		}
		r := c.then.Response
		if served := c.then.Err == nil && r.Status == 200; served != c.served {
			t.Errorf("%s: %+v %v", name, r, c.then.Err)
		} else if served && (string(r.Body) != "1" || r.Header.Get("Age") != fmt.Sprint(int(c.after.Seconds())) || r.Header.Get(mediate.HeaderFallback) != "last-good" || r.Header.Get("Content-Type") == "") {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func noStore(x *exchange.Exchange) *exchange.Exchange {
	x.Response.Header.Set("Cache-Control", "private, no-store")
	return x
}

func live(x *exchange.Exchange) *exchange.Exchange {
	x.Environment = ident.Live
	return x
}

// What is remembered is bounded; what was used last stays.
func TestFallbackIsBounded(t *testing.T) {
	t.Parallel()
	s := mediate.NewFallback(ident.NewManual(morning))
	f := egress.Fallback{Kind: "last_good", MaxAge: time.Hour}
	run := func(x *exchange.Exchange) *exchange.Exchange {
		if err := s.Run(context.Background(), x); err != nil {
			t.Fatal(err)
		}
		return x
	}
	body := strings.Repeat("x", 1<<20-1024)
	for i := range 40 {
		run(good(asked("a", fmt.Sprint("n=", i), f), body))
		run(refused(asked("a", "n=0", f), problem.BackendTimeout)) // keeps the first in use
	}
	kept := 0
	for i := range 40 {
		if run(refused(asked("a", fmt.Sprint("n=", i), f), problem.BackendTimeout)).Err == nil {
			kept++
		} else if i == 0 || i == 39 {
			t.Errorf("answer %d is gone", i)
		}
	}
	if kept < 30 || kept > 32 {
		t.Errorf("%d answers of a mebibyte are kept", kept)
	}
}

func TestAnswersMeanWhatTheDataSays(t *testing.T) {
	t.Parallel()
	for name, carrier := range map[string]string{"mapped": "alpha", "as it is": "beta"} {
		for status, want := range map[int]struct {
			code  problem.Code
			after time.Duration
		}{
			409: {"", 0}, 410: {"", 0},
			422: {problem.BackendRejected, 0}, 500: {problem.BackendRejected, 0},
			423: {problem.BackendUnavailable, 2 * time.Second}, 400: {problem.BackendUnavailable, 5 * time.Second},
		} {
			snap := world(t)
			snap.Backends[carrier].Answers = catalog.Answers{Done: []int{410}, Already: []int{409}, Rejected: []int{422, 500}, Locked: []int{423}, Transient: []int{400}}
			x := proxied(snap, route("createShipment", "POST", "/shipments", catalog.Selector{Body: "/carrier"}), `{"carrier":"`+carrier+`","businessKey":"K1","service":"GROUND"}`)
			if p := inbound(t, x); p != nil {
				t.Fatal(p)
			}
			x.Response = &exchange.Response{Status: status, Body: []byte(`{"labelId":"L1"}`)}
			p := problem.From(mediate.Outbound{}.Run(context.Background(), x))
			if want.code == "" {
				if p != nil || x.Response.Status != 201 {
					t.Errorf("%s %d: %v %+v", name, status, p, x.Response)
				}
				continue
			}
			if p == nil || p.Code != want.code || p.RetryAfter != want.after {
				t.Errorf("%s %d: %v", name, status, p)
			}
		}
	}
}
