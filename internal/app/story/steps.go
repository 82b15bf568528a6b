package story

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"text/template"
	"time"
)

// release lets the ERP create the order and release it through the gateway with its own client.
func (r *run) release(ctx context.Context) error {
	lines := make([]map[string]any, len(r.script.Lines))
	for i, l := range r.script.Lines {
		lines[i] = map[string]any{"lineNo": i + 1, "sku": l.SKU, "quantity": map[string]string{"value": l.Quantity, "unit": l.Unit}}
	}
	day := r.clock.Now().UTC()
	body := map[string]any{"order": r.order, "purchaseOrder": r.po, "fulfiller": r.script.Fulfiller.Organisation, "site": r.script.Site,
		"priority": "normal", "serviceLevel": "ground", "shipTo": r.script.ShipTo, "lines": lines,
		"shipNotBefore": day.Format(time.RFC3339), "deliverBy": day.AddDate(0, 0, 5).Format(time.RFC3339)}
	a, err := request(ctx, r.http, http.MethodPost, r.ready.ERP+"/sales-orders", "", body, "")
	if err != nil {
		return err
	}
	if err := a.expect("the ERP, creating the order,", http.StatusCreated); err != nil {
		return err
	}
	a, err = request(ctx, r.http, http.MethodPost, r.ready.ERP+"/sales-orders/"+url.PathEscape(r.order)+"/release", "", nil, "")
	if err != nil {
		return err
	}
	if err := a.expect("the ERP, releasing the order,", http.StatusOK); err != nil {
		return err
	}
	if a.field("status") != "202" {
		return fmt.Errorf("the gateway answered the release with %s: %s", a.field("status"), a.field("body.detail"))
	}
	r.say("ERP", a.field("requestId"), "released %s to %s", r.order, r.script.Fulfiller.Organisation)
	return nil
}

// claimAndAcknowledge reads the feed to its end as the 3PL, claims the order and acknowledges it.
func (r *run) claimAndAcknowledge(ctx context.Context) error {
	var found *answer
	err := eventually(ctx, "the order in the feed", func() (bool, error) {
		after := ""
		for {
			path := "/orders/v1/feed?limit=100"
			if after != "" {
				path += "&after=" + url.QueryEscape(after)
			}
			a, err := r.partner.call(ctx, http.MethodGet, path, "", nil)
			if err != nil {
				return false, err
			}
			if err := a.expect("the order feed", http.StatusOK); err != nil {
				return false, err
			}
			if strings.Contains(string(a.body), `"`+r.order+`"`) {
				found = a
				return true, nil
			}
			if a.field("more") != "true" {
				return false, nil
			}
			after = a.field("next")
		}
	})
	if err != nil {
		return err
	}
	r.say("3PL", found.requestID, "finds %s in its order feed", r.order)
	at := "/orders/v1/orders/" + url.PathEscape(r.order)
	a, err := r.partner.call(ctx, http.MethodPost, at+"/claim", "", map[string]any{"version": 1, "claim": "WAVE-" + r.shipment})
	if err != nil {
		return err
	}
	if err := a.expect("the claim", http.StatusAccepted); err != nil {
		return err
	}
	r.say("3PL", a.requestID, "claims it")
	a, err = r.partner.call(ctx, http.MethodPost, at+"/acknowledgement", "", map[string]any{"version": 1, "result": "accepted"})
	if err != nil {
		return err
	}
	if err := a.expect("the acknowledgement", http.StatusAccepted); err != nil {
		return err
	}
	acknowledged := a.requestID
	if a, err = r.partner.call(ctx, http.MethodGet, at, "", nil); err != nil {
		return err
	}
	if a.field("state") != "acknowledged" {
		return fmt.Errorf("the order reads back as %q, want acknowledged", a.field("state"))
	}
	if err := r.erpState(ctx, "acknowledged"); err != nil {
		return err
	}
	r.say("3PL", acknowledged, "acknowledges it; the order reads back as acknowledged, in the ERP too")
	return nil
}

// erpState waits until the ERP shows the order in a state.
func (r *run) erpState(ctx context.Context, want string) error {
	return eventually(ctx, "the ERP's order being "+want, func() (bool, error) {
		a, err := r.erpOrder(ctx)
		return err == nil && a.field("state") == want, err
	})
}

func (r *run) erpOrder(ctx context.Context) (*answer, error) {
	a, err := request(ctx, r.http, http.MethodGet, r.ready.ERP+"/sales-orders/"+url.PathEscape(r.order), "", nil, "")
	if err != nil {
		return nil, err
	}
	return a, a.expect("the ERP, asked for the order,", http.StatusOK)
}

// interchange renders the confirmation with a new control number.
func (r *run) interchange() ([]byte, string, error) {
	t, err := template.New("interchange").Parse(r.script.Interchange)
	if err != nil {
		return nil, "", err
	}
	now := r.clock.Now().UTC()
	r.control = r.control%999_999_999 + 1
	control := fmt.Sprintf("%09d", r.control)
	var out bytes.Buffer
	err = t.Execute(&out, map[string]string{"Date6": now.Format("060102"), "Date": now.Format("20060102"), "Time": now.Format("1504"),
		"Control": control, "Group": fmt.Sprint(r.control), "Order": r.order, "Shipment": r.shipment, "PurchaseOrder": r.po})
	return out.Bytes(), control, err
}

// confirm sends the 945 and reads the 997.
func (r *run) confirm(ctx context.Context) error {
	a, control, err := r.sendInterchange(ctx)
	if err != nil {
		return err
	}
	r.say("3PL", a.requestID, "sends a 945, ISA13 %s", control)
	r.say("Portway", "", "answers 997: %s", acknowledgement(a.body))
	return nil
}

func (r *run) sendInterchange(ctx context.Context) (*answer, string, error) {
	raw, control, err := r.interchange()
	if err != nil {
		return nil, "", err
	}
	a, err := r.partner.call(ctx, http.MethodPost, "/edi/x12", "application/edi-x12", raw)
	if err != nil {
		return nil, "", err
	}
	if err := a.expect("the 945", http.StatusAccepted); err != nil {
		return nil, "", err
	}
	if ack := acknowledgement(a.body); !strings.Contains(ack, "AK9*A*1*1*1") {
		return nil, "", fmt.Errorf("the 997 does not accept the 945: %s", ack)
	}
	return a, control, nil
}

// acknowledgement picks the AK segments out of a 997.
func acknowledgement(b []byte) string {
	var out []string
	for _, s := range strings.FieldsFunc(string(b), func(c rune) bool { return c == '~' || c == '\n' || c == '\r' }) {
		if strings.HasPrefix(s, "AK") {
			out = append(out, s)
		}
	}
	return strings.Join(out, " ")
}

// shipped waits for the ERP to show the order shipped, line by line.
func (r *run) shipped(ctx context.Context) error {
	if err := r.erpState(ctx, "shipped"); err != nil {
		return err
	}
	summary, err := r.erpShipped(ctx)
	if err != nil {
		return err
	}
	r.say("ERP", "", "shows %s shipped: %s", r.order, summary)
	return nil
}

// erpShipped says what the ERP has as shipped, and checks it against the script.
func (r *run) erpShipped(ctx context.Context) (string, error) {
	a, err := r.erpOrder(ctx)
	if err != nil {
		return "", err
	}
	var o struct {
		Postings int `json:"postings"`
		Lines    []struct {
			SKU     string `json:"sku"`
			Shipped string `json:"shipped"`
			Unit    string `json:"unit"`
		} `json:"lines"`
	}
	if err := json.Unmarshal(a.body, &o); err != nil {
		return "", fmt.Errorf("the ERP's order: %w", err)
	}
	if o.Postings != 1 || len(o.Lines) != len(r.script.Lines) {
		return "", fmt.Errorf("the ERP has %d postings on %d lines, want 1 on %d", o.Postings, len(o.Lines), len(r.script.Lines))
	}
	var out []string
	for i, l := range o.Lines {
		if want := r.script.Lines[i]; l.SKU != want.SKU || l.Shipped != want.Quantity || l.Unit != want.Unit {
			return "", fmt.Errorf("the ERP shows line %d as %s %s %s shipped, want %s", i+1, l.Shipped, l.Unit, l.SKU, want.Quantity)
		}
		out = append(out, l.Shipped+" "+l.Unit+" "+l.SKU)
	}
	return strings.Join(out, ", ") + "; posted once", nil
}

// repeat confirms the same shipment again, by EDI with a new ISA13 and by JSON with a new key.
func (r *run) repeat(ctx context.Context) error {
	a, control, err := r.sendInterchange(ctx)
	if err != nil {
		return err
	}
	original := a.header.Get("Duplicate-Of")
	if original == "" {
		return fmt.Errorf("the second 945 is not named a duplicate (request %s)", a.requestID)
	}
	r.say("3PL", a.requestID, "sends the same 945 with ISA13 %s: duplicate of %s", control, original)
	lines := make([]map[string]any, len(r.script.Lines))
	for i, l := range r.script.Lines {
		q := map[string]string{"value": l.Quantity, "unit": l.Unit}
		lines[i] = map[string]any{"lineNo": i + 1, "sku": l.SKU, "ordered": q, "shipped": q, "status": "complete"}
	}
	body := map[string]any{"order": r.order, "shipment": r.shipment, "shippedAt": r.clock.Now().UTC().Format(time.RFC3339), "mode": "delta",
		"final": true, "carrier": r.script.Carrier, "lines": lines}
	a, err = r.partner.call(ctx, http.MethodPost, "/shipments/v2/confirmations", "", body)
	if err != nil {
		return err
	}
	if err := a.expect("the same confirmation as JSON", http.StatusOK); err != nil {
		return err
	}
	if a.field("duplicate_of") != original {
		return fmt.Errorf("the JSON confirmation names %q as its original, want %q", a.field("duplicate_of"), original)
	}
	if _, err := r.erpShipped(ctx); err != nil {
		return err
	}
	r.say("3PL", a.requestID, "sends it as JSON: duplicate of the same; the ERP still shows one posting")
	return nil
}

func (r *run) milestone(ctx context.Context) error {
	body := map[string]any{"order": r.order, "shipment": r.shipment, "milestone": "departed", "classifier": "actual",
		"occurredAt": r.clock.Now().UTC().Format(time.RFC3339), "location": map[string]string{"city": "Chicago", "region": "IL", "country": "US"}}
	a, err := r.partner.call(ctx, http.MethodPost, "/shipments/v2/milestones", "", body)
	if err != nil {
		return err
	}
	if err := a.expect("the milestone", http.StatusAccepted); err != nil {
		return err
	}
	r.say("3PL", a.requestID, "reports the milestone departed")
	return nil
}

func (r *run) delivered(ctx context.Context) error {
	body := map[string]any{"order": r.order, "shipment": r.shipment, "deliveredAt": r.clock.Now().UTC().Format(time.RFC3339), "condition": "ok"}
	a, err := r.partner.call(ctx, http.MethodPost, "/shipments/v2/deliveries", "", body)
	if err != nil {
		return err
	}
	if err := a.expect("the delivery", http.StatusAccepted); err != nil {
		return err
	}
	if err := r.erpState(ctx, "delivered"); err != nil {
		return err
	}
	r.say("3PL", a.requestID, "reports delivery; the ERP shows %s delivered", r.order)
	return nil
}
