package partner

import (
	"net/netip"
	"strings"
	"sync/atomic"

	"portway/internal/ident"
)

// Caller is an application calling with one of its credentials: everything the request path needs to know
// about it. It is immutable; a change makes a new one.
type Caller struct {
	// Org is whose data the caller sees: the application's organisation, or the one a vendor's application acts for.
	Org         OrgID
	OrgSlug     string
	OrgName     string
	Kind        Kind
	Application string
	AppSlug     string
	AppName     string
	Credential  string
	ClientID    string
	Environment Environment
	ExpiresAt   int64 // Unix microseconds, 0 = never
	// RevokedBefore is when the credential's earlier tokens were voided, Unix microseconds.
	RevokedBefore int64
	// Active is false when the organisation, the application, the credential or the vendor's grant is not active;
	// Reason names which.
	Active bool
	Reason string
	// Subscriptions by API id, for the credential's environment, active ones only.
	Subscriptions map[string]*Grant
	// Addresses is from where it may call; nil is from anywhere.
	Addresses *Addresses
	// Vendor is whose application acts for Org; nil when the application is the organisation's own.
	Vendor *Vendor

	// How the credential proves itself; see Credential.
	CredentialKind string
	SecretHash     string
	PublicKeys     string
	Thumbprints    []string
	Subject        string
}

// Grant is what a subscription gives.
type Grant struct {
	Plan   string
	Scopes map[string]bool
}

// Vendor is the organisation whose application acts for another.
type Vendor struct {
	Org  OrgID
	Slug string
	Name string
}

// LimitKey names whose limits a call counts against: the application's, and for a vendor's application those it has
// for the organisation it acts for, so that one of its customers cannot use up what another needs.
func (c *Caller) LimitKey() string {
	if c.Vendor == nil {
		return c.Application
	}
	return c.Application + "/" + string(c.Org)
}

// Addresses is an allow-list of client addresses.
type Addresses struct {
	Enforce bool // refuse; otherwise only log
	allow   []netip.Prefix
}

// Contains reports whether a is on the list. An address that could not be read is on none.
func (l *Addresses) Contains(a netip.Addr) bool {
	a = a.Unmap()
	for _, p := range l.allow {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// addressesOf compiles a rule; nil means that it restricts nothing. A prefix that cannot be read admits nobody.
func addressesOf(r *AddressRule) *Addresses {
	if r == nil || r.Mode == AddressOff {
		return nil
	}
	out := &Addresses{Enforce: r.Mode == AddressEnforce}
	for _, text := range strings.Fields(r.Allow) {
		if p, err := parsePrefix(text); err == nil {
			out.allow = append(out.allow, p)
		}
	}
	return out
}

// callers makes a Caller of every credential of an organisation.
func callers(b *Bundle) []*Caller {
	apps := map[string]*Application{}
	for i := range b.Applications {
		apps[b.Applications[i].ID] = &b.Applications[i]
	}
	var out []*Caller
	for i := range b.Credentials {
		c := &b.Credentials[i]
		app := apps[c.Application]
		if app == nil {
			continue
		}
		caller := callerOf(b, app, c.Environment)
		caller.Credential, caller.ClientID, caller.ExpiresAt, caller.RevokedBefore = c.ID, c.ClientID, c.ExpiresAt, c.RevokedBefore
		caller.CredentialKind, caller.SecretHash, caller.PublicKeys = c.Kind, c.SecretHash, c.PublicKeys
		caller.Thumbprints, caller.Subject = strings.Fields(c.Thumbprints), c.Subject
		if caller.Active && c.State != Active {
			caller.Active, caller.Reason = false, "credential"
		}
		out = append(out, caller)
	}
	return out
}

type appKey struct {
	name        string // "organisation/application"
	environment Environment
}

// applications makes a Caller of every application in both environments.
func applications(b *Bundle) map[appKey]*Caller {
	out := map[appKey]*Caller{}
	for i := range b.Applications {
		app := &b.Applications[i]
		for _, env := range []Environment{ident.Sandbox, ident.Live} {
			out[appKey{b.Organisation.Slug + "/" + app.Slug, env}] = callerOf(b, app, env)
		}
	}
	return out
}

// callerOf is what an application is in an environment, whatever its credential.
func callerOf(b *Bundle, app *Application, env Environment) *Caller {
	c := &Caller{Org: b.Organisation.ID, OrgSlug: b.Organisation.Slug, OrgName: b.Organisation.Name, Kind: b.Organisation.Kind,
		Application: app.ID, AppSlug: app.Slug, AppName: app.Name, Environment: env, Active: true, Subscriptions: map[string]*Grant{}}
	switch {
	case b.Organisation.State != Active:
		c.Active, c.Reason = false, "organisation"
	case app.State != Active:
		c.Active, c.Reason = false, "application"
	}
	for _, s := range b.Subscriptions {
		if s.Application == app.ID && s.Environment == env && s.State == Active {
			c.Subscriptions[s.API] = &Grant{Plan: s.Plan, Scopes: scopesOf(s.Scopes)}
		}
	}
	for i := range b.AddressRules {
		if r := &b.AddressRules[i]; r.Application == app.ID && r.Environment == env {
			c.Addresses = addressesOf(r)
		}
	}
	return c
}

func scopesOf(text string) map[string]bool {
	out := map[string]bool{}
	for _, scope := range strings.Fields(text) {
		out[scope] = true
	}
	return out
}

type grantKey struct {
	vendor, application string // slugs
	environment         Environment
	org                 OrgID // who is acted for
}

// delegation is a vendor's grant with the organisation that gave it.
type delegation struct {
	org    Organisation
	scopes map[string]bool
	active bool
	last   atomic.Pointer[acting] // of most calls: a vendor has few credentials
}

type acting struct{ vendor, caller *Caller }

func delegations(b *Bundle) map[grantKey]*delegation {
	out := map[grantKey]*delegation{}
	for _, g := range b.VendorGrants {
		out[grantKey{g.Vendor, g.Application, g.Environment, b.Organisation.ID}] = &delegation{org: b.Organisation,
			scopes: scopesOf(g.Scopes), active: g.State == Active}
	}
	return out
}

// caller is what v is for the organisation.
func (g *delegation) caller(v *Caller) *Caller {
	if a := g.last.Load(); a != nil && a.vendor == v {
		return a.caller
	}
	c := *v
	c.Org, c.OrgSlug, c.OrgName, c.Kind = g.org.ID, g.org.Slug, g.org.Name, g.org.Kind
	c.Vendor = &Vendor{Org: v.Org, Slug: v.OrgSlug, Name: v.OrgName}
	switch {
	case !v.Active:
	case !g.active:
		c.Active, c.Reason = false, "grant"
	case g.org.State != Active:
		c.Active, c.Reason = false, "organisation"
	}
	c.Subscriptions = map[string]*Grant{}
	for api, s := range v.Subscriptions {
		both := map[string]bool{}
		for scope := range s.Scopes {
			if g.scopes[scope] {
				both[scope] = true
			}
		}
		// An operation may ask for a subscription only: what the grant gives nothing of is not subscribed.
		if len(both) > 0 {
			c.Subscriptions[api] = &Grant{Plan: s.Plan, Scopes: both}
		}
	}
	g.last.Store(&acting{v, &c})
	return &c
}
