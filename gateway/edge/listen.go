package edge

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"portway/internal/ident"
)

// Serve answers requests until the listener closes; it returns nil after Shutdown.
func (s *Server) Serve(ln net.Listener) error {
	ln = &listener{Listener: ln, most: s.o.MaxConnections, proxies: s.o.Proxies, log: s.o.Log, open: map[netip.Addr]int{}}
	s.mu.Lock()
	s.listeners = append(s.listeners, ln)
	s.mu.Unlock()
	if s.o.TLS != nil {
		ln = tls.NewListener(ln, s.o.TLS)
	}
	return s.app.Listener(endings{ln})
}

// Drain makes every answer from now on the last one of its connection, so that callers move elsewhere; calls are still
// taken.
func (s *Server) Drain() { s.draining.Store(true) }

// Shutdown stops taking connections and returns when the calls in flight are answered, or with ctx's error. A connection
// that is open is not closed at once: its caller may be sending its next call, which is answered too.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	s.mu.Lock()
	for _, ln := range s.listeners {
		_ = ln.Close() // the server closes it again and reports
	}
	s.mu.Unlock()
	grace := time.NewTimer(s.o.DrainGrace)
	defer grace.Stop()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for waiting := true; waiting && s.open() > 0; {
		select {
		case <-grace.C:
			waiting = false
		case <-ctx.Done():
			waiting = false
		case <-look.C:
		}
	}
	return s.app.ShutdownWithContext(ctx)
}

// open is how many connections are open once no more are accepted: the framework counts one less, for the accepting.
func (s *Server) open() int32 { return s.app.Server().GetOpenConnectionsCount() + 1 }

// peer is the client certificate of a connection, and whether the connection is encrypted.
func peer(rc *fasthttp.RequestCtx) (certificate []byte, secure bool) {
	state := rc.TLSConnectionState()
	if state == nil {
		return nil, false
	}
	// A certificate that was only presented proves nothing: the chain is there once it was verified.
	if len(state.VerifiedChains) > 0 && len(state.PeerCertificates) > 0 {
		return state.PeerCertificates[0].Raw, true
	}
	return nil, true
}

// quiet takes what the framework logs of single connections, such as failed handshakes.
type quiet struct{ log *slog.Logger }

func (q quiet) Printf(format string, args ...any) {
	q.log.Debug("connection", "event", "http.connection", "format", format)
}

// listener refuses a client address more connections than its share.
type listener struct {
	net.Listener
	most    int
	proxies ident.Proxies
	log     *slog.Logger
	closing sync.Once
	closed  error

	mu    sync.Mutex
	open  map[netip.Addr]int
	noted time.Time // when a refusal was last logged
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		addr := remote(c.RemoteAddr())
		if l.most == 0 || l.proxies.Trust(addr) {
			return c, nil
		}
		if l.take(addr) {
			return &connection{Conn: c, release: sync.OnceFunc(func() { l.give(addr) })}, nil
		}
		_ = c.Close() // refused
	}
}

// Close closes the listener once, however many ask for it.
func (l *listener) Close() error {
	l.closing.Do(func() { l.closed = l.Listener.Close() })
	return l.closed
}

func (l *listener) take(addr netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[addr] < l.most {
		l.open[addr]++
		return true
	}
	if now := time.Now(); now.Sub(l.noted) > time.Minute {
		l.noted = now
		l.log.Warn("connections refused: this address has as many as it may", "event", "http.connections", "remote", addr.String(), "limit", l.most)
	}
	return false
}

func (l *listener) give(addr netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[addr]--; l.open[addr] <= 0 {
		delete(l.open, addr)
	}
}

// connection gives its place back when it closes.
type connection struct {
	net.Conn
	release func()
}

func (c *connection) Close() error {
	err := c.Conn.Close()
	c.release()
	return err
}

// CloseWrite is that of the TCP connection.
func (c *connection) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
