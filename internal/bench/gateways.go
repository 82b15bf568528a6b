package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// portway starts the built program on an installation folder made for the scenario.
type portway struct {
	binary   string
	workload *workload
	backend  *backend
}

func (*portway) name() string { return "portway" }

func (p *portway) start(_ string, s *scenario) (*gateway, bool, error) {
	dir, err := os.MkdirTemp("", "portway-bench-")
	if err != nil {
		return nil, true, err
	}
	if err := p.install(dir, s); err != nil {
		return nil, true, errors.Join(err, os.RemoveAll(dir))
	}
	ready := filepath.Join(dir, "ready.json")
	cmd := exec.Command(p.binary, "serve", "--config", dir, "--data", filepath.Join(dir, "data"), "--gateway-listen", "127.0.0.1:0",
		"--portal-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--ready-file", ready, "--log-level", "warn")
	if s.all {
		cmd.Args = append(cmd.Args, "--access-log", filepath.Join(dir, "access.log"))
	} else {
		cmd.Args = append(cmd.Args, "--no-call-records")
	}
	g, err := launch(cmd, func() { os.RemoveAll(dir) })
	if err != nil {
		return nil, true, err
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		var r struct{ Gateway, Admin string }
		if b, err := os.ReadFile(ready); err == nil && json.Unmarshal(b, &r) == nil {
			g.address, g.admin = strings.TrimPrefix(r.Gateway, "http://"), r.Admin
			return g, true, nil
		}
		if time.Now().After(deadline) {
			g.stop()
			return nil, true, errors.New("portway was not ready within 20 s")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// install writes specs and policies for a scenario: the workload's contract, with less of it where the scenario
// asks for less.
func (p *portway) install(dir string, s *scenario) error {
	contract := string(p.workload.contract)
	if s.token == "" {
		contract = strings.Replace(contract, "security:\n  - bearerAuth: []\n", "", 1)
	}
	if !s.schema {
		contract = withoutBodies(contract)
	}
	plan := "kind: plan\nschema: 1\nname: None\nlimits: []\n"
	if s.limit {
		plan = "kind: plan\nschema: 1\nname: High\nlimits:\n  - {name: burst, rate: 10000000, per: 1s, burst: 10000000}\n"
	}
	response := `"off"`
	if s.all {
		response = "report"
	}
	files := map[string]string{
		"specs/shipments/v1/openapi.yaml": contract,
		"policies/apis/shipments.yaml": "kind: api\nschema: 1\ntitle: Shipments\nversions: {v1: {base: \"\"}}\noperations:\n" +
			"  createShipment: {dispatch: proxy, backend: {fixed: bench}, idempotency: {key: none}, response: " + response + "}\n" +
			"  getShipment: {dispatch: proxy, backend: {fixed: bench}, response: " + response + "}\n",
		"policies/plans/bench.yaml":    plan,
		"policies/backends/bench.yaml": "kind: backend\nschema: 1\nname: Bench\nurls: {live: \"http://" + p.backend.address + "\"}\n",
		"policies/issuers/bench.yaml": "kind: issuer\nschema: 1\nissuer: \"" + p.backend.issuer() + "\"\nprofile: jwt\naudience: " + tokenAudience +
			"\nalgorithms: [RS256, ES256]\njwks: \"http://" + p.backend.address + "/jwks.json\"\nmaxLifetime: 9000h\nidentityClaim: sub\nenvironment: live\napplication: bench/app\n",
		"policies/partners/bench.yaml": p.partner(),
	}
	if s.token == "" {
		delete(files, "policies/issuers/bench.yaml")
	}
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (p *portway) partner() string {
	return "kind: partner\nschema: 1\norganisation: {name: Bench, kind: shipper, zone: UTC}\napplications:\n  - slug: app\n    name: Bench\n" +
		"    credentials: [{environment: live, clientId: bench-app}]\n    subscriptions:\n      - {api: shipments, environments: [live], plan: bench, scopes: [\"shipments:read\", \"shipments:write\"]}\n"
}

// withoutBodies leaves the request bodies out of a contract: from "requestBody:" to the next key of its level.
func withoutBodies(contract string) string {
	var out []string
	skip := -1
	for _, line := range strings.Split(contract, "\n") {
		indent := len(line) - len(strings.TrimLeft(line, " "))
		if skip >= 0 && (indent > skip || strings.TrimSpace(line) == "") {
			continue
		}
		skip = -1
		if strings.TrimSpace(line) == "requestBody:" {
			skip = indent
			out = append(out, line, strings.Repeat(" ", indent+2)+"content: {application/json: {}}")
			continue
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

// launch starts a gateway pinned to the first core with one scheduler thread; stop ends it by its process id.
func launch(cmd *exec.Cmd, after func()) (*gateway, error) {
	if taskset, err := exec.LookPath("taskset"); err == nil {
		cmd.Args = append([]string{taskset, "-c", "0", cmd.Path}, cmd.Args[1:]...)
		cmd.Path = taskset
	}
	cmd.Env = append(os.Environ(), append([]string{"GOMAXPROCS=1"}, cmd.Env...)...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // that it ended is what counts, not how
		close(done)
	}()
	return &gateway{pid: cmd.Process.Pid, done: done, stop: func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) // gone already is as good
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-done
		}
		if after != nil {
			after()
		}
	}}, nil
}

// freeAddress is a loopback address nobody listens on at the moment.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// waitFor returns once a gateway accepts connections, or has ended.
func waitFor(g *gateway) (bool, error) {
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		conn, err := net.DialTimeout("tcp", g.address, time.Second)
		if err == nil {
			return true, conn.Close()
		}
		select {
		case <-g.done:
			return false, nil
		case <-time.After(50 * time.Millisecond):
		}
	}
	return true, fmt.Errorf("nothing listens on %s after 20 s", g.address)
}

// nginxProxy is plain proxying, the practical limit: S0 and P0 only.
type nginxProxy struct{ binary, backend string }

func (*nginxProxy) name() string { return "nginx (plain)" }

func (n *nginxProxy) start(name string, _ *scenario) (*gateway, bool, error) {
	if name != "S0" && name != "P0" {
		return nil, false, nil
	}
	dir, err := os.MkdirTemp("", "portway-bench-nginx-")
	if err != nil {
		return nil, true, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, true, err
	}
	conf := fmt.Sprintf(`daemon off; worker_processes 1; error_log stderr warn; pid %s/nginx.pid;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 100000000;
  client_body_temp_path %s; proxy_temp_path %s; fastcgi_temp_path %s; uwsgi_temp_path %s; scgi_temp_path %s;
  upstream backend { server %s; keepalive 64; keepalive_requests 100000000; }
  server { listen %s; location / { proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; } }
}`, dir, dir, dir, dir, dir, dir, n.backend, address)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, true, err
	}
	g, err := launch(exec.Command(n.binary, "-c", file, "-p", dir, "-e", "stderr"), func() { os.RemoveAll(dir) })
	if err != nil {
		return nil, true, err
	}
	g.address = address
	_, err = waitFor(g)
	return g, true, err
}

// command is a peer given on the command line.
type command struct {
	peer    peer
	backend *backend
}

func (c *command) name() string { return c.peer.name }

func (c *command) start(name string, s *scenario) (*gateway, bool, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, true, err
	}
	cmd := exec.Command("/bin/sh", "-c", "exec "+c.peer.command)
	cmd.Env = []string{"BENCH_LISTEN=" + address, "BENCH_BACKEND=" + c.backend.address, "BENCH_SCENARIO=" + name,
		"BENCH_ISSUER=" + c.backend.issuer(), "BENCH_AUDIENCE=" + tokenAudience, "BENCH_JWKS=http://" + c.backend.address + "/jwks.json"}
	g, err := launch(cmd, nil)
	if err != nil {
		return nil, true, err
	}
	g.address = address
	up, err := waitFor(g)
	if !up || err != nil {
		g.stop()
		return nil, err != nil, err
	}
	return g, true, nil
}
