package jq

import (
	"context"
	"time"
)

// What one document may cost. Steps are those of the interpreter, about 50 ms of an idle core: unlike a
// deadline they are the same on a busy machine, so a good document is never refused because of its
// neighbours. The clock is the backstop for steps that are slow.
const (
	maxSteps   = 1_500_000
	itemSteps  = 4_000 // more for every item of the document that is iterated
	maxBytes   = 64 << 20
	maxElapsed = time.Second
	clockEvery = 256
)

// budget is the context of one run. The interpreter asks Done before every step, which is where steps are
// counted; expressions carry it as $__budget to the functions that allocate. It serves one goroutine.
type budget struct {
	context.Context
	steps int
	bytes int
	until time.Time
	over  bool
}

func newBudget(ctx context.Context) *budget {
	return &budget{Context: ctx, steps: maxSteps, bytes: maxBytes, until: time.Now().Add(maxElapsed)}
}

// closed is what Done returns when the budget is used up; nil, which never delivers, stands for "go on".
var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Done counts a step.
func (b *budget) Done() <-chan struct{} {
	b.steps--
	if b.over || b.steps < 0 {
		b.over = true
		return closed
	}
	if b.steps%clockEvery == 0 && (b.Context.Err() != nil || time.Now().After(b.until)) {
		b.over = true
		return closed
	}
	return nil
}

// Err says whether the budget is used up.
func (b *budget) Err() error {
	if b.over {
		return context.DeadlineExceeded
	}
	return nil
}

// grant raises the budget for n items of the document: a long document may cost more than a short one.
func (b *budget) grant(n int) {
	n = min(n, maxItems)
	b.steps += n * itemSteps
	b.until = b.until.Add(time.Duration(n) * time.Millisecond)
}

// spend takes n bytes; false when they are not there.
func (b *budget) spend(n int) bool {
	if b.bytes -= n; b.bytes < 0 {
		b.over = true
	}
	return !b.over
}
