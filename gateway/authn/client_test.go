package authn

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"portway/gateway/exchange"
	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/problem"
	"portway/internal/secret"
	"portway/internal/token/jose"
)

// pair is a key pair of a client, registered under kid.
type pair struct {
	private crypto.Signer
	kid     string
	public  map[string]any
}

func newPair(t *testing.T, kid string, ed bool) pair {
	t.Helper()
	var private crypto.Signer
	var err error
	if ed {
		_, private, err = ed25519.GenerateKey(rand.Reader)
	} else {
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	key, err := jose.NewKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	p := pair{private: private, kid: kid}
	if err := json.Unmarshal(raw, &p.public); err != nil {
		t.Fatal(err)
	}
	p.public["kid"] = kid
	return p
}

func keySet(t *testing.T, pairs ...pair) string {
	t.Helper()
	keys := []map[string]any{}
	for _, p := range pairs {
		keys = append(keys, p.public)
	}
	raw, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// assertion signs the claims, with changes to good ones; a nil value takes a claim away.
func (p pair) assertion(t *testing.T, now time.Time, client, jti string, changes map[string]any) string {
	t.Helper()
	claims := map[string]any{"iss": client, "sub": client, "aud": issuer, "jti": jti, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jose.Sign("client-authentication+jwt", p.kid, p.private, payload)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// jwtHouse is a house whose client "c-jwt" is registered with keys a (P-256) and b (Ed25519), and "c-jwt2" with c.
func jwtHouse(t *testing.T) (h *house, a, b, c pair) {
	h = newHouse(t)
	a, b, c = newPair(t, "a", false), newPair(t, "b", true), newPair(t, "c", false)
	h.change(func(bundle *partner.Bundle) {
		bundle.Credentials = append(bundle.Credentials,
			partner.Credential{ID: "k4", Org: "o1", Application: "a1", Environment: ident.Sandbox, Kind: partner.PrivateKeyJWT, ClientID: "c-jwt", PublicKeys: keySet(t, a, b), State: partner.Active},
			partner.Credential{ID: "k5", Org: "o1", Application: "a1", Environment: ident.Sandbox, Kind: partner.PrivateKeyJWT, ClientID: "c-jwt2", PublicKeys: keySet(t, c), State: partner.Active})
	})
	return h, a, b, c
}

func asserted(raw string, pairs ...string) url.Values {
	return grant(append([]string{"client_assertion_type", assertionType, "client_assertion", raw}, pairs...)...)
}

func TestPrivateKeyJWT(t *testing.T) {
	t.Parallel()
	h, a, b, _ := jwtHouse(t)
	for name, raw := range map[string]string{
		"P-256":           a.assertion(t, h.clock.Now(), "c-jwt", "1", nil),
		"Ed25519":         b.assertion(t, h.clock.Now(), "c-jwt", "2", nil),
		"without iat":     a.assertion(t, h.clock.Now(), "c-jwt", "3", map[string]any{"iat": nil}),
		"for 5 minutes":   a.assertion(t, h.clock.Now(), "c-jwt", "4", map[string]any{"exp": h.clock.Now().Add(5 * time.Minute).Unix()}),
		"client_id given": a.assertion(t, h.clock.Now(), "c-jwt", "5", nil),
	} {
		f := asserted(raw)
		if name == "client_id given" {
			f.Set("client_id", "c-jwt")
		}
		r := h.ask(f)
		if r.Status != 200 || !strings.Contains(string(r.Body), `"scope":"orders:read orders:write shipments:read"`) {
			t.Errorf("%s: %d %s\n%s", name, r.Status, r.Body, h.logs.String())
		}
	}
}

// Every way to misuse an assertion is the same refusal as a wrong secret.
func TestPrivateKeyJWTAttacks(t *testing.T) {
	t.Parallel()
	h, a, _, c := jwtHouse(t)
	now := h.clock.Now()
	with := func(changes map[string]any) string {
		raw, err := json.Marshal(changes)
		if err != nil {
			t.Fatal(err)
		}
		return a.assertion(t, now, "c-jwt", "jti"+string(raw), changes)
	}
	spent := a.assertion(t, now, "c-jwt", "spent", nil)
	if r := h.ask(asserted(spent)); r.Status != 200 {
		t.Fatalf("%d %s", r.Status, r.Body)
	}
	claims := func(client string) string {
		raw, err := json.Marshal(map[string]any{"iss": client, "sub": client, "aud": issuer, "jti": "x", "exp": now.Add(time.Minute).Unix()})
		if err != nil {
			t.Fatal(err)
		}
		return b64(string(raw))
	}
	none := b64(`{"alg":"none","typ":"JWT","kid":"a"}`) + "." + claims("c-jwt") + "."
	public, err := x509.MarshalPKIXPublicKey(a.private.Public())
	if err != nil {
		t.Fatal(err)
	}
	confused := b64(`{"alg":"HS256","typ":"JWT","kid":"a"}`) + "." + claims("c-jwt")
	mac := hmac.New(sha256.New, public)
	mac.Write([]byte(confused))
	confused += "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	embedded, err := json.Marshal(map[string]any{"alg": "ES256", "typ": "JWT", "kid": "c", "jwk": c.public})
	if err != nil {
		t.Fatal(err)
	}
	foreign := pair{private: c.private, kid: "a"}
	good := a.assertion(t, now, "c-jwt", "tampered", nil)
	first := h.ask(grant("client_id", "nobody", "client_secret", "x"))
	for name, f := range map[string]url.Values{
		"a replay":                         asserted(spent),
		"aud is the token endpoint":        asserted(with(map[string]any{"aud": issuer + "/oauth2/token"})),
		"aud is a list":                    asserted(with(map[string]any{"aud": []string{issuer}})),
		"aud of another server":            asserted(with(map[string]any{"aud": "https://evil.example"})),
		"no aud":                           asserted(with(map[string]any{"aud": nil})),
		"no jti":                           asserted(with(map[string]any{"jti": nil})),
		"no exp":                           asserted(with(map[string]any{"exp": nil})),
		"expired":                          asserted(with(map[string]any{"iat": now.Unix() - 120, "exp": now.Unix() - 60})),
		"for 6 minutes":                    asserted(with(map[string]any{"exp": now.Add(6 * time.Minute).Unix()})),
		"from the future":                  asserted(with(map[string]any{"iat": now.Unix() + 60})),
		"iss is another":                   asserted(with(map[string]any{"iss": "c-jwt2"})),
		"client_id is another":             asserted(a.assertion(t, now, "c-jwt", "cid", nil), "client_id", "c-jwt2"),
		"another client's key":             asserted(c.assertion(t, now, "c-jwt", "x1", nil)),
		"another client's key, our kid":    asserted(foreign.assertion(t, now, "c-jwt", "x2", nil)),
		"my key for another client":        asserted(a.assertion(t, now, "c-jwt2", "x3", nil)),
		"a client that is unknown":         asserted(a.assertion(t, now, "nobody", "x4", nil)),
		"a client registered by secret":    asserted(a.assertion(t, now, "c-sandbox", "x5", nil)),
		"alg none":                         asserted(none),
		"HS256 with the public key":        asserted(confused),
		"an embedded key":                  asserted(string(b64(string(embedded))) + "." + claims("c-jwt") + ".AAAA"),
		"claims changed":                   asserted(strings.Split(good, ".")[0] + "." + claims("c-jwt2") + "." + strings.Split(good, ".")[2]),
		"no signature":                     asserted(strings.Join(strings.Split(good, ".")[:2], ".") + "."),
		"nonsense":                         asserted("a.b.c"),
		"a secret where a key is due":      grant("client_id", "c-jwt", "client_secret", good),
		"no secret where a key is due":     grant("client_id", "c-jwt"),
		"the public keys as a secret":      grant("client_id", "c-jwt", "client_secret", keySet(t, a)),
		"an access token as the assertion": asserted(h.token("c-jwt")),
	} {
		if r := h.ask(f); r.Status != first.Status || string(r.Body) != string(first.Body) {
			t.Errorf("%s: %d %s, want %d %s", name, r.Status, r.Body, first.Status, first.Body)
		}
	}
	for name, tt := range map[string]struct {
		form    url.Values
		headers []string
	}{
		"assertion without type": {grant("client_assertion", good), nil},
		"type without assertion": {grant("client_assertion_type", assertionType), nil},
		"another type":           {grant("client_assertion", good, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"), nil},
		"and a secret":           {asserted(good, "client_secret", "x"), nil},
		"and a header":           {asserted(good), []string{basic("c-jwt", "x")}},
		"the assertion twice":    {form("grant_type", "client_credentials", "client_assertion_type", assertionType, "client_assertion", good, "client_assertion", good), nil},
	} {
		if r := h.ask(tt.form, tt.headers...); r.Status != 400 || !strings.Contains(string(r.Body), "invalid_request") {
			t.Errorf("%s: %d %s", name, r.Status, r.Body)
		}
	}
	if r := h.ask(asserted(good)); r.Status != 200 {
		t.Errorf("what was refused spent a good assertion: %d %s", r.Status, r.Body)
	}
	if log := h.logs.String(); strings.Contains(log, good) || strings.Contains(log, spent) {
		t.Error("an assertion is in the log")
	}
}

// While it cannot be told whether an assertion is a replay, it is refused (fail closed), as our failure.
func TestAssertionWithoutReplayStore(t *testing.T) {
	t.Parallel()
	h, a, _, _ := jwtHouse(t)
	h.store.down = errors.New("the database is down")
	_, err := h.oauth.Token(context.Background(), h.exchange(asserted(a.assertion(t, h.clock.Now(), "c-jwt", "1", nil))))
	if !problem.Is(err, problem.AuthUnavailable) {
		t.Errorf("%v, want auth.unavailable", err)
	}
}

// certificate makes a self-signed certificate for a client.
func certificate(t *testing.T, name string, from, to time.Time) []byte {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(from.UnixNano()), Subject: pkix.Name{CommonName: name, Organization: []string{"Example"}}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func thumbprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

func TestMutualTLS(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	now := h.clock.Now()
	day := 24 * time.Hour
	one, next := certificate(t, "wms", now.Add(-day), now.Add(day)), certificate(t, "wms", now.Add(-day), now.Add(90*day))
	other, old := certificate(t, "wms", now.Add(-day), now.Add(day)), certificate(t, "wms", now.Add(-2*day), now.Add(-day))
	renamed := certificate(t, "tms", now.Add(-day), now.Add(day))
	h.change(func(b *partner.Bundle) {
		b.Credentials = append(b.Credentials, partner.Credential{ID: "k6", Org: "o1", Application: "a1", Environment: ident.Sandbox, Kind: partner.MutualTLS, ClientID: "c-tls",
			Thumbprints: strings.Join([]string{thumbprint(one), thumbprint(next), thumbprint(old), thumbprint(renamed)}, " "), Subject: "CN=wms,O=Example", State: partner.Active})
	})
	ask := func(cert []byte, f url.Values) *exchange.Response {
		x := h.exchange(f)
		x.Request.PeerCertificate = cert
		r, err := h.oauth.Token(context.Background(), x)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	bound := map[string]string{}
	for name, cert := range map[string][]byte{"one": one, "next": next} { // both are registered: the change needs no agreed minute
		r := ask(cert, grant("client_id", "c-tls"))
		var body map[string]any
		if err := json.Unmarshal(r.Body, &body); err != nil || r.Status != 200 {
			t.Fatalf("%s: %d %s", name, r.Status, r.Body)
		}
		bound[name], _ = body["access_token"].(string)
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(bound[name], ".")[1])
		sum := sha256.Sum256(cert)
		if err != nil || !strings.Contains(string(payload), `"cnf":{"x5t#S256":"`+base64.RawURLEncoding.EncodeToString(sum[:])+`"}`) {
			t.Errorf("%s: the token is not bound: %s, %v", name, payload, err)
		}
	}
	for name, tt := range map[string]struct {
		cert []byte
		form url.Values
	}{
		"another certificate of the same name": {other, grant("client_id", "c-tls")},
		"a certificate that has expired":       {old, grant("client_id", "c-tls")},
		"another subject":                      {renamed, grant("client_id", "c-tls")},
		"no certificate":                       {nil, grant("client_id", "c-tls")},
		"nonsense":                             {[]byte("nonsense"), grant("client_id", "c-tls")},
		"no client_id":                         {one, grant()},
		"a client registered by secret":        {one, grant("client_id", "c-sandbox")},
		"a secret where a certificate is due":  {one, grant("client_id", "c-tls", "client_secret", good)},
	} {
		if r := ask(tt.cert, tt.form); r.Status != 401 || !strings.Contains(string(r.Body), "invalid_client") {
			t.Errorf("%s: %d %s", name, r.Status, r.Body)
		}
	}
	for name, tt := range map[string]struct {
		token string
		cert  []byte
		ok    bool
	}{
		"with its certificate":         {bound["one"], one, true},
		"without":                      {bound["one"], nil, false},
		"with another registered one":  {bound["one"], next, false},
		"with a stranger's":            {bound["one"], other, false},
		"with nonsense":                {bound["one"], []byte("nonsense"), false},
		"an unbound token with one":    {h.token("c-sandbox"), one, true},
		"the other with its own":       {bound["next"], next, true},
		"with its certificate, cached": {bound["one"], one, true},
		"without, cached":              {bound["one"], nil, false},
	} {
		x := h.call().x
		x.Request.Header.Add("Authorization", "Bearer "+tt.token)
		x.Request.PeerCertificate = tt.cert
		err := h.identify.Run(context.Background(), x)
		if (err == nil) != tt.ok || err != nil && !problem.Is(err, problem.AuthInvalidToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a credential was registered with before opens nothing: only its kind counts.
func TestOnlyTheKindOfACredentialCounts(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	now := h.clock.Now()
	keys, cert := newPair(t, "a", false), certificate(t, "wms", now.Add(-time.Hour), now.Add(time.Hour))
	for _, kind := range []string{partner.ClientSecret, partner.PrivateKeyJWT, partner.MutualTLS, partner.APIKey} {
		h.change(func(b *partner.Bundle) {
			b.Credentials = append(b.Credentials, partner.Credential{ID: "k9", Org: "o1", Application: "a1", Environment: ident.Sandbox, Kind: kind, ClientID: "c-all", State: partner.Active,
				SecretHash: secret.Hash(good), PublicKeys: keySet(t, keys), Thumbprints: thumbprint(cert)})
		})
		for way, f := range map[string]url.Values{
			partner.ClientSecret:  grant("client_id", "c-all", "client_secret", good),
			partner.PrivateKeyJWT: asserted(keys.assertion(t, now, "c-all", kind, nil)),
			partner.MutualTLS:     grant("client_id", "c-all"),
		} {
			x := h.exchange(f)
			if way == partner.MutualTLS {
				x.Request.PeerCertificate = cert
			}
			r, err := h.oauth.Token(context.Background(), x)
			if err != nil || (r.Status == 200) != (way == kind) {
				t.Errorf("kind %s by %s: %+v, %v", kind, way, r, err)
			}
		}
	}
}
