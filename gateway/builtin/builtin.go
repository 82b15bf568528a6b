// Package builtin answers Portway's own operations: the order feed, orders, events and documents, and
// whatever other rooms register, such as the token endpoint.
package builtin

import (
	"context"
	"encoding/json"

	"portway/gateway/exchange"
	"portway/internal/delivery"
	"portway/internal/eventlog"
	"portway/internal/ident"
	"portway/internal/problem"
)

// Handler answers one operation. A nil Response is an internal error.
type Handler func(ctx context.Context, x *exchange.Exchange) (*exchange.Response, error)

// Deps is what the handlers work on.
type Deps struct {
	Log        eventlog.Store
	Deliveries delivery.Store
	Cursors    *ident.Cursors
	// Extra holds handlers of other rooms by the name of Route.Handler; it wins over ours.
	Extra map[string]Handler
}

// Builtin is the dispatcher of built-in operations.
type Builtin struct {
	handlers map[string]Handler
}

// New returns a Builtin with the handlers listOrderFeed, getOrder, getEvent, getDocument and those of Extra.
func New(d Deps) *Builtin {
	b := &Builtin{handlers: map[string]Handler{
		"listOrderFeed": d.listOrderFeed,
		"getOrder":      d.getOrder,
		"getEvent":      d.getEvent,
		"getDocument":   d.getDocument,
	}}
	for name, h := range d.Extra {
		b.handlers[name] = h
	}
	return b
}

// Serves reports whether there is a handler of that name.
func (b *Builtin) Serves(name string) bool { return b.handlers[name] != nil }

// Name is "builtin".
func (*Builtin) Name() string { return "builtin" }

// Run answers by the handler that the route names.
func (b *Builtin) Run(ctx context.Context, x *exchange.Exchange) error {
	h := b.handlers[x.Route.Handler]
	if h == nil {
		return problem.New(problem.Internal, "no handler is named %q", x.Route.Handler)
	}
	r, err := h(ctx, x)
	if err != nil {
		return err
	}
	x.Response = r
	return nil
}

// caller refuses calls that have no organisation: a handler reads by organisation, never without.
func caller(x *exchange.Exchange) (ident.OrgID, ident.Environment, error) {
	if x.Caller == nil || x.Caller.Org == "" {
		return "", "", problem.New(problem.AuthMissing, "the operation needs a caller")
	}
	return x.Caller.Org, x.Caller.Environment, nil
}

// answer renders a JSON answer. What an organisation reads is for it alone, so no cache on the way keeps it.
func answer(v any) (*exchange.Response, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	r := &exchange.Response{Status: 200, Body: body}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Cache-Control", "private, no-store")
	return r, nil
}
