package erp

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"portway/sandbox"
)

// envelope is a CloudEvent in structured JSON form (CloudEvents 1.0 JSON format section 3).
type envelope struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            string          `json:"type"`
	DataContentType string          `json:"datacontenttype"`
	CorrelationID   string          `json:"correlationid"`
	Data            json.RawMessage `json:"data"`
}

func (v envelope) check() []string {
	var bad []string
	if v.SpecVersion != "1.0" {
		bad = append(bad, "specversion: must be 1.0")
	}
	for _, f := range [][2]string{{"id", v.ID}, {"source", v.Source}, {"type", v.Type}} {
		if f[1] == "" {
			bad = append(bad, f[0]+": is required")
		}
	}
	if v.DataContentType != "" && v.DataContentType != "application/json" {
		bad = append(bad, "datacontenttype: must be application/json")
	}
	if len(v.Data) == 0 || v.Data[0] != '{' {
		bad = append(bad, "data: must be a JSON object")
	}
	return bad
}

// keptEvents is how many posted events are remembered; older ones are still caught by their business keys.
const keptEvents = 20000

// verdict is what became of an event.
type verdict struct {
	Result   string   `json:"result"`
	Reason   string   `json:"reason,omitempty"`
	Order    string   `json:"order,omitempty"`
	State    string   `json:"state,omitempty"`
	Postings int      `json:"postings,omitempty"`
	Problems []string `json:"problems,omitempty"`
}

func rejected(reason string, problems ...string) verdict {
	return verdict{Result: "rejected", Reason: reason, Problems: problems}
}

var (
	posted        = verdict{Result: "posted"}
	alreadyPosted = verdict{Result: "already_posted"}
)

// receiveEvent answers 200 posted or already_posted, 422 with a reason for a business rejection, 400 for a
// malformed envelope, 415 for anything that is not a structured CloudEvent.
func (e *ERP) receiveEvent(w http.ResponseWriter, r *http.Request) {
	body, refusal := sandbox.ReadBody(r, "application/cloudevents+json")
	var ev envelope
	if refusal == nil {
		// Not strict: CloudEvents may carry any extension attribute.
		refusal = sandbox.Decode(body, &ev, false)
	}
	if refusal != nil {
		if refusal.Status == http.StatusUnsupportedMediaType {
			w.Header().Set("Accept", "application/cloudevents+json")
		}
		sandbox.Fail(w, refusal.Status, refusal.Detail, nil)
		return
	}
	if bad := ev.check(); bad != nil {
		sandbox.Fail(w, http.StatusBadRequest, "the event is not a valid CloudEvent", bad)
		return
	}
	apply, ok := handlers[ev.Type]
	if !ok {
		sandbox.WriteJSON(w, http.StatusUnprocessableEntity, rejected("this event type is not handled"))
		return
	}
	var out verdict
	err := e.store.Update(func(s *state) bool {
		var changed bool
		out, changed = e.take(s, ev, apply)
		return changed
	})
	switch {
	case err != nil:
		e.failStore(w, err)
	case out.Result == "rejected":
		sandbox.WriteJSON(w, http.StatusUnprocessableEntity, out)
	default:
		sandbox.WriteJSON(w, http.StatusOK, out)
	}
}

// handler applies one event type to a known order; it changes nothing unless it returns posted.
type handler func(e *ERP, s *state, o *order, ev envelope) verdict

var handlers = map[string]handler{
	"order.claimed.v1":      (*ERP).applyClaim,
	"order.acknowledged.v1": (*ERP).applyAcknowledgement,
	"shipment.confirmed.v1": (*ERP).applyConfirmation,
	"shipment.milestone.v1": (*ERP).applyMilestone,
	"shipment.delivered.v1": (*ERP).applyDelivery,
}

// take decides on one event under the lock. Only posted events are remembered: a rejected one may be sent again
// once its cause is gone.
func (e *ERP) take(s *state, ev envelope, apply handler) (verdict, bool) {
	var named struct {
		Order string `json:"order"`
	}
	if refusal := sandbox.Decode(ev.Data, &named, false); refusal != nil {
		return rejected("data is not readable: " + refusal.Detail), false
	}
	o := s.Orders[named.Order]
	if o == nil {
		return rejected("unknown order"), false
	}
	key := ev.Source + " " + ev.ID
	out := alreadyPosted
	if !s.Seen[key] {
		out = apply(e, s, o, ev)
	}
	out.Order, out.State, out.Postings = named.Order, o.State, o.Postings
	if out.Result != posted.Result {
		return out, false
	}
	s.Seen[key] = true
	s.SeenOrder = append(s.SeenOrder, key)
	if len(s.SeenOrder) > keptEvents {
		delete(s.Seen, s.SeenOrder[0])
		s.SeenOrder = slices.Delete(s.SeenOrder, 0, 1)
	}
	return out, true
}

// released reports whether the order ever left for the gateway. The attempt counts, not its answer: a fast
// fulfiller may speak before the gateway's answer is booked.
func (o *order) released() bool { return len(o.Attempts) > 0 || o.State != stateOpen }

func (e *ERP) applyClaim(_ *state, o *order, ev envelope) verdict {
	var data struct {
		Claim string `json:"claim"`
	}
	if refusal := sandbox.Decode(ev.Data, &data, false); refusal != nil || data.Claim == "" {
		return rejected("claim is required")
	}
	if data.Claim == o.Claim {
		return alreadyPosted
	}
	o.Claim = data.Claim
	return posted
}

func (e *ERP) applyAcknowledgement(_ *state, o *order, ev envelope) verdict {
	var data struct {
		acknowledgement
		Lines []struct {
			LineNo lineNo `json:"lineNo"`
		} `json:"lines"`
	}
	if refusal := sandbox.Decode(ev.Data, &data, false); refusal != nil {
		return rejected("data is not readable: " + refusal.Detail)
	}
	var bad []string
	if data.Version < 1 || data.Version > o.Version {
		bad = append(bad, "version is not one of this order")
	}
	if !slices.Contains([]string{"accepted", "changed", "rejected"}, data.Result) {
		bad = append(bad, "result must be accepted, changed or rejected")
	}
	for _, l := range data.Lines {
		if !o.has(l.LineNo) {
			bad = append(bad, "a line is not on the order")
		}
	}
	switch {
	case bad != nil:
		return rejected(strings.Join(bad, "; "), bad...)
	case o.State == stateCancelled:
		return rejected("order is cancelled")
	case !o.released():
		return rejected("order is not released")
	case o.Acknowledgement != nil && *o.Acknowledgement == data.acknowledgement:
		return alreadyPosted
	}
	ack := data.acknowledgement
	o.Acknowledgement = &ack
	// An answer to an older version, or one that comes after goods moved, is noted and moves nothing. Lines change
	// no quantities: an acknowledgement is a promise, the ledger holds facts.
	if data.Version == o.Version && (o.State == stateOpen || o.State == stateReleased || o.State == stateAcked) {
		o.State = stateAcked
		if data.Result == "rejected" {
			o.State = stateOpen
		}
	}
	return posted
}

func (e *ERP) applyConfirmation(s *state, o *order, ev envelope) verdict {
	var c confirmation
	if refusal := sandbox.Decode(ev.Data, &c, false); refusal != nil {
		return rejected("data is not readable: " + refusal.Detail)
	}
	if bad := c.check(); bad != nil {
		return rejected(strings.Join(bad, "; "), bad...)
	}
	digest := c.fingerprint(e.items)
	for _, have := range o.Shipments {
		if have.Shipment.Shipment != c.Shipment {
			continue
		}
		if have.Fingerprint == digest {
			return alreadyPosted
		}
		return rejected("shipment was already posted with other quantities")
	}
	switch {
	case s.Closed || s.ClosedOrders[c.Order]:
		return rejected("posting period is closed")
	case o.State == stateCancelled:
		return rejected("order is cancelled")
	case !o.released():
		return rejected("order is not released")
	}
	plan, bad := o.plan(c, e.items)
	if bad != nil {
		return rejected(strings.Join(bad, "; "), bad...)
	}
	lines := o.post(c, plan)
	e.issue(s, o.Intent.Site, lines)
	o.Shipments = append(o.Shipments, booked{Fingerprint: digest, Shipment: shipment{
		Shipment: c.Shipment, ShippedAt: c.ShippedAt, Mode: c.Mode, Final: c.Final, Carrier: c.Carrier,
		TrackingNumbers: c.trackingNumbers(), Lines: lines, EventID: ev.ID, CorrelationID: ev.CorrelationID,
		PostedAt: e.clock.Now().UTC(),
	}})
	o.Postings++
	o.settle()
	return posted
}

func (e *ERP) applyMilestone(_ *state, o *order, ev envelope) verdict {
	var m milestone
	if refusal := sandbox.Decode(ev.Data, &m, false); refusal != nil {
		return rejected("data is not readable: " + refusal.Detail)
	}
	if m.Milestone == "" || m.Classifier == "" || !isDate(m.OccurredAt) {
		return rejected("milestone, classifier and occurredAt are required")
	}
	if slices.ContainsFunc(o.Milestones, func(have milestone) bool { return sameJSON(have, m) }) {
		return alreadyPosted
	}
	o.Milestones = append(o.Milestones, m)
	return posted
}

func (e *ERP) applyDelivery(_ *state, o *order, ev envelope) verdict {
	var d delivery
	if refusal := sandbox.Decode(ev.Data, &d, false); refusal != nil {
		return rejected("data is not readable: " + refusal.Detail)
	}
	if !isDate(d.DeliveredAt) || !slices.Contains([]string{"ok", "damaged", "short"}, d.Condition) {
		return rejected("deliveredAt and condition (ok, damaged or short) are required")
	}
	if slices.Contains(o.Deliveries, d) {
		return alreadyPosted
	}
	o.Deliveries = append(o.Deliveries, d)
	o.settle()
	return posted
}
