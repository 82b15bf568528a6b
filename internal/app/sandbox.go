package app

import (
	"path/filepath"

	"portway/internal/ident"
	"portway/internal/partner"
	"portway/sandbox/carrier"
	"portway/sandbox/erp"
	"portway/sandbox/seed"
)

// carrierKeyName is the reference by which the example backends find the key of the simulated carriers; the
// key is made anew at each start.
const carrierKeyName = "PORTWAY_DEMO_CARRIER_KEY"

// buildSandbox makes the simulated ERP and carriers, one of each per environment, with their state below the
// data folder.
func (p *program) buildSandbox() error {
	carrierKey := ident.Secret(16)
	outer := p.getenv
	p.getenv = func(name string) string {
		if name == carrierKeyName {
			return carrierKey
		}
		return outer(name)
	}
	for _, env := range []struct {
		id     ident.Environment
		suffix string
	}{{ident.Sandbox, ""}, {ident.Live, "_live"}} {
		dir := filepath.Join(p.settings.Data, "demo", string(env.id))
		e, err := erp.New(erp.Options{Clock: p.clock, Log: p.log, Dir: dir, Seed: seed.ERP})
		if err != nil {
			return err
		}
		if c := p.ownerCredential(env.id); c != nil {
			if err := e.Connect(erp.Gateway{URL: p.gatewayURL, ClientID: c.ClientID, Secret: c.Secret}); err != nil {
				return err
			}
		}
		parcel, err := carrier.NewParcel(carrier.Options{Clock: p.clock, Log: p.log, Name: "parcel", Dir: dir, Seed: seed.Parcel, APIKey: carrierKey})
		if err != nil {
			return err
		}
		returns, err := carrier.NewReturns(carrier.Options{Clock: p.clock, Log: p.log, Name: "returns", Dir: dir, Seed: seed.Returns, APIKey: carrierKey})
		if err != nil {
			return err
		}
		p.servers = append(p.servers,
			server{"erp" + env.suffix, e.Serve, e.Close},
			server{"parcel" + env.suffix, parcel.Serve, parcel.Close},
			server{"returns" + env.suffix, returns.Serve, returns.Close})
	}
	return nil
}

// ownerCredential is the client of the operator's own system that releases orders: the first application of
// an internal organisation with a credential in the environment.
func (p *program) ownerCredential(env ident.Environment) *clientCredential {
	for i := range p.credentials.Applications {
		c := &p.credentials.Applications[i]
		if caller, ok := p.directory.Client(c.ClientID); ok && c.Environment == env && c.Kind == partner.ClientSecret {
			if g := caller.Subscriptions["orders"]; g != nil && g.Scopes["orders:release"] {
				return c
			}
		}
	}
	return nil
}
