package mapping

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// CaseResult is the outcome of one test of a mapping document.
type CaseResult struct {
	Name     string
	File     string   // the input, relative to the mapping
	Line     int      // of the case in the mapping document
	Problems []string // empty when the case passed
}

// RunCases runs the tests of a mapping document. fsys is the folder the document lies in; decode turns the
// bytes of an input, in the mapping's source format, into what Apply takes. A case passes when the output
// equals the expected JSON, or when every expected error text occurs; expected warnings must occur too.
func RunCases(m *Mapping, decode func(format string, b []byte) (any, error), fsys fs.FS) []CaseResult {
	out := make([]CaseResult, len(m.tests))
	for i := range m.tests {
		t := &m.tests[i].Value
		out[i] = CaseResult{Name: t.Name.Value, File: t.In.Value, Line: m.tests[i].Line, Problems: m.runCase(t, decode, fsys)}
	}
	return out
}

func (m *Mapping) runCase(t *testDoc, decode func(string, []byte) (any, error), fsys fs.FS) []string {
	b, err := fs.ReadFile(fsys, path.Clean(t.In.Value))
	if err != nil {
		return []string{err.Error()}
	}
	var faults []string
	var res *Result
	in, err := decode(m.Source.Format, b)
	if err != nil {
		faults = strings.Split(err.Error(), "\n")
	} else {
		env := Env{}
		if t.Zone.Set {
			if env.Zone, err = time.LoadLocation(t.Zone.Value); err != nil {
				return []string{err.Error()}
			}
		}
		if t.Vars.Kind != 0 {
			v, err := value(&t.Vars, 0)
			if err != nil {
				return []string{err.Error()}
			}
			env.Vars, _ = v.(map[string]any)
		}
		r, violations := m.Apply(context.Background(), in, env)
		for _, v := range violations {
			faults = append(faults, v.Message)
		}
		res = r
	}
	if len(t.Errors) > 0 {
		return absentTexts("error", t.Errors, faults)
	}
	if len(faults) > 0 {
		return faults
	}
	var warnings []string
	for _, w := range res.Warnings {
		warnings = append(warnings, w.Field+": "+w.Message)
	}
	problems := absentTexts("warning", t.Warnings, warnings)
	want, err := readJSON(fsys, t.Out.Value)
	if err != nil {
		return append(problems, err.Error())
	}
	return append(problems, difference("", want, any(res.Data))...)
}

func absentTexts(what string, want, got []string) []string {
	var out []string
	for _, w := range want {
		found := false
		for _, g := range got {
			found = found || strings.Contains(g, w)
		}
		if !found {
			out = append(out, fmt.Sprintf("no %s contains %q; got %q", what, w, got))
		}
	}
	return out
}

func readJSON(fsys fs.FS, name string) (any, error) {
	b, err := fs.ReadFile(fsys, path.Clean(name))
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("%s: more than one JSON value", name)
	}
	return v, nil
}

// difference lists where two JSON values differ, by JSON Pointer.
func difference(at string, want, got any) []string {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			break
		}
		keys := map[string]bool{}
		for k := range w {
			keys[k] = true
		}
		for k := range g {
			keys[k] = true
		}
		var out []string
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			wv, inWant := w[k]
			gv, inGot := g[k]
			switch {
			case !inGot:
				out = append(out, fmt.Sprintf("%s/%s is missing", at, k))
			case !inWant:
				out = append(out, fmt.Sprintf("%s/%s is not expected", at, k))
			default:
				out = append(out, difference(at+"/"+k, wv, gv)...)
			}
		}
		return out
	case []any:
		g, ok := got.([]any)
		if !ok {
			break
		}
		if len(g) != len(w) {
			return []string{fmt.Sprintf("%s has %d items, want %d", at, len(g), len(w))}
		}
		var out []string
		for i := range w {
			out = append(out, difference(fmt.Sprintf("%s/%d", at, i), w[i], g[i])...)
		}
		return out
	default:
		if want == got {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s is %v, want %v", at, got, want)}
}
