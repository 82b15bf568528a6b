package portal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/problem"
	"portway/web"
)

// headers is what every answer carries, whatever it is.
func headers(t *testing.T, what string, r *http.Response) {
	t.Helper()
	for name, want := range map[string]string{"Content-Security-Policy": web.Policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
		"Cross-Origin-Opener-Policy": "same-origin"} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: %s is %q", what, name, got)
		}
	}
	if r.Header.Get("Server") != "" {
		t.Errorf("%s: Server is %q", what, r.Header.Get("Server"))
	}
}

func TestEveryAnswerIsSecured(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b, out := s.signedIn(t, s.first), s.browser(t)
	absent := ident.NewID(s.clock)
	for _, c := range []struct {
		from         *browser
		method, path string
		status       int
	}{
		{out, "GET", "/", 303}, {out, "GET", "/sign-in", 200}, {out, "GET", "/apis", 303}, {out, "GET", "/problems", 200},
		{out, "GET", "/nothing", 404}, {out, "GET", "/static/nothing.css", 404}, {out, "GET", "/static/app.css", 200},
		{out, "POST", "/sign-in", 403}, {out, "PUT", "/sign-in", 405}, {out, "DELETE", "/apis", 405}, {out, "OPTIONS", "/apis", 405},
		{out, "GET", "/apis/", 404}, {out, "GET", "/Apis", 404}, {out, "GET", "/problems/no.such", 404}, {out, "GET", "/static/..%2fapp.css", 404},
		{b, "GET", "/apis", 200}, {b, "GET", "/apis/none/v1", 404}, {b, "GET", "/apis/orders/v9", 404}, {b, "GET", "/apis/orders/v1/none", 404},
		{b, "GET", "/calls/" + absent, 404}, {b, "GET", "/calls/..%2f..", 404}, {b, "GET", "/calls?application=none", 404},
		{b, "GET", "/apis/orders/v1/openapi.json", 200}, {b, "POST", "/theme", 403}, {b, "GET", "/styleguide", 200},
	} {
		what := c.method + " " + c.path
		r := c.from.send(c.method, c.path, nil)
		if r.StatusCode != c.status {
			t.Errorf("%s: %d, want %d", what, r.StatusCode, c.status)
		}
		headers(t, what, r.Response)
		if !ident.ValidID(r.Header.Get("X-Request-Id")) {
			t.Errorf("%s: X-Request-Id is %q", what, r.Header.Get("X-Request-Id"))
		}
		if !strings.HasPrefix(c.path, "/static/app") && r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: Cache-Control is %q", what, r.Header.Get("Cache-Control"))
		}
		if r.StatusCode >= 400 {
			id := r.Header.Get("X-Request-Id")
			if doc := r.html(t); doc.Find("h1").Length() != 1 || doc.Find(".waybill .mono[title='"+id+"']").Length() != 1 {
				t.Errorf("%s: the failure page lacks its title or number", what)
			}
			if strings.Contains(r.body, absent) || strings.Contains(r.body, "Cannot ") {
				t.Errorf("%s: the failure page repeats the address", what)
			}
		}
	}
}

// Whoever is signed in stays so on a page that is not there.
func TestAbsentPageKnowsItsReader(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(t, s.first)
	for _, path := range []string{"/nothing", "/apis/none/v1", "/static/none.css"} {
		doc := b.get(path).html(t)
		if doc.Find(".who b").Text() != "Dana Vold" || doc.Find(".way a").AttrOr("href", "") != "/apis" || doc.Find("input[name=return]").AttrOr("value", "") != "/" {
			t.Errorf("%s is shown to nobody", path)
		}
	}
}

// What the server refuses before it is a page is refused without repeating it.
func TestUnreadableRequests(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for name, raw := range map[string]string{
		"no request":        "PLANTED SECRET\r\n\r\n",
		"endless header":    "GET / HTTP/1.1\r\nHost: x\r\nX-Planted: " + strings.Repeat("a", 20<<10) + "\r\n\r\n",
		"body over limit":   "POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("PLANTED ", 9000),
		"two lengths":       "POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nPLANTED",
		"malformed headers": "GET / HTTP/1.1\r\nHost: x\r\nPLANTED\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		must(t, err)
		go io.WriteString(conn, raw) // the server may close before all is written
		r, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		body, _ := io.ReadAll(r.Body)
		conn.Close()
		if r.StatusCode < 400 || r.StatusCode >= 500 || strings.Contains(string(body), "PLANTED") || strings.Contains(string(body), "aaaa") {
			t.Errorf("%s: %d %.80q", name, r.StatusCode, body)
		}
		headers(t, name, r)
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	host := strings.TrimPrefix(s.url, "http://")
	_, port, err := net.SplitHostPort(host)
	must(t, err)
	for _, name := range []string{host, "localhost:" + port, "LOCALHOST:" + port, "[::1]:" + port} {
		if r := s.browser(t).get("/sign-in", "Host", name); r.StatusCode != 200 {
			t.Errorf("host %q: %d", name, r.StatusCode)
		}
	}
	for _, name := range []string{"evil.example", "evil.example:" + port, "127.0.0.1", "127.0.0.1:1", "localhost", "127.0.0.1.evil.example:" + port} {
		r := s.browser(t).get("/sign-in", "Host", name)
		if r.StatusCode != 421 || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain") || strings.Contains(r.body, "evil") {
			t.Errorf("host %q: %d %s", name, r.StatusCode, r.Header.Get("Content-Type"))
		}
		headers(t, "host "+name, r.Response)
	}
	// X-Forwarded-Host is nobody's word.
	if r := s.browser(t).get("/apis", "X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "https"); strings.Contains(r.Header.Get("Location"), "evil") || r.StatusCode != 303 {
		t.Errorf("forwarded host: %d to %q", r.StatusCode, r.Header.Get("Location"))
	}
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	build := func(origin string) (*Portal, error) {
		return New(Deps{Snapshot: snapshot, Clock: ident.NewManual(start), Log: slog.New(slog.DiscardHandler), Origin: origin})
	}
	for _, origin := range []string{"", "portal.example", "ftp://portal.example", "https://", "https://portal.example/path", "https://u:p@portal.example",
		"https://portal.example?x=1", "http://portal.example", "http://10.0.0.5:8081", "http://localhost.evil.example"} {
		if _, err := build(origin); err == nil || !strings.HasPrefix(err.Error(), "portal-url: ") {
			t.Errorf("origin %q: %v", origin, err)
		}
	}
	for _, origin := range []string{"http://127.0.0.1:8081", "http://localhost:8081", "http://[::1]:8081", "http://127.0.0.1"} {
		p, err := build(origin)
		if err != nil || p.secure || strings.HasPrefix(p.cookie("session"), "__Host-") {
			t.Errorf("origin %q: %v", origin, err)
		}
	}
	p, err := build("https://Portal.example:443/")
	must(t, err)
	req := httptest.NewRequest("GET", "/sign-in", nil)
	req.Host = "portal.example"
	r, err := p.app.Test(req, -1)
	must(t, err)
	defer r.Body.Close()
	cookies := r.Cookies()
	if r.StatusCode != 200 || len(cookies) != 1 || cookies[0].Name != "__Host-portway-form" || !cookies[0].Secure || !cookies[0].HttpOnly || cookies[0].Path != "/" || cookies[0].Domain != "" {
		t.Errorf("https origin: %d, %+v", r.StatusCode, cookies)
	}
	if r.Header.Get("Strict-Transport-Security") == "" {
		t.Error("https origin: no Strict-Transport-Security")
	}
}

func TestHead(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(t, s.first)
	for _, path := range []string{"/apis", "/apis/orders/v1", "/problems", "/static/app.css", "/calls"} {
		get, head := b.get(path), b.send("HEAD", path, nil)
		if head.StatusCode != 200 || head.body != "" || head.ContentLength != int64(len(get.body)) {
			t.Errorf("HEAD %s: %d, %d bytes announced, GET has %d", path, head.StatusCode, head.ContentLength, len(get.body))
		}
	}
	if r := s.browser(t).send("HEAD", "/apis", nil); r.StatusCode != 303 {
		t.Errorf("HEAD of a member page without a session: %d", r.StatusCode)
	}
}

func TestPanic(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(p *Portal) {
		p.app.Get("/panic", p.handle(route{"GET", "/panic", visitor, func(v *visit) error {
			fmt.Fprint(v.Response().BodyWriter(), "half a page")
			panic("planted")
		}}))
	})
	b := s.signedIn(t, s.first)
	for range 3 {
		r := b.get("/panic")
		if r.StatusCode != 500 || strings.Contains(r.body, "planted") || strings.Contains(r.body, "half a page") || !strings.Contains(r.body, "This page could not be built") {
			t.Fatalf("panic: %d", r.StatusCode)
		}
		headers(t, "panic", r.Response)
		if log := s.log.String(); !strings.Contains(log, "request_id="+r.Header.Get("X-Request-Id")) || !strings.Contains(log, "guard_test.go") {
			t.Error("the log does not name the request and the place")
		}
	}
	if r := b.get("/apis"); r.StatusCode != 200 {
		t.Errorf("after the panic: %d", r.StatusCode)
	}
}

// A database that is gone is a page that says so, not a sign-out.
func TestStoreGone(t *testing.T) {
	t.Parallel()
	var accounts failing
	s := newSite(t, func(p *Portal) {
		accounts.AccountStore = p.Accounts
		p.Accounts = &accounts
	})
	b := s.signedIn(t, s.first)
	for _, c := range []struct {
		err    error
		status int
		header string
	}{{problem.New(problem.StoreUnavailable, "PLANTED"), 503, "5"}, {errors.New("PLANTED"), 500, ""}} {
		accounts.err.Store(&c.err)
		r := b.get("/apis")
		if r.StatusCode != c.status || r.Header.Get("Retry-After") != c.header || strings.Contains(r.body, "PLANTED") {
			t.Errorf("%v: %d, Retry-After %q", c.err, r.StatusCode, r.Header.Get("Retry-After"))
		}
		headers(t, "without a database", r.Response)
	}
	accounts.err.Store(nil)
	if r := b.get("/apis"); r.StatusCode != 200 {
		t.Errorf("the sign-in did not outlast the failure: %d", r.StatusCode)
	}
}

// failing is an account store that cannot read sessions once err is set.
type failing struct {
	partner.AccountStore
	err atomic.Pointer[error]
}

func (f *failing) Session(ctx context.Context, id string) (*partner.Session, error) {
	if err := f.err.Load(); err != nil {
		return nil, *err
	}
	return f.AccountStore.Session(ctx, id)
}

func TestStatic(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser(t)
	doc := b.get("/sign-in").html(t)
	seen := 0
	doc.Find("link[href], script[src]").Each(func(_ int, n *goquery.Selection) {
		path := n.AttrOr("href", n.AttrOr("src", ""))
		seen++
		r := b.get(path)
		if r.StatusCode != 200 || r.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" || r.Header.Get("ETag") == "" || len(r.Cookies()) != 0 {
			t.Errorf("%s: %d, %q, ETag %q", path, r.StatusCode, r.Header.Get("Cache-Control"), r.Header.Get("ETag"))
		}
		for _, tag := range []string{r.Header.Get("ETag"), `"other", W/` + r.Header.Get("ETag"), "*"} {
			if again := b.get(path, "If-None-Match", tag); again.StatusCode != 304 || again.body != "" {
				t.Errorf("%s with %s: %d", path, tag, again.StatusCode)
			}
		}
		if again := b.get(path, "If-None-Match", `"other"`); again.StatusCode != 200 {
			t.Errorf("%s with another tag: %d", path, again.StatusCode)
		}
	})
	if seen != 3 {
		t.Errorf("the page names %d static files", seen)
	}
	if r := b.get("/static/app.css"); r.StatusCode != 200 || r.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("plain name: %d, %q", r.StatusCode, r.Header.Get("Cache-Control"))
	}
	if r := b.get("/static/app.000000000000.css"); r.StatusCode != 404 {
		t.Errorf("wrong hash: %d", r.StatusCode)
	}
}
