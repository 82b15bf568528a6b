package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/problem"
)

// Bounds of a call to a backend.
const (
	// DefaultTimeout is for operations and backends that name none.
	DefaultTimeout = 30 * time.Second
	// MaxAnswer is the largest answer read from a backend on the request path.
	MaxAnswer   = 16 << 20
	dialTimeout = 5 * time.Second
	// Common servers close idle connections after 5 s or more. Ours are dropped earlier, so that an unsafe
	// call, which is never repeated, does not meet a closed one.
	idleTimeout = 4 * time.Second
	maxConns    = 512
)

// Request is one call to a backend. URL is absolute and begins with the backend's address.
type Request struct {
	Method      string
	URL         string
	ContentType string
	Accept      string
	Language    string // Accept-Language
	Key         string // Idempotency-Key
	Body        []byte
	Timeout     time.Duration // 0 = the backend's, else DefaultTimeout
	Identity    Identity
}

// Answer is what a backend answered; all of it is the caller's own.
type Answer struct {
	Status int
	Header [][2]string
	Body   []byte
}

// Client calls backends on the request path: one pool per backend and environment, one attempt per call.
// Only a read (GET, HEAD) that met a connection the backend had already closed is sent once more.
type Client struct {
	targets targets
	mu      sync.Mutex
	pools   map[*target]*fasthttp.HostClient
	latest  map[string]*target
}

// NewClient returns a Client; getenv resolves "env:" references in backend headers.
func NewClient(getenv func(string) string) *Client {
	return &Client{targets: targets{getenv: getenv}, pools: map[*target]*fasthttp.HostClient{}, latest: map[string]*target{}}
}

// Send calls a backend, or returns backend.unreachable when nothing was sent, backend.timeout when it was and
// no whole answer came in time, backend.bad_answer when what came is not an answer. Redirects are answers.
// The deadline is the timeout or ctx's, whichever is earlier; a cancelled ctx does not interrupt the call.
func (c *Client) Send(ctx context.Context, b *catalog.Backend, env ident.Environment, r Request) (*Answer, error) {
	at, err := c.targets.get(b, env)
	if err != nil {
		return nil, problem.Wrap(problem.BackendUnreachable, err, "backend %q is not set up for %s", b.ID, env)
	}
	if !strings.HasPrefix(r.URL, at.base+"/") && r.URL != at.base && !strings.HasPrefix(r.URL, at.base+"?") {
		return nil, problem.New(problem.Internal, "the call does not go to backend %q", b.ID)
	}
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	fill(req, at, r)
	deadline := time.Now().Add(timeoutOf(b, r))
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	pool := c.pool(b.ID+"/"+string(env), at)
	err = pool.DoDeadline(req, resp, deadline)
	if safe(r.Method) && closedEarly(err) {
		err = pool.DoDeadline(req, resp, deadline)
	}
	if err != nil {
		return nil, failure(b, err)
	}
	answer := &Answer{Status: resp.StatusCode(), Body: slices.Clone(resp.Body())}
	for name, value := range resp.Header.All() {
		answer.Header = append(answer.Header, [2]string{string(name), string(value)})
	}
	return answer, nil
}

func timeoutOf(b *catalog.Backend, r Request) time.Duration {
	switch {
	case r.Timeout > 0:
		return r.Timeout
	case b.Timeout > 0:
		return b.Timeout
	}
	return DefaultTimeout
}

// fill writes the request. The list of headers is closed: what is not here does not reach a backend.
func fill(req *fasthttp.Request, at *target, r Request) {
	req.Header.SetMethod(r.Method)
	req.SetRequestURI(r.URL)
	req.URI().DisablePathNormalizing = true
	req.Header.SetUserAgent("portway")
	for _, h := range [][2]string{{"Content-Type", r.ContentType}, {"Accept", r.Accept}, {"Accept-Language", r.Language}, {"Idempotency-Key", r.Key}} {
		if h[1] != "" {
			req.Header.Set(h[0], h[1])
		}
	}
	for _, h := range at.headers {
		req.Header.Set(h[0], h[1])
	}
	for _, h := range r.Identity.headers() {
		req.Header.Set(h[0], h[1])
	}
	if len(r.Body) > 0 {
		req.SetBodyRaw(r.Body)
	}
}

// pool returns the connections of a target, and closes the idle ones of the target it replaces.
func (c *Client) pool(key string, at *target) *fasthttp.HostClient {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.pools[at]; p != nil {
		return p
	}
	if old := c.latest[key]; old != nil {
		c.pools[old].CloseIdleConnections()
		delete(c.pools, old)
	}
	tls := at.url.Scheme == "https"
	p := &fasthttp.HostClient{
		Addr:                      fasthttp.AddMissingPort(at.url.Host, tls),
		IsTLS:                     tls,
		NoDefaultUserAgentHeader:  true,
		DisablePathNormalizing:    true,
		SecureErrorLogMessage:     true,
		MaxIdemponentCallAttempts: 1,
		MaxConns:                  maxConns,
		MaxConnWaitTimeout:        time.Second,
		MaxIdleConnDuration:       idleTimeout,
		MaxResponseBodySize:       MaxAnswer,
		ReadBufferSize:            16 << 10,
		DialTimeout:               dial,
	}
	c.pools[at], c.latest[key] = p, at
	return p
}

// Close drops idle connections.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pools {
		p.CloseIdleConnections()
	}
}

// dialError marks a failure before anything was sent.
type dialError struct{ err error }

func (e dialError) Error() string { return "dial: " + e.err.Error() }
func (e dialError) Unwrap() error { return e.err }

func dial(addr string, timeout time.Duration) (net.Conn, error) {
	if timeout <= 0 || timeout > dialTimeout {
		timeout = dialTimeout
	}
	conn, err := (&net.Dialer{Timeout: timeout}).Dial("tcp", addr)
	if err != nil {
		return nil, dialError{err}
	}
	return conn, nil
}

func safe(method string) bool { return method == "GET" || method == "HEAD" }

// closedEarly reports whether a connection ended before the first byte of an answer.
func closedEarly(err error) bool {
	return errors.Is(err, fasthttp.ErrConnectionClosed) || errors.Is(err, io.EOF)
}

// failure classifies an error of the transport. Its text may quote the backend and goes to the log only.
func failure(b *catalog.Backend, err error) error {
	var notDialled dialError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &notDialled), errors.Is(err, fasthttp.ErrNoFreeConns):
		return problem.Wrap(problem.BackendUnreachable, err, "backend %q could not be reached; nothing was sent", b.ID)
	case errors.Is(err, fasthttp.ErrTimeout), errors.As(err, &timeout) && timeout.Timeout():
		return problem.Wrap(problem.BackendTimeout, err, "backend %q did not answer in time; it may have done what was asked", b.ID)
	case closedEarly(err):
		return problem.Wrap(problem.BackendBadAnswer, err, "backend %q closed the connection without an answer; it may have done what was asked", b.ID)
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		return problem.Wrap(problem.BackendBadAnswer, err, "backend %q sent more than %d bytes", b.ID, MaxAnswer)
	}
	return problem.Wrap(problem.BackendBadAnswer, fmt.Errorf("transport: %w", err), "backend %q did not send a readable answer", b.ID)
}
