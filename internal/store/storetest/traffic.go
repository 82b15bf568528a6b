package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portway/internal/ident"
	"portway/internal/problem"
	"portway/internal/store"
	"portway/internal/store/trafficdb"
	"portway/internal/traffic"
)

var trafficCases = map[string]func(*testing.T, *store.DB){
	"both environments read as one list, newest first": callList,
	"usage is counted once by the hour":                usage,
	"calls of nobody are visible to nobody":            nobody,
	"concurrent appends all count":                     concurrentUsage,
	"contract violations are counted by place":         contractViolations,
	"concurrent contract violations all count":         concurrentViolations,
	"calls are found by their business numbers":        callRefs,
}

// call is the i-th call of org, i minutes after the start; odd ones are live, every third failed.
func call(org ident.OrgID, i int) traffic.Call {
	c := traffic.Call{ID: fmt.Sprintf("%s-%03d", org, i), ClientRequestID: "theirs", Received: start.Add(time.Duration(i) * time.Minute), Org: org,
		Application: "app", Credential: "cred", Environment: ident.Sandbox, API: "orders", Version: "v1", Operation: "claimOrder", Method: "POST",
		Path: "/orders/v1/{order}", Status: 202, Duration: 1500 * time.Microsecond, Upstream: 250 * time.Microsecond, BytesIn: 5, BytesOut: 7, EventID: "event",
		Trail: []traffic.Step{{Stage: "match", Micros: 3, Result: "passed"}}}
	if i%2 == 1 {
		c.Environment = ident.Live
	}
	if i%3 == 0 {
		c.Status, c.Code, c.EventID = 422, problem.SchemaViolation, ""
		c.Violations = []problem.Violation{{In: "body", Pointer: "/a?", Keyword: "type", Message: "a string is expected"}}
	}
	return c
}

func appended(t *testing.T, db *store.DB, n int, orgs ...ident.OrgID) *trafficdb.Store {
	t.Helper()
	s := trafficdb.New(db)
	var calls []traffic.Call
	for _, org := range orgs {
		for i := range n {
			calls = append(calls, call(org, i))
		}
	}
	check(t, s.Append(context.Background(), calls))
	return s
}

func names(calls []traffic.Call) []string {
	out := []string{}
	for _, c := range calls {
		out = append(out, c.ID[len(c.ID)-3:])
	}
	return out
}

func callList(t *testing.T, db *store.DB) {
	s := appended(t, db, 10, three, foreign)
	ctx := context.Background()
	for _, tc := range []struct {
		filter traffic.Filter
		want   []string
	}{
		{traffic.Filter{}, []string{"009", "008", "007", "006", "005", "004", "003", "002", "001", "000"}},
		{traffic.Filter{Limit: 3}, []string{"009", "008", "007"}},
		{traffic.Filter{Limit: 3, Before: string(three) + "-007"}, []string{"006", "005", "004"}},
		{traffic.Filter{Environment: ident.Live}, []string{"009", "007", "005", "003", "001"}},
		{traffic.Filter{Environment: ident.Sandbox, Before: string(three) + "-007", Limit: 2}, []string{"006", "004"}},
		{traffic.Filter{MinStatus: 400}, []string{"009", "006", "003", "000"}},
		{traffic.Filter{MaxStatus: 399, Limit: 2}, []string{"008", "007"}},
		{traffic.Filter{Application: "another"}, []string{}},
	} {
		got, err := s.Calls(ctx, three, tc.filter)
		check(t, err)
		if d := cmp.Diff(tc.want, names(got)); d != "" {
			t.Errorf("%+v (-want +got):\n%s", tc.filter, d)
		}
	}
	for i := range 4 {
		want := call(three, i)
		if want.Trail == nil {
			want.Trail = []traffic.Step{}
		}
		if want.Violations == nil {
			want.Violations = []problem.Violation{}
		}
		got, err := s.Call(ctx, three, want.ID)
		check(t, err)
		if d := cmp.Diff(&want, got); d != "" {
			t.Errorf("call %d (-want +got):\n%s", i, d)
		}
		_, err = s.Call(ctx, foreign, want.ID)
		refused(t, err, problem.NotFound)
	}
	_, err := s.Calls(ctx, three, traffic.Filter{Before: string(foreign) + "-005"})
	refused(t, err, problem.NotFound)
	none, err := s.Calls(ctx, shipper, traffic.Filter{})
	check(t, err)
	equal(t, "calls of another", len(none), 0)
}

func usage(t *testing.T, db *store.DB) {
	s := appended(t, db, 40, three) // minutes 30 to 59 of one hour, then ten of the next
	ctx := context.Background()
	got, err := s.Usage(ctx, three, start)
	check(t, err)
	hour := start.Truncate(time.Hour)
	row := func(h int, env ident.Environment, calls, failed int64) traffic.Usage {
		return traffic.Usage{Hour: hour.Add(time.Duration(h) * time.Hour), Org: three, Application: "app", Environment: env, API: "orders", Version: "v1",
			Operation: "claimOrder", Calls: calls, Failed: failed}
	}
	want := []traffic.Usage{row(0, ident.Live, 15, 5), row(0, ident.Sandbox, 15, 5), row(1, ident.Live, 5, 2), row(1, ident.Sandbox, 5, 2)}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("usage (-want +got):\n%s", d)
	}
	appended(t, db, 40, three) // repeated after a failure: nothing is counted twice
	again, err := s.Usage(ctx, three, start)
	check(t, err)
	if d := cmp.Diff(want, again); d != "" {
		t.Fatalf("usage after a repeated append (-want +got):\n%s", d)
	}
	later, err := s.Usage(ctx, three, start.Add(time.Hour))
	check(t, err)
	equal(t, "since the next hour", len(later), 2)
	foreignUsage, err := s.Usage(ctx, foreign, time.Unix(0, 0))
	check(t, err)
	equal(t, "usage of another", len(foreignUsage), 0)
}

func nobody(t *testing.T, db *store.DB) {
	s := appended(t, db, 4, "", three)
	ctx := context.Background()
	calls, err := s.Calls(ctx, "", traffic.Filter{})
	check(t, err)
	equal(t, "calls", len(calls), 0)
	_, err = s.Call(ctx, "", "-001")
	refused(t, err, problem.NotFound)
	u, err := s.Usage(ctx, "", time.Unix(0, 0))
	check(t, err)
	equal(t, "usage", len(u), 0)
	kept := 0
	for _, r := range []*store.Reader{db.Read(), db.ReadTraffic()} {
		var n int
		check(t, r.Get(ctx, &n, "SELECT count(*) FROM calls WHERE org_id = ''"))
		kept += n
		if !db.Split() {
			break
		}
	}
	equal(t, "kept for operations", kept, 4)
}

func concurrentUsage(t *testing.T, db *store.DB) {
	s := trafficdb.New(db)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			var calls []traffic.Call
			for i := range 10 {
				c := call(three, i)
				c.ID = fmt.Sprintf("%d-%s", w, c.ID)
				c.Operation = fmt.Sprint((i + w) % 4) // other orders of the same rows
				calls = append(calls, c)
			}
			if err := s.Append(context.Background(), calls); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	got, err := s.Usage(context.Background(), three, start)
	check(t, err)
	total := int64(0)
	for _, u := range got {
		total += u.Calls
	}
	equal(t, "calls counted", total, int64(80))
}
