package upstream_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"portway/gateway/exchange"
	"portway/gateway/upstream"
	"portway/internal/catalog"
	"portway/internal/catalog/egress"
	"portway/internal/ident"
	"portway/internal/outbound"
	"portway/internal/partner"
	"portway/internal/problem"
)

// prepared is a call as mediate leaves it.
func prepared(url string) *exchange.Exchange {
	x := &exchange.Exchange{ID: "r1", Environment: ident.Sandbox, Route: &catalog.Route{Timeout: 5 * time.Second},
		Caller:  &partner.Caller{OrgSlug: "harbor", Application: "a1"},
		Backend: &catalog.Backend{ID: "erp", URLs: map[ident.Environment]string{ident.Sandbox: url}}}
	x.Upstream = &exchange.UpstreamRequest{Method: "POST", Path: "/o", ContentType: "application/json", Accept: "application/json", Body: []byte("{}")}
	x.Upstream.Key = `"fedcba9876543210"`
	for _, h := range [][2]string{{"Authorization", "Bearer secret"}, {"Cookie", "a=b"}, {"X-Forwarded-For", "1.2.3.4"}, {"Forwarded", "for=1.2.3.4"},
		{"Portway-Organisation", "spoofed"}, {"X-Request-Id", "spoofed"}, {"Connection", "X-Test"}, {"X-Test", "1"}, {"TE", "trailers"},
		{"Accept-Language", "de"}, {"Idempotency-Key", `"0123456789abcdef"`}} {
		x.Request.Header.Add(h[0], h[1])
	}
	return x
}

func send(x *exchange.Exchange) error {
	s := &upstream.Send{Client: outbound.NewClient(outbound.Options{Getenv: func(string) string { return "" }}), Clock: ident.System{}}
	return s.Run(context.Background(), x)
}

func TestHeadersAreAllowedOneByOneBothWays(t *testing.T) {
	t.Parallel()
	var got http.Header
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		for _, h := range [][2]string{{"Content-Type", "application/pdf"}, {"ETag", `"1"`}, {"Retry-After", "5"}, {"Vary", "Accept"}, {"Location", "/o/1"},
			{"Set-Cookie", "sid=1"}, {"Server", "erp/1"}, {"X-Powered-By", "erp"}, {"X-Request-Id", "theirs"}, {"WWW-Authenticate", "Basic"}, {"Keep-Alive", "timeout=5"}} {
			w.Header().Add(h[0], h[1])
		}
		w.WriteHeader(http.StatusTeapot)
		if _, err := w.Write([]byte("body")); err != nil {
			t.Error(err)
		}
	}))
	defer s.Close()
	for _, stream := range []egress.Stream{"", "up", "down", "both"} {
		x := prepared(s.URL)
		if x.Route.Stream = stream; stream.Up() {
			x.Upstream.Body, x.Stream = nil, exchange.NewStream(io.NopCloser(strings.NewReader("{}")), 2)
		}
		if err := send(x); err != nil {
			t.Fatal(err)
		}
		checkHeaders(t, x, got)
	}
}

func checkHeaders(t *testing.T, x *exchange.Exchange, got http.Header) {
	t.Helper()
	for _, name := range []string{"Authorization", "Cookie", "X-Forwarded-For", "Forwarded", "X-Test", "Te", "Connection"} {
		if got.Get(name) != "" {
			t.Errorf("%s reached the backend", name)
		}
	}
	for name, want := range map[string]string{"Portway-Organisation": "harbor", "Portway-Application": "a1", "Portway-Environment": "sandbox",
		"X-Request-Id": "r1", "Accept-Language": "de", "Idempotency-Key": `"fedcba9876543210"`} {
		if v := got.Values(name); len(v) != 1 || v[0] != want {
			t.Errorf("%s is %q, want %q", name, v, want)
		}
	}
	for _, name := range []string{"Set-Cookie", "Server", "X-Powered-By", "X-Request-Id", "WWW-Authenticate", "Keep-Alive", "Date", "Content-Length"} {
		if x.Response.Header.Get(name) != "" {
			t.Errorf("%s reached the caller", name)
		}
	}
	for _, name := range []string{"Content-Type", "ETag", "Retry-After", "Vary", "Location"} {
		if x.Response.Header.Get(name) == "" {
			t.Errorf("%s did not reach the caller", name)
		}
	}
	if x.Response.Status != http.StatusTeapot || string(x.Response.Body) != "body" || x.UpstreamTook <= 0 {
		t.Errorf("got %+v after %s", x.Response, x.UpstreamTook)
	}
}

func TestTheShorterTimeoutCounts(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0") // connects, never answers
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, c := range []struct{ route, backend time.Duration }{{100 * time.Millisecond, 0}, {0, 100 * time.Millisecond}, {time.Minute, 100 * time.Millisecond}, {100 * time.Millisecond, time.Minute}} {
		x := prepared("http://" + ln.Addr().String())
		x.Route.Timeout, x.Backend.Timeout = c.route, c.backend
		if err := send(x); !problem.Is(err, problem.BackendTimeout) || x.Response != nil {
			t.Errorf("%v: got %v", c, err)
		}
		if x.UpstreamTook < 90*time.Millisecond || x.UpstreamTook > 5*time.Second {
			t.Errorf("%v: took %s", c, x.UpstreamTook)
		}
	}
}

// What was not asked for cannot be read by the caller: the header that would say so is not passed on.
func TestAnotherContentCodingIsNoAnswer(t *testing.T) {
	t.Parallel()
	for coding, ok := range map[string]bool{"gzip": false, "br": false, "identity": true, "": true} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if w.Header().Set("Content-Encoding", coding); coding == "" {
				w.Header().Del("Content-Encoding")
			}
			if r.Header.Get("Accept-Encoding") != "" {
				t.Error("a coding was asked for")
			}
		}))
		defer s.Close()
		for _, stream := range []egress.Stream{"", "down"} {
			x := prepared(s.URL)
			x.Route.Stream = stream
			if err := send(x); (err == nil) != ok || err != nil && !problem.Is(err, problem.BackendBadAnswer) {
				t.Errorf("%q, stream %q: %v", coding, stream, err)
			}
		}
	}
}
