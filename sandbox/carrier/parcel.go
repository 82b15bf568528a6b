package carrier

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"portway/internal/ident"
	"portway/internal/logistics"
	"portway/sandbox"
)

// parcelKeyHeader carries the API key of Parcel.
const parcelKeyHeader = "X-Api-Key"

// service is one product of the carrier: base plus perKg times the weight, in the carrier's currency.
type service struct {
	Code        string            `json:"code"`
	Name        string            `json:"name"`
	Base        logistics.Decimal `json:"base"`
	PerKg       logistics.Decimal `json:"perKg"`
	TransitDays int               `json:"transitDays"`
}

// parcelSeed is Options.Seed of NewParcel.
type parcelSeed struct {
	NumberPrefix string    `json:"numberPrefix"`
	Currency     string    `json:"currency"`
	Services     []service `json:"services"`
}

// place is a sender or receiver.
type place struct {
	Name       string   `json:"name"`
	Street     []string `json:"street,omitempty"`
	City       string   `json:"city"`
	Region     string   `json:"region,omitempty"`
	PostalCode string   `json:"postalCode"`
	Country    string   `json:"country"`
	Phone      string   `json:"phone,omitempty"`
	Email      string   `json:"email,omitempty"`
}

func (p *place) check(at string) []string {
	if p == nil {
		return []string{at + ": is required"}
	}
	var bad []string
	for _, f := range [][2]string{{"name", p.Name}, {"city", p.City}, {"postalCode", p.PostalCode}, {"country", p.Country}} {
		if f[1] == "" {
			bad = append(bad, at+"/"+f[0]+": is required")
		}
	}
	return bad
}

func (p *place) lines() []string {
	// Four street lines are what the label has room for.
	out := append([]string{p.Name}, p.Street[:min(len(p.Street), 4)]...)
	return append(out, fmt.Sprintf("%s %s %s %s", p.PostalCode, p.City, p.Region, p.Country))
}

// weight is a decimal in kilograms, written as a JSON string or number and kept exactly.
type weight struct{ logistics.Decimal }

// UnmarshalJSON reads a JSON string or number.
func (w *weight) UnmarshalJSON(data []byte) error {
	var n json.Number
	if err := json.Unmarshal(data, &n); err != nil {
		return logistics.ErrDecimal
	}
	d, err := logistics.ParseNumber(n.String())
	w.Decimal = d.Shortest()
	return err
}

// piece is one parcel of a shipment.
type piece struct {
	WeightKg  weight `json:"weightKg"`
	LengthCm  weight `json:"lengthCm"`
	WidthCm   weight `json:"widthCm"`
	HeightCm  weight `json:"heightCm"`
	Reference string `json:"reference,omitempty"`
}

// labelRequest is the body of POST /v1/labels; without reference, account and format also of POST /v1/rates.
type labelRequest struct {
	Reference string  `json:"reference"`
	Service   string  `json:"service"`
	Account   string  `json:"account"`
	From      *place  `json:"from"`
	To        *place  `json:"to"`
	Parcels   []piece `json:"parcels"`
	Format    string  `json:"format"`
}

// checkPieces returns every problem that labels and rates share.
func (q labelRequest) checkPieces(services []service) []string {
	var bad []string
	if q.Service != "" && find(services, q.Service) == nil {
		bad = append(bad, "service: is not offered, see POST /v1/rates")
	}
	bad = append(bad, q.To.check("to")...)
	if q.From != nil {
		bad = append(bad, q.From.check("from")...)
	}
	if len(q.Parcels) == 0 || len(q.Parcels) > 50 {
		bad = append(bad, "parcels: 1 to 50 are required")
	}
	for i, p := range q.Parcels {
		if p.WeightKg.Sign() <= 0 || p.WeightKg.Cmp(logistics.Whole(70)) > 0 {
			bad = append(bad, fmt.Sprintf("parcels/%d/weightKg: must be greater than 0 and at most 70", i))
		}
	}
	return bad
}

func (q labelRequest) check(services []service) []string {
	var bad []string
	if q.Reference == "" || len(q.Reference) > 80 {
		bad = append(bad, "reference: is required, at most 80 characters")
	}
	if q.Format != "" && q.Format != "PDF" && q.Format != "ZPL" {
		bad = append(bad, "format: must be PDF or ZPL")
	}
	return append(bad, q.checkPieces(services)...)
}

func find(services []service, code string) *service {
	for i := range services {
		if services[i].Code == code {
			return &services[i]
		}
	}
	return nil
}

// parcelLabel is one stored label. The account that pays is not kept, so it cannot be given back.
type parcelLabel struct {
	ID          string    `json:"id"`
	Reference   string    `json:"reference"`
	Fingerprint string    `json:"fingerprint"`
	Service     string    `json:"service"`
	From        *place    `json:"from,omitempty"`
	To          *place    `json:"to"`
	Weights     []string  `json:"weights"`
	Numbers     []string  `json:"numbers"`
	Format      string    `json:"format"`
	Amount      string    `json:"amount"`
	CreatedAt   time.Time `json:"createdAt"`
	VoidedAt    time.Time `json:"voidedAt"`
}

// parcelState is what survives a restart. ByReference names the living label of each reference.
type parcelState struct {
	Serial      int64                   `json:"serial"`
	Labels      map[string]*parcelLabel `json:"labels"`
	ByReference map[string]string       `json:"byReference"`
}

// Parcel is the simulated carrier with its own JSON. Handler, Serve and Close come from its Server.
type Parcel struct {
	*sandbox.Server
	opts  Options
	seed  parcelSeed
	store *sandbox.Store[parcelState]
}

// NewParcel returns a Parcel that sells the seed's services; the error lists every problem of the options.
func NewParcel(opts Options) (*Parcel, error) {
	opts, err := opts.check()
	p := &Parcel{opts: opts}
	errs := []error{err, opts.readSeed(&p.seed)}
	if len(p.seed.Services) == 0 || p.seed.Currency == "" {
		errs = append(errs, errors.New("carrier seed: services and a currency are required"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	empty := &parcelState{Serial: firstSerial(opts.Clock), Labels: map[string]*parcelLabel{}, ByReference: map[string]string{}}
	if p.store, _, err = sandbox.OpenStore(opts.Dir, opts.Name+".json", empty); err != nil {
		return nil, err
	}
	p.Server = opts.serve([]sandbox.Route{
		{Method: http.MethodGet, Path: "/{$}", Handle: p.getIndex},
		{Method: http.MethodPost, Path: "/v1/labels", Handle: p.keyed(p.createLabel)},
		{Method: http.MethodGet, Path: "/v1/labels/{label}", Handle: p.keyed(p.getLabel)},
		{Method: http.MethodDelete, Path: "/v1/labels/{label}", Handle: p.keyed(p.voidLabel)},
		{Method: http.MethodPost, Path: "/v1/rates", Handle: p.keyed(p.getRates)},
	}, sandbox.Fail, parcelKeyHeader)
	return p, nil
}

func (p *Parcel) keyed(next http.HandlerFunc) http.HandlerFunc {
	return p.opts.keyed(parcelKeyHeader, sandbox.Fail, next)
}

func (p *Parcel) getIndex(w http.ResponseWriter, _ *http.Request) {
	sandbox.WriteJSON(w, http.StatusOK, map[string]any{
		"service": "simulated parcel carrier",
		"operations": []string{"POST /v1/labels", "GET /v1/labels/{labelId}?format=", "DELETE /v1/labels/{labelId}", "POST /v1/rates",
			"POST /_sim/faults", "GET /_sim/calls"},
	})
}

// createLabel answers 201 with a new label, 200 with the living one of the same reference, 409 if that one is
// for another destination, service or parcels. Format and account do not count as content.
func (p *Parcel) createLabel(w http.ResponseWriter, r *http.Request) {
	var q labelRequest
	if refusal := sandbox.ReadJSON(r, &q); refusal != nil {
		sandbox.Fail(w, refusal.Status, refusal.Detail, nil)
		return
	}
	if bad := q.check(p.seed.Services); bad != nil {
		sandbox.Fail(w, http.StatusUnprocessableEntity, "the label request is not acceptable", bad)
		return
	}
	if q.Service == "" {
		q.Service = p.seed.Services[0].Code
	}
	if q.Format == "" {
		q.Format = "PDF"
	}
	digest := fingerprint(q.Service, q.To, q.weights())
	var label parcelLabel
	status := http.StatusCreated
	err := p.store.Update(func(s *parcelState) bool {
		if have := s.Labels[s.ByReference[q.Reference]]; have != nil {
			label, status = *have, http.StatusOK
			if have.Fingerprint != digest {
				status = http.StatusConflict
			}
			return false
		}
		label = p.newLabel(s, q, digest)
		kept := label
		s.Labels[label.ID], s.ByReference[label.Reference] = &kept, label.ID
		return true
	})
	switch {
	case err != nil:
		p.failStore(w, err)
	case status == http.StatusConflict:
		sandbox.Fail(w, status, "the reference was used for another shipment, void that label or use a new reference", nil)
	default:
		w.Header().Set("Location", "/v1/labels/"+label.ID)
		sandbox.WriteJSON(w, status, p.view(label, q.Format))
	}
}

func (q labelRequest) weights() []string {
	out := make([]string, len(q.Parcels))
	for i, piece := range q.Parcels {
		out[i] = piece.WeightKg.String()
	}
	return out
}

// newLabel draws one tracking number per parcel: prefix, ten digits, check digit.
func (p *Parcel) newLabel(s *parcelState, q labelRequest, digest string) parcelLabel {
	label := parcelLabel{
		ID: ident.NewID(p.opts.Clock), Reference: q.Reference, Fingerprint: digest, Service: q.Service, From: q.From, To: q.To,
		Weights: q.weights(), Format: q.Format, CreatedAt: p.opts.Clock.Now().UTC(),
		Amount: price(*find(p.seed.Services, q.Service), q.Parcels),
	}
	for range q.Parcels {
		s.Serial++
		digits := fmt.Sprintf("%010d", s.Serial)
		label.Numbers = append(label.Numbers, p.seed.NumberPrefix+digits+string(checkDigit(digits, 3, 1)))
	}
	return label
}

// price is base plus perKg × weight, summed over the parcels and rounded to cents.
func price(s service, pieces []piece) string {
	sum := logistics.Whole(0)
	for _, piece := range pieces {
		sum = sum.Add(s.Base).Add(s.PerKg.Mul(piece.WeightKg.Decimal))
	}
	return sum.Fixed(2)
}

// labelView is a label as callers see it.
type labelView struct {
	LabelID        string            `json:"labelId"`
	Reference      string            `json:"reference"`
	TrackingNumber string            `json:"trackingNumber"`
	Parcels        []map[string]any  `json:"parcels"`
	Service        string            `json:"service"`
	State          string            `json:"state"`
	CreatedAt      time.Time         `json:"createdAt"`
	VoidableUntil  time.Time         `json:"voidableUntil"`
	VoidedAt       *time.Time        `json:"voidedAt,omitempty"`
	Label          map[string]string `json:"label"`
	Charge         map[string]string `json:"charge"`
}

func (p *Parcel) view(l parcelLabel, format string) labelView {
	pages := make([]page, len(l.Numbers))
	parcels := make([]map[string]any, len(l.Numbers))
	for i, number := range l.Numbers {
		parcels[i] = map[string]any{"trackingNumber": number, "weightKg": l.Weights[i]}
		pages[i] = page{
			Carrier: p.opts.Name, Service: l.Service, Tracking: number, Reference: l.Reference, To: l.To.lines(),
			Note: fmt.Sprintf("Parcel %d of %d, %s kg", i+1, len(l.Numbers), l.Weights[i]),
		}
		if l.From != nil {
			pages[i].From = l.From.lines()
		}
	}
	document := renderPDF(pages)
	if format == "ZPL" {
		document = renderZPL(pages)
	}
	v := labelView{
		LabelID: l.ID, Reference: l.Reference, TrackingNumber: l.Numbers[0], Parcels: parcels, Service: l.Service, State: "created",
		CreatedAt: l.CreatedAt, VoidableUntil: l.CreatedAt.Add(p.opts.VoidWindow),
		Label:  map[string]string{"format": format, "base64": base64.StdEncoding.EncodeToString(document)},
		Charge: map[string]string{"amount": l.Amount, "currency": p.seed.Currency},
	}
	if !l.VoidedAt.IsZero() {
		v.State, v.VoidedAt = "voided", &l.VoidedAt
	}
	return v
}

// getLabel answers with a label in the format it was made in, or in ?format=PDF|ZPL.
func (p *Parcel) getLabel(w http.ResponseWriter, r *http.Request) {
	var label *parcelLabel
	p.store.Read(func(s *parcelState) {
		if have := s.Labels[r.PathValue("label")]; have != nil {
			l := *have
			label = &l
		}
	})
	format := r.URL.Query().Get("format")
	switch {
	case label == nil:
		sandbox.Fail(w, http.StatusNotFound, "there is no such label", nil)
		return
	case format == "":
		format = label.Format
	case format != "PDF" && format != "ZPL":
		sandbox.Fail(w, http.StatusBadRequest, "format must be PDF or ZPL", nil)
		return
	}
	sandbox.WriteJSON(w, http.StatusOK, p.view(*label, format))
}

// voidLabel answers 200 within the void window, also when the label is void already, else 409. A void frees the
// reference for a new label.
func (p *Parcel) voidLabel(w http.ResponseWriter, r *http.Request) {
	status := http.StatusNotFound
	var label parcelLabel
	err := p.store.Update(func(s *parcelState) bool {
		have := s.Labels[r.PathValue("label")]
		if have == nil {
			return false
		}
		now := p.opts.Clock.Now().UTC()
		changed := false
		switch {
		case !have.VoidedAt.IsZero():
			status = http.StatusOK
		case now.After(have.CreatedAt.Add(p.opts.VoidWindow)):
			status = http.StatusConflict
		default:
			status, changed = http.StatusOK, true
			have.VoidedAt = now
			delete(s.ByReference, have.Reference)
		}
		label = *have
		return changed
	})
	switch {
	case err != nil:
		p.failStore(w, err)
	case status == http.StatusNotFound:
		sandbox.Fail(w, status, "there is no such label", nil)
	case status == http.StatusConflict:
		sandbox.Fail(w, status, "the label can no longer be voided, its void window has ended", nil)
	default:
		sandbox.WriteJSON(w, status, map[string]any{
			"labelId": label.ID, "trackingNumber": label.Numbers[0], "state": "voided", "voidedAt": label.VoidedAt,
		})
	}
}

// getRates quotes every service, or the asked one.
func (p *Parcel) getRates(w http.ResponseWriter, r *http.Request) {
	var q labelRequest
	if refusal := sandbox.ReadJSON(r, &q); refusal != nil {
		sandbox.Fail(w, refusal.Status, refusal.Detail, nil)
		return
	}
	if bad := q.checkPieces(p.seed.Services); bad != nil {
		sandbox.Fail(w, http.StatusUnprocessableEntity, "the rate request is not acceptable", bad)
		return
	}
	type quote struct {
		Service     string `json:"service"`
		Name        string `json:"name"`
		Amount      string `json:"amount"`
		Currency    string `json:"currency"`
		TransitDays int    `json:"transitDays"`
	}
	quotes := []quote{}
	for _, s := range p.seed.Services {
		if q.Service == "" || q.Service == s.Code {
			quotes = append(quotes, quote{s.Code, s.Name, price(s, q.Parcels), p.seed.Currency, s.TransitDays})
		}
	}
	sandbox.WriteJSON(w, http.StatusOK, map[string]any{"quotes": quotes})
}

func (p *Parcel) failStore(w http.ResponseWriter, err error) {
	p.opts.Log.Error("state not written", "carrier", p.opts.Name, "error", err)
	sandbox.Fail(w, http.StatusInternalServerError, "the change could not be written, send it again", nil)
}
