package storetest

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/problem"
	"portway/internal/store"
	"portway/internal/store/partnerdb"
)

var partnerCases = map[string]func(*testing.T, *store.DB){
	"a bundle reads back with ids":                bundleRoundTrip,
	"applying again changes only what differs":    applyAgain,
	"two origins for one name are refused":        origins,
	"all problems come at once and nothing stays": allProblems,
	"names of others are taken":                   taken,
	"several are applied together or not at all":  appliedTogether,
	"a stale revision is refused":                 stale,
	"applying does not lift a revocation":         noLift,
	"states belong to their organisation":         stateTenancy,
	"a revocation reaches the directory at once":  revocation,
	"changes are complete beside writers":         changesComplete,
	"every kind of credential reads back":         credentialKinds,
	"an API key belongs to one credential":        apiKeyTaken,
	"a vendor is granted access by its slugs":     vendorGranted,
	"revocations of every kind reach a node":      revocations,
	"a thing is presented once":                   presentedOnce,
}

// bundle is an organisation with one of everything; credentials and subscriptions name the application by slug.
func bundle(slug string, origin partner.Origin) *partner.Bundle {
	return &partner.Bundle{
		Organisation:  partner.Organisation{Slug: slug, Name: "Org " + slug, Kind: partner.Kind3PL, Zone: "America/Chicago", Origin: origin},
		Sites:         []partner.Site{{Code: "S1", Name: "Site", GLN: "0614141000012", Zone: "America/Chicago", CutOff: "16:00"}},
		Brands:        []partner.Brand{{Code: "B1", Name: "Brand", BusinessUnit: "BU"}},
		Applications:  []partner.Application{{Slug: "wms", Name: "WMS"}},
		Credentials:   []partner.Credential{{Application: "wms", Environment: ident.Live, Kind: "client_secret", ClientID: slug + "-live", SecretHash: "hash", LastFour: "last"}},
		Subscriptions: []partner.Subscription{{Application: "wms", API: "orders", Environment: ident.Live, Plan: "standard", Scopes: "orders:read"}},
		Connections: []partner.Connection{{Slug: "edi", Environment: ident.Live, Format: "x12", SenderQualifier: "ZZ", SenderID: slug, ReceiverQualifier: "ZZ",
			ReceiverID: "US", Documents: `{"945":"m"}`}},
		Accounts: []partner.Account{{Email: "Dev@" + slug + ".example", Name: "Dev", Role: "developer", PasswordHash: "argon"}},
	}
}

func applied(t *testing.T, s *partnerdb.Store, b *partner.Bundle) *partner.Bundle {
	t.Helper()
	check(t, s.Apply(context.Background(), b))
	return b
}

// changes are all there are; there must be n.
func changes(t *testing.T, s *partnerdb.Store, n int) []partner.Change {
	t.Helper()
	all, err := s.Changes(context.Background(), 0)
	check(t, err)
	equal(t, "changes", len(all), n)
	return all
}

func bundleRoundTrip(t *testing.T, db *store.DB) {
	s := partnerdb.New(db, ident.NewManual(start))
	b := applied(t, s, bundle("one", partner.FromFile))
	org := b.Organisation.ID
	got, err := s.Organisation(context.Background(), org)
	check(t, err)
	if d := cmp.Diff(b, got); d != "" {
		t.Fatalf("bundle (-applied +read):\n%s", d)
	}
	equal(t, "state", got.Organisation.State, partner.Active)
	equal(t, "rev", got.Sites[0].Rev, partner.Rev(1))
	equal(t, "application", got.Credentials[0].Application, got.Applications[0].ID)
	equal(t, "inherited origin", got.Brands[0].Origin, partner.FromFile)
	equal(t, "created", got.Credentials[0].CreatedAt, start.UnixMicro())
	equal(t, "e-mail", got.Accounts[0].Email, "dev@one.example")
	_, err = s.Organisation(context.Background(), "absent")
	refused(t, err, problem.NotFound)
	orgs, err := s.Organisations(context.Background())
	check(t, err)
	equal(t, "organisations", len(orgs), 1)
	for _, c := range changes(t, s, 8) {
		equal(t, "a change names the organisation", c.ID, string(org))
	}
}

func applyAgain(t *testing.T, db *store.DB) {
	s := partnerdb.New(db, ident.NewManual(start))
	first := applied(t, s, bundle("one", partner.FromFile))
	before := rows(t, db, "changes")
	same := bundle("one", partner.FromFile)
	same.Credentials[0].SecretHash, same.Credentials[0].LastFour, same.Accounts[0].PasswordHash = "", "", ""
	applied(t, s, same)
	if d := cmp.Diff(first, same); d != "" {
		t.Fatalf("applied again (-first +second):\n%s", d)
	}
	equal(t, "changes", rows(t, db, "changes"), before)
	other := bundle("one", partner.FromFile)
	other.Sites[0].Name = "Renamed"
	other.Applications = append(other.Applications, partner.Application{Slug: "tms", Name: "TMS"})
	other.Credentials = nil // not mentioned is not removed
	applied(t, s, other)
	equal(t, "rev of the changed site", other.Sites[0].Rev, partner.Rev(2))
	equal(t, "rev of the same application", other.Applications[0].Rev, partner.Rev(1))
	equal(t, "changes", rows(t, db, "changes"), before+2)
	got, err := s.Organisation(context.Background(), first.Organisation.ID)
	check(t, err)
	equal(t, "credentials", len(got.Credentials), 1)
	equal(t, "applications", len(got.Applications), 2)
	equal(t, "secret", got.Credentials[0].SecretHash, "hash")
}

func origins(t *testing.T, db *store.DB) {
	s := partnerdb.New(db, ident.NewManual(start))
	applied(t, s, bundle("one", partner.FromFile))
	before := rows(t, db, "changes")
	b := bundle("one", partner.FromFile)
	b.Sites[0].Origin, b.Applications[0].Origin = partner.FromPortal, partner.FromPortal
	b.Brands[0].Name = "must not be stored"
	p := refused(t, s.Apply(context.Background(), b), problem.Conflict)
	want := []problem.Violation{
		{In: "document", Pointer: "/sites/S1", Keyword: "origin", Message: `site "S1" of organisation "one" comes from file and from portal: keep one of them`},
		{In: "document", Pointer: "/applications/wms", Keyword: "origin", Message: `application "wms" of organisation "one" comes from file and from portal: keep one of them`},
	}
	if d := cmp.Diff(want, p.Violations); d != "" {
		t.Fatalf("violations (-want +got):\n%s", d)
	}
	equal(t, "changes", rows(t, db, "changes"), before)
	equal(t, "no id is filled in", b.Organisation.ID, partner.OrgID(""))
	// The portal may add its own to an organisation that a file declares.
	added := &partner.Bundle{Organisation: bundle("one", partner.FromFile).Organisation,
		Credentials: []partner.Credential{{Application: "wms", Environment: ident.Sandbox, Kind: "client_secret", ClientID: "extra", SecretHash: "h", Origin: partner.FromPortal}}}
	applied(t, s, added)
}

func allProblems(t *testing.T, db *store.DB) {
	s := partnerdb.New(db, ident.NewManual(start))
	b := bundle("one", partner.FromFile)
	b.Sites = append(b.Sites, b.Sites[0])
	b.Credentials[0].Application = "absent"
	b.Subscriptions[0].Environment = "moon"
	b.Connections[0].Documents = "[]"
	b.Connections = append(b.Connections, b.Connections[0])
	b.Connections[1].Slug = "second"
	b.Accounts[0].State = "asleep"
	p := refused(t, s.Apply(context.Background(), b), problem.Conflict)
	got := map[string]bool{}
	for _, v := range p.Violations {
		got[v.Pointer+" "+v.Keyword] = true
	}
	want := map[string]bool{"/sites/S1 unique": true, "/credentials/one-live application": true, "/connections/second unique": true,
		"/connections/edi value": true, "/accounts/dev@one.example state": true}
	for v := range got {
		if !want[v] && v[:15] != "/subscriptions/" {
			t.Errorf("unexpected violation %s", v)
		}
	}
	for v := range want {
		if !got[v] {
			t.Errorf("missing violation %s in %v", v, got)
		}
	}
	equal(t, "violations", len(p.Violations), 6)
	equal(t, "organisations", rows(t, db, "organisations"), 0)
	equal(t, "changes", rows(t, db, "changes"), 0)
}

func taken(t *testing.T, db *store.DB) {
	s := partnerdb.New(db, ident.NewManual(start))
	applied(t, s, bundle("one", partner.FromPortal))
	b := bundle("two", partner.FromPortal)
	b.Credentials[0].ClientID = "one-live"
	b.Connections[0].SenderID = "one"
	b.Accounts[0].Email = "dev@one.example"
	p := refused(t, s.Apply(context.Background(), b), problem.Conflict)
	equal(t, "violations", len(p.Violations), 3)
	equal(t, "organisations", rows(t, db, "organisations"), 1)
}

func stale(t *testing.T, db *store.DB) {
	s := partnerdb.New(db, ident.NewManual(start))
	b := applied(t, s, bundle("one", partner.FromPortal))
	mine, err := s.Organisation(context.Background(), b.Organisation.ID)
	check(t, err)
	theirs, err := s.Organisation(context.Background(), b.Organisation.ID)
	check(t, err)
	theirs.Applications[0].Name = "theirs"
	applied(t, s, theirs)
	mine.Applications[0].Name = "mine"
	p := refused(t, s.Apply(context.Background(), mine), problem.Conflict)
	equal(t, "place", p.Violations[0].Pointer, "/applications/wms")
}

func noLift(t *testing.T, db *store.DB) {
	s := partnerdb.New(db, ident.NewManual(start))
	ctx := context.Background()
	b := applied(t, s, bundle("one", partner.FromFile))
	org := b.Organisation.ID
	check(t, s.SetState(ctx, org, "credential", b.Credentials[0].ID, partner.Revoked))
	again := bundle("one", partner.FromFile)
	again.Credentials[0].State = partner.Active
	again.Applications[0].State = partner.Suspended
	applied(t, s, again)
	equal(t, "credential", again.Credentials[0].State, partner.Revoked)
	equal(t, "application", again.Applications[0].State, partner.Suspended)
	check(t, s.SetState(ctx, org, "application", b.Applications[0].ID, partner.Active))
	got, err := s.Organisation(ctx, org)
	check(t, err)
	equal(t, "application", got.Applications[0].State, partner.Active)
}

func stateTenancy(t *testing.T, db *store.DB) {
	s := partnerdb.New(db, ident.NewManual(start))
	ctx := context.Background()
	one := applied(t, s, bundle("one", partner.FromPortal))
	two := applied(t, s, bundle("two", partner.FromPortal))
	before := rows(t, db, "changes")
	for kind, id := range map[string]string{"organisation": string(one.Organisation.ID), "application": one.Applications[0].ID,
		"credential": one.Credentials[0].ID, "subscription": one.Subscriptions[0].ID, "connection": one.Connections[0].ID} {
		refused(t, s.SetState(ctx, two.Organisation.ID, kind, id, partner.Revoked), problem.NotFound)
		refused(t, s.SetState(ctx, "", kind, id, partner.Revoked), problem.NotFound)
	}
	equal(t, "changes", rows(t, db, "changes"), before)
	refused(t, s.SetState(ctx, one.Organisation.ID, "site", one.Sites[0].ID, partner.Revoked), problem.NotFound)
	refused(t, s.SetState(ctx, one.Organisation.ID, "application", one.Applications[0].ID, "asleep"), problem.Conflict)
	for kind, id := range map[string]string{"organisation": string(one.Organisation.ID), "application": one.Applications[0].ID,
		"credential": one.Credentials[0].ID, "subscription": one.Subscriptions[0].ID, "connection": one.Connections[0].ID} {
		check(t, s.SetState(ctx, one.Organisation.ID, kind, id, partner.Suspended))
	}
	equal(t, "changes", rows(t, db, "changes"), before+5)
	got, err := s.Organisation(ctx, one.Organisation.ID)
	check(t, err)
	equal(t, "subscription", got.Subscriptions[0].State, partner.Suspended)
	equal(t, "rev", got.Organisation.Rev, partner.Rev(2))
}

// revocation runs a Directory as the gateway does and measures how long a revocation takes to reach it.
func revocation(t *testing.T, db *store.DB) {
	s := partnerdb.New(db, ident.System{})
	other := partnerdb.New(db, ident.System{}) // as a second node: it shares nothing but the database
	ctx, cancel := context.WithCancel(context.Background())
	b := applied(t, s, bundle("one", partner.FromPortal))
	d := partner.NewDirectory(other, ident.System{}, slog.New(slog.DiscardHandler))
	check(t, d.Load(ctx))
	var wg sync.WaitGroup
	wg.Add(1)
	go func() { defer wg.Done(); d.Run(ctx) }()
	defer wg.Wait()
	defer cancel()
	c, ok := d.Client("one-live")
	if !ok || !c.Active || c.Subscriptions["orders"] == nil {
		t.Fatalf("client before: %+v", c)
	}
	if p, ok := d.Party(ident.Live, "ZZ", "one", "ZZ", "US"); !ok || !p.Active || p.Documents["945"] != "m" {
		t.Fatalf("party before: %+v", p)
	}
	begun := time.Now()
	check(t, s.SetState(ctx, b.Organisation.ID, "credential", b.Credentials[0].ID, partner.Revoked))
	for {
		if c, ok := d.Client("one-live"); ok && !c.Active && c.Reason == "credential" {
			break
		}
		if time.Since(begun) > time.Second {
			t.Fatal("the revocation did not arrive within 1 s")
		}
		time.Sleep(time.Millisecond)
	}
	t.Logf("revoked after %v", time.Since(begun).Round(time.Millisecond))
}

func changesComplete(t *testing.T, db *store.DB) {
	s := partnerdb.New(db, ident.NewManual(start))
	ctx := context.Background()
	const writers, each = 6, 12
	var orgs []*partner.Bundle
	for w := range writers {
		orgs = append(orgs, applied(t, s, bundle(string(rune('a'+w)), partner.FromPortal)))
	}
	after := changes(t, s, writers*8)[writers*8-1].Position
	var wg sync.WaitGroup
	for _, b := range orgs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range each {
				state := []partner.State{partner.Suspended, partner.Active}[i%2]
				if err := s.SetState(ctx, b.Organisation.ID, "organisation", string(b.Organisation.ID), state); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	seen := map[string]int{}
	n := 0
	read := func() {
		changes, err := s.Changes(ctx, after)
		check(t, err)
		for _, c := range changes {
			seen[c.ID]++
			after = c.Position
			n++
		}
	}
	during(&wg, read)
	read()
	equal(t, "changes", n, writers*each)
	for _, b := range orgs {
		equal(t, "changes of "+b.Organisation.Slug, seen[string(b.Organisation.ID)], each)
	}
}

var accountCases = map[string]func(*testing.T, *store.DB){
	"accounts and sessions": sessions,
}

func sessions(t *testing.T, db *store.DB) {
	s := partnerdb.New(db, ident.NewManual(start))
	ctx := context.Background()
	b := applied(t, s, bundle("one", partner.FromPortal))
	a, err := s.AccountByEmail(ctx, "dev@one.example")
	check(t, err)
	equal(t, "account", *a, b.Accounts[0])
	_, err = s.AccountByEmail(ctx, "absent\x00@one.example")
	refused(t, err, problem.NotFound)
	a, err = s.Account(ctx, a.ID)
	check(t, err)
	equal(t, "hash", a.PasswordHash, "argon")
	_, err = s.Account(ctx, "absent")
	refused(t, err, problem.NotFound)
	for i, id := range []string{"fresh", "idle", "old"} {
		session := partner.Session{ID: id, Account: a.ID, Org: a.Org, CSRF: "csrf", CreatedAt: 1, ExpiresAt: 1000, SeenAt: 100}
		if i == 2 {
			session.ExpiresAt = 500
		}
		check(t, s.StartSession(ctx, session))
	}
	check(t, s.TouchSession(ctx, "fresh", 450))
	check(t, s.TouchSession(ctx, "fresh", 440)) // late news does not move it back
	check(t, s.TouchSession(ctx, "old", 450))
	got, err := s.Session(ctx, "fresh")
	check(t, err)
	equal(t, "session", *got, partner.Session{ID: "fresh", Account: a.ID, Org: a.Org, CSRF: "csrf", CreatedAt: 1, ExpiresAt: 1000, SeenAt: 450})
	n, err := s.EndExpiredSessions(ctx, 500, 400)
	check(t, err)
	equal(t, "ended", n, int64(2))
	check(t, s.EndSession(ctx, "fresh"))
	check(t, s.EndSession(ctx, "fresh"))
	_, err = s.Session(ctx, "fresh")
	refused(t, err, problem.NotFound)
}
