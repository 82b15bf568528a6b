package app

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// built is the program as "make build" makes it; main_test.go removes it.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "portway-test-*")
	if err != nil {
		return "", err
	}
	builtIn = dir
	file := filepath.Join(dir, "portway")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", file, "portway")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return file, nil
})

// builtIn is the folder of built, "" when it was not needed.
var builtIn string

func binary(t *testing.T) string {
	t.Helper()
	file, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// process is a running binary with its ready file.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	ready map[string]any
	logs  *lockedBuffer
	ended chan struct{}
}

// launch starts the binary with the given arguments and waits for its ready file.
func launch(t *testing.T, environment []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, logs: &lockedBuffer{}, ended: make(chan struct{})}
	ready := filepath.Join(t.TempDir(), "ready.json")
	p.cmd = exec.Command(binary(t), append([]string{"serve", "--gateway-listen=127.0.0.1:0", "--portal-listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0",
		"--data=" + t.TempDir(), "--ready-file=" + ready}, args...)...)
	p.cmd.Env = append(os.Environ(), environment...)
	p.cmd.Stdout, p.cmd.Stderr = io.Discard, p.logs
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the code is in ProcessState
		close(p.ended)
	}()
	t.Cleanup(func() {
		select {
		case <-p.ended:
		default:
			_ = p.cmd.Process.Kill()
			<-p.ended
		}
		if t.Failed() {
			t.Logf("logs:\n%s", tail(p.logs.String(), 40))
		}
	})
	until(t, "the ready file", func() bool {
		select {
		case <-p.ended:
			t.Fatalf("ended with %d before it was ready:\n%s", p.cmd.ProcessState.ExitCode(), p.logs)
		default:
		}
		b, err := os.ReadFile(ready)
		return err == nil && json.Unmarshal(b, &p.ready) == nil
	})
	return p
}

func (p *process) at(name string) string { return fmt.Sprint(p.ready[name]) }

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// exit waits for the end and returns the exit code.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(40 * time.Second):
		p.t.Fatal("the program does not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

// get reads a page of the admin listener.
func (p *process) get(path string) (int, string) {
	p.t.Helper()
	return fetch(p.t, p.at("admin")+path)
}

func fetch(t *testing.T, address string) (int, string) {
	t.Helper()
	res, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// number reads a metric by its name and labels as they are written; 0 when it is not there.
func number(t *testing.T, metrics, series string) float64 {
	t.Helper()
	for line := range strings.SplitSeq(metrics, "\n") {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	return 0
}

// bearer gets an access token of the running installation.
func bearer(t *testing.T, gateway string) string {
	t.Helper()
	res, err := http.PostForm(gateway+"/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {"running"}, "client_secret": {runningSecret}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var got struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil || got.Token == "" {
		t.Fatalf("no token: %d %v", res.StatusCode, err)
	}
	return got.Token
}

// load calls an operation over keep-alive connections at a steady rate until it is told to stop.
type load struct {
	address, request string
	stopping         chan struct{} // closed when the server was told to stop: from now on new connections may be refused
	done             chan struct{} // closed to end
	wait             sync.WaitGroup

	mu       sync.Mutex
	answered int
	refused  int // connections that came to nothing after the server was told to stop
	failed   []string
}

// begin starts n callers that together send rate calls a second.
func begin(gateway, token, path string, n, rate int) *load {
	l := &load{address: strings.TrimPrefix(gateway, "http://"), stopping: make(chan struct{}), done: make(chan struct{}),
		request: "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + token + "\r\n\r\n"}
	for i := range n {
		l.wait.Go(func() { l.caller(i, n, time.Second*time.Duration(n)/time.Duration(rate)) })
	}
	return l
}

func (l *load) caller(i, n int, every time.Duration) {
	start := time.NewTimer(every * time.Duration(i) / time.Duration(n)) // spread evenly
	defer start.Stop()
	select {
	case <-start.C:
	case <-l.done:
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var c net.Conn
	var r *bufio.Reader
	served := 0
	for {
		if c == nil {
			fresh, err := net.Dial("tcp", l.address)
			if err != nil {
				if l.note("dial", err, true) {
					return
				}
				continue
			}
			c, r, served = fresh, bufio.NewReader(fresh), 0
		}
		last, err := l.call(c, r)
		if err != nil {
			c.Close()
			c = nil
			// A connection that the listener had not taken yet when it closed is one that was refused.
			if l.note(fmt.Sprintf("call %d of its connection", served+1), err, served == 0) {
				return
			}
			continue
		}
		if served++; last {
			c.Close()
			c = nil
		}
		select {
		case <-tick.C:
		case <-l.done:
			if c != nil {
				c.Close()
			}
			return
		}
	}
}

// call makes one call and reports whether its connection ends with it.
func (l *load) call(c net.Conn, r *bufio.Reader) (last bool, err error) {
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return false, err
	}
	if _, err := io.WriteString(c, l.request); err != nil {
		return false, err
	}
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return false, err
	}
	if res.StatusCode != 200 {
		return false, fmt.Errorf("status %d %s", res.StatusCode, body)
	}
	l.mu.Lock()
	l.answered++
	l.mu.Unlock()
	return res.Close, nil
}

// note counts what went wrong, and reports whether the caller ends.
func (l *load) note(what string, err error, newConnection bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.stopping:
		if newConnection {
			l.refused++
			return true
		}
	default:
	}
	l.failed = append(l.failed, what+": "+err.Error())
	return true
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answered
}

// end stops the load and reports every failed call.
func (l *load) end(t *testing.T) {
	t.Helper()
	close(l.done)
	l.wait.Wait()
	for _, f := range l.failed {
		t.Errorf("failed: %s", f)
	}
}
