package web

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestAssets(t *testing.T) {
	t.Parallel()
	a := NewAssets()
	url := a.URL("app.css")
	if !regexp.MustCompile(`^/static/app\.[0-9a-f]{12}\.css$`).MatchString(url) {
		t.Fatalf("address %q", url)
	}
	if again := NewAssets().URL("app.css"); again != url {
		t.Errorf("the address changes from %q to %q", url, again)
	}
	hashed, ok := a.Open(strings.TrimPrefix(url, Prefix))
	if !ok || !hashed.Immutable || hashed.Type != "text/css; charset=utf-8" || len(hashed.Body) == 0 || !strings.Contains(url, strings.Trim(hashed.ETag, `"`)) {
		t.Errorf("hashed: %v, immutable %v, type %q, tag %s", ok, hashed.Immutable, hashed.Type, hashed.ETag)
	}
	if plain, ok := a.Open("app.css"); !ok || plain.Immutable {
		t.Errorf("plain: %v, immutable %v", ok, plain.Immutable)
	}
	for _, name := range []string{"", "no.css", "../embed.go", "app.000000000000.css"} {
		if _, ok := a.Open(name); ok {
			t.Errorf("%q opens", name)
		}
	}
	if got := a.URL("no.css"); got != "/static/no.css" {
		t.Errorf("address of a missing file %q", got)
	}
}

func TestStaticBudgets(t *testing.T) {
	t.Parallel()
	for name, budget := range map[string]int{"app.css": 60_000, "app.js": 5_000, "favicon.svg": 1_000, "logo.svg": 1_000} {
		body, err := fs.ReadFile(Static, "static/"+name)
		if err != nil {
			t.Fatal(err)
		}
		if len(body) > budget {
			t.Errorf("%s has %d bytes, budget is %d", name, len(body), budget)
		}
	}
}

func TestSourcesKeepThePolicy(t *testing.T) {
	t.Parallel()
	raw := 0
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".templ" {
			return err
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		raw += strings.Count(string(body), "templ.Raw(")
		for _, bad := range []string{" style=", "<style", "onclick", "templ.JSFuncCall", "SafeCSS", "unsafe"} {
			if strings.Contains(string(body), bad) {
				t.Errorf("%s contains %q", path, bad)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if raw != 1 {
		t.Errorf("markup is shown unescaped in %d places, want 1", raw)
	}
	if strings.Contains(Policy, "unsafe") {
		t.Error("the policy allows something unsafe")
	}
}

func css(t *testing.T) string {
	t.Helper()
	body, err := fs.ReadFile(Static, "static/app.css")
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// tokens reads the custom properties of the first block after head.
func tokens(t *testing.T, sheet, head string) map[string]string {
	t.Helper()
	_, rest, ok := strings.Cut(sheet, head)
	if !ok {
		t.Fatalf("no block %q", head)
	}
	block, _, _ := strings.Cut(rest, "}")
	out := map[string]string{}
	for _, m := range regexp.MustCompile(`--([a-z0-9-]+):\s*([^;]+);`).FindAllStringSubmatch(block, -1) {
		out[m[1]] = m[2]
	}
	return out
}

func TestDarkIsTheSameByChoiceAndBySystem(t *testing.T) {
	t.Parallel()
	sheet := css(t)
	light := tokens(t, sheet, ":root {")
	chosen, system := tokens(t, sheet, `:root[data-theme="dark"] {`), tokens(t, sheet, ":root:not([data-theme]) {")
	if len(chosen) != len(light) || len(system) != len(light) {
		t.Errorf("%d tokens light, %d dark by choice, %d by system", len(light), len(chosen), len(system))
	}
	for name := range light {
		if chosen[name] == "" || chosen[name] != system[name] {
			t.Errorf("%s: %q by choice, %q by system", name, chosen[name], system[name])
		}
	}
	for _, m := range regexp.MustCompile(`var\(--([a-z0-9-]+)`).FindAllStringSubmatch(sheet, -1) {
		if _, ok := light[m[1]]; !ok && m[1] != "ground" {
			t.Errorf("var(--%s) has no token", m[1])
		}
	}
}

// TestContrast recomputes the table of the visual reference with the WCAG 2 formula.
func TestContrast(t *testing.T) {
	t.Parallel()
	sheet := css(t)
	light, dark := tokens(t, sheet, ":root {"), tokens(t, sheet, `:root[data-theme="dark"] {`)
	for _, c := range []struct {
		fore, back  string
		light, dark string
		least       float64
	}{
		{"ink", "surface", "17.97", "15.00", 4.5}, {"ink", "canvas", "16.42", "16.07", 4.5},
		{"ink-2", "surface", "8.44", "9.23", 4.5}, {"ink-2", "sunken", "7.48", "9.67", 4.5},
		{"ink-3", "surface", "5.84", "6.35", 4.5}, {"ink-3", "canvas", "5.34", "6.80", 4.5},
		{"ink-3", "sunken", "5.18", "6.65", 4.5}, {"ink-3", "bad-t", "4.95", "5.74", 4.5},
		{"acc", "surface", "7.49", "8.76", 4.5}, {"acc", "acc-t", "6.36", "6.88", 4.5},
		{"on-acc", "acc", "7.49", "8.24", 4.5}, {"acc", "bad-t", "6.35", "7.91", 4.5},
		{"ctl", "surface", "3.56", "4.11", 3}, {"ctl", "canvas", "3.25", "4.40", 3},
		{"line", "surface", "1.30", "1.28", 1}, {"line-2", "surface", "1.82", "1.94", 1},
		{"ok", "surface", "6.62", "8.69", 4.5}, {"ok", "ok-t", "5.72", "7.57", 4.5},
		{"warn", "surface", "6.68", "9.09", 4.5}, {"warn", "warn-t", "5.90", "7.94", 4.5},
		{"bad", "surface", "6.93", "8.18", 4.5}, {"bad", "bad-t", "5.88", "7.39", 4.5},
		{"wait", "wait-t", "6.08", "7.80", 4.5}, {"ink-3", "acc-t", "4.96", "4.99", 4.5},
		{"ink", "mark", "15.75", "10.45", 4.5}, {"number", "mark", "5.85", "6.34", 4.5},
		{"string", "sunken", "6.64", "10.19", 4.5}, {"number", "sunken", "5.92", "9.52", 4.5},
	} {
		for theme, x := range map[string]struct {
			tokens map[string]string
			want   string
		}{"light": {light, c.light}, "dark": {dark, c.dark}} {
			got := contrast(t, x.tokens[c.fore], x.tokens[c.back])
			if fmt.Sprintf("%.2f", got) != x.want {
				t.Errorf("%s: %s on %s is %.2f, the table says %s", theme, c.fore, c.back, got, x.want)
			}
			if got < c.least {
				t.Errorf("%s: %s on %s is %.2f, at least %g is needed", theme, c.fore, c.back, got, c.least)
			}
		}
	}
}

func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// luminance is the relative luminance of "#rrggbb" (WCAG 2.2, relative luminance).
func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	n, err := strconv.ParseUint(strings.TrimPrefix(hex, "#"), 16, 32)
	if err != nil || len(hex) != 7 {
		t.Fatalf("%q is no colour", hex)
	}
	part := func(shift uint) float64 {
		v := float64(n>>shift&0xff) / 255
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*part(16) + 0.7152*part(8) + 0.0722*part(0)
}
