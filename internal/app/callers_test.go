package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/store"
	"portway/internal/store/partnerdb"
	"portway/internal/store/pgtest"
	"portway/internal/token/jose"
)

// callersInstallation is a --config folder with one API that takes tokens and API keys, and a partner with these
// credentials and further members of its application.
func callersInstallation(t *testing.T, application string) string {
	t.Helper()
	dir := runningInstallation(t, thing)
	putFile(t, dir, "policies/apis/things.yaml", []byte("kind: api\nschema: 1\ntitle: Things\ncredentials: [token, api_key]\nversions: {v1: {}}\noperations: {getThing: {dispatch: proxy, backend: {fixed: store}}}\n"))
	putFile(t, dir, "policies/partners/caller.yaml", []byte(`kind: partner
schema: 1
organisation: {name: Caller, kind: 3pl, zone: UTC}
applications:
  - slug: app
    name: App
`+application+`
    subscriptions:
      - {api: things, environments: [live], plan: wide, scopes: ["things:read"]}
      - {api: portway, environments: [live], plan: wide, scopes: ["events:read"]}
`))
	return dir
}

var getThing = call{method: "GET", path: "/things/v1/things/1"}

// with is a call with one more header.
func with(c call, name, value string) call {
	header := map[string]string{name: value}
	for k, v := range c.header {
		header[k] = v
	}
	c.header = header
	return c
}

// oauth posts a form to an OAuth endpoint.
func (r *running) oauth(path string, pairs ...string) *answer {
	r.t.Helper()
	f := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		f.Set(pairs[i], pairs[i+1])
	}
	return r.do(call{method: "POST", path: path, body: f.Encode(), header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}})
}

// TestPrivateKeyJWTEndToEnd gets a token with an assertion, and cannot do so twice with one, not even after a restart.
func TestPrivateKeyJWTEndToEnd(t *testing.T) {
	t.Parallel()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := jose.NewKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := json.Marshal(public) // JSON is YAML
	if err != nil {
		t.Fatal(err)
	}
	const issuer = "http://127.0.0.1:1"
	assert := func(aud string) string {
		now := time.Now().Unix()
		raw, err := jose.Sign("client-authentication+jwt", public.ID, private, fmt.Appendf(nil,
			`{"iss":"wms","sub":"wms","aud":%q,"jti":%q,"iat":%d,"exp":%d}`, aud, ident.NewID(ident.System{}), now, now+60))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	config, data := callersInstallation(t, "    credentials: [{environment: live, kind: private_key_jwt, clientId: wms, jwk: "+string(jwk)+"}]"), t.TempDir()
	serve := func() *running { return start(t, nil, "--data="+data, "--config="+config, "--gateway-url="+issuer) }
	ask := func(r *running, assertion string) *answer {
		return r.oauth("/oauth2/token", "grant_type", "client_credentials", "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_assertion", assertion)
	}
	r := serve()
	first := assert(issuer)
	got := ask(r, first)
	if got.status != 200 || got.field("token_type") != "Bearer" {
		t.Fatalf("%d %s", got.status, got.body)
	}
	bearer := "Bearer " + got.field("access_token")
	if got := r.do(with(getThing, "Authorization", bearer)); got.status != 200 {
		t.Errorf("with the token: %d %s", got.status, got.body)
	}
	if got := ask(r, first); got.status != 401 || got.field("error") != "invalid_client" {
		t.Errorf("a replay: %d %s", got.status, got.body)
	}
	if got := ask(r, assert(issuer+"/oauth2/token")); got.status != 401 {
		t.Errorf("for the endpoint, not the issuer: %d %s", got.status, got.body)
	}
	if got := r.oauth("/oauth2/token", "grant_type", "client_credentials", "client_id", "wms", "client_secret", first); got.status != 401 {
		t.Errorf("an assertion as a secret: %d %s", got.status, got.body)
	}
	if r.stop() != 0 {
		t.Fatal("did not stop")
	}
	again := serve()
	if got := ask(again, first); got.status != 401 {
		t.Errorf("a replay after a restart: %d %s", got.status, got.body)
	}
	if got := ask(again, assert(issuer)); got.status != 200 {
		t.Errorf("a new one: %d %s", got.status, got.body)
	}
	if logs := r.logs.String() + again.logs.String(); strings.Contains(logs, first) {
		t.Error("an assertion is in the log")
	}
}

// TestAPIKeyEndToEnd calls with a key that "portway key" made, from where the list allows it and from elsewhere.
func TestAPIKeyEndToEnd(t *testing.T) {
	t.Parallel()
	code, out, stderr := invoke(nil, "key", "--environment=live")
	key := strings.TrimSpace(out)
	if env, ok := partner.APIKeyEnvironment(key); code != 0 || stderr != "" || !ok || env != ident.Live {
		t.Fatalf("portway key: %d %q %s", code, out, stderr)
	}
	application := `    credentials: [{environment: live, kind: api_key, clientId: scanner, key: "env:KEY"}, {environment: live, clientId: running, secret: "env:RUNNING_SECRET"}]` + "\n"
	environment := map[string]string{"KEY": key, "RUNNING_SECRET": runningSecret}
	r := start(t, environment, "--data="+t.TempDir(), "--config="+callersInstallation(t, application))
	event := call{method: "GET", path: "/v1/events/" + ident.NewID(ident.System{})}
	for name, tt := range map[string]struct {
		call   call
		status int
		code   string
	}{
		"X-Api-Key":          {with(getThing, "X-Api-Key", key), 200, ""},
		"as a bearer":        {with(getThing, "Authorization", "Bearer "+key), 200, ""},
		"one character less": {with(getThing, "X-Api-Key", key[:len(key)-1]), 401, "auth.invalid_token"},
		"another key":        {with(getThing, "X-Api-Key", partner.NewAPIKey(ident.Live)), 401, "auth.invalid_token"},
		"of the sandbox":     {with(getThing, "X-Api-Key", partner.NewAPIKey(ident.Sandbox)), 401, "auth.invalid_token"},
		"key and token":      {with(with(getThing, "X-Api-Key", key), "Authorization", "Bearer "+r.tokenOf("running", runningSecret)), 401, "auth.invalid_token"},
		"an API for tokens":  {with(event, "X-Api-Key", key), 401, "auth.invalid_token"},
		"and a token there":  {with(event, "Authorization", "Bearer "+r.tokenOf("running", runningSecret)), 404, "resource.not_found"},
	} {
		if got := r.do(tt.call); got.status != tt.status || got.field("code") != tt.code {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	if strings.Contains(r.logs.String(), key) || strings.Contains(r.out.String(), key) {
		t.Error("the key is in the log")
	}
	// A list of addresses that the test does not call from. What it says in headers changes nothing.
	rule := "    addresses: [{environments: [live], mode: %s, allow: [203.0.113.0/24]}]\n"
	strict := start(t, environment, "--data="+t.TempDir(), "--config="+callersInstallation(t, application+fmt.Sprintf(rule, "enforce")))
	forged := with(with(with(getThing, "X-Api-Key", key), "X-Forwarded-For", "203.0.113.9"), "Forwarded", "for=203.0.113.9")
	if got := strict.do(forged); got.status != 403 || got.field("code") != "auth.address" {
		t.Errorf("from elsewhere: %d %s", got.status, got.body)
	}
	if got := strict.oauth("/oauth2/token", "grant_type", "client_credentials", "client_id", "running", "client_secret", runningSecret); got.status != 400 || got.field("error") != "unauthorized_client" {
		t.Errorf("a token from elsewhere: %d %s", got.status, got.body)
	}
	lax := start(t, environment, "--data="+t.TempDir(), "--config="+callersInstallation(t, application+fmt.Sprintf(rule, "log")))
	if got := lax.do(forged); got.status != 200 || !strings.Contains(lax.logs.String(), "address not on the list") {
		t.Errorf("log only: %d %s", got.status, got.body)
	}
	for name, bad := range map[string]string{"malformed": "pw_live_x", "of the other environment": partner.NewAPIKey(ident.Sandbox)} {
		code, _, stderr := invoke(map[string]string{"KEY": bad, "RUNNING_SECRET": runningSecret}, "serve", "--gateway-listen=127.0.0.1:0", "--portal-listen=127.0.0.1:0",
			"--data="+t.TempDir(), "--config="+callersInstallation(t, application))
		if code != 1 || !strings.Contains(stderr, "scanner: no API key for live") || strings.Contains(stderr, bad) {
			t.Errorf("%s: %d %s", name, code, stderr)
		}
	}
}

// TestRevocationEndToEnd revokes a token at one node; the other, which shares only the database, refuses it too.
func TestRevocationEndToEnd(t *testing.T) {
	t.Parallel()
	dsn, config := pgtest.URL(t), callersInstallation(t, `    credentials: [{environment: live, clientId: running, secret: "env:RUNNING_SECRET"}]`)
	key := filepath.Join(t.TempDir(), "seal.key")
	node := func() *running {
		return start(t, map[string]string{"RUNNING_SECRET": runningSecret, "DSN": dsn}, "--data="+t.TempDir(), "--config="+config, "--database=env:DSN",
			"--gateway-url=http://127.0.0.1:1", "--seal-key=file:"+key)
	}
	one, two := node(), node()
	raw, second := one.tokenOf("running", runningSecret), one.tokenOf("running", runningSecret)
	for _, r := range []*running{one, two} {
		if got := r.do(with(getThing, "Authorization", "Bearer "+raw)); got.status != 200 {
			t.Fatalf("before: %d %s", got.status, got.body)
		}
	}
	if got := one.oauth("/oauth2/revoke", "token", raw); got.status != 401 || got.field("error") != "invalid_client" {
		t.Errorf("by nobody: %d %s", got.status, got.body)
	}
	if got := one.oauth("/oauth2/revoke", "token", "unknown", "client_id", "running", "client_secret", runningSecret); got.status != 200 || len(got.body) != 0 {
		t.Errorf("an unknown token: %d %s", got.status, got.body)
	}
	got := one.oauth("/oauth2/revoke", "token", raw, "client_id", "running", "client_secret", runningSecret)
	if got.status != 200 || len(got.body) != 0 {
		t.Fatalf("revoke: %d %s", got.status, got.body)
	}
	begun := time.Now()
	if got := one.do(with(getThing, "Authorization", "Bearer "+raw)); got.status != 401 || got.field("code") != "auth.invalid_token" {
		t.Errorf("at the node that was asked: %d %s", got.status, got.body)
	}
	for two.do(with(getThing, "Authorization", "Bearer "+raw)).status != 401 {
		if time.Since(begun) > time.Second {
			t.Fatal("a second after the revocation the other node still takes the token")
		}
	}
	t.Logf("the other node refuses after %v", time.Since(begun).Round(time.Millisecond))
	for _, r := range []*running{one, two} {
		if got := r.do(with(getThing, "Authorization", "Bearer "+second)); got.status != 200 {
			t.Errorf("another token: %d %s", got.status, got.body)
		}
	}
}

// TestVendorEndToEnd has a vendor's application act for one 3PL and for another: each time it sees that one's orders,
// what it does is that one's doing, and revoking one grant leaves the other.
func TestVendorEndToEnd(t *testing.T) {
	t.Parallel()
	dsn := pgtest.URL(t)
	r := start(t, map[string]string{"DSN": dsn}, "--demo", "--data="+t.TempDir(), "--database=env:DSN")
	if got := r.do(call{method: "POST", path: "/orders/v1/releases", body: release("SO-VEND-1"), as: erpClient}); got.status != 202 {
		t.Fatalf("release: %d %s", got.status, got.body)
	}
	hub := r.credential("dockline/hub", "sandbox")
	ask := func(organisation string) *answer {
		return r.oauth("/oauth2/token", "grant_type", "client_credentials", "client_id", hub.ClientID, "client_secret", hub.Secret, "organisation", organisation)
	}
	bearer := map[string]string{}
	for organisation, scope := range map[string]string{"harbor": "orders:read orders:write shipments:write", "northgate": "orders:read"} {
		got := ask(organisation)
		if got.status != 200 || got.field("scope") != scope {
			t.Fatalf("%s: %d %s", organisation, got.status, got.body)
		}
		bearer[organisation] = "Bearer " + got.field("access_token")
	}
	for _, nobody := range []string{"", "acme", "nobody"} {
		if got := ask(nobody); got.status != 400 || got.field("error") != "invalid_target" {
			t.Errorf("for %q: %d %s", nobody, got.status, got.body)
		}
	}
	order := call{method: "GET", path: "/orders/v1/orders/SO-VEND-1"}
	if got := r.do(with(order, "Authorization", bearer["harbor"])); got.status != 200 {
		t.Fatalf("the order of who is acted for: %d %s", got.status, got.body)
	}
	if got := r.do(with(order, "Authorization", bearer["northgate"])); got.status != 404 {
		t.Errorf("the order of another customer: %d %s", got.status, got.body)
	}
	acknowledge := call{method: "POST", path: "/orders/v1/orders/SO-VEND-1/acknowledgement", body: `{"version":1,"result":"accepted"}`}
	if got := r.do(with(acknowledge, "Authorization", bearer["northgate"])); got.status != 403 || got.field("code") != "auth.insufficient_scope" {
		t.Errorf("beyond the grant: %d %s", got.status, got.body)
	}
	stated := r.do(with(acknowledge, "Authorization", bearer["harbor"]))
	if stated.status != 202 {
		t.Fatalf("acknowledge: %d %s", stated.status, stated.body)
	}
	if got := r.do(call{method: "GET", path: stated.header.Get("Location"), as: harbor}); got.status != 200 {
		t.Errorf("what the vendor stated is not its customer's: %d %s", got.status, got.body)
	}
	if got := r.do(call{method: "GET", path: stated.header.Get("Location"), as: northgate}); got.status != 404 {
		t.Errorf("what the vendor stated for one is seen by another: %d %s", got.status, got.body)
	}
	ctx := context.Background()
	db, err := store.Open(ctx, store.Options{PostgresURL: dsn, Clock: ident.System{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	other := partnerdb.New(db, ident.System{})
	orgs, err := other.Organisations(ctx)
	if err != nil {
		t.Fatal(err)
	}
	revoked := 0
	for _, o := range orgs {
		b, err := other.Organisation(ctx, o.ID)
		if err != nil {
			t.Fatal(err)
		}
		if o.Slug == "harbor" {
			for _, g := range b.VendorGrants {
				if err := other.SetState(ctx, o.ID, "grant", g.ID, partner.Revoked); err != nil {
					t.Fatal(err)
				}
				revoked++
			}
		}
	}
	if revoked != 1 {
		t.Fatalf("%d grants found", revoked)
	}
	for begun := time.Now(); r.do(with(order, "Authorization", bearer["harbor"])).status != 401; {
		if time.Since(begun) > time.Second {
			t.Fatal("a second after the grant was revoked the vendor still gets in")
		}
	}
	if got := ask("harbor"); got.status != 400 || got.field("error") != "invalid_target" {
		t.Errorf("a new token: %d %s", got.status, got.body)
	}
	if got := r.do(with(call{method: "GET", path: "/orders/v1/feed"}, "Authorization", bearer["northgate"])); got.status != 200 {
		t.Errorf("the other customer's grant: %d %s", got.status, got.body)
	}
	if got := r.do(call{method: "GET", path: "/orders/v1/feed", as: harbor}); got.status != 200 {
		t.Errorf("the customer's own application: %d %s", got.status, got.body)
	}
}

// TestMutualTLSEndToEnd gets a token with a client certificate, and can use it with that certificate only.
func TestMutualTLSEndToEnd(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	folder := t.TempDir()
	serverCert, serverKey := ca.issue("gateway")
	for name, content := range map[string][]byte{"cert.pem": serverCert, "key.pem": serverKey, "ca.pem": ca.pem()} {
		putFile(t, folder, name, content)
	}
	pair := func(name string) (tls.Certificate, string) {
		cert, key := ca.issue(name)
		p, err := tls.X509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(cert)
		return p, fmt.Sprintf("%x", sha256.Sum256(block.Bytes))
	}
	mine, sum := pair("wms")
	other, _ := pair("wms")
	r := start(t, map[string]string{"RUNNING_SECRET": runningSecret}, "--data="+t.TempDir(), "--config="+callersInstallation(t,
		`    credentials: [{environment: live, kind: mtls, clientId: wms, thumbprint: "`+sum+`", subject: CN=wms}]`),
		"--tls-cert="+filepath.Join(folder, "cert.pem"), "--tls-key=file:"+filepath.Join(folder, "key.pem"), "--tls-client-ca="+filepath.Join(folder, "ca.pem"))
	do := func(cert *tls.Certificate, method, path, body, bearer string) (int, map[string]any) {
		t.Helper()
		cfg := ca.trust()
		if cert != nil {
			cfg.Certificates = []tls.Certificate{*cert}
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true}}
		req, err := http.NewRequest(method, r.at("gateway")+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if body != "" {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if bearer != "" {
			req.Header.Set("Authorization", "Bearer "+bearer)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		raw, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		var out map[string]any
		if err := json.Unmarshal(raw, &out); err != nil {
			t.Fatalf("%d %s", res.StatusCode, raw)
		}
		return res.StatusCode, out
	}
	const grant = "grant_type=client_credentials&client_id=wms"
	status, got := do(&mine, "POST", "/oauth2/token", grant, "")
	bearer, _ := got["access_token"].(string)
	if status != 200 || bearer == "" {
		t.Fatalf("%d %v", status, got)
	}
	for name, cert := range map[string]*tls.Certificate{"another of the name": &other, "none": nil} {
		if status, got := do(cert, "POST", "/oauth2/token", grant, ""); status != 401 || got["error"] != "invalid_client" {
			t.Errorf("a token with %s: %d %v", name, status, got)
		}
		if status, got := do(cert, "GET", getThing.path, "", bearer); status != 401 || got["code"] != "auth.invalid_token" {
			t.Errorf("a call with %s: %d %v", name, status, got)
		}
	}
	if status, got := do(&mine, "GET", getThing.path, "", bearer); status != 200 {
		t.Errorf("a call with its certificate: %d %v", status, got)
	}
	if status, got := do(nil, "GET", "/.well-known/oauth-authorization-server", "", ""); status != 200 || got["tls_client_certificate_bound_access_tokens"] != true ||
		!strings.Contains(fmt.Sprint(got["token_endpoint_auth_methods_supported"]), "tls_client_auth") {
		t.Errorf("metadata: %d %v", status, got)
	}
}

// TestPartnerFilesAreCheckedForCallers: what a partner file says of callers is held against the rest.
func TestPartnerFilesAreCheckedForCallers(t *testing.T) {
	t.Parallel()
	dir := callersInstallation(t, `    credentials: [{environment: live, kind: private_key_jwt, clientId: wms, jwk: {kty: EC, crv: P-256, x: AAAA, y: AAAA}}]`)
	putFile(t, dir, "policies/partners/granting.yaml", []byte("kind: partner\nschema: 1\norganisation: {name: G, kind: 3pl, zone: UTC}\ngrants: [{vendor: absent, application: hub, environments: [live], scopes: [a]}]\n"))
	code, _, stderr := invoke(nil, "check", "--config="+dir)
	for _, want := range []string{`policies/partners/caller.yaml: client "wms": key 1`, `granting.yaml: a grant names the application "hub" of vendor "absent", which no partner file declares`} {
		if code != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%d, no %q in\n%s", code, want, stderr)
		}
	}
}
