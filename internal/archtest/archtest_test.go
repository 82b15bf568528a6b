// Package archtest holds the house rules that a compiler does not check: who may import whom, and how large
// a file, function, interface or package may grow (docs: decisions/0001).
package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// always may be imported by every room; domains is the word of the rules below.
var (
	always  = []string{"internal/problem", "internal/secret", "internal/ident", "internal/telemetry", "internal/datafile"}
	domains = rooms("catalog schema openapi partner token mapping intake eventlog delivery outbound flow traffic certify governance audit notify job cluster world logistics")
	stage   = append(rooms("catalog catalog/egress partner token schema cluster idempotent intake outbound traffic mapping logistics"), "gateway/exchange")
)

// rules is who may import which rooms of this program. A room that is not listed is an error.
var rules = map[string][]string{
	"":                 {"internal/app"},
	"gateway":          append(rooms("catalog partner traffic eventlog delivery intake token outbound"), "gateway/exchange", "gateway/edge", "gateway/contract", "gateway/authn", "gateway/throttle", "gateway/idempotency", "gateway/upstream", "gateway/mediate", "gateway/builtin"),
	"gateway/exchange": rooms("catalog partner traffic idempotent"),
	"gateway/edge":     stage, "gateway/contract": append(rooms("openapi"), stage...), "gateway/authn": stage, "gateway/throttle": stage, "gateway/idempotency": stage,
	"gateway/upstream": stage, "gateway/mediate": stage, "gateway/builtin": append(rooms("eventlog delivery"), stage...),
	"portal":  append([]string{"web", "web/layout", "web/component", "web/page", "web/format"}, domains...),
	"sandbox": rooms("catalog schema mapping edi flatfile xmldoc logistics certify partner traffic world token job"),
	"specs":   nil, "policies": nil, "migrations": nil,
	"internal/cluster": nil, "internal/cluster/redistest": {"internal/needs"},
	"web":                       {"web", "web/layout", "web/component", "web/page", "web/format"},
	"internal/config":           nil,
	"internal/problem":          nil,
	"internal/secret":           nil,
	"internal/ident":            nil,
	"internal/datafile":         nil,
	"internal/telemetry":        nil,
	"internal/archtest":         nil,
	"internal/bench":            nil,
	"internal/needs":            nil,
	"internal/catalog":          rooms("openapi schema mapping edi flatfile xmldoc logistics rule"),
	"internal/openapi":          rooms("schema"),
	"internal/schema":           nil,
	"internal/mapping":          rooms("logistics"),
	"internal/edi":              nil,
	"internal/logistics":        nil,
	"internal/partner":          rooms("audit job"),
	"internal/token":            rooms("partner catalog cluster schema"),
	"internal/idempotent":       rooms("partner"),
	"internal/traffic":          rooms("partner"),
	"internal/eventlog":         rooms("logistics idempotent job audit"),
	"internal/outbound":         append(rooms("cluster partner catalog"), "internal/catalog/egress"),
	"internal/intake":           rooms("catalog partner mapping edi flatfile xmldoc logistics eventlog delivery idempotent job schema"),
	"internal/delivery":         rooms("eventlog outbound catalog partner rule logistics mapping edi flatfile xmldoc job notify"),
	"internal/delivery/backend": append(rooms("catalog logistics"), "internal/delivery"),
}

// support is what only tests, and support for tests, may import.
var support = []string{"internal/needs", "internal/store/pgtest", "internal/store/storetest", "internal/cluster/redistest"}

// engines may be imported by one room only.
var engines = map[string][]string{
	"github.com/getkin/kin-openapi":         {"internal/openapi"},
	"github.com/santhosh-tekuri/jsonschema": {"internal/schema"},
	"github.com/itchyny/gojq":               {"internal/mapping"},
	"github.com/golang-jwt/jwt":             {"internal/token"},
	"github.com/gofiber/fiber":              {"gateway/edge", "portal", "internal/app"},
	"github.com/valyala/fasthttp":           {"gateway/edge", "portal", "internal/outbound", "internal/bench"},
	"database/sql":                          {"internal/store"},
	"github.com/jmoiron/sqlx":               {"internal/store"},
	"modernc.org/sqlite":                    {"internal/store"},
	"github.com/jackc/pgx":                  {"internal/store"},
	"github.com/pressly/goose":              {"internal/store"},
	"github.com/alecthomas/kong":            {"internal/app"},
	"github.com/alexedwards/argon2id":       {"internal/app", "portal"},
	"github.com/redis/go-redis":             {"internal/cluster"},
	"github.com/failsafe-go/failsafe-go":    {"internal/outbound"},
	"github.com/ulule/limiter":              {"internal/cluster"},
	"github.com/prometheus":                 {"internal/telemetry"},
}

func rooms(names string) []string {
	var out []string
	for _, n := range strings.Fields(names) {
		out = append(out, "internal/"+n)
	}
	return out
}

// within reports whether folder is room or below it.
func within(folder, room string) bool {
	return folder == room || strings.HasPrefix(folder, room+"/")
}

// rule finds the rule of a folder: its own, else the closest one above it.
func rule(folder string) ([]string, string, bool) {
	for at := folder; ; at = path.Dir(at) {
		if at == "." {
			at = ""
		}
		if r, ok := rules[at]; ok && (at != "" || folder == "") {
			return r, at, true
		}
		if at == "" {
			return nil, "", false
		}
	}
}

type source struct {
	folder, file string
	test         bool
	generated    bool
	lines        int
	tree         *ast.File
	set          *token.FileSet
}

func sources(t *testing.T) []source {
	t.Helper()
	var out []source
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		if d.IsDir() && rel != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin" || d.Name() == "data") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, name, src, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		folder := path.Dir(filepath.ToSlash(rel))
		if folder == "." {
			folder = ""
		}
		out = append(out, source{folder: folder, file: filepath.ToSlash(rel), test: strings.HasSuffix(name, "_test.go"),
			generated: strings.HasSuffix(name, "_templ.go"), lines: strings.Count(string(src), "\n"), tree: tree, set: set})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 50 {
		t.Fatalf("only %d Go files found from %s: the test looks in the wrong place", len(out), root)
	}
	return out
}

func TestImports(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.test {
			continue // tests may use what they need; production code is what the rules are for
		}
		allowed, owner, ok := rule(s.folder)
		free := within(s.folder, "internal/app") || within(s.folder, "internal/store")
		if !ok && !free {
			t.Errorf("%s: the room %q has no import rule: add it to archtest", s.file, s.folder)
			continue
		}
		for _, imp := range s.tree.Imports {
			name, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			for engine, owners := range engines {
				if (name == engine || strings.HasPrefix(name, engine+"/")) && !anyWithin(s.folder, owners) {
					t.Errorf("%s imports %s: only %s may", s.file, name, strings.Join(owners, ", "))
				}
			}
			own, isOurs := strings.CutPrefix(name, "portway/")
			if isTesting := name == "testing" || strings.HasPrefix(name, "testing/"); (isTesting || isOurs && anyWithin(own, support)) && !anyWithin(s.folder, support) {
				t.Errorf("%s imports %s: only tests may", s.file, name)
			}
			if !isOurs || free || anyWithin(own, always) || (owner != "" && owner != "gateway" && within(own, owner)) {
				continue
			}
			if !contains(allowed, own) {
				t.Errorf("%s imports %s: ARCHITECTURE section 2 does not allow it", s.file, own)
			}
		}
	}
}

func anyWithin(folder string, list []string) bool {
	for _, r := range list {
		if within(folder, r) {
			return true
		}
	}
	return false
}

func contains(list []string, s string) bool {
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}

// Budgets of ARCHITECTURE section 6.
const (
	maxFile, maxFunction, maxMethods, maxPackage, maxExported = 600, 100, 10, 2000, 25
)

// ceilings are packages with their own number of exported types and functions: flat pages and vocabularies.
var ceilings = map[string]int{"web/page": 120, "web/component": 80, "internal/logistics": 40, "internal/partner": 35, "internal/problem": 30}

// lineCeilings are packages with their own number of lines: what turns one Snapshot out of files is one loader, and the
// stores' suite is one list of promises (docs/decisions/0001).
var lineCeilings = map[string]int{"internal/catalog": 2400, "internal/store/storetest": 2500}

func TestSizes(t *testing.T) {
	t.Parallel()
	lines, exported := map[string]int{}, map[string]int{}
	for _, s := range sources(t) {
		if s.generated {
			continue
		}
		if s.lines > maxFile {
			t.Errorf("%s has %d lines, at most %d", s.file, s.lines, maxFile)
		}
		for _, d := range s.tree.Decls {
			sizes(t, &s, d, exported)
		}
		if !s.test {
			lines[s.folder] += s.lines
		}
	}
	for folder, n := range lines {
		ceiling := maxPackage
		if c, ok := lineCeilings[folder]; ok {
			ceiling = c
		}
		if n > ceiling {
			t.Errorf("package %s has %d lines, at most %d", folder, n, ceiling)
		}
	}
	for folder, n := range exported {
		ceiling := maxExported
		if c, ok := ceilings[folder]; ok {
			ceiling = c
		}
		if n > ceiling {
			t.Errorf("package %s exports %d types and functions, at most %d", folder, n, ceiling)
		}
	}
}

func sizes(t *testing.T, s *source, d ast.Decl, exported map[string]int) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if n := s.set.Position(d.End()).Line - s.set.Position(d.Pos()).Line + 1; n > maxFunction {
			t.Errorf("%s: %s has %d lines, at most %d", s.file, d.Name.Name, n, maxFunction)
		}
		if d.Recv == nil && d.Name.IsExported() && !s.test {
			exported[s.folder]++
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			ts, ok := spec.(*ast.TypeSpec)
			if !ok {
				continue
			}
			if ts.Name.IsExported() && !s.test {
				exported[s.folder]++
			}
			if it, ok := ts.Type.(*ast.InterfaceType); ok && len(it.Methods.List) > maxMethods {
				t.Errorf("%s: interface %s has %d methods, at most %d", s.file, ts.Name.Name, len(it.Methods.List), maxMethods)
			}
		}
	}
}

// TestCodeNamesNoPartner keeps promise 1 of the architecture: partners, samples and order numbers are data.
// The names are read from the data, so a new partner file extends the test.
func TestCodeNamesNoPartner(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir(filepath.Join(root, "policies", "partners"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	sort.Strings(names)
	if len(names) == 0 {
		t.Fatal("no partner files found")
	}
	for _, s := range sources(t) {
		if s.test || s.generated {
			continue
		}
		ast.Inspect(s.tree, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			for _, name := range names {
				if strings.Contains(strings.ToLower(lit.Value), name) {
					t.Errorf("%s: a string names the partner %q", s.set.Position(lit.Pos()), name)
				}
			}
			return true
		})
	}
}

// TestDataPathAvoids keeps what is unsafe in the framework out of the gateway: its proxy, its views of the
// target and of the client that a caller can steer, and its body reader that inflates without a limit.
func TestDataPathAvoids(t *testing.T) {
	t.Parallel()
	forbidden := map[string]bool{"OriginalURL": true, "BaseURL": true, "IP": true, "IPs": true, "Hostname": true, "Protocol": true,
		"Secure": true, "BodyRaw": true, "BodyParser": true, "BodyUncompressed": true}
	for _, s := range sources(t) {
		if s.test || !within(s.folder, "gateway") {
			continue
		}
		usesFiber := false
		for _, imp := range s.tree.Imports {
			usesFiber = usesFiber || strings.Contains(imp.Path.Value, "gofiber/fiber")
			if strings.Contains(imp.Path.Value, "fiber/v2/middleware") {
				t.Errorf("%s imports %s: the gateway uses no framework middleware", s.file, imp.Path.Value)
			}
		}
		if !usesFiber {
			continue
		}
		ast.Inspect(s.tree, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !forbidden[sel.Sel.Name] {
				return true
			}
			if on, ok := sel.X.(*ast.Ident); ok && on.Name == "c" {
				t.Errorf("%s calls c.%s, which a caller can steer", s.set.Position(sel.Pos()), sel.Sel.Name)
			}
			return true
		})
	}
}
