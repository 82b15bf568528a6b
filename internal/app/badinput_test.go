package app

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/problem"
	"portway/internal/store"
	"portway/internal/store/partnerdb"
	"portway/internal/store/pgtest"
)

const (
	harbor    = "harbor/wms@sandbox"
	harborWMS = "harbor/wms"
	northgate = "northgate/fulfilment@sandbox"
	erpClient = "acme/erp@sandbox"
)

// release is a statement of the ERP for tests.
func release(order string) string {
	return fmt.Sprintf(`{"order":%q,"version":1,"fulfiller":"harbor","site":"CHI","shipTo":{"name":"R","street":["1 A"],"city":"B","region":"VT","postalCode":"05301","country":"US"},
	"lines":[{"lineNo":1,"sku":"ACME-1001","quantity":{"value":"120","unit":"EA"}}]}`, order)
}

func confirmation(order, shipment, quantity string) string {
	return fmt.Sprintf(`{"order":%q,"shipment":%q,"shippedAt":"2026-11-25T10:00:00-06:00","mode":"delta","final":true,
	"lines":[{"lineNo":1,"sku":"ACME-1001","shipped":{"value":%q,"unit":"EA"},"status":"complete"}]}`, order, shipment, quantity)
}

// interchange is one 945 for an order, with the parts that tests break.
type interchange struct{ usage, control, order, shipment, quantity, count, sender string }

func (i interchange) String() string {
	def := func(s, d string) string {
		if s == "" {
			return d
		}
		return s
	}
	return fmt.Sprintf("ISA*00*          *00*          *ZZ*%-15s*ZZ*ACME           *261125*1000*U*00401*%s*0*%s*>~\n"+
		"GS*SW*HARBOR*ACME*20261125*1000*1*X*004010~\nST*945*0001~\nW06*F*%s*20261125*%s**PO-1~\nW27*M*FDEG~\nLX*1~\n"+
		"W12*CC*120*%s*0*EA**VN*ACME-1001~\nW03*120*10*KG~\nSE*%s*0001~\nGE*1*1~\nIEA*1*%s~\n",
		def(i.sender, "HARBOR"), def(i.control, "000000001"), def(i.usage, "T"), i.order, i.shipment, def(i.quantity, "120"), def(i.count, "7"), def(i.control, "000000001"))
}

func edi(i interchange, as string) call {
	return call{method: "POST", path: "/edi/x12", body: i.String(), as: as, header: map[string]string{"Content-Type": "application/edi-x12"}}
}

// TestBadInput sends what must be refused and checks status, code, request id, log line, and that nothing was kept.
func TestBadInput(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	r := start(t, nil, "--demo", "--data="+data)
	if got := r.do(call{method: "POST", path: "/orders/v1/releases", body: release("SO-BAD-1"), as: erpClient}); got.status != 202 {
		t.Fatalf("release: %d %s", got.status, got.body)
	}
	foreign := "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6IngifQ.e30.AAAA"
	cases := []struct {
		name   string
		call   call
		status int
		code   string
	}{
		{"no token", call{method: "GET", path: "/orders/v1/feed"}, 401, "auth.missing"},
		{"foreign token", call{method: "GET", path: "/orders/v1/feed", header: map[string]string{"Authorization": "Bearer " + foreign}}, 401, "auth.invalid_token"},
		{"unknown path", call{method: "GET", path: "/orders/v1/nothing", as: harbor}, 404, "route.unknown"},
		{"unknown version", call{method: "GET", path: "/orders/v3/feed", as: harbor}, 404, "version.unknown"},
		{"unknown method", call{method: "DELETE", path: "/orders/v1/feed", as: harbor}, 405, "route.method"},
		{"dot segments", call{method: "GET", path: "/orders/v1/%2e%2e/feed", as: harbor}, 400, "path.not_canonical"},
		{"trailing slash", call{method: "GET", path: "/orders/v1/feed/", as: harbor}, 400, "path.not_canonical"},
		{"malformed JSON", call{method: "POST", path: "/shipments/v2/confirmations", body: `{"order":`, as: harbor}, 400, "body.malformed"},
		{"duplicate member", call{method: "POST", path: "/shipments/v2/confirmations", body: `{"order":"a","order":"b"}`, as: harbor}, 400, "body.malformed"},
		{"hostile number", call{method: "POST", path: "/shipments/v2/confirmations", body: `{"order":1e5000000}`, as: harbor}, 400, "body.malformed"},
		{"no body", call{method: "POST", path: "/shipments/v2/confirmations", as: harbor}, 400, "body.missing"},
		{"wrong content type", call{method: "POST", path: "/shipments/v2/confirmations", body: `a=b`, as: harbor, header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}}, 415, "body.content_type"},
		{"compressed", call{method: "POST", path: "/shipments/v2/confirmations", body: `{}`, as: harbor, header: map[string]string{"Content-Encoding": "gzip"}}, 415, "body.content_encoding"},
		{"too large", call{method: "POST", path: "/shipments/v2/confirmations", body: `{"order":"` + strings.Repeat("a", 2<<20) + `"}`, as: harbor}, 413, "body.too_large"},
		{"breaks the schema", call{method: "POST", path: "/shipments/v2/confirmations", body: confirmation("SO-BAD-1", "S", "many"), as: harbor}, 422, "schema.violation"},
		{"bad parameter", call{method: "GET", path: "/orders/v1/feed?limit=0", as: harbor}, 400, "parameter.invalid"},
		{"undeclared parameter", call{method: "GET", path: "/orders/v1/feed?limti=10", as: harbor}, 400, "parameter."},
		{"foreign cursor", call{method: "GET", path: "/orders/v1/feed?after=1.AAAAAAAAAAAAAAAA", as: harbor}, 400, "cursor.invalid"},
		{"missing scope", call{method: "POST", path: "/orders/v1/releases", body: release("SO-BAD-2"), as: harbor}, 403, "auth.insufficient_scope"},
		{"not subscribed", call{method: "GET", path: "/inventory/v1/availability?sku=ACME-1001", as: northgate}, 403, "auth.not_subscribed"},
		{"sandbox token on live", call{method: "GET", path: "/orders/v1/feed", as: harbor, host: "live.localhost"}, 403, "auth.environment_mismatch"},
		{"unknown host", call{method: "GET", path: "/orders/v1/feed", as: harbor, host: "other.example"}, 421, "http.wrong_host"},
		{"unknown order", call{method: "POST", path: "/shipments/v2/confirmations", body: confirmation("SO-NOT-THERE", "S", "1"), as: harbor}, 404, "order.unknown"},
		{"another's order", call{method: "GET", path: "/orders/v1/orders/SO-BAD-1", as: northgate}, 404, "order.unknown"},
		{"another's order, stated about", call{method: "POST", path: "/shipments/v2/confirmations", body: confirmation("SO-BAD-1", "S", "1"), as: northgate}, 404, "order.unknown"},
		{"item not on the order", call{method: "POST", path: "/shipments/v2/confirmations", body: strings.Replace(confirmation("SO-BAD-1", "S", "1"), "ACME-1001", "ACME-9", 1), as: harbor}, 422, "order.ledger"},
		{"wrong version", call{method: "POST", path: "/orders/v1/orders/SO-BAD-1/acknowledgement", body: `{"version":7,"result":"accepted"}`, as: harbor}, 409, "order.version"},
		{"unknown carrier", call{method: "POST", path: "/shipments/v2/rates", body: `{"carrier":"pigeon","shipFrom":{"name":"A","street":["1"],"city":"C","country":"US","postalCode":"1"},"shipTo":{"name":"A","street":["1"],"city":"C","country":"US","postalCode":"1"},"parcels":[{"weight":{"value":"1","unit":"KGM"}}]}`, as: harbor}, 422, ""},
		{"broken ISA", call{method: "POST", path: "/edi/x12", body: "ISA*00*broken~", as: harbor, header: map[string]string{"Content-Type": "application/edi-x12"}}, 422, "edi.unreadable"},
		{"unknown sender", edi(interchange{order: "SO-BAD-1", shipment: "S", sender: "SOMEBODY"}, harbor), 422, "edi.unknown_connection"},
		{"P on a sandbox connection", edi(interchange{order: "SO-BAD-1", shipment: "S", usage: "P", control: "000000077"}, harbor), 403, "auth.environment_mismatch"},
		{"T on a live connection", edi(interchange{order: "SO-BAD-1", shipment: "S", usage: "T", control: "000000078"}, "harbor/wms@live"), 403, "auth.environment_mismatch"},
		{"another's connection", edi(interchange{order: "SO-BAD-1", shipment: "S"}, "northgate/fulfilment@sandbox"), 403, "auth."},
	}
	for _, c := range cases {
		got := r.do(c.call)
		if got.status != c.status || !strings.HasPrefix(got.field("code"), c.code) {
			t.Errorf("%s: %d %s, want %d %s\n%s", c.name, got.status, got.field("code"), c.status, c.code, got.body)
			continue
		}
		if got.header.Get("Content-Type") != "application/problem+json" || got.field("request_id") == "" || got.field("request_id") != got.header.Get("X-Request-Id") {
			t.Errorf("%s: not a problem with its request id: %v %s", c.name, got.header, got.body)
		}
		if want := problem.Code(got.field("code")).Status(); want != got.status {
			t.Errorf("%s: the table says %d for %s", c.name, want, got.field("code"))
		}
		id := got.field("request_id")
		until(t, c.name+": a log line with the request id", func() bool { return strings.Contains(r.logs.String(), id) })
	}
	// Of all that was refused, nothing was applied: the order stands as it was released.
	order := r.do(call{method: "GET", path: "/orders/v1/orders/SO-BAD-1", as: harbor})
	if order.field("state") != "released" {
		t.Errorf("the order changed: %s", order.body)
	}
	if strings.Contains(r.logs.String(), r.credential(harborWMS, "sandbox").Secret) {
		t.Error("a secret is in the log")
	}
	// Nor was anything half-written: one event, no delivery, and beside the release only quarantined documents.
	if code := r.stop(); code != 0 {
		t.Fatalf("stopped with %d", code)
	}
	db, err := store.Open(context.Background(), store.Options{Dir: data, Clock: ident.System{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for query, want := range map[string]int{
		"SELECT count(*) FROM events":                                 1,
		"SELECT count(*) FROM deliveries":                             0,
		"SELECT count(*) FROM orders":                                 1,
		"SELECT count(*) FROM business_keys":                          1,
		"SELECT count(*) FROM documents WHERE state = 'accepted'":     1,
		"SELECT count(*) FROM documents WHERE state <> 'quarantined'": 1,
		"SELECT count(*) FROM documents WHERE length(ack) > 0":        0,
		"SELECT count(*) FROM documents WHERE state = 'quarantined'":  4,
	} {
		var got int
		if err := db.Read().Get(context.Background(), &got, query); err != nil || got != want {
			t.Errorf("%s = %d (%v), want %d", query, got, err, want)
		}
	}
}

// TestSchemaViolationsAreAllNamed checks that every violation comes with its JSON Pointer, and no value.
func TestSchemaViolationsAreAllNamed(t *testing.T) {
	t.Parallel()
	r := demo(t)
	got := r.do(call{method: "POST", path: "/shipments/v2/confirmations", as: harbor,
		body: `{"order":"SO-1","shipment":"S1","shippedAt":"yesterday-secret","mode":"sometimes","final":"yes","lines":[{"sku":"A","shipped":{"value":"12x","unit":"EA"},"status":"complete"},{"shipped":{"value":"1","unit":"EA"},"status":"complete"}],"extra":1}`})
	for _, pointer := range []string{"/shippedAt", "/mode", "/final", "/lines/0/shipped/value", "/lines/1", "extra"} {
		if !strings.Contains(string(got.body), pointer) {
			t.Errorf("no violation names %s: %s", pointer, got.body)
		}
	}
	if strings.Contains(string(got.body), "yesterday-secret") || strings.Contains(string(got.body), "sometimes") {
		t.Errorf("a value is echoed: %s", got.body)
	}
}

// TestRevocationReachesTheOtherNode revokes a credential through a second handle on the same database, as
// another node would: within a second the first refuses its tokens.
func TestRevocationReachesTheOtherNode(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	r := start(t, map[string]string{"TEST_DATABASE": url}, "--demo", "--data="+t.TempDir(), "--database=env:TEST_DATABASE")
	as := call{method: "GET", path: "/orders/v1/feed", as: harbor}
	if got := r.do(as); got.status != 200 {
		t.Fatalf("before: %d %s", got.status, got.body)
	}
	ctx := context.Background()
	db, err := store.Open(ctx, store.Options{PostgresURL: url, Clock: ident.System{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	other := partnerdb.New(db, ident.System{})
	orgs, err := other.Organisations(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range orgs {
		b, err := other.Organisation(ctx, o.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range b.Credentials {
			if c.ClientID == r.credential(harborWMS, "sandbox").ClientID {
				if err := other.SetState(ctx, o.ID, "credential", c.ID, partner.Revoked); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	deadline := time.Now().Add(time.Second)
	for r.do(as).status != 401 {
		if time.Now().After(deadline) {
			t.Fatal("a second after the revocation the token still opens")
		}
	}
}

// TestBackendDown takes the ERP and a carrier away: proxied calls say so, statements are kept and arrive later.
func TestBackendDown(t *testing.T) {
	t.Parallel()
	r := demo(t)
	body := strings.Replace(release("SO-DOWN-1"), `"version":1,`, "", 1)
	for _, step := range []call{{method: "POST", path: "/sales-orders", body: body}, {method: "POST", path: "/sales-orders/SO-DOWN-1/release"}} {
		if got := r.doAt(r.at("erp"), step); got.status >= 300 {
			t.Fatalf("%s: %d %s", step.path, got.status, got.body)
		}
	}
	fault := func(mode string) {
		t.Helper()
		if got := r.doAt(r.at("erp"), call{method: "POST", path: "/_sim/faults", body: `{"mode":"` + mode + `"}`}); got.status >= 300 {
			t.Fatalf("fault switch: %d %s", got.status, got.body)
		}
	}
	fault("down")
	got := r.do(call{method: "GET", path: "/inventory/v1/availability?sku=ACME-1001", as: harbor})
	if got.status != 502 && got.status != 503 || strings.Contains(string(got.body), "_sim") {
		t.Errorf("the ERP is down: %d %s", got.status, got.body)
	}
	accepted := r.do(call{method: "POST", path: "/orders/v1/orders/SO-DOWN-1/acknowledgement", body: `{"version":1,"result":"accepted"}`, as: harbor})
	if accepted.status != 202 {
		t.Fatalf("a statement while the ERP is down: %d %s", accepted.status, accepted.body)
	}
	status := call{method: "GET", path: accepted.header.Get("Location"), as: harbor}
	until(t, "a failed attempt", func() bool { return strings.Contains(string(r.do(status).body), `"attempts":1`) })
	fault("none")
	until(t, "the delivery after the ERP is back", func() bool { return r.do(status).field("state") == "delivered" })
}

// TestFraming sends ambiguous requests over a raw connection: 400, and the connection is closed.
func TestFraming(t *testing.T) {
	t.Parallel()
	r := demo(t)
	address := strings.TrimPrefix(r.at("gateway"), "http://")
	for name, raw := range map[string]string{
		"CL and TE":      "POST /orders/v1/releases HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"two CL":         "POST /orders/v1/releases HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
		"no host":        "GET /orders/v1/feed HTTP/1.1\r\n\r\n",
		"two hosts":      "GET /orders/v1/feed HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
		"underscore":     "GET /orders/v1/feed HTTP/1.1\r\nHost: localhost\r\nX_partner: harbor\r\n\r\n",
		"folded":         "GET /orders/v1/feed HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n c\r\n\r\n",
		"foreign target": "GET http://evil.example/orders/v1/feed HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"at host":        "GET @evil.example/x HTTP/1.1\r\nHost: localhost\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, raw); err != nil {
			t.Fatal(err)
		}
		reader := bufio.NewReader(conn)
		res, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Errorf("%s: no answer: %v", name, err)
			continue
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if res.StatusCode != 400 {
			t.Errorf("%s: %d, want 400", name, res.StatusCode)
		}
		if _, err := reader.ReadByte(); err != io.EOF {
			t.Errorf("%s: the connection stays open (%v)", name, err)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
