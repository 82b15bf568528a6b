package intake_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"portway/internal/catalog"
	"portway/internal/delivery"
	"portway/internal/eventlog"
	"portway/internal/ident"
	"portway/internal/intake"
	"portway/internal/partner"
	"portway/internal/problem"
	"portway/internal/store"
	"portway/internal/store/eventdb"
)

var start = time.Date(2026, 9, 14, 20, 45, 2, 0, time.UTC)

const (
	shipper = ident.OrgID("org-shipper")
	three   = ident.OrgID("org-three")
	other   = ident.OrgID("org-other")
)

// house is an Intake over a real SQLite store, with a directory and the contracts, mappings and guides of the
// repository. Its operations are made here: how they are enforced is not intake's business.
type house struct {
	*intake.Intake
	t        *testing.T
	clock    *ident.Manual
	db       *store.DB
	events   *eventdb.Store
	snapshot *catalog.Snapshot
	logs     *bytes.Buffer
	woken    int
}

func newHouse(t *testing.T) *house { return newHouseWith(t, nil, nil) }

// newHouseWith lets the test stand between Intake and the log, and add organisations.
func newHouseWith(t *testing.T, between func(eventlog.Store) eventlog.Store, more []*partner.Bundle) *house {
	t.Helper()
	h := &house{t: t, clock: ident.NewManual(start), snapshot: snapshot(t), logs: &bytes.Buffer{}}
	var err error
	h.db, err = store.Open(context.Background(), store.Options{Dir: t.TempDir(), Clock: h.clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.db.Close() })
	h.events = eventdb.New(h.db, h.clock, nil)
	var log eventlog.Store = h.events
	if between != nil {
		log = between(log)
	}
	directory := partner.NewDirectory(organisations(more...), h.clock, slog.New(slog.DiscardHandler))
	if err := directory.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	h.Intake = intake.New(intake.Deps{Log: log, Directory: directory, Clock: h.clock,
		Logger: slog.New(slog.NewJSONHandler(h.logs, nil)), Wake: func() { h.woken++ }})
	return h
}

// snapshot is the events, mappings and guides of the repository, compiled once for all tests; nobody changes it.
func snapshot(t testing.TB) *catalog.Snapshot {
	t.Helper()
	s, err := loaded()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var loaded = sync.OnceValues(func() (*catalog.Snapshot, error) {
	shipped, own, events := fstest.MapFS{}, fstest.MapFS{}, fstest.MapFS{}
	for _, part := range []struct {
		to           fstest.MapFS
		root, folder string
	}{{shipped, "../../policies", "std/guides/x12"}, {own, "../../policies", "mappings"}, {events, "../../specs", "events"}} {
		files, err := fs.Glob(os.DirFS(part.root), part.folder+"/*.*")
		if err != nil || len(files) == 0 {
			return nil, fmt.Errorf("nothing in %s/%s: %v", part.root, part.folder, err)
		}
		for _, f := range files {
			b, err := os.ReadFile(part.root + "/" + f)
			if err != nil {
				return nil, err
			}
			part.to[f] = &fstest.MapFile{Data: b}
		}
	}
	s, problems := catalog.Load(catalog.Sources{StdPolicies: shipped, Policies: own, Specs: events, Clock: ident.NewManual(start)})
	if len(problems) > 0 {
		return nil, problems
	}
	erp := &catalog.Backend{ID: "erp", URLs: map[ident.Environment]string{ident.Sandbox: "http://erp"}}
	s.Routes = []*catalog.DeliveryRoute{{ID: "erp", Backend: erp, Events: []string{"order.acknowledged.v1", "shipment.confirmed.v1", "shipment.milestone.v1"}}}
	return s, nil
})

// call is a call of an operation that makes events of a type by a mapping.
func (h *house) call(org ident.OrgID, mapping, body string) intake.Call {
	h.t.Helper()
	m := h.snapshot.Mappings[mapping]
	if m == nil {
		h.t.Fatalf("there is no mapping %s", mapping)
	}
	return intake.Call{RequestID: "request-1", Org: org, OrgSlug: strings.TrimPrefix(string(org), "org-"), Application: "app-1", AppSlug: "WMS bridge",
		Environment: ident.Sandbox, Snapshot: h.snapshot, Body: []byte(body), ContentType: "application/json", Path: map[string]string{},
		Route: &catalog.Route{ID: "test/v1/" + mapping, Method: "POST", Template: "/test/v1/" + mapping, Event: h.snapshot.Events[m.Target], Mapping: m}}
}

func (h *house) json(c intake.Call) (intake.Answer, error) {
	h.clock.Advance(time.Second)
	return h.JSON(context.Background(), c)
}

// edi posts an interchange as the 3PL, in sandbox.
func (h *house) edi(body string) (intake.Answer, error) { return h.ediAs(three, ident.Sandbox, body) }

func (h *house) ediAs(org ident.OrgID, env ident.Environment, body string) (intake.Answer, error) {
	h.clock.Advance(time.Second)
	return h.X12(context.Background(), h.ediCall(org, env, body))
}

func (h *house) ediCall(org ident.OrgID, env ident.Environment, body string) intake.Call {
	return intake.Call{RequestID: "request-2", Org: org, OrgSlug: strings.TrimPrefix(string(org), "org-"), Application: "app-1", AppSlug: "WMS bridge",
		Environment: env, Snapshot: h.snapshot, Body: []byte(body), ContentType: "application/edi-x12",
		Route: &catalog.Route{ID: "portway/v1/receiveX12", Method: "POST", Template: "/edi/x12"}}
}

// release puts an order for the 3PL into the log.
func (h *house) release(order string) {
	h.t.Helper()
	if _, err := h.json(h.call(shipper, "orders-v1-release", releaseBody(order, "three"))); err != nil {
		h.t.Fatal(err)
	}
}

func releaseBody(order, fulfiller string) string {
	return fmt.Sprintf(`{"order":%q,"fulfiller":%q,"site":"CHI","shipTo":{"name":"N","street":["S"],"city":"C","postalCode":"1","country":"US"},
		"lines":[{"lineNo":1,"sku":"SKU-1","quantity":{"value":"120","unit":"EA"}},{"lineNo":2,"sku":"SKU-2","quantity":{"value":"24","unit":"EA"}}]}`, order, fulfiller)
}

func confirmBody(order, shipment, first, second string) string {
	return fmt.Sprintf(`{"order":%q,"shipment":%q,"shippedAt":"2026-09-14T15:40:00-05:00","mode":"delta","final":true,
		"carrier":{"scac":"FDEG","proNumber":"PRO-1"},"lines":[
		{"lineNo":2,"sku":"SKU-2","ordered":{"value":"24","unit":"EA"},"shipped":{"value":%q,"unit":"EA"},"status":"complete"},
		{"lineNo":1,"sku":"SKU-1","ordered":{"value":"120","unit":"EA"},"shipped":{"value":%q,"unit":"EA"},"status":"complete"}]}`, order, shipment, second, first)
}

// set945 is one 945 as a set: both lines of the order.
func set945(st02, order, shipment, first, second string) string {
	body := []string{"ST*945*" + st02, "W06*F*" + order + "*20260914*" + shipment + "**PO-1", "N1*ST*Riverside Hardware", "N3*218 Canal Street",
		"N4*Brattleboro*VT*05301*US", "N1*SF*Three CHI*92*CHI", "N9*BM*BOL-1", "G62*11*20260914*4*1540", "W27*M*FDEG*FedEx Ground*PP",
		"LX*1", "W12*CC*120*" + first + "**EA**VN*SKU-1", "N9*LI*1", "LX*2", "W12*CC*24*" + second + "**EA**VN*SKU-2", "N9*LI*2", "W03*144*226.5*LB"}
	return strings.Join(body, "~\n") + fmt.Sprintf("~\nSE*%d*%s~\n", len(body)+1, st02)
}

func envelope(isa13, usage string, groups ...string) string {
	return fmt.Sprintf("ISA*00*          *00*          *ZZ*THREE          *ZZ*SHIPPER        *260914*1541*U*00401*%s*0*%s*>~\n%sIEA*%d*%s~\n",
		isa13, usage, strings.Join(groups, ""), len(groups), isa13)
}

func group(functional, gs06 string, sets ...string) string {
	return fmt.Sprintf("GS*%s*THREE*SHIPPER*20260914*1541*%s*X*004010~\n%sGE*%d*%s~\n", functional, gs06, strings.Join(sets, ""), len(sets), gs06)
}

// x945 is an interchange with one 945 that confirms an order as a whole.
func x945(isa13, order, shipment string) string {
	return envelope(isa13, "T", group("SW", "117", set945("0001", order, shipment, "120", "24")))
}

// count is the number of rows of a table.
func (h *house) count(table string) int {
	h.t.Helper()
	var n int
	if err := h.db.Read().Get(context.Background(), &n, "SELECT count(*) FROM "+table); err != nil {
		h.t.Fatal(err)
	}
	return n
}

// rows counts what an acceptance may leave.
func (h *house) rows() map[string]int {
	out := map[string]int{}
	for _, table := range []string{"documents", "events", "event_refs", "orders", "business_keys", "interchanges", "control_numbers", "idempotency_keys", "deliveries"} {
		out[table] = h.count(table)
	}
	return out
}

// due lists the deliveries that wait.
func (h *house) due() []delivery.Delivery {
	h.t.Helper()
	now := h.clock.Now()
	d, err := h.events.Lease(context.Background(), "critical", 100, now, now.Add(time.Minute))
	if err != nil {
		h.t.Fatal(err)
	}
	return d
}

func (h *house) document(org ident.OrgID, a intake.Answer) (*eventlog.Document, []string) {
	h.t.Helper()
	d, events, err := h.events.Document(context.Background(), org, header(a.Header, "Document-Id"))
	if err != nil {
		h.t.Fatal(err)
	}
	return d, events
}

func header(list [][2]string, name string) string {
	for _, h := range list {
		if h[0] == name {
			return h[1]
		}
	}
	return ""
}

func members(t *testing.T, b []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return m
}

// refusal is err as a problem with the given code.
func refusal(t *testing.T, err error, code problem.Code) *problem.Error {
	t.Helper()
	var p *problem.Error
	if !errors.As(err, &p) || p.Code != code {
		t.Fatalf("got %v, want %s", err, code)
	}
	return p
}

// memory is a partner.Store that only reads.
type memory struct {
	partner.Store
	bundles []*partner.Bundle
}

func organisations(more ...*partner.Bundle) *memory {
	connection := func(id string, env ident.Environment, org ident.OrgID, sender string, state partner.State) partner.Connection {
		return partner.Connection{ID: id, Org: org, Slug: "x12-" + string(env), Environment: env, Format: "x12", SenderQualifier: "ZZ", SenderID: sender,
			ReceiverQualifier: "ZZ", ReceiverID: "SHIPPER", Zone: "America/Chicago", Documents: `{"945":"x12-945-shipment-confirmed"}`, State: state}
	}
	bundle := func(id ident.OrgID, connections ...partner.Connection) *partner.Bundle {
		return &partner.Bundle{Organisation: partner.Organisation{ID: id, Slug: strings.TrimPrefix(string(id), "org-"), State: partner.Active, Zone: "UTC"}, Connections: connections}
	}
	return &memory{bundles: append([]*partner.Bundle{bundle(shipper),
		bundle(three, connection("c1", ident.Sandbox, three, "THREE", partner.Active), connection("c2", ident.Live, three, "THREE", partner.Active),
			connection("c3", ident.Sandbox, three, "ASLEEP", partner.Suspended)),
		bundle(other, connection("c4", ident.Sandbox, other, "OTHER", partner.Active))}, more...)}
}

func (m *memory) Changes(context.Context, int64) ([]partner.Change, error) { return nil, nil }

func (m *memory) RevokedTokens(context.Context, int64) ([]partner.RevokedToken, error) {
	return nil, nil
}

func (m *memory) Organisations(context.Context) ([]partner.Organisation, error) {
	var out []partner.Organisation
	for _, b := range m.bundles {
		out = append(out, b.Organisation)
	}
	return out, nil
}

func (m *memory) Organisation(_ context.Context, org partner.OrgID) (*partner.Bundle, error) {
	for _, b := range m.bundles {
		if b.Organisation.ID == org {
			return b, nil
		}
	}
	return nil, problem.New(problem.NotFound, "there is no such organisation")
}
