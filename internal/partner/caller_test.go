package partner

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"portway/internal/ident"
)

// vendorHouse is a Directory with a vendor (o1, application a-org-1) that acts for o2 in the sandbox.
func vendorHouse(t *testing.T) (*Directory, *memory, *ident.Manual) {
	t.Helper()
	vendor := org(1, func(b *Bundle) { b.Organisation.Kind = KindVendor })
	m := newMemory(vendor, org(2, func(b *Bundle) {
		b.VendorGrants = []VendorGrant{{Org: "o2", Vendor: "org-1", Application: "app", Environment: ident.Sandbox, Scopes: "orders:read returns:read", State: Active}}
	}), org(3))
	clock := ident.NewManual(start)
	d := NewDirectory(m, clock, slog.New(slog.DiscardHandler))
	if err := d.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	return d, m, clock
}

func TestActing(t *testing.T) {
	t.Parallel()
	d, m, _ := vendorHouse(t)
	v, _ := d.Client("org-1-sandbox")
	c, ok := d.Acting(v, "o2")
	if !ok || !c.Active || c.Org != "o2" || c.OrgSlug != "org-2" || c.Kind != Kind3PL || c.Application != "a-org-1" || c.ClientID != "org-1-sandbox" ||
		c.Vendor == nil || *c.Vendor != (Vendor{Org: "o1", Slug: "org-1", Name: "Org org-1"}) {
		t.Fatalf("%+v, %t", c, ok)
	}
	// Both the vendor's subscription and the grant must give a scope: one has no returns, the other no orders:write.
	if g := c.Subscriptions["orders"]; len(c.Subscriptions) != 1 || g == nil || g.Plan != "standard" || len(g.Scopes) != 1 || !g.Scopes["orders:read"] {
		t.Errorf("subscriptions %+v", c.Subscriptions)
	}
	if again, _ := d.Acting(v, "o2"); again != c {
		t.Error("the caller is made anew for every call")
	}
	if c.LimitKey() != "a-org-1/o2" || v.LimitKey() != "a-org-1" {
		t.Errorf("limit keys %q and %q", c.LimitKey(), v.LimitKey())
	}
	live, _ := d.Client("org-1-live")
	other, _ := d.Client("org-3-sandbox")
	for name, tt := range map[string]struct {
		v   *Caller
		org OrgID
	}{
		"an organisation that granted nothing": {v, "o3"}, "the other environment": {live, "o2"}, "an unknown organisation": {v, ""},
		"another's application": {other, "o2"}, "one who acts already": {c, "o2"}, "itself": {v, "o1"},
	} {
		if _, ok := d.Acting(tt.v, tt.org); ok {
			t.Errorf("%s: may act", name)
		}
	}
	change := func(n int, f func(*Bundle)) *Caller {
		t.Helper()
		m.put(org(n, func(b *Bundle) {
			if n == 1 {
				b.Organisation.Kind = KindVendor
			} else {
				b.VendorGrants = []VendorGrant{{Org: "o2", Vendor: "org-1", Application: "app", Environment: ident.Sandbox, Scopes: "orders:read", State: Active}}
			}
			f(b)
		}))
		if err := d.Sync(context.Background()); err != nil {
			t.Fatal(err)
		}
		v, _ := d.Client("org-1-sandbox")
		c, ok := d.Acting(v, "o2")
		if !ok {
			return nil
		}
		return c
	}
	for _, tt := range []struct {
		name   string
		n      int
		f      func(*Bundle)
		reason string
	}{
		{"grant revoked", 2, func(b *Bundle) { b.VendorGrants[0].State = Revoked }, "grant"},
		{"grant suspended", 2, func(b *Bundle) { b.VendorGrants[0].State = Suspended }, "grant"},
		{"organisation suspended", 2, func(b *Bundle) { b.Organisation.State = Suspended }, "organisation"},
		{"as it was", 2, func(*Bundle) {}, ""},
		{"vendor suspended", 1, func(b *Bundle) { b.Organisation.State = Suspended }, "organisation"},
		{"vendor's application suspended", 1, func(b *Bundle) { b.Applications[0].State = Suspended }, "application"},
		{"vendor's credential revoked", 1, func(b *Bundle) { b.Credentials[0].State = Revoked }, "credential"},
		{"as it was again", 1, func(*Bundle) {}, ""},
	} {
		if c := change(tt.n, tt.f); c == nil || c.Reason != tt.reason || c.Active != (tt.reason == "") {
			t.Errorf("%s: %+v", tt.name, c)
		}
	}
	for name, f := range map[string]func(*Bundle){
		"the grant is gone":            func(b *Bundle) { b.VendorGrants = nil },
		"granted to another":           func(b *Bundle) { b.VendorGrants[0].Vendor = "org-3" },
		"granted to another's program": func(b *Bundle) { b.VendorGrants[0].Application = "other" },
	} {
		if c := change(2, f); c != nil {
			t.Errorf("%s, and it acts: %+v", name, c)
		}
	}
	if c := change(2, func(*Bundle) {}); c == nil {
		t.Fatal("the grant is back, and it does not act")
	}
	if c := change(1, func(b *Bundle) { b.Organisation.Kind = Kind3PL }); c != nil {
		t.Errorf("no vendor, and it acts: %+v", c)
	}
}

func TestAPIKeysAreFoundByTheirHash(t *testing.T) {
	t.Parallel()
	key := func(b *Bundle) { b.Credentials[0].Kind, b.Credentials[0].SecretHash = APIKey, "hash-of-key" }
	m := newMemory(org(1, key), org(2))
	d := NewDirectory(m, ident.NewManual(start), slog.New(slog.DiscardHandler))
	if err := d.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	if c, ok := d.Key("hash-of-key"); !ok || c.ClientID != "org-1-sandbox" {
		t.Fatalf("%+v, %t", c, ok)
	}
	for _, hash := range []string{"", "h1", "h2"} { // secrets of clients are no keys
		if c, ok := d.Key(hash); ok {
			t.Errorf("%q finds %+v", hash, c)
		}
	}
	m.put(org(1, func(b *Bundle) { b.Credentials[0].Kind, b.Credentials[0].SecretHash = APIKey, "next" }))
	m.put(org(2, key)) // another organisation takes the hash over
	m.put(org(1, func(b *Bundle) { b.Credentials[0].Kind, b.Credentials[0].SecretHash = APIKey, "next" }))
	if err := d.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	if c, ok := d.Key("hash-of-key"); !ok || c.Org != "o2" {
		t.Errorf("%+v, %t", c, ok)
	}
	m.remove("o2")
	if err := d.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, ok := d.Key("hash-of-key"); ok {
		t.Error("the key of an organisation that is gone still opens")
	}
}

func TestRevokedTokens(t *testing.T) {
	t.Parallel()
	d, m, clock := vendorHouse(t)
	ctx := context.Background()
	until := start.Add(10 * time.Minute).UnixMicro()
	if err := m.RevokeToken(ctx, RevokedToken{ID: "t1", Org: "o2", ExpiresAt: until}); err != nil {
		t.Fatal(err)
	}
	if d.Revoked("t1") {
		t.Error("known before it was read")
	}
	reads := m.reads
	if err := d.Sync(ctx); err != nil || !d.Revoked("t1") || d.Revoked("t2") {
		t.Fatalf("%v, %t, %t", err, d.Revoked("t1"), d.Revoked("t2"))
	}
	if m.reads != reads {
		t.Error("a revoked token reads a whole organisation")
	}
	// A node that starts later knows it too.
	late := NewDirectory(m, clock, slog.New(slog.DiscardHandler))
	if err := late.Load(ctx); err != nil || !late.Revoked("t1") {
		t.Errorf("a late node: %v, %t", err, late.Revoked("t1"))
	}
	// It is forgotten when the token has expired by itself, not before.
	for _, wait := range []time.Duration{10 * time.Minute, 2 * time.Minute} {
		clock.Advance(wait)
		if err := d.Sync(ctx); err != nil || d.Revoked("t1") != (wait == 10*time.Minute) {
			t.Errorf("%v later: revoked %t, %v", wait, d.Revoked("t1"), err)
		}
		later := NewDirectory(m, clock, slog.New(slog.DiscardHandler)) // clocks differ: just expired may still count
		if err := later.Load(ctx); err != nil || later.Revoked("t1") != (wait == 10*time.Minute) {
			t.Errorf("a node that starts %v later: %v, %t", wait, err, later.Revoked("t1"))
		}
	}
	m.mu.Lock()
	m.changes = append(m.changes, Change{Position: int64(len(m.changes) + 1), Kind: "token", ID: "gone"})
	m.mu.Unlock()
	if err := d.Sync(ctx); err != nil {
		t.Errorf("a token that is gone in the meantime: %v", err)
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	list := addressesOf(&AddressRule{Mode: AddressEnforce, Allow: "203.0.113.0/24 2001:db8::/32 198.51.100.7 broken"})
	if !list.Enforce {
		t.Error("not enforced")
	}
	for text, want := range map[string]bool{"203.0.113.9": true, "203.0.114.1": false, "198.51.100.7": true, "198.51.100.8": false,
		"2001:db8::1": true, "2001:db9::1": false, "::ffff:203.0.113.9": true, "::ffff:203.0.114.9": false} {
		if got := list.Contains(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
	if list.Contains(netip.Addr{}) {
		t.Error("no address is on the list")
	}
	if addressesOf(nil) != nil || addressesOf(&AddressRule{Mode: AddressOff, Allow: "203.0.113.0/24"}) != nil {
		t.Error("without a rule, or with one that is off, it is from anywhere")
	}
	// The rule of an environment is that environment's alone.
	b := org(1, func(b *Bundle) {
		b.AddressRules = []AddressRule{{Application: "a-org-1", Environment: ident.Live, Mode: AddressLog, Allow: "203.0.113.0/24"}}
	})
	for _, c := range callers(b) {
		if got := c.Addresses != nil && !c.Addresses.Enforce; got != (c.Environment == ident.Live) {
			t.Errorf("%s: %+v", c.Environment, c.Addresses)
		}
	}
}
