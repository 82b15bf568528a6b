package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // zones are needed on machines and images without a zone database

	"portway/internal/config"
	"portway/internal/ident"
)

// drain is how long calls under way may take once the program is told to stop.
const drain = 25 * time.Second

// serve runs everything until ctx ends: listeners first, so that a taken port is known before anything else
// happens, then the rooms, then the ready file.
func serve(ctx context.Context, s *config.Settings, getenv func(string) string, stdout, stderr io.Writer) error {
	if err := s.Validate(); err != nil {
		return err
	}
	if s.Demo && s.ReadyFile == "" {
		s.ReadyFile = filepath.Join(s.Data, "ready.json")
	}
	log := logger(s, stderr)
	listeners, err := listen(s)
	if err != nil {
		return err
	}
	p := &program{settings: s, getenv: getenv, log: log, clock: ident.System{}, listeners: listeners}
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

func logger(s *config.Settings, out io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.LogLevel)); err != nil {
		level = slog.LevelInfo
	}
	opts := &slog.HandlerOptions{Level: level}
	if s.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(out, opts))
	}
	return slog.New(slog.NewTextHandler(out, opts))
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
func address(ln net.Listener) string {
	host, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		return "http://" + ln.Addr().String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// server is anything that serves a listener and can be stopped.
type server struct {
	name  string
	serve func(net.Listener) error
	stop  func(context.Context) error
}

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
	for _, work := range []func(context.Context){p.directory.Run, p.worker.Run, p.expireSessions} {
		p.working.Go(func() { work(ctx) })
	}
	return failed
}

// stop ends calls first, then the background work, then what they were recorded in. It returns within the
// drain time.
func (p *program) stop(cancel context.CancelFunc) error {
	ctx, done := context.WithTimeout(context.Background(), drain)
	defer done()
	var wg sync.WaitGroup
	problems := make([]error, len(p.servers))
	for i, s := range p.servers {
		wg.Go(func() {
			if err := s.stop(ctx); err != nil {
				problems[i] = fmt.Errorf("%s: %w", s.name, err)
			}
		})
	}
	wg.Wait()
	cancel()
	p.serving.Wait()
	p.working.Wait()
	p.stopped = true
	return errors.Join(append(problems, p.recorder.Close(ctx))...)
}

// expireSessions removes sign-ins that are over, once an hour.
func (p *program) expireSessions(ctx context.Context) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		now := p.clock.Now()
		if _, err := p.partners.EndExpiredSessions(ctx, now.UnixMicro(), now.Add(-24*time.Hour).UnixMicro()); err != nil && ctx.Err() == nil {
			p.log.Error("sessions were not expired", "error", err.Error())
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
