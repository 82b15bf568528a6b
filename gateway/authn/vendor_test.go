package authn

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/problem"
	"portway/internal/secret"
	"portway/internal/token"
)

// vendorHouse has, beside "org" (o1), the vendor "vend" (v1) with the clients "hub" and "hub-live", and "other" (o2). o1
// lets the hub read its orders in the sandbox, o2 read and write them there.
func vendorHouse(t *testing.T) *house {
	h := newHouse(t)
	h.store.put(&partner.Bundle{Organisation: partner.Organisation{ID: "v1", Slug: "vend", Name: "Vend", Kind: partner.KindVendor, State: partner.Active, Zone: "UTC"},
		Applications: []partner.Application{{ID: "va", Org: "v1", Slug: "hub", State: partner.Active}},
		Credentials: []partner.Credential{
			{ID: "vk", Org: "v1", Application: "va", Environment: ident.Sandbox, Kind: partner.ClientSecret, ClientID: "hub", SecretHash: secret.Hash(good), State: partner.Active},
			{ID: "vl", Org: "v1", Application: "va", Environment: ident.Live, Kind: partner.ClientSecret, ClientID: "hub-live", SecretHash: secret.Hash(good), State: partner.Active}},
		Subscriptions: []partner.Subscription{
			{Application: "va", API: "orders", Environment: ident.Sandbox, Plan: "standard", Scopes: "orders:read orders:write", State: partner.Active},
			{Application: "va", API: "returns", Environment: ident.Sandbox, Plan: "standard", Scopes: "returns:read", State: partner.Active},
			{Application: "va", API: "orders", Environment: ident.Live, Plan: "standard", Scopes: "orders:read", State: partner.Active}}})
	h.granting(partner.Active, "orders:read")
	h.store.put(&partner.Bundle{Organisation: partner.Organisation{ID: "o2", Slug: "other", Name: "Other", Kind: partner.Kind3PL, State: partner.Active, Zone: "UTC"},
		VendorGrants: []partner.VendorGrant{{Org: "o2", Vendor: "vend", Application: "hub", Environment: ident.Sandbox, Scopes: "orders:read orders:write", State: partner.Active}}})
	if err := h.directory.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	return h
}

// granting changes what o1 grants.
func (h *house) granting(state partner.State, scopes string) {
	h.change(func(b *partner.Bundle) {
		b.VendorGrants = []partner.VendorGrant{{Org: "o1", Vendor: "vend", Application: "hub", Environment: ident.Sandbox, Scopes: scopes, State: state}}
	})
}

// vendorToken asks for a token of the hub acting for an organisation.
func (h *house) vendorToken(organisation string) string {
	h.t.Helper()
	r := h.ask(grant("client_id", "hub", "client_secret", good, "organisation", organisation))
	var body struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(r.Body, &body); err != nil || r.Status != 200 {
		h.t.Fatalf("%d %s", r.Status, r.Body)
	}
	return body.Token
}

func TestVendorTokensNameBoth(t *testing.T) {
	t.Parallel()
	h := vendorHouse(t)
	raw := h.vendorToken("org")
	claims, err := h.profile.Verify(raw)
	if err != nil || claims.Org != "o1" || claims.Vendor != "v1" || claims.ClientID != "hub" || claims.Scope != "orders:read" {
		t.Fatalf("%+v, %v", claims, err)
	}
	got := h.call("Bearer " + raw)
	if got.err != nil {
		t.Fatal(got.err)
	}
	c := got.x.Caller
	if c.Org != "o1" || c.OrgSlug != "org" || c.Application != "va" || c.Credential != "vk" || c.Vendor == nil || c.Vendor.Org != "v1" || c.Vendor.Slug != "vend" ||
		c.LimitKey() != "va/o1" || len(c.Subscriptions) != 1 || c.Subscriptions["orders"].Scopes["orders:write"] {
		t.Errorf("%+v", c)
	}
	if other := h.call("Bearer " + h.vendorToken("other")).x.Caller; other.Org != "o2" || !other.Subscriptions["orders"].Scopes["orders:write"] || other.LimitKey() != "va/o2" {
		t.Errorf("%+v", other)
	}
}

func TestVendorTokenRefusals(t *testing.T) {
	t.Parallel()
	h := vendorHouse(t)
	h.store.put(&partner.Bundle{Organisation: partner.Organisation{ID: "o3", Slug: "third", Kind: partner.Kind3PL, State: partner.Active}})
	if err := h.directory.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	alike := ""
	for name, tt := range map[string]struct {
		client, organisation, scope, code string
		alike                             bool
	}{
		"names nobody":                      {"hub", "", "", "invalid_target", false},
		"granted nothing":                   {"hub", "third", "", "invalid_target", true},
		"unknown":                           {"hub", "nobody", "", "invalid_target", true},
		"an id for the slug":                {"hub", "o1", "", "invalid_target", true},
		"itself":                            {"hub", "vend", "", "invalid_target", true},
		"granted in the other environment":  {"hub-live", "org", "", "invalid_target", true},
		"a scope the grant does not give":   {"hub", "org", "orders:write", "invalid_scope", false},
		"a scope the vendor does not have":  {"hub", "org", "shipments:read", "invalid_scope", false},
		"a scope of another's grant":        {"hub", "org", "orders:read orders:write", "invalid_scope", false},
		"no vendor acts for another":        {"c-sandbox", "other", "", "invalid_target", false},
		"no vendor, an unknown name either": {"c-sandbox", "nobody", "", "invalid_target", false},
	} {
		f := grant("client_id", tt.client, "client_secret", good)
		if tt.organisation != "" {
			f.Set("organisation", tt.organisation)
		}
		if tt.scope != "" {
			f.Set("scope", tt.scope)
		}
		r := h.ask(f)
		if r.Status != 400 || !strings.Contains(string(r.Body), `"error":"`+tt.code+`"`) {
			t.Errorf("%s: %d %s", name, r.Status, r.Body)
		}
		if tt.alike && alike == "" {
			alike = string(r.Body)
		}
		if tt.alike && string(r.Body) != alike {
			t.Errorf("%s: %s tells more than %s", name, r.Body, alike)
		}
	}
	if r := h.ask(grant("client_id", "c-sandbox", "client_secret", good, "organisation", "org")); r.Status != 200 {
		t.Errorf("an application for its own organisation: %d %s", r.Status, r.Body)
	}
}

// Revoking one grant touches the organisation that gave it only.
func TestVendorGrantEnds(t *testing.T) {
	t.Parallel()
	h := vendorHouse(t)
	mine, other := h.vendorToken("org"), h.vendorToken("other")
	call := func(name, raw string, want problem.Code) {
		t.Helper()
		got := h.call("Bearer " + raw)
		if (want == "") != (got.err == nil) || want != "" && !problem.Is(got.err, want) {
			t.Errorf("%s: %v, want %q", name, got.err, want)
		}
	}
	call("before", mine, "")
	h.granting(partner.Revoked, "orders:read")
	call("revoked", mine, problem.AuthInvalidToken)
	call("the other's", other, "")
	if r := h.ask(grant("client_id", "hub", "client_secret", good, "organisation", "org")); r.Status != 400 {
		t.Errorf("a new token under a revoked grant: %d %s", r.Status, r.Body)
	}
	h.change(func(*partner.Bundle) {})
	call("removed", mine, problem.AuthInvalidToken)
	h.granting(partner.Active, "orders:read")
	call("given again", mine, "")
	h.granting(partner.Active, "returns:read")
	if got := h.call("Bearer " + mine); got.err != nil || got.x.Caller.Subscriptions["orders"] != nil {
		t.Errorf("a narrowed grant narrows tokens that are out: %+v, %v", got.x.Caller, got.err)
	}
	h.change(func(b *partner.Bundle) {
		b.Organisation.State = partner.Suspended
		b.VendorGrants = []partner.VendorGrant{{Org: "o1", Vendor: "vend", Application: "hub", Environment: ident.Sandbox, Scopes: "orders:read", State: partner.Active}}
	})
	call("who is acted for is suspended", mine, problem.AuthSuspended)
	call("the other's still", other, "")
}

// What a token says of vendor and organisation must be what the directory says.
func TestVendorClaims(t *testing.T) {
	t.Parallel()
	h := vendorHouse(t)
	for name, g := range map[string]token.Grant{
		"a vendor for its own":                {ClientID: "hub", Org: "v1", Environment: ident.Sandbox},
		"a vendor for its own, said so":       {ClientID: "hub", Org: "v1", Vendor: "v1", Environment: ident.Sandbox},
		"an organisation without its vendor":  {ClientID: "hub", Org: "o1", Environment: ident.Sandbox},
		"another vendor":                      {ClientID: "hub", Org: "o1", Vendor: "v2", Environment: ident.Sandbox},
		"the organisation as its own vendor":  {ClientID: "hub", Org: "o1", Vendor: "o1", Environment: ident.Sandbox},
		"no grant":                            {ClientID: "hub", Org: "o9", Vendor: "v1", Environment: ident.Sandbox},
		"the other environment":               {ClientID: "hub", Org: "o1", Vendor: "v1", Environment: ident.Live},
		"a live client, a sandbox grant":      {ClientID: "hub-live", Org: "o1", Vendor: "v1", Environment: ident.Live},
		"an application that is no vendor's":  {ClientID: "c-sandbox", Org: "o1", Vendor: "v1", Environment: ident.Sandbox},
		"an application as its own vendor":    {ClientID: "c-sandbox", Org: "o1", Vendor: "o1", Environment: ident.Sandbox},
		"an application acting for another's": {ClientID: "c-sandbox", Org: "o2", Vendor: "o1", Environment: ident.Sandbox},
	} {
		raw, _, err := h.profile.Issue(g)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.call("Bearer " + raw); !problem.Is(got.err, problem.AuthInvalidToken) || got.x.Caller != nil {
			t.Errorf("%s: %+v, %v", name, got.x.Caller, got.err)
		}
	}
}
