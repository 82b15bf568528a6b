package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"portway/gateway"
	"portway/gateway/authn"
	"portway/gateway/builtin"
	"portway/gateway/exchange"
	"portway/gateway/mediate"
	"portway/gateway/throttle"
	"portway/gateway/upstream"
	"portway/internal/catalog"
	"portway/internal/cluster"
	"portway/internal/ident"
	"portway/internal/intake"
	"portway/internal/outbound"
	"portway/internal/partner"
	"portway/internal/traffic"
)

const spec = `
openapi: 3.1.0
info: {title: Stock, version: 1.0.0}
security: [{oauth2: ['stock:read']}]
paths:
  /stock/{sku}:
    get:
      operationId: getStock
      parameters:
        - {name: sku, in: path, required: true, schema: {type: string, maxLength: 20}}
      responses: {'200': {description: ok, content: {application/json: {schema: {type: object}}}}}
    put:
      operationId: putStock
      parameters:
        - {name: sku, in: path, required: true, schema: {type: string, maxLength: 20}}
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [count], properties: {count: {type: integer}}}}}}
      responses: {'200': {description: ok, content: {application/json: {schema: {type: object}}}}}
  /boom:
    post:
      operationId: boom
      responses: {'204': {description: ok}}
  /token:
    post:
      operationId: issueToken
      security: []
      requestBody: {required: true, content: {application/x-www-form-urlencoded: {schema: {type: object}}}}
      responses: {'200': {description: ok}}
  /statements:
    post:
      operationId: state
      requestBody: {required: true, content: {application/json: {schema: {type: object}}}}
      responses: {'202': {description: ok}}
components:
  securitySchemes:
    oauth2: {type: oauth2, flows: {clientCredentials: {tokenUrl: /token, scopes: {'stock:read': read}}}}
`

var policies = map[string]string{
	"apis/stock.yaml": `
kind: api
schema: 1
title: Stock
versions:
  v1: {lifecycle: {state: deprecated, deprecated: "2026-09-01", sunset: "2027-03-31"}}
operations:
  getStock: {dispatch: proxy, backend: {fixed: erp}}
  putStock: {dispatch: proxy, backend: {fixed: erp}}
  boom: {dispatch: builtin}
  issueToken: {dispatch: builtin}
  state: {dispatch: accept, handler: receiveX12}
`,
	"plans/standard.yaml": `
kind: plan
schema: 1
name: Standard
limits: [{name: burst, rate: 1000, per: 1s, burst: 1000}]
`,
	"backends/erp.yaml": `
kind: backend
schema: 1
name: ERP
urls: {sandbox: erp}
timeout: 2s
operations:
  getStock: {path: "/items/{path.sku}", response: stock}
  putStock: {path: "/items/{path.sku}"}
`,
	"mappings/stock.yaml": `
kind: mapping
schema: 1
version: 1
source: {format: json}
target: json
fields:
  - {to: sku, expr: .request.path.sku, type: string, required: true}
  - {to: onHand, expr: .body.qty, type: string, required: true}
`,
}

// records keeps the call records; a record is there before its answer.
type records struct {
	mu    sync.Mutex
	calls map[string]traffic.Call
}

func (r *records) Record(_ context.Context, c traffic.Call) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls[c.ID] = c
	return nil
}

func (r *records) of(t *testing.T, id string) traffic.Call {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.calls[id]
	if !ok {
		t.Fatalf("no record of call %q", id)
	}
	return c
}

type noIntake struct{}

func (noIntake) JSON(context.Context, intake.Call) (intake.Answer, error) {
	return intake.Answer{}, io.ErrUnexpectedEOF
}

func (noIntake) X12(context.Context, intake.Call) (intake.Answer, error) {
	return intake.Answer{Status: 202, ContentType: "application/json", Body: []byte(`{}`), EventID: "e1"}, nil
}

type running struct {
	url     string
	records *records
	log     *bytes.Buffer
	mu      *sync.Mutex
}

func (r *running) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(b)
}

func (r *running) logged() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

// start runs a gateway with open access in front of a backend.
func start(t *testing.T, backend string) *running {
	t.Helper()
	return startWith(t, backend, spec, policies)
}

func startWith(t *testing.T, backend, spec string, policies map[string]string) *running {
	t.Helper()
	files := fstest.MapFS{}
	for name, text := range policies {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	snap, problems := catalog.Load(catalog.Sources{Specs: fstest.MapFS{"stock/v1/openapi.yaml": &fstest.MapFile{Data: []byte(spec)}}, Policies: files,
		ResolveURL: func(string) (string, error) { return backend, nil }, Clock: ident.System{}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	r := &running{records: &records{calls: map[string]traffic.Call{}}, log: &bytes.Buffer{}, mu: &sync.Mutex{}}
	logger := slog.New(slog.NewTextHandler(r, nil))
	client := outbound.NewClient(outbound.Options{Getenv: func(string) string { return "" }})
	g := gateway.New(gateway.Deps{
		Snapshot: func() *catalog.Snapshot { return snap },
		Identify: &authn.Identify{Log: logger, Open: &partner.Caller{Org: "o1", OrgSlug: "harbor", Application: "a1", Credential: "c1", Environment: ident.Sandbox, Active: true,
			Subscriptions: map[string]*partner.Grant{"stock": {Plan: "standard", Scopes: map[string]bool{"stock:read": true}}}}},
		Address: throttle.NewAddress(0, 0, ident.System{}),
		Limit:   throttle.New(throttle.Options{Quotas: cluster.NewQuotas(nil, nil, 1, ident.System{}, logger), Clock: ident.System{}, Log: logger}),
		Proxy:   &upstream.Send{Client: client, Clock: ident.System{}},
		Accept:  &mediate.Accept{Intake: noIntake{}},
		Builtin: builtin.New(builtin.Deps{Extra: map[string]builtin.Handler{"boom": func(context.Context, *exchange.Exchange) (*exchange.Response, error) {
			panic("kaboom")
		}}}),
		Recorder: r.records, Docs: "http://portal/problems/", Clock: ident.System{}, Log: logger,
		WriteTimeout: 300 * time.Millisecond,
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.url = "http://" + ln.Addr().String()
	done := make(chan error, 1)
	go func() { done <- g.Serve(ln) }()
	t.Cleanup(func() {
		client.Close()
		http.DefaultClient.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := g.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return r
}

// do sends a call and returns the answer, its body decoded, and the record made of it.
func (r *running) do(t *testing.T, method, path, media, body string) (*http.Response, map[string]any, traffic.Call) {
	t.Helper()
	req, err := http.NewRequest(method, r.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	req.Header.Set("X-Request-Id", "mine")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	if len(b) > 0 {
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
	}
	return resp, got, r.records.of(t, resp.Header.Get("X-Request-Id"))
}

func erp(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch r.URL.Path {
		case "/items/A 1":
			fmt.Fprint(w, `{"qty":"480","internal":"x"}`)
		case "/items/gone":
			w.WriteHeader(404)
			fmt.Fprint(w, `secret backend text`)
		case "/items/echo":
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(202)
			if _, err := w.Write(body); err != nil {
				t.Error(err)
			}
		default:
			fmt.Fprint(w, "garbage")
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func TestACallThroughTheGateway(t *testing.T) {
	t.Parallel()
	r := start(t, erp(t).URL)
	resp, got, c := r.do(t, "GET", "/stock/v1/stock/A%201", "", "")
	if resp.StatusCode != 200 || got["sku"] != "A 1" || got["onHand"] != "480" || len(got) != 2 {
		t.Fatalf("got %d %v", resp.StatusCode, got)
	}
	for _, name := range []string{"Deprecation", "Sunset", "RateLimit", "RateLimit-Policy", "X-Request-Id"} {
		if resp.Header.Get(name) == "" {
			t.Errorf("no %s", name)
		}
	}
	if c.Org != "o1" || c.Application != "a1" || c.Credential != "c1" || c.Environment != "sandbox" || c.API != "stock" || c.Version != "v1" || c.Operation != "getStock" ||
		c.Path != "/stock/v1/stock/{sku}" || c.Status != 200 || c.Code != "" || c.ClientRequestID != "mine" || c.Upstream <= 0 || c.Duration < c.Upstream || c.BytesOut == 0 {
		t.Errorf("record %+v", c)
	}
	var stages []string
	for _, s := range c.Trail {
		stages = append(stages, s.Stage)
	}
	if want := "admit address match address-failures identify authorize body idempotency-lookup limit validate mediate idempotency-reserve proxy mediate-answer validate-answer fallback idempotency-settle oauth-refusals lifecycle rate-headers"; strings.Join(stages, " ") != want {
		t.Errorf("stages %q", strings.Join(stages, " "))
	}
	if l := r.logged(); !strings.Contains(l, "request_id="+c.ID) || !strings.Contains(l, "operation=getStock") || strings.Contains(l, "A%201") || strings.Contains(l, "A 1") {
		t.Errorf("log: %s", l)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	r := start(t, erp(t).URL)
	for _, c := range []struct {
		method, path, media, body string
		status                    int
		code                      string
	}{
		{"GET", "/stock/v1/stock/gone", "", "", 404, "resource.not_found"},
		{"GET", "/stock/v1/stock/bad", "", "", 502, "backend.bad_answer"},
		{"GET", "/stock/v1/stock/123456789012345678901", "", "", 400, "parameter.invalid"},
		{"GET", "/stock/v2/stock/A", "", "", 404, "version.unknown"},
		{"GET", "/stock/v1/stock/..%2fadmin", "", "", 400, "path.not_canonical"},
		{"DELETE", "/stock/v1/stock/A", "", "", 405, "route.method"},
		{"PUT", "/stock/v1/stock/A", "text/plain", "x", 415, "body.content_type"},
		{"PUT", "/stock/v1/stock/A", "application/json", `{"count":1,"count":2}`, 400, "body.malformed"},
		{"PUT", "/stock/v1/stock/A", "application/json", `{"count":"hidden-value"}`, 422, "schema.violation"},
		{"PUT", "/stock/v1/stock/A", "application/json", `{"count":1,"x":"` + strings.Repeat("a", 1<<20) + `"}`, 413, "body.too_large"},
		{"POST", "/stock/v1/boom", "", "", 500, "internal"},
	} {
		resp, got, record := r.do(t, c.method, c.path, c.media, c.body)
		if resp.StatusCode != c.status || got["code"] != c.code || string(record.Code) != c.code || record.Status != c.status {
			t.Errorf("%s %s: got %d %v, record %d %s", c.method, c.path, resp.StatusCode, got, record.Status, record.Code)
		}
		if text := fmt.Sprint(got); strings.Contains(text, "secret backend") || strings.Contains(text, "hidden-value") || strings.Contains(text, "kaboom") {
			t.Errorf("%s %s: the answer says too much: %s", c.method, c.path, text)
		}
	}
	if resp, _, _ := r.do(t, "GET", "/stock/v1/stock/A%201", "", ""); resp.StatusCode != 200 {
		t.Errorf("after the refusals: %d", resp.StatusCode)
	}
	if l := r.logged(); strings.Contains(l, "hidden-value") || strings.Contains(l, "..%2f") || !strings.Contains(l, "kaboom") {
		t.Errorf("log: %s", l)
	}
}

func TestTheValidatedBytesAreForwarded(t *testing.T) {
	t.Parallel()
	r := start(t, erp(t).URL)
	const body = "{ \"count\" : 1.0 ,\n\"z\":1, \"a\":[1e2] }"
	req, err := http.NewRequest("PUT", r.url+"/stock/v1/stock/echo", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != body || resp.StatusCode != 202 {
		t.Errorf("got %d %q, %v", resp.StatusCode, b, err)
	}
}

func TestABackendThatIsDown(t *testing.T) {
	t.Parallel()
	r := start(t, "http://127.0.0.1:1")
	resp, got, c := r.do(t, "GET", "/stock/v1/stock/A", "", "")
	if resp.StatusCode != 502 || got["code"] != "backend.unreachable" || c.Status != 502 || strings.Contains(fmt.Sprint(got), "127.0.0.1") {
		t.Errorf("got %d %v", resp.StatusCode, got)
	}
	if l := r.logged(); !strings.Contains(l, c.ID) || !strings.Contains(l, "connection refused") {
		t.Errorf("log: %s", l)
	}
}

func TestStatementsAndTokens(t *testing.T) {
	t.Parallel()
	r := start(t, "http://127.0.0.1:1")
	if resp, _, c := r.do(t, "POST", "/stock/v1/statements", "application/json", `{}`); resp.StatusCode != 202 || c.EventID != "e1" {
		t.Errorf("statement: %d %+v", resp.StatusCode, c)
	}
	if resp, got, c := r.do(t, "POST", "/stock/v1/token", "application/json", `{}`); resp.StatusCode != 400 || got["error"] != "invalid_request" || c.Code != "body.content_type" {
		t.Errorf("token: %d %v %+v", resp.StatusCode, got, c)
	}
}
