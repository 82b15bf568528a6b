package response

import (
	"os"
	"path/filepath"
	"testing"

	"portway/internal/needs"
	"portway/internal/openapi"
	"portway/internal/schema"
)

func TestSchemas(t *testing.T) {
	t.Parallel()
	one, two, three := &schema.Schema{}, &schema.Schema{}, &schema.Schema{}
	s := &Schemas{by: map[int]map[string]*schema.Schema{
		200: {"application/json": one, "image/*": nil}, 204: nil, 4: {"*/*": two}, 0: {"application/problem+json": three}}}
	for _, c := range []struct {
		status   int
		media    string
		found    *schema.Schema
		declared bool
		where    string
	}{
		{200, "application/json", one, true, ""}, {200, "image/png", nil, true, ""}, {200, "text/html", nil, false, "contentType"}, {200, "", nil, false, "contentType"},
		{204, "text/html", nil, true, ""}, {404, "text/html", two, true, ""}, {500, "application/problem+json", three, true, ""}, {500, "text/html", nil, false, "contentType"},
	} {
		found, declared, where := s.Find(c.status, c.media)
		if found != c.found || declared != c.declared || where != c.where {
			t.Errorf("%d %s: %v %v %q", c.status, c.media, found == c.found, declared, where)
		}
	}
	if _, declared, where := (&Schemas{by: map[int]map[string]*schema.Schema{2: nil}}).Find(301, ""); declared || where != "status" {
		t.Errorf("an undeclared status: %v %q", declared, where)
	}
	if !s.Content(200) || s.Content(204) || !s.Content(599) {
		t.Error("which statuses have a body")
	}
	if _, declared, _ := (*Schemas)(nil).Find(200, ""); !declared {
		t.Error("without schemas nothing is undeclared")
	}
	for status, want := range map[string]int{"200": 200, "2XX": 2, "4xx": 4, "default": 0, "599": 599} {
		if got, err := statusKey(status); err != nil || got != want {
			t.Errorf("%s: %d, %v", status, got, err)
		}
	}
	for _, status := range []string{"", "2", "600", "2X0", "20O", "DEFAULT", "2000", "099"} {
		if _, err := statusKey(status); err == nil {
			t.Errorf("%q is taken for a status", status)
		}
	}
}

// BenchmarkCompile is what checking answers adds to loading a large contract: its schemas are compiled once more.
func BenchmarkCompile(b *testing.B) {
	files, err := filepath.Glob(needs.Corpus(b, "openapi/[0-9]*"))
	if err != nil {
		b.Fatal(err)
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		doc, _, err := openapi.Load(src, openapi.Options{File: file, SkipValidation: true})
		if err != nil || len(doc.Operations) < 20 {
			continue
		}
		b.Run(filepath.Base(file), func(b *testing.B) {
			n := 0
			for b.Loop() {
				c, err := schema.NewCompiler(doc.Bundle, doc.Dialect)
				if err != nil {
					b.Fatal(err)
				}
				n = 0
				for i := range doc.Operations {
					if s, _, err := Compile(&doc.Operations[i], c, ""); err == nil {
						n += len(s.by)
					}
				}
			}
			b.ReportMetric(float64(n), "answers")
			b.ReportMetric(float64(len(src))/1024, "KiB")
		})
		b.Run(filepath.Base(file)+" names", func(b *testing.B) {
			for b.Loop() {
				doc.DeclaredNames()
			}
		})
	}
}
