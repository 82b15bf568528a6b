// Package backend delivers events to a configured backend over HTTP, as CloudEvents 1.0 in structured JSON.
package backend

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"portway/internal/catalog"
	"portway/internal/delivery"
	"portway/internal/ident"
	"portway/internal/problem"
)

const contentType = "application/cloudevents+json; charset=utf-8"

// Poster makes one HTTP POST to a backend in an environment. path is below the backend's base address, org
// whose part of the backend's call budget it takes. The error is a problem of backend.* when there was no answer; any
// answer, whatever its status, is none.
type Poster interface {
	Post(ctx context.Context, b *catalog.Backend, env ident.Environment, org ident.OrgID, path, contentType string, body []byte) (status int, header http.Header, answer []byte, err error)
}

// Sender implements delivery.Sender.
type Sender struct {
	poster Poster
	clock  ident.Clock
}

// New returns a Sender that posts through p. clock is for Retry-After headers that hold a date.
func New(p Poster, clock ident.Clock) *Sender { return &Sender{poster: p, clock: clock} }

var _ delivery.Sender = (*Sender)(nil)

// Send posts the event once and classifies the answer by the route's data. The answer's body is not used: what a
// target says belongs into its own log.
func (s *Sender) Send(ctx context.Context, d *delivery.Delivery, r *catalog.DeliveryRoute) delivery.Sent {
	body, err := d.Event.CloudEvent()
	if err != nil {
		return delivery.Sent{Reason: string(problem.Internal)}
	}
	status, header, _, err := s.poster.Post(ctx, r.Backend, d.Event.Environment, d.Event.Org, r.Path, contentType, body)
	if err != nil {
		p := problem.From(err)
		code := p.Code
		if code == problem.Internal {
			code = problem.BackendUnreachable
		}
		return delivery.Sent{Reason: string(code), RetryAfter: p.RetryAfter}
	}
	return delivery.Sent{Class: delivery.Classify(r.Answers, status), Status: status, RetryAfter: retryAfter(header.Get("Retry-After"), s.clock.Now())}
}

// retryAfter reads the header (RFC 9110 section 10.2.3): seconds, or a date. Anything else is 0.
func retryAfter(v string, now time.Time) time.Duration {
	if v == "" {
		return 0
	}
	if n, err := strconv.ParseInt(v, 10, 32); err == nil {
		return time.Duration(max(n, 0)) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(t.Sub(now), 0)
	}
	return 0
}
