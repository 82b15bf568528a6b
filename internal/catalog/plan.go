package catalog

import (
	"maps"
	"math"
	"time"

	"portway/internal/datafile"
)

// Plan is a named set of limits. A caller has each of them once for an application, an environment and a plan: all
// credentials of the application share them, whatever API they call.
type Plan struct {
	ID     string
	Name   string
	Limits []Limit
	Quotas []Quota
	// Concurrency is how many calls may be under way at once, 0 for any number.
	Concurrency       int
	ConcurrencyShadow bool // counted and reported, never refused
	// TokenLifetime is how long access tokens of its subscribers live; zero is the installation's, which is the longest.
	TokenLifetime time.Duration

	own map[string]ownCharge // by Route.ID: operations that differ from the plan
}

// Limit is one limit of a plan: Rate calls per Per on average, Burst at once (GCRA).
type Limit struct {
	Name   string        `yaml:"name"`
	Rate   int           `yaml:"rate"`
	Per    time.Duration `yaml:"per"`
	Burst  int           `yaml:"burst"`
	Shadow bool          `yaml:"shadow"` // counted and reported, never refused
}

// Quota is a number of calls in a calendar day or month of a zone. It is no protection, it is what was agreed: an
// operation for work under way is counted and never refused (RULES 14).
type Quota struct {
	Name   string
	Limit  int64
	Month  bool // by the month, else by the day
	Zone   *time.Location
	Shadow bool // counted and reported, never refused
}

// Window is the calendar day or month that holds now: its first instant and the first after it. Where clocks change a
// day has 23 or 25 hours.
func (q *Quota) Window(now time.Time) (start, end time.Time) {
	year, month, day := now.In(q.Zone).Date()
	if q.Month {
		return time.Date(year, month, 1, 0, 0, 0, 0, q.Zone), time.Date(year, month+1, 1, 0, 0, 0, 0, q.Zone)
	}
	return time.Date(year, month, day, 0, 0, 0, 0, q.Zone), time.Date(year, month, day+1, 0, 0, 0, 0, q.Zone)
}

// ownCharge is what an operation takes under a plan, where it is not what others take.
type ownCharge struct {
	cost   int // 0 = the route's
	limits []Limit
}

// Charge is what a call of an operation takes from which limits. The bucket is "" for the plan's limits; an operation
// with limits of its own has them instead, under its id. Quotas and concurrency are the plan's for every operation.
func (p *Plan) Charge(r *Route) (limits []Limit, cost int, bucket string) {
	limits, cost = p.Limits, max(r.Cost, 1)
	if own, ok := p.own[r.ID]; ok {
		if own.cost > 0 {
			cost = own.cost
		}
		if own.limits != nil {
			limits, bucket = own.limits, r.ID
		}
	}
	return limits, cost, bucket
}

type planFile struct {
	datafile.Head `yaml:",inline"`
	Name          string                       `yaml:"name"`
	Limits        []Limit                      `yaml:"limits"`
	Quotas        []quotaFile                  `yaml:"quotas"`
	Concurrency   concurrencyFile              `yaml:"concurrency"`
	TokenLifetime time.Duration                `yaml:"tokenLifetime"`
	Operations    map[string]planOperationFile `yaml:"operations"`
}

type quotaFile struct {
	Name   string `yaml:"name"`
	Per    string `yaml:"per"` // day or month
	Limit  int64  `yaml:"limit"`
	Zone   string `yaml:"zone"` // IANA name, UTC when absent
	Shadow bool   `yaml:"shadow"`
}

type concurrencyFile struct {
	Limit  *int `yaml:"limit"`
	Shadow bool `yaml:"shadow"`
}

// planOperationFile is what is different for an operation. Keys are those of an API's policy: "operationId" for all
// versions, or "version/operationId", which wins.
type planOperationFile struct {
	Cost   int     `yaml:"cost"`
	Limits []Limit `yaml:"limits"`
}

// readPlan is a plan's file, kept until the operations are known.
type readPlan struct {
	id, file string
	text     []byte
	sound    bool // its limits can be held against the costs of operations
	planFile
}

func (l *loader) plan(id, file string, src []byte) {
	f := readPlan{id: id, file: file, text: src}
	if p := datafile.Decode(file, "plan", src, &f.planFile); p != nil {
		l.problems = append(l.problems, p...)
		return
	}
	before := len(l.problems)
	p := &Plan{ID: id, Name: f.Name, Limits: f.Limits, TokenLifetime: f.TokenLifetime, own: map[string]ownCharge{}}
	l.tokenLifetime(file, f.TokenLifetime)
	quotas := map[string]bool{}
	for i, q := range f.Quotas {
		p.Quotas = append(p.Quotas, l.quota(file, i, q, quotas))
	}
	l.limits(file, f.Limits, quotas, "limits")
	if n := f.Concurrency.Limit; n != nil && *n > 0 {
		p.Concurrency, p.ConcurrencyShadow = *n, f.Concurrency.Shadow
	} else if n != nil || f.Concurrency.Shadow {
		l.fail(file, l.line("concurrency"), "concurrency needs a limit above zero")
	}
	for op, own := range f.Operations {
		if own.Cost < 0 {
			l.fail(file, l.line("operations", op, "cost"), "operations.%s.cost is below zero", op)
		}
		l.limits(file, own.Limits, quotas, "operations", op, "limits")
	}
	l.snap.Plans[id], f.sound = p, len(l.problems) == before
	l.plans = append(l.plans, f)
}

// limits checks a list of limits, which stands under path, beside the plan's quotas.
func (l *loader) limits(file string, list []Limit, quotas map[string]bool, path ...any) {
	names := maps.Clone(quotas)
	for i, limit := range list {
		switch at := l.line(append(path, i)...); {
		case limit.Rate <= 0 || limit.Per <= 0 || limit.Burst <= 0 || names[limit.Name] || !planName(limit.Name):
			l.fail(file, at, "every limit needs its own name (lower-case letters, digits and dashes), and rate, per and burst above zero")
		case int64(limit.Rate) > int64(limit.Per) || int64(limit.Burst) > math.MaxInt64/2/(int64(limit.Per)/int64(limit.Rate)):
			l.fail(file, at, "limit %q is beyond what can be counted: at most one call a nanosecond, and a burst of 146 years", limit.Name)
		}
		names[limit.Name] = true
	}
}

func (l *loader) quota(file string, i int, f quotaFile, names map[string]bool) Quota {
	at := func(member string) int { return l.line("quotas", i, member) }
	if f.Limit <= 0 || f.Limit > math.MaxInt32 || names[f.Name] || !planName(f.Name) {
		l.fail(file, l.line("quotas", i), "every quota needs a name that no other limit of the plan has (lower-case letters, digits and dashes), and a limit from 1 to %d", math.MaxInt32)
	}
	names[f.Name] = true
	if f.Per != "day" && f.Per != "month" {
		l.fail(file, at("per"), "quotas.per is %q: use day or month", f.Per)
	}
	zone, err := time.LoadLocation(f.Zone) // "" is UTC
	if err != nil || f.Zone == "Local" {
		l.fail(file, at("zone"), "quotas.zone %q is not a time zone: use a name like America/Chicago", f.Zone)
		zone = time.UTC
	}
	return Quota{Name: f.Name, Limit: f.Limit, Month: f.Per == "month", Zone: zone, Shadow: f.Shadow}
}

// planName reports whether a limit can be called so: the name stands in response headers and in keys of counters.
func planName(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= 40 && s != "concurrency"
}

// planOperations gives plans the operations that differ, and finds those that are in no contract and those whose cost
// is more than a limit can ever give. It runs when all APIs are read.
func (l *loader) planOperations() {
	for i := range l.plans {
		f := &l.plans[i]
		plan, used := l.snap.Plans[f.id], map[string]bool{}
		for _, a := range l.snap.APIs {
			for _, v := range a.Versions {
				for _, r := range v.Routes {
					l.planOperation(f, plan, v.Name, r, used)
				}
			}
		}
		for key := range f.Operations {
			if !used[key] && !l.partial {
				l.fail(f.file, datafile.Line(f.text, "operations", key), "operations: %q is in no contract", key)
			}
		}
	}
}

func (l *loader) planOperation(f *readPlan, plan *Plan, version string, r *Route, used map[string]bool) {
	key := r.Operation.ID
	own, known := f.Operations[key]
	used[key] = used[key] || known
	if narrow, ok := f.Operations[version+"/"+key]; ok {
		key = version + "/" + key
		own, known, used[key] = narrow, true, true
	}
	if known {
		plan.own[r.ID] = ownCharge{cost: own.Cost, limits: own.Limits}
	}
	if r.Anonymous || !f.sound { // without a caller there is no plan
		return
	}
	limits, cost, bucket := plan.Charge(r)
	for i := range limits {
		if cost > limits[i].Burst {
			path := []any{"limits", i}
			if bucket != "" {
				path = []any{"operations", key, "limits", i}
			}
			l.fail(f.file, datafile.Line(f.text, path...), "limit %q: its burst of %d is below the cost %d of operation %q, which could never be called", limits[i].Name, limits[i].Burst, cost, r.ID)
		}
	}
	for i := range plan.Quotas {
		if q := &plan.Quotas[i]; int64(cost) > q.Limit && !r.InFlight {
			l.fail(f.file, datafile.Line(f.text, "quotas", i), "quota %q: its limit of %d is below the cost %d of operation %q, which could never be called", q.Name, q.Limit, cost, r.ID)
		}
	}
}
