package app

import (
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"

	"portway/internal/schema"
	"portway/specs"

	"portway/internal/openapi"
)

func label(carrier, key, country string) string {
	region := `"region":"VT",`
	if country != "US" {
		region = ""
	}
	return fmt.Sprintf(`{"carrier":%q,"businessKey":%q,"service":"GROUND",
	"shipFrom":{"name":"Harbor","street":["Hafenstr. 12"],"city":"Chicago",%s"postalCode":"20457","country":%q},
	"shipTo":{"name":"Acme","street":["Am Markt 1"],"city":"Brattleboro",%s"postalCode":"05301","country":%q},
	"parcels":[{"weight":{"value":"2.5","unit":"KGM"}}],"labelFormat":"PDF"}`, carrier, key, region, country, region, country)
}

// TestLabels creates, reads and voids a label at each carrier: one of them was added by data only.
func TestLabels(t *testing.T) {
	t.Parallel()
	r := demo(t)
	for carrier, country := range map[string]string{"swiftline": "US", "parcelhaus": "DE"} {
		first := r.do(call{method: "POST", path: "/shipments/v2/shipments", body: label(carrier, "KEY-1", country), as: harbor})
		if first.status != 201 {
			t.Errorf("%s: create: %d %s", carrier, first.status, first.body)
			continue
		}
		conforms(t, "shipments/v2", "createShipment", "201", first)
		id := first.field("shipmentId")
		pdf, err := base64.StdEncoding.DecodeString(first.field("label.base64"))
		if err != nil || !strings.HasPrefix(string(pdf), "%PDF") {
			t.Errorf("%s: the label is no PDF (%v)", carrier, err)
		}
		var wg sync.WaitGroup
		again := make([]*answer, 8)
		for i := range again {
			wg.Go(func() {
				again[i] = r.do(call{method: "POST", path: "/shipments/v2/shipments", body: label(carrier, "KEY-1", country), as: harbor})
			})
		}
		wg.Wait()
		for _, a := range again {
			if a.status >= 300 || a.field("shipmentId") != id || a.field("trackingNumber") != first.field("trackingNumber") || a.field("label.base64") != first.field("label.base64") {
				t.Errorf("%s: the same business key made another label: %d %s", carrier, a.status, a.field("shipmentId"))
			}
		}
		for operation, path := range map[string]string{"getShipment": "/shipments/v2/shipments/" + id, "getLabel": "/shipments/v2/shipments/" + id + "/label"} {
			got := r.do(call{method: "GET", path: path, as: harbor})
			if got.status != 200 || got.field("shipmentId") != id {
				t.Errorf("%s: %s: %d %s", carrier, operation, got.status, got.body)
				continue
			}
			conforms(t, "shipments/v2", operation, "200", got)
		}
		void := r.do(call{method: "DELETE", path: "/shipments/v2/shipments/" + id, as: harbor})
		if void.status != 200 || void.field("state") != "voided" {
			t.Errorf("%s: void: %d %s", carrier, void.status, void.body)
		}
		if strings.Contains(string(first.body), "AC-7781") {
			t.Errorf("%s: the account is shown", carrier)
		}
	}
	rates := strings.Replace(label("swiftline", "X", "US"), `"businessKey":"X","service":"GROUND",`, "", 1)
	rates = strings.Replace(rates, `,"labelFormat":"PDF"`, "", 1)
	if got := r.do(call{method: "POST", path: "/shipments/v2/rates", body: rates, as: harbor}); got.status != 200 {
		t.Errorf("rates: %d %s", got.status, got.body)
	} else {
		conforms(t, "shipments/v2", "quoteRates", "200", got)
	}
	none := r.do(call{method: "POST", path: "/shipments/v2/rates", body: strings.Replace(rates, "swiftline", "parcelhaus", 1), as: harbor})
	if none.status != 422 || none.field("code") != "backend.unknown" {
		t.Errorf("a carrier without rates: %d %s", none.status, none.body)
	}
}

// TestOlderVersion calls shipments v1: the older shape reaches the same carrier, and every answer says that
// the version goes away.
func TestOlderVersion(t *testing.T) {
	t.Parallel()
	r := demo(t)
	body := `{"carrier":"swiftline","reference":"KEY-V1","service":"GROUND",
	"from":{"name":"Northgate","address1":"1 Dock","city":"Denver","state":"CO","zip":"80202","country":"US"},
	"to":{"name":"R","address1":"2 Canal","city":"Brattleboro","state":"VT","zip":"05301","country":"US"},
	"packages":[{"weight":"24.9 LBR"}],"labelFormat":"PDF"}`
	got := r.do(call{method: "POST", path: "/shipments/v1/shipments", body: body, as: northgate})
	if got.status != 201 || !strings.Contains(got.field("charge"), " USD") {
		t.Fatalf("create: %d %s", got.status, got.body)
	}
	conforms(t, "shipments/v1", "createShipment", "201", got)
	read := r.do(call{method: "GET", path: "/shipments/v1/shipments/" + got.field("shipmentId"), as: northgate})
	if read.status != 200 {
		t.Errorf("read: %d %s", read.status, read.body)
	} else {
		conforms(t, "shipments/v1", "getShipment", "200", read)
	}
	refused := r.do(call{method: "POST", path: "/shipments/v1/shipments", body: `{}`, as: northgate})
	for _, a := range []*answer{got, read, refused} {
		if a.header.Get("Deprecation") != "@1788220800" || a.header.Get("Sunset") != "Wed, 31 Mar 2027 00:00:00 GMT" ||
			!strings.Contains(a.header.Get("Link"), `rel="successor-version"`) || !strings.Contains(a.header.Get("Link"), `rel="deprecation"`) {
			t.Errorf("%d: %v", a.status, a.header)
		}
	}
	if current := r.do(call{method: "GET", path: "/shipments/v2/shipments/" + got.field("shipmentId"), as: northgate}); current.header.Get("Deprecation") != "" {
		t.Error("v2 is called deprecated")
	}
}

// TestAvailability reads stock through the gateway and checks the answer against its contract.
func TestAvailability(t *testing.T) {
	t.Parallel()
	r := demo(t)
	got := r.do(call{method: "GET", path: "/inventory/v1/availability?sku=ACME-1001&sku=ACME-2002&location=CHI", as: harbor})
	if got.status != 200 || got.field("asOf") == "" {
		t.Fatalf("%d %s", got.status, got.body)
	}
	conforms(t, "inventory/v1", "getAvailability", "200", got)
	for _, h := range []string{"RateLimit", "RateLimit-Policy", "X-RateLimit-Remaining", "X-Request-Id"} {
		if got.header.Get(h) == "" {
			t.Errorf("no %s header", h)
		}
	}
}

// conforms checks a response body against the contract it was promised by.
func conforms(t *testing.T, api, operation, status string, a *answer) {
	t.Helper()
	src, err := specs.Files.ReadFile(api + "/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	doc, _, err := openapi.Load(src, openapi.Options{File: api, SkipValidation: true})
	if err != nil {
		t.Fatal(err)
	}
	compiler, err := schema.NewCompiler(doc.Bundle, doc.Dialect)
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range doc.Operations {
		if op.ID != operation {
			continue
		}
		for _, res := range op.Responses {
			if res.Status != status {
				continue
			}
			s, _, err := compiler.Compile(res.Content[0].Pointer, schema.Response)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range s.Validate(a.body) {
				t.Errorf("%s %s: answer %s: %s %s", api, operation, v.Pointer, v.Keyword, v.Message)
			}
			return
		}
	}
	t.Fatalf("%s has no %s with %s", api, operation, status)
}
