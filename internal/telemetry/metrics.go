// Package telemetry is what an operator sees of the running program: numbers for Prometheus, health with its reasons,
// the admin listener that serves both, and the files of logs. It knows no other room; they hand it what they know.
//
// Labels are closed sets: ids of operations, backends and lanes from the catalogue, problem codes, environments, classes
// of status. No label ever holds a partner, a path as sent or anything else a caller chose.
package telemetry

import (
	"regexp"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// none is the label of what a call did not get: an operation, an environment.
const none = "none"

// latency are the buckets of times, in seconds.
var latency = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// live is what the last collection found in use: unlike what is allocated, it shows a leak without the garbage of the moment.
var live = collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile("^/gc/heap/live:bytes$")}

// Metrics are the numbers of one running program. A nil *Metrics takes everything and keeps nothing.
type Metrics struct {
	registry *prometheus.Registry
	calls    *prometheus.CounterVec
	refusals *prometheus.CounterVec
	gateway  *prometheus.HistogramVec
	backend  *prometheus.HistogramVec
	attempts *prometheus.CounterVec
	breakers *prometheus.CounterVec
	logged   *prometheus.CounterVec
	panics   prometheus.Counter
	reloads  *prometheus.CounterVec
	groups   *prometheus.HistogramVec
}

// NewMetrics returns Metrics at zero, with those of the Go runtime and the process.
func NewMetrics(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "portway_calls_total",
			Help: "Calls of partners by operation, environment and class of status; operation \"none\" is every call that met no operation."}, []string{"operation", "environment", "class"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "portway_refusals_total",
			Help: "Calls answered with a problem, by its code and the environment."}, []string{"code", "environment"}),
		gateway: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "portway_gateway_seconds", Buckets: latency,
			Help: "Time a call took in the gateway, without the wait for a backend, by operation."}, []string{"operation"}),
		backend: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "portway_backend_seconds", Buckets: latency,
			Help: "Time a try at a backend took, by backend and environment; of those that were sent."}, []string{"backend", "environment"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "portway_backend_attempts_total",
			Help: "Tries at a backend and calls refused before they were sent, by backend, environment and outcome."}, []string{"backend", "environment", "outcome"}),
		breakers: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "portway_breaker_changes_total",
			Help: "Changes of circuit breakers, by backend, environment and the state they changed to."}, []string{"backend", "environment", "state"}),
		logged: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "portway_log_records_total",
			Help: "Log records by level, warnings and errors."}, []string{"level"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{Name: "portway_panics_total",
			Help: "Panics that were caught and logged; any is a bug."}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "portway_reloads_total",
			Help: "Reloads by what was read (catalogue, certificates) and result (applied, unchanged, refused)."}, []string{"what", "result"}),
		groups: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "portway_store_group_writes", Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 200},
			Help: "Writes that shared one commit, by database file."}, []string{"file"}),
	}
	m.registry.MustRegister(m.calls, m.refusals, m.gateway, m.backend, m.attempts, m.breakers, m.logged, m.panics, m.reloads, m.groups,
		collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(live)), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.Add(Series{Name: "portway_build_info", Help: "Always 1; the version is the label.", Labels: []string{"version"},
		Read: func(emit Emit) { emit(1, version) }})
	return m
}

// Call is what is counted of one finished call of a partner.
type Call struct {
	Operation   string // route id, "" when none was found
	Environment string
	Status      int
	Code        string // problem code, "" when it went well
	Took        time.Duration
	Upstream    time.Duration // of it, waiting for a backend
}

// Call counts a finished call. It is safe for concurrent use and does not block.
func (m *Metrics) Call(c Call) {
	if m == nil {
		return
	}
	operation, environment, class := or(c.Operation), or(c.Environment), Class(c.Status)
	m.calls.WithLabelValues(operation, environment, class).Inc()
	if c.Code != "" {
		m.refusals.WithLabelValues(c.Code, environment).Inc()
	}
	m.gateway.WithLabelValues(operation).Observe(max(c.Took-c.Upstream, 0).Seconds())
}

// Attempt counts one try at a backend that was sent, with how long it took, or one call that was refused before.
func (m *Metrics) Attempt(backend, environment, outcome string, sent bool, took time.Duration) {
	if m == nil {
		return
	}
	m.attempts.WithLabelValues(backend, environment, outcome).Inc()
	if sent {
		m.backend.WithLabelValues(backend, environment).Observe(took.Seconds())
	}
}

// Breaker counts a circuit breaker that changed to a state.
func (m *Metrics) Breaker(backend, environment, state string) {
	if m != nil {
		m.breakers.WithLabelValues(backend, environment, state).Inc()
	}
}

// Class is the class of an HTTP status, "2xx"; "other" for what is none.
func Class(status int) string {
	if status < 100 || status > 599 {
		return "other"
	}
	return strconv.Itoa(status/100) + "xx"
}

func or(label string) string {
	if label == "" {
		return none
	}
	return label
}

// Reload counts a reload of "catalogue" or "certificates" with its result: "applied", "unchanged" or "refused".
func (m *Metrics) Reload(what, result string) {
	if m != nil {
		m.reloads.WithLabelValues(what, result).Inc()
	}
}

// Group counts a commit of a database file that this many writes shared.
func (m *Metrics) Group(file string, writes int) {
	if m != nil {
		m.groups.WithLabelValues(file).Observe(float64(writes))
	}
}

// Emit reports one value of a Series, with a value for each of its labels.
type Emit func(value float64, labels ...string)

// Series is a number that another room knows and that is read when it is asked for.
type Series struct {
	Name, Help string
	Labels     []string
	Counter    bool // it only grows; otherwise it is a gauge
	Read       func(emit Emit)
}

// Add makes a Series part of the metrics. Two of one name are a mistake in the program, and panic.
func (m *Metrics) Add(s Series) {
	if m == nil {
		return
	}
	kind := prometheus.GaugeValue
	if s.Counter {
		kind = prometheus.CounterValue
	}
	m.registry.MustRegister(&series{Series: s, kind: kind, desc: prometheus.NewDesc(s.Name, s.Help, s.Labels, nil)})
}

type series struct {
	Series
	kind prometheus.ValueType
	desc *prometheus.Desc
}

func (s *series) Describe(out chan<- *prometheus.Desc) { out <- s.desc }

func (s *series) Collect(out chan<- prometheus.Metric) {
	s.Read(func(value float64, labels ...string) {
		m, err := prometheus.NewConstMetric(s.desc, s.kind, value, labels...)
		if err != nil {
			m = prometheus.NewInvalidMetric(s.desc, err)
		}
		out <- m
	})
}
