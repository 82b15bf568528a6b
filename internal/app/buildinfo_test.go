package app

import (
	"debug/buildinfo"
	"debug/elf"
	"strings"
	"testing"
)

// floors are the lowest releases without a known advisory that reaches us; govulncheck alone passes older ones,
// because most request-smuggling fixes of fasthttp never got a number.
var floors = map[string]string{
	"github.com/valyala/fasthttp":   "v1.77.0",
	"github.com/gofiber/fiber/v2":   "v2.52.15",
	"github.com/getkin/kin-openapi": "v0.152.0",
	"github.com/golang-jwt/jwt/v5":  "v5.3.1",
	"github.com/jackc/pgx/v5":       "v5.9.2",
	"github.com/yuin/goldmark":      "v1.7.17",
}

// testOnly are modules that only tests and tools use.
var testOnly = []string{"github.com/chromedp/", "github.com/PuerkitoBio/goquery", "github.com/rogpeppe/go-internal", "github.com/google/go-cmp"}

// TestBinary builds the program as "make build" does and reads what is in it.
func TestBinary(t *testing.T) {
	t.Parallel()
	file := binary(t)
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	linked := map[string]string{}
	for _, m := range info.Deps {
		version := m.Version
		if m.Replace != nil {
			version = m.Replace.Version
		}
		linked[m.Path] = version
	}
	for path, floor := range floors {
		switch version, ok := linked[path]; {
		case !ok:
			t.Errorf("%s is not linked; if it is gone for good, take it off this list", path)
		case below(version, floor):
			t.Errorf("%s is %s, at least %s is needed", path, version, floor)
		}
	}
	for path := range linked {
		for _, prefix := range testOnly {
			if strings.HasPrefix(path, prefix) {
				t.Errorf("%s is for tests and is linked into the program", path)
			}
		}
	}
	for _, s := range info.Settings {
		if s.Key == "CGO_ENABLED" && s.Value != "0" {
			t.Error("built with cgo")
		}
	}
	f, err := elf.Open(file)
	if err != nil {
		t.Logf("not an ELF file, so not looked into further: %v", err)
		return
	}
	defer f.Close()
	if libraries, err := f.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Errorf("the program is not static: %v, %v", libraries, err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the program asks for a dynamic loader")
		}
	}
}

// below compares versions "v1.2.3" number by number; a pseudo-version or pre-release counts as the release before.
func below(version, floor string) bool {
	number := func(v string) [3]int {
		var out [3]int
		core, _, _ := strings.Cut(strings.TrimPrefix(v, "v"), "+")
		core, _, pre := strings.Cut(core, "-")
		for i, part := range strings.SplitN(core, ".", 3) {
			for _, c := range part {
				if c < '0' || c > '9' {
					return [3]int{-1}
				}
				out[i] = out[i]*10 + int(c-'0')
			}
		}
		if pre {
			out[2]--
		}
		return out
	}
	a, b := number(version), number(floor)
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}

func TestBelow(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		version, floor string
		want           bool
	}{
		{"v1.77.0", "v1.77.0", false}, {"v1.76.9", "v1.77.0", true}, {"v1.100.0", "v1.77.0", false}, {"v2.0.0", "v1.77.0", false}, {"v1.9.0", "v1.10.0", true},
		{"v1.77.0-rc1", "v1.77.0", true}, {"v1.77.1-0.20260101000000-abcdefabcdef", "v1.77.0", false}, {"", "v1.0.0", true}, {"(devel)", "v1.0.0", true},
	} {
		if got := below(tt.version, tt.floor); got != tt.want {
			t.Errorf("%q below %q: %v", tt.version, tt.floor, got)
		}
	}
}
