package catalog

import (
	"slices"
	"testing"
)

func TestVersions(t *testing.T) {
	t.Parallel()
	orders := &API{ID: "orders"}
	orders.Versions = []*Version{{Name: "v1", Base: "/orders/v1", API: orders}, {Name: "v2", Base: "/orders/v2", API: orders}}
	own := &API{ID: "portway"}
	own.Versions = []*Version{{Name: "v1", Base: "/v1", API: own}}
	s := &Snapshot{APIs: []*API{orders, own}}
	deep := &API{ID: "deep"}
	deep.Versions = []*Version{{Name: "v3", Base: "/orders/returns/v3", API: deep}}
	headed := &API{ID: "headed", VersionHeader: "Api-Version"}
	headed.Versions = []*Version{{Name: "v1", Base: "/headed/v1", API: headed}}
	s.APIs = append(s.APIs, deep, headed)
	for path, asked := range map[string]string{"/orders/v9/feed": "v9", "/orders": "", "/orders/": "", "/orders/feed": "feed"} {
		if a, got, v := s.Versions(path); a != orders || got != asked || !slices.Equal(v, []string{"v1", "v2"}) {
			t.Errorf("versions of %s: %v, %q, %v", path, a, got, v)
		}
	}
	if a, asked, v := s.Versions("/orders/returns/v9/x"); a != deep || asked != "v9" || !slices.Equal(v, []string{"v3"}) {
		t.Errorf("the longest prefix wins: %v, %q, %v", a, asked, v)
	}
	for _, path := range []string{"/", "", "/v1/x", "/order/v1", "//", "/ordersv1", "/headed/v2"} {
		if a, _, v := s.Versions(path); a != nil || v != nil {
			t.Errorf("%q is taken for an API: %v %v", path, a, v)
		}
	}
}
