package app

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"portway/internal/needs"
	"portway/policies"
	"portway/specs"
)

// putFile writes a file of a --config folder; name has slashes.
func putFile(t *testing.T, dir, name string, content []byte) {
	t.Helper()
	file := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// installation makes a --config folder: the shipped example contracts and policies, and one partner whose
// X12 identities are those of the files to be sent.
func installation(t *testing.T, backend, partner string) string {
	t.Helper()
	dir := t.TempDir()
	copyTree := func(files fs.FS, from, to string) {
		t.Helper()
		err := fs.WalkDir(files, from, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := fs.ReadFile(files, name)
			if err != nil {
				return err
			}
			putFile(t, dir, to+"/"+name, b)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, folder := range []string{"apis", "plans", "mappings", "routes"} {
		copyTree(policies.Files, folder, "policies")
	}
	for _, api := range []string{"orders", "shipments", "inventory"} {
		copyTree(specs.Files, api, "specs")
	}
	write := func(name, text string) { t.Helper(); putFile(t, dir, name, []byte(text)) }
	write("policies/backends/erp.yaml", "kind: backend\nschema: 1\nname: ERP\nurls: {live: \""+backend+"\"}\noperations:\n  getAvailability: {path: /inventory/availability}\n")
	write("policies/partners/sender.yaml", partner)
	return dir
}

const senderPartner = `kind: partner
schema: 1
organisation: {name: Sender, kind: 3pl, zone: America/Chicago}
applications:
  - slug: edi
    name: EDI
    credentials: [{environment: live, clientId: sender-edi, secret: "env:SENDER_SECRET"}]
    subscriptions:
      - {api: portway, environments: [live], plan: standard, scopes: ["edi:write", "events:read"]}
connections:
  - slug: one
    environment: live
    format: x12
    sender: {qualifier: ZZ, id: SENDER}
    receiver: {qualifier: ZZ, id: RECEIVER}
    documents: {"945": x12-945-shipment-confirmed}
  - slug: two
    environment: live
    format: x12
    sender: {qualifier: ZZ, id: YOUR-ID-HERE}
    receiver: {qualifier: ZZ, id: WAQE}
    documents: {"945": x12-945-shipment-confirmed}
`

// TestRealInterchanges sends real 945s of the corpus to an installation without --demo: each is acknowledged
// by a 997 that accepts it, kept, and parked, because its order is not one of ours. Both count their segments
// wrongly in SE01, which the default policy accepts with a note (717 E, 718 code 4).
func TestRealInterchanges(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(needs.Corpus(t, "samples/x12-guides/945_*.edi"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no 945 in the corpus (%v)", err)
	}
	backend := httptest.NewServer(http.NotFoundHandler())
	defer backend.Close()
	secret := strings.Repeat("s3cret", 8)
	r := start(t, map[string]string{"SENDER_SECRET": secret}, "--data="+t.TempDir(), "--config="+installation(t, backend.URL, senderPartner))
	token := "Bearer " + r.tokenOf("sender-edi", secret)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		send := call{method: "POST", path: "/edi/x12", body: string(raw), header: map[string]string{"Content-Type": "application/edi-x12", "Authorization": token}}
		got := r.do(send)
		if got.status != 202 || !strings.Contains(string(got.body), "ST*997*") || !strings.Contains(string(got.body), "~AK5*E*4~") || !strings.Contains(string(got.body), "~AK9*E*1*1*1~") {
			t.Errorf("%s: %d %s", filepath.Base(file), got.status, got.body)
			continue
		}
		kept := r.do(call{method: "GET", path: got.header.Get("Location"), header: map[string]string{"Authorization": token}})
		if kept.status != 200 || kept.field("state") != "parked" {
			t.Errorf("%s: the document: %d %s", filepath.Base(file), kept.status, kept.body)
		}
		if again := r.do(send); again.status != 409 || again.field("code") != "edi.duplicate_interchange" {
			t.Errorf("%s: the same ISA13 again: %d %s", filepath.Base(file), again.status, again.body)
		}
	}
}

// TestWrongSegmentCount sends a 945 whose SE01 is wrong: the 997 says so with code 4.
func TestWrongSegmentCount(t *testing.T) {
	t.Parallel()
	r := demo(t)
	r.do(call{method: "POST", path: "/orders/v1/releases", body: release("SO-SE01"), as: erpClient})
	got := r.do(edi(interchange{order: "SO-SE01", shipment: "S1", count: "12", control: "000000901"}, harbor))
	if got.status != 202 || !strings.Contains(string(got.body), "*4") || !(strings.Contains(string(got.body), "AK5*E*4") || strings.Contains(string(got.body), "AK5*R*4")) {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestDuplicateAcrossFormats confirms by JSON, then by EDI, then something else under the same business key.
func TestDuplicateAcrossFormats(t *testing.T) {
	t.Parallel()
	r := demo(t)
	r.do(call{method: "POST", path: "/orders/v1/releases", body: release("SO-DUP"), as: erpClient})
	first := r.do(call{method: "POST", path: "/shipments/v2/confirmations", body: confirmation("SO-DUP", "SHP-1", "120"), as: harbor})
	if first.status != 202 {
		t.Fatalf("first: %d %s", first.status, first.body)
	}
	original := first.field("eventId")
	second := r.do(edi(interchange{order: "SO-DUP", shipment: "SHP-1", control: "000000902"}, harbor))
	if second.status != 202 || second.header.Get("Duplicate-Of") != original {
		t.Errorf("by EDI: %d %v %s", second.status, second.header, second.body)
	}
	conflict := r.do(call{method: "POST", path: "/shipments/v2/confirmations", body: confirmation("SO-DUP", "SHP-1", "60"), as: harbor})
	if conflict.status != 409 || conflict.field("code") != "business_key.conflict" || conflict.field("original") != original {
		t.Errorf("another quantity: %d %s", conflict.status, conflict.body)
	}
	order := r.do(call{method: "GET", path: "/orders/v1/orders/SO-DUP", as: harbor})
	if order.field("state") != "shipped" || strings.Count(string(order.body), `"SHP-1"`) != 1 {
		t.Errorf("the order: %s", order.body)
	}
	late := r.do(call{method: "POST", path: "/orders/v1/orders/SO-DUP/cancellation", body: `{"version":1,"reason":"too late"}`, as: erpClient})
	if late.status != 409 || late.field("code") != "order.too_late" || late.field("state") != "shipped" {
		t.Errorf("a cancel after shipping: %d %s", late.status, late.body)
	}
}

// TestSomeoneElsesContract puts the gateway in front of documents of the corpus with no configuration.
func TestSomeoneElsesContract(t *testing.T) {
	t.Parallel()
	folder := needs.Corpus(t, "openapi")
	seen := make(chan string, 16)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Method + " " + r.URL.RequestURI()
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte(`{"from":"backend"}`))
	}))
	defer backend.Close()
	r := start(t, nil, "--data="+t.TempDir(), "--spec="+filepath.Join(folder, "05-dhl-parcel-de-returns.yaml"), "--backend="+backend.URL)
	id, secret := printed(r.out.String(), "client_id"), printed(r.out.String(), "client_secret")
	if id == "" || secret == "" {
		t.Fatalf("no client is printed:\n%s", r.out)
	}
	path := "/parcel/de/shipping/returns/v1/locations?countryCode=deu"
	if got := r.do(call{method: "GET", path: path}); got.status != 401 {
		t.Errorf("without a token: %d %s", got.status, got.body)
	}
	token := map[string]string{"Authorization": "Bearer " + r.tokenOf(id, secret)}
	got := r.do(call{method: "GET", path: path, header: token})
	if got.status != 200 || got.field("from") != "backend" {
		t.Fatalf("with the printed client: %d %s", got.status, got.body)
	}
	if called := <-seen; called != "GET "+path {
		t.Errorf("the backend saw %q", called)
	}
	bad := r.do(call{method: "POST", path: "/parcel/de/shipping/returns/v1/orders", body: `{"receiverId":1}`, header: map[string]string{"Authorization": token["Authorization"]}})
	if bad.status != 422 || !strings.Contains(string(bad.body), "/receiverId") {
		t.Errorf("a body against the contract: %d %s", bad.status, bad.body)
	}
	if len(seen) != 0 {
		t.Error("the backend saw a refused call")
	}
	if code := r.stop(); code != 0 {
		t.Errorf("stopped with %d", code)
	}
	open := start(t, nil, "--data="+t.TempDir(), "--spec="+filepath.Join(folder, "05-dhl-parcel-de-returns.yaml"), "--backend="+backend.URL, "--insecure-no-auth")
	if got := open.do(call{method: "GET", path: path}); got.status != 200 {
		t.Errorf("open access: %d %s", got.status, got.body)
	}
	if !strings.Contains(open.logs.String(), "insecure-no-auth") {
		t.Error("open access is not said in the log")
	}
}

// printed finds a value of the banner.
func printed(out, name string) string {
	for _, line := range strings.Split(out, "\n") {
		if f := strings.Fields(line); len(f) == 2 && f[0] == name {
			return f[1]
		}
	}
	return ""
}

// TestSuiteCorpusContracts checks every document of the corpus by the command: all but the two with
// references to elsewhere load; those name what is missing.
func TestSuiteCorpusContracts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(needs.Corpus(t, "openapi/[0-9]*"))
	if err != nil || len(files) < 12 {
		t.Fatalf("%d documents (%v)", len(files), err)
	}
	passed := 0
	for _, file := range files {
		code, out, stderr := invoke(nil, "check", "--spec="+file)
		elsewhere := strings.Contains(filepath.Base(file), "dcsa")
		ok := code == 0 && stderr == "" && !strings.Contains(out, " 0 operations")
		if elsewhere {
			ok = code == 1 && strings.Contains(out, "swaggerhub.com")
		}
		if !ok {
			t.Errorf("%s: %d\n%s%s", filepath.Base(file), code, tail(out, 5), stderr)
			continue
		}
		passed++
	}
	needs.Suite(t, "corpus-contracts", passed, len(files))
}
