package edi

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"portway/internal/needs"
)

// unreadable are the samples that must be refused, with the reason; bare ones are quoted without envelope.
var unreadable = map[string]string{
	"x12-edifabric/CorruptIsa.edi":                   "does not begin with an ISA",
	"x12-edifabric/MixedTransactionsNoEnvelopes.edi": "bare",
	"x12-guides/180_x12types_synthetic.edi":          "bare",
	"x12-guides/944_synthetic_with_exceptions.edi":   "bare",
	"x12-guides/997_boomi_guide_1.edi":               "bare",
	"x12-guides/997_boomi_guide_2.edi":               "bare",
}

// wrongCount are the samples with a wrong SE01 in at least one set: twelve with an envelope, whose 997 must
// say so with code 4, and one bare set.
var wrongCount = []string{
	"x12-edifabric/PurchaseOrderInvalid.edi",
	"x12-edifabric/PurchaseOrderMultiLine.edi",
	"x12-edifabric/ShipBillNotice.edi",
	"x12-guides/846_doc_snapshot.edi",
	"x12-guides/944_dcg.edi",
	"x12-guides/944_synthetic_with_exceptions.edi",
	"x12-guides/945_simplot_full.edi",
	"x12-guides/945_waqe_nonfixed_isa.edi",
	"omniparser/edi_2_ups_edi_210.input.txt",
	"edi-indice/204-MGCTLYST-SAMPLE.EDI",
	"edi-indice/x12.832.edi",
	"edi-indice/x12.Issue101.edi",
	"edi-indice/x12.Issue172.edi",
}

// x12Samples lists every file of the corpus whose content begins like X12, whatever its name.
func x12Samples(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	for _, sub := range []string{"x12-edifabric", "x12-guides", "omniparser", "edi-indice"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			b, err := os.ReadFile(filepath.Join(dir, sub, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			b = bytes.TrimPrefix(b, []byte("\ufeff"))
			if bytes.HasPrefix(b, []byte("ISA")) || bytes.HasPrefix(b, []byte("SA*")) || bytes.HasPrefix(b, []byte("ST*")) {
				out = append(out, sub+"/"+e.Name())
			}
		}
	}
	return out
}

func TestSuiteX12Samples(t *testing.T) {
	t.Parallel()
	dir := needs.Corpus(t, "samples")
	files := x12Samples(t, dir)
	passed := 0
	var counted []string
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f))
		if err != nil {
			t.Fatal(err)
		}
		wrong, why := sample(b, unreadable[f])
		if why != "" {
			t.Errorf("%s: %s", f, why)
			continue
		}
		passed++
		if wrong {
			counted = append(counted, f)
		}
	}
	needs.Suite(t, "x12-samples", passed, len(files))
	t.Logf("wrong SE01: %d files", len(counted))
	if !slices.Equal(counted, wrongCount) {
		t.Errorf("files with a wrong SE01:\n%s", strings.Join(counted, "\n"))
	}
}

// sample reads one file, acknowledges it, and checks that every wrong SE01 says so in its AK5. It returns
// what went wrong, "" for nothing.
func sample(b []byte, refusal string) (wrongCount bool, why string) {
	ic, err := Parse(b, Limits{})
	if refusal != "" {
		var e *EnvelopeError
		if !errors.As(err, &e) {
			return false, "it should have been refused"
		}
		if refusal != "bare" {
			if !strings.Contains(e.Reason, refusal) {
				return false, "refused for another reason: " + e.Reason
			}
			return false, ""
		}
		sets, _, err := ParseBare(b, Limits{})
		if err != nil || len(sets) == 0 {
			return false, "not even its sets can be read"
		}
		for i := range sets {
			wrongCount = wrongCount || has(sets[i].Errors, "4")
		}
		return wrongCount, ""
	}
	for {
		if err != nil {
			return false, err.Error()
		}
		results := make([][]SetResult, len(ic.Groups))
		for i := range ic.Groups {
			results[i] = make([]SetResult, len(ic.Groups[i].Sets))
		}
		ack, err := Acknowledge(ic, results, AckOptions{Interchange: 1, Group: 1, Set: 1, Now: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)})
		if err != nil {
			return false, err.Error()
		}
		if ack.Bytes == nil && ic.Acknowledgements() > 0 {
			return false, "it was not acknowledged"
		}
		for i := range ic.Groups {
			for j := range ic.Groups[i].Sets {
				s := &ic.Groups[i].Sets[j]
				if s.DeclaredSegments == len(s.Segments) {
					continue
				}
				wrongCount = true
				if ack.Bytes != nil && !has(ack.Groups[i].Sets[j].Codes, "4") && !has(ack.Groups[i].Sets[j].Codes, "2") {
					return true, "a wrong SE01 is not in the 997"
				}
			}
		}
		if ic.Rest == nil {
			return wrongCount, ""
		}
		ic, err = Parse(ic.Rest, Limits{})
		if err != nil {
			return wrongCount, err.Error()
		}
	}
}

// TestCorpus945 reads the real-world 945s with the shipped guide.
func TestCorpus945(t *testing.T) {
	t.Parallel()
	dir, g := needs.Corpus(t, "samples"), loadGuide(t, "945-004010")
	for f, errs := range map[string]int{
		"x12-guides/945_simplot_full.edi":           0,
		"x12-guides/945_waqe_nonfixed_isa.edi":      0,
		"x12-edifabric/WarehouseShippingAdvice.edi": 1, // the placeholder CCYYMMDD
	} {
		b, err := os.ReadFile(filepath.Join(dir, f))
		if err != nil {
			t.Fatal(err)
		}
		ic, err := Parse(b, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		d := g.Read(&ic.Groups[0].Sets[0])
		if len(d.Errors) != errs {
			t.Errorf("%s: %+v", f, d.Errors)
		}
		t.Logf("%s: %d warnings %v", f, len(d.Warnings), d.Warnings)
	}
}
