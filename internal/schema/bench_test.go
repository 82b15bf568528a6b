package schema_test

import (
	"fmt"
	"strings"
	"testing"

	"portway/internal/schema"
)

// benchDocument and benchBody are a shipment confirmation of about 2 kB with eight lines.
const benchDocument = `{"components":{"schemas":{
"Address":{"type":"object","required":["name","street","city","country"],"additionalProperties":false,"properties":{
 "name":{"type":"string","maxLength":60},"street":{"type":"string","maxLength":60},"city":{"type":"string"},"postalCode":{"type":"string","pattern":"^[0-9A-Z -]{3,10}$"},"country":{"type":"string","pattern":"^[A-Z]{2}$"}}},
"Quantity":{"type":"object","required":["value","unit"],"properties":{"value":{"type":"string","format":"decimal"},"unit":{"type":"string","enum":["EA","CS","PL","KGM"]}}},
"Line":{"type":"object","required":["line","sku","shipped"],"additionalProperties":false,"properties":{
 "line":{"type":"integer","format":"int32","minimum":1},"sku":{"type":"string","minLength":1,"maxLength":40},"lot":{"type":"string","nullable":true},"expires":{"type":"string","format":"date"},"shipped":{"$ref":"#/components/schemas/Quantity"}}},
"Confirmation":{"type":"object","required":["order","shipment","shippedAt","lines"],"additionalProperties":false,"properties":{
 "id":{"type":"string","format":"uuid","readOnly":true},"order":{"type":"string"},"shipment":{"type":"string"},"shippedAt":{"type":"string","format":"date-time"},"final":{"type":"boolean"},
 "carrier":{"type":"string"},"tracking":{"type":"array","items":{"type":"string","pattern":"^[0-9A-Z]{8,30}$"}},"shipTo":{"$ref":"#/components/schemas/Address"},"shipFrom":{"$ref":"#/components/schemas/Address"},
 "lines":{"type":"array","minItems":1,"items":{"$ref":"#/components/schemas/Line"}}}}}}}`

func benchBody() []byte {
	address := `{"name":"North Dock Warehouse","street":"12 Harbour Road","city":"Rotterdam","postalCode":"3011 AA","country":"NL"}`
	var rows []string
	for i := 1; i <= 14; i++ {
		rows = append(rows, fmt.Sprintf(`{"line":%d,"sku":"SKU-%06d","lot":"L2026-%03d","expires":"2027-03-31","shipped":{"value":"%d.00","unit":"EA"}}`, i, i*37, i, i*12))
	}
	return []byte(`{"order":"SO-10442","shipment":"SHP-99120","shippedAt":"2026-03-02T14:05:09+01:00","final":true,"carrier":"ACME","tracking":["1Z999AA10123456784","1Z999AA10123456785"],"shipTo":` +
		address + `,"shipFrom":` + address + `,"lines":[` + strings.Join(rows, ",") + `]}`)
}

func BenchmarkScan(b *testing.B) {
	body := benchBody()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := schema.Scan(body, schema.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	s, _ := compile(b, benchDocument, schema.OpenAPI30, "/components/schemas/Confirmation", schema.Request)
	body := benchBody()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if v := s.Validate(body); len(v) > 0 {
			b.Fatal(v)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		compile(b, benchDocument, schema.OpenAPI30, "/components/schemas/Confirmation", schema.Request)
	}
}
