package idempotency

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"portway/gateway/exchange"
	"portway/internal/catalog/egress"
	"portway/internal/idempotent"
	"portway/internal/problem"
)

// patience is how long an answer waits for its key to be settled.
const patience = 5 * time.Second

// Settle keeps the answer of a reserved call, or says why there is none to keep. It changes no answer: what cannot be
// kept leaves its key in doubt.
type Settle struct{ *Keys }

// Name is "idempotency-settle".
func (Settle) Name() string { return "idempotency-settle" }

// Run ends the reservation, if there is one. It sees the answer before the headers of this very call are added.
func (s Settle) Run(ctx context.Context, x *exchange.Exchange) error {
	if x.Reservation == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	r := idempotent.Record{Key: *x.Key, Lease: x.Reservation, State: idempotent.InDoubt}
	x.Reservation = ""
	var err error
	switch e := ending(x); {
	case e == nothingDone:
		x.Note("released")
		err = s.Store.Release(ctx, r.Key, r.Lease)
	case e == answered && x.Response.Stream == nil && len(x.Response.Body) <= idempotent.MaxBody:
		r.State, r.Status, r.Header, r.Body = idempotent.Done, x.Response.Status, kept(x), x.Response.Body
		x.Note("settled")
		err = s.Store.Settle(ctx, r)
	case e == answered:
		r.Status, r.Header = x.Response.Status, kept(x)
		x.Note("settled without its answer")
		err = s.Store.Settle(ctx, r)
	default:
		x.Note("in doubt")
		err = s.Store.Settle(ctx, r)
	}
	if err == nil {
		return nil
	}
	x.Note("not settled")
	s.Log.ErrorContext(ctx, "an idempotency key was not settled; it is in doubt", "request_id", x.ID, "operation", x.Route.ID, "error", err.Error())
	if errors.Is(err, idempotent.ErrLost) {
		return nil // whoever took the key over settles it
	}
	// A short row may still be written where an answer could not; if not, the lease runs out and says the same.
	r = idempotent.Record{Key: r.Key, Lease: r.Lease, State: idempotent.InDoubt, Status: r.Status}
	if err := s.Store.Settle(ctx, r); err != nil && !errors.Is(err, idempotent.ErrLost) {
		s.Log.ErrorContext(ctx, "an idempotency key is in doubt when its lease ends", "request_id", x.ID, "error", err.Error())
	}
	return nil
}

// kept is the answer's headers as they are stored, a copy.
func kept(x *exchange.Exchange) [][2]string { return slices.Clone(x.Response.Header) }

// outcome is how a reserved call ended, as far as the key is concerned.
type outcome int

const (
	unknown     outcome = iota // it may have been carried out
	answered                   // the answer is final
	nothingDone                // certainly not carried out: the key is free
)

// ending tells how the call ended by what the backend said, and only then by what we made of it.
func ending(x *exchange.Exchange) outcome {
	status := x.UpstreamStatus
	if status == 0 {
		// Our own words for a call that was not sent, or not done. Where a backend was tried more than once, an earlier try
		// may have been: that is done to backends that honour the key only, and they will know it again.
		if x.Err != nil && (x.Err.Code == problem.BackendUnreachable || x.Err.Code == problem.BackendUnavailable) {
			return nothingDone
		}
		return unknown
	}
	meaning := x.Backend.Answers.Meaning(status)
	rejected := meaning == egress.MeansRejected
	switch {
	case status >= 500 && !rejected && meaning != egress.MeansDone && meaning != egress.MeansAlready:
		return unknown
	case status == http.StatusTooManyRequests, meaning == egress.MeansLocked, meaning == egress.MeansTransient:
		return nothingDone // not now, says the backend: the same key may ask again
	case x.Response.Status < 500:
		return answered
	case rejected, status >= 400 && status < 500:
		return nothingDone // the backend refused us, not the caller
	}
	return unknown // carried out, and we could not say how
}
