package catalog

import (
	"sync"
	"sync/atomic"
	"weak"
)

// Holder holds the Snapshot in force. Readers take it without waiting and keep it for as long as their work
// lasts; a swap does not wait for them. It must not be copied.
type Holder struct {
	current atomic.Pointer[Snapshot]

	mu          sync.Mutex // of swaps and subscribers
	subscribers []func(old, next *Snapshot)
	retired     []weak.Pointer[Snapshot]
}

// NewHolder returns a Holder of the first Snapshot.
func NewHolder(first *Snapshot) *Holder {
	h := &Holder{}
	h.current.Store(first)
	return h
}

// Current returns the Snapshot in force.
func (h *Holder) Current() *Snapshot { return h.current.Load() }

// Swap puts next in force, in one step for every reader, and then tells the subscribers.
func (h *Holder) Swap(next *Snapshot) {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.current.Swap(next)
	if old == next {
		return
	}
	if old != nil {
		h.retired = append(h.alive(), weak.Make(old))
	}
	for _, tell := range h.subscribers {
		tell(old, next)
	}
}

// Subscribe calls tell with nil and the Snapshot in force, and after each swap with the old and the new one: that is
// where background work that belongs to a Snapshot, such as a refresher or a probe, is started, changed and ended.
// Calls come one at a time and in order; tell must neither block nor keep the old Snapshot, nor swap.
func (h *Holder) Subscribe(tell func(old, next *Snapshot)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.subscribers = append(h.subscribers, tell)
	tell(nil, h.current.Load())
}

// Retired is how many replaced Snapshots are still in memory: in use by a call, or not yet collected. A number that
// only grows is a leak.
func (h *Holder) Retired() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.retired = h.alive()
	return len(h.retired)
}

// alive drops what was collected.
func (h *Holder) alive() []weak.Pointer[Snapshot] {
	kept := h.retired[:0]
	for _, w := range h.retired {
		if w.Value() != nil {
			kept = append(kept, w)
		}
	}
	return kept
}
