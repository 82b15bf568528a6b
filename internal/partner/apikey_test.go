package partner

import (
	"strings"
	"testing"

	"portway/internal/ident"
)

func TestAPIKey(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	counts := map[rune]int{}
	for range 500 {
		for _, env := range []Environment{ident.Sandbox, ident.Live} {
			key := NewAPIKey(env)
			if got, ok := APIKeyEnvironment(key); !ok || got != env || !IsAPIKey(key) || seen[key] {
				t.Fatalf("%s: %s, %t", key, got, ok)
			}
			seen[key] = true
			for _, c := range strings.Split(key, "_")[2] {
				counts[c]++
			}
		}
	}
	if len(counts) != 62 {
		t.Errorf("%d characters are used, want all 62", len(counts))
	}
	for c, n := range counts { // 30,000 characters, 484 of each on average
		if n < 350 || n > 650 {
			t.Errorf("%q comes %d times in 30,000", c, n)
		}
	}
}

// The checksum is fixed: keys in the hands of partners must stay keys.
func TestAPIKeyChecksum(t *testing.T) {
	t.Parallel()
	good := "pw_live_000000000000000000000000000000_" + checksum("pw_live_000000000000000000000000000000")
	if good != "pw_live_000000000000000000000000000000_4WKB5w" {
		t.Errorf("the checksum changed: %s", good)
	}
	if _, ok := APIKeyEnvironment(good); !ok {
		t.Error("refused")
	}
	for name, bad := range map[string]string{
		"empty":               "",
		"prefix alone":        "pw_",
		"no checksum":         good[:len(good)-7],
		"short checksum":      good[:len(good)-1],
		"one more":            good + "0",
		"one character":       strings.Replace(good, "_0000", "_0001", 1),
		"other environment":   strings.Replace(good, "live", "sandbox", 1),
		"unknown environment": strings.Replace(good, "live", "test", 1),
		"upper-case prefix":   strings.Replace(good, "pw_", "PW_", 1),
		"checksum changed":    good[:len(good)-1] + "0",
		"not base62":          "pw_live_00000000000000000000000000000-_" + checksum("pw_live_00000000000000000000000000000-"),
		"longer random":       "pw_live_0000000000000000000000000000000_" + checksum("pw_live_0000000000000000000000000000000"),
		"blank at the end":    good + " ",
	} {
		if env, ok := APIKeyEnvironment(bad); ok || env != "" {
			t.Errorf("%s: %q is accepted", name, bad)
		}
	}
}

func FuzzAPIKey(f *testing.F) {
	f.Add(NewAPIKey(ident.Live))
	f.Add("pw_live_")
	f.Add("pw__x_y")
	f.Fuzz(func(t *testing.T, s string) {
		if env, ok := APIKeyEnvironment(s); ok && (!env.Valid() || !strings.HasPrefix(s, "pw_"+string(env)+"_") || len(s) > 60) {
			t.Errorf("%q is accepted as %s", s, env)
		}
	})
}
