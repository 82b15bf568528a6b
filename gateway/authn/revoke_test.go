package authn

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"portway/gateway/exchange"
	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/problem"
	"portway/internal/token"
)

// revoke calls the revocation endpoint as c-sandbox.
func (h *house) revoke(raw string, changes ...string) (*exchange.Response, error) {
	f := form("token", raw, "client_id", "c-sandbox", "client_secret", good)
	for i := 0; i+1 < len(changes); i += 2 {
		f.Set(changes[i], changes[i+1])
	}
	return h.oauth.Revoke(context.Background(), h.exchange(f))
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	mine, second, foreign := h.token("c-sandbox"), h.token("c-sandbox"), h.token("c-live")
	for _, raw := range []string{mine, second, foreign} { // now they are remembered as verified
		if got := h.call("Bearer " + raw); got.err != nil {
			t.Fatal(got.err)
		}
	}
	stranger, _, err := h.ring().Issue(token.Grant{ClientID: "c-sandbox", Org: "o1", Environment: ident.Sandbox})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string][]string{
		"mine": {mine}, "mine again": {mine}, "with a hint": {mine, "token_type_hint", "access_token"}, "with another hint": {mine, "token_type_hint", "refresh_token"},
		"another client's": {foreign}, "another installation's": {stranger}, "nonsense": {"nonsense"}, "an API key": {partner.NewAPIKey(ident.Live)},
	} {
		r, err := h.revoke(tt[0], tt[1:]...)
		if err != nil || r.Status != 200 || len(r.Body) != 0 || r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if got := h.call("Bearer " + mine); !problem.Is(got.err, problem.AuthInvalidToken) {
		t.Errorf("a revoked token: %v", got.err)
	}
	for _, raw := range []string{second, foreign} {
		if got := h.call("Bearer " + raw); got.err != nil {
			t.Errorf("a token that was not revoked: %v", got.err)
		}
	}
	if len(h.store.revoked) != 1 {
		t.Errorf("kept: %v", h.store.revoked)
	}
	for _, r := range h.store.revoked {
		if r.Org != "o1" || r.ClientID != "c-sandbox" || r.RevokedAt != h.clock.Now().UnixMicro() || r.ExpiresAt != h.clock.Now().Add(time.Hour).UnixMicro() {
			t.Errorf("kept: %+v", r)
		}
	}
}

func TestRevokeRefusals(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	raw := h.token("c-sandbox")
	for name, tt := range map[string]struct {
		form   url.Values
		status int
		code   string
	}{
		"wrong secret": {form("token", raw, "client_id", "c-sandbox", "client_secret", "x"), 401, "invalid_client"},
		"no client":    {form("token", raw), 401, "invalid_client"},
		"no token":     {form("client_id", "c-sandbox", "client_secret", good), 400, "invalid_request"},
		"token twice":  {form("token", raw, "token", raw, "client_id", "c-sandbox", "client_secret", good), 400, "invalid_request"},
	} {
		r, err := h.oauth.Revoke(context.Background(), h.exchange(tt.form))
		var body map[string]string
		if err != nil || r.Status != tt.status || json.Unmarshal(r.Body, &body) != nil || body["error"] != tt.code {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	x := h.exchange(form("token", raw))
	x.MediaType = "application/json"
	if r, err := h.oauth.Revoke(context.Background(), x); err != nil || r.Status != 400 {
		t.Errorf("JSON: %+v, %v", r, err)
	}
	h.store.down = errors.New("the database is down")
	if _, err := h.revoke(raw); err == nil {
		t.Error("a revocation that is not kept is answered as if it were")
	}
	h.store.down = nil
	if got := h.call("Bearer " + raw); got.err != nil {
		t.Errorf("what was refused revokes nothing: %v", got.err)
	}
}

// All earlier tokens of a credential are void at once; later ones are good.
func TestRevokedBefore(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	old := h.token("c-sandbox")
	if got := h.call("Bearer " + old); got.err != nil {
		t.Fatal(got.err)
	}
	at := h.clock.Now().Add(500 * time.Millisecond).UnixMicro()
	h.change(func(b *partner.Bundle) { b.Credentials[0].RevokedBefore = at })
	if got := h.call("Bearer " + old); !problem.Is(got.err, problem.AuthInvalidToken) {
		t.Errorf("an earlier token: %v", got.err)
	}
	if got := h.call("Bearer " + h.token("c-live")); got.err != nil {
		t.Errorf("another credential: %v", got.err)
	}
	h.clock.Advance(time.Second)
	if got := h.call("Bearer " + h.token("c-sandbox")); got.err != nil {
		t.Errorf("a later token: %v", got.err)
	}
	if !strings.Contains(h.logs.String(), "earlier tokens were revoked") {
		t.Error("the log does not say why")
	}
}

// A token that was verified before is held against everything that changes, at every call.
func TestCachedTokensFollowTheDirectory(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		f    func(*partner.Bundle)
		code problem.Code
	}{
		"credential revoked":     {func(b *partner.Bundle) { b.Credentials[0].State = partner.Revoked }, problem.AuthInvalidToken},
		"credential removed":     {func(b *partner.Bundle) { b.Credentials = b.Credentials[1:] }, problem.AuthInvalidToken},
		"application suspended":  {func(b *partner.Bundle) { b.Applications[0].State = partner.Suspended }, problem.AuthSuspended},
		"organisation suspended": {func(b *partner.Bundle) { b.Organisation.State = partner.Suspended }, problem.AuthSuspended},
		"nothing":                {func(*partner.Bundle) {}, ""},
	} {
		h := newHouse(t)
		raw := h.token("c-sandbox")
		if got := h.call("Bearer " + raw); got.err != nil {
			t.Fatal(got.err)
		}
		h.change(tt.f)
		if got := h.call("Bearer " + raw); (tt.code == "") != (got.err == nil) || tt.code != "" && !problem.Is(got.err, tt.code) {
			t.Errorf("%s: %v, want %s", name, got.err, tt.code)
		}
	}
	h := newHouse(t)
	raw := h.token("c-sandbox")
	if got := h.call("Bearer " + raw); got.err != nil {
		t.Fatal(got.err)
	}
	h.clock.Advance(time.Hour + time.Minute)
	h.change(func(*partner.Bundle) {})
	if got := h.call("Bearer " + raw); !problem.Is(got.err, problem.AuthExpired) {
		t.Errorf("it outlives its exp: %v", got.err)
	}
}

func TestTokenLifetimeByPlan(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for name, tt := range map[string]struct {
		plans [2]string
		want  string
	}{
		"none says":                          {[2]string{"standard", "standard"}, `"expires_in":3600`},
		"the shortest":                       {[2]string{"short", "long"}, `"expires_in":300`},
		"longer than the installation's":     {[2]string{"long", "long"}, `"expires_in":3600`},
		"a plan that is not there any more":  {[2]string{"gone", "short"}, `"expires_in":300`},
		"of the environment's subscriptions": {[2]string{"standard", "short"}, `"expires_in":300`},
	} {
		h.change(func(b *partner.Bundle) { b.Subscriptions[0].Plan, b.Subscriptions[1].Plan = tt.plans[0], tt.plans[1] })
		if r := h.ask(grant("client_id", "c-sandbox", "client_secret", good)); r.Status != 200 || !strings.Contains(string(r.Body), tt.want) {
			t.Errorf("%s: %d %s", name, r.Status, r.Body)
		}
	}
	if r := h.ask(grant("client_id", "c-live", "client_secret", good)); !strings.Contains(string(r.Body), `"expires_in":3600`) {
		t.Errorf("live: %s", r.Body)
	}
}
