package authn

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/problem"
	"portway/internal/token/jose"
)

// externalHouse trusts two issuers whose keys a server of the test publishes: "https://idp.example" names clients by
// sub, "https://fixed.example" stands for org/app in the sandbox.
func externalHouse(t *testing.T) (h *house, keys pair, fetches *atomic.Int64) {
	h = newHouse(t)
	keys = newPair(t, "idp-1", false)
	fetches = &atomic.Int64{}
	set := keySet(t, keys)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetches.Add(1)
		w.Header().Set("Content-Type", "application/jwk-set+json")
		_, _ = w.Write([]byte(set))
	}))
	t.Cleanup(server.Close)
	err := h.identify.Verifier.Apply(map[string]*catalog.Issuer{
		"https://idp.example": {ID: "idp", Issuer: "https://idp.example", Profile: catalog.ProfileJWT, Audience: "portway", Algorithms: []string{"ES256"}, JWKS: server.URL,
			MaxLifetime: time.Hour, IdentityClaim: "sub", EnvironmentClaim: "env", Clients: map[string]string{"svc-1": "c-sandbox", "svc-2": "c-live", "svc-3": "gone", "svc-v": "hub"}},
		"https://fixed.example": {ID: "fixed", Issuer: "https://fixed.example", Profile: catalog.ProfileJWT, Audience: "portway", Algorithms: []string{"ES256"}, JWKS: server.URL,
			MaxLifetime: time.Hour, IdentityClaim: "sub", Environment: ident.Sandbox, Application: "org/app"},
		"https://vendor.example": {ID: "vendor", Issuer: "https://vendor.example", Profile: catalog.ProfileJWT, Audience: "portway", Algorithms: []string{"ES256"}, JWKS: server.URL,
			MaxLifetime: time.Hour, IdentityClaim: "sub", Environment: ident.Sandbox, Application: "vend/hub"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return h, keys, fetches
}

// external signs a token of an issuer, with changes to good claims.
func (h *house) external(p pair, iss, sub string, changes map[string]any) string {
	h.t.Helper()
	now := h.clock.Now()
	claims := map[string]any{"iss": iss, "sub": sub, "aud": "portway", "env": "sandbox", "iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix()}
	maps.Copy(claims, changes)
	payload, err := json.Marshal(claims)
	if err != nil {
		h.t.Fatal(err)
	}
	raw, err := jose.Sign("JWT", p.kid, p.private, payload)
	if err != nil {
		h.t.Fatal(err)
	}
	return raw
}

func TestExternalIssuers(t *testing.T) {
	t.Parallel()
	h, keys, fetches := externalHouse(t)
	got := h.call("Bearer " + h.external(keys, "https://idp.example", "svc-1", nil))
	if got.err != nil || got.x.Caller.ClientID != "c-sandbox" || got.x.Environment != ident.Sandbox || !got.x.Token.Unlimited || got.x.Token.ID != "idp/" {
		t.Fatalf("%+v, %v\n%s", got.x, got.err, h.logs.String())
	}
	got = h.call("Bearer " + h.external(keys, "https://idp.example", "svc-2", map[string]any{"env": "live", "scope": "orders:read", "jti": "7"}))
	if got.err != nil || got.x.Caller.ClientID != "c-live" || got.x.Token.Unlimited || !got.x.Token.Scopes["orders:read"] || got.x.Token.ID != "idp/7" {
		t.Errorf("with scopes: %+v, %v", got.x, got.err)
	}
	got = h.call("Bearer " + h.external(keys, "https://fixed.example", "anybody", nil))
	if got.err != nil || got.x.Caller.Application != "a1" || got.x.Caller.Credential != "" || got.x.Caller.Subscriptions["orders"] == nil || got.x.Environment != ident.Sandbox {
		t.Errorf("a fixed application: %+v, %v", got.x.Caller, got.err)
	}
	if n := fetches.Load(); n != 1 {
		t.Errorf("%d fetches, want one", n)
	}
	stranger, hacker := newPair(t, "idp-2", false), newPair(t, "idp-1", false)
	for name, raw := range map[string]string{
		"an issuer that is not known":     h.external(keys, "https://evil.example", "svc-1", nil),
		"an issuer in another spelling":   h.external(keys, "https://idp.example/", "svc-1", nil),
		"ours, signed by theirs":          h.external(keys, issuer, "c-sandbox", map[string]any{"client_id": "c-sandbox", "org": "o1", "jti": "1", "aud": issuer}),
		"an identity that is not mapped":  h.external(keys, "https://idp.example", "c-sandbox", nil),
		"a client that is gone":           h.external(keys, "https://idp.example", "svc-3", nil),
		"the client's other environment":  h.external(keys, "https://idp.example", "svc-1", map[string]any{"env": "live"}),
		"another audience":                h.external(keys, "https://idp.example", "svc-1", map[string]any{"aud": "other"}),
		"a key of the same name":          h.external(hacker, "https://idp.example", "svc-1", nil),
		"a key that is not published":     h.external(stranger, "https://idp.example", "svc-1", nil),
		"for a day":                       h.external(keys, "https://idp.example", "svc-1", map[string]any{"exp": h.clock.Now().Add(24 * time.Hour).Unix()}),
		"bound to a certificate not here": h.external(keys, "https://idp.example", "svc-1", map[string]any{"cnf": map[string]any{"x5t#S256": "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"}}),
	} {
		if got := h.call("Bearer " + raw); !problem.Is(got.err, problem.AuthInvalidToken) || got.x.Caller != nil {
			t.Errorf("%s: %+v, %v", name, got.x.Caller, got.err)
		}
	}
	if n := fetches.Load(); n > 2 {
		t.Errorf("%d fetches: hostile tokens make the gateway fetch", n)
	}
	h.change(func(b *partner.Bundle) { b.Applications[0].State = partner.Suspended })
	for _, iss := range []string{"https://idp.example", "https://fixed.example"} {
		if got := h.call("Bearer " + h.external(keys, iss, "svc-1", nil)); !problem.Is(got.err, problem.AuthSuspended) {
			t.Errorf("%s, suspended: %v", iss, got.err)
		}
	}
	if err := h.identify.Verifier.Apply(nil); err != nil {
		t.Fatal(err)
	}
	h.change(func(*partner.Bundle) {})
	if got := h.call("Bearer " + h.external(keys, "https://idp.example", "svc-1", nil)); !problem.Is(got.err, problem.AuthInvalidToken) {
		t.Errorf("an issuer that was taken out: %v", got.err)
	}
}

// An external token cannot say for whom a vendor calls.
func TestExternalTokensAreNoVendors(t *testing.T) {
	t.Parallel()
	h, keys, _ := externalHouse(t)
	v := vendorHouse(t)
	for _, b := range v.store.bundles {
		h.store.put(b)
	}
	if err := h.directory.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	for iss, changes := range map[string]map[string]any{"https://idp.example": {"vendor": "v1", "org": "o1"}, "https://vendor.example": nil} {
		if got := h.call("Bearer " + h.external(keys, iss, "svc-v", changes)); !problem.Is(got.err, problem.AuthInvalidToken) {
			t.Errorf("%s: %+v, %v", iss, got.x.Caller, got.err)
		}
	}
}

func TestIssuerKeysUnavailable(t *testing.T) {
	t.Parallel()
	h, keys, _ := externalHouse(t)
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	err := h.identify.Verifier.Apply(map[string]*catalog.Issuer{"https://idp.example": {ID: "idp", Issuer: "https://idp.example", Profile: catalog.ProfileJWT,
		Audience: "portway", Algorithms: []string{"ES256"}, JWKS: server.URL, MaxLifetime: time.Hour, IdentityClaim: "sub", Environment: ident.Sandbox, Application: "org/app"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := h.call("Bearer " + h.external(keys, "https://idp.example", "svc-1", nil)); !problem.Is(got.err, problem.AuthUnavailable) {
		t.Errorf("%v, want auth.unavailable: it is not the caller's fault", got.err)
	}
}
