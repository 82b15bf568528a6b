package authn

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"net/url"
	"sync"
	"testing"
	"time"

	"portway/gateway/exchange"
	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/problem"
	"portway/internal/secret"
	"portway/internal/token"
)

// store is a partner.Store in memory, and what was presented once.
type store struct {
	partner.Store
	mu      sync.Mutex
	bundles []*partner.Bundle
	changes []partner.Change
	revoked map[string]partner.RevokedToken
	seen    map[string]time.Time
	down    error
}

func (s *store) put(b *partner.Bundle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.bundles {
		if s.bundles[i].Organisation.ID == b.Organisation.ID {
			s.bundles = append(s.bundles[:i], s.bundles[i+1:]...)
			break
		}
	}
	s.bundles = append(s.bundles, b)
	s.changed("organisation", string(b.Organisation.ID))
}

func (s *store) changed(kind, id string) {
	s.changes = append(s.changes, partner.Change{Position: int64(len(s.changes) + 1), Kind: kind, ID: id})
}

func (s *store) Organisations(context.Context) ([]partner.Organisation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []partner.Organisation
	for _, b := range s.bundles {
		out = append(out, b.Organisation)
	}
	return out, s.down
}

func (s *store) Organisation(_ context.Context, org partner.OrgID) (*partner.Bundle, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.bundles {
		if b.Organisation.ID == org {
			return b, s.down
		}
	}
	return nil, problem.New(problem.NotFound, "no such organisation")
}

func (s *store) Changes(_ context.Context, after int64) ([]partner.Change, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]partner.Change(nil), s.changes[after:]...), s.down
}

func (s *store) RevokeToken(_ context.Context, t partner.RevokedToken) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return s.down
	}
	s.revoked[t.ID] = t
	s.changed("token", t.ID)
	return nil
}

func (s *store) RevokedToken(_ context.Context, id string) (*partner.RevokedToken, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.revoked[id]
	return &t, s.down
}

func (s *store) RevokedTokens(context.Context, int64) ([]partner.RevokedToken, error) {
	return nil, nil
}

// First is token.Once.
func (s *store) First(_ context.Context, key string, until time.Time) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, was := s.seen[key]
	s.seen[key] = until
	return !was, s.down
}

type keeper map[string][]byte

func (k keeper) PutOnce(_ context.Context, name string, value []byte) ([]byte, error) {
	if k[name] == nil {
		k[name] = value
	}
	return k[name], nil
}

func (k keeper) Get(_ context.Context, name string) ([]byte, error) {
	if k[name] == nil {
		return nil, problem.New(problem.NotFound, "there is no setting %q", name)
	}
	return k[name], nil
}

func (k keeper) Swap(_ context.Context, name string, old, value []byte) (bool, error) {
	same := bytes.Equal(k[name], old)
	if same {
		k[name] = value
	}
	return same, nil
}

// house is an installation with the client "c-sandbox" (and "c-live") of one organisation.
type house struct {
	t         *testing.T
	store     *store
	clock     *ident.Manual
	directory *partner.Directory
	profile   *token.Profile
	logs      bytes.Buffer
	oauth     *OAuth
	identify  *Identify
	snapshot  *catalog.Snapshot
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, clock: ident.NewManual(time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)), store: &store{revoked: map[string]partner.RevokedToken{}, seen: map[string]time.Time{}}}
	h.change(func(*partner.Bundle) {})
	log := slog.New(slog.NewTextHandler(&h.logs, nil))
	h.directory = partner.NewDirectory(h.store, h.clock, log)
	if err := h.directory.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	h.profile = h.ring()
	h.oauth = &OAuth{Profile: h.profile, Directory: h.directory, Revocations: h.store, Seen: h.store, Log: log}
	h.identify = &Identify{Verifier: token.NewVerifier(token.VerifierOptions{Own: h.profile, Log: log}), Directory: h.directory, Clock: h.clock, Log: log}
	h.snapshot = &catalog.Snapshot{Plans: map[string]*catalog.Plan{"standard": {}, "short": {TokenLifetime: 5 * time.Minute}, "long": {TokenLifetime: 20 * time.Hour}}}
	return h
}

// ring is a profile with a key of its own.
func (h *house) ring() *token.Profile {
	sealer, err := secret.NewSealer(make([]byte, 32))
	if err != nil {
		h.t.Fatal(err)
	}
	ring, err := token.OpenKeyRing(context.Background(), token.RingOptions{Keeper: keeper{}, Sealer: sealer, Clock: h.clock, Lifetime: time.Hour})
	if err != nil {
		h.t.Fatal(err)
	}
	return &token.Profile{Issuer: issuer, Audience: issuer, Lifetime: time.Hour, Ring: ring, Clock: h.clock}
}

// change makes the organisation anew with one change, and lets the directory see it.
func (h *house) change(f func(*partner.Bundle)) {
	b := &partner.Bundle{Organisation: partner.Organisation{ID: "o1", Slug: "org", Name: "Org", Kind: partner.Kind3PL, State: partner.Active, Zone: "UTC"},
		Applications: []partner.Application{{ID: "a1", Org: "o1", Slug: "app", State: partner.Active}},
		Credentials: []partner.Credential{
			{ID: "k1", Org: "o1", Application: "a1", Environment: ident.Sandbox, Kind: partner.ClientSecret, ClientID: "c-sandbox", SecretHash: secret.Hash(good), State: partner.Active},
			{ID: "k2", Org: "o1", Application: "a1", Environment: ident.Live, Kind: partner.ClientSecret, ClientID: "c-live", SecretHash: secret.Hash(good), State: partner.Active},
			{ID: "k3", Org: "o1", Application: "a1", Environment: ident.Live, Kind: partner.ClientSecret, ClientID: "c-nohash", State: partner.Active}},
		Subscriptions: []partner.Subscription{
			{Application: "a1", API: "orders", Environment: ident.Sandbox, Plan: "standard", Scopes: "orders:read orders:write", State: partner.Active},
			{Application: "a1", API: "shipments", Environment: ident.Sandbox, Plan: "standard", Scopes: "shipments:read orders:read", State: partner.Active},
			{Application: "a1", API: "orders", Environment: ident.Live, Plan: "standard", Scopes: "orders:read", State: partner.Active}}}
	f(b)
	h.store.put(b)
	if h.directory != nil {
		if err := h.directory.Sync(context.Background()); err != nil {
			h.t.Fatal(err)
		}
	}
}

// exchange is a call of an OAuth endpoint.
func (h *house) exchange(form url.Values) *exchange.Exchange {
	return &exchange.Exchange{ID: "r-1", MediaType: "application/x-www-form-urlencoded", Body: []byte(form.Encode()), Snapshot: h.snapshot,
		Request: exchange.Request{Remote: netip.MustParseAddr("198.51.100.1")}}
}
