package carrier

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"portway/internal/ident"
	"portway/sandbox/seed"
)

type bench struct {
	t     *testing.T
	url   string
	key   [2]string
	clock *ident.Manual
}

func startParcel(t *testing.T, dir string) *bench {
	t.Helper()
	clock := ident.NewManual(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	p, err := NewParcel(Options{Clock: clock, Name: "parcel", Dir: dir, Seed: seed.Parcel, APIKey: "k", VoidWindow: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ts := httptest.NewServer(p.Handler())
	t.Cleanup(ts.Close)
	return &bench{t, ts.URL, [2]string{"X-Api-Key", "k"}, clock}
}

func startReturns(t *testing.T, dir string) *bench {
	t.Helper()
	clock := ident.NewManual(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	c, err := NewReturns(Options{Clock: clock, Name: "returns", Dir: dir, Seed: seed.Returns, APIKey: "k", VoidWindow: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ts := httptest.NewServer(c.Handler())
	t.Cleanup(ts.Close)
	return &bench{t, ts.URL, [2]string{c.seed.KeyHeader, "k"}, clock}
}

func (b *bench) do(method, path, body string) (int, string) {
	b.t.Helper()
	req, err := http.NewRequest(method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set(b.key[0], b.key[1])
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

func read[T any](t *testing.T, body string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return v
}

const aLabel = `{"reference":"S-1","service":"GROUND","account":"ACC-778899","format":"PDF",
	"from":{"name":"Sender","city":"Chicago","postalCode":"60601","country":"US"},
	"to":{"name":"Søren (Dock ^7)","street":["Main 1"],"city":"Peoria","region":"IL","postalCode":"61602","country":"US"},
	"parcels":[{"weightKg":"2.5"},{"weightKg":1.25}]}`

func TestParcelLabel(t *testing.T) {
	t.Parallel()
	b := startParcel(t, "")
	status, body := b.do("POST", "/v1/labels", aLabel)
	if status != 201 || strings.Contains(body, "778899") {
		t.Fatalf("%d %s", status, body)
	}
	first := read[labelView](t, body)
	if first.State != "created" || len(first.Parcels) != 2 || first.Charge["amount"] != "16.99" || first.Label["format"] != "PDF" {
		t.Errorf("%+v", first)
	}
	if !regexp.MustCompile(`^PX[0-9]{11}$`).MatchString(first.TrackingNumber) || !gs1Valid(first.TrackingNumber[2:]) {
		t.Errorf("tracking number %s", first.TrackingNumber)
	}
	document, err := base64.StdEncoding.DecodeString(first.Label["base64"])
	if err != nil {
		t.Fatal(err)
	}
	checkPDF(t, document, 2)
	for _, want := range []string{first.TrackingNumber, `S\370ren \(Dock ^7\)`, "61602 Peoria"} {
		if !bytes.Contains(document, []byte(want)) {
			t.Errorf("the label does not show %s", want)
		}
	}
	status, body = b.do("POST", "/v1/labels", strings.Replace(aLabel, `"PDF"`, `"ZPL"`, 1))
	again := read[labelView](t, body)
	zpl, _ := base64.StdEncoding.DecodeString(again.Label["base64"])
	if status != 200 || again.LabelID != first.LabelID || again.TrackingNumber != first.TrackingNumber || bytes.Count(zpl, []byte("^XA")) != 2 ||
		!bytes.Contains(zpl, []byte("Dock _5E7")) || !bytes.HasSuffix(zpl, []byte("^XZ\n")) {
		t.Errorf("%d %+v\n%s", status, again, zpl)
	}
	if status, _ := b.do("POST", "/v1/labels", strings.Replace(aLabel, "Peoria", "Joliet", 1)); status != 409 {
		t.Errorf("another destination under one reference: %d", status)
	}
	if status, body := b.do("GET", "/v1/labels/"+first.LabelID, ""); status != 200 || read[labelView](t, body).Label["base64"] != first.Label["base64"] {
		t.Errorf("read back: %d", status)
	}
	if status, body := b.do("GET", "/_sim/calls", ""); status != 200 || strings.Contains(body, `"k"`) {
		t.Errorf("the record shows the key: %s", body)
	}
}

func gs1Valid(digits string) bool {
	sum := 0
	for i := range digits {
		sum += int(digits[len(digits)-1-i]-'0') * (1 + 2*(i%2))
	}
	return sum%10 == 0
}

// checkPDF follows the file's own structure: header, cross-reference table, page count.
func checkPDF(t *testing.T, data []byte, pages int) {
	t.Helper()
	if !bytes.HasPrefix(data, []byte("%PDF-1.4\n")) || !bytes.HasSuffix(data, []byte("%%EOF\n")) {
		t.Fatal("not a PDF")
	}
	m := regexp.MustCompile(`startxref\n(\d+)\n`).FindSubmatch(data)
	at, err := strconv.Atoi(string(m[1]))
	if err != nil || !bytes.HasPrefix(data[at:], []byte("xref\n0 ")) {
		t.Fatalf("startxref does not point at the table: %v", err)
	}
	rows := regexp.MustCompile(`(\d{10}) 00000 n \n`).FindAllSubmatch(data[at:], -1)
	for i, row := range rows {
		offset, _ := strconv.Atoi(string(row[1]))
		if !bytes.HasPrefix(data[offset:], fmt.Appendf(nil, "%d 0 obj\n", i+1)) {
			t.Errorf("object %d is not at its offset", i+1)
		}
	}
	if len(rows) != 4+2*pages || !bytes.Contains(data, fmt.Appendf(nil, "/Count %d ", pages)) {
		t.Errorf("%d objects for %d pages", len(rows), pages)
	}
	for _, m := range regexp.MustCompile(`(?s)/Length (\d+) >>\nstream\n(.*?)\nendstream`).FindAllSubmatch(data, -1) {
		if string(m[1]) != strconv.Itoa(len(m[2])) {
			t.Errorf("stream length %s, is %d", m[1], len(m[2]))
		}
	}
}

func TestParcelRefusals(t *testing.T) {
	t.Parallel()
	b := startParcel(t, "")
	status, body := b.do("POST", "/v1/labels", `{"service":"TELEPORT","format":"PNG","from":{},"parcels":[{"weightKg":"0"}]}`)
	for _, want := range []string{"reference", "service", "format", "from/name", "to: is required", "parcels/0/weightKg"} {
		if status != 422 || !strings.Contains(body, want) {
			t.Errorf("%d, %q is not named: %s", status, want, body)
		}
	}
	if status, body := b.do("POST", "/v1/labels", `{"reference":"x","colour":1}`); status != 400 || !strings.Contains(body, "colour") {
		t.Errorf("unknown member: %d %s", status, body)
	}
	for _, path := range []string{"/v1/labels/none", "/v1/nothing"} {
		if status, _ := b.do("GET", path, ""); status != 404 {
			t.Errorf("%s: %d", path, status)
		}
	}
	b.key[1] = "wrong"
	if status, body := b.do("POST", "/v1/labels", aLabel); status != 401 || strings.Contains(body, "wrong") {
		t.Errorf("wrong key: %d %s", status, body)
	}
	_, err := NewParcel(Options{Name: "Not A Slug", Seed: []byte(`{}`)})
	for _, want := range []string{"name", "API key", "services"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named: %v", want, err)
		}
	}
}

func TestParcelVoid(t *testing.T) {
	t.Parallel()
	b := startParcel(t, "")
	_, body := b.do("POST", "/v1/labels", aLabel)
	first := read[labelView](t, body)
	b.clock.Advance(time.Hour)
	for range 2 {
		if status, body := b.do("DELETE", "/v1/labels/"+first.LabelID, ""); status != 200 || !strings.Contains(body, `"state":"voided"`) {
			t.Fatalf("%d %s", status, body)
		}
	}
	if _, body := b.do("GET", "/v1/labels/"+first.LabelID, ""); read[labelView](t, body).State != "voided" {
		t.Error("a voided label reads as living")
	}
	status, body := b.do("POST", "/v1/labels", aLabel)
	second := read[labelView](t, body)
	if status != 201 || second.TrackingNumber == first.TrackingNumber {
		t.Errorf("after a void: %d %s", status, second.TrackingNumber)
	}
	b.clock.Advance(time.Hour + time.Nanosecond)
	if status, _ := b.do("DELETE", "/v1/labels/"+second.LabelID, ""); status != 409 {
		t.Errorf("after the void window: %d", status)
	}
}

func TestParcelRates(t *testing.T) {
	t.Parallel()
	b := startParcel(t, "")
	status, body := b.do("POST", "/v1/rates", `{"to":{"name":"S","city":"P","postalCode":"1","country":"US"},"parcels":[{"weightKg":"2.5"}]}`)
	out := read[struct {
		Quotes []struct {
			Service, Amount, Currency string
			TransitDays               int
		}
	}](t, body)
	if status != 200 || len(out.Quotes) != 3 || out.Quotes[0].Amount != "9.03" || out.Quotes[0].Currency != "USD" || out.Quotes[0].TransitDays != 4 {
		t.Errorf("%d %s", status, body)
	}
}

func TestManyIdenticalRequestsAreOneLabel(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	parcel, returns := startParcel(t, dir), startReturns(t, dir)
	type result struct {
		status int
		body   string
	}
	ask := func(b *bench, path, body string) []result {
		out := make([]result, 64)
		var wg sync.WaitGroup
		for i := range out {
			wg.Go(func() { out[i].status, out[i].body = b.do("POST", path, body) })
		}
		wg.Wait()
		return out
	}
	created, numbers := 0, map[string]bool{}
	for _, r := range ask(parcel, "/v1/labels", aLabel) {
		if r.status == 201 {
			created++
		} else if r.status != 200 {
			t.Errorf("%d %s", r.status, r.body)
		}
		numbers[read[labelView](t, r.body).TrackingNumber] = true
	}
	if created != 1 || len(numbers) != 1 {
		t.Errorf("parcel: %d created, numbers %v", created, numbers)
	}
	numbers = map[string]bool{}
	for _, r := range ask(returns, "/orders", aReturn) {
		numbers[read[confirmation](t, r.body).ShipmentNo] = true
	}
	if len(numbers) != 1 {
		t.Errorf("returns: numbers %v", numbers)
	}
	// The state is kept: the same reference after a restart is the same label.
	status, body := startParcel(t, dir).do("POST", "/v1/labels", aLabel)
	if status != 200 {
		t.Errorf("after a restart: %d %s", status, body)
	}
	_, body = startReturns(t, dir).do("POST", "/orders", aReturn)
	if !numbers[read[confirmation](t, body).ShipmentNo] {
		t.Errorf("after a restart: another shipment: %s", body)
	}
}

const aReturn = `{"receiverId":"deu","customerReference":"R-1","shipper":{"name1":"Eva Muster","addressStreet":"Ring","addressHouse":"3a","postalCode":"53113","city":"Bonn",
	"email":"eva@example.org"},"itemWeight":{"uom":"kg","value":1.5},"itemValue":{"currency":"EUR","value":10}}`

func TestReturns(t *testing.T) {
	t.Parallel()
	b := startReturns(t, "")
	status, body := b.do("POST", "/orders?labelType=BOTH", aReturn)
	first := read[confirmation](t, body)
	if status != 201 || first.Status.Status != 201 || len(first.ShipmentNo) != 12 || !strings.HasPrefix(first.ShipmentNo, "9999") {
		t.Fatalf("%d %s", status, body)
	}
	sum := 0
	for i, c := range first.ShipmentNo[:11] {
		sum += int(c-'0') * (4 + 5*(i%2))
	}
	if (10-sum%10)%10 != int(first.ShipmentNo[11]-'0') {
		t.Errorf("check digit of %s", first.ShipmentNo)
	}
	document, err := base64.StdEncoding.DecodeString(first.Label.B64)
	if err != nil {
		t.Fatal(err)
	}
	checkPDF(t, document, 1)
	picture, err := base64.StdEncoding.DecodeString(first.QRLabel.B64)
	if err != nil {
		t.Fatal(err)
	}
	if img, err := png.Decode(bytes.NewReader(picture)); err != nil || img.Bounds().Dx() != 37*8 {
		t.Errorf("QR label: %v", err)
	}
	if _, body := b.do("POST", "/orders?labelType=SHIPMENT_LABEL", aReturn); read[confirmation](t, body).ShipmentNo != first.ShipmentNo || read[confirmation](t, body).QRLabel != nil {
		t.Errorf("the same reference again: %s", body)
	}
	if status, body := b.do("POST", "/orders", strings.Replace(aReturn, "Eva", "Ada", 1)); status != 422 {
		t.Errorf("another shipper under one reference: %d %s", status, body)
	}
	without := strings.Replace(aReturn, `"customerReference":"R-1",`, "", 1)
	_, one := b.do("POST", "/orders", without)
	_, two := b.do("POST", "/orders", without)
	if read[confirmation](t, one).ShipmentNo == read[confirmation](t, two).ShipmentNo {
		t.Error("two orders without a reference are one")
	}
	if status, body := b.do("GET", "/orders?shipment="+first.ShipmentNo, ""); status != 200 || read[confirmation](t, body).Status.Detail != "created" {
		t.Errorf("read back: %d %s", status, body)
	}
	for range 2 {
		if status, body := b.do("DELETE", "/orders?shipment="+first.ShipmentNo, ""); status != 200 {
			t.Errorf("void: %d %s", status, body)
		}
	}
	b.clock.Advance(2 * time.Hour)
	if status, _ := b.do("DELETE", "/orders?shipment="+read[confirmation](t, one).ShipmentNo, ""); status != 409 {
		t.Errorf("void after the window: %d", status)
	}
	if status, _ := b.do("DELETE", "/orders?shipment=0", ""); status != 404 {
		t.Errorf("void of nothing: %d", status)
	}
}

func TestReturnsRefusals(t *testing.T) {
	t.Parallel()
	b := startReturns(t, "")
	cases := []struct {
		path, body string
		status     int
	}{
		{"/orders", `{}`, 400},
		{"/orders", `{`, 400},
		{"/orders?labelType=PARCEL", aReturn, 400},
		{"/orders", strings.Replace(aReturn, "deu", "xyz", 1), 422},
		{"/orders", strings.Replace(aReturn, "deu", "che", 1), 422},
		{"/orders", strings.Replace(aReturn, `"value":1.5`, `"value":1.0005`, 1), 400},
		{"/orders", strings.Replace(aReturn, `"value":1.5`, `"value":1e999999999`, 1), 400},
		{"/orders", strings.Replace(aReturn, `"value":10`, `"value":10.001`, 1), 400},
		{"/orders", strings.Replace(aReturn, "53113", "5", 1), 400},
		{"/orders", strings.Replace(aReturn, "eva@example.org", "Eva <eva@example.org>", 1), 400},
	}
	for _, c := range cases {
		status, body := b.do("POST", c.path, c.body)
		got := read[jsonStatus](t, body)
		if status != c.status || got.Status != c.status || got.Detail == "" || len([]rune(got.Detail)) > 80 {
			t.Errorf("%s %s: %d %s, want %d", c.path, c.body, status, body, c.status)
		}
	}
	b.key[1] = "wrong"
	if status, _ := b.do("GET", "/locations", ""); status != 401 {
		t.Errorf("wrong key: %d", status)
	}
}

func TestLocations(t *testing.T) {
	t.Parallel()
	b := startReturns(t, "")
	for query, want := range map[string]int{"": 2, "?countryCode=che": 1, "?countryCode=fra": 0, "?maxResult=1": 1, "?receiverId=deu&postalCode=20457": 1} {
		status, body := b.do("GET", "/locations"+query, "")
		if status != 200 || len(read[[]receiver](t, body)) != want || strings.Contains(body, "customsRequired") {
			t.Errorf("%s: %d %s, want %d", query, status, body, want)
		}
	}
	if status, _ := b.do("GET", "/locations?maxResult=x", ""); status != 400 {
		t.Errorf("maxResult=x: %d", status)
	}
}

func TestCode128(t *testing.T) {
	t.Parallel()
	table := strings.Fields(code128Widths)
	seen := map[string]bool{}
	for i, w := range table {
		sum, bars := 0, 0
		for k, c := range w {
			sum += int(c - '0')
			if k%2 == 0 {
				bars += int(c - '0')
			}
		}
		// Every symbol is 11 modules wide with an even number of dark ones; stop is 13.
		if (i < 106 && (sum != 11 || bars%2 != 0)) || (i == 106 && sum != 13) || seen[w] {
			t.Errorf("symbol %d: %s", i, w)
		}
		seen[w] = true
	}
	if len(table) != 107 {
		t.Errorf("%d symbols", len(table))
	}
	// "PJJ123C" in code set B has check value 55 (the standard's usual worked example starts in A with 54).
	got := code128("PJJ123C")
	want := fmt.Sprint(widths(table[(103+1+48+42*2+42*3+17*4+18*5+19*6+35*7)%103]))
	if fmt.Sprint(got[6*8:6*9]) != want {
		t.Errorf("check symbol %v, want %s", got[6*8:6*9], want)
	}
}

func widths(s string) []int {
	var out []int
	for _, c := range s {
		out = append(out, int(c-'0'))
	}
	return out
}

// TestReedSolomon uses the worked example of ISO/IEC 18004 annex I for a version 1-M symbol.
func TestReedSolomon(t *testing.T) {
	t.Parallel()
	data := []byte{0x10, 0x20, 0x0c, 0x56, 0x61, 0x80, 0xec, 0x11, 0xec, 0x11, 0xec, 0x11, 0xec, 0x11, 0xec, 0x11}
	want := []byte{0xa5, 0x24, 0xd4, 0xc1, 0xed, 0x36, 0xc7, 0x87, 0x2c, 0x55}
	if got := reedSolomon(data, 10); !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

func FuzzReturnOrder(f *testing.F) {
	f.Add([]byte(aReturn))
	f.Add([]byte(`{"itemWeight":{"value":1e30}}`))
	f.Add([]byte(`{"customsDetails":{"items":[{}]}}`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		var in returnOrder
		if json.Unmarshal(data, &in) == nil {
			in.check()
		}
	})
}
