//go:build unix

package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	startLimit = 60 * time.Second
	stopLimit  = 20 * time.Second
)

// server is a PostgreSQL that this process started and that ends with it.
type server struct {
	dir    string
	url    string
	cmd    *exec.Cmd
	exited chan error
}

// startServer makes a data directory below the temporary one and serves it on a Unix socket.
func startServer() (*server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pgtest")
	if err != nil {
		return nil, err
	}
	s := &server{dir: dir, exited: make(chan error, 1)}
	if err := s.launch(bin); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func (s *server) launch(bin string) error {
	attr, err := owner(s.dir)
	if err != nil {
		return err
	}
	data := filepath.Join(s.dir, "data")
	// Nothing is synced while the directory is made: the server itself runs with fsync, as the store demands.
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	initdb.Dir, initdb.SysProcAttr, initdb.Env = s.dir, attr, environment(s.dir)
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	output, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer output.Close()
	cmd := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", s.dir, "-c", "listen_addresses=", "-c", "max_connections=300",
		"-c", "shared_buffers=64MB", "-c", "max_wal_size=1GB", "-c", "wal_level=minimal", "-c", "max_wal_senders=0")
	cmd.Dir, cmd.SysProcAttr, cmd.Env, cmd.Stdout, cmd.Stderr = s.dir, attr, environment(s.dir), output, output
	endWithParent(cmd)
	begun := make(chan error)
	go func() {
		// The system ends the server when the thread that started it ends: this one stays until the server has.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		begun <- err
		if err == nil {
			s.exited <- cmd.Wait()
		}
	}()
	if err := <-begun; err != nil {
		return err
	}
	s.cmd = cmd
	u := url.URL{Scheme: "postgres", Path: "/postgres", RawQuery: url.Values{"host": {s.dir}, "user": {"postgres"}}.Encode()}
	s.url = u.String()
	return s.wait()
}

// wait asks until the server answers.
func (s *server) wait() error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	ask := time.NewTicker(20 * time.Millisecond)
	defer ask.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.url)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ask.C:
		case ended := <-s.exited:
			s.cmd = nil
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("the server ended at once: %v: %s", ended, log)
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w", err)
		}
	}
}

// stop ends the server by its own process id and removes its files.
func (s *server) stop() error {
	var err error
	if s.cmd != nil {
		err = s.cmd.Process.Signal(syscall.SIGINT) // fast shutdown: sessions are ended
		late := time.NewTimer(stopLimit)
		defer late.Stop()
		select {
		case <-s.exited:
		case <-late.C:
			err = errors.Join(err, s.cmd.Process.Kill())
			<-s.exited
		}
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// owner gives dir to the user the server runs as: PostgreSQL refuses root.
func owner(dir string) (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return &syscall.SysProcAttr{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, e1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, e2 := strconv.ParseUint(u.Gid, 10, 32)
		if e1 != nil || e2 != nil {
			continue
		}
		if err := os.Chown(dir, int(uid), int(gid)); err != nil {
			return nil, err
		}
		return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}

// environment is what the server sees: nothing of PGHOST and the like.
func environment(dir string) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir, "LC_ALL=C"}
}

// binaries finds the folder of initdb and postgres, installing Debian's package as root.
func binaries() (string, error) {
	if dir, ok := find(); ok {
		return dir, nil
	}
	_, debian := os.Stat("/etc/debian_version")
	apt, err := exec.LookPath("apt-get")
	if os.Geteuid() != 0 || debian != nil || err != nil {
		return "", errors.New("neither TEST_POSTGRES_URL nor the programs initdb and postgres; install PostgreSQL 13 or later (Debian: apt-get install postgresql)")
	}
	for _, args := range [][]string{{"update"}, {"install", "-y", "--no-install-recommends", "postgresql"}} {
		cmd := exec.Command(apt, args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("apt-get %s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	if dir, ok := find(); ok {
		return dir, nil
	}
	return "", errors.New("the package postgresql was installed, but initdb is not where Debian puts it")
}

// find looks in PATH, then where Debian keeps each release, newest first.
func find() (string, bool) {
	if path, err := exec.LookPath("initdb"); err == nil {
		// A link leads to the folder with everything else.
		if real, err := filepath.EvalSymlinks(path); err == nil && executable(filepath.Join(filepath.Dir(real), "postgres")) {
			return filepath.Dir(real), true
		}
	}
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", false
	}
	release := func(dir string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
		return n
	}
	sort.Slice(dirs, func(i, j int) bool { return release(dirs[i]) > release(dirs[j]) })
	for _, dir := range dirs {
		if executable(filepath.Join(dir, "initdb")) && executable(filepath.Join(dir, "postgres")) {
			return dir, true
		}
	}
	return "", false
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir() && info.Mode()&0o111 != 0
}
