package problem

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// declared reads the constants of type Code from the source: name → value.
func declared(t *testing.T) map[string]Code {
	t.Helper()
	out := map[string]Code{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != "Code" {
				return true
			}
			for i, constant := range spec.Names {
				value, err := strconv.Unquote(spec.Values[i].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				out[constant.Name] = Code(value)
			}
			return true
		})
	}
	return out
}

// TestTableIsComplete holds the table against the constants of the source, both ways: a code without an entry
// would be a 500 with somebody else's title.
func TestTableIsComplete(t *testing.T) {
	t.Parallel()
	constants := declared(t)
	if len(constants) < 40 {
		t.Fatalf("found only %d constants: the test does not see the source", len(constants))
	}
	form := regexp.MustCompile(`^[a-z_]+\.[a-z_]+$`)
	names := map[Code]string{}
	for name, code := range constants {
		if other, taken := names[code]; taken {
			t.Errorf("%s and %s are both %q", name, other, code)
		}
		names[code] = name
		e, ok := table[code]
		if !ok {
			t.Errorf("%s (%q) has no entry in the table", name, code)
			continue
		}
		if http.StatusText(e.status) == "" || e.status < 400 || e.status > 599 {
			t.Errorf("%q has status %d", code, e.status)
		}
		if code != Internal && !form.MatchString(string(code)) {
			t.Errorf("%q is not of the form area.reason", code)
		}
		if e.title == "" || strings.HasSuffix(e.title, ".") || len(e.title) > 60 {
			t.Errorf("%q: title %q is not a short name", code, e.title)
		}
		if !strings.HasSuffix(e.help, ".") || len(e.help) < 15 {
			t.Errorf("%q: help %q is not a sentence", code, e.help)
		}
		if code.Status() != e.status || code.Title() != e.title || code.Help() != e.help {
			t.Errorf("%q: the accessors differ from the table", code)
		}
	}
	for code := range table {
		if _, ok := names[code]; !ok {
			t.Errorf("the table has %q, which no constant declares", code)
		}
	}
	codes := Codes()
	if len(codes) != len(table) || !slices.IsSorted(codes) {
		t.Errorf("Codes lists %d of %d, sorted: %v", len(codes), len(table), slices.IsSorted(codes))
	}
}

// TestStatusesArePartOfTheContract pins the statuses partners program against.
func TestStatusesArePartOfTheContract(t *testing.T) {
	t.Parallel()
	want := map[Code]int{
		HTTPFraming: 400, PathNotCanonical: 400, ParameterInvalid: 400, BodyMalformed: 400, CursorInvalid: 400,
		AuthMissing: 401, AuthInvalidToken: 401, AuthExpired: 401,
		AuthEnvironment: 403, AuthNotSubscribed: 403, AuthScope: 403, AuthSuspended: 403, NotOwner: 403,
		RouteUnknown: 404, VersionUnknown: 404, NotFound: 404, OrderUnknown: 404, RouteMethod: 405, AcceptNone: 406,
		HTTPTimeout: 408, Conflict: 409, BusinessConflict: 409, OrderTooLate: 409, OrderState: 409, OrderVersion: 409,
		VersionRetired: 410, BodyTooLarge: 413, BodyContentType: 415, BodyEncoding: 415, HTTPWrongHost: 421,
		SchemaViolation: 422, MappingFailed: 422, OrderLedger: 422, IdempotencyReuse: 422, EDIUnreadable: 422,
		RateExceeded: 429, HTTPHeaderTooLarge: 431, Internal: 500, BackendUnreachable: 502, BackendBadAnswer: 502,
		AuthUnavailable: 503, StoreUnavailable: 503, BackendTimeout: 504,
	}
	got := map[Code]int{}
	for code := range want {
		got[code] = code.Status()
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("statuses (-want +got):\n%s", d)
	}
	if c := Code("no.such"); c.Status() != 500 || c.Title() != Internal.Title() || c.Help() != "" {
		t.Error("a code that is not in the table is not an internal error")
	}
}

func TestBody(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		e    *Error
		path string
		want string
	}{
		"least": {New(RouteUnknown, "no operation has this path"), "",
			`{"type":"https://p/problems/route.unknown","title":"No such operation","status":404,"detail":"no operation has this path","code":"route.unknown","request_id":"r1"}`},
		"all": {&Error{Code: SchemaViolation, Detail: "two places", RetryAfter: 1500 * time.Millisecond, Cause: errors.New("the cause"),
			Header: [][2]string{{"X-Header", "v"}}, Extra: map[string]any{"state": "shipped", "version": 2},
			Violations: []Violation{{In: "body", Pointer: "/lines/0/sku", Keyword: "required", Message: "is missing"}, {In: "query", Pointer: "limit", Keyword: "type", Message: "must be an integer"}}},
			"/orders/v1/orders",
			`{"type":"https://p/problems/schema.violation","title":"The body breaks its contract","status":422,"detail":"two places","instance":"/orders/v1/orders","code":"schema.violation","request_id":"r1","retry_after":2,"state":"shipped","version":2,
			"violations":[{"in":"body","pointer":"/lines/0/sku","keyword":"required","message":"is missing"},{"in":"query","pointer":"limit","keyword":"type","message":"must be an integer"}]}`},
		"extra members never replace the standard ones": {&Error{Code: OrderState, Detail: "d",
			Extra: map[string]any{"status": 200, "code": "ok", "type": "x", "title": "x", "detail": "x", "request_id": "x", "kept": true}}, "/p",
			`{"type":"https://p/problems/order.state","title":"The order is not in a state that allows this","status":409,"detail":"d","instance":"/p","code":"order.state","request_id":"r1","kept":true}`},
		"markup is escaped": {New(NotFound, "no <b>%s</b>", "\"x\""), "/a&b",
			`{"type":"https://p/problems/resource.not_found","title":"No such resource","status":404,"detail":"no <b>\"x\"</b>","instance":"/a&b","code":"resource.not_found","request_id":"r1"}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := tt.e.Body("https://p/problems/", tt.path, "r1")
			var got, want map[string]any
			if err := json.Unmarshal(body, &got); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(tt.want), &want); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("body (-want +got):\n%s", d)
			}
			if strings.Contains(string(body), "the cause") || strings.Contains(string(body), "X-Header") {
				t.Error("the body shows the cause or a header")
			}
			if strings.Contains(string(body), "<b>") {
				t.Error("markup is not escaped")
			}
		})
	}
}

func TestBodyCapsViolations(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, MaxViolations, MaxViolations + 1, 5000} {
		e := &Error{Code: SchemaViolation, Detail: "d"}
		for i := range n {
			e.Violations = append(e.Violations, Violation{In: "body", Pointer: fmt.Sprint("/", i), Keyword: "type", Message: "m"})
		}
		var got struct {
			Violations []Violation `json:"violations"`
			Total      int         `json:"violations_total"`
		}
		if err := json.Unmarshal(e.Body("", "", ""), &got); err != nil {
			t.Fatal(err)
		}
		total := 0
		if n > MaxViolations {
			total = n
		}
		if len(got.Violations) != min(n, MaxViolations) || got.Total != total {
			t.Errorf("%d violations: %d shown, total %d", n, len(got.Violations), got.Total)
		}
		if len(e.Violations) != n {
			t.Error("rendering changed the problem")
		}
	}
}

func TestBodyThatCannotBeRendered(t *testing.T) {
	t.Parallel()
	e := &Error{Code: NotFound, Extra: map[string]any{"f": func() {}}}
	var got map[string]any
	if err := json.Unmarshal(e.Body("", "", "r"), &got); err != nil || got["code"] != "internal" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestFromAndIs(t *testing.T) {
	t.Parallel()
	plain := errors.New("disk on fire")
	own := Wrap(StoreUnavailable, plain, "nothing can be stored")
	wrapped := fmt.Errorf("accept: %w", own)
	var none *Error
	if From(nil) != nil {
		t.Error("no error is a problem")
	}
	if From(own) != own || From(wrapped) != own {
		t.Error("a refusal is not itself")
	}
	if got := From(plain); got.Code != Internal || !errors.Is(got, plain) || strings.Contains(got.Detail, "fire") {
		t.Errorf("a plain error became %+v", got)
	}
	if got := From(none); got == nil || got.Code != Internal || got.Error() == "" {
		t.Errorf("a nil *Error as an error became %+v", got)
	}
	if !Is(wrapped, StoreUnavailable) || Is(wrapped, Internal) || Is(plain, Internal) || Is(nil, Internal) || Is(none, "") {
		t.Error("Is tells codes apart wrongly")
	}
	if own.Error() != "store.unavailable: nothing can be stored: disk on fire" {
		t.Errorf("log text %q", own.Error())
	}
}

func TestRetrySeconds(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]int64{-time.Second: 1, 0: 1, 1: 1, time.Second: 1, time.Second + 1: 2, 90 * time.Second: 90} {
		if got := RetrySeconds(d); got != want {
			t.Errorf("%v is %d s, want %d", d, got, want)
		}
	}
}
