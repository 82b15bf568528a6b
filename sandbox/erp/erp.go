// Package erp is a simulated ERP: sales orders that it releases to the gateway, an inbox for CloudEvents that
// posts each goods issue once, and inventory. It is a client of the gateway like any real one: OAuth client
// credentials, nothing else.
package erp

import (
	"log/slog"
	"net/http"
	"sort"
	"sync"

	"portway/internal/ident"
	"portway/internal/logistics"
	"portway/sandbox"
)

// Options says what an ERP needs from its caller.
type Options struct {
	// Clock tells the time; nil means the machine's clock.
	Clock ident.Clock
	// Log receives one record per call; nil means none.
	Log *slog.Logger
	// Dir keeps the state over restarts as erp.json; "" keeps it in memory only.
	Dir string
	// Seed is JSON {items, stock, orders}: the item master (always taken from here), and stock rows and orders
	// that the kept state does not have. Without items every SKU is accepted, in one unit.
	Seed []byte
}

// ERP is the simulated ERP. Handler, Serve and Close come from its Server; Connect tells it where the gateway is.
type ERP struct {
	*sandbox.Server
	clock ident.Clock
	log   *slog.Logger
	items catalogue
	store *sandbox.Store[state]
	gw    gateway

	mu   sync.Mutex
	busy map[string]bool
}

// state is what survives a restart.
type state struct {
	Orders map[string]*order `json:"orders"`
	Stock  []stockRow        `json:"stock"`
	// Seen holds the events that were posted, as source and id (CloudEvents 1.0 section 3.1: unique together),
	// SeenOrder the same in order of arrival, to forget the oldest.
	Seen      map[string]bool `json:"seen"`
	SeenOrder []string        `json:"seenOrder"`
	// Closed and ClosedOrders say whose posting period is closed.
	Closed       bool            `json:"closed"`
	ClosedOrders map[string]bool `json:"closedOrders"`
}

// New returns an ERP with the seeded data; the error lists every problem of the seed or names the state file.
func New(opts Options) (*ERP, error) {
	if opts.Clock == nil {
		opts.Clock = ident.System{}
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	seeded, items, err := parseSeed(opts.Seed)
	if err != nil {
		return nil, err
	}
	empty := &state{Orders: map[string]*order{}, Seen: map[string]bool{}, ClosedOrders: map[string]bool{}}
	store, _, err := sandbox.OpenStore(opts.Dir, "erp.json", empty)
	if err != nil {
		return nil, err
	}
	err = store.Update(func(s *state) bool {
		rows := len(s.Stock)
		s.Stock = mergeStock(s.Stock, seeded.Stock)
		changed := len(s.Stock) != rows
		for _, in := range seeded.Orders {
			if s.Orders[in.Order] == nil {
				s.Orders[in.Order] = newOrder(in)
				changed = true
			}
		}
		return changed
	})
	if err != nil {
		return nil, err
	}
	e := &ERP{clock: opts.Clock, log: opts.Log, items: items, store: store, busy: map[string]bool{}}
	e.gw.clock, e.gw.client = opts.Clock, newClient()
	e.Server = sandbox.New(sandbox.Options{Name: "erp", Clock: opts.Clock, Log: opts.Log}, sandbox.Mux([]sandbox.Route{
		{Method: http.MethodGet, Path: "/{$}", Handle: e.getIndex},
		{Method: http.MethodPost, Path: "/sales-orders", Handle: e.createOrder},
		{Method: http.MethodGet, Path: "/sales-orders", Handle: e.listOrders},
		{Method: http.MethodGet, Path: "/sales-orders/{order}", Handle: e.getOrder},
		{Method: http.MethodPost, Path: "/sales-orders/{order}/release", Handle: e.releaseOrder},
		{Method: http.MethodPost, Path: "/sales-orders/{order}/amend", Handle: e.amendOrder},
		{Method: http.MethodPost, Path: "/sales-orders/{order}/cancel", Handle: e.cancelOrder},
		{Method: http.MethodPost, Path: "/events", Handle: e.receiveEvent},
		{Method: http.MethodGet, Path: "/inventory/availability", Handle: e.getAvailability},
		{Method: http.MethodPost, Path: "/_sim/period", Handle: e.setPeriod},
	}, sandbox.Fail))
	return e, nil
}

func newOrder(in intent) *order {
	return &order{Intent: in, Version: 1, State: stateOpen, Balance: make([]balance, len(in.Lines))}
}

func (e *ERP) getIndex(w http.ResponseWriter, _ *http.Request) {
	sandbox.WriteJSON(w, http.StatusOK, map[string]any{
		"service": "simulated ERP",
		"operations": []string{
			"POST /sales-orders", "GET /sales-orders", "GET /sales-orders/{order}", "POST /sales-orders/{order}/release",
			"POST /sales-orders/{order}/amend", "POST /sales-orders/{order}/cancel", "POST /events",
			"GET /inventory/availability?sku=&location=", "POST /_sim/faults", "GET /_sim/calls", "POST /_sim/period",
		},
	})
}

// createOrder answers 201 with the order, 200 if it exists with the same content, 409 if with another.
func (e *ERP) createOrder(w http.ResponseWriter, r *http.Request) {
	var in intent
	if refusal := sandbox.ReadJSON(r, &in); refusal != nil {
		sandbox.Fail(w, refusal.Status, refusal.Detail, nil)
		return
	}
	if bad := in.check(e.items); bad != nil {
		sandbox.Fail(w, http.StatusUnprocessableEntity, "the sales order is not acceptable", bad)
		return
	}
	status := http.StatusCreated
	var view orderView
	err := e.store.Update(func(s *state) bool {
		if have := s.Orders[in.Order]; have != nil {
			status, view = http.StatusOK, have.view()
			if !sameJSON(have.Intent, in) {
				status = http.StatusConflict
			}
			return false
		}
		o := newOrder(in)
		s.Orders[in.Order], view = o, o.view()
		return true
	})
	switch {
	case err != nil:
		e.failStore(w, err)
	case status == http.StatusConflict:
		sandbox.Fail(w, status, "an order with this number and other content exists, amend it or use a new number", nil)
	default:
		w.Header().Set("Location", "/sales-orders/"+in.Order)
		sandbox.WriteJSON(w, status, view)
	}
}

// listOrders answers with number, state and version of every order, by number.
func (e *ERP) listOrders(w http.ResponseWriter, _ *http.Request) {
	type row struct {
		Order    string `json:"order"`
		Version  int    `json:"version"`
		State    string `json:"state"`
		Postings int    `json:"postings"`
	}
	rows := []row{}
	e.store.Read(func(s *state) {
		for number, o := range s.Orders {
			rows = append(rows, row{number, o.Version, o.State, o.Postings})
		}
	})
	sort.Slice(rows, func(i, j int) bool { return rows[i].Order < rows[j].Order })
	sandbox.WriteJSON(w, http.StatusOK, map[string]any{"orders": rows})
}

func (e *ERP) getOrder(w http.ResponseWriter, r *http.Request) {
	var view *orderView
	e.store.Read(func(s *state) {
		if o := s.Orders[r.PathValue("order")]; o != nil {
			v := o.view()
			view = &v
		}
	})
	if view == nil {
		sandbox.Fail(w, http.StatusNotFound, "there is no such sales order", nil)
		return
	}
	sandbox.WriteJSON(w, http.StatusOK, view)
}

// setPeriod closes or opens the posting period, of the named orders or, without any, of all.
func (e *ERP) setPeriod(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Closed *bool    `json:"closed"`
		Orders []string `json:"orders"`
	}
	if refusal := sandbox.ReadJSON(r, &in); refusal != nil {
		sandbox.Fail(w, refusal.Status, refusal.Detail, nil)
		return
	}
	if in.Closed == nil {
		sandbox.Fail(w, http.StatusBadRequest, "closed is required: true or false", nil)
		return
	}
	closed, orders := false, []string{}
	err := e.store.Update(func(s *state) bool {
		if len(in.Orders) == 0 {
			s.Closed = *in.Closed
			clear(s.ClosedOrders)
		}
		for _, o := range in.Orders {
			delete(s.ClosedOrders, o)
			if *in.Closed {
				s.ClosedOrders[o] = true
			}
		}
		closed = s.Closed
		for o := range s.ClosedOrders {
			orders = append(orders, o)
		}
		return true
	})
	if err != nil {
		e.failStore(w, err)
		return
	}
	sort.Strings(orders)
	sandbox.WriteJSON(w, http.StatusOK, map[string]any{"closed": closed, "orders": orders})
}

func (e *ERP) failStore(w http.ResponseWriter, err error) {
	e.log.Error("state not written", "error", err)
	sandbox.Fail(w, http.StatusInternalServerError, "the change could not be written, send it again", nil)
}

// merge replaces the intent by a newer one and keeps what happened to lines that stay.
// It returns a problem for each line that would vanish although goods of it were shipped.
func (o *order) merge(in intent) ([]balance, []string) {
	kept := make([]balance, len(in.Lines))
	var bad []string
	for i, old := range o.Intent.Lines {
		stays := false
		for j, l := range in.Lines {
			if l.LineNo.text == old.LineNo.text && l.SKU == old.SKU && l.Quantity.Unit == old.Quantity.Unit {
				kept[j], stays = o.Balance[i], true
				rest := logistics.Max(l.Quantity.Value.Sub(kept[j].Shipped), logistics.Whole(0))
				kept[j].Backordered = logistics.Min(kept[j].Backordered, rest)
				kept[j].Cancelled = logistics.Min(kept[j].Cancelled, rest.Sub(kept[j].Backordered))
			}
		}
		if !stays && o.Balance[i].Shipped.Sign() > 0 {
			bad = append(bad, "order line "+old.LineNo.text+": was shipped and cannot be taken away or change item or unit")
		}
	}
	return kept, bad
}
