package erp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"portway/internal/logistics"
	"portway/sandbox"
)

// versioned is the body of a release or an amendment: the intent with the order's version.
type versioned struct {
	intent
	Version int `json:"version"`
}

// gatewayCall is one call about one order: what to send, and what the ERP books once the gateway said yes.
type gatewayCall struct {
	name    string
	path    string
	version int
	body    any
	accept  func(o *order)
}

// prepare looks at the order under the lock; it returns the call, or a status and a sentence why not.
type prepare func(o *order) (gatewayCall, int, string, []string)

// call runs one gateway call: prepare and note the attempt, call, book the outcome. It answers 200 with what the
// gateway answered, whatever its status; 502 when no answer came and the outcome is unknown.
func (e *ERP) call(w http.ResponseWriter, r *http.Request, prepare prepare) {
	number := r.PathValue("order")
	if !e.claim(number) {
		sandbox.Fail(w, http.StatusConflict, "another call about this order is under way", nil)
		return
	}
	defer e.unclaim(number)
	var (
		call     gatewayCall
		key      string
		status   = http.StatusNotFound
		detail   = "there is no such sales order"
		problems []string
	)
	err := e.store.Update(func(s *state) bool {
		o := s.Orders[number]
		if o == nil {
			return false
		}
		if call, status, detail, problems = prepare(o); status != 0 {
			return false
		}
		if call.path == "" {
			call.accept(o)
			return true
		}
		if !e.gw.connected() {
			status, detail = http.StatusConflict, "the ERP does not know the gateway yet"
			return false
		}
		key = callKey(o, call.name, call.version)
		// Noted before the call: from here on the gateway, and so the fulfiller, may know the order.
		o.Attempts = append(o.Attempts, attempt{Call: call.name, Version: call.version, At: e.clock.Now().UTC()})
		return true
	})
	if err != nil {
		e.failStore(w, err)
		return
	}
	if status != 0 {
		sandbox.Fail(w, status, detail, problems)
		return
	}
	if call.path == "" {
		sandbox.WriteJSON(w, http.StatusOK, map[string]any{"status": 0, "requestId": "", "body": nil})
		return
	}
	// The caller may leave; the call is finished and booked all the same.
	got, callErr := e.gw.post(context.WithoutCancel(r.Context()), call.path, key, call.body)
	if err := e.book(number, call, got); err != nil {
		e.failStore(w, err)
		return
	}
	if callErr != nil {
		e.log.Warn("gateway call failed", "call", call.name, "error", callErr)
		sandbox.Fail(w, http.StatusBadGateway, fmt.Sprintf("the gateway gave no answer to %s, send it again", call.name), nil)
		return
	}
	e.log.Info("gateway called", "call", call.name, "status", got.Status, "request_id", got.RequestID)
	body := json.RawMessage(got.Body)
	if !json.Valid(body) {
		body, _ = json.Marshal(string(got.Body))
	}
	sandbox.WriteJSON(w, http.StatusOK, map[string]any{"status": got.Status, "requestId": got.RequestID, "body": body})
}

// book notes the answer on the attempt, which is the last one of its order because calls about one order are
// made one at a time.
func (e *ERP) book(number string, call gatewayCall, got answer) error {
	return e.store.Update(func(s *state) bool {
		o := s.Orders[number]
		last := &o.Attempts[len(o.Attempts)-1]
		last.Status, last.RequestID = got.Status, got.RequestID
		if got.Status >= 200 && got.Status < 300 {
			call.accept(o)
		}
		return true
	})
}

func (e *ERP) claim(number string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.busy[number] {
		return false
	}
	e.busy[number] = true
	return true
}

func (e *ERP) unclaim(number string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.busy, number)
}

// releaseOrder sends the order to the gateway: POST /orders/v1/releases. It may be repeated until the fulfiller
// has acknowledged.
func (e *ERP) releaseOrder(w http.ResponseWriter, r *http.Request) {
	e.call(w, r, func(o *order) (gatewayCall, int, string, []string) {
		if o.State != stateOpen && o.State != stateReleased {
			return gatewayCall{}, http.StatusConflict, "the order is " + o.State + " and cannot be released", nil
		}
		return gatewayCall{
			name: "release", path: "/orders/v1/releases", version: o.Version, body: versioned{o.Intent, o.Version},
			accept: func(o *order) {
				// An acknowledgement may have come before this booking; it is the newer state.
				if o.State == stateOpen && (o.Acknowledgement == nil || o.Acknowledgement.Version < o.Version) {
					o.State = stateReleased
				}
			},
		}, 0, "", nil
	})
}

// amendOrder takes the complete new order; it counts once the gateway has accepted it.
func (e *ERP) amendOrder(w http.ResponseWriter, r *http.Request) {
	var in intent
	if refusal := sandbox.ReadJSON(r, &in); refusal != nil {
		sandbox.Fail(w, refusal.Status, refusal.Detail, nil)
		return
	}
	if in.Order == "" {
		in.Order = r.PathValue("order")
	}
	bad := in.check(e.items)
	if in.Order != r.PathValue("order") {
		bad = append(bad, "order: must be the order of the path, or absent")
	}
	if bad != nil {
		sandbox.Fail(w, http.StatusUnprocessableEntity, "the amendment is not acceptable", bad)
		return
	}
	e.call(w, r, func(o *order) (gatewayCall, int, string, []string) {
		if o.State == stateCancelled {
			return gatewayCall{}, http.StatusConflict, "the order is cancelled", nil
		}
		if _, bad := o.merge(in); bad != nil {
			return gatewayCall{}, http.StatusConflict, "the amendment contradicts what was shipped", bad
		}
		version := o.Version + 1
		call := gatewayCall{
			name: "amend", path: "/orders/v1/orders/" + url.PathEscape(in.Order) + "/amendments",
			version: version, body: versioned{in, version},
			accept: func(o *order) {
				// Merged anew: goods may have moved while the gateway answered. The gateway decided that it was
				// not too late, so a line that vanished meanwhile keeps its postings in the shipments only.
				o.Balance, _ = o.merge(in)
				o.Intent, o.Version = in, version
				o.settle()
			},
		}
		if !o.released() {
			call.path = ""
		}
		return call, 0, "", nil
	})
}

// cancelOrder asks the gateway to cancel the order or some of its lines; it counts once the gateway has accepted.
func (e *ERP) cancelOrder(w http.ResponseWriter, r *http.Request) {
	type line struct {
		LineNo lineNo `json:"lineNo"`
	}
	var in struct {
		Reason string `json:"reason"`
		Lines  []line `json:"lines"`
	}
	if refusal := sandbox.ReadJSON(r, &in); refusal != nil {
		sandbox.Fail(w, refusal.Status, refusal.Detail, nil)
		return
	}
	if in.Reason == "" {
		sandbox.Fail(w, http.StatusUnprocessableEntity, "the cancellation is not acceptable", []string{"reason: is required"})
		return
	}
	e.call(w, r, func(o *order) (gatewayCall, int, string, []string) {
		if o.State == stateCancelled {
			return gatewayCall{}, http.StatusConflict, "the order is cancelled", nil
		}
		type cancellation struct {
			Order   string `json:"order"`
			Version int    `json:"version"`
			Reason  string `json:"reason"`
			Lines   []line `json:"lines,omitempty"`
		}
		version := o.Version // the version that is cancelled
		body := cancellation{Order: o.Intent.Order, Version: version, Reason: in.Reason, Lines: in.Lines}
		lines := map[string]bool{}
		for _, l := range in.Lines {
			if !o.has(l.LineNo) {
				return gatewayCall{}, http.StatusUnprocessableEntity, "a line to cancel is not on the order", nil
			}
			lines[l.LineNo.text] = true
		}
		call := gatewayCall{
			name: "cancel", path: "/orders/v1/orders/" + url.PathEscape(o.Intent.Order) + "/cancellation",
			version: version, body: body,
			accept: func(o *order) { o.cancel(in.Reason, lines) },
		}
		if !o.released() {
			call.path = ""
		}
		return call, 0, "", nil
	})
}

// has reports whether the order has a line numbered n.
func (o *order) has(n lineNo) bool {
	return slices.ContainsFunc(o.Intent.Lines, func(l intentLine) bool { return l.LineNo.text == n.text })
}

// cancel closes what is open or backordered of the named lines, or of all if none is named.
func (o *order) cancel(reason string, lines map[string]bool) {
	o.CancelReason = reason
	for i, l := range o.Intent.Lines {
		if len(lines) > 0 && !lines[l.LineNo.text] {
			continue
		}
		b := &o.Balance[i]
		open := b.open(l.Quantity.Value)
		b.Cancelled = b.Cancelled.Add(b.Backordered).Add(open)
		b.Backordered = logistics.Whole(0)
	}
	o.settle()
}
