package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
	_ "time/tzdata" // zones are needed on machines and images without a zone database

	"portway/internal/config"
	"portway/internal/ident"
	"portway/internal/telemetry"
)

const (
	// drain is how long calls under way may take once the program is told to stop.
	drain = 25 * time.Second
	// flushTime is how long what they left behind may take to be written.
	flushTime = 5 * time.Second
)

// serve runs everything until ctx ends: listeners first, so that a taken port is known before anything else
// happens, then the rooms, then the ready file.
func serve(ctx context.Context, s *config.Settings, getenv func(string) string, stdout, stderr io.Writer) error {
	if err := s.Validate(); err != nil {
		return err
	}
	if s.Demo && s.ReadyFile == "" {
		s.ReadyFile = filepath.Join(s.Data, "ready.json")
	}
	p := &program{settings: s, getenv: getenv, clock: ident.System{}, metrics: telemetry.NewMetrics(Version), health: telemetry.NewHealth(),
		hup: make(chan os.Signal, 1)}
	log := slog.New(telemetry.CountLogs(logHandler(s, stderr), p.metrics))
	p.log = log
	signal.Notify(p.hup, syscall.SIGHUP)
	defer signal.Stop(p.hup)
	var err error
	if p.listeners, err = listen(s); err != nil {
		return err
	}
	defer p.close()
	if err := p.build(ctx); err != nil {
		return err
	}
	run, stop := context.WithCancel(ctx)
	defer stop()
	failed := p.start(run)
	if err := p.ready(stdout); err != nil {
		return err
	}
	select {
	case err = <-failed:
		log.Error("a listener failed", "error", err.Error())
	case <-ctx.Done():
		log.Info("stopping")
	}
	return errors.Join(err, p.stop(stop))
}

func logHandler(s *config.Settings, out io.Writer) slog.Handler {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.LogLevel)); err != nil {
		level = slog.LevelInfo
	}
	opts := &slog.HandlerOptions{Level: level}
	if s.LogFormat == "json" {
		return slog.NewJSONHandler(out, opts)
	}
	return slog.NewTextHandler(out, opts)
}

// listen opens every listener; each one that cannot be had is a line that names its setting.
func listen(s *config.Settings) (map[string]net.Listener, error) {
	out := map[string]net.Listener{}
	var problems []error
	for _, l := range s.Listeners() {
		ln, err := net.Listen("tcp", l.Address)
		if err != nil {
			var op *net.OpError
			if errors.As(err, &op) {
				err = op.Err
			}
			problems = append(problems, fmt.Errorf("%s: cannot listen on %s: %w (set --%s or %s)", l.Setting, l.Address, err, l.Setting, config.EnvName(l.Setting)))
			continue
		}
		out[l.Name] = ln
	}
	if err := errors.Join(problems...); err != nil {
		for _, ln := range out {
			ln.Close()
		}
		return nil, err
	}
	return out, nil
}

// address is the base address of a listener; a listener on all addresses is shown as the loopback one.
func (p *program) address(name string) string {
	scheme := "http://"
	if p.certificates[name] != nil {
		scheme = "https://"
	}
	listening := p.listeners[name].Addr().String()
	host, port, err := net.SplitHostPort(listening)
	if err != nil {
		return scheme + listening
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + net.JoinHostPort(host, port)
}

// server is anything that serves a listener and can be stopped.
type server struct {
	name  string
	serve func(net.Listener) error
	stop  func(context.Context) error
}

// front reports whether a server takes calls from outside: it stops before what it calls, and before the background
// work, and the admin listener tells of it to the end.
func (s server) front() bool { return s.name == "gateway" || s.name == "portal" }

// start serves every listener and starts the background work; what fails comes back on the channel.
func (p *program) start(ctx context.Context) <-chan error {
	failed := make(chan error, len(p.servers))
	for _, s := range p.servers {
		p.serving.Go(func() {
			if err := s.serve(p.listeners[s.name]); err != nil && ctx.Err() == nil {
				failed <- fmt.Errorf("%s: %w", s.name, err)
			}
		})
	}
	for _, work := range []func(context.Context){p.directory.Run, p.worker.Run, p.backends.Run, p.expireSessions, p.sweeper.Run, p.quotas.Run, p.watchFiles, p.ring.Run, p.verifier.Run} {
		p.working.Go(func() { work(ctx) })
	}
	return failed
}

// stop says that the program is not ready, goes on for the drain delay, ends calls, then the background work, then what
// they were recorded in, and last what they called. Calls in flight have the drain time.
func (p *program) stop(cancel context.CancelFunc) error {
	p.health.Drain()
	if p.gateway != nil {
		p.gateway.Drain()
	}
	if p.settings.DrainDelay > 0 {
		p.log.Info("not ready any more; calls are still taken", "for", p.settings.DrainDelay.String())
		time.Sleep(p.settings.DrainDelay)
	}
	ctx, done := context.WithTimeout(context.Background(), drain)
	defer done()
	problems := p.stopServers(ctx, true)
	cancel()
	p.working.Wait()
	flush, flushed := context.WithTimeout(context.Background(), flushTime)
	defer flushed()
	problems = append(problems, p.recorder.Close(flush))
	problems = append(problems, p.stopServers(flush, false)...)
	p.serving.Wait()
	p.stopped = true
	if p.accessLog != nil {
		problems = append(problems, p.accessLog.Close())
	}
	return errors.Join(problems...)
}

func (p *program) stopServers(ctx context.Context, front bool) []error {
	var wg sync.WaitGroup
	problems := make([]error, len(p.servers))
	for i, s := range p.servers {
		if s.front() != front {
			continue
		}
		wg.Go(func() {
			if err := s.stop(ctx); err != nil {
				problems[i] = fmt.Errorf("%s: %w", s.name, err)
			}
		})
	}
	wg.Wait()
	return problems
}

// expireSessions removes sign-ins that are over, and revocations of what has expired, once an hour.
func (p *program) expireSessions(ctx context.Context) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		now := p.clock.Now()
		if _, err := p.partners.EndExpiredSessions(ctx, now.UnixMicro(), now.Add(-24*time.Hour).UnixMicro()); err != nil && ctx.Err() == nil {
			p.log.Error("sessions were not expired", "error", err.Error())
		}
		if _, err := p.partners.Forget(ctx, now.Add(-time.Hour).UnixMicro()); err != nil && ctx.Err() == nil {
			p.log.Error("expired revocations were not removed", "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// firstOf returns the first text that is not empty.
func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return strings.TrimSuffix(t, "/")
		}
	}
	return ""
}
