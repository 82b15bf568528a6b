package throttle

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"portway/gateway/exchange"
	"portway/internal/catalog"
	"portway/internal/cluster"
	"portway/internal/ident"
	"portway/internal/problem"
)

const (
	// concurrencyName is the policy of calls under way in headers and problems; no limit of a plan has this name.
	concurrencyName = "concurrency"
	// busyWait is when to try again after a call found no place: when one is free is not known.
	busyWait = time.Second
	// leaseMargin is how much longer than its backend's answer a call may hold its place: reading and writing bodies.
	leaseMargin = 2 * time.Minute
)

// Options of New. Quotas, Clock and Log are required.
type Options struct {
	// Redis keeps the limits for all nodes together; without it, and while it is away, this node gives its share.
	Redis  *cluster.Redis
	Quotas *cluster.Quotas
	// Nodes is how many nodes there are, 1 by default: the share of one is a limit divided by it.
	Nodes int
	Clock ident.Clock
	Log   *slog.Logger
}

// Caller is the stage that counts a call against the plan of the caller's subscription.
type Caller struct {
	memory *Memory
	shared *shared // nil without Redis
	o      Options

	refusals sync.Map // Refusal → *atomic.Uint64
}

// Refusal names what refused calls, or would have.
type Refusal struct {
	Plan, Limit string
	Shadow      bool
}

// New returns the stage.
func New(o Options) *Caller {
	s := &Caller{memory: NewMemory(o.Nodes), o: o}
	if o.Redis != nil {
		s.shared = newShared(o.Redis)
	}
	return s
}

// Degraded reports whether limits are decided by this node alone because Redis is away.
func (s *Caller) Degraded() bool { return s.o.Redis != nil && s.o.Redis.Degraded() }

// Without counts the decisions that were made without Redis since the start.
func (s *Caller) Without() uint64 {
	if s.o.Redis == nil {
		return 0
	}
	return s.o.Redis.Without()
}

// Refusals calls yield for every limit that refused a call since the start, with how often. There are at most as many
// as the plans have limits.
func (s *Caller) Refusals(yield func(Refusal, uint64)) {
	s.refusals.Range(func(k, n any) bool {
		yield(k.(Refusal), n.(*atomic.Uint64).Load())
		return true
	})
}

// Name is "limit".
func (*Caller) Name() string { return "limit" }

// Run counts the call, sets the rate headers, and refuses with rate.exceeded when a limit, a quota or the number of
// calls under way is used up. Burst limits and concurrency are decided first and in one step; what they refuse is not
// counted against a quota. What a quota refuses has been counted against the burst limits: they protect us, whatever
// the answer. An operation for work under way is counted against quotas, not refused (RULES 14).
func (s *Caller) Run(ctx context.Context, x *exchange.Exchange) error {
	if x.Caller == nil || x.Grant == nil {
		return nil
	}
	plan := x.Snapshot.Plans[x.Grant.Plan]
	if plan == nil {
		return nil
	}
	limits, cost, operation := plan.Charge(x.Route)
	if len(limits) == 0 && len(plan.Quotas) == 0 && plan.Concurrency == 0 {
		return nil
	}
	r := &Request{Caller: x.Caller.LimitKey(), Plan: string(x.Caller.Environment) + "/" + plan.ID, Limits: limits, Cost: cost,
		Concurrency: plan.Concurrency, Soft: plan.ConcurrencyShadow, Call: x.ID, Lease: x.Route.Timeout + leaseMargin}
	if r.Bucket = r.Plan; operation != "" {
		r.Bucket += "/" + operation
	}
	o := outcome{plan: plan, verdict: s.decide(ctx, x, r)}
	if o.verdict.Allowed {
		s.quotas(ctx, x, &o, int64(cost))
	}
	x.RateHeaders = o.headers()
	return s.conclude(ctx, x, &o)
}

// decide asks Redis, or else this node's memory, and has the call's place released when the call is over.
func (s *Caller) decide(ctx context.Context, x *exchange.Exchange, r *Request) Verdict {
	if len(r.Limits) == 0 && r.Concurrency == 0 {
		return Verdict{Allowed: true}
	}
	if s.shared != nil {
		if v, err := s.shared.Decide(ctx, r); err == nil {
			if v.Allowed && r.Concurrency > 0 {
				x.OnEnd(func() { s.shared.Release(context.WithoutCancel(ctx), r) })
			}
			return v
		}
	}
	v := s.memory.Decide(r, s.o.Clock.Now())
	if v.Allowed && r.Concurrency > 0 {
		x.OnEnd(func() { s.memory.Release(r) })
	}
	return v
}

// quotas counts an allowed call against the calendar quotas in turn. What one refuses is given back to the others.
func (s *Caller) quotas(ctx context.Context, x *exchange.Exchange, o *outcome, cost int64) {
	now := s.o.Clock.Now()
	keys := make([]cluster.Quota, len(o.plan.Quotas))
	for i := range o.plan.Quotas {
		q := &o.plan.Quotas[i]
		start, end := q.Window(now)
		keys[i] = cluster.Quota{Org: x.Caller.Org, Application: x.Caller.Application, Environment: x.Caller.Environment,
			Plan: o.plan.ID, Name: q.Name, Start: start.Unix(), End: end.Unix()}
		d := quotaDecision{quota: q, length: end.Sub(start), reset: end.Sub(now), exempt: x.Route.InFlight}
		var used int64
		used, d.over = s.o.Quotas.Take(ctx, keys[i], cost, q.Limit, !q.Shadow && !d.exempt)
		d.remaining = max(q.Limit-used, 0)
		o.quotas = append(o.quotas, d)
		if d.refuses() {
			for j := range i {
				s.o.Quotas.Take(ctx, keys[j], -cost, o.plan.Quotas[j].Limit, false)
				o.quotas[j].remaining = min(o.quotas[j].remaining+cost, o.plan.Quotas[j].Limit)
			}
			return
		}
	}
}

// conclude refuses the call, or lets it pass and notes what would have refused it.
func (s *Caller) conclude(ctx context.Context, x *exchange.Exchange, o *outcome) error {
	var violated, passed []string
	var wait time.Duration
	count := func(name string, until time.Duration, shadow, exempt bool) {
		if s.counted(Refusal{o.plan.ID, name, shadow}); shadow || exempt {
			passed = append(passed, name)
			return
		}
		violated = append(violated, name)
		wait = max(wait, until)
	}
	for i := range o.verdict.Limits {
		if d := &o.verdict.Limits[i]; !d.Allowed {
			count(d.Limit.Name, d.Wait, d.Limit.Shadow, false)
		}
	}
	if o.verdict.Full {
		count(concurrencyName, busyWait, o.plan.ConcurrencyShadow, false)
	}
	for i := range o.quotas {
		if d := &o.quotas[i]; d.over {
			count(d.quota.Name, d.reset, d.quota.Shadow, d.exempt)
		}
	}
	if len(passed) > 0 {
		names := strings.Join(passed, ", ")
		x.Note("over " + names + ", which refuses nothing here")
		s.o.Log.LogAttrs(ctx, slog.LevelInfo, "over a limit that refuses nothing", slog.String("event", "limit.shadow"),
			slog.String("request_id", x.ID), slog.String("app", x.Caller.Application), slog.String("plan", o.plan.ID), slog.String("limits", names))
	}
	if len(violated) == 0 {
		return nil
	}
	names := strings.Join(violated, ", ")
	x.Note("used up: " + names)
	p := problem.New(problem.RateExceeded, "limit %q of plan %q is used up", names, o.plan.ID)
	p.RetryAfter = max(wait, 1)
	p.Extra = map[string]any{"violated_policies": violated, "plan": o.plan.ID}
	return p
}

// counted adds to what a limit refused, or would have.
func (s *Caller) counted(r Refusal) {
	n, ok := s.refusals.Load(r)
	if !ok {
		n, _ = s.refusals.LoadOrStore(r, new(atomic.Uint64))
	}
	n.(*atomic.Uint64).Add(1)
}

// outcome is everything that was decided about one call.
type outcome struct {
	plan    *catalog.Plan
	verdict Verdict
	quotas  []quotaDecision
}

type quotaDecision struct {
	quota         *catalog.Quota
	remaining     int64
	length, reset time.Duration
	over          bool
	exempt        bool // work under way
}

func (d *quotaDecision) refuses() bool { return d.over && !d.quota.Shadow && !d.exempt }
