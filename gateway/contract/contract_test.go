package contract_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"portway/gateway/contract"
	"portway/gateway/exchange"
	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/problem"
)

const spec = `
openapi: 3.1.0
info: {title: Orders, version: 1.0.0}
paths:
  /orders/{order}:
    get:
      operationId: getOrder
      parameters:
        - {name: order, in: path, required: true, schema: {type: string, maxLength: 8}}
        - {name: limit, in: query, schema: {type: integer, minimum: 1, maximum: 5}}
      responses: {'200': {description: ok, content: {application/json: {schema: {type: object}}}}}
    put:
      operationId: putOrder
      parameters:
        - {name: order, in: path, required: true, schema: {type: string, maxLength: 8}}
      requestBody:
        required: true
        content:
          application/json: {schema: {type: object, additionalProperties: false, required: [sku], properties: {sku: {type: string}, count: {type: integer, minimum: 1}}}}
          text/plain: {schema: {type: string}}
      responses: {'200': {description: ok, content: {application/json: {schema: {type: object}}, application/zpl: {schema: {type: string}}}}}
  /ping:
    post:
      operationId: ping
      responses: {'204': {description: ok}}
`

const policy = `
kind: api
schema: 1
title: Orders
versions:
  v1: {lifecycle: {state: retired, deprecated: "2026-01-01", sunset: "2026-06-01", successor: v2}}
  v2: {lifecycle: {state: deprecated, deprecated: "2026-09-01", sunset: "2027-03-31", successor: v3}}
  v3: {}
operations:
  getOrder: {dispatch: builtin}
  putOrder: {dispatch: builtin, body: 64}
  ping: {dispatch: builtin}
`

func snapshot(t *testing.T) *catalog.Snapshot {
	t.Helper()
	file := &fstest.MapFile{Data: []byte(spec)}
	snap, problems := catalog.Load(catalog.Sources{
		Specs:    fstest.MapFS{"orders/v1/openapi.yaml": file, "orders/v2/openapi.yaml": file, "orders/v3/openapi.yaml": file},
		Policies: fstest.MapFS{"apis/orders.yaml": &fstest.MapFile{Data: []byte(policy)}},
		Clock:    ident.System{},
		Links:    func(api, version string) string { return "http://portal/" + api + "/" + version },
	})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return snap
}

// request is a call with a method and target, and headers as name, value pairs.
func request(snap *catalog.Snapshot, method, target string, headers ...string) *exchange.Exchange {
	x := &exchange.Exchange{ID: "r1", Snapshot: snap}
	x.Request.Method = method
	x.Request.Path, x.Request.Query, _ = strings.Cut(target, "?")
	for i := 0; i+1 < len(headers); i += 2 {
		x.Request.Header.Add(headers[i], headers[i+1])
	}
	return x
}

// withBody announces and holds a body.
func withBody(x *exchange.Exchange, media, body string) *exchange.Exchange {
	x.Request.Header.Add("Transfer-Encoding", "chunked")
	if media != "" {
		x.Request.Header.Add("Content-Type", media)
	}
	x.ReadBody = func(limit int64) ([]byte, error) {
		if int64(len(body)) > limit {
			return nil, problem.New(problem.BodyTooLarge, "too large")
		}
		return []byte(body), nil
	}
	return x
}

func run(x *exchange.Exchange, stages ...exchange.Stage) *problem.Error {
	for _, s := range stages {
		if err := s.Run(context.Background(), x); err != nil {
			return problem.From(err)
		}
	}
	return nil
}

func TestMatch(t *testing.T) {
	t.Parallel()
	snap := snapshot(t)
	for _, c := range []struct{ method, path, route, code, detail, allow string }{
		{"GET", "/orders/v3/orders/SO-1", "orders/v3/getOrder", "", "", ""},
		{"HEAD", "/orders/v3/orders/SO-1", "orders/v3/getOrder", "", "", ""},
		{"GET", "/orders/v2/orders/SO-1", "orders/v2/getOrder", "", "", ""},
		{"GET", "/orders/v1/orders/SO-1", "orders/v1/getOrder", "version.retired", `api "orders" version "v1" was retired; its successor is "v2"`, ""},
		{"DELETE", "/orders/v3/orders/SO-1", "", "route.method", "the operation has no such method (have GET, HEAD, PUT)", "GET, HEAD, PUT"},
		{"HEAD", "/orders/v3/ping", "", "route.method", "the operation has no such method (have POST)", "POST"},
		{"GET", "/orders/v4/orders/SO-1", "", "version.unknown", `api "orders" has no version "v4" (have v1, v2, v3)`, ""},
		{"GET", "/orders/v3/nothing", "", "route.unknown", `api "orders" version "v3" has no operation with this path`, ""},
		{"GET", "/orders/vX/orders", "", "version.unknown", `api "orders": the path names no version (have v1, v2, v3)`, ""},
		{"GET", "/orders/v99999/orders", "", "version.unknown", `api "orders": the path names no version (have v1, v2, v3)`, ""},
		{"GET", "/orders", "", "version.unknown", `api "orders": the path names no version (have v1, v2, v3)`, ""},
		{"GET", "/nothing/v1", "", "route.unknown", "no operation has this path", ""},
		{"GET", "/", "", "route.unknown", "no operation has this path", ""},
	} {
		x := request(snap, c.method, c.path)
		p := run(x, contract.Match{})
		route := ""
		if x.Route != nil {
			route = x.Route.ID
		}
		if c.code == "" && p != nil || c.code != "" && (p == nil || string(p.Code) != c.code || p.Detail != c.detail) || route != c.route {
			t.Errorf("%s %s: route %q, %v", c.method, c.path, route, p)
		}
		if c.allow != "" && (len(p.Header) != 1 || p.Header[0] != [2]string{"Allow", c.allow}) {
			t.Errorf("%s %s: %v", c.method, c.path, p.Header)
		}
	}
	x := request(snap, "GET", "/orders/v3/orders/SO%201")
	if p := run(x, contract.Match{}); p != nil || x.PathParams["order"] != "SO%201" {
		t.Errorf("path parameters %v, %v", x.PathParams, p)
	}
}

func TestLifecycleHeadersAreOnEveryAnswerOfAMatchedRoute(t *testing.T) {
	t.Parallel()
	snap := snapshot(t)
	for path, want := range map[string]int{"/orders/v1/ping": 3, "/orders/v2/ping": 3, "/orders/v3/ping": 0, "/none": 0} {
		x := request(snap, "POST", path)
		run(x, contract.Match{})
		x.Response = &exchange.Response{Status: 429}
		if p := run(x, contract.Lifecycle{}); p != nil || len(x.Response.Header) != want {
			t.Errorf("%s: %v, %v", path, x.Response.Header, p)
		}
		if want == 0 {
			continue
		}
		if d := x.Response.Header.Get("Deprecation"); !strings.HasPrefix(d, "@") {
			t.Errorf("%s: Deprecation %q", path, d)
		}
		if x.Response.Header.Get("Sunset") == "" || !strings.Contains(x.Response.Header.Get("Link"), `rel="successor-version"`) {
			t.Errorf("%s: %v", path, x.Response.Header)
		}
	}
}

func TestAuthorize(t *testing.T) {
	t.Parallel()
	set := func(s ...string) map[string]bool {
		m := map[string]bool{}
		for _, v := range s {
			m[v] = true
		}
		return m
	}
	for name, c := range map[string]struct {
		host          ident.Environment
		scopes        []string
		anonymous     bool
		subscribed    bool
		granted, held map[string]bool
		noToken       bool
		want          problem.Code
	}{
		"allowed":               {scopes: []string{"a"}, subscribed: true, granted: set("a"), held: set("a")},
		"any of":                {scopes: []string{"a", "b"}, subscribed: true, granted: set("b"), held: set("b")},
		"no scope needed":       {subscribed: true},
		"not in token":          {scopes: []string{"a"}, subscribed: true, granted: set("a"), held: set("b"), want: problem.AuthScope},
		"no longer granted":     {scopes: []string{"a"}, subscribed: true, granted: set("b"), held: set("a"), want: problem.AuthScope},
		"one each, never both":  {scopes: []string{"a", "b"}, subscribed: true, granted: set("a"), held: set("b"), want: problem.AuthScope},
		"not subscribed":        {scopes: []string{"a"}, held: set("a"), want: problem.AuthNotSubscribed},
		"other host":            {host: ident.Live, scopes: []string{"a"}, subscribed: true, granted: set("a"), held: set("a"), want: problem.AuthEnvironment},
		"own host":              {host: ident.Sandbox, subscribed: true},
		"anonymous":             {anonymous: true},
		"open access, granted":  {scopes: []string{"a"}, subscribed: true, granted: set("a"), noToken: true},
		"open access, no grant": {scopes: []string{"a"}, subscribed: true, granted: set("b"), noToken: true, want: problem.AuthScope},
	} {
		x := &exchange.Exchange{HostEnvironment: c.host, Environment: ident.Sandbox}
		x.Route = &catalog.Route{ID: "r", API: &catalog.API{ID: "orders"}, Scopes: c.scopes, Anonymous: c.anonymous}
		x.Caller = &partner.Caller{Environment: ident.Sandbox, Subscriptions: map[string]*partner.Grant{}}
		if c.subscribed {
			x.Caller.Subscriptions["orders"] = &partner.Grant{Plan: "standard", Scopes: c.granted}
		}
		if !c.noToken {
			x.Token = exchange.Token{ID: "t", Scopes: c.held}
		}
		p := run(x, contract.Authorize{})
		if c.want == "" {
			if p != nil || !c.anonymous && x.Grant == nil {
				t.Errorf("%s: %v", name, p)
			}
			continue
		}
		if p == nil || p.Code != c.want {
			t.Errorf("%s: got %v, want %s", name, p, c.want)
			continue
		}
		if c.want == problem.AuthScope && (len(p.Header) != 1 || p.Header[0][1] != `Bearer realm="portway", error="insufficient_scope", scope="a"`) {
			t.Errorf("%s: %v", name, p.Header)
		}
	}
	x := &exchange.Exchange{Route: &catalog.Route{API: &catalog.API{ID: "orders"}}}
	if p := run(x, contract.Authorize{}); p == nil || p.Code != problem.AuthMissing {
		t.Errorf("without a caller: %v", p)
	}
}

func TestBody(t *testing.T) {
	t.Parallel()
	snap := snapshot(t)
	const put, get = "PUT /orders/v3/orders/1", "GET /orders/v3/orders/1"
	for name, c := range map[string]struct {
		call, media, body string
		headers           []string
		want              problem.Code
		mediaType         string
	}{
		"json":                {put, "application/json", `{"sku":"a"}`, nil, "", "application/json"},
		"charset":             {put, `Application/JSON; charset="UTF-8"`, `{"sku":"a"}`, nil, "", "application/json"},
		"text":                {put, "text/plain", `a`, nil, "", "text/plain"},
		"latin":               {put, "application/json; charset=iso-8859-1", `{}`, nil, problem.BodyContentType, ""},
		"xml":                 {put, "application/xml", `<a/>`, nil, problem.BodyContentType, ""},
		"json-like":           {put, "application/jsonp", `{}`, nil, problem.BodyContentType, ""},
		"no type":             {put, "", `{}`, nil, problem.BodyContentType, ""},
		"two types":           {put, "application/json, text/plain", `{}`, nil, problem.BodyContentType, ""},
		"gzip":                {put, "application/json", `{}`, []string{"Content-Encoding", "gzip"}, problem.BodyEncoding, ""},
		"identity":            {put, "application/json", `{}`, []string{"Content-Encoding", "identity"}, "", "application/json"},
		"too large":           {put, "application/json", strings.Repeat(" ", 65), nil, problem.BodyTooLarge, ""},
		"missing":             {put, "", "", nil, problem.BodyMissing, ""},
		"empty":               {put, "application/json", "-", nil, problem.BodyMissing, ""},
		"body where none is":  {get, "application/json", `{}`, nil, problem.BodyContentType, ""},
		"accept":              {get, "", "", []string{"Accept", "application/json"}, "", ""},
		"accept anything":     {get, "", "", []string{"Accept", "text/html, */*;q=0.1"}, "", ""},
		"accept major":        {get, "", "", []string{"Accept", "application/*"}, "", ""},
		"accept second line":  {get, "", "", []string{"Accept", "text/html", "Accept", "application/json"}, "", ""},
		"accept second type":  {put, "application/json", `{"sku":"a"}`, []string{"Accept", "application/zpl"}, "", "application/json"},
		"accept none":         {get, "", "", []string{"Accept", "text/html"}, problem.AcceptNone, ""},
		"accept refused":      {get, "", "", []string{"Accept", "application/json;q=0, text/html"}, problem.AcceptNone, ""},
		"accept but this":     {get, "", "", []string{"Accept", "*/*, application/json;q=0"}, problem.AcceptNone, ""},
		"accept unreadable":   {get, "", "", []string{"Accept", ";;;"}, problem.AcceptNone, ""},
		"accept empty":        {get, "", "", []string{"Accept", ""}, "", ""},
		"accept where 204 is": {"POST /orders/v3/ping", "", "", []string{"Accept", "text/html"}, "", ""},
	} {
		method, target, _ := strings.Cut(c.call, " ")
		x := request(snap, method, target, c.headers...)
		switch c.body {
		case "":
		case "-":
			withBody(x, c.media, "")
		default:
			withBody(x, c.media, c.body)
		}
		p := run(x, contract.Match{}, contract.Body{})
		got := problem.Code("")
		if p != nil {
			got = p.Code
		}
		if got != c.want || x.MediaType != c.mediaType || got == "" && c.mediaType != "" && string(x.Body) != c.body {
			t.Errorf("%s: got %q %q %q, want %q", name, got, x.MediaType, x.Body, c.want)
		}
	}
}

func TestBodyIsNotReadBeforeItsTypeIsKnown(t *testing.T) {
	t.Parallel()
	x := withBody(request(snapshot(t), "PUT", "/orders/v3/orders/1"), "application/xml", "<a/>")
	x.ReadBody = func(int64) ([]byte, error) { return nil, errors.New("read") }
	if p := run(x, contract.Match{}, contract.Body{}); p == nil || p.Code != problem.BodyContentType {
		t.Errorf("got %v", p)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	snap := snapshot(t)
	for name, c := range map[string]struct {
		call, body string
		code       problem.Code
		want       []string // in and pointer of every violation
	}{
		"get":                    {"GET /orders/v3/orders/SO-1?limit=5", "", "", nil},
		"put":                    {"PUT /orders/v3/orders/SO-1", `{"sku":"a","count":2}`, "", nil},
		"parameters":             {"GET /orders/v3/orders/SO-123456789?limit=9", "", problem.ParameterInvalid, []string{"path order", "query limit"}},
		"parameter type":         {"GET /orders/v3/orders/SO-1?limit=x", "", problem.ParameterInvalid, []string{"query limit"}},
		"undeclared":             {"GET /orders/v3/orders/SO-1?foo=1", "", problem.ParameterUnknown, []string{"query foo"}},
		"undeclared and invalid": {"GET /orders/v3/orders/SO-1?foo=1&limit=0", "", problem.ParameterInvalid, []string{"query foo", "query limit"}},
		"body":                   {"PUT /orders/v3/orders/SO-1", `{"count":0,"b":1}`, problem.SchemaViolation, []string{"body /b", "body /count", "body /sku"}},
		"both":                   {"PUT /orders/v3/orders/SO-123456789", `{"count":0,"sku":"a"}`, problem.ParameterInvalid, []string{"body /count", "path order"}},
		"malformed":              {"PUT /orders/v3/orders/SO-1", `{"sku":`, problem.BodyMalformed, []string{"body /sku"}},
		"duplicate members":      {"PUT /orders/v3/orders/SO-1", `{"sku":"a","sku":"b"}`, problem.BodyMalformed, []string{"body /sku"}},
		"trailing":               {"PUT /orders/v3/orders/SO-1", `{"sku":"a"}{}`, problem.BodyMalformed, []string{"body "}},
		"huge exponent":          {"PUT /orders/v3/orders/SO-1", `{"sku":"a","count":1e5000000}`, problem.BodyMalformed, []string{"body /count"}},
		"malformed and path":     {"PUT /orders/v3/orders/SO-123456789", `x`, problem.ParameterInvalid, []string{"body ", "path order"}},
	} {
		method, target, _ := strings.Cut(c.call, " ")
		x := request(snap, method, target)
		if c.body != "" {
			withBody(x, "application/json", c.body)
		}
		p := run(x, contract.Match{}, contract.Body{}, contract.Validate{})
		if c.code == "" {
			if p != nil {
				t.Errorf("%s: %v %v", name, p, p.Violations)
			}
			continue
		}
		if p == nil || p.Code != c.code {
			t.Errorf("%s: got %v, want %s", name, p, c.code)
			continue
		}
		var got []string
		for _, v := range p.Violations {
			got = append(got, v.In+" "+v.Pointer)
			if strings.Contains(v.Message, "SO-1") || strings.Contains(v.Message, "1e5") {
				t.Errorf("%s: a value is repeated: %s", name, v.Message)
			}
		}
		slices.Sort(got)
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestTextBodiesAreNotParsed(t *testing.T) {
	t.Parallel()
	x := withBody(request(snapshot(t), "PUT", "/orders/v3/orders/1"), "text/plain", "ISA*00")
	if p := run(x, contract.Match{}, contract.Body{}, contract.Validate{}); p != nil {
		t.Errorf("got %v", p)
	}
	if x.Params["path.order"] != "1" {
		t.Errorf("parameters %v", x.Params)
	}
}
