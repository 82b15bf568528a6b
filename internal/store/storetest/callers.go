package storetest

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/problem"
	"portway/internal/store"
	"portway/internal/store/partnerdb"
)

func credentialKinds(t *testing.T, db *store.DB) {
	s := partnerdb.New(db, ident.NewManual(start))
	b := bundle("one", partner.FromFile)
	b.Credentials = append(b.Credentials,
		partner.Credential{Application: "wms", Environment: ident.Live, Kind: partner.PrivateKeyJWT, ClientID: "jwt", PublicKeys: `{"keys":[{"kty":"EC"}]}`},
		partner.Credential{Application: "wms", Environment: ident.Live, Kind: partner.MutualTLS, ClientID: "tls", Thumbprints: "aa bb", Subject: "CN=one"},
		partner.Credential{Application: "wms", Environment: ident.Sandbox, Kind: partner.APIKey, ClientID: "key", SecretHash: "k1", LastFour: "1234"})
	b.AddressRules = []partner.AddressRule{{Application: "wms", Environment: ident.Live, Mode: partner.AddressEnforce, Allow: "203.0.113.0/24"}}
	applied(t, s, b)
	got, err := s.Organisation(context.Background(), b.Organisation.ID)
	check(t, err)
	byClient := map[string]partner.Credential{}
	for _, c := range got.Credentials {
		byClient[c.ClientID] = c
	}
	for _, want := range b.Credentials {
		equal(t, want.ClientID, byClient[want.ClientID], want)
	}
	equal(t, "rule", got.AddressRules[0], b.AddressRules[0])
	equal(t, "the rule's application", got.AddressRules[0].Application, got.Applications[0].ID)
	// A new kind takes no old secret along, and a void time is not moved back.
	check(t, s.RevokeTokens(context.Background(), b.Organisation.ID, byClient["key"].ID, 77))
	again := bundle("one", partner.FromFile)
	again.Credentials = []partner.Credential{{Application: "wms", Environment: ident.Sandbox, Kind: partner.PrivateKeyJWT, ClientID: "key", PublicKeys: "{}"}}
	applied(t, s, again)
	equal(t, "hash after a change of kind", again.Credentials[0].SecretHash, "")
	equal(t, "void before", again.Credentials[0].RevokedBefore, 77)
	bad := bundle("one", partner.FromFile)
	bad.Credentials[0].Kind = "password"
	bad.AddressRules = []partner.AddressRule{{Application: "absent", Environment: ident.Live, Mode: partner.AddressLog}, {Application: "wms", Environment: ident.Live, Mode: "watch"}}
	equal(t, "violations", len(refused(t, s.Apply(context.Background(), bad), problem.Conflict).Violations), 3)
}

func apiKeyTaken(t *testing.T, db *store.DB) {
	s := partnerdb.New(db, ident.NewManual(start))
	key := func(slug, client, hash string) *partner.Bundle {
		b := bundle(slug, partner.FromPortal)
		b.Credentials = []partner.Credential{{Application: "wms", Environment: ident.Live, Kind: partner.APIKey, ClientID: client, SecretHash: hash}}
		return b
	}
	applied(t, s, key("one", "k-one", "h1"))
	applied(t, s, key("one", "k-one", "h1")) // the same again
	applied(t, s, key("two", "k-two", ""))   // without a key yet
	applied(t, s, key("three", "k-three", ""))
	p := refused(t, s.Apply(context.Background(), key("two", "k-two", "h1")), problem.Conflict)
	equal(t, "place", p.Violations[0].Pointer, "/credentials/k-two")
	applied(t, s, key("two", "k-two", "h2"))
}

// vendorBundle is a vendor with one application in both environments.
func vendorBundle(slug string) *partner.Bundle {
	b := bundle(slug, partner.FromFile)
	b.Organisation.Kind = partner.KindVendor
	b.Applications[0].Slug, b.Subscriptions[0].Application, b.Credentials[0].Application = "hub", "hub", "hub"
	return b
}

// granting is an organisation that lets the vendor act for it.
func granting(slug, vendor, application string) *partner.Bundle {
	b := bundle(slug, partner.FromFile)
	b.VendorGrants = []partner.VendorGrant{{Vendor: vendor, Application: application, Environment: ident.Live, Scopes: "orders:read"}}
	return b
}

func vendorGranted(t *testing.T, db *store.DB) {
	s := partnerdb.New(db, ident.NewManual(start))
	ctx := context.Background()
	early := applied(t, s, granting("early", "vendor", "hub")) // before there is the vendor
	v := applied(t, s, vendorBundle("vendor"))
	b := applied(t, s, granting("one", "vendor", "hub"))
	got, err := s.Organisation(ctx, b.Organisation.ID)
	check(t, err)
	equal(t, "grant", got.VendorGrants[0], b.VendorGrants[0])
	before := rows(t, db, "changes")
	equal(t, "the same grant", applied(t, s, granting("early", "vendor", "hub")).VendorGrants[0], early.VendorGrants[0])
	equal(t, "changes", rows(t, db, "changes"), before)
	theirs, err := s.Organisation(ctx, v.Organisation.ID)
	check(t, err)
	equal(t, "the vendor owns no grant", len(theirs.VendorGrants), 0)
	own := vendorBundle("vendor")
	own.VendorGrants = granting("x", "vendor", "hub").VendorGrants
	for _, bad := range []*partner.Bundle{granting("two", "one", "wms"), own} {
		p := refused(t, s.Apply(ctx, bad), problem.Conflict)
		equal(t, "keyword", p.Violations[0].Keyword, "vendor")
	}
	// A revoked grant is not lifted by reading the file again, and another organisation cannot touch it.
	id := b.VendorGrants[0].ID
	refused(t, s.SetState(ctx, v.Organisation.ID, "grant", id, partner.Revoked), problem.NotFound)
	check(t, s.SetState(ctx, b.Organisation.ID, "grant", id, partner.Revoked))
	equal(t, "state", applied(t, s, granting("one", "vendor", "hub")).VendorGrants[0].State, partner.Revoked)
}

// revocations runs a Directory as another node does and measures how long each kind of revocation takes to reach it.
func revocations(t *testing.T, db *store.DB) {
	s := partnerdb.New(db, ident.System{})
	ctx, cancel := context.WithCancel(context.Background())
	v := applied(t, s, vendorBundle("vendor"))
	b := applied(t, s, granting("one", "vendor", "hub"))
	org := b.Organisation.ID
	d := partner.NewDirectory(partnerdb.New(db, ident.System{}), ident.System{}, slog.New(slog.DiscardHandler))
	check(t, d.Load(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { d.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	acting := func() *partner.Caller {
		c, ok := d.Client("vendor-live")
		if !ok {
			t.Fatal("the vendor's client is not there")
		}
		c, _ = d.Acting(c, org)
		return c
	}
	if c := acting(); c == nil || !c.Active || c.Org != org {
		t.Fatalf("before: %+v", c)
	}
	own := func() *partner.Caller { c, _ := d.Client("one-live"); return c }
	expires := time.Now().Add(time.Hour).UnixMicro()
	for _, r := range []struct {
		name string
		run  func() error
		seen func() bool
	}{
		{"token", func() error {
			return s.RevokeToken(ctx, partner.RevokedToken{ID: "jti-1", Org: org, ClientID: "one-live", ExpiresAt: expires})
		}, func() bool { return d.Revoked("jti-1") }},
		{"token again", func() error {
			return s.RevokeToken(ctx, partner.RevokedToken{ID: "jti-1", Org: org, ExpiresAt: expires})
		}, func() bool { return d.Revoked("jti-1") }},
		{"all tokens of a credential", func() error { return s.RevokeTokens(ctx, org, b.Credentials[0].ID, 4711) }, func() bool { return own().RevokedBefore == 4711 }},
		{"grant", func() error { return s.SetState(ctx, org, "grant", b.VendorGrants[0].ID, partner.Revoked) }, func() bool { return !acting().Active && acting().Reason == "grant" }},
		{"credential", func() error { return s.SetState(ctx, org, "credential", b.Credentials[0].ID, partner.Revoked) }, func() bool { return own().Reason == "credential" }},
		{"application", func() error { return s.SetState(ctx, org, "application", b.Applications[0].ID, partner.Revoked) }, func() bool { return own().Reason == "application" }},
		{"organisation", func() error { return s.SetState(ctx, org, "organisation", string(org), partner.Revoked) }, func() bool { return own().Reason == "organisation" }},
		{"the vendor", func() error {
			return s.SetState(ctx, v.Organisation.ID, "organisation", string(v.Organisation.ID), partner.Revoked)
		}, func() bool { return acting().Reason == "organisation" }},
	} {
		begun := time.Now()
		check(t, r.run())
		limit, look := time.NewTimer(time.Second), time.NewTicker(time.Millisecond)
		for !r.seen() {
			select {
			case <-limit.C:
				t.Fatalf("%s: the revocation did not arrive within 1 s", r.name)
			case <-look.C:
			}
		}
		limit.Stop()
		look.Stop()
		t.Logf("%s: after %v", r.name, time.Since(begun).Round(time.Millisecond))
	}
	refused(t, s.RevokeTokens(ctx, v.Organisation.ID, b.Credentials[0].ID, 5000), problem.NotFound)
	check(t, s.RevokeTokens(ctx, org, b.Credentials[0].ID, 1)) // it is not moved back
	late := partner.NewDirectory(s, ident.System{}, slog.New(slog.DiscardHandler))
	check(t, late.Load(ctx))
	if c, _ := late.Client("one-live"); !late.Revoked("jti-1") || c.RevokedBefore != 4711 {
		t.Errorf("a node that starts later: %t, %d", late.Revoked("jti-1"), c.RevokedBefore)
	}
	n, err := s.Forget(ctx, expires+1)
	check(t, err)
	equal(t, "forgotten", n, int64(1))
	_, err = s.RevokedToken(ctx, "jti-1")
	refused(t, err, problem.NotFound)
}

func presentedOnce(t *testing.T, db *store.DB) {
	ctx := context.Background()
	nodes := []*partnerdb.Store{partnerdb.New(db, ident.System{}), partnerdb.New(db, ident.System{})}
	var wg sync.WaitGroup
	var firsts atomic.Int64
	for i := range 20 {
		wg.Go(func() {
			first, err := nodes[i%2].First(ctx, "client/jti", start)
			if err != nil {
				t.Error(err)
			}
			if first {
				firsts.Add(1)
			}
		})
	}
	wg.Wait()
	equal(t, "first times of 20", firsts.Load(), 1)
	first, err := nodes[0].First(ctx, "client/jti2", start.Add(time.Minute))
	check(t, err)
	equal(t, "another", first, true)
	n, err := nodes[1].Forget(ctx, start.Add(time.Second).UnixMicro())
	check(t, err)
	equal(t, "forgotten", n, int64(1))
	for key, want := range map[string]bool{"client/jti": true, "client/jti2": false} {
		first, err := nodes[0].First(ctx, key, start)
		check(t, err)
		equal(t, key, first, want)
	}
}
