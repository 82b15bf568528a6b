package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"portway/internal/catalog"
	"portway/internal/catalog/egress"
	"portway/internal/ident"
	"portway/internal/outbound/budget"
	"portway/internal/problem"
)

// Bounds of a call to a backend.
const (
	// DefaultTimeout is for operations and backends that name none.
	DefaultTimeout = 30 * time.Second
	// MaxAnswer is the largest answer that is held in memory.
	MaxAnswer   = 16 << 20
	dialTimeout = 5 * time.Second
	// Common servers close idle connections after 5 s or more. Ours are dropped earlier, so that an unsafe
	// call, which is never repeated, does not meet a closed one.
	idleTimeout = 4 * time.Second
	userAgent   = "portway"
)

// Request is one call to a backend. Path is below the backend's address, with the query.
type Request struct {
	Method      string
	Path        string
	ContentType string
	Accept      string
	Language    string // Accept-Language
	Key         string // Idempotency-Key
	Body        []byte
	Timeout     time.Duration // of the whole call; 0 = the backend's, else DefaultTimeout
	Identity    Identity
	Org         ident.OrgID // whose part of the backend's call budget it takes
	// Stream is the body of Client.Stream instead of Body, Length its length or -1. If it is an io.Closer, Close ends
	// a Read that is under way.
	Stream io.Reader
	Length int64
	Limit  int64 // largest answer; 0 = MaxAnswer
}

// Answer is what a backend answered; all of it is the caller's own. Stream is the body instead of Body when
// Client.Stream was asked for one, Length its length or -1; it must be closed.
type Answer struct {
	Status int
	Header [][2]string
	Body   []byte
	Stream io.ReadCloser
	Length int64
}

// Client calls backends on the request path.
//
// What may be repeated, GET, HEAD and a call with an Idempotency-Key to a backend that honours it, is repeated as the
// backend's policy says, within its retry budget. Anything else is sent once; only when no connection came about, so
// that nothing was sent, it goes to another target.
type Client struct {
	getenv  func(string) string
	clock   ident.Clock
	metrics Metrics
	log     *slog.Logger
	wait    func(ctx context.Context, d time.Duration) error

	pools atomic.Pointer[map[poolKey]*entry] // replaced whole, under mu
	mu    sync.Mutex
}

// NewClient returns a Client; Use opens its pools ahead, and Run checks targets' health.
func NewClient(o Options) *Client {
	c := &Client{getenv: o.Getenv, clock: o.Clock, metrics: o.Metrics, log: o.Log, wait: sleep}
	if c.clock == nil {
		c.clock = ident.System{}
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.pools.Store(&map[poolKey]*entry{})
	return c
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Send calls a backend. It refuses with backend.unreachable when nothing was sent, backend.unavailable when nothing
// was done for now (Retry-After says when to come again), backend.timeout when it was sent and no whole answer came in
// time, backend.bad_answer when what came is not an answer. Redirects are answers. The deadline is the timeout or
// ctx's, whichever is earlier; a cancelled ctx does not interrupt a try.
func (c *Client) Send(ctx context.Context, b *catalog.Backend, env ident.Environment, r Request) (*Answer, error) {
	p, err := c.ready(b, env, &r)
	if err != nil {
		return nil, err
	}
	if err := c.enter(p); err != nil {
		return nil, err
	}
	defer p.leave()
	p.retries.Earn()
	call := call{client: c, pool: p, backend: b, request: &r, deadline: time.Now().Add(timeoutOf(b, &r)), repeatable: repeatable(b, &r)}
	if d, ok := ctx.Deadline(); ok && d.Before(call.deadline) {
		call.deadline = d
	}
	return call.run(ctx)
}

// ready finds the pool of a call and checks the call's path, so that no part of it can become a host.
func (c *Client) ready(b *catalog.Backend, env ident.Environment, r *Request) (*pool, error) {
	if r.Path != "" && r.Path[0] != '/' && r.Path[0] != '?' {
		return nil, problem.New(problem.Internal, "the call does not go to backend %q", b.ID)
	}
	if len(b.Targets[env]) == 0 && b.URLs[env] == "" {
		return nil, problem.New(problem.BackendUnreachable, "backend %q has no address in %s", b.ID, env)
	}
	p, err := c.pool(b, env)
	if err != nil {
		return nil, problem.Wrap(problem.BackendUnreachable, err, "backend %q is not set up for %s", b.ID, env)
	}
	return p, nil
}

// enter takes a place among the calls under way, leave gives it back.
func (c *Client) enter(p *pool) error {
	if !p.flight.TryAcquirePermit() {
		c.attempt(p, Full, 0)
		return unavailable(time.Second, "backend %q has as many calls under way as it takes; nothing was sent", p.backend)
	}
	p.inFlight.Add(1)
	return nil
}

func (p *pool) leave() {
	p.inFlight.Add(-1)
	p.flight.ReleasePermit()
}

func unavailable(after time.Duration, format string, args ...any) *problem.Error {
	p := problem.New(problem.BackendUnavailable, format, args...)
	p.RetryAfter = max(after, time.Second)
	return p
}

// begin asks for what every try needs: a part of the call budget, and a target whose breaker is not open.
func (c *Client) begin(p *pool, org string, tried uint64) (*target, uint64, error) {
	now := c.clock.Now()
	if wait, ok := p.share.Take(org, now); !ok {
		c.attempt(p, OverBudget, 0)
		return nil, 0, unavailable(wait, "the calls that backend %q allows are used up for now; nothing was sent", p.backend)
	}
	t, permit, wait := p.pick(now, tried)
	if t == nil {
		c.attempt(p, NoTarget, 0)
		return nil, 0, unavailable(wait, "backend %q fails and is left alone for now; nothing was sent", p.backend)
	}
	return t, permit, nil
}

func (c *Client) attempt(p *pool, o Outcome, took time.Duration) {
	if c.metrics != nil {
		c.metrics.Attempt(p.backend, p.env, o, took)
	}
}

func (c *Client) breakerChanged(p *pool, t *target, state string) {
	c.log.Warn("a breaker changed", "backend", p.backend, "environment", string(p.env), "target", t.index, "state", state)
	if c.metrics != nil {
		c.metrics.Breaker(p.backend, p.env, t.index, state)
	}
}

// settle tells the breaker, the outlier count and the metrics how a try went.
func (c *Client) settle(p *pool, t *target, permit uint64, good bool, o Outcome, took time.Duration) {
	now := c.clock.Now()
	t.breaker.settle(permit, good, now)
	t.note(good, now)
	c.attempt(p, o, took)
}

// outcome names what became of a try; good is whether it speaks for the target.
func outcome(b *catalog.Backend, status int, err error) (o Outcome, good bool) {
	switch {
	case err == nil && status < 400:
		return Answered, true
	case err == nil && status < 500:
		return Refused, true
	case err == nil:
		m := b.Answers.Meaning(status)
		return Failed, m != "" && m != egress.MeansTransient
	case problem.Is(err, problem.BackendUnreachable):
		return Unreachable, false
	case problem.Is(err, problem.BackendTimeout):
		return TimedOut, false
	}
	return BadAnswer, false
}

func safe(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// repeatable reports whether a call may reach the backend twice.
func repeatable(b *catalog.Backend, r *Request) bool {
	return safe(r.Method) || r.Key != "" && b.HonoursKey
}

func timeoutOf(b *catalog.Backend, r *Request) time.Duration {
	switch {
	case r.Timeout > 0:
		return r.Timeout
	case b.Timeout > 0:
		return b.Timeout
	}
	return DefaultTimeout
}

// call is one Send under way.
type call struct {
	client     *Client
	pool       *pool
	backend    *catalog.Backend
	request    *Request
	deadline   time.Time
	repeatable bool
	tried      uint64
	refetched  bool
}

// run tries until there is an answer, or no more tries. When a repeated try was not sent, the one before it tells what
// the backend may have done.
func (s *call) run(ctx context.Context) (*Answer, error) {
	var before *Answer
	var failed error
	for try := 1; ; try++ {
		a, err := s.try(ctx)
		if notSent(err) && (before != nil || failed != nil) {
			return before, failed
		}
		if a != nil && a.Status == http.StatusUnauthorized && s.pool.secured {
			if s.pool.oauth != nil && s.repeatable && !s.refetched {
				s.refetched = true
				continue
			}
			return nil, s.unauthorized()
		}
		if !s.again(try, a, err) {
			return a, err
		}
		wait := min(s.pool.policy.Max, s.pool.policy.Base<<min(try-1, 20))
		if wait > 0 {
			wait = rand.N(wait) // full jitter
		}
		if time.Until(s.deadline) <= wait || s.client.wait(ctx, wait) != nil {
			return a, err
		}
		if !notSent(err) {
			before, failed = a, err
		}
	}
}

// notSent reports whether a try ended before anything left.
func notSent(err error) bool {
	return problem.Is(err, problem.BackendUnreachable) || problem.Is(err, problem.BackendUnavailable)
}

// unauthorized is for a backend that does not take our credentials: the caller's are not at fault. A token that was
// refused is not used again, so that the next call has a better chance; this one was not done.
func (s *call) unauthorized() error {
	if s.pool.oauth != nil && !s.refetched {
		return unavailable(time.Second, "backend %q wants a new access token; nothing was done", s.backend.ID)
	}
	return problem.New(problem.BackendBadAnswer, "backend %q does not take our credentials", s.backend.ID)
}

// again decides whether a try is repeated.
func (s *call) again(try int, a *Answer, err error) bool {
	attempts := s.pool.policy.Attempts
	var p *problem.Error
	switch {
	case err == nil:
		if !s.repeatable || !s.transient(a.Status) {
			return false
		}
	case !errors.As(err, &p) || p.Code == problem.BackendUnavailable || p.Code == problem.Internal:
		return false
	case p.Code == problem.BackendUnreachable: // nothing was sent: any call may go elsewhere
		var notDialled dialError
		if !errors.As(err, &notDialled) || !s.repeatable && len(s.pool.targets) == 1 {
			return false
		}
		if len(s.pool.targets) > 1 {
			attempts = max(attempts, 2)
		}
	case !s.repeatable || errors.Is(err, fasthttp.ErrBodyTooLarge):
		return false
	case closedEarly(err): // the usual end of an idle connection
		attempts = max(attempts, 2)
	}
	return try < attempts && s.pool.retries.Spend(s.client.clock.Now())
}

// transient reports whether a status promises that a repeated call may be answered better.
func (s *call) transient(status int) bool {
	switch s.backend.Answers.Meaning(status) {
	case egress.MeansTransient, egress.MeansLocked:
		return true
	case "":
		return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
	}
	return false
}

// try sends the call once.
func (s *call) try(ctx context.Context) (*Answer, error) {
	c, p := s.client, s.pool
	var token *accessToken
	if p.oauth != nil {
		waiting, cancel := context.WithDeadline(ctx, s.deadline)
		var err error
		token, err = p.oauth.token(waiting)
		cancel()
		if err != nil {
			c.attempt(p, NoToken, 0)
			return nil, noToken(s.backend, err)
		}
	}
	t, permit, err := c.begin(p, string(s.request.Org), s.tried)
	if err != nil {
		return nil, err
	}
	s.tried |= 1 << t.index
	began := time.Now()
	o, good := BadAnswer, false // what a panic leaves
	defer func() { c.settle(p, t, permit, good, o, time.Since(began)) }()
	deadline := s.deadline
	if p.try > 0 && began.Add(p.try).Before(deadline) {
		deadline = began.Add(p.try)
	}
	a, said, err := exchange(t, p, s.request, token, deadline)
	if err != nil {
		err = failure(s.backend, err)
		o, good = outcome(s.backend, 0, err)
		return nil, err
	}
	o, good = outcome(s.backend, a.Status, nil)
	p.share.Learn(a.Status, &said, c.clock.Now())
	if token != nil && a.Status == http.StatusUnauthorized {
		p.oauth.refuse(token)
	}
	return a, nil
}

func noToken(b *catalog.Backend, err error) error {
	e := unavailable(time.Second, "no access token for backend %q could be had; nothing was sent", b.ID)
	e.Cause = err
	return e
}

// exchange sends a request on one connection and reads the answer whole.
func exchange(t *target, p *pool, r *Request, token *accessToken, deadline time.Time) (*Answer, budget.Limits, error) {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.Header.SetMethod(r.Method)
	req.SetRequestURI(t.base + r.Path)
	req.URI().DisablePathNormalizing = true
	req.Header.SetUserAgent(userAgent)
	head(p, r, token, req.Header.Set)
	if len(r.Body) > 0 {
		req.SetBodyRaw(r.Body)
	}
	resp.Header.SetNoDefaultContentType(true) // an answer without a type has none
	said := budget.NewLimits()
	if err := t.client.DoDeadline(req, resp, deadline); err != nil {
		return nil, said, err
	}
	a := &Answer{Status: resp.StatusCode(), Body: slices.Clone(resp.Body()), Header: make([][2]string, 0, resp.Header.Len())}
	for name, value := range resp.Header.All() {
		h := [2]string{string(name), string(value)}
		said.Header(h[0], h[1])
		a.Header = append(a.Header, h)
	}
	return a, said, nil
}

// head sets the headers of a call. The list is closed: what is not here does not reach a backend.
func head(p *pool, r *Request, token *accessToken, set func(name, value string)) {
	for _, h := range [...]struct{ name, value string }{{"Content-Type", r.ContentType}, {"Accept", r.Accept}, {"Accept-Language", r.Language}, {"Idempotency-Key", r.Key}} {
		if h.value != "" {
			set(h.name, h.value)
		}
	}
	for i := range p.headers {
		set(p.headers[i][0], p.headers[i][1])
	}
	if token != nil {
		set("Authorization", token.header)
	}
	r.Identity.each(set)
}

// Close drops idle connections.
func (c *Client) Close() {
	for _, e := range *c.pools.Load() {
		for ; e != nil; e = e.before {
			if e.pool != nil {
				e.pool.close()
			}
		}
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

// closedEarly reports whether a connection ended before the first byte of an answer.
func closedEarly(err error) bool {
	return errors.Is(err, fasthttp.ErrConnectionClosed) || errors.Is(err, io.EOF)
}

// failure classifies an error of the transport. Its text may quote the backend and goes to the log only.
func failure(b *catalog.Backend, err error) error {
	var notDialled dialError
	var op *net.OpError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &notDialled), errors.As(err, &op) && op.Op == "dial":
		return problem.Wrap(problem.BackendUnreachable, dialError{err}, "backend %q could not be reached; nothing was sent", b.ID)
	case errors.Is(err, fasthttp.ErrNoFreeConns):
		return problem.Wrap(problem.BackendUnreachable, err, "backend %q could not be reached; nothing was sent", b.ID)
	case errors.Is(err, fasthttp.ErrTimeout), errors.Is(err, errStalled), errors.As(err, &timeout) && timeout.Timeout():
		return problem.Wrap(problem.BackendTimeout, err, "backend %q did not answer in time; it may have done what was asked", b.ID)
	case closedEarly(err):
		return problem.Wrap(problem.BackendBadAnswer, err, "backend %q closed the connection without an answer; it may have done what was asked", b.ID)
	case errors.Is(err, fasthttp.ErrBodyTooLarge), errors.Is(err, errAnswerTooLarge):
		return problem.Wrap(problem.BackendBadAnswer, err, "backend %q sent more than is taken", b.ID)
	}
	return problem.Wrap(problem.BackendBadAnswer, fmt.Errorf("transport: %w", err), "backend %q did not send a readable answer", b.ID)
}

// State is one target as it is now, for health pages and gauges.
type State struct {
	Backend     string
	Environment ident.Environment
	Target      int    // from 0, in the order of the policy
	Host        string // with port
	Breaker     string // "closed", "open" or "half-open"
	In          bool   // takes part: healthy, and no outlier
	InFlight    int64  // of the backend in this environment
}

// State lists every target that was opened, in order of backend, environment and target.
func (c *Client) State() []State {
	var out []State
	now := c.clock.Now()
	for _, e := range *c.pools.Load() {
		if e.pool == nil {
			continue
		}
		for _, t := range e.pool.targets {
			out = append(out, State{Backend: e.pool.backend, Environment: e.pool.env, Target: t.index, Host: t.host,
				Breaker: t.breaker.state(), In: t.in(now), InFlight: e.pool.inFlight.Load()})
		}
	}
	slices.SortFunc(out, func(a, b State) int {
		if n := strings.Compare(a.Backend+"\x00"+string(a.Environment), b.Backend+"\x00"+string(b.Environment)); n != 0 {
			return n
		}
		return a.Target - b.Target
	})
	return out
}
