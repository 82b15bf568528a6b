package page

import (
	"fmt"
	"strings"
	"time"

	"portway/web"
	"portway/web/component"
	"portway/web/layout"
)

var (
	sampleNow = time.Date(2026, 10, 14, 12, 30, 0, 0, time.UTC)
	sunset    = time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
)

func sampleFrame(theme string) layout.Frame {
	return layout.Frame{
		Asset: web.NewAssets().URL, Home: "/catalogue",
		Nav:     []layout.NavItem{{Label: "Catalogue", Href: "/catalogue", Current: true}, {Label: "Calls", Href: "/calls"}},
		Context: layout.Context{Organisation: "Quayside Fulfilment", Application: "Dock client"},
		Sandbox: true, User: layout.User{Name: "Dana Vold", Email: "dana@quayside.example", Role: "Developer"},
		SignIn: "/sign-in", SignOut: "/sign-out", CSRF: "tok", Theme: theme, ThemeAction: "/theme", Path: "/catalogue",
	}
}

func sampleCatalogue() Catalogue {
	both := []string{"sandbox", "live"}
	active := []EnvironmentSubscription{{"sandbox", component.Subscribed}}
	return Catalogue{Application: "Dock client", Now: sampleNow, APIs: []CatalogueAPI{
		{Slug: "orders", Path: "/orders", Title: "Orders", Summary: "Read the orders released to you, claim and acknowledge them. Amendments and cancels carry a version.",
			Versions: []CatalogueVersion{{Version: "v1", Href: "/apis/orders/v1", Now: 4, Later: 3, Environments: both, Subscriptions: active, Calls: 18204}}},
		{Slug: "shipments", Path: "/shipments", Title: "Shipments", Summary: "Create labels, confirm what left the warehouse, report milestones and the delivery.",
			Versions: []CatalogueVersion{
				{Version: "v2", Href: "/apis/shipments/v2", Now: 6, Later: 3, Environments: both, Subscriptions: []EnvironmentSubscription{{"sandbox", component.Subscribed}, {"live", component.Requested}}, Calls: 1950},
				{Version: "v1", Href: "/apis/shipments/v1", Lifecycle: component.Deprecated, DeprecatedSince: sampleNow.AddDate(0, -7, 0), Sunset: sunset, Now: 7, Environments: both, Subscriptions: active, Calls: 412}}},
		{Slug: "inventory", Path: "/inventory", Title: "Inventory", Summary: "Availability by item and location, with the moment it was counted.",
			Versions: []CatalogueVersion{{Version: "v1", Href: "/apis/inventory/v1", Now: 2, Environments: both}}},
	}}
}

func sampleProblems() []ProblemRef {
	refs := []ProblemRef{
		{Code: "schema.violation", Status: 422, Title: "The body breaks its contract"},
		{Code: "auth.expired", Status: 401, Title: "The token has expired"},
		{Code: "auth.insufficient_scope", Status: 403, Title: "The token lacks the scope of this operation"},
		{Code: "rate.exceeded", Status: 429, Title: "The rate limit is used up"},
		{Code: "order.too_late", Status: 409, Title: "The order can no longer be changed"},
		{Code: "edi.unreadable", Status: 422, Title: "The interchange cannot be read"},
		{Code: "backend.timeout", Status: 504, Title: "The backend did not answer in time"},
		{Code: "internal", Status: 500, Title: "Internal error"},
	}
	for i := range refs {
		refs[i].Href = "/problems/" + refs[i].Code
	}
	return refs
}

func sampleConfirm() Operation {
	refs := sampleProblems()
	return Operation{
		ID: "confirmShipment", Href: "/apis/shipments/v1/confirmShipment", Method: "POST", Path: "/shipments/v1/orders/{order}/confirmations", Title: "Confirm a shipment",
		Description: "<p>Tell the shipper what left the warehouse: quantities, cartons and carrier. Safe to send again with the same <code>shipment</code>; it posts once.</p>",
		Scopes:      []string{"shipments.write"}, Later: true, StatusPath: "/v1/status/{id}", InFlight: true,
		Parameters: []Parameter{
			{Name: "order", In: "path", Kind: "string", Detail: "1 to 35", Meaning: "The sales order number of the shipper.", Required: true},
			{Name: "Idempotency-Key", In: "header", Kind: "string", Detail: "16 to 255", Meaning: "A quoted string; the same key and body get the same answer."},
		},
		BodyType: "application/json", BodyRequired: true,
		Fields: []Field{
			{Name: "shippedAt", Kind: "date-time", Meaning: "When the goods left the dock, with offset.", Required: true},
			{Name: "shipTo", Kind: "object", Meaning: "Where the goods go."},
			{Name: "postalCode", Depth: 1, Kind: "string", Detail: "3 to 10", Meaning: "As printed on the label.", Required: true},
			{Name: "country", Depth: 1, Kind: "code", Detail: "ISO 3166-1", Meaning: "Two letters.", Required: true},
			{Name: "lines", Kind: "array", Detail: "1 to 999", Meaning: "One entry for each order line that shipped.", Required: true},
			{Name: "sku", Depth: 1, Kind: "string", Meaning: "The shipper's item number.", Required: true},
			{Name: "shipped", Depth: 1, Kind: "quantity", Meaning: "Number and unit.", Required: true, Note: component.Badge{Tone: component.Warn, Icon: component.IconTriangle, Word: "Changes in v2"}},
			{Name: "packages", Depth: 1, Kind: "array", Meaning: "Cartons that hold this line."},
			{Name: "sscc", Depth: 2, Kind: "string", Detail: "18 digits", Meaning: "Serial shipping container code. We check the last digit.", Required: true},
			{Name: "weight", Depth: 2, Kind: "quantity", Detail: "above 0", Meaning: "Gross weight."},
			{Name: "carrier", Kind: "object", Meaning: "Who moves the goods."},
		},
		Example: "{\n  \"shipment\": \"SH-204417\",\n  \"shippedAt\": \"2026-10-14T13:05:00+02:00\",\n  \"final\": true,\n  \"lines\": [\n    {\n      \"sku\": \"QY-1180-BL\",\n      \"shipped\": { \"value\": \"48\", \"unit\": \"EA\" },\n      \"cartons\": 4\n    }\n  ]\n}",
		Curl:    "curl -X POST https://sandbox.portway.example/shipments/v1/orders/SO-88213/confirmations \\\n  -H \"Authorization: Bearer $TOKEN\" \\\n  -H \"Content-Type: application/json\" \\\n  -d @confirmation.json",
		Responses: []Response{
			{Status: 202, Meaning: "Stored. The status address tells when it is posted.", Example: "{\n  \"id\": \"0199e2a4-7c1b-7f00-9d2e-3b1f6a2c4d5e\",\n  \"status\": \"accepted\"\n}"},
			{Status: 200, Meaning: "The same confirmation was received before; duplicate_of names it."},
			{Status: 422, Meaning: "The body breaks its contract."},
		},
		Problems: refs[:4],
	}
}

func sampleReference() Reference {
	days := make([]int, 30)
	for i := range days {
		days[i] = 40 - i + i%4*2
	}
	read := Operation{ID: "getShipment", Href: "/apis/shipments/v1/getShipment", Method: "GET", Path: "/shipments/v1/shipments/{shipment}", Title: "Read a shipment",
		Description: "<p>One shipment with its parcels and last milestone.</p>", Scopes: []string{"shipments.read"},
		Parameters: []Parameter{{Name: "shipment", In: "path", Kind: "string", Meaning: "The shipment id.", Required: true}},
		Curl:       "curl https://sandbox.portway.example/shipments/v1/shipments/SH-204417 \\\n  -H \"Authorization: Bearer $TOKEN\"",
		Responses:  []Response{{Status: 200, Meaning: "The shipment."}, {Status: 404, Meaning: "No such shipment."}}, Problems: sampleProblems()[1:3]}
	void := read
	void.ID, void.Method, void.Title, void.Path = "voidLabel", "DELETE", "Void a label", "/shipments/v1/labels/{label}"
	return Reference{
		Slug: "shipments", API: "Shipments", Version: "v1", Lifecycle: component.Deprecated, Catalogue: "/catalogue", Overview: "/apis/shipments/v1",
		Summary:     "Create labels, confirm what left the warehouse, report milestones and the delivery.",
		Description: "<p>All times carry an offset. Quantities are decimal strings with a unit.</p>",
		Versions:    []component.Link{{Label: "v2", Href: "/apis/shipments/v2"}, {Label: "v1"}},
		Deprecation: &Deprecation{Since: sampleNow.AddDate(0, -7, 0), Sunset: sunset, Now: sampleNow, Calls: 18204, CallsByDay: days,
			Successor: component.Link{Label: "Shipments v2", Href: "/apis/shipments/v2"}, Changes: "2 breaking, 1 addition",
			Diff: []DiffLine{{false, "lines[].shipped: string  \"12 EA\""}, {true, "lines[].shipped: quantity {value, unit}"}, {true, "carrier.scac: string, 2 to 4 letters"}}},
		Servers:  []Server{{"sandbox", "https://sandbox.portway.example"}, {"live", "https://api.portway.example"}},
		Document: "/apis/shipments/v1/openapi.yaml", Application: "Dock client", Plan: "Standard",
		Limits: []Limit{{Label: "Rate", Value: "20", Unit: "per second", Used: 6.8, Max: 20, Note: "peak today 6.8"},
			{Label: "Month", Value: "500,000", Unit: "calls", Used: 304118, Max: 500000, Note: "304,118 used"}, {Label: "Body size", Value: "1", Unit: "MB"}},
		Groups: []OperationGroup{{Name: "Shipments", Operations: []Operation{sampleConfirm(), read}}, {Name: "Labels", Operations: []Operation{void}}},
	}
}

func sampleRow(i int) CallRow {
	refs := sampleProblems()
	r := CallRow{
		ID: fmt.Sprintf("0199e2a4-7c1b-7f00-9d2e-3b1f6a2c%04x", i), Number: "8KX493TD", At: sampleNow.Add(-time.Duration(i) * 17 * time.Minute),
		Method: "POST", Path: "/orders/v1/orders/{order}/acknowledgements", Operation: "Acknowledge an order", Version: "orders v1",
		Environment: "sandbox", Status: 202, Duration: time.Duration(8+i%30) * time.Millisecond,
	}
	r.Href = "/calls/" + r.ID
	switch {
	case i%7 == 1:
		r.Path, r.Operation, r.Version, r.Deprecated = "/shipments/v1/orders/{order}/confirmations", "Confirm a shipment", "shipments v1", true
		r.Status, r.Problem = 422, refs[0]
	case i%11 == 3:
		r.Status, r.Problem = 401, refs[1]
	case i%13 == 5:
		r.Status, r.Problem = 429, refs[3]
	case i == 8:
		r.Status, r.Problem, r.Duration = 504, refs[6], 10*time.Second
	case i == 9:
		r.Status = 0
	case i%3 == 0:
		r.Method, r.Path, r.Operation, r.Status = "GET", "/orders/v1/feed", "Read the order feed", 200
	}
	return r
}

func sampleCalls() Calls {
	v := Calls{Application: "Dock client", Limit: 100, Unfiltered: "/calls",
		Reference: component.Link{Label: "Open the catalogue", Href: "/catalogue"},
		StatusFilters: []component.Chip{{Label: "All", Count: 100, Href: "/calls", Current: true}, {Label: "Failed", Icon: component.IconOctagon, Count: 29, Href: "/calls?status=failed"},
			{Label: "2xx", Count: 71, Href: "/calls?status=2xx"}, {Label: "4xx", Count: 28, Href: "/calls?status=4xx"}, {Label: "5xx", Count: 1, Href: "/calls?status=5xx"}},
		EnvironmentFilters: []component.Chip{{Label: "Sandbox", Count: 100, Href: "/calls?environment=sandbox"}, {Label: "Live", Count: 0, Href: "/calls?environment=live"}},
	}
	for i := range 100 {
		v.Calls = append(v.Calls, sampleRow(i))
	}
	v.StatusFilters[1].Count = v.failed()
	for i := range 24 {
		v.Hours = append(v.Hours, HourCount{Start: sampleNow.Add(time.Duration(i-23) * time.Hour).Truncate(time.Hour), OK: (i * 7) % 11, Failed: i % 3 / 2 * 2})
	}
	return v
}

func sampleCall() Call {
	ms := func(f float64) time.Duration { return time.Duration(f * float64(time.Millisecond)) }
	row := sampleRow(1)
	row.Duration = ms(19.1)
	return Call{CallRow: row, Organisation: "Quayside Fulfilment", Application: "Dock client", List: "/calls",
		Detail: "the body breaks its contract at 2 places", Help: "Correct every place listed under violations.",
		Violations: []Violation{{In: "body", Pointer: "/shipTo/postalCode", Keyword: "required", Expected: "a string of 3 to 10 characters is expected"},
			{In: "body", Pointer: "/lines/2/shipped/value", Keyword: "type", Expected: "a decimal string is expected"}},
		Trail: component.Trail{Stages: []component.Stage{
			{Name: "Received", Detail: "HTTP/1.1, 1,912 bytes", State: component.Done, Took: ms(0.4)},
			{Name: "Operation", Detail: "confirmShipment of shipments v1", State: component.Attention, Start: ms(0.4), Took: ms(0.2)},
			{Name: "Identity", Detail: "token of Dock client, 41 min left", State: component.Done, Start: ms(0.6), Took: ms(7)},
			{Name: "Permission", Detail: "scope shipments.write", State: component.Done, Start: ms(7.6), Took: ms(0.9)},
			{Name: "Limits", Detail: "3 of 20 per second", State: component.Done, Start: ms(8.5), Took: ms(0.3)},
			{Name: "Contract", Detail: "2 places do not fit", State: component.Failed, Start: ms(8.8), Took: ms(9.8)},
			{Name: "Acceptance", Detail: "not reached", State: component.NotReached},
			{Name: "Answer", Detail: "not reached", State: component.NotReached}}},
		Facts:         []Fact{{"Your request id", "wms-7781", true}, {"Idempotency-Key", "", true}, {"Received", "1,912 bytes", false}, {"Sent back", "611 bytes", false}, {"Credential", "pw_sbx_4f2a", true}},
		OperationHref: "/apis/shipments/v1#confirmShipment"}
}

func sampleProblem() Problem {
	refs := sampleProblems()
	return Problem{ProblemRef: refs[0], Meaning: "The body is well-formed, but the contract of the operation asks for something else in one or more places.",
		Help: "Correct every place listed under violations. Each has a pointer into the body you sent, the check that failed, and what is expected.", Index: "/problems", Related: refs[4:6], Calls: 14, CallsHref: "/calls?problem=schema.violation"}
}

// hostile is text that must come out as text wherever a view model carries it.
const hostile = `"><script>alert(1)</script><img src=x onerror=alert(1)>'&`

// bigReference is a version with n operations, as a document of somebody else may have.
func bigReference(n int, selected string) Reference {
	v := sampleReference()
	v.Deprecation, v.Lifecycle, v.Selected = nil, component.Stable, selected
	var ops []Operation
	for i := range n {
		o := sampleConfirm()
		o.ID, o.Title = fmt.Sprintf("op%d", i), fmt.Sprintf("Operation %d", i)
		o.Href = "/apis/big/v1/" + o.ID
		ops = append(ops, o)
	}
	v.Groups = []OperationGroup{{Name: strings.Repeat("Long name ", 3), Operations: ops}}
	return v
}
