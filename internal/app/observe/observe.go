// Package observe tells the metrics and the health report where the numbers and the state of the rooms are.
package observe

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"portway/gateway/throttle"
	"portway/internal/catalog"
	"portway/internal/delivery"
	"portway/internal/ident"
	"portway/internal/outbound"
	"portway/internal/telemetry"
	"portway/internal/token"
)

const (
	// backlogTime is how old the counts of deliveries may be: scrapes and health checks share one query.
	backlogTime = 5 * time.Second
	// soonTime before its end a certificate is worth a look.
	soonTime = 14 * 24 * time.Hour
)

// Rooms is where things are known; all fields are required.
type Rooms struct {
	Ping       func(context.Context) error // of the database
	Stale      func() bool                 // of the directory of partners
	Catalogue  *catalog.Holder
	LastReload func() Reload
	Backlog    func(context.Context) ([]delivery.Backlog, error)
	Dropped    func() int64 // call records
	// Certificates are the ends of the listeners' certificates, by listener.
	Certificates func() map[string]time.Time
	Limits       *throttle.Caller
	Backends     *outbound.Client
	Tokens       *token.Verifier
	Keys         *token.KeyRing
	Clock        ident.Clock
	Log          *slog.Logger
}

// Reload is how the last reload went; its zero value says that there was none.
type Reload struct {
	At       time.Time `json:"at"`
	Result   string    `json:"result"` // "applied", "unchanged" or "refused"
	Problems []string  `json:"problems,omitempty"`
}

type rooms struct {
	Rooms
	metrics *telemetry.Metrics
	health  *telemetry.Health
}

// Connect adds everything to the metrics and to the health report. The program is ready when the database answers, the
// directory is current and a catalogue is in force.
func Connect(m *telemetry.Metrics, h *telemetry.Health, known Rooms) {
	r := &rooms{known, m, h}
	h.Require("store", func(ctx context.Context) error {
		if err := r.Ping(ctx); err != nil {
			r.Log.Warn("the store does not answer", "error", err.Error()) // the error may name its address
			return errors.New("the database does not answer")
		}
		return nil
	})
	h.Require("directory", func(context.Context) error {
		if r.Stale() {
			return errors.New("changes of partners could not be read for more than a minute: a revocation may have been missed")
		}
		return nil
	})
	h.Require("catalogue", func(context.Context) error {
		if r.Catalogue.Current() == nil {
			return errors.New("no catalogue is loaded")
		}
		return nil
	})
	r.observeCatalogue()
	r.observeDeliveries(&backlog{read: r.Backlog, now: r.Clock.Now})
	r.observeCertificates()
	r.observeLimits()
	r.observeTokens()
	r.observeBackends()
	m.Add(telemetry.Series{Name: "portway_call_records_dropped_total", Counter: true,
		Help: "Call records that were lost to a full queue or a store that failed.",
		Read: func(emit telemetry.Emit) { emit(float64(r.Dropped())) }})
	h.Detail("call_records", func(context.Context) (any, bool) {
		dropped := r.Dropped()
		return map[string]int64{"dropped": dropped}, dropped > 0
	})
}

func (r *rooms) observeCatalogue() {
	r.metrics.Add(telemetry.Series{Name: "portway_catalogue_retired_snapshots",
		Help: "Replaced snapshots still in memory; a number that only grows is a leak.",
		Read: func(emit telemetry.Emit) { emit(float64(r.Catalogue.Retired())) }})
	r.metrics.Add(telemetry.Series{Name: "portway_catalogue_loaded_timestamp_seconds", Help: "When the snapshot in force was loaded.",
		Read: func(emit telemetry.Emit) { emit(float64(r.Catalogue.Current().Loaded.UnixMilli()) / 1000) }})
	r.metrics.Add(telemetry.Series{Name: "portway_reload_refused", Help: "1 while the files on disk are not in force because they were refused.",
		Read: func(emit telemetry.Emit) {
			if r.LastReload().Result == "refused" {
				emit(1)
			} else {
				emit(0)
			}
		}})
	r.health.Detail("catalogue", func(context.Context) (any, bool) {
		snap := r.Catalogue.Current()
		d := map[string]any{"digest": snap.Digest, "loaded": snap.Loaded.UTC(), "apis": len(snap.APIs), "operations": Operations(snap)}
		last := r.LastReload()
		if last.Result != "" {
			d["last_reload"] = last
		}
		return d, last.Result == "refused"
	})
}

// Operations is how many operations a snapshot serves.
func Operations(snap *catalog.Snapshot) int {
	n := 0
	for _, a := range snap.APIs {
		for _, v := range a.Versions {
			n += len(v.Routes)
		}
	}
	return n
}

func (r *rooms) observeDeliveries(b *backlog) {
	r.metrics.Add(telemetry.Series{Name: "portway_deliveries", Labels: []string{"lane", "state"}, Help: "Deliveries not made, by lane and state (pending, dead).",
		Read: func(emit telemetry.Emit) {
			lanes, _ := b.get(context.Background())
			for _, l := range lanes {
				emit(float64(l.Pending), l.Lane, "pending")
				emit(float64(l.Dead), l.Lane, "dead")
			}
		}})
	r.metrics.Add(telemetry.Series{Name: "portway_deliveries_oldest_seconds", Labels: []string{"lane"}, Help: "Age of the oldest pending delivery, by lane.",
		Read: func(emit telemetry.Emit) {
			lanes, _ := b.get(context.Background())
			for _, l := range lanes {
				emit(b.age(l).Seconds(), l.Lane)
			}
		}})
	r.health.Detail("deliveries", func(ctx context.Context) (any, bool) {
		lanes, err := b.get(ctx)
		if err != nil {
			return map[string]string{"error": "the deliveries could not be counted"}, true
		}
		out := map[string]any{}
		for _, l := range lanes {
			out[l.Lane] = map[string]any{"pending": l.Pending, "dead": l.Dead, "oldest_seconds": int64(b.age(l).Seconds())}
		}
		return out, false
	})
}

// backlog keeps the counts of deliveries for a moment.
type backlog struct {
	read func(context.Context) ([]delivery.Backlog, error)
	now  func() time.Time
	mu   sync.Mutex
	at   time.Time
	last []delivery.Backlog
}

func (b *backlog) get(ctx context.Context) ([]delivery.Backlog, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if !b.at.IsZero() && now.Sub(b.at) < backlogTime {
		return b.last, nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	lanes, err := b.read(ctx)
	if err != nil {
		return nil, err
	}
	b.at, b.last = now, lanes
	return lanes, nil
}

func (b *backlog) age(l delivery.Backlog) time.Duration {
	if l.Oldest.IsZero() {
		return 0
	}
	return max(b.now().Sub(l.Oldest), 0)
}

func (r *rooms) observeCertificates() {
	r.metrics.Add(telemetry.Series{Name: "portway_certificate_expiry_timestamp_seconds", Labels: []string{"listener"}, Help: "When the certificate of a listener ends.",
		Read: func(emit telemetry.Emit) {
			for listener, end := range r.Certificates() {
				emit(float64(end.Unix()), listener)
			}
		}})
	r.health.Detail("certificates", func(context.Context) (any, bool) {
		ends, soon := r.Certificates(), false
		for _, end := range ends {
			soon = soon || end.Sub(r.Clock.Now()) < soonTime
		}
		return ends, soon
	})
}

func (r *rooms) observeLimits() {
	limits := r.Limits
	r.metrics.Add(telemetry.Series{Name: "portway_limiter_degraded", Help: "1 while Redis is away and this node decides limits alone.",
		Read: func(emit telemetry.Emit) {
			if limits.Degraded() {
				emit(1)
			} else {
				emit(0)
			}
		}})
	r.metrics.Add(telemetry.Series{Name: "portway_limiter_local_decisions_total", Counter: true, Help: "Decisions made without Redis although there is one.",
		Read: func(emit telemetry.Emit) { emit(float64(limits.Without())) }})
	r.metrics.Add(telemetry.Series{Name: "portway_limit_refusals_total", Labels: []string{"plan", "limit", "shadow"}, Counter: true,
		Help: "Calls a limit refused, by plan and limit; with shadow \"true\" those it would have refused.",
		Read: func(emit telemetry.Emit) {
			limits.Refusals(func(by throttle.Refusal, n uint64) {
				emit(float64(n), by.Plan, by.Limit, strconv.FormatBool(by.Shadow))
			})
		}})
	r.health.Detail("limiter", func(context.Context) (any, bool) {
		degraded := limits.Degraded()
		return map[string]any{"degraded": degraded, "local_decisions": limits.Without()}, degraded
	})
}

func (r *rooms) observeBackends() {
	r.metrics.Add(telemetry.Series{Name: "portway_backend_target_up", Labels: []string{"backend", "environment", "target"},
		Help: "1 while a target takes calls: its breaker is not open, it is healthy and no outlier.",
		Read: func(emit telemetry.Emit) {
			for _, s := range r.Backends.State() {
				up := 0.0
				if serving(&s) {
					up = 1
				}
				emit(up, s.Backend, string(s.Environment), strconv.Itoa(s.Target))
			}
		}})
	r.metrics.Add(telemetry.Series{Name: "portway_backend_in_flight", Labels: []string{"backend", "environment"}, Help: "Calls under way, by backend and environment.",
		Read: func(emit telemetry.Emit) {
			for _, s := range r.Backends.State() {
				if s.Target == 0 { // the number is the backend's
					emit(float64(s.InFlight), s.Backend, string(s.Environment))
				}
			}
		}})
	r.health.Detail("backends", func(context.Context) (any, bool) {
		down := []map[string]any{}
		for _, s := range r.Backends.State() {
			if !serving(&s) {
				down = append(down, map[string]any{"backend": s.Backend, "environment": s.Environment, "target": s.Target, "breaker": s.Breaker, "taking_part": s.In})
			}
		}
		return map[string]any{"targets_down": down}, len(down) > 0
	})
}

func serving(s *outbound.State) bool { return s.In && s.Breaker != "open" }

// Backends hands what becomes of calls to backends to the metrics; it implements outbound.Metrics.
type Backends struct{ Metrics *telemetry.Metrics }

// Attempt counts a try.
func (b Backends) Attempt(backend string, env ident.Environment, outcome outbound.Outcome, took time.Duration) {
	sent := true
	switch outcome {
	case outbound.NoTarget, outbound.Full, outbound.OverBudget, outbound.NoToken:
		sent = false
	}
	b.Metrics.Attempt(backend, string(env), string(outcome), sent, took)
}

// Breaker counts a change of a breaker.
func (b Backends) Breaker(backend string, env ident.Environment, _ int, state string) {
	b.Metrics.Breaker(backend, string(env), state)
}
