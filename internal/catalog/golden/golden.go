// Package golden runs the cases that lie beside the mapping documents of an installation.
package golden

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"portway/internal/catalog"
	"portway/internal/datafile"
	"portway/internal/edi"
	"portway/internal/mapping"
	"portway/internal/schema"
)

// Check runs the golden cases of every mapping document of a Snapshot; src is where it was loaded from. Each case
// that fails is a problem at its line. A mapping between versions that has none is one too: it decides what a
// partner of an older version is told, and nothing else would notice a change. Cost grows with the cases.
func Check(s *catalog.Snapshot, src catalog.Sources) datafile.Problems {
	var problems datafile.Problems
	for _, id := range slices.Sorted(maps.Keys(s.Mappings)) {
		m := s.Mappings[id]
		files, folder := src.Policies, "mappings"
		if strings.HasPrefix(m.File, "policies/std/") {
			files, folder = src.StdPolicies, "std/mappings"
		}
		beside, err := fs.Sub(files, folder)
		if err != nil {
			problems.Add(m.File, 0, "%v", err)
			continue
		}
		results := mapping.RunCases(m, decoder(s, m), beside)
		if len(results) == 0 && betweenVersions(s, m) {
			problems.Add(m.File, 0, "a mapping between versions needs at least one case under tests")
		}
		for _, r := range results {
			for _, p := range r.Problems {
				problems.Add(m.File, r.Line, "case %q (%s): %s", r.Name, r.File, p)
			}
		}
	}
	return problems.Sort()
}

// betweenVersions reports whether an operation uses m for its requests or answers.
func betweenVersions(s *catalog.Snapshot, m *mapping.Mapping) bool {
	for _, a := range s.APIs {
		for _, v := range a.Versions {
			for _, r := range v.Routes {
				if r.Up == m || r.Down == m {
					return true
				}
			}
		}
	}
	return false
}

// decoder reads the input of a case as the mapping would get it; an X12 interchange is its first set.
func decoder(s *catalog.Snapshot, m *mapping.Mapping) func(format string, b []byte) (any, error) {
	return func(format string, b []byte) (any, error) {
		if format != "x12" {
			return schema.Decode(b, schema.Limits{})
		}
		guide := s.Guides["x12/"+m.Source.Set+"/"+m.Source.Version]
		if guide == nil {
			return nil, fmt.Errorf("there is no guide for X12 %s %s", m.Source.Set, m.Source.Version)
		}
		interchange, err := edi.Parse(b, edi.Limits{})
		if err != nil {
			return nil, err
		}
		if len(interchange.Groups) == 0 || len(interchange.Groups[0].Sets) == 0 {
			return nil, errors.New("the interchange holds no transaction set")
		}
		document := guide.Read(&interchange.Groups[0].Sets[0])
		var all []error
		for i := range document.Errors {
			for _, v := range document.Errors[i].Violations() {
				all = append(all, errors.New(v.Message))
			}
		}
		return document.Tree, errors.Join(all...)
	}
}
