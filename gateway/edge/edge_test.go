package edge_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"portway/gateway/edge"
	"portway/gateway/exchange"
	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/problem"
)

// stage is a Stage made of a function.
type stage struct {
	name string
	run  func(ctx context.Context, x *exchange.Exchange) error
}

func (s stage) Name() string                                        { return s.name }
func (s stage) Run(ctx context.Context, x *exchange.Exchange) error { return s.run(ctx, x) }

// bodyLimit is the cap of the test operations.
const bodyLimit = 64 << 10

// echo answers what the edge understood.
func echo(_ context.Context, x *exchange.Exchange) error {
	body, err := x.ReadBody(bodyLimit)
	if err != nil {
		return err
	}
	out, err := json.Marshal(map[string]any{"method": x.Request.Method, "path": x.Request.Path, "query": x.Request.Query,
		"host": x.Request.Host, "environment": x.HostEnvironment, "client": x.ClientRequestID, "body": string(body)})
	if err != nil {
		return err
	}
	x.Response = &exchange.Response{Status: 200, Body: out}
	x.Response.Header.Set("Content-Type", "application/json")
	return nil
}

type server struct {
	addr string
	log  *locked
	*edge.Server
}

// serve starts an edge whose pipeline is Admit and then the given stages.
func serve(t *testing.T, admit *edge.Admit, o edge.Options, stages ...exchange.Stage) *server {
	t.Helper()
	s := &server{log: &locked{}}
	logger := slog.New(slog.NewTextHandler(s.log, nil))
	o.Pipeline = &exchange.Pipeline{Inbound: append([]exchange.Stage{admit}, stages...), Docs: "/problems/", Clock: ident.System{}, Log: logger}
	if o.Snapshot == nil {
		o.Snapshot = func() *catalog.Snapshot { return nil }
	}
	o.Clock, o.Log = ident.System{}, logger
	s.Server = edge.New(o)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = ln.Addr().String()
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}

// locked is a log that may be read while it is written.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// answer is one response as it came over the wire.
type answer struct {
	status int
	header http.Header
	body   []byte
	closed bool // the server closed the connection after it
}

func (a answer) code(t *testing.T) string {
	t.Helper()
	var p struct {
		Code      string `json:"code"`
		RequestID string `json:"request_id"`
	}
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatalf("no problem: %v: %q", err, a.body)
	}
	if a.header.Get("Content-Type") != "application/problem+json" || p.RequestID != a.header.Get("X-Request-Id") || !ident.ValidID(p.RequestID) {
		t.Errorf("not a whole problem: %v %q", a.header, a.body)
	}
	return p.Code
}

// send writes raw bytes on a new connection and reads one answer.
func send(t *testing.T, addr, raw string) answer {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, &http.Request{Method: firstWord(raw)})
	if err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: resp.StatusCode, header: resp.Header, body: body}
	if resp.Close {
		_, err := r.ReadByte()
		a.closed = err == io.EOF
	}
	return a
}

func firstWord(s string) string { w, _, _ := strings.Cut(s, " "); return w }

func TestFramingIsRefusedAndTheConnectionClosed(t *testing.T) {
	t.Parallel()
	reached := 0
	var mu sync.Mutex
	s := serve(t, &edge.Admit{}, edge.Options{ReadTimeout: time.Second}, stage{"count", func(context.Context, *exchange.Exchange) error {
		mu.Lock()
		reached++
		mu.Unlock()
		return nil
	}}, stage{"echo", echo})
	post := "POST /orders HTTP/1.1\r\nHost: a.example\r\n"
	get := "GET /orders HTTP/1.1\r\nHost: a.example\r\n"
	for name, c := range map[string]struct{ raw, code string }{
		"both lengths":            {post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "http.framing"},
		"both lengths, swapped":   {post + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "http.framing"},
		"two lengths":             {post + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "http.framing"},
		"list of lengths":         {post + "Content-Length: 5, 5\r\n\r\nhello", "http.framing"},
		"plus":                    {post + "Content-Length: +5\r\n\r\nhello", "http.framing"},
		"minus":                   {post + "Content-Length: -5\r\n\r\nhello", "http.framing"},
		"leading zero":            {post + "Content-Length: 005\r\n\r\nhello", "http.framing"},
		"hexadecimal":             {post + "Content-Length: 0x5\r\n\r\nhello", "http.framing"},
		"empty length":            {post + "Content-Length: \r\n\r\n", "http.framing"},
		"length overflow":         {post + "Content-Length: 99999999999999999999\r\n\r\n", "http.framing"},
		"gzip, chunked":           {post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "http.framing"},
		"identity":                {post + "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello", "http.framing"},
		"identity alone":          {post + "Transfer-Encoding: identity\r\n\r\n", "http.framing"},
		"chunked twice":           {post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "http.framing"},
		"vertical tab":            {post + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", "http.framing"},
		"chunked on 1.0":          {"POST /orders HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "http.framing"},
		"blank before colon":      {post + "Content-Length : 5\r\n\r\nhello", "http.framing"},
		"folded":                  {get + "X-Test: a\r\n b\r\n\r\n", "http.framing"},
		"folded with tab":         {get + "X-Test: a\r\n\tb\r\n\r\n", "http.framing"},
		"bare line feed":          {"GET /orders HTTP/1.1\r\nHost: a.example\nX-Test: a\r\n\r\n", "http.framing"},
		"bare carriage return":    {get + "X-Test: a\rb\r\n\r\n", "http.framing"},
		"nul":                     {get + "X-Test: a\x00b\r\n\r\n", "http.framing"},
		"control":                 {get + "X-Test: a\x07b\r\n\r\n", "http.framing"},
		"no name":                 {get + ": a\r\n\r\n", "http.framing"},
		"no colon":                {get + "NoColonHere\r\n\r\n", "http.framing"},
		"bad name":                {get + "Bad[Name: a\r\n\r\n", "http.framing"},
		"underscore":              {get + "Transfer_Encoding: chunked\r\n\r\n", "http.header"},
		"underscore identity":     {get + "X_Partner: a\r\n\r\n", "http.header"},
		"version 9.9":             {"GET /orders HTTP/9.9\r\nHost: a.example\r\n\r\n", "http.framing"},
		"version 2.0":             {"GET /orders HTTP/2.0\r\nHost: a.example\r\n\r\n", "http.framing"},
		"no host":                 {"GET /orders HTTP/1.1\r\n\r\n", "http.framing"},
		"empty host":              {"GET /orders HTTP/1.1\r\nHost:\r\n\r\n", "http.framing"},
		"two hosts":               {get + "Host: a.example\r\n\r\n", "http.framing"},
		"host with user":          {"GET /orders HTTP/1.1\r\nHost: user@a.example\r\n\r\n", "http.header"},
		"host with path":          {"GET /orders HTTP/1.1\r\nHost: a.example/x\r\n\r\n", "http.header"},
		"list of hosts":           {"GET /orders HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n", "http.header"},
		"host with bad port":      {"GET /orders HTTP/1.1\r\nHost: a.example:99999\r\n\r\n", "http.header"},
		"absolute, another host":  {"GET http://b.example/orders HTTP/1.1\r\nHost: a.example\r\n\r\n", "http.framing"},
		"absolute with user":      {"GET http://a.example@b.example/orders HTTP/1.1\r\nHost: a.example\r\n\r\n", "http.framing"},
		"another scheme":          {"GET ftp://a.example/orders HTTP/1.1\r\nHost: a.example\r\n\r\n", "http.framing"},
		"target without slash":    {"GET @evil.example/orders HTTP/1.1\r\nHost: a.example\r\n\r\n", "http.framing"},
		"connect":                 {"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n", "route.method"},
		"trace":                   {"TRACE /orders HTTP/1.1\r\nHost: a.example\r\n\r\n", "route.method"},
		"truncated length":        {post + "Content-Length: 50\r\n\r\nhello", "http.timeout"},
		"chunk without end":       {post + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "http.timeout"},
		"chunk size overflow":     {post + "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF0\r\nhello\r\n0\r\n\r\n", "http.framing"},
		"chunk size is no number": {post + "Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n", "http.framing"},
	} {
		t.Run(name, func(t *testing.T) {
			a := send(t, s.addr, c.raw)
			if want := problem.Code(c.code).Status(); a.status != want || a.code(t) != c.code || !a.closed {
				t.Errorf("got %d %s closed=%v, want %d %s and closed: %s", a.status, a.code(t), a.closed, want, c.code, a.body)
			}
			if bytes.Contains(a.body, []byte("example")) || bytes.Contains(a.body, []byte("hello")) {
				t.Errorf("the answer repeats the request: %s", a.body)
			}
		})
	}
	mu.Lock()
	defer mu.Unlock()
	if want := 3; reached != want { // those whose chunks alone are broken
		t.Errorf("%d requests got past admit, want %d", reached, want)
	}
}

func TestRefusalsShowNothingOfTheRequest(t *testing.T) {
	t.Parallel()
	s := serve(t, &edge.Admit{}, edge.Options{}, stage{"echo", echo})
	head := "GET /planted HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer planted\r\n"
	for _, rest := range []string{"Bad[Name: planted\r\n\r\n", "X_Planted: planted\r\n\r\n", "X-Test: a\r\n planted\r\n\r\n", "Content-Length: planted\r\n\r\n",
		"X-Test: " + strings.Repeat("planted", 4000) + "\r\n\r\n"} {
		a := send(t, s.addr, head+rest)
		if a.status < 400 || bytes.Contains(a.body, []byte("planted")) {
			t.Errorf("%.40q: got %d %s", rest, a.status, a.body)
		}
	}
	if l := s.log.String(); strings.Contains(l, "planted") || strings.Count(l, "http.framing") < 2 || !strings.Contains(l, "http.header_too_large") {
		t.Errorf("log: %s", l)
	}
}

func TestWellFormedRequestsPass(t *testing.T) {
	t.Parallel()
	s := serve(t, &edge.Admit{}, edge.Options{}, stage{"echo", echo})
	for name, c := range map[string]struct {
		raw  string
		want map[string]any
	}{
		"plain":         {"GET /orders/v1/feed?after=a%20b&limit=5 HTTP/1.1\r\nHost: a.example:8080\r\n\r\n", map[string]any{"path": "/orders/v1/feed", "query": "after=a%20b&limit=5", "host": "a.example:8080"}},
		"root":          {"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", map[string]any{"path": "/"}},
		"escaped":       {"GET /orders/SO%20%C3%A9 HTTP/1.1\r\nHost: a\r\n\r\n", map[string]any{"path": "/orders/SO%20%C3%A9"}},
		"absolute":      {"GET HTTP://A.example/orders?x=1 HTTP/1.1\r\nHost: a.example\r\n\r\n", map[string]any{"path": "/orders", "query": "x=1"}},
		"absolute root": {"GET http://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n", map[string]any{"path": "/"}},
		"length":        {"POST /o HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", map[string]any{"body": "hello", "method": "POST"}},
		"chunked":       {"POST /o HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n4\r\n you\r\n0\r\n\r\n", map[string]any{"body": "hello you"}},
		"client id":     {"GET /o HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine-1\r\n\r\n", map[string]any{"client": "mine-1"}},
		"long id":       {"GET /o HTTP/1.1\r\nHost: a\r\nX-Request-Id: " + strings.Repeat("a", 129) + "\r\n\r\n", map[string]any{"client": ""}},
		"own method":    {"FROB /o HTTP/1.1\r\nHost: a\r\n\r\n", map[string]any{"method": "FROB"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := send(t, s.addr, c.raw)
			if a.status != 200 {
				t.Fatalf("got %d %s", a.status, a.body)
			}
			var got map[string]any
			if err := json.Unmarshal(a.body, &got); err != nil {
				t.Fatal(err)
			}
			for k, v := range c.want {
				if got[k] != v {
					t.Errorf("%s is %q, want %q", k, got[k], v)
				}
			}
			if a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("Server") != "" {
				t.Errorf("headers: %v", a.header)
			}
		})
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	s := serve(t, &edge.Admit{Hosts: map[string]ident.Environment{"api.example": "", "sandbox.example": ident.Sandbox}},
		edge.Options{}, stage{"echo", echo})
	for host, want := range map[string]string{"API.example:443": "", "sandbox.example": "sandbox", "other.example": "http.wrong_host", "api.example.": "http.wrong_host"} {
		a := send(t, s.addr, "GET /o HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
		if strings.HasPrefix(want, "http") {
			if a.status != 421 || a.code(t) != want {
				t.Errorf("%s: got %d %s", host, a.status, a.body)
			}
			continue
		}
		if a.status != 200 || !bytes.Contains(a.body, fmt.Appendf(nil, `"environment":%q`, want)) {
			t.Errorf("%s: got %d %s", host, a.status, a.body)
		}
	}
}

func TestBodyCaps(t *testing.T) {
	t.Parallel()
	s := serve(t, &edge.Admit{}, edge.Options{ReadTimeout: 2 * time.Second}, stage{"echo", echo})
	head := "POST /o HTTP/1.1\r\nHost: a\r\n"
	big := strings.Repeat("a", bodyLimit+1)
	t.Run("declared", func(t *testing.T) {
		t.Parallel()
		// Nothing of the body is sent: the answer must not wait for it.
		a := send(t, s.addr, head+fmt.Sprintf("Content-Length: %d\r\n\r\n", 1<<40)+strings.Repeat("a", 9000))
		if a.status != 413 || a.code(t) != "body.too_large" || !a.closed {
			t.Errorf("got %d closed=%v %s", a.status, a.closed, a.body)
		}
	})
	t.Run("chunked", func(t *testing.T) {
		t.Parallel()
		a := send(t, s.addr, head+"Transfer-Encoding: chunked\r\n\r\n"+fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(big), big))
		if a.status != 413 || a.code(t) != "body.too_large" {
			t.Errorf("got %d %s", a.status, a.body)
		}
	})
	t.Run("declared, and sent all the same", func(t *testing.T) {
		t.Parallel()
		// A caller that sends everything before it reads must still find the answer.
		for range 20 {
			a := send(t, s.addr, head+"Content-Length: 3000000\r\n\r\n"+strings.Repeat("a", 3000000))
			if a.status != 413 || !a.closed {
				t.Fatalf("got %d closed=%v", a.status, a.closed)
			}
		}
	})
	t.Run("exactly", func(t *testing.T) {
		t.Parallel()
		a := send(t, s.addr, head+fmt.Sprintf("Content-Length: %d\r\n\r\n%s", bodyLimit, big[:bodyLimit]))
		if a.status != 200 || !bytes.Contains(a.body, []byte(big[:bodyLimit])) {
			t.Errorf("got %d", a.status)
		}
	})
	t.Run("headers", func(t *testing.T) {
		t.Parallel()
		a := send(t, s.addr, head+"X-Test: "+strings.Repeat("a", 17<<10)+"\r\n\r\n")
		if a.status != 431 || a.code(t) != "http.header_too_large" {
			t.Errorf("got %d %s", a.status, a.body)
		}
		if a := send(t, s.addr, head+"X-Test: "+strings.Repeat("a", 12<<10)+"\r\n\r\n"); a.status != 200 {
			t.Errorf("12 KiB of headers: got %d", a.status)
		}
	})
}

func TestSlowHeaderIsTimedOut(t *testing.T) {
	t.Parallel()
	s := serve(t, &edge.Admit{}, edge.Options{ReadTimeout: 200 * time.Millisecond}, stage{"echo", echo})
	a := send(t, s.addr, "GET /o HTTP/1.1\r\nHost: a\r\nX-Test: begins")
	if a.status != 408 || a.code(t) != "http.timeout" || !a.closed {
		t.Errorf("got %d %s", a.status, a.body)
	}
}

func TestPanicIsAnInternalProblemAndTheServerLives(t *testing.T) {
	t.Parallel()
	s := serve(t, &edge.Admit{}, edge.Options{}, stage{"boom", func(_ context.Context, x *exchange.Exchange) error {
		if x.Request.Path == "/boom" {
			none := []int{}
			none[len(none)]++
		}
		if x.Request.Path == "/nil" {
			x.ReadBody = nil
		}
		return nil
	}}, stage{"echo", echo})
	for range 3 {
		for _, path := range []string{"/boom", "/nil"} {
			a := send(t, s.addr, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n")
			if a.status != 500 || a.code(t) != "internal" || bytes.Contains(a.body, []byte("nil map")) {
				t.Fatalf("%s: got %d %s", path, a.status, a.body)
			}
		}
	}
	if a := send(t, s.addr, "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n"); a.status != 200 {
		t.Errorf("after the panics: got %d", a.status)
	}
}

func TestPanicOutsideTheStagesIsCaughtToo(t *testing.T) {
	t.Parallel()
	s := serve(t, &edge.Admit{}, edge.Options{Snapshot: func() *catalog.Snapshot { panic("no snapshot") }}, stage{"echo", echo})
	for range 3 {
		a := send(t, s.addr, "GET /o HTTP/1.1\r\nHost: a\r\n\r\n")
		if a.status != 500 || a.code(t) != "internal" || bytes.Contains(a.body, []byte("snapshot")) {
			t.Fatalf("got %d %s", a.status, a.body)
		}
	}
}

func TestHeadHasNoBody(t *testing.T) {
	t.Parallel()
	s := serve(t, &edge.Admit{}, edge.Options{}, stage{"echo", echo})
	a := send(t, s.addr, "HEAD /o HTTP/1.1\r\nHost: a\r\n\r\n")
	if a.status != 200 || len(a.body) != 0 || a.header.Get("Content-Length") == "0" {
		t.Errorf("got %d %v %q", a.status, a.header, a.body)
	}
}

func TestHopByHopHeadersStayHere(t *testing.T) {
	t.Parallel()
	s := serve(t, &edge.Admit{}, edge.Options{}, stage{"answer", func(_ context.Context, x *exchange.Exchange) error {
		x.Response = &exchange.Response{Status: 200, Body: []byte("ok"), Header: exchange.Header{
			{"Keep-Alive", "timeout=5"}, {"Transfer-Encoding", "chunked"}, {"Content-Length", "99"}, {"Upgrade", "h2c"},
			{"Connection", "upgrade"}, {"Proxy-Authenticate", "Basic"}, {"Link", "<a>"}, {"Link", "<b>"}}}
		return nil
	}})
	a := send(t, s.addr, "GET /o HTTP/1.1\r\nHost: a\r\n\r\n")
	for _, name := range []string{"Keep-Alive", "Transfer-Encoding", "Upgrade", "Connection", "Proxy-Authenticate"} {
		if a.header.Get(name) != "" {
			t.Errorf("%s reached the caller", name)
		}
	}
	if string(a.body) != "ok" || len(a.header.Values("Link")) != 2 {
		t.Errorf("got %q %v", a.body, a.header)
	}
}

func TestShutdownClosesIdleConnectionsAndFinishesCalls(t *testing.T) {
	t.Parallel()
	began, release := make(chan struct{}), make(chan struct{})
	s := serve(t, &edge.Admit{}, edge.Options{}, stage{"wait", func(_ context.Context, x *exchange.Exchange) error {
		if x.Request.Path == "/slow" {
			close(began)
			<-release
		}
		return nil
	}}, stage{"echo", echo})
	got := make(chan answer, 1)
	go func() { got <- send(t, s.addr, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n") }()
	<-began
	finished := make(chan error, 1)
	go func() { finished <- s.Shutdown(context.Background()) }()
	for {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			break // no new connections
		}
		c.Close()
	}
	close(release)
	if a := <-got; a.status != 200 {
		t.Errorf("the call in flight got %d", a.status)
	}
	if err := <-finished; err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

// TestStringsDoNotAlias keeps every string of 10,000 mixed requests on shared connections and compares
// them with what was sent once all buffers have been reused.
func TestStringsDoNotAlias(t *testing.T) {
	t.Parallel()
	const connections, each = 8, 1250
	type seen struct{ path, query, key, client, host, body string }
	var mu sync.Mutex
	kept := map[string]seen{}
	s := serve(t, &edge.Admit{}, edge.Options{}, stage{"keep", func(_ context.Context, x *exchange.Exchange) error {
		body, err := x.ReadBody(bodyLimit)
		if err != nil {
			return err
		}
		mu.Lock()
		kept[x.Request.Header.Get("X-Api-Key")] = seen{x.Request.Path, x.Request.Query, x.Request.Header.Get("X-Api-Key"), x.ClientRequestID, x.Request.Host, string(body)}
		mu.Unlock()
		x.Body = body
		x.Response = &exchange.Response{Status: 200, Body: body}
		return nil
	}})
	var wg sync.WaitGroup
	want := make([]map[string]seen, connections)
	for i := range connections {
		want[i] = map[string]seen{}
		wg.Go(func() {
			c, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			r := bufio.NewReader(c)
			for n := range each {
				key := fmt.Sprintf("%s-%d-%d", rand.Text()[:4+n%20], i, n)
				w := seen{"/o/" + key, "q=" + key, key, "id-" + key, fmt.Sprintf("h%d.example", n%7), strings.Repeat(key, n%40)}
				want[i][key] = w
				raw := fmt.Sprintf("POST %s?%s HTTP/1.1\r\nHost: %s\r\nX-Api-Key: %s\r\nX-Request-Id: %s\r\nContent-Length: %d\r\n\r\n%s", w.path, w.query, w.host, w.key, w.client, len(w.body), w.body)
				if _, err := io.WriteString(c, raw); err != nil {
					t.Error(err)
					return
				}
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(resp.Body)
				if err != nil || string(body) != w.body {
					t.Errorf("answer is %q, want %q (%v)", body, w.body, err)
					return
				}
			}
		})
	}
	wg.Wait()
	mu.Lock()
	defer mu.Unlock()
	total := 0
	for _, m := range want {
		for key, w := range m {
			total++
			if kept[key] != w {
				t.Fatalf("kept %+v, sent %+v", kept[key], w)
			}
		}
	}
	if len(kept) != total || total != connections*each {
		t.Errorf("kept %d, sent %d", len(kept), total)
	}
}
