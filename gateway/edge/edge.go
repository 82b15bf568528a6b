// Package edge is where HTTP enters the gateway: strict HTTP/1.1 framing, the canonical path, the caps on
// bodies, and the answer back on the wire. It is the only code of the gateway that knows the web framework;
// everything it hands on is a copy that outlives the connection's buffers.
package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"portway/gateway/exchange"
	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/problem"
)

// HeaderBytes is the most that a request line and its headers may take together; more is answered 431.
const HeaderBytes = 16 << 10

// Options of New. Pipeline, Snapshot, Clock and Log are required; a zero timeout takes its default.
type Options struct {
	Pipeline *exchange.Pipeline
	// Snapshot returns the current snapshot; a call keeps the one it began with.
	Snapshot func() *catalog.Snapshot
	Clock    ident.Clock
	Log      *slog.Logger
	// Refused is told of every refusal outside the pipeline; nil for nobody.
	Refused func(*problem.Error)
	// TLS serves HTTPS when it is set.
	TLS *tls.Config
	// Proxies may have any number of connections; MaxConnections is for every other address, 0 for no limit.
	Proxies        ident.Proxies
	MaxConnections int
	// HeaderTimeout is for the head of a request, 5 s by default and at most ReadTimeout; a slower one is answered 408.
	HeaderTimeout time.Duration
	// ReadTimeout is for a body, 30 s by default; a slower one is answered 408.
	ReadTimeout time.Duration
	// WriteTimeout is for the whole answer, 30 s by default.
	WriteTimeout time.Duration
	// IdleTimeout is between requests of a connection, 60 s by default.
	IdleTimeout time.Duration
	// DrainGrace is how long Shutdown leaves connections open that a next request may be on its way on, 500 ms by default.
	DrainGrace time.Duration
}

// Server serves the gateway on any number of listeners.
type Server struct {
	app      *fiber.App
	inner    fasthttp.RequestHandler
	o        Options
	draining atomic.Bool

	mu        sync.Mutex
	listeners []net.Listener
}

// New returns a Server that takes every request through the pipeline.
func New(o Options) *Server {
	o.ReadTimeout = orDefault(o.ReadTimeout, 30*time.Second)
	o.HeaderTimeout = min(orDefault(o.HeaderTimeout, 5*time.Second), o.ReadTimeout)
	o.DrainGrace = orDefault(o.DrainGrace, 500*time.Millisecond)
	s := &Server{o: o}
	s.app = fiber.New(fiber.Config{
		DisableStartupMessage:        true,
		EnableTrustedProxyCheck:      true, // with no proxy listed: X-Forwarded-* is nobody's word
		DisableDefaultContentType:    true,
		DisablePreParseMultipartForm: true,
		StreamRequestBody:            true,
		ReadBufferSize:               HeaderBytes,
		ReadTimeout:                  o.HeaderTimeout,
		WriteTimeout:                 orDefault(o.WriteTimeout, 30*time.Second),
		IdleTimeout:                  orDefault(o.IdleTimeout, 60*time.Second),
		ErrorHandler: func(c *fiber.Ctx, err error) error {
			s.refuse(c.Context(), problem.Wrap(problem.Internal, err, "the gateway failed; the request id names this call in our log"))
			return nil
		},
	})
	s.app.Use(func(c *fiber.Ctx) error {
		s.serve(c.Context())
		return nil
	})
	server := s.app.Server()
	s.inner = server.Handler
	server.Handler = s.guard
	server.ErrorHandler = s.parserError
	server.SecureErrorLogMessage = true
	server.CloseOnShutdown = true
	server.Logger = quiet{o.Log}
	server.HeaderReceived = func(*fasthttp.RequestHeader) fasthttp.RequestConfig {
		return fasthttp.RequestConfig{ReadTimeout: o.ReadTimeout}
	}
	return s
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// guard is outermost: whatever panics below, the caller gets a problem and the process lives. Methods that
// the framework does not know skip it, because it answers them with a text of its own.
func (s *Server) guard(rc *fasthttp.RequestCtx) {
	defer func() {
		if r := recover(); r != nil {
			s.o.Log.Error("panic", "stage", "edge", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			s.refuse(rc, problem.New(problem.Internal, "the gateway failed; the request id names this call in our log"))
		}
	}()
	for _, m := range fiber.DefaultMethods {
		if m == string(rc.Method()) {
			s.inner(rc)
			return
		}
	}
	s.serve(rc)
}

// serve takes one request through the pipeline.
func (s *Server) serve(rc *fasthttp.RequestCtx) {
	w := wire{
		protocol: string(rc.Request.Header.Protocol()),
		target:   string(rc.Request.Header.RequestURI()),
		header:   string(rc.Request.Header.RawHeaders()),
	}
	x := &exchange.Exchange{
		ID:       ident.NewID(s.o.Clock),
		Received: s.o.Clock.Now(),
		Snapshot: s.o.Snapshot(),
		ReadBody: reader(rc),
		OpenBody: s.opener(rc),
	}
	x.Request.Method = string(rc.Method())
	x.Request.Remote = remote(rc.RemoteAddr())
	x.Request.PeerCertificate, x.Request.Secure = peer(rc)
	ctx := context.WithValue(context.Background(), wireKey{}, &w)
	s.o.Pipeline.Run(ctx, x)
	if x.Response.Stream == nil && unread(x) {
		x.Response.Header.Set("Connection", "close")
	}
	respond(rc, x.Response)
	if x.Response.Stream != nil {
		s.stream(ctx, rc, x)
	}
	if s.draining.Load() {
		rc.Response.SetConnectionClose()
	}
}

func remote(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		if ip, ok := netip.AddrFromSlice(t.IP); ok {
			return ip.Unmap()
		}
	}
	return netip.Addr{}
}

// parserError answers what the parser could not make a request of. The parser's text quotes the request, so
// it goes nowhere; such a call has no operation and no caller, and leaves a log line instead of a record.
func (s *Server) parserError(rc *fasthttp.RequestCtx, err error) {
	var small *fasthttp.ErrSmallBuffer
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &small):
		s.refuse(rc, problem.New(problem.HTTPHeaderTooLarge, "the request line and headers take more than %d bytes", HeaderBytes))
	case errors.As(err, &timeout) && timeout.Timeout():
		s.refuse(rc, problem.New(problem.HTTPTimeout, "the request did not arrive in time"))
	default:
		s.refuse(rc, headFault(string(rc.Request.Header.RawHeaders())))
	}
}

// headFault names what Admit would have refused in a head that the parser refused first; the parser has
// kept the raw headers only if it got past them.
func headFault(raw string) *problem.Error {
	if fields, err := headerFields(raw); raw != "" && err == nil {
		if _, err := hostOf(fields); err != nil {
			return problem.From(err)
		}
	}
	return problem.New(problem.HTTPFraming, "the request is not well-formed HTTP/1.1")
}

// refuse answers a problem outside the pipeline and closes the connection.
func (s *Server) refuse(rc *fasthttp.RequestCtx, p *problem.Error) {
	if s.o.Refused != nil {
		s.o.Refused(p)
	}
	id := ident.NewID(s.o.Clock)
	cause := ""
	if p.Code == problem.Internal && p.Cause != nil {
		cause = p.Cause.Error()
	}
	s.o.Log.Warn("request refused", "event", string(p.Code), "request_id", id, "remote", remote(rc.RemoteAddr()).String(), "cause", cause)
	r := &exchange.Response{Status: p.Status(), Body: p.Body(s.o.Pipeline.Docs, "", id)}
	r.Header.Set("Content-Type", "application/problem+json")
	r.Header.Set("Cache-Control", "no-store")
	r.Header.Set("Connection", "close")
	r.Header.Set("X-Request-Id", id)
	respond(rc, r)
}

// respond writes the answer. Headers that belong to one hop are ours alone; of them "Connection: close" is
// understood as a wish.
func respond(rc *fasthttp.RequestCtx, r *exchange.Response) {
	out := &rc.Response
	out.Reset()
	last := false
	out.SetStatusCode(r.Status)
	for _, h := range r.Header {
		switch {
		case strings.EqualFold(h[0], "Connection"):
			if strings.EqualFold(h[1], "close") {
				out.SetConnectionClose()
				last = true
			}
		case hopByHop(h[0]):
		default:
			out.Header.Add(h[0], h[1])
		}
	}
	out.Header.Set("X-Content-Type-Options", "nosniff")
	if r.Status != fasthttp.StatusNoContent && r.Status != fasthttp.StatusNotModified {
		out.SetBodyRaw(r.Body)
	}
	if last && rc.Request.IsBodyStream() {
		linger(rc)
	}
}

// hopByHop reports whether a header describes a connection and not a message (RFC 9110 section 7.6.1).
func hopByHop(name string) bool {
	switch strings.ToLower(name) {
	case "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te",
		"trailer", "transfer-encoding", "upgrade", "content-length", "http2-settings":
		return true
	}
	return false
}
