// Package story plays the demonstration: one order, from release to delivery, against a running program
// and over HTTP only. Who takes part is data (story.yaml).
package story

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"portway/internal/datafile"
	"portway/internal/ident"
)

//go:embed story.yaml
var source []byte

// script is story.yaml.
type script struct {
	datafile.Head       `yaml:",inline"`
	Environment         string  `yaml:"environment"`
	Owner               party   `yaml:"owner"`
	Fulfiller           party   `yaml:"fulfiller"`
	Site                string  `yaml:"site"`
	OrderPrefix         string  `yaml:"orderPrefix"`
	PurchaseOrderPrefix string  `yaml:"purchaseOrderPrefix"`
	ShipmentPrefix      string  `yaml:"shipmentPrefix"`
	ShipTo              address `yaml:"shipTo"`
	Lines               []struct {
		SKU      string `yaml:"sku"`
		Quantity string `yaml:"quantity"`
		Unit     string `yaml:"unit"`
	} `yaml:"lines"`
	Carrier     carrier `yaml:"carrier"`
	Interchange string  `yaml:"interchange"`
}

type party struct {
	Organisation string `yaml:"organisation"`
	Application  string `yaml:"application"`
}

type carrier struct {
	SCAC string `yaml:"scac" json:"scac"`
	Name string `yaml:"name" json:"name"`
}

type address struct {
	Name       string   `yaml:"name" json:"name"`
	Street     []string `yaml:"street" json:"street"`
	City       string   `yaml:"city" json:"city"`
	Region     string   `yaml:"region" json:"region"`
	PostalCode string   `yaml:"postalCode" json:"postalCode"`
	Country    string   `yaml:"country" json:"country"`
}

// ready is what the running program says of itself.
type ready struct {
	Gateway     string `json:"gateway"`
	Portal      string `json:"portal"`
	ERP         string `json:"erp"`
	Credentials string `json:"demo_credentials"`
}

// run is one playing of the script with its fresh numbers.
type run struct {
	script   *script
	ready    ready
	clock    ident.Clock
	out      io.Writer
	http     *http.Client
	partner  *caller
	order    string
	po       string
	shipment string
	control  int64
	step     int
}

// Play plays the story against the program whose ready file is given, printing each step with its request id.
// It returns an error at the first step that was not observed.
func Play(ctx context.Context, readyFile string, clock ident.Clock, out io.Writer) error {
	r := &run{clock: clock, out: out, http: &http.Client{Timeout: 20 * time.Second}, script: &script{}}
	if err := datafile.Decode("story.yaml", "story", source, r.script).Err(); err != nil {
		return err
	}
	if err := readJSON(readyFile, &r.ready); err != nil {
		return fmt.Errorf("ready file: %w", err)
	}
	if r.ready.Credentials == "" || r.ready.ERP == "" {
		return fmt.Errorf("ready file: the program at %s does not run with --demo", r.ready.Gateway)
	}
	var err error
	if r.partner, err = r.caller(r.script.Fulfiller); err != nil {
		return err
	}
	if err := r.partner.signIn(ctx); err != nil {
		return err
	}
	now := clock.Now().UTC()
	number := strconv.FormatInt(now.UnixMilli()%1_000_000_000, 10)
	r.order, r.po, r.shipment = r.script.OrderPrefix+number, r.script.PurchaseOrderPrefix+number, r.script.ShipmentPrefix+number
	r.control = now.UnixMicro() % 1_000_000_000
	for _, play := range []func(context.Context) error{r.release, r.claimAndAcknowledge, r.confirm, r.shipped, r.repeat, r.milestone, r.delivered} {
		if err := play(ctx); err != nil {
			return fmt.Errorf("step %d: %w", r.step+1, err)
		}
	}
	fmt.Fprintf(out, "\nOrder %s: released, acknowledged, shipped once, delivered. Lost 0, doubled 0.\n", r.order)
	return nil
}

func readJSON(file string, into any) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

// caller finds a party's credential in the running program's credentials file.
func (r *run) caller(p party) (*caller, error) {
	var f struct {
		Applications []struct {
			Organisation string `json:"organisation"`
			Application  string `json:"application"`
			Environment  string `json:"environment"`
			ClientID     string `json:"client_id"`
			Secret       string `json:"client_secret"`
		} `json:"applications"`
	}
	if err := readJSON(r.ready.Credentials, &f); err != nil {
		return nil, fmt.Errorf("demo credentials: %w", err)
	}
	for _, a := range f.Applications {
		if a.Organisation == p.Organisation && a.Application == p.Application && a.Environment == r.script.Environment {
			return &caller{http: r.http, gateway: r.ready.Gateway, id: a.ClientID, secret: a.Secret}, nil
		}
	}
	return nil, fmt.Errorf("demo credentials: no %s credential of %s/%s", r.script.Environment, p.Organisation, p.Application)
}

// say prints one observed step: its number, who, what was seen, and the request id or the page that shows it.
func (r *run) say(actor, requestID, format string, args ...any) {
	r.step++
	fmt.Fprintf(r.out, "%2d  %-9s %s", r.step, actor, fmt.Sprintf(format, args...))
	if requestID != "" {
		fmt.Fprintf(r.out, "\n    %-9s request %s  %s/calls/%s", "", requestID, r.ready.Portal, requestID)
	}
	fmt.Fprintln(r.out)
}
