package carrier

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"portway/internal/logistics"
)

// The shapes of the returns document. Weights and values are JSON numbers there; they are kept as written.

type contactAddress struct {
	Name1         string `json:"name1"`
	Name2         string `json:"name2,omitempty"`
	Name3         string `json:"name3,omitempty"`
	AddressStreet string `json:"addressStreet"`
	AddressHouse  string `json:"addressHouse"`
	PostalCode    string `json:"postalCode"`
	City          string `json:"city"`
	State         string `json:"state,omitempty"`
	Email         string `json:"email,omitempty"`
	Phone         string `json:"phone,omitempty"`
}

type measure struct {
	UOM   string      `json:"uom"`
	Value json.Number `json:"value"`
}

type worth struct {
	Currency string      `json:"currency"`
	Value    json.Number `json:"value"`
}

type commodity struct {
	ItemDescription  string       `json:"itemDescription"`
	PackagedQuantity *json.Number `json:"packagedQuantity"`
	CountryOfOrigin  string       `json:"countryOfOrigin"`
	HSCode           string       `json:"hsCode"`
	ItemWeight       *measure     `json:"itemWeight"`
	ItemValue        *worth       `json:"itemValue"`
}

type customsDetails struct {
	Items []commodity `json:"items"`
}

type returnOrder struct {
	ReceiverID        string          `json:"receiverId"`
	CustomerReference string          `json:"customerReference"`
	ShipmentReference string          `json:"shipmentReference"`
	CreationSoftware  string          `json:"creationSoftware"`
	Shipper           *contactAddress `json:"shipper"`
	ItemWeight        *measure        `json:"itemWeight"`
	ItemValue         *worth          `json:"itemValue"`
	CustomsDetails    *customsDetails `json:"customsDetails"`
	Services          *struct {
		GoGreenPlus bool `json:"goGreenPlus"`
	} `json:"services"`
}

var (
	postalCode = regexp.MustCompile(`^[0-9A-Za-z]+([ -]?[0-9A-Za-z]+)*$`)
	country    = regexp.MustCompile(`^[A-Z]{3}$`)
)

// problems collects findings as "member: what is expected".
type problems []string

func (p *problems) length(at, value string, least, most int) {
	if n := utf8.RuneCountInString(value); n < least || n > most {
		*p = append(*p, fmt.Sprintf("%s: must have %d to %d characters", at, least, most))
	}
}

func (p *problems) number(at string, n json.Number, least, most, step string) {
	d, err := logistics.ParseNumber(n.String())
	lo, _ := logistics.ParseDecimal(least)
	hi, _ := logistics.ParseDecimal(most)
	unit, _ := logistics.ParseDecimal(step)
	steps, exact := d.Div(unit)
	if err != nil || d.Cmp(lo) < 0 || d.Cmp(hi) > 0 || !exact || !steps.IsWhole() {
		*p = append(*p, fmt.Sprintf("%s: must be between %s and %s in steps of %s", at, least, most, step))
	}
}

func (p *problems) weight(at string, m *measure) {
	if m.UOM != "g" && m.UOM != "kg" {
		*p = append(*p, at+"/uom: must be g or kg")
	}
	p.number(at+"/value", m.Value, "0.001", "31500", "0.001")
}

func (p *problems) value(at string, v *worth) {
	if v.Currency != "" && !slices.Contains([]string{"EUR", "GBP", "CHF"}, v.Currency) {
		*p = append(*p, at+"/currency: must be EUR, GBP or CHF")
	}
	if v.Value != "" {
		p.number(at+"/value", v.Value, "0", "100000", "0.01")
	}
}

func (p *problems) address(at string, a *contactAddress) {
	if a == nil {
		*p = append(*p, at+": is required")
		return
	}
	p.length(at+"/name1", a.Name1, 1, 50)
	p.length(at+"/name2", a.Name2, 0, 50)
	p.length(at+"/name3", a.Name3, 0, 50)
	p.length(at+"/addressStreet", a.AddressStreet, 1, 50)
	p.length(at+"/addressHouse", a.AddressHouse, 1, 10)
	p.length(at+"/city", a.City, 1, 40)
	p.length(at+"/state", a.State, 0, 20)
	p.length(at+"/phone", a.Phone, 0, 20)
	p.length(at+"/email", a.Email, 0, 70)
	if a.Email != "" {
		if parsed, err := mail.ParseAddress(a.Email); err != nil || parsed.Address != a.Email {
			*p = append(*p, at+"/email: must be an e-mail address")
		}
	}
	if n := len(a.PostalCode); n < 3 || n > 10 || !postalCode.MatchString(a.PostalCode) {
		*p = append(*p, at+"/postalCode: must have 3 to 10 letters and digits")
	}
}

// check returns every problem of the order against the document's schema.
func (o returnOrder) check() []string {
	var p problems
	p.length("receiverId", o.ReceiverID, 1, 50)
	p.length("customerReference", o.CustomerReference, 0, 50)
	p.length("shipmentReference", o.ShipmentReference, 0, 50)
	p.length("creationSoftware", o.CreationSoftware, 0, 35)
	p.address("shipper", o.Shipper)
	if o.ItemWeight != nil {
		p.weight("itemWeight", o.ItemWeight)
	}
	if o.ItemValue != nil {
		p.value("itemValue", o.ItemValue)
	}
	if o.CustomsDetails != nil {
		p.customs(o.CustomsDetails.Items)
	}
	return p
}

func (p *problems) customs(items []commodity) {
	if len(items) == 0 || len(items) > 20 {
		*p = append(*p, "customsDetails/items: 1 to 20 are required")
	}
	for i, c := range items {
		at := fmt.Sprintf("customsDetails/items/%d", i)
		p.length(at+"/itemDescription", c.ItemDescription, 1, 50)
		if c.PackagedQuantity == nil || strings.ContainsAny(c.PackagedQuantity.String(), ".eE") {
			*p = append(*p, at+"/packagedQuantity: a whole number is required")
		}
		if c.HSCode != "" {
			p.length(at+"/hsCode", c.HSCode, 6, 11)
		}
		if c.CountryOfOrigin != "" && !country.MatchString(c.CountryOfOrigin) {
			*p = append(*p, at+"/countryOfOrigin: must be an ISO 3166 alpha-3 code")
		}
		if c.ItemWeight == nil || c.ItemValue == nil {
			*p = append(*p, at+": itemWeight and itemValue are required")
			continue
		}
		p.weight(at+"/itemWeight", c.ItemWeight)
		p.value(at+"/itemValue", c.ItemValue)
	}
}

func (a contactAddress) lines() []string {
	out := []string{a.Name1}
	for _, extra := range []string{a.Name2, a.Name3} {
		if extra != "" {
			out = append(out, extra)
		}
	}
	return append(out, a.AddressStreet+" "+a.AddressHouse, a.PostalCode+" "+a.City)
}

// isJSONMedia reports whether a Content-Type is JSON, with whatever parameters.
func isJSONMedia(header string) bool {
	media, _, err := mime.ParseMediaType(header)
	return err == nil && media == "application/json"
}
