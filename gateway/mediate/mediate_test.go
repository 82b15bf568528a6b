package mediate_test

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"portway/gateway/exchange"
	"portway/gateway/mediate"
	"portway/internal/catalog"
	"portway/internal/idempotent"
	"portway/internal/ident"
	"portway/internal/intake"
	"portway/internal/mapping"
	"portway/internal/openapi"
	"portway/internal/partner"
	"portway/internal/problem"
)

func compile(t *testing.T, fields string) *mapping.Mapping {
	t.Helper()
	m, problems := mapping.Compile("m.yaml", []byte("kind: mapping\nschema: 1\nversion: 1\nsource: {format: json}\ntarget: json\nfields:\n"+fields))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return m
}

// world is a snapshot with two carriers and an ERP.
func world(t *testing.T) *catalog.Snapshot {
	t.Helper()
	sandbox := func(u string) map[ident.Environment]string { return map[ident.Environment]string{ident.Sandbox: u} }
	return &catalog.Snapshot{Backends: map[string]*catalog.Backend{
		"alpha": {ID: "alpha", URLs: sandbox("http://alpha:1/api"), Vars: map[string]any{"account": "AC-1"}, Operations: map[string]*catalog.BackendOperation{
			"createShipment": {Path: "/v1/labels",
				Request:  compile(t, "  - {to: ref, expr: .body.businessKey, type: string, required: true}\n  - {to: account, expr: $vars.account, type: string}\n"),
				Response: compile(t, "  - {to: shipmentId, expr: '$vars.carrier + \"-\" + .body.labelId', type: string, required: true}\n  - {to: service, expr: .request.body.service, type: string}\n  - {to: code, expr: .status, type: int}\n  - {to: labelId, expr: .body.labelId, type: string, required: true}\n")},
			"getShipment": {Path: "/v1/labels/{id}"},
			"quoteRates":  {Path: "/v1/rates"},
		}},
		"beta": {ID: "beta", URLs: sandbox("http://beta:2"), Operations: map[string]*catalog.BackendOperation{
			"createShipment":  {Path: "/orders", Query: map[string]string{"labelType": "BOTH"}},
			"getShipment":     {Path: "/orders", Method: "POST", Query: map[string]string{"shipment": "{id}", "lang": "{query.lang}", "n": "{query.n}", "always": "x"}},
			"v1/getShipment":  {Path: "/old/{id}"},
			"brokenTemplates": {Path: "/x/{nothing}"},
		}},
		"live": {ID: "live", URLs: map[ident.Environment]string{ident.Live: "http://live:3"}, Operations: map[string]*catalog.BackendOperation{"createShipment": {}}},
		"erp":  {ID: "erp", URLs: sandbox("http://erp:4/base")},
	}}
}

func route(id, method, template string, s catalog.Selector) *catalog.Route {
	return &catalog.Route{ID: "shipments/v2/" + id, API: &catalog.API{ID: "shipments"}, Version: &catalog.Version{Name: "v2", Base: "/shipments/v2"},
		Operation: &openapi.Operation{ID: id, Responses: []openapi.Response{{Status: "201"}, {Status: "default"}}},
		Method:    method, Template: "/shipments/v2" + template, Dispatch: catalog.Proxy, Select: &s}
}

func proxied(snap *catalog.Snapshot, r *catalog.Route, body string) *exchange.Exchange {
	x := &exchange.Exchange{ID: "r1", Snapshot: snap, Route: r, Environment: ident.Sandbox, Params: map[string]any{}}
	x.Request.Method = r.Method
	if body != "" {
		x.Body, x.MediaType = []byte(body), "application/json"
		x.Request.Header.Add("Content-Type", "application/json; charset=utf-8")
	}
	return x
}

func inbound(t *testing.T, x *exchange.Exchange) *problem.Error {
	t.Helper()
	return problem.From(mediate.Inbound{}.Run(context.Background(), x))
}

// where is the address of a prepared call at the backend's first target.
func where(x *exchange.Exchange) string { return x.Backend.URLs[x.Environment] + x.Upstream.Path }

func TestBackendIsChosenByBody(t *testing.T) {
	t.Parallel()
	snap := world(t)
	create := route("createShipment", "POST", "/shipments", catalog.Selector{Body: "/carrier"})
	x := proxied(snap, create, `{"carrier":"alpha","businessKey":"K1","service":"GROUND"}`)
	if p := inbound(t, x); p != nil {
		t.Fatal(p)
	}
	if u := x.Upstream; where(x) != "http://alpha:1/api/v1/labels" || u.Method != "POST" || u.ContentType != "application/json" || u.Accept != "application/json" ||
		!jsonEqual(t, u.Body, `{"ref":"K1","account":"AC-1"}`) {
		t.Errorf("got %+v %s", x.Upstream, u.Body)
	}
	x = proxied(snap, create, `{"carrier":"beta"}`)
	if p := inbound(t, x); p != nil {
		t.Fatal(p)
	}
	if u := x.Upstream; where(x) != "http://beta:2/orders?labelType=BOTH" || string(u.Body) != `{"carrier":"beta"}` || u.ContentType != "application/json; charset=utf-8" {
		t.Errorf("got %+v", x.Upstream)
	}
	for _, body := range []string{`{"carrier":"gamma"}`, `{"carrier":"erp"}`, `{"carrier":"live"}`, `{"carrier":7}`, `{"carrier":["alpha"]}`, `{}`, `[]`, `7`} {
		p := inbound(t, proxied(snap, create, body))
		if p == nil || p.Code != problem.BackendUnknown || !strings.Contains(p.Detail, "(have alpha, beta)") || strings.Contains(p.Detail, "gamma") {
			t.Errorf("%s: %v", body, p)
		}
	}
	rates := proxied(snap, route("quoteRates", "POST", "/rates", catalog.Selector{Body: "/carrier"}), `{"carrier":"beta"}`)
	if p := inbound(t, rates); p == nil || p.Code != problem.BackendUnknown || !strings.Contains(p.Detail, "(have alpha)") {
		t.Errorf("an operation that the backend does not serve: %v", p)
	}
}

func TestBackendIsChosenByPathPrefix(t *testing.T) {
	t.Parallel()
	snap := world(t)
	get := route("getShipment", "GET", "/shipments/{shipmentId}", catalog.Selector{PathPrefix: "shipmentId"})
	call := func(id string) *exchange.Exchange {
		x := proxied(snap, get, "")
		x.PathParams = map[string]string{"shipmentId": id}
		x.Params = map[string]any{"path.shipmentId": id, "query.n": json.Number("5")}
		return x
	}
	for id, want := range map[string]string{
		"alpha-L-1":    "GET http://alpha:1/api/v1/labels/L-1",
		"alpha-a%20b":  "GET http://alpha:1/api/v1/labels/a%20b",
		"alpha-x%3Fy":  "GET http://alpha:1/api/v1/labels/x%3Fy",
		"beta-7&x=1":   "POST http://beta:2/orders?always=x&n=5&shipment=7%26x%3D1",
		"beta-%C3%A9%": "",
		"alpha":        "",
		"alpha-":       "",
		"alpha-.":      "",
		"alpha-..":     "",
		"live-1":       "",
		"gamma-1":      "",
	} {
		x := call(id)
		p := inbound(t, x)
		switch {
		case want == "" && (p == nil || p.Status() < 400 || p.Status() >= 500):
			t.Errorf("%s: %v %+v", id, p, x.Upstream)
		case want != "" && (p != nil || x.Upstream.Method+" "+where(x) != want):
			t.Errorf("%s: %v %+v, want %s", id, p, x.Upstream, want)
		}
	}
}

func TestVersionsOwnOperationWins(t *testing.T) {
	t.Parallel()
	r := route("getShipment", "GET", "/shipments/{shipmentId}", catalog.Selector{PathPrefix: "shipmentId"})
	r.Version = &catalog.Version{Name: "v1", Base: "/shipments/v1"}
	x := proxied(world(t), r, "")
	x.PathParams = map[string]string{"shipmentId": "beta-1"}
	if p := inbound(t, x); p != nil || where(x) != "http://beta:2/old/1" {
		t.Errorf("%v %+v", p, x.Upstream)
	}
}

func TestAsCalled(t *testing.T) {
	t.Parallel()
	r := route("getStock", "GET", "/stock/{sku}/at/{site}", catalog.Selector{Fixed: "erp"})
	x := proxied(world(t), r, "")
	x.Request.Header.Add("Accept", "text/csv")
	x.PathParams = map[string]string{"sku": "A%20B", "site": "C(1)"}
	x.Request.Query = "q=a%2cb,c&r=%41+b&s=%e9&t=<x>&u=a|b"
	if p := inbound(t, x); p != nil {
		t.Fatal(p)
	}
	if want := "http://erp:4/base/stock/A%20B/at/C%281%29?q=a%2Cb,c&r=A+b&s=%E9&t=%3Cx%3E&u=a|b"; where(x) != want || x.Upstream.Accept != "text/csv" {
		t.Errorf("got %s, want %s", where(x), want)
	}
}

func TestMappingViolationsPointIntoTheCall(t *testing.T) {
	t.Parallel()
	x := proxied(world(t), route("createShipment", "POST", "/shipments", catalog.Selector{Body: "/carrier"}), `{"carrier":"alpha"}`)
	p := inbound(t, x)
	if p == nil || p.Code != problem.MappingFailed || len(p.Violations) != 1 || p.Violations[0].In != "body" || p.Violations[0].Pointer != "/businessKey" {
		t.Errorf("got %v %+v", p, p.Violations)
	}
}

func TestOtherDispatchesPass(t *testing.T) {
	t.Parallel()
	x := &exchange.Exchange{Route: &catalog.Route{Dispatch: catalog.Accept}, Response: &exchange.Response{Status: 202}}
	if p := inbound(t, x); p != nil || x.Upstream != nil {
		t.Errorf("%v %v", p, x.Upstream)
	}
	if err := (mediate.Outbound{}).Run(context.Background(), x); err != nil || x.Response.Status != 202 {
		t.Errorf("%v %v", err, x.Response)
	}
}

func answered(t *testing.T, carrier string, status int, body string) (*exchange.Exchange, *problem.Error) {
	t.Helper()
	x := proxied(world(t), route("createShipment", "POST", "/shipments", catalog.Selector{Body: "/carrier"}), `{"carrier":"`+carrier+`","businessKey":"K1","service":"GROUND"}`)
	if p := inbound(t, x); p != nil {
		t.Fatal(p)
	}
	x.Response = &exchange.Response{Status: status, Body: []byte(body)}
	x.Response.Header.Set("ETag", `"1"`)
	x.Response.Header.Set("Retry-After", "7")
	return x, problem.From(mediate.Outbound{}.Run(context.Background(), x))
}

func TestAnswersAreMapped(t *testing.T) {
	t.Parallel()
	x, p := answered(t, "alpha", 201, `{"labelId":"L1","secret":"s"}`)
	if p != nil || x.Response.Status != 201 || !jsonEqual(t, x.Response.Body, `{"shipmentId":"alpha-L1","service":"GROUND","code":201,"labelId":"L1"}`) {
		t.Errorf("%v %+v %s", p, x.Response, x.Response.Body)
	}
	if len(x.Response.Header) != 1 || x.Response.Header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", x.Response.Header)
	}
	if x, p := answered(t, "alpha", 200, `{"labelId":"L1"}`); p != nil || x.Response.Status != 201 {
		t.Errorf("an undeclared success: %v %+v", p, x.Response)
	}
}

func TestRefusalsOfABackendBecomeOurs(t *testing.T) {
	t.Parallel()
	const text = `{"error":"ORA-00942 at 10.0.0.7"}`
	for status, want := range map[int]problem.Code{404: problem.NotFound, 410: problem.NotFound, 409: problem.Conflict, 400: problem.BackendRejected, 401: problem.BackendBadAnswer,
		422: problem.BackendRejected, 429: problem.BackendUnavailable, 500: problem.BackendBadAnswer, 503: problem.BackendUnavailable, 504: problem.BackendTimeout, 302: problem.BackendBadAnswer} {
		_, p := answered(t, "alpha", status, text)
		if p == nil || p.Code != want || strings.Contains(string(p.Body("", "", "")), "ORA") {
			t.Errorf("%d: %v", status, p)
		}
		if (status == 429 || status == 503) != (p.RetryAfter > 0) {
			t.Errorf("%d: retry after %s", status, p.RetryAfter)
		}
	}
	for _, body := range []string{"", "<html>ORA</html>", `{"labelId":"a","labelId":"b"}`, `{"labelId":1e999999}`, `{}`} {
		_, p := answered(t, "alpha", 201, body)
		if p == nil || p.Code != problem.BackendBadAnswer || len(p.Violations) > 0 || p.Cause == nil {
			t.Errorf("%s: %v", body, p)
		}
	}
}

func TestWithoutAMappingAnswersPass(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 404, 422, 500} {
		x, p := answered(t, "beta", status, "as it came")
		if p != nil || x.Response.Status != status || string(x.Response.Body) != "as it came" || x.Response.Header.Get("ETag") == "" {
			t.Errorf("%d: %v %+v", status, p, x.Response)
		}
	}
}

type taker struct {
	got  intake.Call
	kind string
	err  error
}

func (s *taker) JSON(_ context.Context, c intake.Call) (intake.Answer, error) {
	s.got, s.kind = c, "json"
	return intake.Answer{Status: 202, Header: [][2]string{{"Location", "/v1/events/e1"}}, ContentType: "application/json", Body: []byte(`{}`), EventID: "e1"}, s.err
}

func (s *taker) X12(_ context.Context, c intake.Call) (intake.Answer, error) {
	s.got, s.kind = c, "x12"
	return intake.Answer{Status: 202, ContentType: "application/edi-x12", Body: []byte("ISA")}, s.err
}

func TestAccept(t *testing.T) {
	t.Parallel()
	s := &taker{}
	x := &exchange.Exchange{ID: "r1", Environment: ident.Sandbox, Body: []byte(`{"a":1}`), MediaType: "application/json", PathParams: map[string]string{"order": "SO%201"},
		Route:  &catalog.Route{ID: "orders/v1/claimOrder", Dispatch: catalog.Accept},
		Caller: &partner.Caller{Org: "o1", OrgSlug: "harbor", Application: "a1", AppName: "WMS"}}
	x.Key = &idempotent.Key{Value: "0123456789abcdef"}
	if err := (&mediate.Accept{Intake: s}).Run(context.Background(), x); err != nil {
		t.Fatal(err)
	}
	if s.kind != "json" || s.got.RequestID != "r1" || s.got.Org != "o1" || s.got.Path["order"] != "SO 1" || s.got.Key != x.Key || string(s.got.Body) != `{"a":1}` {
		t.Errorf("got %s %+v", s.kind, s.got)
	}
	if x.EventID != "e1" || x.Response.Status != 202 || x.Response.Header.Get("Location") != "/v1/events/e1" || x.Response.Header.Get("Content-Type") != "application/json" {
		t.Errorf("got %+v", x.Response)
	}
	x.Route = &catalog.Route{Handler: "receiveX12", Dispatch: catalog.Accept}
	if err := (&mediate.Accept{Intake: s}).Run(context.Background(), x); err != nil || s.kind != "x12" || x.Response.Header.Get("Content-Type") != "application/edi-x12" {
		t.Errorf("got %s %v %+v", s.kind, err, x.Response)
	}
	x.Response, s.err = nil, problem.New(problem.OrderTooLate, "too late")
	if err := (&mediate.Accept{Intake: s}).Run(context.Background(), x); !problem.Is(err, problem.OrderTooLate) || x.Response != nil {
		t.Errorf("got %v %+v", err, x.Response)
	}
	x.Caller = nil
	if err := (&mediate.Accept{Intake: s}).Run(context.Background(), x); !problem.Is(err, problem.AuthMissing) {
		t.Errorf("without a caller: %v", err)
	}
}

func jsonEqual(t *testing.T, got []byte, want string) bool {
	t.Helper()
	var a, b map[string]any
	if err := json.Unmarshal(got, &a); err != nil {
		t.Errorf("%s: %v", got, err)
		return false
	}
	if err := json.Unmarshal([]byte(want), &b); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(a, b)
}
