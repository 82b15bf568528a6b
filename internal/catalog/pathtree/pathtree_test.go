package pathtree

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree builds a Tree that holds "METHOD /template" entries, each its own text.
func tree(t testing.TB, entries ...string) *Tree[string] {
	t.Helper()
	s := &Tree[string]{}
	for _, e := range entries {
		method, template, _ := strings.Cut(e, " ")
		if _, taken, err := s.Add(method, template, e); taken || err != nil {
			t.Fatal(e, taken, err)
		}
	}
	return s
}

func TestMatch(t *testing.T) {
	t.Parallel()
	s := tree(t,
		"GET /orders", "POST /orders", "GET /orders/{id}", "GET /orders/feed", "PUT /orders/{orderId}/lines/{line}", "GET /orders/feed/latest",
		"GET /orders/{id}/claim", "POST /orders/{id}/claim", "DELETE /orders/{number}/claim",
		"GET /files/{name}.json", "GET /files/{name}", "GET /files/report-{year}.{format}", "GET /files/report-{rest}",
		"GET /A('{key}')", "GET /A('{key}')/Items", "GET /A({first},{second})", "GET /{anything}/x/y", "GET /deep/{a}/{b}/{c}", "GET /deep/{a}/fixed/{c}",
		"GET /", "GET /range/{from}-{to}", "GET /v/{a}{b}", "GET /verb/{id}:cancel", "GET /verb/{id}",
	)
	tests := []struct {
		call, want string
		path       map[string]string
	}{
		{"GET /orders", "GET /orders", nil},
		{"POST /orders", "POST /orders", nil},
		{"GET /orders/42", "GET /orders/{id}", map[string]string{"id": "42"}},
		{"GET /orders/feed", "GET /orders/feed", nil},
		{"GET /orders/feed/claim", "GET /orders/{id}/claim", map[string]string{"id": "feed"}}, // back out of the literal
		{"GET /orders/feed/latest", "GET /orders/feed/latest", nil},
		{"POST /orders/7/claim", "POST /orders/{id}/claim", map[string]string{"id": "7"}},
		{"DELETE /orders/7/claim", "DELETE /orders/{number}/claim", map[string]string{"number": "7"}}, // each method has its own names
		{"PUT /orders/7/lines/3", "PUT /orders/{orderId}/lines/{line}", map[string]string{"orderId": "7", "line": "3"}},
		{"GET /orders/%2F", "GET /orders/{id}", map[string]string{"id": "%2F"}}, // raw, still encoded
		{"GET /files/a.json", "GET /files/{name}.json", map[string]string{"name": "a"}},
		{"GET /files/a.b.json", "GET /files/{name}.json", map[string]string{"name": "a.b"}},
		{"GET /files/.json", "GET /files/{name}", map[string]string{"name": ".json"}}, // a parameter is never empty
		{"GET /files/a.xml", "GET /files/{name}", map[string]string{"name": "a.xml"}},
		{"GET /files/report-2026.pdf", "GET /files/report-{year}.{format}", map[string]string{"year": "2026", "format": "pdf"}},
		{"GET /files/report-2026", "GET /files/report-{rest}", map[string]string{"rest": "2026"}},
		{"GET /A('x')", "GET /A('{key}')", map[string]string{"key": "x"}},
		{"GET /A('x')/Items", "GET /A('{key}')/Items", map[string]string{"key": "x"}},
		{"GET /A(1,2)", "GET /A({first},{second})", map[string]string{"first": "1", "second": "2"}},
		{"GET /A()", "", nil},
		{"GET /A('')", "", nil},
		{"GET /orders/x/y", "GET /{anything}/x/y", map[string]string{"anything": "orders"}},
		{"GET /deep/1/fixed/3", "GET /deep/{a}/fixed/{c}", map[string]string{"a": "1", "c": "3"}},
		{"GET /deep/1/2/3", "GET /deep/{a}/{b}/{c}", map[string]string{"a": "1", "b": "2", "c": "3"}},
		{"GET /range/1-5", "GET /range/{from}-{to}", map[string]string{"from": "1", "to": "5"}},
		{"GET /range/1-5-9", "GET /range/{from}-{to}", map[string]string{"from": "1", "to": "5-9"}},
		{"GET /range/-5", "", nil},
		{"GET /range/5-", "", nil},
		{"GET /v/12", "", nil}, // where one ends and the other begins nobody can say
		{"GET /verb/9:cancel", "GET /verb/{id}:cancel", map[string]string{"id": "9"}},
		{"GET /verb/9", "GET /verb/{id}", map[string]string{"id": "9"}},
		{"GET /", "GET /", nil},
		{"GET /Orders", "", nil}, // case counts
		{"GET /orders/", "", nil},
		{"GET /orders//lines/3", "", nil},
		{"GET /order", "", nil},
		{"GET /orders/1/lines/2/3", "", nil},
		{"GET /{id}", "", nil},
	}
	for _, tt := range tests {
		method, path, _ := strings.Cut(tt.call, " ")
		m := s.Find(method, path)
		got := ""
		if m.Found {
			got = m.Value
		}
		if got != tt.want || cmp.Diff(tt.path, m.Params) != "" {
			t.Errorf("%s matches %q with %v, want %q with %v", tt.call, got, m.Params, tt.want, tt.path)
		}
		if tt.want == "" && m.Allow != nil {
			t.Errorf("%s allows %v, though there is no such path", tt.call, m.Allow)
		}
	}
}

func TestMatchAllow(t *testing.T) {
	t.Parallel()
	s := tree(t, "GET /orders/{id}", "PUT /orders/{number}", "GET /orders/feed", "DELETE /orders/{id}")
	for call, want := range map[string][]string{
		"POST /orders/1": {"GET", "PUT", "DELETE"}, "POST /orders/feed": {"GET"}, "get /orders/1": {"GET", "PUT", "DELETE"}, "HEAD /orders/feed": {"GET"}, "POST /nothing": nil,
	} {
		method, path, _ := strings.Cut(call, " ")
		if m := s.Find(method, path); m.Found || !slices.Equal(m.Allow, want) {
			t.Errorf("%s: route %v, allow %v, want %v", call, m.Value, m.Allow, want)
		}
	}
}

func TestTaken(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{{"GET /a/{x}", "GET /a/{y}"}, {"GET /a", "GET /a"}, {"GET /A('{k}')", "GET /A('{key}')"}, {"GET /{a}-{b}", "GET /{c}-{d}"}} {
		s := tree(t, pair[0])
		method, template, _ := strings.Cut(pair[1], " ")
		other, taken, err := s.Add(method, template, "second")
		if err != nil || !taken || other != pair[0] {
			t.Errorf("%v: %q, %v, %v, want the first", pair, other, taken, err)
		}
	}
	tree(t, "GET /a/{x}", "GET /a/{x}.json", "GET /a/b", "POST /a/{x}", "GET /a/{x}/b") // none of these clash
}

func TestTemplatesThatAreNone(t *testing.T) {
	t.Parallel()
	for _, template := range []string{"/{", "/a}", "/{a/b}", "/{}", "/{{a}}", "/{a}{", "/x{a}}"} {
		if _, _, err := (&Tree[string]{}).Add("GET", template, "r"); err == nil || !strings.Contains(err.Error(), "not a path template") {
			t.Errorf("%q: %v", template, err)
		}
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("/orders/{id}", "/orders/7")
	f.Add("/A('{key}')/{a}-{b}.x", "/A('k')/1-2.x")
	f.Add("/{", "/}")
	f.Add("/{a}{b}", "/ab")
	f.Fuzz(func(t *testing.T, template, path string) {
		s := &Tree[string]{}
		for _, more := range []string{template, "/orders/{id}", "/orders/feed", "/{x}/y"} {
			if _, _, err := s.Add("GET", more, more); err != nil {
				return
			}
		}
		if m := s.Find("GET", path); m.Found {
			for name, value := range m.Params {
				if value == "" {
					t.Errorf("parameter %q of %q is empty in %q", name, m.Value, path)
				}
			}
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	for _, operations := range []int{10, 1000, 10_000} {
		var routes []string
		for i := range operations / 10 {
			base := fmt.Sprintf("/api%d/v1", i)
			for _, r := range []string{"GET %s/orders", "POST %s/orders", "GET %s/orders/{order}", "PUT %s/orders/{order}", "GET %s/orders/{order}/lines/{line}",
				"POST %s/orders/{order}/claim", "GET %s/shipments/{shipment}", "GET %s/shipments/{shipment}/label", "GET %s/Items('{key}')", "GET %s/availability"} {
				routes = append(routes, fmt.Sprintf(r, base))
			}
		}
		s := tree(b, routes...)
		for name, call := range map[string]string{"literal": "/api0/v1/orders", "one parameter": "/api0/v1/orders/SO-100245", "two parameters": "/api0/v1/orders/SO-100245/lines/3", "unknown": "/api0/v1/nothing/here"} {
			b.Run(fmt.Sprintf("%d operations, %s", operations, name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if m := s.Find("GET", call); !m.Found != (name == "unknown") {
						b.Fatal("wrong match")
					}
				}
			})
		}
	}
}
