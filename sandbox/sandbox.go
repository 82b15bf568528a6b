// Package sandbox is what every simulated company is built on: a real HTTP server with limits, a fault
// switch, a record of the calls it received, and state that may survive a restart. The simulated ERP and
// carriers are in its subpackages; they know the gateway only over HTTP.
package sandbox

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"portway/internal/ident"
)

// DefaultMaxBody is the largest request body in bytes that a simulated server reads.
const DefaultMaxBody = 1 << 20

// Options says what a simulated server needs from its caller.
type Options struct {
	// Name stands in the log beside every call, for example "erp".
	Name string
	// Clock tells the time of recorded calls; nil means the machine's clock.
	Clock ident.Clock
	// Log receives one record for each failed call at warning level, the others at debug level; nil means none.
	Log *slog.Logger
	// MaxBody is the largest request body in bytes; 0 means DefaultMaxBody.
	MaxBody int64
	// SecretHeaders names further request headers that carry credentials; their values are masked in the record.
	SecretHeaders []string
}

// Server serves one simulated company. Below /_sim/ it has the controls that a real company would not have:
// POST /_sim/faults sets a Fault, GET /_sim/faults shows it, GET /_sim/calls lists the last calls.
// Faults and the record apply to everything outside /_sim/.
type Server struct {
	opts   Options
	routes http.Handler
	ctl    http.Handler
	http   *http.Server
	faults faultSwitch
	calls  callRing
	done   context.Context
	stop   context.CancelFunc
}

// New returns a Server that answers with routes; it serves nothing until Serve.
func New(opts Options, routes http.Handler) *Server {
	if opts.Clock == nil {
		opts.Clock = ident.System{}
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	opts.Log = opts.Log.With("server", opts.Name)
	if opts.MaxBody <= 0 {
		opts.MaxBody = DefaultMaxBody
	}
	s := &Server{opts: opts, routes: routes}
	s.calls.masked = append([]string(nil), opts.SecretHeaders...)
	s.done, s.stop = context.WithCancel(context.Background())
	s.ctl = Mux([]Route{
		{http.MethodGet, controlPath + "faults", s.showFault},
		{http.MethodPost, controlPath + "faults", s.changeFault},
		{http.MethodGet, controlPath + "calls", s.showCalls},
	}, Fail)
	s.http = &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		// Longer than the longest delay a fault may ask for, so that "slow" is not cut short by ourselves.
		WriteTimeout:   maxDelay + 30*time.Second,
		IdleTimeout:    60 * time.Second,
		MaxHeaderBytes: 32 << 10,
		ErrorLog:       slog.NewLogLogger(opts.Log.Handler(), slog.LevelDebug),
	}
	return s
}

// Handler returns the whole server, controls included, for a test that brings its own listener.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// Serve answers on ln until Close; it returns nil after Close, else why it could not go on.
func (s *Server) Serve(ln net.Listener) error {
	if err := s.http.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close stops accepting, ends waiting faults, lets running calls finish until ctx ends, then cuts them.
func (s *Server) Close(ctx context.Context) error {
	s.stop()
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}

// controlPath is where the controls live; everything below it is exempt from faults and from the record.
const controlPath = "/_sim/"

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	out := &recorder{ResponseWriter: w}
	r.Body = http.MaxBytesReader(out, r.Body, s.opts.MaxBody)
	if rest, ok := strings.CutPrefix(r.URL.Path, controlPath); ok {
		inner := s.routes
		if rest == "faults" || rest == "calls" {
			inner = s.ctl
		}
		s.guard(inner, out, r)
		return
	}
	fault := s.faults.next()
	// Deferred, because a dropped connection leaves by panic(http.ErrAbortHandler) and is a call all the same.
	defer func() { s.record(out, r, fault) }()
	switch fault.Mode {
	case Down:
		out.Header().Set("Retry-After", "5")
		Fail(out, http.StatusServiceUnavailable, "the service is down", nil)
	case Refuse:
		panic(http.ErrAbortHandler)
	case Garbage:
		out.Header().Set("Content-Type", "application/json")
		_, _ = out.Write([]byte("{\"result\":\"po\x00<html"))
	case Slow:
		// The work is done after the wait even if the caller has left, as a slow system does it.
		s.wait(fault.delay())
		s.guard(s.routes, out, r)
	case TimeoutAfterCommit:
		lost := &recorder{ResponseWriter: discard{http.Header{}}}
		s.guard(s.routes, lost, r)
		out.status = lost.status
		s.wait(fault.delay())
		panic(http.ErrAbortHandler)
	default:
		s.guard(s.routes, out, r)
	}
}

// guard runs next and turns its panic into a 500, so that one bad request never ends the process.
func (s *Server) guard(next http.Handler, out *recorder, r *http.Request) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if v == http.ErrAbortHandler {
			panic(v)
		}
		s.opts.Log.Error("handler panicked", "method", r.Method, "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
		if out.status == 0 {
			Fail(out, http.StatusInternalServerError, "the service failed; its log has the cause", nil)
		}
	}()
	next.ServeHTTP(out, r)
}

func (s *Server) wait(d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.done.Done():
	}
}

func (s *Server) record(out *recorder, r *http.Request, fault Fault) {
	level := slog.LevelDebug
	if out.status >= 500 || fault.Mode != None {
		level = slog.LevelWarn
	}
	s.opts.Log.Log(r.Context(), level, "call", "method", r.Method, "path", r.URL.Path, "status", out.status,
		"fault", string(fault.Mode), "request_id", r.Header.Get("X-Request-Id"))
	s.calls.add(s.opts.Clock.Now(), r, out.status, fault.Mode)
}

// recorder notes the status that was sent; 0 means that nothing was.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController and MaxBytesReader reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// discard is a ResponseWriter whose answer nobody will see.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}
