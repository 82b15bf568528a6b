package partner

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the expected problems of testdata/bad")

func read(t *testing.T, file string) (slug string, src []byte) {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(filepath.Base(file), ".yaml"), src
}

func files(t *testing.T, folder string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join("testdata", folder, "*.yaml"))
	if err != nil || len(list) == 0 {
		t.Fatalf("testdata/%s: %d files, %v", folder, len(list), err)
	}
	return list
}

func TestDecodeGoodFiles(t *testing.T) {
	t.Parallel()
	for _, file := range files(t, "good") {
		slug, src := read(t, file)
		b, problems := Decode(slug, file, src)
		if problems != nil || b == nil || b.Organisation.Slug != slug || b.Organisation.State != Active || b.Organisation.Origin != FromFile {
			t.Errorf("%s: %+v\n%v", file, b, problems)
		}
	}
	_, src := read(t, "testdata/good/full.yaml")
	got, problems := Decode("full", "full.yaml", src)
	if problems != nil {
		t.Fatal(problems)
	}
	want := &Bundle{
		Organisation: Organisation{Slug: "full", Name: "Example Warehousing", Kind: Kind3PL, State: Active, Zone: "America/Chicago", Origin: FromFile},
		Sites: []Site{{Code: "AAA", Name: "First", GLN: "0614141000012", Zone: "America/Chicago", CutOff: "14:00", Origin: FromFile},
			{Code: "BBB", Name: "Second", Zone: "Europe/Berlin", Origin: FromFile}},
		Brands:       []Brand{{Code: "b-one", Name: "Brand One", BusinessUnit: "consumer", Origin: FromFile}},
		Applications: []Application{{Slug: "wms", Name: "WMS", State: Active, Origin: FromFile}, {Slug: "tms", Name: "TMS", State: Active, Origin: FromFile}},
		Credentials: []Credential{{Application: "wms", Environment: "sandbox", Kind: "client_secret", ClientID: "ex-wms-sandbox", State: Active, Origin: FromFile},
			{Application: "wms", Environment: "live", Kind: "client_secret", ClientID: "ex-wms-live", State: Active, Origin: FromFile}},
		Subscriptions: []Subscription{
			{Application: "wms", API: "orders", Environment: "sandbox", Plan: "standard", Scopes: "orders:read orders:write", State: Active, Origin: FromFile},
			{Application: "wms", API: "orders", Environment: "live", Plan: "standard", Scopes: "orders:read orders:write", State: Active, Origin: FromFile},
			{Application: "wms", API: "shipments", Environment: "live", Plan: "standard", State: Active, Origin: FromFile}},
		Connections: []Connection{
			{Slug: "x12-sandbox", Environment: "sandbox", Format: "x12", SenderQualifier: "ZZ", SenderID: "EXWH", ReceiverQualifier: "01", ReceiverID: "123456789",
				Documents: `{"945":"x12-945-shipment-confirmed"}`, State: Active, Origin: FromFile},
			{Slug: "x12-live", Environment: "live", Format: "x12", SenderQualifier: "ZZ", SenderID: "EXWH", ReceiverQualifier: "01", ReceiverID: "123456789", Zone: "America/Denver",
				Documents: `{"944":"x12-944-receipt-confirmed","945":"x12-945-shipment-confirmed"}`, State: Active, Origin: FromFile}},
		Accounts:         []Account{{Email: "dev@example.com", Name: "Dana", Role: "developer", State: Active, Origin: FromFile}},
		SecretReferences: map[string]string{"ex-wms-live": "env:EX_WMS_SECRET"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("bundle (-want +got):\n%s", d)
	}
}

// TestDecodeBadFiles holds every problem of each file, with its line, against the file beside it.
func TestDecodeBadFiles(t *testing.T) {
	t.Parallel()
	for _, file := range files(t, "bad") {
		slug, src := read(t, file)
		b, problems := Decode(slug, filepath.Base(file), src)
		if b != nil || problems == nil {
			t.Errorf("%s is accepted", file)
			continue
		}
		got := problems.Err().Error() + "\n"
		if strings.Contains(got, "s3cr3t-value") || strings.Contains(got, "hunter2") {
			t.Errorf("%s: a secret is echoed:\n%s", file, got)
		}
		expected := strings.TrimSuffix(file, ".yaml") + ".txt"
		if *update {
			if err := os.WriteFile(expected, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(expected)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); d != "" {
			t.Errorf("%s: problems (-want +got):\n%s", file, d)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, name := range []string{"good/full", "good/least", "good/callers", "bad/everything", "bad/callers"} {
		src, err := os.ReadFile("testdata/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(src))
	}
	f.Fuzz(func(t *testing.T, src string) {
		b, problems := Decode("slug", "f.yaml", []byte(src))
		if (b == nil) == (problems == nil) {
			t.Fatalf("bundle %v, problems %v", b, problems)
		}
		if b != nil { // what is accepted can be loaded
			callers(b)
			delegations(b)
			for _, p := range parties(b) {
				if !p.Active || p.Zone == nil {
					t.Errorf("an accepted connection is not usable: %+v", p)
				}
			}
		}
	})
}
