package outbound

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/problem"
)

func newClient() *Client { return NewClient(Options{Getenv: func(string) string { return "" }}) }

func backend(url string) *catalog.Backend {
	return &catalog.Backend{ID: "erp", URLs: map[ident.Environment]string{ident.Sandbox: url}, Timeout: 2 * time.Second}
}

func send(t *testing.T, c *Client, b *catalog.Backend, r Request) (*Answer, error) {
	t.Helper()
	if r.Path == "" {
		r.Path = "/o"
	}
	return c.Send(context.Background(), b, ident.Sandbox, r)
}

func code(err error) problem.Code {
	if err == nil {
		return ""
	}
	return problem.From(err).Code
}

func TestOnlyListedHeadersReachTheBackend(t *testing.T) {
	t.Parallel()
	var got http.Header
	var host, uri string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, host, uri = r.Header, r.Host, r.RequestURI
		w.Header().Set("X-Powered-By", "erp")
		w.WriteHeader(201)
		fmt.Fprint(w, `{"a":1}`)
	}))
	defer s.Close()
	b := backend(s.URL)
	b.Headers = map[string]string{"X-Api-Key": "env:ERP_KEY"}
	c := NewClient(Options{Getenv: func(name string) string { return map[string]string{"ERP_KEY": "s3cret"}[name] }})
	a, err := send(t, c, b, Request{Method: "POST", Path: "/o/a%2Eb//c?q=%2F&r=a+b", ContentType: "application/json", Accept: "application/json",
		Language: "de", Key: `"0123456789abcdef"`, Body: []byte(`{}`),
		Identity: Identity{RequestID: "r1", Organisation: "harbor", Application: "a1", Environment: ident.Sandbox}})
	if err != nil || a.Status != 201 || string(a.Body) != `{"a":1}` {
		t.Fatalf("got %+v, %v", a, err)
	}
	want := http.Header{"X-Api-Key": {"s3cret"}, "Content-Type": {"application/json"}, "Accept": {"application/json"}, "Accept-Language": {"de"},
		"Idempotency-Key": {`"0123456789abcdef"`}, "X-Request-Id": {"r1"}, "Portway-Organisation": {"harbor"}, "Portway-Application": {"a1"},
		"Portway-Environment": {"sandbox"}, "User-Agent": {"portway"}, "Content-Length": {"2"}}
	if len(got) != len(want) {
		t.Errorf("headers %v", got)
	}
	for k := range want {
		if got.Get(k) != want.Get(k) {
			t.Errorf("%s is %q, want %q", k, got.Get(k), want.Get(k))
		}
	}
	if uri != "/o/a%2Eb//c?q=%2F&r=a+b" || "http://"+host != s.URL {
		t.Errorf("the call went to %q at %q", uri, host)
	}
}

func TestUnsetSecretIsNotSent(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	defer s.Close()
	for _, value := range []string{"env:ERP_KEY", "written out"} {
		b := backend(s.URL)
		b.Headers = map[string]string{"X-Api-Key": value}
		if _, err := send(t, newClient(), b, Request{Method: "GET"}); code(err) != problem.BackendUnreachable {
			t.Errorf("%q: %v", value, err)
		}
		if _, _, _, err := NewHTTP(newClient()).Post(context.Background(), b, ident.Sandbox, "o1", "/e", "application/json", nil); !errors.Is(err, ErrNotSent) {
			t.Errorf("%q: %v", value, err)
		}
	}
	if calls.Load() != 0 {
		t.Error("the backend was called without its credential")
	}
}

func TestOtherEnvironmentAndForeignAddressAreNotCalled(t *testing.T) {
	t.Parallel()
	c, b := newClient(), backend("http://127.0.0.1:1")
	if _, err := c.Send(context.Background(), b, ident.Live, Request{Method: "GET", Path: "/o"}); code(err) != problem.BackendUnreachable {
		t.Errorf("no live address: %v", err)
	}
	for _, u := range []string{"@evil.example/o", "1/o", ".evil.example/o", "http://evil.example/o"} {
		if _, err := send(t, c, b, Request{Method: "GET", Path: u}); code(err) != problem.Internal {
			t.Errorf("%s: %v", u, err)
		}
	}
}

// raw serves each connection by a function.
func raw(t *testing.T, serve func(c net.Conn, n int)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for n := 0; ; n++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c, n)
			}()
		}
	}()
	return "http://" + ln.Addr().String()
}

func readHead(c net.Conn) (*http.Request, error) {
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, r.Body)
	return r, err
}

func TestAnUnsafeCallIsSentOnce(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"PUT", "POST", "PATCH", "DELETE"} {
		var sent atomic.Int32
		u := raw(t, func(c net.Conn, _ int) {
			if _, err := readHead(c); err == nil {
				sent.Add(1)
			}
		})
		_, err := send(t, newClient(), backend(u), Request{Method: method, Body: []byte(`{"a":1}`)})
		if code(err) != problem.BackendBadAnswer || !strings.Contains(problem.From(err).Detail, "may have done") {
			t.Errorf("%s: %v", method, err)
		}
		if sent.Load() != 1 {
			t.Errorf("%s was sent %d times", method, sent.Load())
		}
	}
}

func TestAReadMeetsAClosedConnectionOnce(t *testing.T) {
	t.Parallel()
	var sent atomic.Int32
	u := raw(t, func(c net.Conn, n int) {
		if _, err := readHead(c); err != nil {
			return
		}
		sent.Add(1)
		if n > 0 {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	a, err := send(t, newClient(), backend(u), Request{Method: "GET"})
	if err != nil || string(a.Body) != "ok" || sent.Load() != 2 {
		t.Errorf("got %+v, %v after %d calls", a, err, sent.Load())
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	down := "http://" + closed.Addr().String()
	closed.Close()
	answering := func(s string) string {
		return raw(t, func(c net.Conn, _ int) {
			if _, err := readHead(c); err == nil {
				io.WriteString(c, s)
				time.Sleep(0)
			}
		})
	}
	silent := raw(t, func(c net.Conn, _ int) { io.Copy(io.Discard, c) })
	huge := raw(t, func(c net.Conn, _ int) {
		if _, err := readHead(c); err == nil {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			block := fmt.Sprintf("%x\r\n%s\r\n", 1<<20, strings.Repeat("a", 1<<20))
			for range 20 {
				if _, err := io.WriteString(c, block); err != nil {
					return
				}
			}
		}
	})
	for name, c := range map[string]struct {
		url  string
		want problem.Code
	}{
		"down":   {down, problem.BackendUnreachable},
		"silent": {silent, problem.BackendTimeout},
		"slow body": {raw(t, func(c net.Conn, _ int) {
			readHead(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")
			io.Copy(io.Discard, c)
		}), problem.BackendTimeout},
		"garbage":          {answering("garbage\r\n\r\n"), problem.BackendBadAnswer},
		"huge":             {huge, problem.BackendBadAnswer},
		"declared huge":    {answering("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\na"), problem.BackendBadAnswer},
		"cut short":        {answering("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"), problem.BackendBadAnswer},
		"endless headers":  {answering("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 64<<10) + "\r\n\r\n"), problem.BackendBadAnswer},
		"duplicate length": {answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"), problem.BackendBadAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timeout := 20 * time.Second
			if c.want == problem.BackendTimeout {
				timeout = 300 * time.Millisecond
			}
			_, err := send(t, newClient(), backend(c.url), Request{Method: "POST", Body: []byte("{}"), Timeout: timeout})
			if code(err) != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if p := problem.From(err); strings.Contains(p.Detail, "127.0.0.1") || strings.Contains(p.Detail, "garbage") {
				t.Errorf("the detail says too much: %s", p.Detail)
			}
		})
	}
}

// TestAmbiguousAnswers: what cannot be understood, or what speaks another protocol, is no answer, whether the body is
// held or streamed; interim answers (RFC 9110 section 15.2) are passed over. Of a length and chunks both libraries take
// the chunks, as RFC 9112 section 6.3 says; the caller gets the body framed anew.
func TestAmbiguousAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer string
		ok     bool
	}{
		"length and chunked":     {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true},
		"chunked and length":     {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n2\r\nok\r\n0\r\n\r\n", true},
		"two lengths":            {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", false},
		"a signed length":        {"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", false},
		"another coding":         {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok", false},
		"another protocol":       {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nok", false},
		"interim answers":        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true},
		"a plain one":            {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true},
		"until the end":          {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok", true},
		"a header without colon": {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nnonsense\r\n\r\nok", false},
	} {
		u := raw(t, func(c2 net.Conn, _ int) {
			if _, err := readHead(c2); err == nil {
				io.WriteString(c2, c.answer)
			}
		})
		a, err := send(t, newClient(), backend(u), Request{Method: "POST", Body: []byte("{}")})
		if ok := err == nil && a.Status == 200 && string(a.Body) == "ok" && !slices.ContainsFunc(a.Header, func(h [2]string) bool { return h[0] == "Content-Type" }); ok != c.ok || err != nil && code(err) != problem.BackendBadAnswer {
			t.Errorf("%s: %+v %v", name, a, err)
		}
		a, err = newClient().Stream(context.Background(), backend(u), ident.Sandbox, Request{Method: "POST", Path: "/o", Body: []byte("{}")}, true)
		text := ""
		if err == nil && a.Stream != nil {
			var b []byte
			b, err = io.ReadAll(a.Stream)
			text = string(b)
			a.Stream.Close()
		}
		if ok := err == nil && a.Status == 200 && text == "ok"; ok != c.ok || err != nil && code(err) != problem.BackendBadAnswer {
			t.Errorf("%s, streamed: %+v %q %v", name, a, text, err)
		}
	}
}

func TestRedirectIsAnAnswer(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer s.Close()
	a, err := send(t, newClient(), backend(s.URL), Request{Method: "GET"})
	if err != nil || a.Status != 307 {
		t.Errorf("client: %+v, %v", a, err)
	}
	status, _, _, err := NewHTTP(newClient()).Post(context.Background(), backend(s.URL), ident.Sandbox, "o1", "/e", "application/json", []byte("{}"))
	if err != nil || status != 307 || calls.Load() != 2 {
		t.Errorf("http: %d, %v, %d calls", status, err, calls.Load())
	}
}

func TestANewAddressReplacesThePool(t *testing.T) {
	t.Parallel()
	serve := func(name string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, name) }))
		t.Cleanup(s.Close)
		return s.URL
	}
	c, b := newClient(), backend(serve("one"))
	for _, want := range []string{"one", "one"} {
		if a, err := send(t, c, b, Request{Method: "GET"}); err != nil || string(a.Body) != want {
			t.Fatalf("got %+v, %v", a, err)
		}
	}
	if a, err := send(t, c, backend(serve("two")), Request{Method: "GET"}); err != nil || string(a.Body) != "two" {
		t.Fatalf("got %+v, %v", a, err)
	}
	if n := len(*c.pools.Load()); n != 1 {
		t.Errorf("%d pools are kept", n)
	}
	c.Close()
}

func TestPost(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body []byte
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(422)
		io.WriteString(w, strings.Repeat("a", 1<<20))
	}))
	defer s.Close()
	status, header, kept, err := NewHTTP(newClient()).Post(context.Background(), backend(s.URL), ident.Sandbox, "o1", "/events", "application/cloudevents+json", []byte(`{"id":"1"}`))
	if err != nil || status != 422 || header.Get("Retry-After") != "7" || len(kept) != 16<<10 {
		t.Errorf("got %d %v %d bytes, %v", status, header, len(kept), err)
	}
	if got.URL.Path != "/events" || got.Method != "POST" || string(body) != `{"id":"1"}` || got.Header.Get("Content-Type") != "application/cloudevents+json" || got.Header.Get("Portway-Environment") != "sandbox" {
		t.Errorf("the backend got %v %q", got, body)
	}
}

func TestPostIsSentOnceAndBounded(t *testing.T) {
	t.Parallel()
	var sent atomic.Int32
	dropping := raw(t, func(c net.Conn, _ int) {
		if _, err := readHead(c); err == nil {
			sent.Add(1)
		}
	})
	h := NewHTTP(newClient())
	if _, _, _, err := h.Post(context.Background(), backend(dropping), ident.Sandbox, "o1", "/e", "application/json", []byte("{}")); err == nil || errors.Is(err, ErrNotSent) || sent.Load() != 1 {
		t.Errorf("dropped: %v after %d calls", err, sent.Load())
	}
	silent := backend(raw(t, func(c net.Conn, _ int) { io.Copy(io.Discard, c) }))
	silent.Timeout = 100 * time.Millisecond
	if _, _, _, err := h.Post(context.Background(), silent, ident.Sandbox, "o1", "/e", "application/json", []byte("{}")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("silent: %v", err)
	}
	if _, _, _, err := h.Post(context.Background(), backend("http://127.0.0.1:1"), ident.Sandbox, "o1", "/e", "application/json", nil); !errors.Is(err, ErrNotSent) {
		t.Errorf("down: %v", err)
	}
}
