package portal

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/alexedwards/argon2id"

	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/problem"
	"portway/internal/store"
	"portway/internal/store/partnerdb"
	"portway/internal/store/trafficdb"
	"portway/internal/traffic"
	"portway/policies"
	"portway/specs"
)

const password = "correct horse battery staple"

var start = time.Date(2026, 10, 14, 12, 30, 0, 0, time.UTC)

// snapshot is the real contracts and policies, compiled once for all tests.
var snapshot = sync.OnceValue(func() *catalog.Snapshot {
	snap, problems := catalog.Load(catalog.Sources{StdSpecs: specs.Files, StdPolicies: policies.Files, Policies: policies.Files,
		Clock: ident.NewManual(start), ResolveURL: func(s string) (string, error) { return s, nil }})
	if err := problems.Err(); err != nil {
		panic(err)
	}
	return snap
})

// hash is that of password, cheap: what argon2 costs is another test's business.
var hash = sync.OnceValue(func() string {
	h, err := argon2id.CreateHash(password, &argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32})
	if err != nil {
		panic(err)
	}
	return h
})

// site is a portal on a listener of its own, with a real store and two partners and the operator in it.
type site struct {
	*Portal
	url     string
	clock   *ident.Manual
	log     *logBuffer
	db      *store.DB
	people  *partnerdb.Store
	records *trafficdb.Store
	// first has two applications, second one, house is the operator's own, bare has none.
	first, second, house, bare *partner.Bundle
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func newSite(t testing.TB, adjust ...func(*Portal)) *site {
	t.Helper()
	s := &site{clock: ident.NewManual(start), log: &logBuffer{}}
	db, err := store.Open(context.Background(), store.Options{Dir: t.TempDir(), Clock: s.clock})
	must(t, err)
	t.Cleanup(func() { db.Close() })
	s.db, s.people, s.records = db, partnerdb.New(db, s.clock), trafficdb.New(db)
	s.first = organisation("quay", "Quay Fulfilment", partner.Kind3PL, "Dock client", "Yard planner")
	s.second = organisation("ridge", "Ridge Storage", partner.Kind3PL, "Ridge bridge")
	s.house = organisation("house", "House Brands", partner.KindInternal, "Order system")
	s.bare = organisation("bare", "Bare Hands", partner.KindVendor)
	for _, b := range []*partner.Bundle{s.first, s.second, s.house, s.bare} {
		must(t, s.people.Apply(context.Background(), b))
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s.url = "http://" + ln.Addr().String()
	s.Portal, err = New(Deps{Snapshot: snapshot, Partners: s.people, Accounts: s.people, Traffic: s.records, Clock: s.clock,
		Log: slog.New(slog.NewTextHandler(s.log, nil)), Origin: s.url, GatewayURL: "https://api.example", Styleguide: true})
	must(t, err)
	for _, f := range adjust {
		f(s.Portal)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}

func organisation(slug, name string, kind partner.Kind, apps ...string) *partner.Bundle {
	b := &partner.Bundle{Organisation: partner.Organisation{Slug: slug, Name: name, Kind: kind, Zone: "UTC", State: partner.Active, Origin: partner.FromFile},
		Accounts: []partner.Account{{Email: "dev@" + slug + ".example", Name: "Dana Vold", Role: "developer", PasswordHash: hash(), State: partner.Active, Origin: partner.FromFile}}}
	for i, app := range apps {
		id := fmt.Sprintf("app-%d", i+1)
		b.Applications = append(b.Applications, partner.Application{Slug: id, Name: app, State: partner.Active, Origin: partner.FromFile})
		for _, api := range []string{"orders", "shipments"} {
			b.Subscriptions = append(b.Subscriptions, partner.Subscription{Application: id, API: api, Environment: ident.Sandbox, Plan: "standard",
				Scopes: api + ":read", State: partner.Active, Origin: partner.FromFile})
		}
	}
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func email(b *partner.Bundle) string { return b.Accounts[0].Email }

// record stores calls of an application, one minute apart, the first one newest; adjust changes each.
func (s *site) record(t testing.TB, b *partner.Bundle, app, n int, adjust func(int, *traffic.Call)) []traffic.Call {
	t.Helper()
	calls := make([]traffic.Call, n)
	for i := range calls {
		calls[i] = traffic.Call{ID: ident.NewID(s.clock), Received: s.clock.Now().Add(-time.Duration(i) * time.Minute), Org: b.Organisation.ID,
			Application: b.Applications[app].ID, Environment: ident.Sandbox, API: "orders", Version: "v1", Operation: "getOrder", Method: "GET",
			Path: "/orders/v1/orders/{order}", Status: 200, Duration: 7 * time.Millisecond}
		if adjust != nil {
			adjust(i, &calls[i])
		}
	}
	must(t, s.records.Append(context.Background(), calls))
	return calls
}

// rejected makes a call one that broke its contract in two places.
func rejected(_ int, c *traffic.Call) {
	c.API, c.Version, c.Operation, c.Method, c.Path = "shipments", "v1", "confirmShipment", "POST", "/shipments/v1/confirmations"
	c.Status, c.Code, c.ClientRequestID, c.BytesIn, c.BytesOut = 422, problem.SchemaViolation, "wms-7781", 1912, 611
	c.Violations = []problem.Violation{{In: "body", Pointer: "/shipTo/postalCode", Keyword: "required", Message: "a string of 3 to 10 characters is expected"},
		{In: "body", Pointer: "/lines/2/shipped", Keyword: "type", Message: "a decimal string is expected"}}
	for _, name := range []string{"admit", "match", "identify", "authorize", "body", "limit"} {
		c.Trail = append(c.Trail, traffic.Step{Stage: name, Micros: 420, Result: "passed"})
	}
	c.Trail = append(c.Trail, traffic.Step{Stage: "validate", Micros: 4300, Result: "refused"}, traffic.Step{Stage: "rate-headers", Micros: 2, Result: "passed"})
}

// browser keeps cookies and does not follow redirects.
type browser struct {
	*http.Client
	t    testing.TB
	site *site
}

func (s *site) browser(t testing.TB) *browser {
	jar, err := cookiejar.New(nil)
	must(t, err)
	return &browser{t: t, site: s, Client: &http.Client{Jar: jar, Timeout: 20 * time.Second, Transport: &http.Transport{DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// signedIn is a browser of an organisation's developer.
func (s *site) signedIn(t testing.TB, b *partner.Bundle) *browser {
	t.Helper()
	c := s.browser(t)
	r := c.signIn(email(b), password, "/")
	if r.StatusCode != 303 {
		t.Fatalf("sign-in answered %d", r.StatusCode)
	}
	return c
}

type answer struct {
	*http.Response
	body string
}

func (a answer) html(t testing.TB) *goquery.Document {
	t.Helper()
	doc, err := goquery.NewDocumentFromReader(strings.NewReader(a.body))
	must(t, err)
	return doc
}

func (b *browser) send(method, path string, form url.Values, headers ...string) answer {
	b.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequest(method, b.site.url+path, body)
	must(b.t, err)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
			continue
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := b.Do(req)
	must(b.t, err)
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	must(b.t, err)
	return answer{resp, string(all)}
}

func (b *browser) get(path string, headers ...string) answer {
	b.t.Helper()
	return b.send("GET", path, nil, headers...)
}

// form loads a page and returns the hidden fields of its form with this action.
func (b *browser) form(path, action string) url.Values {
	b.t.Helper()
	out := url.Values{}
	b.get(path).html(b.t).Find("form[action='" + action + "'] input").Each(func(_ int, in *goquery.Selection) {
		out.Set(in.AttrOr("name", ""), in.AttrOr("value", ""))
	})
	return out
}

func (b *browser) signIn(email, password, next string, headers ...string) answer {
	b.t.Helper()
	form := b.form("/sign-in?next="+url.QueryEscape(next), "/sign-in")
	form.Set("email", email)
	form.Set("password", password)
	return b.send("POST", "/sign-in", form, headers...)
}

func (b *browser) cookie(name string) string {
	u, err := url.Parse(b.site.url)
	must(b.t, err)
	for _, c := range b.Jar.Cookies(u) {
		if c.Name == b.site.Portal.cookie(name) {
			return c.Value
		}
	}
	return ""
}
