package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// starter starts one gateway for a scenario.
type starter interface {
	name() string
	// start serves until stop; offered is false when the gateway has no such scenario.
	start(name string, s *scenario) (g *gateway, offered bool, err error)
}

// gateway is a running process under measurement.
type gateway struct {
	address string
	pid     int
	admin   string // where its profile is, "" if it has none
	stop    func()
	done    <-chan struct{}
}

// figure is one measured run.
type figure struct {
	MicrosPerRequest float64 `json:"cpu_us_per_request"`
	PerSecond        float64 `json:"requests_per_second"`
	P50              float64 `json:"p50_ms"`
	P99              float64 `json:"p99_ms"`
	RSSMB            float64 `json:"rss_mb"`
	StealPercent     float64 `json:"steal_percent"`
}

// result is a gateway's scenario over all repetitions.
type result struct {
	Gateway  string   `json:"gateway"`
	Scenario string   `json:"scenario"`
	Runs     []figure `json:"runs"`
	Void     string   `json:"void,omitempty"` // why it does not count
}

// measureAll runs the scenarios, gateways interleaved so that the machine's moods meet all of them.
func measureAll(o options, w *workload, back *backend, gateways []starter, names []string) []*result {
	var out []*result
	index := map[string]*result{}
	for _, name := range names {
		s := scenarios[name]
		for repetition := range o.repetitions {
			for _, g := range gateways {
				r := index[g.name()+"/"+name]
				if r == nil {
					r = &result{Gateway: g.name(), Scenario: name}
					index[g.name()+"/"+name] = r
					out = append(out, r)
				}
				if r.Void != "" {
					continue
				}
				fmt.Fprintf(os.Stderr, "bench: %s %s, %d of %d\n", g.name(), name, repetition+1, o.repetitions)
				f, void := measure(o, w, back, g, name, s)
				if void != "" {
					r.Void = void
					continue
				}
				r.Runs = append(r.Runs, *f)
			}
		}
	}
	return out
}

func measure(o options, w *workload, back *backend, st starter, name string, s *scenario) (*figure, string) {
	g, offered, err := st.start(name, s)
	if !offered {
		return nil, "not offered"
	}
	if err != nil {
		return nil, err.Error()
	}
	defer g.stop()
	tokens, err := back.keys.tokens(s, back.issuer())
	if err != nil {
		return nil, err.Error()
	}
	warm := load(g.address, w, s, tokens, o.connections, o.warmUp, 0)
	if warm.wrong > 0 {
		return nil, fmt.Sprintf("%d wrong answers, such as %s", warm.wrong, warm.firstBad)
	}
	skip := 0
	if s.fresh {
		skip = int(warm.requests)
	}
	cpu, steal := cpuTicks(g.pid), stealTicks()
	var profiled sync.WaitGroup
	if o.profile && g.admin != "" {
		profiled.Go(func() { saveProfile(g.admin, name, o.run) })
	}
	l := load(g.address, w, s, tokens, o.connections, o.run, skip)
	profiled.Wait()
	used, stolen := cpuTicks(g.pid)-cpu, stealTicks()-steal
	if l.wrong > 0 {
		return nil, fmt.Sprintf("%d wrong answers, such as %s", l.wrong, l.firstBad)
	}
	if l.requests == 0 {
		return nil, "no request was answered"
	}
	const tick = 10_000 // microseconds: USER_HZ is 100 on Linux
	return &figure{MicrosPerRequest: float64(used) * tick / float64(l.requests), PerSecond: float64(l.requests) / l.took.Seconds(),
		P50: l.quantile(0.5).Seconds() * 1000, P99: l.quantile(0.99).Seconds() * 1000, RSSMB: rssMB(g.pid),
		StealPercent: float64(stolen) / (l.took.Seconds() * 100) * 100}, ""
}

// saveProfile keeps the process's CPU profile of the run as <scenario>.pprof.
func saveProfile(admin, name string, d time.Duration) {
	res, err := http.Get(fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", admin, max(1, int(d.Seconds()))))
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: profile:", err)
		return
	}
	defer res.Body.Close()
	f, err := os.Create(name + ".pprof")
	if err == nil {
		_, err = io.Copy(f, res.Body)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: profile:", err)
	}
}

// cpuTicks is utime + stime of a process and its children that are gone (proc(5), fields 14 to 17).
func cpuTicks(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	var sum int64
	for _, i := range []int{11, 12} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err == nil {
			sum += n
		}
	}
	for _, child := range children(pid) {
		sum += cpuTicks(child)
	}
	return sum
}

// children are the processes a gateway forked, such as nginx's workers.
func children(pid int) []int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil
	}
	var out []int
	for _, f := range strings.Fields(string(b)) {
		if n, err := strconv.Atoi(f); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// stealTicks is the time the host took from all cores (proc(5), /proc/stat, field 8 of "cpu").
func stealTicks() int64 {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	fields := strings.Fields(strings.SplitN(string(b), "\n", 2)[0])
	if len(fields) < 9 {
		return 0
	}
	n, err := strconv.ParseInt(fields[8], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func rssMB(pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(b), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err == nil {
				return n / 1024
			}
		}
	}
	return 0
}

// median is the run in the middle by CPU per request.
func (r *result) median() figure {
	runs := append([]figure(nil), r.Runs...)
	sort.Slice(runs, func(i, j int) bool { return runs[i].MicrosPerRequest < runs[j].MicrosPerRequest })
	return runs[len(runs)/2]
}

// spread is the lowest and highest CPU per request.
func (r *result) spread() (low, high float64) {
	low = r.Runs[0].MicrosPerRequest
	for _, f := range r.Runs {
		low, high = min(low, f.MicrosPerRequest), max(high, f.MicrosPerRequest)
	}
	return low, high
}
