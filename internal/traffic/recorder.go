package traffic

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"portway/internal/ident"
)

// Bounds of a Recorder.
const (
	queueSize  = 8192
	batchSize  = 200
	flushAfter = 250 * time.Millisecond
)

// ErrClosed says that a Recorder takes no more records.
var ErrClosed = errors.New("the call recorder is closed")

// Recorder writes call records to a Store. Sandbox calls are written before Record returns, so that the
// evidence of a trial is complete; all others are queued and written in batches of at most 200, after at most
// 250 ms. A full queue drops the record and counts it: a call never waits for its record.
type Recorder struct {
	store   Store
	log     *slog.Logger
	queue   chan Call
	done    chan struct{}
	mu      sync.RWMutex // held for reading while a record is queued, for writing while closing
	closed  bool
	dropped atomic.Int64
}

// NewRecorder returns a Recorder and starts its writer; Close ends it.
func NewRecorder(store Store, log *slog.Logger) *Recorder {
	r := &Recorder{store: store, log: log, queue: make(chan Call, queueSize), done: make(chan struct{})}
	go r.run()
	return r
}

// Record writes or queues a record. For a sandbox call the error is the Store's; otherwise it is nil, or
// ErrClosed after Close.
func (r *Recorder) Record(ctx context.Context, c Call) error {
	if c.Environment == ident.Sandbox {
		return r.store.Append(ctx, []Call{c})
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.closed {
		return ErrClosed
	}
	select {
	case r.queue <- c:
	default:
		r.dropped.Add(1)
	}
	return nil
}

// Dropped is how many records were lost since the start: to a full queue, or to a Store that failed.
func (r *Recorder) Dropped() int64 { return r.dropped.Load() }

// Close writes what is queued and returns when it is written, or with ctx's error.
func (r *Recorder) Close(ctx context.Context) error {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		close(r.queue)
	}
	r.mu.Unlock()
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("call records not all written: %w", ctx.Err())
	}
}

func (r *Recorder) run() {
	defer close(r.done)
	batch := make([]Call, 0, batchSize)
	timer := time.NewTimer(flushAfter)
	timer.Stop()
	for {
		select {
		case c, open := <-r.queue:
			if !open {
				r.write(batch)
				return
			}
			if batch = append(batch, c); len(batch) == 1 {
				timer.Reset(flushAfter)
			}
			if len(batch) < batchSize {
				continue
			}
		case <-timer.C:
		}
		timer.Stop()
		r.write(batch)
		batch = make([]Call, 0, batchSize)
	}
}

// write appends a batch. What the Store does not take is counted as dropped, and the writer lives.
func (r *Recorder) write(batch []Call) {
	if len(batch) == 0 {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			r.dropped.Add(int64(len(batch)))
			r.log.Error("panic", "stage", "recorder", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := r.store.Append(ctx, batch); err != nil {
		r.dropped.Add(int64(len(batch)))
		r.log.Error("call records not written", "count", len(batch), "error", err.Error())
	}
}
