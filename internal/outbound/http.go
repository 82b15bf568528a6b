package outbound

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/outbound/budget"
)

// maxKept is how much of a delivery's answer is kept, in bytes.
const maxKept = 16 << 10

// HTTP posts deliveries to backends, one attempt per call; when to try again is the schedule's decision. It shares the
// pools of a Client, so that breakers, places and call budgets count both.
type HTTP struct {
	client *Client
}

// NewHTTP returns an HTTP over a client's pools.
func NewHTTP(c *Client) *HTTP { return &HTTP{client: c} }

// ErrNotSent says that a delivery did not leave: repeating it cannot be a second one.
var ErrNotSent = errors.New("nothing was sent")

// Post sends body to path below the backend's address and returns the status, the headers and at most 16 KiB of the
// answer. org is whose budget it takes. An error means that no answer came; ErrNotSent says that nothing reached the
// backend, and backend.unavailable in it when to come again. Time is bounded by the backend's timeout and by ctx.
func (h *HTTP) Post(ctx context.Context, b *catalog.Backend, env ident.Environment, org ident.OrgID, path, contentType string, body []byte) (int, http.Header, []byte, error) {
	c := h.client
	r := Request{Path: path, ContentType: contentType, Accept: "application/json", Identity: Identity{Environment: env}}
	p, err := c.ready(b, env, &r)
	if err == nil {
		err = c.enter(p)
	}
	if err != nil {
		return 0, nil, nil, errors.Join(ErrNotSent, err)
	}
	defer p.leave()
	ctx, cancel := context.WithTimeout(ctx, timeoutOf(b, &r))
	defer cancel()
	var token *accessToken
	if p.oauth != nil {
		if token, err = p.oauth.token(ctx); err != nil {
			c.attempt(p, NoToken, 0)
			return 0, nil, nil, errors.Join(ErrNotSent, noToken(b, err))
		}
	}
	t, permit, err := c.begin(p, string(org), 0)
	if err != nil {
		return 0, nil, nil, errors.Join(ErrNotSent, err)
	}
	began := time.Now()
	o, good := BadAnswer, false // what a panic leaves
	defer func() { c.settle(p, t, permit, good, o, time.Since(began)) }()
	status, header, kept, err := h.post(ctx, p, t, &r, token, body)
	if err != nil {
		err = failure(b, err)
		if o, good = outcome(b, 0, err); o == Unreachable {
			err = errors.Join(ErrNotSent, err)
		}
		return 0, nil, nil, err
	}
	o, good = outcome(b, status, nil)
	said := budget.NewLimits()
	for name, values := range header {
		for _, v := range values {
			said.Header(name, v)
		}
	}
	p.share.Learn(status, &said, c.clock.Now())
	if token != nil && status == http.StatusUnauthorized {
		p.oauth.refuse(token)
	}
	return status, header, kept, nil
}

func (h *HTTP) post(ctx context.Context, p *pool, t *target, r *Request, token *accessToken, body []byte) (int, http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.base+r.Path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	req.GetBody = nil // without a way to rewind the body, net/http cannot send it a second time by itself
	req.Header.Set("User-Agent", userAgent)
	head(p, r, token, req.Header.Set)
	resp, err := p.plain.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	kept, err := io.ReadAll(io.LimitReader(resp.Body, maxKept))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return 0, nil, nil, err
	}
	return resp.StatusCode, resp.Header, kept, nil
}
