package catalog

import (
	"runtime"
	"sync"
	"testing"
)

func TestHolderTellsSubscribersInOrder(t *testing.T) {
	t.Parallel()
	a, b := &Snapshot{Digest: "a"}, &Snapshot{Digest: "b"}
	h := NewHolder(a)
	var seen []string
	name := func(s *Snapshot) string {
		if s == nil {
			return "-"
		}
		return s.Digest
	}
	h.Subscribe(func(old, next *Snapshot) { seen = append(seen, name(old)+">"+name(next)) })
	h.Swap(b)
	h.Swap(b) // no change
	h.Swap(a)
	want := []string{"->a", "a>b", "b>a"}
	if len(seen) != len(want) {
		t.Fatalf("subscribers saw %v, want %v", seen, want)
	}
	for i := range want {
		if seen[i] != want[i] {
			t.Errorf("subscribers saw %v, want %v", seen, want)
		}
	}
	if h.Current() != a {
		t.Errorf("in force: %s", h.Current().Digest)
	}
}

// TestHolderReadersSeeWholeSnapshots swaps while readers read: each sees one Snapshot, never a mixture.
func TestHolderReadersSeeWholeSnapshots(t *testing.T) {
	t.Parallel()
	snapshot := func(digest string) *Snapshot {
		return &Snapshot{Digest: digest, Plans: map[string]*Plan{digest: {ID: digest}}}
	}
	h := NewHolder(snapshot("0"))
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if s := h.Current(); s.Plans[s.Digest] == nil {
					t.Error("a snapshot without its plan")
					return
				}
			}
		})
	}
	for i := range 1000 {
		h.Swap(snapshot(string(rune('a' + i%26))))
	}
	close(stop)
	readers.Wait()
}

func TestHolderLetsOldSnapshotsGo(t *testing.T) {
	t.Parallel()
	h := NewHolder(&Snapshot{Digest: "first"})
	h.Subscribe(func(_, _ *Snapshot) {})
	kept := h.Current()
	for range 100 {
		h.Swap(&Snapshot{Digest: "next", Plans: map[string]*Plan{}})
	}
	runtime.GC()
	if got := h.Retired(); got != 1 {
		t.Errorf("%d replaced snapshots are in memory, want the one that is in use", got)
	}
	runtime.KeepAlive(kept)
	runtime.GC()
	if got := h.Retired(); got != 0 {
		t.Errorf("%d replaced snapshots are in memory, want none", got)
	}
}
