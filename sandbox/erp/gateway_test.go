package erp

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeGateway issues tokens and notes calls; handle decides each answer.
type fakeGateway struct {
	mu     sync.Mutex
	tokens int
	valid  string
	keys   []string
	bodies []string
	paths  []string
	handle func(n int) (int, string)
}

func (g *fakeGateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("X-Request-Id", fmt.Sprintf("req-%d", len(g.paths)+1))
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/oauth2/token" {
		id, secret, _ := r.BasicAuth()
		if id != "erp%2Fone" || secret != "s%3Acret" || string(body) != "grant_type=client_credentials&scope=orders" {
			w.WriteHeader(401)
			return
		}
		g.tokens++
		g.valid = fmt.Sprintf("token-%d", g.tokens)
		_, _ = fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":300}`, g.valid)
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+g.valid {
		w.WriteHeader(401)
		return
	}
	g.paths, g.keys, g.bodies = append(g.paths, r.URL.Path), append(g.keys, r.Header.Get("Idempotency-Key")), append(g.bodies, string(body))
	status, answer := g.handle(len(g.paths))
	if status == 0 {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, answer)
}

func connected(t *testing.T, handle func(n int) (int, string)) (*bench, *fakeGateway) {
	t.Helper()
	b := start(t, "")
	g := &fakeGateway{handle: handle}
	ts := httptest.NewServer(g)
	t.Cleanup(ts.Close)
	if err := b.erp.Connect(Gateway{URL: ts.URL + "/", ClientID: "erp/one", Secret: "s:cret", Scope: "orders"}); err != nil {
		t.Fatal(err)
	}
	if status, body := b.post("/sales-orders", anOrder); status != 201 {
		t.Fatalf("%d %s", status, body)
	}
	return b, g
}

func ok(int) (int, string) { return 202, `{"state":"released"}` }

func TestRelease(t *testing.T) {
	t.Parallel()
	b, g := connected(t, ok)
	status, body := b.post("/sales-orders/T-1/release", "")
	var out struct {
		Status    int
		RequestID string
		Body      struct{ State string }
	}
	if err := json.Unmarshal([]byte(body), &out); err != nil || status != 200 || out.Status != 202 || out.RequestID != "req-1" || out.Body.State != "released" {
		t.Fatalf("%d %v %s", status, err, body)
	}
	var sent struct {
		Order   string
		Version int
		ShipTo  struct{ City string }
		Lines   []struct {
			LineNo   any
			SKU      string
			Quantity struct{ Value, Unit string }
		}
	}
	if err := json.Unmarshal([]byte(g.bodies[0]), &sent); err != nil || g.paths[0] != "/orders/v1/releases" || sent.Version != 1 || sent.ShipTo.City != "Peoria" ||
		sent.Lines[0].Quantity.Value != "120" || sent.Lines[1].LineNo != 2.0 {
		t.Errorf("%v: %s", err, g.bodies[0])
	}
	if v := b.order("T-1"); v.State != stateReleased || len(v.GatewayCalls) != 1 || v.GatewayCalls[0].RequestID != "req-1" {
		t.Errorf("%+v", v)
	}
	b.post("/sales-orders/T-1/release", "")
	if g.tokens != 1 || len(g.paths) != 2 || g.keys[0] == g.keys[1] {
		t.Errorf("%d tokens, paths %v, keys %v", g.tokens, g.paths, g.keys)
	}
	b.event("a", "order.acknowledged.v1", `{"order":"T-1","version":1,"result":"accepted"}`)
	if status, _ := b.post("/sales-orders/T-1/release", ""); status != 409 {
		t.Errorf("released after acknowledgement: %d", status)
	}
}

func TestTokenRenewal(t *testing.T) {
	t.Parallel()
	b, g := connected(t, ok)
	b.post("/sales-orders/T-1/release", "")
	b.clock.Advance(269 * time.Second)
	b.post("/sales-orders/T-1/release", "")
	if g.tokens != 1 {
		t.Errorf("renewed too early: %d", g.tokens)
	}
	b.clock.Advance(2 * time.Second)
	b.post("/sales-orders/T-1/release", "")
	if g.tokens != 2 {
		t.Errorf("not renewed before expiry: %d", g.tokens)
	}
	g.mu.Lock()
	g.valid = "revoked"
	g.mu.Unlock()
	if _, body := b.post("/sales-orders/T-1/release", ""); !strings.Contains(body, `"status":202`) || g.tokens != 3 {
		t.Errorf("after a 401: %s, %d tokens", body, g.tokens)
	}
}

func TestReleaseRefusedAndLost(t *testing.T) {
	t.Parallel()
	answers := []int{422, 0, 202}
	b, g := connected(t, func(n int) (int, string) { return answers[n-1], `{"code":"schema.violation"}` })
	if status, body := b.post("/sales-orders/T-1/release", ""); status != 200 || !strings.Contains(body, `"status":422`) {
		t.Errorf("refused: %d %s", status, body)
	}
	if v := b.order("T-1"); v.State != stateOpen {
		t.Errorf("after a refusal: %s", v.State)
	}
	if status, body := b.post("/sales-orders/T-1/release", ""); status != 502 {
		t.Errorf("lost: %d %s", status, body)
	}
	b.post("/sales-orders/T-1/release", "")
	if len(g.keys) != 3 || g.keys[0] == g.keys[1] || g.keys[1] != g.keys[2] {
		t.Errorf("a lost answer is retried with the same key, an answered call is not: %v", g.keys)
	}
	b.want(stateReleased, 0)
}

func TestReleaseWithoutGateway(t *testing.T) {
	t.Parallel()
	b := start(t, "")
	b.post("/sales-orders", anOrder)
	if status, body := b.post("/sales-orders/T-1/release", ""); status != 409 || !strings.Contains(body, "gateway") {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := b.post("/sales-orders/T-404/release", ""); status != 404 {
		t.Errorf("unknown order: %d", status)
	}
	for _, g := range []Gateway{{}, {URL: "ftp://x", ClientID: "a", Secret: "b"}, {URL: "http://127.0.0.1:1"}} {
		if err := b.erp.Connect(g); err == nil {
			t.Errorf("%+v is accepted", g)
		}
	}
}

func TestAmendAndCancel(t *testing.T) {
	t.Parallel()
	status := 202
	b, g := connected(t, func(int) (int, string) { return status, `{"code":"order.too_late"}` })
	b.post("/sales-orders/T-1/release", "")
	b.event("e1", "shipment.confirmed.v1", confirm("S1", "delta", false, line("ITEM-1", "12", "EA", "")))
	more := strings.Replace(anOrder, `"120"`, `"144"`, 1)

	status = 409
	if _, body := b.post("/sales-orders/T-1/amend", more); !strings.Contains(body, `"status":409`) {
		t.Errorf("too late: %s", body)
	}
	if v := b.order("T-1"); v.Version != 1 || v.Lines[0].Ordered.String() != "120" {
		t.Errorf("a refused amendment counts: %+v", v)
	}
	status = 202
	b.post("/sales-orders/T-1/amend", more)
	if v := b.order("T-1"); v.Version != 2 || v.Lines[0].Ordered.String() != "144" || g.paths[2] != "/orders/v1/orders/T-1/amendments" || !strings.Contains(g.bodies[2], `"version":2`) {
		t.Errorf("%+v %v", v, g.paths)
	}
	b.want(statePartial, 1, "12/0/0/132", "0/0/0/24")
	if got, _ := b.post("/sales-orders/T-1/amend", strings.Replace(anOrder, "ITEM-1", "ITEM-3", 1)); got != 409 {
		t.Errorf("a shipped line was exchanged: %d", got)
	}
	if got, _ := b.post("/sales-orders/T-1/amend", strings.Replace(anOrder, `"T-1"`, `"T-2"`, 1)); got != 422 {
		t.Errorf("another order's number: %d", got)
	}
	if got, _ := b.post("/sales-orders/T-1/cancel", `{"reason":"","lines":[]}`); got != 422 {
		t.Errorf("no reason: %d", got)
	}
	if got, _ := b.post("/sales-orders/T-1/cancel", `{"reason":"x","lines":[{"lineNo":"9"}]}`); got != 422 {
		t.Errorf("unknown line: %d", got)
	}
	b.post("/sales-orders/T-1/cancel", `{"reason":"customer","lines":[{"lineNo":2}]}`)
	b.want(statePartial, 1, "12/0/0/132", "0/0/24/0")
	b.post("/sales-orders/T-1/cancel", `{"reason":"customer"}`)
	b.want(stateShipped, 1, "12/0/132/0", "0/0/24/0")
	if last := len(g.paths) - 1; g.paths[last] != "/orders/v1/orders/T-1/cancellation" || g.bodies[last] != `{"order":"T-1","version":2,"reason":"customer"}` {
		t.Errorf("%s %s", g.paths[last], g.bodies[last])
	}
}

func TestCancelBeforeReleaseStaysInTheERP(t *testing.T) {
	t.Parallel()
	b, g := connected(t, ok)
	if status, body := b.post("/sales-orders/T-1/cancel", `{"reason":"typo"}`); status != 200 || len(g.paths) != 0 {
		t.Errorf("%d %s, calls %v", status, body, g.paths)
	}
	b.want(stateCancelled, 0)
	if status, _ := b.post("/sales-orders/T-1/release", ""); status != 409 {
		t.Errorf("a cancelled order is released: %d", status)
	}
	if _, v := b.event("e", "shipment.confirmed.v1", confirm("S1", "delta", true, line("ITEM-1", "1", "EA", ""))); v.Reason != "order is cancelled" {
		t.Errorf("%+v", v)
	}
}

// TestFulfillerIsFasterThanTheAnswer acknowledges while the release is still being answered.
func TestFulfillerIsFasterThanTheAnswer(t *testing.T) {
	t.Parallel()
	var b *bench
	b, _ = connected(t, func(int) (int, string) {
		if _, v := b.event("a", "order.acknowledged.v1", `{"order":"T-1","version":1,"result":"accepted"}`); v.Result != "posted" {
			t.Errorf("%+v", v)
		}
		if status, _ := b.post("/sales-orders/T-1/release", ""); status != 409 {
			t.Errorf("two releases at once: %d", status)
		}
		return ok(0)
	})
	b.post("/sales-orders/T-1/release", "")
	b.want(stateAcked, 0)
}
