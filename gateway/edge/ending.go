package edge

import (
	"crypto/tls"
	"io"
	"net"
	"sync/atomic"
)

// endings notes on every connection whether its caller has stopped sending. The parser takes that for the end of a
// chunked body, which has an end of its own (RFC 9112 section 8): a body without it is not whole.
type endings struct{ net.Listener }

func (l endings) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	e := &ending{Conn: c}
	if secure, ok := c.(*tls.Conn); ok {
		return &endingTLS{ending: e, secure: secure}, nil
	}
	return e, nil
}

type ending struct {
	net.Conn
	ended atomic.Bool
}

// Read notes the end.
func (c *ending) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == io.EOF {
		c.ended.Store(true)
	}
	return n, err
}

func (c *ending) hasEnded() bool { return c.ended.Load() }

// CloseWrite is that of the connection below.
func (c *ending) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// reset makes Close reset a TCP connection instead of ending it.
func (c *ending) reset() error {
	below := c.Conn
	for {
		switch at := below.(type) {
		case *tls.Conn:
			below = at.NetConn()
		case *connection:
			below = at.Conn
		case *net.TCPConn:
			return at.SetLinger(0)
		default:
			return nil
		}
	}
}

// endingTLS is an ending that the server knows for TLS.
type endingTLS struct {
	*ending
	secure *tls.Conn
}

// Handshake is that of the TLS connection.
func (c *endingTLS) Handshake() error { return c.secure.Handshake() }

// ConnectionState is that of the TLS connection.
func (c *endingTLS) ConnectionState() tls.ConnectionState { return c.secure.ConnectionState() }

// stopped reports whether the caller has stopped sending, as far as was read.
func stopped(c net.Conn) bool {
	e, ok := c.(interface{ hasEnded() bool })
	return ok && e.hasEnded()
}
