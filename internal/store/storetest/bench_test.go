package storetest_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"portway/internal/ident"
	"portway/internal/store"
	"portway/internal/store/eventdb"
	"portway/internal/store/pgtest"
)

// BenchmarkAccept accepts releases, each with a document, an event, two refs, an order and a delivery, durably.
func BenchmarkAccept(b *testing.B) {
	for name, options := range map[string]func(*testing.B) store.Options{
		"sqlite":   func(b *testing.B) store.Options { return store.Options{Dir: b.TempDir()} },
		"postgres": func(b *testing.B) store.Options { return store.Options{PostgresURL: pgtest.URL(b)} },
	} {
		for _, clients := range []int{1, 32} {
			b.Run(fmt.Sprintf("%s/clients=%d", name, clients), func(b *testing.B) {
				log := eventdb.New(open(b, options(b)), ident.System{}, nil)
				var left atomic.Int64
				left.Store(int64(b.N))
				var wg sync.WaitGroup
				b.ResetTimer()
				for c := range clients {
					wg.Add(1)
					go func() {
						defer wg.Done()
						for i := 0; left.Add(-1) >= 0; i++ {
							if _, err := log.Accept(context.Background(), statement(fmt.Sprintf("N%d-%d", c, i))); err != nil {
								b.Error(err)
								return
							}
						}
					}()
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "accepts/s")
			})
		}
	}
}
