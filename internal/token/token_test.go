package token

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"portway/internal/ident"
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func profile(t testing.TB) (*Profile, *ident.Manual) {
	t.Helper()
	clock := ident.NewManual(time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC))
	return &Profile{Issuer: "https://gw.example", Audience: "https://gw.example", Lifetime: time.Hour,
		Ring: openRing(t, newMemory(), clock), Clock: clock}, clock
}

func TestIssueAndVerify(t *testing.T) {
	t.Parallel()
	p, clock := profile(t)
	raw, issued, err := p.Issue(Grant{ClientID: "client-1", Org: "org-1", Environment: ident.Sandbox, Scope: "orders:read"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Verify(raw)
	if err != nil {
		t.Fatal(err)
	}
	if got != issued || got.Environment != ident.Sandbox || got.Scope != "orders:read" {
		t.Errorf("claims = %+v, want %+v", got, issued)
	}
	clock.Advance(time.Hour + 29*time.Second)
	if _, err := p.Verify(raw); err != nil {
		t.Errorf("within the leeway: %v", err)
	}
	clock.Advance(2 * time.Second)
	if _, err := p.Verify(raw); !errors.Is(err, ErrExpired) {
		t.Errorf("after exp and leeway: %v, want ErrExpired", err)
	}
}

// TestHostileTokens signs each token with our own key where a signature is needed, so that only the named
// defect can be the reason it is refused.
func TestHostileTokens(t *testing.T) {
	t.Parallel()
	p, clock := profile(t)
	signer := p.Ring.ring.Load().keys[0]
	stranger, _ := profile(t)
	other := stranger.Ring.ring.Load().keys[0]
	now := clock.Now().Unix()
	good := func() map[string]any {
		return map[string]any{"iss": p.Issuer, "aud": p.Audience, "sub": "c", "client_id": "c", "jti": "j", "scope": "",
			"env": "sandbox", "org": "o", "iat": now, "exp": now + 60}
	}
	head := func() map[string]any { return map[string]any{"alg": "ES256", "typ": "at+jwt", "kid": signer.ID} }
	sign := func(h, c any) string {
		hb, ok := h.(string)
		if !ok {
			b, _ := json.Marshal(h)
			hb = string(b)
		}
		cb, ok := c.(string)
		if !ok {
			b, _ := json.Marshal(c)
			cb = string(b)
		}
		s := b64([]byte(hb)) + "." + b64([]byte(cb))
		sig, err := jwt.SigningMethodES256.Sign(s, signer.private)
		if err != nil {
			t.Fatal(err)
		}
		return s + "." + b64(sig)
	}
	with := func(m map[string]any, k string, v any) map[string]any {
		if v == nil {
			delete(m, k)
		} else {
			m[k] = v
		}
		return m
	}
	if _, err := p.Verify(sign(head(), good())); err != nil {
		t.Fatalf("the base token must pass, or nothing below proves anything: %v", err)
	}
	base := sign(head(), good())
	cut := strings.Split(base, ".")
	cases := map[string]string{
		"empty":                  "",
		"two parts":              cut[0] + "." + cut[1],
		"many dots":              strings.Repeat(".", 4000),
		"too long":               strings.Repeat("a", MaxBytes+1),
		"padded":                 cut[0] + "=." + cut[1] + "." + cut[2],
		"line end at the end":    base + "\n",
		"line end in between":    cut[0] + "." + cut[1] + "." + cut[2][:9] + "\r\n" + cut[2][9:],
		"no signature":           cut[0] + "." + cut[1] + ".",
		"zero signature":         cut[0] + "." + cut[1] + "." + b64(make([]byte, 64)),
		"alg none":               b64([]byte(`{"alg":"none","typ":"at+jwt","kid":"`+signer.ID+`"}`)) + "." + cut[1] + ".",
		"alg HS256":              sign(with(head(), "alg", "HS256"), good()),
		"typ JWT":                sign(with(head(), "typ", "JWT"), good()),
		"typ missing":            sign(with(head(), "typ", nil), good()),
		"kid missing":            sign(with(head(), "kid", nil), good()),
		"kid path":               sign(with(head(), "kid", "../../etc/passwd"), good()),
		"kid unknown":            sign(with(head(), "kid", other.ID), good()),
		"crit":                   sign(with(head(), "crit", []string{"exp"}), good()),
		"b64":                    sign(with(head(), "b64", false), good()),
		"jwk":                    sign(with(head(), "jwk", map[string]any{"kty": "EC"}), good()),
		"jku":                    sign(with(head(), "jku", "http://127.0.0.1:1/keys"), good()),
		"x5u":                    sign(with(head(), "x5u", "http://127.0.0.1:1/keys"), good()),
		"duplicate alg":          sign(`{"alg":"ES256","alg":"ES256","typ":"at+jwt","kid":"`+signer.ID+`"}`, good()),
		"duplicate claim":        sign(head(), `{"iss":"`+p.Issuer+`","iss":"x","aud":"`+p.Audience+`"}`),
		"case variant claim":     sign(head(), with(good(), "CLIENT_ID", "victim")),
		"trailing data":          sign(head(), `{"iss":"x"} {}`),
		"claims not an object":   sign(head(), `["a"]`),
		"exp as text":            sign(head(), with(good(), "exp", "9999999999")),
		"exp missing":            sign(head(), with(good(), "exp", nil)),
		"exp too far":            sign(head(), with(good(), "exp", now+360000)),
		"exp absurd":             sign(head(), with(good(), "exp", int64(9007199254740991))),
		"iat in the future":      sign(head(), with(with(good(), "iat", now+3600), "exp", now+3700)),
		"nbf in the future":      sign(head(), with(good(), "nbf", now+3600)),
		"other issuer":           sign(head(), with(good(), "iss", "https://evil.example")),
		"other audience":         sign(head(), with(good(), "aud", "https://evil.example")),
		"audience list":          sign(head(), with(good(), "aud", []string{p.Audience})),
		"sub is not the client":  sign(head(), with(good(), "sub", "d")),
		"environment unknown":    sign(head(), with(good(), "env", "production")),
		"organisation missing":   sign(head(), with(good(), "org", nil)),
		"folded letter in claim": sign(head(), with(good(), "\u017fub", "victim")),
		"cnf of another kind":    sign(head(), with(good(), "cnf", map[string]any{"jkt": "x"})),
		"cnf empty":              sign(head(), with(good(), "cnf", map[string]any{})),
		"cnf null":               sign(head(), `{"cnf":null,"iss":"`+p.Issuer+`"}`),
		"cnf not a digest":       sign(head(), with(good(), "cnf", map[string]any{"x5t#S256": "AAAA"})),
		"invalid UTF-8 in claim": sign(head(), "{\"iss\":\"\xff\"}"),
	}
	for name, raw := range cases {
		if _, err := p.Verify(raw); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
	if _, err := p.Verify(signWith(t, other, head(), good())); !errors.Is(err, ErrInvalid) {
		t.Errorf("signed by another key: got %v", err)
	}
}

func signWith(t testing.TB, k *signing, h, c map[string]any) string {
	t.Helper()
	hb, _ := json.Marshal(h)
	cb, _ := json.Marshal(c)
	s := b64(hb) + "." + b64(cb)
	sig, err := jwt.SigningMethodES256.Sign(s, k.private)
	if err != nil {
		t.Fatal(err)
	}
	return s + "." + b64(sig)
}

func TestGrantLimits(t *testing.T) {
	t.Parallel()
	p, _ := profile(t)
	for name, tt := range map[string]struct{ asked, want time.Duration }{
		"the profile's": {0, time.Hour}, "shorter": {5 * time.Minute, 5 * time.Minute}, "longer": {48 * time.Hour, time.Hour}, "negative": {-time.Minute, time.Hour},
	} {
		raw, c, err := p.Issue(Grant{ClientID: "c", Org: "o", Vendor: "v", Environment: ident.Live, Lifetime: tt.asked})
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Verify(raw)
		if err != nil || got != c || got.Vendor != "v" || time.Duration(got.Expires-got.IssuedAt)*time.Second != tt.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("a.b.c")
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + ".e30.")
	p, _ := profile(f)
	f.Fuzz(func(t *testing.T, raw string) {
		if _, err := p.Verify(raw); err == nil {
			t.Fatal("a token we did not sign was accepted")
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	p, _ := profile(b)
	raw, _, err := p.Issue(Grant{ClientID: "c", Org: "o", Environment: ident.Live, Scope: "orders:read orders:write"})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Verify(raw); err != nil {
			b.Fatal(err)
		}
	}
}
