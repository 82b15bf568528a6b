package mediate_test

import (
	"context"
	"testing"

	"portway/gateway/exchange"
	"portway/gateway/mediate"
	"portway/internal/catalog"
	"portway/internal/problem"
	"portway/internal/schema"
)

// twoVersions is createShipment in v1, whose key is called reference, and in v2.
func twoVersions(t *testing.T) *catalog.Route {
	t.Helper()
	c, err := schema.NewCompiler([]byte(`{"type":"object","properties":{"businessKey":{"type":"string","maxLength":4}},"required":["businessKey"]}`), schema.Draft202012)
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := c.Compile("", schema.Request)
	if err != nil {
		t.Fatal(err)
	}
	v2 := route("createShipment", "POST", "/shipments", catalog.Selector{Body: "/carrier"})
	v2.Bodies = map[string]*schema.Schema{"application/json": s}
	v1 := route("createShipment", "POST", "/shipments", catalog.Selector{Body: "/carrier"})
	v1.Up = compile(t, "  - {to: carrier, expr: .body.haulier, type: string, required: true}\n  - {to: businessKey, expr: .body.reference, type: string, required: true}\n  - {to: service, const: OLD}\n")
	v1.Down = compile(t, "  - {to: id, expr: .body.shipmentId, type: string, required: true}\n  - {to: service, expr: .body.service, type: string}\n")
	api := &catalog.API{ID: "shipments"}
	v1.API, v2.API = api, api
	v1.Version = &catalog.Version{API: api, Name: "v1", Base: "/shipments/v1", Routes: []*catalog.Route{v1}}
	v2.Version = &catalog.Version{API: api, Name: "v2", Base: "/shipments/v2", Routes: []*catalog.Route{v2}}
	api.Versions = []*catalog.Version{v1.Version, v2.Version}
	return v1
}

func TestAnOlderVersionIsServedByTheNext(t *testing.T) {
	t.Parallel()
	x := proxied(world(t), twoVersions(t), `{"haulier":"alpha","reference":"K1"}`)
	if p := inbound(t, x); p != nil {
		t.Fatal(p, p.Violations)
	}
	if u := x.Upstream; where(x) != "http://alpha:1/api/v1/labels" || !jsonEqual(t, u.Body, `{"ref":"K1","account":"AC-1"}`) {
		t.Errorf("got %+v %s", u, u.Body)
	}
	x.Response = &exchange.Response{Status: 201, Body: []byte(`{"labelId":"L1"}`)}
	if err := (mediate.Outbound{}).Run(context.Background(), x); err != nil || !jsonEqual(t, x.Response.Body, `{"id":"alpha-L1","service":"OLD"}`) {
		t.Errorf("got %v %s", err, x.Response.Body)
	}
}

func TestAnOlderVersionInFrontOfABackendWithoutMappings(t *testing.T) {
	t.Parallel()
	x := proxied(world(t), twoVersions(t), `{"haulier":"beta","reference":"K1"}`)
	if p := inbound(t, x); p != nil {
		t.Fatal(p)
	}
	if u := x.Upstream; !jsonEqual(t, u.Body, `{"carrier":"beta","businessKey":"K1","service":"OLD"}`) || u.ContentType != "application/json" || u.Accept != "application/json" {
		t.Errorf("got %+v %s", u, u.Body)
	}
	x.Response = &exchange.Response{Status: 200, Body: []byte(`{"shipmentId":"S1"}`)}
	if err := (mediate.Outbound{}).Run(context.Background(), x); err != nil || !jsonEqual(t, x.Response.Body, `{"id":"S1"}`) {
		t.Errorf("got %v %s", err, x.Response.Body)
	}
}

func TestAnUpgradedBodyIsCheckedAgainstTheNextVersion(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]struct{ in, pointer string }{
		`{"haulier":"alpha"}`:                             {"body", "/reference"},
		`{"haulier":"alpha","reference":"much too long"}`: {"document", "/businessKey"},
	} {
		p := inbound(t, proxied(world(t), twoVersions(t), body))
		if p == nil || p.Code != problem.MappingFailed || len(p.Violations) != 1 || p.Violations[0].In != want.in || p.Violations[0].Pointer != want.pointer {
			t.Errorf("%s: %v", body, p)
		}
	}
}
