package idempotentdb_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portway/internal/idempotent"
	"portway/internal/ident"
	"portway/internal/store"
	"portway/internal/store/idempotentdb"
	"portway/internal/store/pgtest"
)

// BenchmarkKey is what an Idempotency-Key costs a call that is passed on: a look-up that finds nothing, the reservation and
// the settlement, both durable; and a replay, which is the look-up alone.
func BenchmarkKey(b *testing.B) {
	for name, options := range map[string]func(*testing.B) store.Options{
		"sqlite":   func(b *testing.B) store.Options { return store.Options{Dir: b.TempDir()} },
		"postgres": func(b *testing.B) store.Options { return store.Options{PostgresURL: pgtest.URL(b)} },
	} {
		key := func(n int64) idempotent.Key {
			return idempotent.Key{Org: "org", Application: "app", Environment: ident.Live, Operation: "a/v1/do", Value: fmt.Sprintf("key-%020d", n), Fingerprint: "f"}
		}
		body := make([]byte, 2000)
		for _, clients := range []int{1, 32} {
			b.Run(fmt.Sprintf("%s/clients=%d", name, clients), func(b *testing.B) {
				s, ctx := idempotentdb.New(open(b, options(b))), context.Background()
				var next atomic.Int64
				each := func(n int, do func(n int64) error) {
					next.Store(0)
					var wg sync.WaitGroup
					for range clients {
						wg.Go(func() {
							for i := next.Add(1); i <= int64(n); i = next.Add(1) {
								if err := do(i); err != nil {
									b.Error(err)
									return
								}
							}
						})
					}
					wg.Wait()
				}
				b.ResetTimer()
				each(b.N, func(n int64) error {
					k, now := key(n), time.Now()
					if _, err := s.Find(ctx, k); err != nil {
						return err
					}
					if _, err := s.Reserve(ctx, k, idempotent.Lease{ID: k.Value, From: now, Until: now.Add(time.Minute)}, false); err != nil {
						return err
					}
					return s.Settle(ctx, idempotent.Record{Key: k, Lease: k.Value, State: idempotent.Done, Status: 201, Body: body})
				})
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
				begun := time.Now()
				each(b.N, func(n int64) error { _, err := s.Find(ctx, key(n)); return err })
				b.ReportMetric(float64(time.Since(begun).Nanoseconds())/float64(b.N), "ns/replay")
			})
		}
	}
}
