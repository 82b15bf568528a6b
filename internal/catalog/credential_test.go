package catalog

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"portway/internal/ident"
)

func TestCredentialsOfAnAPI(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		keys    bool
		problem string
	}{
		"":                                    {},
		"credentials: [token]\n":              {},
		"credentials: [token, api_key]\n":     {keys: true},
		"credentials: [api_key]\n":            {keys: true, problem: "leave out token"},
		"credentials: [token, certificate]\n": {problem: `"certificate": use token or api_key`},
	} {
		l := &loader{src: Sources{}, snap: &Snapshot{}, owners: map[string]string{}, digest: map[string][32]byte{}}
		src := []byte("kind: api\nschema: 1\ntitle: A\n" + text)
		l.text = src
		l.api("a", "policies/apis/a.yaml", src)
		got := ""
		for _, p := range l.problems {
			if strings.Contains(p.Message, "credentials") {
				got = p.Error()
			}
		}
		if l.snap.APIs[0].APIKeys != want.keys || (want.problem == "") != (got == "") || !strings.Contains(got, want.problem) {
			t.Errorf("%q: %t, %q", text, l.snap.APIs[0].APIKeys, got)
		}
		if got != "" && !strings.HasPrefix(got, "policies/apis/a.yaml:4:") {
			t.Errorf("%q: not at its line: %s", text, got)
		}
	}
}

func TestTokenLifetimeOfAPlan(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"": 0, "tokenLifetime: 5m\n": 5 * time.Minute, "tokenLifetime: 59s\n": -1, "tokenLifetime: 25h\n": -1, "tokenLifetime: -1m\n": -1} {
		snap, problems := Load(Sources{Policies: fstest.MapFS{"plans/p.yaml": {Data: []byte("kind: plan\nschema: 1\nname: P\n" + text)}}, Clock: ident.System{}})
		if want < 0 {
			if err := problems.Err(); err == nil || !strings.Contains(err.Error(), "policies/plans/p.yaml:4: tokenLifetime") {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		if err := problems.Err(); err != nil || snap.Plans["p"].TokenLifetime != want {
			t.Errorf("%q: %v, %v", text, snap, err)
		}
	}
}
