package authn

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"portway/gateway/exchange"
	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/problem"
	"portway/internal/secret"
)

// keyHouse has API keys of the application for sandbox and live.
func keyHouse(t *testing.T, changes ...func(*partner.Bundle)) (h *house, sandbox, live string) {
	h = newHouse(t)
	sandbox, live = partner.NewAPIKey(ident.Sandbox), partner.NewAPIKey(ident.Live)
	h.change(func(b *partner.Bundle) {
		b.Credentials = append(b.Credentials,
			partner.Credential{ID: "k7", Org: "o1", Application: "a1", Environment: ident.Sandbox, Kind: partner.APIKey, ClientID: "scanner", SecretHash: secret.Hash(sandbox), State: partner.Active},
			partner.Credential{ID: "k8", Org: "o1", Application: "a1", Environment: ident.Live, Kind: partner.APIKey, ClientID: "scanner-live", SecretHash: secret.Hash(live), State: partner.Active})
		for _, f := range changes {
			f(b)
		}
	})
	return h, sandbox, live
}

// with runs Identify with these headers, where the API takes API keys or does not.
func (h *house) with(takesKeys bool, headers ...string) called {
	x := h.call().x
	x.Route = &catalog.Route{API: &catalog.API{ID: "orders", APIKeys: takesKeys}}
	for i := 0; i+1 < len(headers); i += 2 {
		x.Request.Header.Add(headers[i], headers[i+1])
	}
	return called{x, h.identify.Run(context.Background(), x)}
}

func TestAPIKeys(t *testing.T) {
	t.Parallel()
	h, sandbox, live := keyHouse(t)
	for name, tt := range map[string]struct {
		header, value, client string
	}{
		"X-Api-Key": {"X-Api-Key", sandbox, "scanner"}, "another spelling": {"x-api-key", live, "scanner-live"}, "as a bearer": {"Authorization", "Bearer " + live, "scanner-live"},
	} {
		got := h.with(true, tt.header, tt.value)
		if got.err != nil || got.x.Caller.ClientID != tt.client || got.x.Environment != got.x.Caller.Environment || got.x.Token.ID != "" || got.x.Token.Scopes != nil {
			t.Errorf("%s: %+v, %v", name, got.x.Caller, got.err)
		}
	}
	flipped := sandbox[:len(sandbox)-1] + map[bool]string{true: "1", false: "0"}[strings.HasSuffix(sandbox, "0")]
	for name, tt := range map[string]struct {
		keys    bool
		headers []string
		reason  string // in the log
	}{
		"where only tokens count":          {false, []string{"X-Api-Key", sandbox}, "takes no API keys"},
		"bearer where only tokens count":   {false, []string{"Authorization", "Bearer " + sandbox}, "takes no API keys"},
		"a wrong checksum":                 {true, []string{"X-Api-Key", flipped}, "malformed"},
		"malformed":                        {true, []string{"X-Api-Key", "pw_sandbox_"}, "malformed"},
		"empty":                            {true, []string{"X-Api-Key", ""}, "malformed"},
		"a token as a key":                 {true, []string{"X-Api-Key", h.token("c-live")}, "malformed"},
		"a client's secret as a key":       {true, []string{"X-Api-Key", good}, "malformed"},
		"unknown":                          {true, []string{"X-Api-Key", partner.NewAPIKey(ident.Live)}, "unknown"},
		"two keys":                         {true, []string{"X-Api-Key", sandbox, "X-Api-Key", sandbox}, ""},
		"a key and a token":                {true, []string{"X-Api-Key", sandbox, "Authorization", "Bearer " + h.token("c-live")}, ""},
		"a key and a header of any scheme": {true, []string{"X-Api-Key", sandbox, "Authorization", "Basic eA=="}, ""},
		"a token of a key's name":          {true, []string{"Authorization", h.issue(h.profile, "scanner", "o1", ident.Sandbox)[0]}, "unknown or changed"},
	} {
		before := h.logs.Len()
		got := h.with(tt.keys, tt.headers...)
		if !problem.Is(got.err, problem.AuthInvalidToken) || got.x.Caller != nil {
			t.Errorf("%s: %v", name, got.err)
		}
		if log := h.logs.String()[before:]; !strings.Contains(log, tt.reason) || (tt.reason == "") != (log == "") {
			t.Errorf("%s: log %q, want %q", name, log, tt.reason)
		}
	}
	if strings.Contains(h.logs.String(), sandbox) || strings.Contains(h.logs.String(), live) {
		t.Error("an API key is in the log")
	}
	// A key is no client secret.
	if r := h.ask(grant("client_id", "scanner", "client_secret", sandbox)); r.Status != 401 {
		t.Errorf("the token endpoint takes an API key: %d %s", r.Status, r.Body)
	}
	h.change(func(*partner.Bundle) {}) // the credentials are gone
	if got := h.with(true, "X-Api-Key", sandbox); !problem.Is(got.err, problem.AuthInvalidToken) {
		t.Errorf("a key that is gone: %v", got.err)
	}
}

func TestAPIKeyStates(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		f    func(*partner.Bundle)
		code problem.Code
	}{
		"revoked":                {func(b *partner.Bundle) { b.Credentials[3].State = partner.Revoked }, problem.AuthInvalidToken},
		"suspended application":  {func(b *partner.Bundle) { b.Applications[0].State = partner.Suspended }, problem.AuthSuspended},
		"expired":                {func(b *partner.Bundle) { b.Credentials[3].ExpiresAt = 1 }, problem.AuthExpired},
		"moved to live by a row": {func(b *partner.Bundle) { b.Credentials[3].Environment = ident.Live }, problem.AuthInvalidToken},
		"of a vendor":            {func(b *partner.Bundle) { b.Organisation.Kind = partner.KindVendor }, problem.AuthInvalidToken},
	} {
		h, sandbox, _ := keyHouse(t, tt.f)
		if got := h.with(true, "X-Api-Key", sandbox); !problem.Is(got.err, tt.code) {
			t.Errorf("%s: %v, want %s", name, got.err, tt.code)
		}
	}
}

func TestAllowedAddresses(t *testing.T) {
	t.Parallel()
	mode := func(m string) func(*partner.Bundle) {
		return func(b *partner.Bundle) {
			b.AddressRules = []partner.AddressRule{{Application: "a1", Environment: ident.Sandbox, Mode: m, Allow: "203.0.113.0/24"}}
		}
	}
	for name, tt := range map[string]struct {
		mode, client, from string
		headers            []string
		ok, logged         bool
	}{
		"on the list":              {partner.AddressEnforce, "c-sandbox", "203.0.113.5", nil, true, false},
		"mapped":                   {partner.AddressEnforce, "c-sandbox", "::ffff:203.0.113.5", nil, true, false},
		"elsewhere":                {partner.AddressEnforce, "c-sandbox", "198.51.100.1", nil, false, true},
		"elsewhere, log only":      {partner.AddressLog, "c-sandbox", "198.51.100.1", nil, true, true},
		"off":                      {partner.AddressOff, "c-sandbox", "198.51.100.1", nil, true, false},
		"of the other environment": {partner.AddressEnforce, "c-live", "198.51.100.1", nil, true, false},
		"forged headers": {partner.AddressEnforce, "c-sandbox", "198.51.100.1",
			[]string{"X-Forwarded-For", "203.0.113.5", "Forwarded", "for=203.0.113.5", "X-Real-IP", "203.0.113.5", "True-Client-IP", "203.0.113.5"}, false, true},
	} {
		h := newHouse(t)
		h.change(mode(tt.mode))
		x := h.call().x
		x.Request.Remote = netip.MustParseAddr(tt.from)
		x.Request.Header.Add("Authorization", "Bearer "+h.token(tt.client))
		for i := 0; i+1 < len(tt.headers); i += 2 {
			x.Request.Header.Add(tt.headers[i], tt.headers[i+1])
		}
		err := h.identify.Run(context.Background(), x)
		if (err == nil) != tt.ok || err != nil && !problem.Is(err, problem.AuthAddress) {
			t.Errorf("%s: %v", name, err)
		}
		if x.Caller == nil {
			t.Errorf("%s: the record names no caller, and the partner cannot see the refusal", name)
		}
		if logged := strings.Contains(h.logs.String(), "address not on the list"); logged != tt.logged {
			t.Errorf("%s: log %s", name, h.logs.String())
		}
		// The token endpoint holds to the same list.
		var r *exchange.Response
		ask := h.exchange(grant("client_id", tt.client, "client_secret", good))
		ask.Request.Remote, ask.Request.Header = x.Request.Remote, x.Request.Header[1:]
		if r, err = h.oauth.Token(context.Background(), ask); err != nil || (r.Status == 200) != tt.ok || !tt.ok && !strings.Contains(string(r.Body), "unauthorized_client") {
			t.Errorf("%s: the token endpoint answers %d %s, %v", name, r.Status, r.Body, err)
		}
	}
}
