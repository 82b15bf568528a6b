package intake_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"portway/internal/edi"
	"portway/internal/eventlog"
	"portway/internal/ident"
	"portway/internal/logistics"
	"portway/internal/needs"
	"portway/internal/partner"
	"portway/internal/problem"
)

// said reads an acknowledgement: AK9 of each group, and "set AK5 codes" of each set.
func said(t *testing.T, ack []byte) (groups, sets []string) {
	t.Helper()
	ic, err := edi.Parse(ack, edi.Limits{})
	if err != nil {
		t.Fatalf("%v in %s", err, ack)
	}
	for _, g := range ic.Groups {
		if g.FunctionalID != "FA" || len(g.Sets) != 1 || len(g.Errors)+len(g.Sets[0].Errors) > 0 {
			t.Errorf("group %+v", g)
		}
		set := ""
		for _, s := range g.Sets[0].Segments {
			switch s.ID {
			case "AK2":
				set = s.Element(1)
			case "AK5":
				sets = append(sets, set+" "+strings.Join(s.Elements, " "))
			case "AK9":
				groups = append(groups, s.Element(1))
			}
		}
	}
	return groups, sets
}

func TestX12ConfirmationShipsTheOrder(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.release("SO-1")
	a, err := h.edi(x945("000000117", "SO-1", "SH-1"))
	if err != nil {
		t.Fatal(err)
	}
	if a.Status != 202 || a.ContentType != "application/edi-x12" || header(a.Header, "Location") != "/v1/documents/"+header(a.Header, "Document-Id") {
		t.Fatalf("answer %d %s %v", a.Status, a.ContentType, a.Header)
	}
	groups, sets := said(t, a.Body)
	if !reflect.DeepEqual(groups, []string{"A"}) || !reflect.DeepEqual(sets, []string{"945 A"}) || !strings.Contains(string(a.Body), "*ZZ*SHIPPER        *ZZ*THREE ") {
		t.Errorf("acknowledged %s", a.Body)
	}
	d, events := h.document(three, a)
	if d.State != eventlog.DocumentAccepted || d.Kind != "945" || d.Connection != "x12-sandbox" || d.AckStatus != "A" || string(d.Ack) != string(a.Body) || !reflect.DeepEqual(events, []string{a.EventID}) {
		t.Errorf("document %+v with %v", d, events)
	}
	due := h.due()
	if len(due) != 1 || due[0].Event.ID != a.EventID || h.woken != 1 {
		t.Fatalf("due %+v", due)
	}
	e := due[0].Event
	if e.Type != "shipment.confirmed.v1" || e.Time.String() != "2026-09-14T15:40:00-05:00" || e.Time.Zone != logistics.ZonePartner || e.Source != "/partners/three/x12-sandbox" {
		t.Errorf("event %+v", e)
	}
	if v := h.snapshot.Events[e.Type].Schema.Validate(e.Data); len(v) > 0 {
		t.Errorf("the data breaks its schema: %v", v)
	}
	source := members(t, e.Data)["source"]
	want := map[string]any{"format": "x12", "set": "945", "isa13": "000000117", "gs06": "117", "st02": "0001", "mapping": "x12-945-shipment-confirmed", "mappingVersion": 1.0}
	if !reflect.DeepEqual(source, want) {
		t.Errorf("source %v, want %v", source, want)
	}
	order, err := h.events.Order(context.Background(), shipper, ident.Sandbox, "SO-1")
	if err != nil || order.State != logistics.StateShipped {
		t.Errorf("order %+v: %v", order, err)
	}
}

func TestSameConfirmationInAnyFormatPostsOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.release("SO-1")
	first, err := h.edi(x945("000000117", "SO-1", "SH-1"))
	if err != nil {
		t.Fatal(err)
	}
	before := h.rows()
	again, err := h.edi(x945("000000118", "SO-1", "SH-1"))
	if err != nil {
		t.Fatal(err)
	}
	if groups, _ := said(t, again.Body); !reflect.DeepEqual(groups, []string{"A"}) || again.Status != 202 ||
		header(again.Header, "Duplicate-Of") != first.EventID || again.EventID != first.EventID {
		t.Errorf("answer %d %v %s", again.Status, again.Header, again.Body)
	}
	d, events := h.document(three, again)
	if d.State != eventlog.DocumentDuplicate || d.DuplicateOf != first.EventID || len(events) != 0 {
		t.Errorf("document %+v with %v", d, events)
	}
	byJSON, err := h.json(h.call(three, "shipments-v2-confirm", confirmBody("SO-1", "SH-1", "120.0", "24")))
	if err != nil || byJSON.Status != 200 || members(t, byJSON.Body)["duplicate_of"] != first.EventID {
		t.Errorf("by JSON: %d %s %v", byJSON.Status, byJSON.Body, err)
	}
	after := h.rows()
	before["documents"] += 2
	before["interchanges"]++
	if !reflect.DeepEqual(before, after) {
		t.Errorf("rows %v, want %v", after, before)
	}
	// The other way round: first by JSON, then by EDI; and what contradicts it.
	h.release("SO-2")
	byJSON, err = h.json(h.call(three, "shipments-v2-confirm", confirmBody("SO-2", "SH-2", "120", "24")))
	if err != nil {
		t.Fatal(err)
	}
	again, err = h.edi(x945("000000119", "SO-2", "SH-2"))
	if err != nil || header(again.Header, "Duplicate-Of") != byJSON.EventID {
		t.Errorf("%v %v", again.Header, err)
	}
	contrary, err := h.edi(envelope("000000120", "T", group("SW", "120", set945("0001", "SO-2", "SH-2", "100", "24"))))
	if err != nil {
		t.Fatal(err)
	}
	d, _ = h.document(three, contrary)
	if d.State != eventlog.DocumentConflict || d.DuplicateOf != byJSON.EventID || d.Reason != "business_key.conflict" || d.AckStatus != "A" || header(contrary.Header, "Duplicate-Of") != "" {
		t.Errorf("document %+v", d)
	}
}

func TestX12ThatIsQuarantined(t *testing.T) {
	t.Parallel()
	good := x945("000000117", "SO-1", "SH-1")
	ours := func(old, with string) string { return strings.Replace(good, old, with, 1) }
	tests := []struct {
		name string
		org  ident.OrgID
		env  ident.Environment
		body string
		code problem.Code
	}{
		{"empty", three, ident.Sandbox, " \n", problem.EDIUnreadable},
		{"broken ISA", three, ident.Sandbox, "SA*00*" + good[6:], problem.EDIUnreadable},
		{"nothing behind ISA", three, ident.Sandbox, good[:106], problem.EDIUnreadable},
		{"neither test nor production", three, ident.Sandbox, ours("*0*T*", "*0*I*"), problem.EDIUnreadable},
		{"two interchanges", three, ident.Sandbox, good + x945("000000118", "SO-2", "SH-2"), problem.EDIUnreadable},
		{"unknown sender", three, ident.Sandbox, ours("*ZZ*THREE ", "*ZZ*NOBODY"), problem.EDIUnknownConnection},
		{"another organisation's sender", three, ident.Sandbox, ours("*ZZ*THREE ", "*ZZ*OTHER "), problem.EDIUnknownConnection},
		{"our sender from another organisation", other, ident.Sandbox, good, problem.EDIUnknownConnection},
		{"unknown receiver", three, ident.Sandbox, ours("*ZZ*SHIPPER ", "*ZZ*WRONG   "), problem.EDIUnknownConnection},
		{"suspended connection", three, ident.Sandbox, ours("*ZZ*THREE ", "*ZZ*ASLEEP"), problem.AuthSuspended},
		{"test on live", three, ident.Live, good, problem.AuthEnvironment},
		{"production on sandbox", three, ident.Sandbox, ours("*0*T*", "*0*P*"), problem.AuthEnvironment},
	}
	details := map[problem.Code]map[string]bool{}
	for _, tt := range tests {
		h := newHouse(t)
		a, err := h.ediAs(tt.org, tt.env, tt.body)
		p := refusal(t, err, tt.code)
		rows := h.rows()
		if rows["documents"] != 1 {
			t.Errorf("%s: %d documents", tt.name, rows["documents"])
		}
		delete(rows, "documents")
		for table, n := range rows {
			if n != 0 {
				t.Errorf("%s: %d rows in %s", tt.name, n, table)
			}
		}
		id, _ := p.Extra["document"].(string)
		d, _, err := h.events.Document(context.Background(), tt.org, id)
		if err != nil || d.State != eventlog.DocumentQuarantined || d.Reason != string(tt.code) || len(d.Ack) > 0 || string(d.Raw) != tt.body || header(p.Header, "Document-Id") != id {
			t.Errorf("%s: document %+v, header %v: %v", tt.name, d, p.Header, err)
		}
		if a.Body != nil || p.Detail == "" || strings.Contains(p.Detail, "THREE") || strings.Contains(p.Detail, "OTHER") {
			t.Errorf("%s: answer %s, detail %q", tt.name, a.Body, p.Detail)
		}
		if !strings.Contains(h.logs.String(), `"request_id":"request-2"`) || strings.Contains(h.logs.String(), "SO-1") {
			t.Errorf("%s: log %s", tt.name, h.logs)
		}
		if details[tt.code] == nil {
			details[tt.code] = map[string]bool{}
		}
		details[tt.code][p.Detail] = true
	}
	if n := len(details[problem.EDIUnknownConnection]); n != 1 {
		t.Errorf("unknown and foreign connections are told apart by %d details", n)
	}
}

func TestX12ControlNumberIsTakenOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.release("SO-1")
	first, err := h.edi(x945("000000117", "SO-1", "SH-1"))
	if err != nil {
		t.Fatal(err)
	}
	before := h.rows()
	// The same number written shorter is the same number.
	for _, isa13 := range []string{"000000117", "117"} {
		_, err = h.edi(x945(isa13, "SO-1", "SH-2"))
		p := refusal(t, err, problem.EDIDuplicate)
		if p.Extra["original"] != header(first.Header, "Document-Id") || p.Extra["document"] == p.Extra["original"] {
			t.Errorf("extra %v", p.Extra)
		}
		before["documents"]++
		if rows := h.rows(); !reflect.DeepEqual(rows, before) {
			t.Errorf("rows %v, want %v", rows, before)
		}
	}
	// With its Idempotency-Key the first answer comes again instead.
	c := h.ediCall(three, ident.Sandbox, x945("000000118", "SO-1", "SH-1"))
	c.Key = keyOf(&c, "0123456789abcdef")
	one, err := h.X12(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	two, err := h.X12(context.Background(), c)
	if err != nil || string(one.Body) != string(two.Body) || two.ContentType != "application/edi-x12" || header(two.Header, "Idempotent-Replayed") != "true" {
		t.Errorf("replayed %+v: %v", two, err)
	}
}

func TestX12Acknowledgements(t *testing.T) {
	t.Parallel()
	good := func(n int) string {
		return set945(fmt.Sprintf("%04d", n), "SO-1", fmt.Sprint("SH-", n), "1", "1")
	}
	wrongCount := strings.Replace(good(2), "SE*17*", "SE*99*", 1)
	badElement := strings.Replace(good(3), "*20260914*SH-3", "*2026ABCD*SH-3", 1)
	noShipment := strings.Replace(good(4), "*20260914*SH-4*", "*20260914**", 1)
	release := "ST*940*0005~\nW05*N*SO-1~\nSE*3*0005~\n"
	tests := []struct {
		name   string
		body   string
		groups []string
		sets   []string
		state  eventlog.DocumentState
		status string
		events int
		reason string
		detail string
	}{
		{"good", group("SW", "1", good(1)), []string{"A"}, []string{"945 A"}, eventlog.DocumentAccepted, "A", 1, "", ""},
		{"wrong SE01 is noted", group("SW", "1", wrongCount), []string{"E"}, []string{"945 E 4"}, eventlog.DocumentAccepted, "E", 1, "", ""},
		{"bad element", group("SW", "1", badElement), []string{"R"}, []string{"945 R 5"}, eventlog.DocumentRejected, "R", 0, "edi.rejected", "segment 2 W06 element 3: value is not a date"},
		{"set without agreement", group("OW", "1", release), []string{"R"}, []string{"940 R 1"}, eventlog.DocumentRejected, "R", 0, "edi.rejected", "set 940: the set is not agreed on"},
		{"set in the wrong group", group("PO", "1", good(1)), []string{"R"}, []string{"945 R 1"}, eventlog.DocumentRejected, "R", 0, "edi.rejected", "not agreed on"},
		{"version without guide", strings.Replace(group("SW", "1", good(1)), "004010", "009999", 1), []string{"R"}, []string{"945 R 1"}, eventlog.DocumentRejected, "R", 0, "edi.rejected", "not agreed on"},
		{"industry version", strings.Replace(group("SW", "1", good(1)), "004010", "004010UCS", 1), []string{"A"}, []string{"945 A"}, eventlog.DocumentAccepted, "A", 1, "", ""},
		{"one of two is bad", group("SW", "1", good(1), badElement), []string{"P"}, []string{"945 A", "945 R 5"}, eventlog.DocumentAccepted, "P", 1, "edi.rejected", "not a date"},
		{"cannot be mapped", group("SW", "1", noShipment), []string{"A"}, []string{"945 A"}, eventlog.DocumentParked, "A", 1, "mapping.failed", "/shipment field shipment"},
		{"one of two cannot be mapped", group("SW", "1", good(1), noShipment), []string{"A"}, []string{"945 A", "945 A"}, eventlog.DocumentParked, "A", 2, "mapping.failed", "source segment 2 (W06)"},
		{"two groups", group("SW", "1", good(1)) + group("OW", "2", release), []string{"A", "R"}, []string{"945 A", "940 R 1"}, eventlog.DocumentAccepted, "P", 1, "edi.rejected", "set 940"},
		{"cut off", strings.TrimSuffix(group("SW", "1", good(1)), "GE*1*1~\n"), []string{"E"}, []string{"945 A"}, eventlog.DocumentAccepted, "E", 1, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.release("SO-1")
			a, err := h.edi(envelope("000000117", "T", tt.body))
			if err != nil {
				t.Fatal(err)
			}
			groups, sets := said(t, a.Body)
			if !reflect.DeepEqual(groups, tt.groups) || !reflect.DeepEqual(sets, tt.sets) {
				t.Errorf("acknowledged %v %v, want %v %v", groups, sets, tt.groups, tt.sets)
			}
			d, events := h.document(three, a)
			if d.State != tt.state || d.AckStatus != tt.status || len(events) != tt.events || d.Reason != tt.reason || !strings.Contains(d.Detail, tt.detail) {
				t.Errorf("document %s %s with %d events: %s %q", d.State, d.AckStatus, len(events), d.Reason, d.Detail)
			}
			if tt.state == eventlog.DocumentParked {
				if due := h.due(); len(due) != tt.events-1 {
					t.Errorf("%d deliveries of %d events, one of them parked", len(due), tt.events)
				}
			}
		})
	}
}

func TestX12ControlNumbersGoOn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var isa, gs []string
	for n := range 3 {
		body := group("SW", "1", set945("0001", "SO-1", fmt.Sprint("SH-1", n), "1", "1")) + group("SW", "2", set945("0001", "SO-1", fmt.Sprint("SH-2", n), "1", "1"))
		a, err := h.edi(envelope(fmt.Sprintf("%09d", n+1), "T", body))
		if err != nil {
			t.Fatal(err)
		}
		ic, err := edi.Parse(a.Body, edi.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		isa = append(isa, ic.Control)
		for _, g := range ic.Groups {
			gs = append(gs, g.Control)
		}
	}
	if !reflect.DeepEqual(isa, []string{"000000001", "000000002", "000000003"}) || !reflect.DeepEqual(gs, []string{"1", "2", "3", "4", "5", "6"}) {
		t.Errorf("interchanges %v, groups %v", isa, gs)
	}
}

func TestX12AcknowledgementOfOurs(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	a, err := h.edi(envelope("000000500", "T", group("FA", "9", "ST*997*0001~\nAK1*OW*1~\nAK9*A*1*1*1~\nSE*4*0001~\n")))
	if err != nil {
		t.Fatal(err)
	}
	d, events := h.document(three, a)
	if a.Status != 202 || len(a.Body) != 0 || a.ContentType != "" || d.State != eventlog.DocumentAccepted || d.Kind != "997" || d.AckStatus != "" || len(events) != 0 {
		t.Errorf("answer %d %s, document %+v", a.Status, a.Body, d)
	}
	if rows := h.rows(); rows["control_numbers"] != 0 || rows["interchanges"] != 1 {
		t.Errorf("rows %v", rows)
	}
}

func TestX12UnknownOrderIsParkedAndCanBeSentAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	a, err := h.edi(x945("000000117", "SO-1", "SH-1"))
	if err != nil {
		t.Fatal(err)
	}
	if d, events := h.document(three, a); d.State != eventlog.DocumentParked || d.Reason != "order.unknown" || d.AckStatus != "A" || len(events) != 1 || h.woken != 0 {
		t.Errorf("document %+v with %v", d, events)
	}
	h.release("SO-1")
	a, err = h.edi(x945("000000118", "SO-1", "SH-1"))
	if err != nil {
		t.Fatal(err)
	}
	if d, _ := h.document(three, a); d.State != eventlog.DocumentAccepted {
		t.Errorf("sent again, it is %s (%s)", d.State, d.Reason)
	}
}

func TestX12MappingThatIsGoneTakesNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.ediCall(three, ident.Sandbox, x945("000000117", "SO-1", "SH-1"))
	own := *h.snapshot
	own.Mappings = nil
	c.Snapshot = &own
	_, err := h.X12(context.Background(), c)
	refusal(t, err, problem.Internal)
	for table, n := range h.rows() {
		if n != 0 {
			t.Errorf("%d rows in %s", n, table)
		}
	}
}

// TestSuiteCorpus945 takes the real interchanges of others in, with connections made for their identities.
func TestSuiteCorpus945(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(needs.Corpus(t, "samples/x12-guides/945_*.edi"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no 945 in the corpus: %v", err)
	}
	passed := 0
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		ic, err := edi.Parse(raw, edi.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		theirs := &partner.Bundle{Organisation: partner.Organisation{ID: "org-corpus", Slug: "corpus", State: partner.Active, Zone: "UTC"},
			Connections: []partner.Connection{{ID: "c9", Org: "org-corpus", Slug: "x12", Environment: ident.Live, Format: "x12", State: partner.Active,
				SenderQualifier: ic.SenderQualifier, SenderID: ic.SenderID, ReceiverQualifier: ic.ReceiverQualifier, ReceiverID: ic.ReceiverID,
				Documents: `{"945":"x12-945-shipment-confirmed"}`}}}
		h := newHouseWith(t, nil, []*partner.Bundle{theirs})
		a, err := h.ediAs("org-corpus", ident.Live, string(raw))
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(f), err)
			continue
		}
		groups, _ := said(t, a.Body)
		d, events := h.document("org-corpus", a)
		// E: these files were shortened by their authors, so that SE01 counts segments that are gone.
		if len(groups) != 1 || (groups[0] != "A" && groups[0] != "E") || d.State != eventlog.DocumentParked || d.Reason != "order.unknown" || len(events) != 1 {
			t.Errorf("%s: acknowledged %v, document %s (%s) %q with %v", filepath.Base(f), groups, d.State, d.Reason, d.Detail, events)
			continue
		}
		passed++
	}
	h := newHouse(t)
	if _, err := h.edi(string(needs.CorpusFile(t, "samples/x12-edifabric/CorruptIsa.edi"))); problem.Is(err, problem.EDIUnreadable) && h.count("documents") == 1 {
		passed++
	} else {
		t.Errorf("CorruptIsa.edi: %v", err)
	}
	needs.Suite(t, "corpus-945", passed, len(files)+1)
}

func FuzzX12(f *testing.F) {
	f.Add(x945("000000117", "SO-1", "SH-1"))
	f.Add(envelope("1", "T", group("FA", "9", "ST*997*0001~SE*2*0001~")))
	f.Add(strings.ReplaceAll(x945("000000117", "SO-1", "SH-1"), "*", "|"))
	f.Add("ISA")
	snap := snapshot(f)
	h := &house{snapshot: snap}
	in := fuzzIntake(f)
	f.Fuzz(func(t *testing.T, body string) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		a, err := in.X12(ctx, h.ediCall(three, ident.Sandbox, body))
		if err == nil && a.Status != 202 {
			t.Errorf("status %d", a.Status)
		}
		if p := problem.From(err); p != nil && p.Code == problem.Internal {
			t.Errorf("a document makes an internal error: %v", err)
		}
	})
}
