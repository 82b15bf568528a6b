package delivery

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"portway/internal/catalog"
	"portway/internal/ident"
)

// The figures of the worker. A send ends before its lease does, so that no other worker starts the same delivery.
const (
	leaseTime = 30 * time.Second
	sendTime  = 25 * time.Second // at most of one try, and of the drain at the end
	spareTime = 3 * time.Second  // of a lease, to record a try before it ends
	holdTime  = 10 * time.Second // how long a leased delivery may wait for a free place of its route
	pollTime  = 250 * time.Millisecond
	heldMost  = 32
)

// lanes are the lanes with the number of deliveries each makes at a time (RULES 16). One route has half of them at
// most, so that a target that hangs leaves room for the others.
var lanes = [...]struct {
	name   string
	places int
}{{"critical", 8}, {"normal", 4}, {"bulk", 2}}

// Deps is what a Worker needs. Rand returns numbers from [0, 1), is safe for concurrent use and may be nil.
type Deps struct {
	Store    Store
	Snapshot func() *catalog.Snapshot
	Sender   Sender
	Clock    ident.Clock
	Logger   *slog.Logger
	Rand     func() float64
}

// Worker makes the deliveries of this node. Any number of nodes may share a Store.
type Worker struct {
	deps  Deps
	lanes []*lane
}

// New returns a Worker that does nothing until Run.
func New(d Deps) *Worker {
	if d.Rand == nil {
		d.Rand = rand.Float64
	}
	w := &Worker{deps: d}
	for _, l := range lanes {
		w.lanes = append(w.lanes, &lane{Deps: d, name: l.name, places: l.places, busy: map[string]int{}, routes: map[string]*breaker{},
			wake: make(chan struct{}, 1), ended: make(chan ended, l.places)})
	}
	return w
}

// Wake says that there may be something to do; it never blocks.
func (w *Worker) Wake() {
	for _, l := range w.lanes {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// Run makes deliveries until ctx ends, lets those under way finish for up to 25 s, and returns. What it leaves
// leased becomes due when the lease expires.
func (w *Worker) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, l := range w.lanes {
		all.Add(1)
		go func() {
			defer all.Done()
			l.run(ctx)
		}()
	}
	all.Wait()
}

// lane is one lane's dispatcher. Its fields belong to the goroutine of run; sends report through ended.
type lane struct {
	Deps
	name    string
	places  int
	wake    chan struct{}
	ended   chan ended
	started int            // deliveries under way
	busy    map[string]int // of them, by route
	held    []held         // leased, waiting for a place of their route
	routes  map[string]*breaker
}

type held struct {
	delivery Delivery
	since    time.Time
}

type ended struct {
	delivery *Delivery
	sent     Sent
	at       time.Time
	took     time.Duration
}

func (l *lane) run(ctx context.Context) {
	sends, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	poll := time.NewTicker(pollTime)
	defer poll.Stop()
	due := true // whatever an earlier process left
	for {
		more := false
		if due {
			l.guard("dispatch", func() { more = l.dispatch(ctx, sends) })
		}
		if more { // results go before further leases, however many deliveries wait
			select {
			case e := <-l.ended:
				l.guard("finish", func() { l.finish(sends, e) })
			default:
			}
			continue
		}
		select {
		case <-ctx.Done():
			l.drain(sends)
			return
		case <-l.wake:
			due = true
		case e := <-l.ended:
			l.guard("finish", func() { l.finish(sends, e) })
			due = true
		case <-poll.C:
			due = len(l.held) > 0 || l.due(ctx)
		}
	}
}

// drain waits for the deliveries under way.
func (l *lane) drain(sends context.Context) {
	deadline := time.NewTimer(sendTime)
	defer deadline.Stop()
	for l.started > 0 {
		select {
		case e := <-l.ended:
			l.guard("finish", func() { l.finish(sends, e) })
		case <-deadline.C:
			l.Logger.Warn("deliveries were left under way at the end", "lane", l.name, "count", l.started)
			return
		}
	}
}

// guard keeps a panic of the store from ending the lane: its leases expire and the work is done again.
func (l *lane) guard(what string, fn func()) {
	defer func() {
		if p := recover(); p != nil {
			l.Logger.Error("the delivery worker panicked", "lane", l.name, "in", what, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	fn()
}

// due asks the store without writing, because an idle lane asks four times a second.
func (l *lane) due(ctx context.Context) (is bool) {
	l.guard("poll", func() {
		next, err := l.Store.Next(ctx)
		if err != nil {
			if ctx.Err() == nil {
				l.Logger.Error("due deliveries cannot be read", "lane", l.name, "error", err.Error())
			}
			return
		}
		is = !next.IsZero() && !next.After(l.Clock.Now())
	})
	return is
}

// dispatch starts what can be started and leases more if there are places. It reports whether it should be called
// again at once.
func (l *lane) dispatch(ctx, sends context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	l.startHeld(sends)
	want := min(l.places-l.started, heldMost-len(l.held))
	if want <= 0 {
		return false
	}
	now := l.Clock.Now()
	leased, err := l.Store.Lease(ctx, l.name, want, now, now.Add(leaseTime))
	if err != nil {
		if ctx.Err() == nil {
			l.Logger.Error("deliveries cannot be leased", "lane", l.name, "error", err.Error())
		}
		return false
	}
	for i := range leased {
		l.held = append(l.held, held{delivery: leased[i], since: now})
	}
	return len(leased) > 0
}

// startHeld starts the held deliveries whose route has a place, in order, and drops those whose lease is too old.
func (l *lane) startHeld(sends context.Context) {
	now := l.Clock.Now()
	kept := l.held[:0]
	for _, h := range l.held {
		switch {
		case now.Sub(h.since) > holdTime: // too little of its lease is left: it becomes due when that ends
		case l.start(sends, &h.delivery, now, h.since.Add(leaseTime)):
		default:
			kept = append(kept, h)
		}
	}
	clear(l.held[len(kept):])
	l.held = kept
}

// start sends a delivery, or puts off one that cannot be sent now. It returns false when the delivery has to wait for
// a place.
func (l *lane) start(sends context.Context, d *Delivery, now, expires time.Time) bool {
	route, ok := l.Snapshot().Route(d.Route)
	switch {
	case !ok || route.Backend == nil:
		l.postpone(sends, d, now, ReasonNoRoute, noRouteWait)
		return true
	case route.Backend.URLs[d.Event.Environment] == "":
		l.postpone(sends, d, now, ReasonNotServed, noRouteWait)
		return true
	}
	b := l.breaker(d.Route)
	if b.open(now) {
		if d.Attempts == 0 {
			return true // never tried: it keeps its lease until that ends, so that its successors do not overtake it
		}
		if wait, left := newSchedule(route.Schedule).next(d.Attempts+1, now.Sub(d.Created)); left {
			l.postpone(sends, d, now, ReasonWaiting, max(spread(wait, l.Rand()), b.until.Sub(now)))
			return true
		}
	}
	if l.started >= l.places || l.busy[d.Route] >= max(1, l.places/2) {
		return false
	}
	b.probe(now)
	l.started++
	l.busy[d.Route]++
	own := *d
	go l.send(sends, &own, route, min(sendTime, expires.Sub(now)-spareTime))
	return true
}

// send runs in its own goroutine and always reports.
func (l *lane) send(sends context.Context, d *Delivery, route *catalog.DeliveryRoute, limit time.Duration) {
	begun, at := time.Now(), l.Clock.Now()
	sent := Sent{Reason: ReasonPanic} // what a panic leaves
	defer func() {
		if p := recover(); p != nil {
			l.Logger.Error("a sender panicked", "route", d.Route, "delivery", d.ID, "event", d.Event.ID, "panic", p, "stack", string(debug.Stack()))
		}
		l.ended <- ended{delivery: d, sent: sent, at: at, took: time.Since(begun)}
	}()
	ctx, cancel := context.WithTimeout(sends, limit)
	defer cancel()
	sent = l.Sender.Send(ctx, d, route)
}

// postpone gives a delivery back untried, with the reason.
func (l *lane) postpone(ctx context.Context, d *Delivery, now time.Time, reason string, wait time.Duration) {
	l.record(ctx, d, Attempt{At: now, Reason: reason}, Pending, now.Add(wait))
}

// finish records what a send came to.
func (l *lane) finish(ctx context.Context, e ended) {
	d, s := e.delivery, e.sent
	l.started--
	if l.busy[d.Route]--; l.busy[d.Route] <= 0 {
		delete(l.busy, d.Route)
	}
	now := l.Clock.Now()
	switch opened, closed := l.breaker(d.Route).settle(now, s); {
	case opened:
		l.Logger.Warn("a target does not answer; its deliveries wait", "route", d.Route, "lane", l.name)
	case closed:
		l.Logger.Info("a target answers again", "route", d.Route, "lane", l.name)
	}
	a := Attempt{At: e.at, Took: e.took, Status: s.Status, Reason: s.Reason}
	switch s.Class {
	case Done:
		l.record(ctx, d, a, Delivered, time.Time{})
		return
	case Already:
		a.Reason = ReasonAlready
		l.record(ctx, d, a, Delivered, time.Time{})
		return
	case Rejected:
		a.Reason = ReasonRejected
		l.record(ctx, d, a, Dead, time.Time{})
		return
	}
	var waits []time.Duration
	if route, ok := l.Snapshot().Route(d.Route); ok {
		waits = route.Schedule
	}
	wait, left := newSchedule(waits).next(d.Attempts+1, now.Sub(d.Created))
	if s.Class == Locked {
		a.Reason, wait = ReasonLocked, lockedWait
	}
	if a.Reason == "" {
		a.Reason = ReasonTransient
	}
	if !left {
		a.Reason = ReasonExhausted
		l.record(ctx, d, a, Dead, time.Time{})
		return
	}
	wait = max(spread(wait, l.Rand()), min(s.RetryAfter, maxRetryAfter))
	l.record(ctx, d, a, Pending, now.Add(wait))
}

func (l *lane) record(ctx context.Context, d *Delivery, a Attempt, state State, next time.Time) {
	kept, err := l.Store.Finish(ctx, d, a, state, next)
	log := l.Logger.With("route", d.Route, "delivery", d.ID, "event", d.Event.ID, "attempt", d.Attempts+1, "status", a.Status,
		"reason", a.Reason, "state", string(state))
	switch {
	case err != nil:
		log.Error("an attempt cannot be recorded; it will be made again", "error", err.Error())
	case !kept:
		log.Warn("the lease was lost before the attempt was recorded")
	case state == Dead:
		log.Error("delivery given up")
	case state == Delivered:
		log.Info("delivered", "took", a.Took.String())
	default:
		log.Info("delivery postponed", "next", next.UTC().Format(time.RFC3339))
	}
}
