package policies_test

import (
	"strings"
	"testing"

	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/policies"
	"portway/specs"
)

// TestExampleSetLoads loads the example installation as --demo does.
func TestExampleSetLoads(t *testing.T) {
	t.Parallel()
	snap, problems := catalog.Load(catalog.Sources{StdSpecs: specs.Files, StdPolicies: policies.Files, Policies: policies.Files,
		Clock:      ident.System{},
		ResolveURL: func(ref string) (string, error) { return "http://127.0.0.1:1/" + strings.TrimPrefix(ref, "demo:"), nil }})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	for _, w := range snap.Warnings {
		t.Errorf("%s:%d: %s %s", w.File, w.Line, w.Rule, w.Message)
	}
	if len(snap.APIs) != 4 || len(snap.Backends) != 3 || len(snap.Digest) != 64 {
		t.Errorf("%d APIs, %d backends, digest %q", len(snap.APIs), len(snap.Backends), snap.Digest)
	}
}
