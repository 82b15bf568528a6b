// Command bench measures what a gateway costs on one fixed workload: CPU microseconds per request of the
// gateway's process, pinned to one core, with load and backend on the other. "make bench" runs it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// options are the flags.
type options struct {
	workload    string
	binary      string
	scenarios   string
	warmUp      time.Duration
	run         time.Duration
	repetitions int
	connections int
	jsonFile    string
	profile     bool
	peers       peerList
}

// peerList collects --peer NAME=CMD.
type peerList []peer

// peer is another gateway: a shell command that serves BENCH_LISTEN in front of BENCH_BACKEND until it is stopped,
// for the scenario in BENCH_SCENARIO; it exits at once when it does not offer that scenario.
type peer struct{ name, command string }

func (p *peerList) String() string { return fmt.Sprint(*p) }

func (p *peerList) Set(s string) error {
	name, command, ok := strings.Cut(s, "=")
	if !ok || name == "" || command == "" {
		return errors.New("give NAME=CMD")
	}
	*p = append(*p, peer{name, command})
	return nil
}

func main() {
	o := options{}
	flag.StringVar(&o.workload, "workload", os.Getenv("PORTWAY_BENCH"), "folder of the workload: contract, payloads, the backend's answers (PORTWAY_BENCH)")
	flag.StringVar(&o.binary, "binary", "bin/portway", "the built program")
	flag.StringVar(&o.scenarios, "scenarios", "S0,P0,S1,S1E,S2,S3,S4,S3+", "which to run; S1c and S3c take tokens never seen before")
	flag.DurationVar(&o.warmUp, "warm-up", 2*time.Second, "before each measured run")
	flag.DurationVar(&o.run, "run", 8*time.Second, "length of each measured run")
	flag.IntVar(&o.repetitions, "repetitions", 3, "interleaved; the median is shown")
	flag.IntVar(&o.connections, "connections", 32, "concurrent connections")
	flag.StringVar(&o.jsonFile, "json", "", "also write the results to this file")
	flag.BoolVar(&o.profile, "profile", false, "write <scenario>.pprof of our process, taken during the measured run")
	flag.Var(&o.peers, "peer", "another gateway in the same run, as NAME=CMD; repeatable")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	if o.workload == "" {
		return errors.New("set PORTWAY_BENCH or --workload to the folder of the workload")
	}
	w, err := readWorkload(o.workload)
	if err != nil {
		return err
	}
	if err := pinSelf(); err != nil {
		fmt.Fprintln(os.Stderr, "bench: not pinned to a core, figures will be noisy:", err)
	}
	var names []string
	for _, s := range strings.Split(o.scenarios, ",") {
		if scenarios[s] == nil {
			return fmt.Errorf("scenario %q: use S0, P0, S1, S1E, S2, S3, S3+, S4, S1c or S3c", s)
		}
		names = append(names, s)
	}
	back, err := startBackend(w)
	if err != nil {
		return err
	}
	defer back.stop()
	gateways := []starter{&portway{binary: o.binary, workload: w, backend: back}}
	if nginx, err := exec.LookPath("nginx"); err == nil {
		gateways = append([]starter{&nginxProxy{binary: nginx, backend: back.address}}, gateways...)
	}
	for _, p := range o.peers {
		gateways = append(gateways, &command{peer: p, backend: back})
	}
	results := measureAll(o, w, back, gateways, names)
	report(os.Stdout, results, names)
	if o.jsonFile == "" {
		return nil
	}
	return writeJSON(o.jsonFile, results)
}

// pinSelf moves this process, load and backend together, to the last core, and the scheduler to one thread.
func pinSelf() error {
	if runtime.NumCPU() < 2 {
		return errors.New("one core only")
	}
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		return err
	}
	if out, err := exec.Command(taskset, "-a", "-p", "-c", fmt.Sprint(runtime.NumCPU()-1), fmt.Sprint(os.Getpid())).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	runtime.GOMAXPROCS(1)
	return nil
}

// workload is what every gateway is measured with.
type workload struct {
	dir                     string
	contract                []byte
	valid, invalid          []byte
	backendGet, backendPost []byte
}

func readWorkload(dir string) (*workload, error) {
	w := &workload{dir: dir}
	for name, into := range map[string]*[]byte{"shipments.yaml": &w.contract, "shipment.valid.json": &w.valid,
		"shipment.invalid.json": &w.invalid, "backend.get.json": &w.backendGet, "backend.post.json": &w.backendPost} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		*into = b
	}
	return w, nil
}
