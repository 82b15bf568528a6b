package mapping_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"portway/internal/edi"
	"portway/internal/mapping"
	"portway/internal/needs"
)

const mappings = "../../policies/mappings"

func loadGuide(t testing.TB) *edi.Guide {
	t.Helper()
	b, err := os.ReadFile("../../policies/std/guides/x12/945-004010.yaml")
	if err != nil {
		t.Fatal(err)
	}
	g, problems := edi.LoadGuide("945-004010.yaml", b)
	if g == nil {
		t.Fatal(problems)
	}
	return g
}

func load(t testing.TB, file string) *mapping.Mapping {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m, problems := mapping.Compile(file, b)
	for _, p := range problems {
		t.Error(p)
	}
	if m == nil {
		t.FailNow()
	}
	return m
}

// decoder decodes what mappings read; an X12 document is its first set.
func decoder(g *edi.Guide) func(string, []byte) (any, error) {
	return func(format string, b []byte) (any, error) {
		if format == "json" {
			d := json.NewDecoder(bytes.NewReader(b))
			d.UseNumber()
			var v any
			err := d.Decode(&v)
			return v, err
		}
		ic, err := edi.Parse(b, edi.Limits{})
		if err != nil {
			return nil, err
		}
		d := g.Read(&ic.Groups[0].Sets[0])
		var all []error
		for i := range d.Errors {
			for _, v := range d.Errors[i].Violations() {
				all = append(all, errors.New(v.Message))
			}
		}
		return d.Tree, errors.Join(all...)
	}
}

// TestX12Mapping runs the cases beside the 945 mapping.
func TestX12Mapping(t *testing.T) {
	t.Parallel()
	m := load(t, filepath.Join(mappings, "x12-945-shipment-confirmed.yaml"))
	results := mapping.RunCases(m, decoder(loadGuide(t)), os.DirFS(mappings))
	if len(results) < 4 {
		t.Fatalf("only %d cases", len(results))
	}
	for _, r := range results {
		if len(r.Problems) > 0 {
			t.Errorf("%s (%s):\n  %s", r.Name, r.File, strings.Join(r.Problems, "\n  "))
		}
	}
}

// TestX12MappingCorpus maps the 945s of real warehouses.
func TestX12MappingCorpus(t *testing.T) {
	t.Parallel()
	dir := needs.Corpus(t, "samples/x12-guides")
	m, decode := load(t, filepath.Join(mappings, "x12-945-shipment-confirmed.yaml")), decoder(loadGuide(t))
	chicago, err := time.LoadLocation("America/Chicago")
	if err != nil {
		t.Fatal(err)
	}
	for file, lines := range map[string]int{"945_simplot_full.edi": 3, "945_waqe_nonfixed_isa.edi": 1} {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		tree, err := decode("x12", b)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		res, violations := m.Apply(context.Background(), tree, mapping.Env{Zone: chicago})
		if len(violations) > 0 {
			t.Errorf("%s: %+v", file, violations)
			continue
		}
		got, _ := res.Data["lines"].([]any)
		if len(got) != lines || res.Data["final"] != true || res.Data["mode"] != "delta" || res.TimezoneSource != "partner-default" {
			out, _ := json.MarshalIndent(res.Data, "", "  ")
			t.Errorf("%s: %s", file, out)
		}
		for _, l := range got {
			line := l.(map[string]any)
			if line["sku"] == nil || line["shipped"] == nil || line["status"] != "complete" || line["lot"] == nil {
				t.Errorf("%s: line %+v", file, line)
			}
		}
	}
}

func TestX12SourcePositions(t *testing.T) {
	t.Parallel()
	m, g := load(t, filepath.Join(mappings, "x12-945-shipment-confirmed.yaml")), loadGuide(t)
	b, err := os.ReadFile(filepath.Join(mappings, "cases/x12-945-shipment-confirmed.incomplete.edi"))
	if err != nil {
		t.Fatal(err)
	}
	ic, err := edi.Parse(b, edi.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	d := g.Read(&ic.Groups[0].Sets[0])
	_, violations := m.Apply(context.Background(), d.Tree, mapping.Env{Source: d.Locate})
	var all []string
	for _, v := range violations {
		all = append(all, v.Pointer+" "+v.Message)
	}
	text := strings.Join(all, "\n")
	for _, want := range []string{
		`/order field order (expr ".w06.depositorOrder"): a value is required; source segment 2 (W06)`,
		`/lines/1/shipped field lines[1].shipped (expr ".shipped"): a value is required; source segment 6 (W12)`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func BenchmarkX12Shipment(b *testing.B) {
	m, g := load(b, filepath.Join(mappings, "x12-945-shipment-confirmed.yaml")), loadGuide(b)
	src, err := os.ReadFile(filepath.Join(mappings, "cases/x12-945-shipment-confirmed.full.edi"))
	if err != nil {
		b.Fatal(err)
	}
	tree, err := decoder(g)("x12", src)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, v := m.Apply(context.Background(), tree, mapping.Env{Zone: time.UTC}); v != nil {
			b.Fatal(v)
		}
	}
}
