package outbound

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/outbound/budget"
	"portway/internal/problem"
)

// MaxStream is the largest streamed answer of an operation that names none.
const MaxStream = 1 << 30

var (
	errStalled        = errors.New("the backend neither took nor sent a byte in time")
	errAnswerTooLarge = errors.New("the answer is larger than allowed")
	errDetached       = errors.New("the body is no longer read")
)

// Stream is Send for bodies that are not held in memory: it sends r.Stream as it comes, and with down the answer's
// Stream is the body as it comes, if the answer is a success; any other answer is read whole. The timeout is between
// two steps forward, not for the whole call. Nothing is sent twice. Errors are those of Send; an error of r.Stream is
// returned as it is.
func (c *Client) Stream(ctx context.Context, b *catalog.Backend, env ident.Environment, r Request, down bool) (*Answer, error) {
	p, err := c.ready(b, env, &r)
	if err != nil {
		return nil, err
	}
	if err := c.enter(p); err != nil {
		return nil, err
	}
	s := &stream{client: c, pool: p, backend: b, began: time.Now(), idle: timeoutOf(b, &r)}
	a, err := s.run(ctx, &r, down)
	if err != nil || a.Stream == nil {
		s.end(err)
	}
	return a, err
}

// stream is one call of Stream; it lasts until the answer's body is closed.
type stream struct {
	client  *Client
	pool    *pool
	backend *catalog.Backend
	began   time.Time
	idle    time.Duration

	target *target
	permit uint64
	status int
	up     *upload
	// answered: the head of the answer is there, and only download keeps the time.
	answered atomic.Bool
	stop     context.CancelCauseFunc
	timer    *time.Timer
	body     io.ReadCloser
	left     int64 // of the answer's limit
	broken   error
	ended    sync.Once
}

func (s *stream) run(ctx context.Context, r *Request, down bool) (*Answer, error) {
	c, p := s.client, s.pool
	var token *accessToken
	if p.oauth != nil {
		waiting, cancel := context.WithTimeout(ctx, s.idle)
		var err error
		token, err = p.oauth.token(waiting)
		cancel()
		if err != nil {
			c.attempt(p, NoToken, 0)
			return nil, noToken(s.backend, err)
		}
	}
	t, permit, err := c.begin(p, string(r.Org), 0)
	if err != nil {
		return nil, err
	}
	s.target, s.permit = t, permit
	ctx, s.stop = context.WithCancelCause(ctx)
	s.timer = time.AfterFunc(s.idle, func() { s.stop(errStalled) })
	req, err := s.request(ctx, r, token)
	if err != nil {
		return nil, problem.Wrap(problem.Internal, err, "the call to backend %q cannot be made", s.backend.ID)
	}
	resp, err := p.plain.Do(req)
	if err != nil {
		return nil, s.failed(ctx, err)
	}
	s.answered.Store(true)
	s.timer.Stop()
	s.status, s.body = resp.StatusCode, resp.Body
	a := &Answer{Status: resp.StatusCode, Length: resp.ContentLength}
	said := budget.NewLimits()
	for name, values := range resp.Header {
		for _, v := range values {
			said.Header(name, v)
			a.Header = append(a.Header, [2]string{name, v})
		}
	}
	p.share.Learn(a.Status, &said, c.clock.Now())
	if a.Status == http.StatusUnauthorized && p.secured {
		if token != nil {
			p.oauth.refuse(token)
			return nil, unavailable(time.Second, "backend %q wants a new access token; nothing was done", s.backend.ID)
		}
		return nil, problem.New(problem.BackendBadAnswer, "backend %q does not take our credentials", s.backend.ID)
	}
	streamed := down && a.Status >= 200 && a.Status < 300
	s.left = limitOf(r, streamed)
	if a.Length > s.left {
		return nil, s.failed(ctx, errAnswerTooLarge)
	}
	if streamed {
		a.Stream = &download{stream: s, ctx: ctx}
		return a, nil
	}
	if a.Body, err = io.ReadAll(&download{stream: s, ctx: ctx}); err != nil {
		return nil, err
	}
	return a, nil
}

func limitOf(r *Request, streamed bool) int64 {
	switch {
	case !streamed:
		return MaxAnswer
	case r.Limit > 0:
		return r.Limit
	}
	return MaxStream
}

func (s *stream) request(ctx context.Context, r *Request, token *accessToken) (*http.Request, error) {
	var body io.Reader
	switch {
	case r.Stream != nil:
		s.up = &upload{body: r.Stream, stream: s}
		body = s.up
	case len(r.Body) > 0:
		body = bytes.NewReader(r.Body)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, s.target.base+r.Path, body)
	if err != nil {
		return nil, err
	}
	if r.Stream != nil {
		req.ContentLength = r.Length
	}
	req.GetBody = nil // without a way to rewind the body, net/http does not send it twice by itself
	req.Header.Set("User-Agent", userAgent)
	head(s.pool, r, token, req.Header.Set)
	if r.Key != "" { // spelt so that net/http does not take it for a licence to repeat the call
		req.Header.Del("Idempotency-Key")
		req.Header["idempotency-key"] = []string{r.Key}
	}
	return req, nil
}

// failed puts an error of the transport into ours; what the caller's body brought comes first.
func (s *stream) failed(ctx context.Context, err error) error {
	if s.up != nil {
		if s.up.detach(); s.up.err != nil {
			return s.up.err
		}
	}
	if cause := context.Cause(ctx); cause != nil {
		err = errors.Join(cause, err)
	}
	s.broken = failure(s.backend, err)
	return s.broken
}

// end gives everything back, once: err is why the call or its answer broke off, nil if it did not.
func (s *stream) end(err error) {
	s.ended.Do(func() {
		if s.stop != nil {
			s.timer.Stop()
			s.stop(context.Canceled)
		}
		if s.up != nil {
			s.up.detach()
		}
		if s.body != nil {
			s.body.Close()
		}
		if s.target != nil {
			o, good := outcome(s.backend, s.status, s.broken)
			if err != nil && s.broken == nil && s.status == 0 {
				o, good = Refused, true // the caller's side broke off: it says nothing about the target
			}
			s.client.settle(s.pool, s.target, s.permit, good, o, time.Since(s.began))
		}
		s.pool.leave()
	})
}

// download is the answer's body. The backend's time runs only while a Read waits for it.
type download struct {
	*stream
	ctx context.Context
}

// Read reads at most the limit; one byte more is an error.
func (d *download) Read(p []byte) (int, error) {
	if d.broken != nil {
		return 0, d.broken
	}
	d.timer.Reset(d.idle)
	n, err := d.body.Read(p)
	d.timer.Stop()
	if d.left -= int64(n); d.left < 0 {
		err = errAnswerTooLarge
	}
	if err != nil && err != io.EOF {
		if err == io.ErrUnexpectedEOF {
			err = errors.Join(errors.New("the answer ends too early"), err)
		}
		return 0, d.failed(d.ctx, err)
	}
	return n, err
}

// Close ends the call.
func (d *download) Close() error {
	d.end(nil)
	return nil
}

// upload is the caller's body as the transport reads it, on a goroutine of its own that may outlive the call: after
// detach the body below is not touched any more.
type upload struct {
	stream *stream
	mu     sync.Mutex // held while the body is read
	body   io.Reader
	gone   atomic.Bool
	err    error
}

// Read passes bytes on. The backend's time runs while it takes them, not while we wait for the caller.
func (u *upload) Read(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gone.Load() {
		return 0, errDetached
	}
	u.stream.timer.Stop()
	n, err := u.body.Read(p)
	if u.gone.Load() {
		return 0, errDetached
	}
	if !u.stream.answered.Load() {
		u.stream.timer.Reset(u.stream.idle)
	}
	if err != nil && err != io.EOF {
		u.err = err
	}
	return n, err
}

// detach ends a Read that is under way and returns when none is; err is then the error of the caller's body.
func (u *upload) detach() {
	u.gone.Store(true)
	if !u.mu.TryLock() {
		if c, ok := u.body.(io.Closer); ok {
			c.Close()
		}
		u.mu.Lock()
	}
	u.mu.Unlock()
}
