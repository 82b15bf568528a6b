package authn

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/netip"
	"net/url"
	"slices"
	"strings"
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

const (
	issuer = "https://gw.example"
	good   = "a-secret-of-many-bits:with colon&more"
)

// ask calls the token endpoint.
func (h *house) ask(form url.Values, headers ...string) *exchange.Response {
	h.t.Helper()
	x := h.exchange(form)
	for _, v := range headers {
		x.Request.Header.Add("Authorization", v)
	}
	r, err := h.oauth.Token(context.Background(), x)
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

func basic(id, given string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(given)))
}

func form(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v
}

// grant is a good request, with further parameters.
func grant(pairs ...string) url.Values {
	return form(append([]string{"grant_type", "client_credentials"}, pairs...)...)
}

// TestTokenRefusals holds every refusal to RFC 6749 section 5.2: JSON with error and description, never cached.
func TestTokenRefusals(t *testing.T) {
	t.Parallel()
	post := func(pairs ...string) url.Values {
		return grant(append([]string{"client_id", "c-sandbox", "client_secret", good}, pairs...)...)
	}
	tests := map[string]struct {
		form    url.Values
		headers []string
		status  int
		code    string
	}{
		"wrong secret, form":        {grant("client_id", "c-sandbox", "client_secret", "wrong"), nil, 401, "invalid_client"},
		"wrong secret, header":      {grant(), []string{basic("c-sandbox", "wrong")}, 401, "invalid_client"},
		"unknown client, form":      {grant("client_id", "nobody", "client_secret", good), nil, 401, "invalid_client"},
		"unknown client, header":    {grant(), []string{basic("nobody", good)}, 401, "invalid_client"},
		"no secret":                 {grant("client_id", "c-sandbox"), nil, 401, "invalid_client"},
		"no client":                 {grant(), nil, 401, "invalid_client"},
		"client without a secret":   {grant("client_id", "c-nohash", "client_secret", ""), nil, 401, "invalid_client"},
		"the hash as the secret":    {grant("client_id", "c-sandbox", "client_secret", secret.Hash(good)), nil, 401, "invalid_client"},
		"header not base64":         {grant(), []string{"Basic ???"}, 401, "invalid_client"},
		"header without colon":      {grant(), []string{"Basic " + base64.StdEncoding.EncodeToString([]byte("c-sandbox"))}, 401, "invalid_client"},
		"header badly escaped":      {grant(), []string{"Basic " + base64.StdEncoding.EncodeToString([]byte("c-sandbox:%zz"))}, 401, "invalid_client"},
		"header and form":           {post(), []string{basic("c-sandbox", good)}, 400, "invalid_request"},
		"header of another client":  {grant("client_id", "c-live"), []string{basic("c-sandbox", good)}, 400, "invalid_request"},
		"two headers":               {grant(), []string{basic("c-sandbox", good), basic("c-sandbox", good)}, 400, "invalid_request"},
		"a bearer header":           {grant(), []string{"Bearer x"}, 400, "invalid_request"},
		"a parameter twice":         {post("grant_type", "client_credentials"), nil, 400, "invalid_request"},
		"scope twice":               {post("scope", "orders:read", "scope", "orders:write"), nil, 400, "invalid_request"},
		"grant missing":             {form("client_id", "c-sandbox", "client_secret", good), nil, 400, "invalid_request"},
		"grant unsupported":         {form("grant_type", "password", "client_id", "c-sandbox", "client_secret", good), nil, 400, "unsupported_grant_type"},
		"scope unknown":             {post("scope", "orders:read admin"), nil, 400, "invalid_scope"},
		"scope of the other world":  {grant("client_id", "c-live", "client_secret", good, "scope", "orders:write"), nil, 400, "invalid_scope"},
		"scope in another spelling": {post("scope", "Orders:Read"), nil, 400, "invalid_scope"},
		"too large":                 {post("padding", strings.Repeat("x", maxForm)), nil, 400, "invalid_request"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			r := h.ask(tt.form, tt.headers...)
			var body map[string]any
			if err := json.Unmarshal(r.Body, &body); err != nil {
				t.Fatal(err)
			}
			if r.Status != tt.status || body["error"] != tt.code || body["error_description"] == "" || len(body) != 2 {
				t.Errorf("%d %s, want %d %s", r.Status, r.Body, tt.status, tt.code)
			}
			if r.Header.Get("Cache-Control") != "no-store" || r.Header.Get("Pragma") != "no-cache" || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("headers %v", r.Header)
			}
			if (r.Header.Get("WWW-Authenticate") == `Basic realm="portway"`) != (tt.status == 401) {
				t.Errorf("a %d has WWW-Authenticate %q", r.Status, r.Header.Get("WWW-Authenticate"))
			}
			for _, hush := range []string{good, secret.Hash(good), "nobody"} {
				if strings.Contains(string(r.Body), hush) || strings.Contains(h.logs.String(), hush) {
					t.Errorf("%q is shown: %s %s", hush, r.Body, h.logs.String())
				}
			}
		})
	}
}

func TestTokenWantsAForm(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for media, body := range map[string]string{"application/json": `{}`, "": "grant_type=client_credentials", "application/x-www-form-urlencoded": "grant_type=%zz"} {
		r, err := h.oauth.Token(context.Background(), &exchange.Exchange{MediaType: media, Body: []byte(body)})
		if err != nil || r.Status != 400 || !strings.Contains(string(r.Body), `"invalid_request"`) {
			t.Errorf("%q %s: %+v, %v", media, body, r, err)
		}
	}
}

// An unknown client, a wrong secret, and a client that may not are one answer, byte for byte.
func TestClientRefusalsAreAlike(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	asked := grant("client_id", "c-sandbox", "client_secret", good)
	first := h.ask(grant("client_id", "nobody", "client_secret", good))
	same := func(name string, r *exchange.Response) {
		if r.Status != first.Status || !bytes.Equal(r.Body, first.Body) || !slices.Equal(r.Header, first.Header) {
			t.Errorf("%s: %d %s %v, want %d %s", name, r.Status, r.Body, r.Header, first.Status, first.Body)
		}
	}
	same("wrong secret", h.ask(grant("client_id", "c-sandbox", "client_secret", "wrong")))
	same("in the header", h.ask(grant(), basic("nobody", "x")))
	for name, f := range map[string]func(*partner.Bundle){
		"credential revoked":     func(b *partner.Bundle) { b.Credentials[0].State = partner.Revoked },
		"application suspended":  func(b *partner.Bundle) { b.Applications[0].State = partner.Suspended },
		"organisation suspended": func(b *partner.Bundle) { b.Organisation.State = partner.Suspended },
		"credential expired":     func(b *partner.Bundle) { b.Credentials[0].ExpiresAt = h.clock.Now().UnixMicro() },
	} {
		h.change(f)
		same(name, h.ask(asked))
	}
	h.change(func(*partner.Bundle) {})
	if r := h.ask(asked); r.Status != 200 {
		t.Errorf("active again: %d %s", r.Status, r.Body)
	}
}

func TestTokenScopes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for name, tt := range map[string]struct{ client, asked, want string }{
		"all there are":      {"c-sandbox", "", "orders:read orders:write shipments:read"},
		"blank is all":       {"c-sandbox", "  ", "orders:read orders:write shipments:read"},
		"fewer":              {"c-sandbox", "shipments:read", "shipments:read"},
		"sorted, once each":  {"c-sandbox", "orders:write orders:read orders:write", "orders:read orders:write"},
		"of its environment": {"c-live", "", "orders:read"},
	} {
		f := grant("client_id", tt.client, "client_secret", good)
		if tt.asked != "" {
			f.Set("scope", tt.asked)
		}
		r := h.ask(f)
		var body struct {
			AccessToken string `json:"access_token"`
			TokenType   string `json:"token_type"`
			ExpiresIn   int64  `json:"expires_in"`
			Scope       string `json:"scope"`
		}
		if err := json.Unmarshal(r.Body, &body); err != nil || r.Status != 200 {
			t.Fatalf("%s: %d %s", name, r.Status, r.Body)
		}
		if body.TokenType != "Bearer" || body.ExpiresIn != 3600 || body.Scope != tt.want || r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %s", name, r.Body)
		}
		claims, err := h.profile.Verify(body.AccessToken)
		if err != nil || claims.Scope != tt.want || claims.ClientID != tt.client || claims.Org != "o1" || string(claims.Environment) != strings.TrimPrefix(tt.client, "c-") {
			t.Errorf("%s: claims %+v, %v", name, claims, err)
		}
	}
	// The header form-encodes both parts (RFC 6749 section 2.3.1): this secret has a colon, a space and an ampersand.
	for name, r := range map[string]*exchange.Response{
		"header":                 h.ask(grant(), basic("c-sandbox", good)),
		"header, scheme in caps": h.ask(grant(), strings.Replace(basic("c-sandbox", good), "Basic", "BASIC", 1)),
		"header and the same id": h.ask(grant("client_id", "c-sandbox"), basic("c-sandbox", good)),
	} {
		if r.Status != 200 {
			t.Errorf("%s: %d %s", name, r.Status, r.Body)
		}
	}
}

// The call record of a token request names the client that authenticated, and none that did not.
func TestTokenNamesTheCaller(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for given, want := range map[string]bool{good: true, "wrong": false} {
		x := h.exchange(grant("client_id", "c-sandbox", "client_secret", given))
		if _, err := h.oauth.Token(context.Background(), x); err != nil || (x.Caller != nil) != want || (x.Environment == ident.Sandbox) != want {
			t.Errorf("secret %q: caller %v, %v", given, x.Caller, err)
		}
	}
}

func TestStaleDirectoryIsUnavailable(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	raw := h.token("c-sandbox")
	h.store.down = errors.New("the database is down")
	h.clock.Advance(61 * time.Second)
	x := h.exchange(grant("client_id", "c-sandbox", "client_secret", good))
	_, err := h.oauth.Token(context.Background(), x)
	for name, err := range map[string]error{"token": err, "call": h.call("Bearer " + raw).err} {
		var p *problem.Error
		if !errors.As(err, &p) || p.Code != problem.AuthUnavailable || p.RetryAfter != 5*time.Second || p.Status() != 503 {
			t.Errorf("%s: %v, want auth.unavailable", name, err)
		}
	}
	h.store.down = nil
	if err := h.directory.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := h.call("Bearer " + raw); got.err != nil {
		t.Errorf("when the database is back: %v", got.err)
	}
}

func (h *house) token(client string) string {
	h.t.Helper()
	c, ok := h.directory.Client(client)
	if !ok {
		h.t.Fatalf("no client %s", client)
	}
	raw, _, err := h.profile.Issue(token.Grant{ClientID: client, Org: c.Org, Environment: c.Environment, Scope: "orders:read orders:write"})
	if err != nil {
		h.t.Fatal(err)
	}
	return raw
}

// issue is the header with a token of any claims.
func (h *house) issue(p *token.Profile, client string, org ident.OrgID, env ident.Environment) []string {
	h.t.Helper()
	raw, _, err := p.Issue(token.Grant{ClientID: client, Org: org, Environment: env})
	if err != nil {
		h.t.Fatal(err)
	}
	return []string{"Bearer " + raw}
}

type called struct {
	x   *exchange.Exchange
	err error
}

// call runs Identify with these Authorization headers.
func (h *house) call(headers ...string) called {
	x := &exchange.Exchange{ID: "r-2", Route: &catalog.Route{API: &catalog.API{ID: "orders"}}, Request: exchange.Request{Remote: netip.MustParseAddr("198.51.100.1")}}
	for _, v := range headers {
		x.Request.Header.Add("authorization", v)
	}
	return called{x, h.identify.Run(context.Background(), x)}
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	raw := h.token("c-live")
	for _, header := range []string{"Bearer " + raw, "bearer " + raw, "BEARER " + raw} {
		got := h.call(header)
		if got.err != nil || got.x.Caller == nil || got.x.Caller.ClientID != "c-live" || got.x.Environment != ident.Live || got.x.Token.ID == "" ||
			!got.x.Token.Scopes["orders:write"] || len(got.x.Token.Scopes) != 2 || !got.x.Token.Expires.Equal(h.clock.Now().Add(time.Hour)) {
			t.Errorf("%.10s: %+v, %v", header, got.x, got.err)
		}
	}
	anonymous := &exchange.Exchange{Route: &catalog.Route{Anonymous: true}}
	anonymous.Request.Header.Add("Authorization", "Bearer nonsense")
	if err := h.identify.Run(context.Background(), anonymous); err != nil || anonymous.Caller != nil {
		t.Errorf("an anonymous operation: %v, %v", anonymous.Caller, err)
	}
	open := &Identify{Open: &partner.Caller{ClientID: "open", Environment: ident.Live}}
	x := &exchange.Exchange{Route: &catalog.Route{}}
	if err := open.Run(context.Background(), x); err != nil || x.Caller.ClientID != "open" || x.Environment != ident.Live {
		t.Errorf("open access: %+v, %v", x, err)
	}
}

func TestIdentifyRefusals(t *testing.T) {
	t.Parallel()
	const plain, invalid = `Bearer realm="portway"`, `Bearer realm="portway", error="invalid_token"`
	tests := map[string]struct {
		headers   func(h *house) []string
		code      problem.Code
		challenge string
	}{
		"missing":             {func(*house) []string { return nil }, problem.AuthMissing, plain},
		"empty":               {func(*house) []string { return []string{""} }, problem.AuthInvalidToken, invalid},
		"no token":            {func(*house) []string { return []string{"Bearer "} }, problem.AuthInvalidToken, invalid},
		"scheme alone":        {func(*house) []string { return []string{"Bearer"} }, problem.AuthInvalidToken, invalid},
		"token alone":         {func(h *house) []string { return []string{h.token("c-live")} }, problem.AuthInvalidToken, invalid},
		"another scheme":      {func(h *house) []string { return []string{"Basic " + h.token("c-live")} }, problem.AuthInvalidToken, invalid},
		"two spaces":          {func(h *house) []string { return []string{"Bearer  " + h.token("c-live")} }, problem.AuthInvalidToken, invalid},
		"a list":              {func(h *house) []string { return []string{"Bearer " + h.token("c-live") + ", Bearer x"} }, problem.AuthInvalidToken, invalid},
		"two headers":         {func(h *house) []string { return []string{"Bearer " + h.token("c-live"), "Bearer " + h.token("c-live")} }, problem.AuthInvalidToken, invalid},
		"two headers, one no": {func(h *house) []string { return []string{"Bearer " + h.token("c-live"), "Basic eA=="} }, problem.AuthInvalidToken, invalid},
		"nonsense":            {func(*house) []string { return []string{"Bearer abc.def.ghi"} }, problem.AuthInvalidToken, invalid},
		"line end":            {func(h *house) []string { return []string{"Bearer " + h.token("c-live") + "\n"} }, problem.AuthInvalidToken, invalid},
		"foreign key":         {func(h *house) []string { return h.issue(h.ring(), "c-live", "o1", ident.Live) }, problem.AuthInvalidToken, invalid},
		"expired": {func(h *house) []string {
			raw := h.token("c-live")
			h.clock.Advance(time.Hour + time.Minute)
			h.change(func(*partner.Bundle) {}) // the directory is fresh: only the token is old
			return []string{"Bearer " + raw}
		}, problem.AuthExpired, invalid},
		"client unknown":          {func(h *house) []string { return h.issue(h.profile, "nobody", "o1", ident.Live) }, problem.AuthInvalidToken, invalid},
		"environment of another":  {func(h *house) []string { return h.issue(h.profile, "c-sandbox", "o1", ident.Live) }, problem.AuthInvalidToken, invalid},
		"organisation of another": {func(h *house) []string { return h.issue(h.profile, "c-live", "o2", ident.Live) }, problem.AuthInvalidToken, invalid},
		"environment changed": {func(h *house) []string {
			raw := h.token("c-sandbox")
			h.change(func(b *partner.Bundle) { b.Credentials[0].Environment = ident.Live })
			return []string{"Bearer " + raw}
		}, problem.AuthInvalidToken, invalid},
		"credential removed": {func(h *house) []string {
			raw := h.token("c-live")
			h.change(func(b *partner.Bundle) { b.Credentials = b.Credentials[:1] })
			return []string{"Bearer " + raw}
		}, problem.AuthInvalidToken, invalid},
		"credential revoked": {func(h *house) []string {
			raw := h.token("c-live")
			h.change(func(b *partner.Bundle) { b.Credentials[1].State = partner.Revoked })
			return []string{"Bearer " + raw}
		}, problem.AuthInvalidToken, invalid},
		"credential expired": {func(h *house) []string {
			raw := h.token("c-live")
			h.change(func(b *partner.Bundle) { b.Credentials[1].ExpiresAt = h.clock.Now().UnixMicro() })
			return []string{"Bearer " + raw}
		}, problem.AuthExpired, invalid},
		"application suspended": {func(h *house) []string {
			raw := h.token("c-live")
			h.change(func(b *partner.Bundle) { b.Applications[0].State = partner.Suspended })
			return []string{"Bearer " + raw}
		}, problem.AuthSuspended, ""},
		"organisation suspended": {func(h *house) []string {
			raw := h.token("c-live")
			h.change(func(b *partner.Bundle) { b.Organisation.State = partner.Suspended })
			return []string{"Bearer " + raw}
		}, problem.AuthSuspended, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			headers := tt.headers(h)
			got := h.call(headers...)
			var p *problem.Error
			if !errors.As(got.err, &p) || p.Code != tt.code {
				t.Fatalf("got %v, want %s", got.err, tt.code)
			}
			challenge := ""
			for _, f := range p.Header {
				if f[0] == "WWW-Authenticate" {
					challenge = f[1]
				}
			}
			if challenge != tt.challenge || (p.Status() == 401) != (challenge != "") {
				t.Errorf("%d has the challenge %q, want %q", p.Status(), challenge, tt.challenge)
			}
			if got.x.Caller != nil || got.x.Environment != "" || got.x.Token.ID != "" {
				t.Error("a refused call has a caller")
			}
			for _, v := range headers {
				_, raw, _ := strings.Cut(v, " ")
				if len(raw) > 8 && (strings.Contains(h.logs.String(), raw) || strings.Contains(p.Detail, raw)) {
					t.Error("the token is in the log or in the answer")
				}
			}
		})
	}
}

// Why a token was refused is one answer for the caller; the log tells the cases apart.
func TestRefusedTokensLookAlike(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	raw, _, err := h.profile.Issue(token.Grant{ClientID: "nobody", Org: "o1", Environment: ident.Live})
	if err != nil {
		t.Fatal(err)
	}
	unknown, _ := h.call("Bearer " + raw).err.(*problem.Error)
	garbled, _ := h.call("Bearer a.b.c").err.(*problem.Error)
	live := h.token("c-live")
	h.change(func(b *partner.Bundle) { b.Credentials[1].State = partner.Revoked })
	revoked, _ := h.call("Bearer " + live).err.(*problem.Error)
	if unknown == nil || garbled == nil || revoked == nil || unknown.Detail != garbled.Detail || unknown.Detail != revoked.Detail {
		t.Errorf("details %v, %v, %v", unknown, garbled, revoked)
	}
	if log := h.logs.String(); !strings.Contains(log, "unknown or changed") || !strings.Contains(log, "canonical") || !strings.Contains(log, "r-2") {
		t.Errorf("the log does not say why: %s", log)
	}
}

func TestKeysAndMetadata(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r, err := h.oauth.Keys(context.Background(), &exchange.Exchange{})
	if err != nil || r.Status != 200 || r.Header.Get("Content-Type") != "application/jwk-set+json" || r.Header.Get("Cache-Control") == "" {
		t.Fatalf("%+v, %v", r, err)
	}
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(r.Body, &set); err != nil || len(set.Keys) != 1 {
		t.Fatalf("%s, %v", r.Body, err)
	}
	k := set.Keys[0]
	if k["kty"] != "EC" || k["crv"] != "P-256" || k["alg"] != "ES256" || k["use"] != "sig" || k["d"] != "" || len(k) != 7 {
		t.Errorf("key %v", k)
	}
	// The published key verifies a token, and its id is the one in the token's header.
	raw := h.token("c-live")
	head, err := base64.RawURLEncoding.DecodeString(strings.Split(raw, ".")[0])
	if err != nil || !strings.Contains(string(head), `"kid":"`+k["kid"]+`"`) {
		t.Errorf("the token's header %s does not name the key %s", head, k["kid"])
	}
	verify(t, raw, k["x"], k["y"])

	scoped := func(scopes ...string) *catalog.Route { return &catalog.Route{Scopes: scopes} }
	x := &exchange.Exchange{Snapshot: &catalog.Snapshot{APIs: []*catalog.API{
		{Versions: []*catalog.Version{{Routes: []*catalog.Route{scoped("b:read"), scoped("a:write", "b:read")}}, {Routes: []*catalog.Route{scoped()}}}}}}}
	r, err = h.oauth.Metadata(context.Background(), x)
	if err != nil || r.Status != 200 || r.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%+v, %v", r, err)
	}
	want := `{"grant_types_supported":["client_credentials"],"issuer":"https://gw.example","jwks_uri":"https://gw.example/.well-known/jwks.json",` +
		`"response_types_supported":[],"revocation_endpoint":"https://gw.example/oauth2/revoke","scopes_supported":["a:write","b:read"],` +
		`"tls_client_certificate_bound_access_tokens":false,"token_endpoint":"https://gw.example/oauth2/token",` +
		`"token_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post","private_key_jwt"],` +
		`"token_endpoint_auth_signing_alg_values_supported":["ES256","PS256","EdDSA","RS256"]}`
	if string(r.Body) != want {
		t.Errorf("metadata\n got %s\nwant %s", r.Body, want)
	}
	h.oauth.MutualTLS = true
	r, err = h.oauth.Metadata(context.Background(), x)
	if err != nil || !strings.Contains(string(r.Body), `"private_key_jwt","tls_client_auth"]`) || !strings.Contains(string(r.Body), `bound_access_tokens":true`) {
		t.Errorf("with client certificates: %s, %v", r.Body, err)
	}
}

// verify checks an ES256 signature with the published coordinates and nothing of ours.
func verify(t *testing.T, raw, x, y string) {
	t.Helper()
	point := []byte{4}
	for _, c := range []string{x, y} {
		b, err := base64.RawURLEncoding.DecodeString(c)
		if err != nil || len(b) != 32 {
			t.Fatalf("coordinate %q", c)
		}
		point = append(point, b...)
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(raw, ".")
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(sig) != 64 {
		t.Fatal("the signature is not 64 bytes")
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if !ecdsa.Verify(public, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		t.Error("the published key does not verify the token")
	}
}
