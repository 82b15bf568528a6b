//go:build unix

// Package redistest starts real Redis servers for tests, each on its own port, and ends them with the test.
package redistest

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"portway/internal/needs"
)

const (
	startLimit = 20 * time.Second
	attempts   = 5
)

// Server is a Redis that a test started. Its methods are for one goroutine.
type Server struct {
	t      testing.TB
	dir    string
	port   string
	args   []string
	cmd    *exec.Cmd
	exited chan struct{}
}

// Start starts a Redis that keeps nothing on disk, with further arguments of redis-server. The test is skipped, or
// fails where "redis" is required, if there is none and it cannot be installed.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	if _, err := program(); err != nil {
		needs.Missing(t, "redis", err.Error())
	}
	s := &Server{t: t, dir: t.TempDir(), args: args}
	t.Cleanup(s.Kill)
	var err error
	for range attempts { // the free port may be taken by another before the server has it
		if s.port, err = freePort(); err == nil {
			if err = s.launch(); err == nil {
				return s
			}
		}
	}
	t.Fatalf("redis-server: %v", err)
	return nil
}

// StartCluster starts a cluster of one, which refuses scripts whose keys are in two slots, as any cluster does.
func StartCluster(t testing.TB) *Server {
	t.Helper()
	s := Start(t, "--cluster-enabled", "yes")
	s.Do("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	late := time.After(startLimit)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !strings.Contains(s.Do("CLUSTER", "INFO"), "cluster_state:ok") {
		select {
		case <-again.C:
		case <-late:
			t.Fatal("the cluster does not come up")
		}
	}
	return s
}

// Address is where the server is, and will be after a Restart: "redis://127.0.0.1:port".
func (s *Server) Address() string { return "redis://127.0.0.1:" + s.port }

// Patient is Address for tests of what Redis decides: on a busy machine an answer may take longer than a caller that has
// another way to go on would wait.
func (s *Server) Patient() string { return s.Address() + "?read_timeout=20s" }

// Kill ends the server at once; what it held is gone.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill() // it may have ended by itself
	<-s.exited
	s.cmd = nil
}

// Restart starts a killed server again, empty, on the same port.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	if err := s.launch(); err != nil {
		s.t.Fatalf("redis-server: %v", err)
	}
}

// Pause stops the server from answering, and Resume lets it go on: connections stay open.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume is the end of Pause.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// Do sends one command and returns what the server answers, in RESP.
func (s *Server) Do(command ...string) string {
	s.t.Helper()
	out, err := s.ask(command...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *Server) ask(command ...string) (string, error) {
	conn, err := net.DialTimeout("tcp", "127.0.0.1:"+s.port, startLimit)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(startLimit)); err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(command))
	for _, word := range command {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(word), word)
	}
	if _, err := conn.Write([]byte(b.String())); err != nil {
		return "", err
	}
	return reply(bufio.NewReader(conn))
}

// reply reads a simple answer, or an array of them as lines.
func reply(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	var n int
	switch line[0] {
	case '$':
		if fmt.Sscan(line[1:], &n); n < 0 {
			return "", nil
		}
		text, err := r.ReadString('\n')
		return strings.TrimRight(text, "\r\n"), err
	case '*':
		fmt.Sscan(line[1:], &n)
		var all []string
		for range n {
			one, err := reply(r)
			if err != nil {
				return "", err
			}
			all = append(all, one)
		}
		return strings.Join(all, "\n"), nil
	}
	return line[1:], nil
}

func (s *Server) launch() error {
	bin, err := program()
	if err != nil {
		return err
	}
	out, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer out.Close()
	args := append([]string{"--port", s.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", s.dir}, s.args...)
	cmd := exec.Command(bin, args...)
	cmd.Stdout, cmd.Stderr, cmd.Env = out, out, []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	endWithParent(cmd)
	begun := make(chan error)
	s.exited = make(chan struct{})
	go func() {
		// The system ends the server when the thread that started it ends: this one stays until the server has.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		begun <- err
		if err == nil {
			_ = cmd.Wait() // killed
			close(s.exited)
		}
	}()
	if err := <-begun; err != nil {
		return err
	}
	s.cmd = cmd
	return s.wait()
}

// wait asks until the server answers.
func (s *Server) wait() error {
	late := time.After(startLimit)
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		if answer, err := s.ask("PING"); err == nil && answer == "PONG" {
			return nil
		}
		select {
		case <-again.C:
		case <-s.exited:
			s.cmd = nil
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("it ended at once: %s", log)
		case <-late:
			return errors.New("it does not answer")
		}
	}
}

func freePort() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	return port, err
}

// program finds redis-server, installing Debian's package as root.
var program = sync.OnceValues(func() (string, error) {
	if bin, err := exec.LookPath("redis-server"); err == nil {
		return bin, nil
	}
	_, debian := os.Stat("/etc/debian_version")
	apt, err := exec.LookPath("apt-get")
	if os.Geteuid() != 0 || debian != nil || err != nil {
		return "", errors.New("there is no redis-server; install Redis 6 or later (Debian: apt-get install redis-server)")
	}
	for _, args := range [][]string{{"update"}, {"install", "-y", "--no-install-recommends", "redis-server"}} {
		cmd := exec.Command(apt, args...)
		// The package's own server is not started.
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("apt-get %s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	return exec.LookPath("redis-server")
})
