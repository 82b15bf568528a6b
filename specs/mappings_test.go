package specs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"path"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"portway/internal/mapping"
	"portway/policies"
	"portway/specs"
)

// translations says which schema a mapping's body comes from and which one its result must meet, as "contract#schema".
// What a mapping turns into an event must meet the event's schema without being listed; other systems' shapes are not ours.
var translations = map[string]struct{ in, out string }{
	"orders-v1-release":               {in: "orders/v1#ReleaseRequest"},
	"orders-v1-amend":                 {in: "orders/v1#AmendRequest"},
	"orders-v1-cancel":                {in: "orders/v1#CancelRequest"},
	"orders-v1-claim":                 {in: "orders/v1#ClaimRequest"},
	"orders-v1-acknowledge":           {in: "orders/v1#AcknowledgeRequest"},
	"shipments-v1-confirm":            {in: "shipments/v1#ConfirmationRequest"},
	"shipments-v1-milestone":          {in: "shipments/v1#MilestoneRequest"},
	"shipments-v2-confirm":            {in: "shipments/v2#ConfirmationRequest"},
	"shipments-v2-milestone":          {in: "shipments/v2#MilestoneRequest"},
	"shipments-v2-delivery":           {in: "shipments/v2#DeliveryRequest"},
	"shipments-v1-create-request":     {in: "shipments/v1#ShipmentRequest", out: "shipments/v2#ShipmentRequest"},
	"shipments-v1-create-response":    {in: "shipments/v2#Shipment", out: "shipments/v1#Shipment"},
	"carrier-parcel-create-request":   {in: "shipments/v2#ShipmentRequest"},
	"carrier-parcel-create-response":  {out: "shipments/v2#Shipment"},
	"carrier-parcel-get-response":     {out: "shipments/v2#Shipment"},
	"carrier-parcel-void-response":    {out: "shipments/v2#VoidedShipment"},
	"carrier-parcel-rates-request":    {in: "shipments/v2#RateRequest"},
	"carrier-parcel-rates-response":   {out: "shipments/v2#Rates"},
	"carrier-returns-create-request":  {in: "shipments/v2#ShipmentRequest"},
	"carrier-returns-create-response": {out: "shipments/v2#Shipment"},
	"carrier-returns-get-response":    {out: "shipments/v2#Shipment"},
	"carrier-returns-void-response":   {out: "shipments/v2#VoidedShipment"},
	"erp-availability-response":       {out: "inventory/v1#Availability"},
}

// mappingCase is one entry of a mapping's tests.
type mappingCase struct{ In, Out string }

func compilerOfAll(t *testing.T) *jsonschema.Compiler {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	for _, c := range contracts(t) {
		if err := compiler.AddResource("urn:"+path.Dir(c.path), closed(c.doc)); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range eventSchemas(t) {
		if err := compiler.AddResource("urn:"+e.file, e.doc); err != nil {
			t.Fatal(err)
		}
	}
	return compiler
}

func decodeJSON(format string, b []byte) (any, error) {
	if format != "json" {
		return nil, errors.New("only JSON is read here")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	return v, d.Decode(&v)
}

// Every mapping passes its cases, takes what its operation's contract allows, and makes what the event's schema or
// the other contract asks for.
func TestMappingsAgreeWithContracts(t *testing.T) {
	t.Parallel()
	compiler := compilerOfAll(t)
	folder, err := fs.Sub(policies.Files, "mappings")
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.Glob(folder, "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	ran := map[string]bool{}
	for _, file := range files {
		src, err := fs.ReadFile(folder, file)
		if err != nil {
			t.Fatal(err)
		}
		m, problems := mapping.Compile(file, src)
		for _, p := range problems {
			t.Error(p)
		}
		if m == nil {
			continue
		}
		if m.Source.Format == "json" {
			ran[m.Name] = true
			for _, r := range mapping.RunCases(m, decodeJSON, folder) {
				if len(r.Problems) > 0 {
					t.Errorf("%s: case %q: %s", file, r.Name, strings.Join(r.Problems, "\n"))
				}
			}
		}
		var doc struct{ Tests []mappingCase }
		if err := yaml.Unmarshal(src, &doc); err != nil || len(doc.Tests) == 0 {
			t.Errorf("%s: no tests: %v", file, err)
		}
		for _, c := range doc.Tests {
			checkCase(t, compiler, folder, m, c)
		}
	}
	for name := range translations {
		if !ran[name] {
			t.Errorf("mapping %s is gone", name)
		}
	}
}

// checkCase validates the input's body and the expected output of one case.
func checkCase(t *testing.T, compiler *jsonschema.Compiler, folder fs.FS, m *mapping.Mapping, c mappingCase) {
	t.Helper()
	validate := func(schema, file string, part string) {
		raw, err := fs.ReadFile(folder, file)
		if err != nil {
			t.Errorf("%s: %v", m.File, err)
			return
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			return
		}
		if part != "" {
			v = v.(map[string]any)[part]
		}
		s, err := compiler.Compile("urn:" + schema)
		if err != nil {
			t.Errorf("%s: %v", m.File, err)
			return
		}
		if err := s.Validate(v); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	schemas := translations[m.Name]
	pointer := func(s string) string { return strings.Replace(s, "#", "#/components/schemas/", 1) }
	if schemas.in != "" {
		validate(pointer(schemas.in), c.In, "body")
	}
	switch {
	case c.Out == "":
	case schemas.out != "":
		validate(pointer(schemas.out), c.Out, "")
	case m.Target != "json":
		event := "events/" + m.Target + ".schema.json"
		if _, err := fs.Stat(specs.Files, event); err != nil {
			t.Errorf("%s: %v", m.File, err)
			return
		}
		validate(event, c.Out, "")
	}
}
