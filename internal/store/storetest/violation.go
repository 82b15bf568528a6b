package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portway/internal/ident"
	"portway/internal/store"
	"portway/internal/store/trafficdb"
	"portway/internal/traffic"
)

func sent(pointer, keyword string, refused bool) traffic.Breach {
	return traffic.Breach{Direction: traffic.Request, Pointer: pointer, Keyword: keyword, Refused: refused}
}

func answered(backend, pointer string) traffic.Breach {
	return traffic.Breach{Direction: traffic.Response, Backend: backend, Pointer: pointer, Keyword: "type"}
}

func contractViolations(t *testing.T, db *store.DB) {
	ctx := context.Background()
	s := trafficdb.New(db)
	var calls []traffic.Call
	for i, c := range []struct {
		org      ident.OrgID
		breaches []traffic.Breach
	}{
		{three, []traffic.Breach{sent("/a", "type", false), sent("/a", "type", false), sent("/b", "required", true)}}, // twice in one place: one call
		{three, []traffic.Breach{sent("/a", "type", true)}},                                                           // live
		{three, []traffic.Breach{sent("/a", "type", true), answered("erp", "/x")}},
		{foreign, []traffic.Breach{sent("/a", "type", false), answered("erp", "/x")}}, // live
		{foreign, []traffic.Breach{answered("erp", "/x"), answered("carrier", "/y")}},
		{"", []traffic.Breach{sent("/a", "type", false)}},
		{"", []traffic.Breach{answered("erp", "/x")}},
	} {
		record := call(c.org, i)
		record.ID = fmt.Sprintf("call-%d", i)
		record.Breaches = c.breaches
		calls = append(calls, record)
	}
	check(t, s.Append(ctx, calls))
	check(t, s.Append(ctx, calls)) // repeated after a failure: nothing is counted twice
	late := calls[0]
	late.ID, late.Received = "call-before", start.Add(-time.Hour) // written late: an earlier one is not the last
	check(t, s.Append(ctx, []traffic.Call{late}))
	row := func(org ident.OrgID, backend, pointer, keyword string, env ident.Environment, n, refused int64, first, last int, sample string) traffic.ContractViolation {
		v := traffic.ContractViolation{Org: org, Backend: backend, Environment: env, API: "orders", Version: "v1", Operation: "claimOrder", Direction: traffic.Request,
			Pointer: pointer, Keyword: keyword, Calls: n, Refused: refused, First: start.Add(time.Duration(first) * time.Minute), Last: start.Add(time.Duration(last) * time.Minute), Sample: sample}
		if backend != "" {
			v.Direction = traffic.Response
		}
		return v
	}
	got, err := s.ContractViolations(ctx, three, start.Add(-2*time.Hour))
	check(t, err)
	want := []traffic.ContractViolation{
		row(three, "", "/a", "type", ident.Sandbox, 3, 1, -60, 2, "call-2"),
		row(three, "", "/b", "required", ident.Sandbox, 2, 2, -60, 0, "call-0"),
		row(three, "", "/a", "type", ident.Live, 1, 1, 1, 1, "call-1"),
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("of an organisation (-want +got):\n%s", d)
	}
	got, err = s.BackendViolations(ctx, start.Add(-2*time.Hour))
	check(t, err)
	want = []traffic.ContractViolation{
		row("", "erp", "/x", "type", ident.Sandbox, 3, 0, 2, 6, "call-6"),
		row("", "carrier", "/y", "type", ident.Sandbox, 1, 0, 4, 4, "call-4"),
		row("", "erp", "/x", "type", ident.Live, 1, 0, 3, 3, "call-3"),
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("of backends (-want +got):\n%s", d)
	}
	got, err = s.ContractViolations(ctx, three, start.Add(time.Minute))
	check(t, err)
	equal(t, "since a minute later", len(got), 2)
	got, err = s.ContractViolations(ctx, shipper, start.Add(-2*time.Hour))
	check(t, err)
	equal(t, "of another", len(got), 0)
	got, err = s.ContractViolations(ctx, "", start.Add(-2*time.Hour))
	check(t, err)
	equal(t, "of nobody", len(got), 0)
}

func concurrentViolations(t *testing.T, db *store.DB) {
	s := trafficdb.New(db)
	const writers, each, places = 8, 12, 5
	var wg sync.WaitGroup
	for w := range writers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			var calls []traffic.Call
			for i := range each {
				c := call(three, i)
				c.ID = fmt.Sprintf("%d-%s", w, c.ID)
				for p := range places { // other orders of the same rows
					c.Breaches = append(c.Breaches, sent(fmt.Sprintf("/%d", (p+w+i)%places), "type", i%3 == 0), answered("erp", "/x"))
				}
				calls = append(calls, c)
			}
			if err := s.Append(context.Background(), calls); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	ctx := context.Background()
	got, err := s.ContractViolations(ctx, three, start)
	check(t, err)
	equal(t, "rows", len(got), 2*places)
	for _, v := range got {
		equal(t, "calls of "+v.Pointer+" in "+string(v.Environment), v.Calls, int64(writers*each/2))
		equal(t, "refused of "+v.Pointer+" in "+string(v.Environment), v.Refused, int64(writers*each/6))
	}
	backends, err := s.BackendViolations(ctx, start)
	check(t, err)
	equal(t, "answers", backends[0].Calls+backends[1].Calls, int64(writers*each))
}

func callRefs(t *testing.T, db *store.DB) {
	ctx := context.Background()
	s := trafficdb.New(db)
	so := traffic.Ref{Scheme: "so", Value: "SO-7"}
	var calls []traffic.Call
	for i, org := range []ident.OrgID{three, three, three, foreign} {
		c := call(org, i)
		c.ID = fmt.Sprintf("call-%03d", i)
		if i != 2 {
			c.Refs = []traffic.Ref{so, {Scheme: "shipment", Value: fmt.Sprint("S", i)}}
		}
		calls = append(calls, c)
	}
	check(t, s.Append(ctx, calls))
	check(t, s.Append(ctx, calls))
	for _, c := range []struct {
		org  ident.OrgID
		ref  traffic.Ref
		want []string
	}{
		{three, so, []string{"001", "000"}}, {foreign, so, []string{"003"}}, {three, traffic.Ref{Scheme: "po", Value: "SO-7"}, []string{}},
		{three, traffic.Ref{Scheme: "shipment", Value: "S3"}, []string{}}, {three, traffic.Ref{}, []string{"002", "001", "000"}},
	} {
		got, err := s.Calls(ctx, c.org, traffic.Filter{Ref: c.ref})
		check(t, err)
		if d := cmp.Diff(c.want, names(got)); d != "" {
			t.Errorf("%s %v (-want +got):\n%s", c.org, c.ref, d)
		}
	}
	got, err := s.Call(ctx, three, "call-001")
	check(t, err)
	if d := cmp.Diff([]traffic.Ref{{Scheme: "shipment", Value: "S1"}, so}, got.Refs); d != "" {
		t.Errorf("numbers of a call (-want +got):\n%s", d)
	}
}
