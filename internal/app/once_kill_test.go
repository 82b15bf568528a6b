package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestExactlyOnceThroughKills kills the built program while keyed calls are on their way: between the reservation, the
// call to the backend and the settlement, wherever it happens to be. Started again, it answers every repeated key, and
// the backend, which honours nothing, carried out each at most once.
func TestExactlyOnceThroughKills(t *testing.T) {
	t.Parallel()
	kills, calls := 5, 12
	if os.Getenv("SOAK") != "" {
		kills = 100
	}
	backend := newCounter(t)
	p := &killed{t: t, binary: binary(t), data: t.TempDir(), config: onceInstallation(t, backend.URL, backend.URL)}
	t.Cleanup(func() { p.kill() })
	random := rand.New(rand.NewPCG(1, 2))
	tally := map[string]int{}
	n := p.start()
	for round := range kills {
		first := p.shoot(n, backend, round, calls, time.Duration(random.IntN(30_000))*time.Microsecond)
		n = p.start()
		for i, r := range first {
			name := shotName(round, i)
			tally[p.verdict(n, backend, name, r)]++
		}
	}
	t.Logf("%d kills, %d keyed calls: %v", kills, kills*calls, tally)
	if tally["answered before the kill"] == 0 && tally["known only afterwards"]+tally["in doubt, carried out"]+tally["in doubt, not carried out"] == 0 {
		t.Errorf("the kills met nothing: %v", tally)
	}
}

// killed is the program, started and killed again and again over one data folder.
type killed struct {
	t                    *testing.T
	binary, data, config string
	cmd                  *exec.Cmd
	logs                 bytes.Buffer
}

// start runs the program and waits until it serves.
func (p *killed) start() *node {
	p.t.Helper()
	ready := filepath.Join(p.t.TempDir(), "ready.json")
	p.logs.Reset()
	p.cmd = exec.Command(p.binary, "serve", "--gateway-listen=127.0.0.1:0", "--portal-listen=127.0.0.1:0", "--ready-file="+ready,
		"--data="+p.data, "--config="+p.config, "--log-level=warn")
	p.cmd.Env = append(os.Environ(), "ONCE_SECRET="+onceSecret)
	p.cmd.Stderr = &p.logs
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	var addresses map[string]any
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if b, err := os.ReadFile(ready); err == nil && json.Unmarshal(b, &addresses) == nil {
			break
		}
		if <-tick.C; time.Now().After(deadline) {
			p.kill()
			p.t.Fatalf("not ready within 30 s:\n%s", tail(p.logs.String(), 40))
		}
	}
	r := &running{t: p.t, ready: addresses, tokens: map[string]string{}}
	return &node{url: r.at("gateway"), token: r.tokenOf("once", onceSecret), client: newClient(p.t)}
}

// kill ends the program at once and waits for it to be gone.
func (p *killed) kill() {
	if p.cmd == nil {
		return
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
	var exit *exec.ExitError
	if err := p.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		p.t.Error(err)
	}
	p.cmd = nil
}

func shotName(round, i int) string {
	kind := "ok"
	if i%4 == 0 {
		kind = "slowonce" // carried out, but not answered in time: the kill comes between
	}
	return fmt.Sprintf("%s-%d-%d", kind, round, i)
}

// shoot sends calls at once and kills the program after a while; what came back is nil for calls without an answer.
func (p *killed) shoot(n *node, backend *counter, round, calls int, after time.Duration) []*reply {
	for len(backend.heard) > 0 { // of repetitions after the last kill
		<-backend.heard
	}
	out := make([]*reply, calls)
	var wg sync.WaitGroup
	for i := range calls {
		wg.Go(func() {
			name := shotName(round, i)
			if r, err := n.post("/jobs/v1/jobs", key(name), job(name)); err == nil {
				out[i] = r
			}
		})
	}
	timer := time.NewTimer(after)
	defer timer.Stop()
	if round%2 == 1 {
		<-backend.heard // a call is with the backend
	} else {
		<-timer.C
	}
	p.kill()
	wg.Wait()
	return out
}

// verdict repeats a call, twice, and says what became of it.
func (p *killed) verdict(n *node, backend *counter, name string, first *reply) string {
	t := p.t
	t.Helper()
	before := backend.executions(name)
	if before > 1 {
		t.Errorf("%s: %d executions", name, before)
	}
	r := n.must(t, "/jobs/v1/jobs", key(name), job(name))
	again := n.must(t, "/jobs/v1/jobs", key(name), job(name))
	after := backend.executions(name)
	if after > 1 {
		t.Errorf("%s: %d executions after the repetition", name, after)
	}
	if first != nil && first.status == 201 && (r.status != 201 || r.body != first.body || r.header.Get("Idempotent-Replayed") != "true") {
		t.Errorf("%s: answered %s, and after the kill %d %s", name, first.body, r.status, r.body)
	}
	if r.status != again.status && !strings.HasPrefix(name, "slowonce") || r.status == 201 && (after != 1 || again.body != r.body) {
		t.Errorf("%s: repeated %d %s, and again %d %s, after %d executions", name, r.status, r.body, again.status, again.body, after)
	}
	switch {
	case first != nil && first.status == 201:
		return "answered before the kill"
	case r.status == 201 && before == 1:
		return "known only afterwards"
	case r.status == 201 && before == 0:
		return "first carried out by the repetition"
	case r.code() == "idempotency.in_doubt" && before == 1:
		return "in doubt, carried out"
	case r.code() == "idempotency.in_doubt":
		return "in doubt, not carried out"
	case r.status == 504 && before == 0:
		return "first sent by the repetition, and slow"
	}
	t.Errorf("%s: repeated: %d %s, after %d executions", name, r.status, r.body, before)
	return "wrong"
}
