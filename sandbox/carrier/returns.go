package carrier

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"portway/sandbox"
)

// receiver is a place that returns go to; it is the document's Receiver and a row of the seed.
type receiver struct {
	ReceiverID      string         `json:"receiverId"`
	ShipperCountry  string         `json:"shipperCountry"`
	EKP             string         `json:"ekp"`
	BillingNumber   string         `json:"billingNumber"`
	CompanyName     string         `json:"companyName"`
	NumberRange     string         `json:"numberRange"`
	ReceiverAddress contactAddress `json:"receiverAddress"`
	CompanyAddress  contactAddress `json:"companyAddress"`
	ContactEmail    string         `json:"contactEmail,omitempty"`
	// CustomsRequired is ours: parcels from this country need customs details. It is not shown.
	CustomsRequired bool `json:"customsRequired,omitempty"`
}

// returnsSeed is Options.Seed of NewReturns. KeyHeader is the header that carries the API key.
type returnsSeed struct {
	KeyHeader    string     `json:"keyHeader"`
	NumberPrefix string     `json:"numberPrefix"`
	Receivers    []receiver `json:"receivers"`
}

// returnRecord is one stored return shipment.
type returnRecord struct {
	Number      string         `json:"number"`
	Reference   string         `json:"reference"`
	Fingerprint string         `json:"fingerprint"`
	ReceiverID  string         `json:"receiverId"`
	Shipper     contactAddress `json:"shipper"`
	Note        string         `json:"note"`
	CreatedAt   time.Time      `json:"createdAt"`
	VoidedAt    time.Time      `json:"voidedAt"`
}

// returnsState is what survives a restart. ByReference names the living shipment of each customer reference.
type returnsState struct {
	Serial      int64                    `json:"serial"`
	Shipments   map[string]*returnRecord `json:"shipments"`
	ByReference map[string]string        `json:"byReference"`
}

// Returns is the simulated carrier shaped like the returns document. Handler, Serve and Close come from its Server.
type Returns struct {
	*sandbox.Server
	opts  Options
	seed  returnsSeed
	store *sandbox.Store[returnsState]
}

// NewReturns returns a Returns that accepts parcels for the seed's receivers; the error lists every problem.
func NewReturns(opts Options) (*Returns, error) {
	opts, err := opts.check()
	c := &Returns{opts: opts}
	errs := []error{err, opts.readSeed(&c.seed)}
	if c.seed.KeyHeader == "" || len(c.seed.Receivers) == 0 {
		errs = append(errs, errors.New("carrier seed: keyHeader and receivers are required"))
	}
	if len(c.seed.NumberPrefix) > 4 || strings.Trim(c.seed.NumberPrefix, "0123456789") != "" {
		errs = append(errs, errors.New("carrier seed: numberPrefix must be at most four digits"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	empty := &returnsState{Serial: firstSerial(opts.Clock), Shipments: map[string]*returnRecord{}, ByReference: map[string]string{}}
	if c.store, _, err = sandbox.OpenStore(opts.Dir, opts.Name+".json", empty); err != nil {
		return nil, err
	}
	c.Server = opts.serve([]sandbox.Route{
		{Method: http.MethodGet, Path: "/{$}", Handle: c.getVersion},
		{Method: http.MethodPost, Path: "/orders", Handle: c.keyed(c.createOrder)},
		{Method: http.MethodGet, Path: "/orders", Handle: c.keyed(c.getOrder)},
		{Method: http.MethodDelete, Path: "/orders", Handle: c.keyed(c.voidOrder)},
		{Method: http.MethodGet, Path: "/locations", Handle: c.keyed(c.getLocations)},
	}, failStatus, c.seed.KeyHeader)
	return c, nil
}

// jsonStatus is the document's JSONStatus; it allows no further members and 80 characters of detail.
type jsonStatus struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

// failStatus is the document's error answer. Its detail has room for the first problem and the count of the others.
func failStatus(w http.ResponseWriter, status int, detail string, problems []string) {
	if len(problems) > 0 {
		detail = problems[0]
		if len(problems) > 1 {
			detail = fmt.Sprintf("%s (and %d more)", clip(problems[0], 66), len(problems)-1)
		}
	}
	sandbox.WriteMedia(w, status, "application/problem+json", jsonStatus{http.StatusText(status), status, clip(detail, 80)})
}

func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}

// confirmation is the document's ReturnOrderConfirmation.
type confirmation struct {
	Status      jsonStatus `json:"sstatus"`
	ShipmentNo  string     `json:"shipmentNo"`
	Label       document   `json:"label"`
	QRLabel     *document  `json:"qrLabel,omitempty"`
	RoutingCode string     `json:"routingCode"`
}

type document struct {
	B64 string `json:"b64,omitempty"`
}

func (c *Returns) keyed(next http.HandlerFunc) http.HandlerFunc {
	return c.opts.keyed(c.seed.KeyHeader, failStatus, next)
}

func (c *Returns) getVersion(w http.ResponseWriter, _ *http.Request) {
	// The document's pattern for version allows one character after the second point; its own example does not match.
	sandbox.WriteJSON(w, http.StatusOK, map[string]any{
		"amp": map[string]string{"name": "simulated-parcel-returns", "version": "v1.09", "rev": "9", "env": "sandbox"},
	})
}

// labelType reads ?labelType=; the document's default is BOTH.
func labelType(r *http.Request) (string, bool) {
	kind := r.URL.Query().Get("labelType")
	if kind == "" {
		return "BOTH", true
	}
	return kind, slices.Contains([]string{"SHIPMENT_LABEL", "QR_LABEL", "BOTH"}, kind)
}

// createOrder answers 201 with the confirmation, the same shipment for the same customerReference (the document
// knows no 200), 422 when that reference stands for another parcel.
func (c *Returns) createOrder(w http.ResponseWriter, r *http.Request) {
	kind, ok := labelType(r)
	if !ok {
		failStatus(w, http.StatusBadRequest, "labelType must be SHIPMENT_LABEL, QR_LABEL or BOTH", nil)
		return
	}
	if !isJSONMedia(r.Header.Get("Content-Type")) {
		// The document has no 415: its 422 is "unable to process the content type".
		failStatus(w, http.StatusUnprocessableEntity, "send the body as application/json", nil)
		return
	}
	var in returnOrder
	body, refusal := sandbox.ReadBody(r, "application/json")
	if refusal == nil {
		// Not strict: the document's ReturnOrder allows further members.
		refusal = sandbox.Decode(body, &in, false)
	}
	if refusal != nil {
		failStatus(w, refusal.Status, refusal.Detail, nil)
		return
	}
	if bad := in.check(); bad != nil {
		failStatus(w, http.StatusBadRequest, "", bad)
		return
	}
	to := c.receiver(in.ReceiverID)
	switch {
	case to == nil:
		failStatus(w, http.StatusUnprocessableEntity, "receiverId: is not set up, see GET /locations", nil)
		return
	case to.CustomsRequired && in.CustomsDetails == nil:
		failStatus(w, http.StatusUnprocessableEntity, "customsDetails: are required for this receiver", nil)
		return
	}
	record, detail, err := c.book(in)
	switch {
	case err != nil:
		c.failStore(w, err)
	case record == nil:
		failStatus(w, http.StatusUnprocessableEntity, "customerReference: was used for another parcel", nil)
	default:
		sandbox.WriteJSON(w, http.StatusCreated, c.confirm(*record, kind, jsonStatus{"Created", http.StatusCreated, detail}))
	}
}

// book stores in, or finds what is stored for its reference; nil means that this is another parcel.
func (c *Returns) book(in returnOrder) (*returnRecord, string, error) {
	digest := fingerprint(in.ReceiverID, in.Shipper)
	var out *returnRecord
	detail := "Created"
	err := c.store.Update(func(s *returnsState) bool {
		if in.CustomerReference != "" {
			if have := s.Shipments[s.ByReference[in.CustomerReference]]; have != nil {
				if have.Fingerprint == digest {
					found := *have
					out, detail = &found, "Created before with this customerReference"
				}
				return false
			}
		}
		s.Serial++
		digits := c.seed.NumberPrefix + fmt.Sprintf("%0*d", 11-len(c.seed.NumberPrefix), s.Serial%pow10(11-len(c.seed.NumberPrefix)))
		record := &returnRecord{
			Number: digits + string(checkDigit(digits, 4, 9)), Reference: in.CustomerReference, Fingerprint: digest,
			ReceiverID: in.ReceiverID, Shipper: *in.Shipper, Note: "Return", CreatedAt: c.opts.Clock.Now().UTC(),
		}
		if in.ItemWeight != nil {
			record.Note = "Return, " + in.ItemWeight.Value.String() + " " + in.ItemWeight.UOM
		}
		s.Shipments[record.Number] = record
		if in.CustomerReference != "" {
			s.ByReference[in.CustomerReference] = record.Number
		}
		made := *record
		out = &made
		return true
	})
	return out, detail, err
}

func pow10(n int) int64 {
	p := int64(1)
	for range n {
		p *= 10
	}
	return p
}

func (c *Returns) receiver(id string) *receiver {
	for i := range c.seed.Receivers {
		if c.seed.Receivers[i].ReceiverID == id {
			return &c.seed.Receivers[i]
		}
	}
	return nil
}

func (c *Returns) confirm(r returnRecord, kind string, status jsonStatus) confirmation {
	out := confirmation{Status: status, ShipmentNo: r.Number}
	sheet := page{
		Carrier: c.opts.Name, Service: "RETURN", Tracking: r.Number, Reference: clip(r.Reference, 30), From: r.Shipper.lines(), Note: r.Note,
	}
	if to := c.receiver(r.ReceiverID); to != nil {
		sheet.To = to.ReceiverAddress.lines()
		out.RoutingCode = "40327" + strings.ReplaceAll(to.ReceiverAddress.PostalCode, " ", "") + "+99000" + r.Number[:9]
	}
	if kind != "QR_LABEL" {
		out.Label.B64 = base64.StdEncoding.EncodeToString(renderPDF([]page{sheet}))
	}
	if kind != "SHIPMENT_LABEL" {
		out.QRLabel = &document{base64.StdEncoding.EncodeToString(qrPNG(r.Number))}
	}
	return out
}

// getOrder answers with the confirmation of ?shipment=; the status' detail says created or voided.
func (c *Returns) getOrder(w http.ResponseWriter, r *http.Request) {
	kind, ok := labelType(r)
	if !ok {
		failStatus(w, http.StatusBadRequest, "labelType must be SHIPMENT_LABEL, QR_LABEL or BOTH", nil)
		return
	}
	var found *returnRecord
	c.store.Read(func(s *returnsState) {
		if have := s.Shipments[r.URL.Query().Get("shipment")]; have != nil {
			copied := *have
			found = &copied
		}
	})
	if found == nil {
		failStatus(w, http.StatusNotFound, "there is no such shipment, name one by ?shipment=", nil)
		return
	}
	detail := "created"
	if !found.VoidedAt.IsZero() {
		detail = "voided"
	}
	sandbox.WriteJSON(w, http.StatusOK, c.confirm(*found, kind, jsonStatus{"OK", http.StatusOK, detail}))
}

// voidOrder answers 200 within the void window, also when the shipment is void already, else 409. A void frees
// the customer reference.
func (c *Returns) voidOrder(w http.ResponseWriter, r *http.Request) {
	number := r.URL.Query().Get("shipment")
	status := http.StatusNotFound
	err := c.store.Update(func(s *returnsState) bool {
		have := s.Shipments[number]
		if have == nil {
			return false
		}
		now := c.opts.Clock.Now().UTC()
		switch {
		case !have.VoidedAt.IsZero():
			status = http.StatusOK
			return false
		case now.After(have.CreatedAt.Add(c.opts.VoidWindow)):
			status = http.StatusConflict
			return false
		}
		status, have.VoidedAt = http.StatusOK, now
		delete(s.ByReference, have.Reference)
		return true
	})
	switch {
	case err != nil:
		c.failStore(w, err)
	case status == http.StatusNotFound:
		failStatus(w, status, "there is no such shipment, name one by ?shipment=", nil)
	case status == http.StatusConflict:
		failStatus(w, status, "the shipment can no longer be voided, its void window has ended", nil)
	default:
		sandbox.WriteJSON(w, status, map[string]any{"shipmentNo": number, "sstatus": jsonStatus{"OK", status, "voided"}})
	}
}

// getLocations answers with the receivers that match every given parameter, at most maxResult.
func (c *Returns) getLocations(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	most := 5000
	if v := q.Get("maxResult"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			failStatus(w, http.StatusBadRequest, "maxResult must be a whole number of 0 or more", nil)
			return
		}
		most = min(most, n)
	}
	matches := func(name, value string) bool { return q.Get(name) == "" || q.Get(name) == value }
	out := []receiver{}
	for _, rc := range c.seed.Receivers {
		if len(out) < most && matches("countryCode", rc.ShipperCountry) && matches("postalCode", rc.ReceiverAddress.PostalCode) &&
			matches("receiverId", rc.ReceiverID) && matches("billingNumber", rc.BillingNumber) {
			rc.CustomsRequired = false
			out = append(out, rc)
		}
	}
	sandbox.WriteJSON(w, http.StatusOK, out)
}

func (c *Returns) failStore(w http.ResponseWriter, err error) {
	c.opts.Log.Error("state not written", "carrier", c.opts.Name, "error", err)
	failStatus(w, http.StatusInternalServerError, "the change could not be written, send it again", nil)
}
