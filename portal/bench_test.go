package portal

import (
	"net/http"
	"testing"

	"portway/internal/traffic"
	"portway/portal/contract"
)

// BenchmarkPages is the whole of a page on the server: session, store, view and markup, over a loopback
// connection. The budget is 15 ms.
func BenchmarkPages(b *testing.B) {
	s := newSite(b)
	s.record(b, s.first, 0, 100, func(i int, c *traffic.Call) {
		if i%3 == 0 {
			rejected(i, c)
		}
	})
	in := s.signedIn(b, s.first)

	in.Transport = &http.Transport{MaxIdleConnsPerHost: 1}
	for _, path := range []string{"/apis", "/apis/shipments/v2", "/apis/shipments/v1/confirmShipment", "/calls", "/problems", "/sign-in"} {
		b.Run(path, func(b *testing.B) {
			for b.Loop() {
				if r := in.get(path); r.StatusCode >= 400 {
					b.Fatalf("%d", r.StatusCode)
				}
			}
		})
	}
	b.Run("contract", func(b *testing.B) {
		snap := snapshot()
		a, _ := snap.API("shipments")
		for b.Loop() {
			contract.NewReader("https://api.example").Of(snap, a.Versions[1])
		}
	})
}
