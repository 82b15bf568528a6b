// Package idempotency makes a call with an Idempotency-Key happen once: a repeated key gets the first answer, a key
// under way is told so, and nothing is sent to a backend before its key is reserved on disk.
//
// The order on the path is Lookup, which only reads; Reserve, the last before a backend is called; and Settle, the first
// after the answer is complete, so that what is kept is what the caller got. Statements (accept) are looked up here and
// reserved and settled by the event log, in the transaction that stores them.
package idempotency

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"portway/gateway/exchange"
	"portway/internal/catalog"
	"portway/internal/idempotent"
	"portway/internal/ident"
	"portway/internal/problem"
)

// Headers of keys, asked and answered.
const (
	headerKey      = "Idempotency-Key"
	headerReplayed = "Idempotent-Replayed"
)

// eventPath is how the answer to a statement names its event in Location.
const eventPath = "/v1/events/"

// Keys is what the stages share.
type Keys struct {
	Store idempotent.Store
	Clock ident.Clock
	Log   *slog.Logger
}

// Lookup answers a repeated key, before the call is charged and checked.
type Lookup struct{ *Keys }

// Name is "idempotency-lookup".
func (Lookup) Name() string { return "idempotency-lookup" }

// Run sets Key, and Response for a key whose call is done. It refuses with idempotency.key_invalid, .key_reused and
// .in_progress, and with store.unavailable: without the register nobody knows what was done before. What is in doubt
// goes on to Reserve, which knows the backend.
func (s Lookup) Run(ctx context.Context, x *exchange.Exchange) error {
	policy := &x.Route.Idempotency
	if s.Keys == nil || policy.Key == "" || policy.Key == catalog.KeyNone || x.Caller == nil {
		return nil
	}
	sent := x.Request.Header.Values(headerKey)
	if len(sent) == 0 {
		if policy.Key == catalog.KeyRequired {
			return problem.New(problem.IdempotencyKey, "the operation needs an Idempotency-Key: %s", idempotent.Form)
		}
		return nil
	}
	value, ok := idempotent.Parse(sent[0])
	if !ok || len(sent) > 1 {
		return problem.New(problem.IdempotencyKey, "%s", idempotent.Form)
	}
	x.Key = &idempotent.Key{Org: x.Caller.Org, Application: x.Caller.Application, Environment: x.Environment, Operation: x.Route.ID,
		Value: value, Fingerprint: fingerprint(x)}
	rec, err := s.Store.Find(ctx, *x.Key)
	if rec == nil || err != nil {
		return err
	}
	p := rec.Refusal(x.Key, s.Clock.Now())
	if p != nil && p.Code == problem.IdempotencyInDoubt && x.Route.Dispatch == catalog.Proxy {
		x.Note("in doubt")
		return nil
	}
	if p != nil {
		return p
	}
	replay(x, rec)
	return nil
}

// replay answers with what was answered. The headers of this call, such as its request id, come later.
func replay(x *exchange.Exchange, r *idempotent.Record) {
	x.Note("replayed")
	x.Response = &exchange.Response{Status: r.Status, Header: slices.Clone(exchange.Header(r.Header)), Body: r.Body}
	x.Response.Header.Set(headerReplayed, "true")
	if x.Route.Dispatch == catalog.Accept {
		if id, ok := strings.CutPrefix(x.Response.Header.Get("Location"), eventPath); ok {
			x.EventID = id
		}
	}
}

// The bounds of a reservation: margin is what a call takes beside waiting for its backend, with much to spare.
const (
	defaultTimeout = 30 * time.Second
	margin         = 30 * time.Second
)

// Reserve takes the key of a call that is about to be sent to a backend. It is the last inbound stage: a refusal after
// it would leave the key in doubt.
type Reserve struct{ *Keys }

// Name is "idempotency-reserve".
func (Reserve) Name() string { return "idempotency-reserve" }

// Run commits the reservation and sets Reservation, and Upstream.Key for a backend that honours keys. A key that was
// taken since Lookup is answered as Lookup would. What is in doubt is taken over if the backend knows a repeated call,
// and refused with idempotency.in_doubt otherwise: it is never sent on hope.
func (s Reserve) Run(ctx context.Context, x *exchange.Exchange) error {
	if x.Key == nil || x.Route.Dispatch != catalog.Proxy {
		return nil
	}
	now := s.Clock.Now()
	timeout := x.Route.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	lease := idempotent.Lease{ID: ident.NewID(s.Clock), From: now, Until: now.Add(timeout + margin)}
	taken, err := s.Store.Reserve(ctx, *x.Key, lease, x.Backend.HonoursKey || x.Call.Repeatable)
	if err != nil {
		return err
	}
	if taken == nil {
		x.Reservation = lease.ID
		if x.Backend.HonoursKey {
			x.Upstream.Key = forwarded(x.Key)
		}
		return nil
	}
	if p := taken.Refusal(x.Key, now); p != nil {
		return p
	}
	replay(x, taken)
	return nil
}
