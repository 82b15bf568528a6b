package token

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"portway/internal/ident"
	"portway/internal/token/jose"
)

// once is what was presented, in memory.
type once struct {
	mu   sync.Mutex
	seen map[string]time.Time
	down error
}

func (o *once) First(_ context.Context, key string, until time.Time) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, seen := o.seen[key]
	if o.down == nil {
		o.seen[key] = until
	}
	return !seen, o.down
}

type client struct {
	*party
	rules AssertionRules
	clock *ident.Manual
	seen  *once
}

func newClient(t *testing.T) *client {
	t.Helper()
	clock := ident.NewManual(time.Unix(1e9, 0))
	p := newParty(t, "client", newEC(t), map[string]any{"typ": "client-authentication+jwt"}, map[string]any{"iss": "c-1", "sub": "c-1",
		"aud": "https://gw.example", "jti": "j-1", "iat": int64(1e9), "exp": int64(1e9) + 60})
	keys, err := jose.NewSet(p.key)
	if err != nil {
		t.Fatal(err)
	}
	seen := &once{seen: map[string]time.Time{}}
	return &client{party: p, clock: clock, seen: seen,
		rules: AssertionRules{Issuer: "https://gw.example", ClientID: "c-1", Keys: keys, Clock: clock, Seen: seen}}
}

func TestAssertion(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, change := range map[string]struct{ head, claims map[string]any }{
		"explicit type":   {},
		"typ JWT":         {map[string]any{"typ": "JWT"}, nil},
		"typ absent":      {map[string]any{"typ": nil}, nil},
		"no iat":          {nil, map[string]any{"iat": nil}},
		"five minutes":    {nil, map[string]any{"exp": int64(1e9) + 300}},
		"a fraction":      {nil, map[string]any{"exp": 1e9 + 59.5}},
		"another claim":   {nil, map[string]any{"x": "y"}},
		"nbf of the past": {nil, map[string]any{"nbf": int64(1e9) - 60}},
	} {
		c := newClient(t)
		raw := c.token(change.head, change.claims)
		if id, err := AssertionClient(raw); err != nil || id != "c-1" {
			t.Errorf("%s: client %q, %v", name, id, err)
		}
		got, err := VerifyAssertion(ctx, raw, c.rules)
		if err != nil || got.ClientID != "c-1" || got.ID != "j-1" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if _, err := VerifyAssertion(ctx, raw, c.rules); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s, a second time: %v", name, err)
		}
		for _, until := range c.seen.seen { // as long as the assertion could be presented again
			if until.Before(got.Expires.Add(leeway)) {
				t.Errorf("%s: forgotten at %s, good until %s", name, until, got.Expires.Add(leeway))
			}
		}
	}
}

func TestAssertionRefusals(t *testing.T) {
	t.Parallel()
	now := int64(1e9)
	for name, change := range map[string]struct{ head, claims map[string]any }{
		"token endpoint as audience": {nil, map[string]any{"aud": "https://gw.example/oauth2/token"}},
		"audience with a slash":      {nil, map[string]any{"aud": "https://gw.example/"}},
		"audience in a list":         {nil, map[string]any{"aud": []string{"https://gw.example"}}},
		"audience among others":      {nil, map[string]any{"aud": []string{"https://gw.example", "https://evil.example"}}},
		"no audience":                {nil, map[string]any{"aud": nil}},
		"audience null":              {nil, map[string]any{"aud": json.RawMessage("null")}},
		"iss is not sub":             {nil, map[string]any{"iss": "c-2"}},
		"no sub":                     {nil, map[string]any{"sub": nil}},
		"another client":             {nil, map[string]any{"iss": "c-2", "sub": "c-2"}},
		"no jti":                     {nil, map[string]any{"jti": nil}},
		"jti a number":               {nil, map[string]any{"jti": 7}},
		"jti endless":                {nil, map[string]any{"jti": strings.Repeat("j", 257)}},
		"no exp":                     {nil, map[string]any{"exp": nil}},
		"exp a text":                 {nil, map[string]any{"exp": "1000000060"}},
		"expired":                    {nil, map[string]any{"iat": now - 100, "exp": now - 30}},
		"lives ten minutes":          {nil, map[string]any{"exp": now + 600}},
		"lives long without iat":     {nil, map[string]any{"iat": nil, "exp": now + 331}},
		"lives long by an old iat":   {nil, map[string]any{"iat": now - 3600, "exp": now + 60}},
		"lives long by iat to come":  {nil, map[string]any{"iat": now + 30, "exp": now + 345}},
		"iat to come":                {nil, map[string]any{"iat": now + 31, "exp": now + 60}},
		"nbf to come":                {nil, map[string]any{"nbf": now + 31}},
		"typ at+jwt":                 {map[string]any{"typ": "at+jwt"}, nil},
		"typ dpop+jwt":               {map[string]any{"typ": "dpop+jwt"}, nil},
		"kid missing":                {map[string]any{"kid": nil}, nil},
		"kid unknown":                {map[string]any{"kid": "other"}, nil},
		"own key":                    {map[string]any{"jwk": map[string]any{}}, nil},
		"alg none":                   {map[string]any{"alg": "none"}, nil},
		"alg HMAC":                   {map[string]any{"alg": "HS256"}, nil},
		"claim in another spelling":  {nil, map[string]any{"SUB": "c-1"}},
	} {
		c := newClient(t)
		if _, err := VerifyAssertion(context.Background(), c.token(change.head, change.claims), c.rules); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if len(c.seen.seen) != 0 {
			t.Errorf("%s: its jti was spent", name)
		}
	}
	c := newClient(t)
	forged := seal(newEC(t), object(c.head, nil), object(c.claims, nil))
	if _, err := VerifyAssertion(context.Background(), forged, c.rules); !errors.Is(err, ErrInvalid) || len(c.seen.seen) != 0 {
		t.Errorf("signed by another key: %v", err)
	}
	for name, raw := range map[string]string{"empty": "", "noise": "a.b.c", "no claims": seal(c.signer, object(c.head, nil), []byte("[]"))} {
		if _, err := AssertionClient(raw); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c.rules.Keys = nil
	if _, err := VerifyAssertion(context.Background(), c.token(nil, nil), c.rules); !errors.Is(err, ErrInvalid) {
		t.Errorf("a client without keys: %v", err)
	}
}

// When it cannot be known whether an assertion was used, it is refused; that is our failure.
func TestAssertionFailsClosed(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	c.seen.down = errors.New("down")
	if _, err := VerifyAssertion(context.Background(), c.token(nil, nil), c.rules); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrInvalid) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
}

// One assertion presented many times at once is good once.
func TestAssertionOnce(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	raw := c.token(nil, nil)
	var wg sync.WaitGroup
	results := make([]error, 20)
	for i := range results {
		wg.Go(func() { _, results[i] = VerifyAssertion(context.Background(), raw, c.rules) })
	}
	wg.Wait()
	good := 0
	for _, err := range results {
		if err == nil {
			good++
		}
	}
	if good != 1 {
		t.Errorf("good %d times", good)
	}
}

func TestParseKeySet(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	public, err := json.Marshal(c.rules.Keys)
	if err != nil {
		t.Fatal(err)
	}
	if set, err := ParseKeySet(public); err != nil || set.Len() != 1 {
		t.Errorf("%v, %v", set, err)
	}
	private := strings.Replace(string(public), `"crv"`, `"d":"AAAA","crv"`, 1)
	if _, err := ParseKeySet([]byte(private)); !errors.Is(err, ErrPrivateKey) || strings.Contains(err.Error(), "AAAA") || !strings.Contains(err.Error(), "key 1") {
		t.Errorf("a private key: %v", err)
	}
	if _, err := ParseKeySet([]byte(`{"keys":[]}`)); err == nil {
		t.Error("an empty set was taken")
	}
}

func TestBinding(t *testing.T) {
	t.Parallel()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	cert := func(n int64) *x509.Certificate {
		template := &x509.Certificate{SerialNumber: big.NewInt(n), NotAfter: time.Unix(2e9, 0)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	mine, other := cert(1), cert(2)
	p, _ := profile(t)
	raw, issued, err := p.Issue(Grant{ClientID: "c", Org: "o", Environment: ident.Live, Certificate: CertificateThumbprint(mine)})
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.Verify(raw)
	if err != nil || c != issued || len(c.Confirmation.Certificate) != 43 {
		t.Fatalf("%+v, %v", c, err)
	}
	bearer := Claims{}
	for _, tt := range []struct {
		claims *Claims
		cert   *x509.Certificate
		good   bool
	}{{&c, mine, true}, {&c, other, false}, {&c, nil, false}, {&bearer, nil, true}, {&bearer, mine, true}} {
		if err := tt.claims.CheckBinding(tt.cert); (err == nil) != tt.good || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", tt.claims.Confirmation, err)
		}
	}
	if body, err := json.Marshal(bearer); err != nil || strings.Contains(string(body), "cnf") || strings.Contains(string(body), "vendor") {
		t.Errorf("a bearer token says %s", body)
	}
}

func FuzzAssertionClient(f *testing.F) {
	f.Add("a.b.c")
	f.Add(b64([]byte(`{"alg":"ES256","kid":"k"}`)) + "." + b64([]byte(`{"iss":"c","sub":"c"}`)) + ".AA")
	f.Fuzz(func(t *testing.T, raw string) {
		if id, err := AssertionClient(raw); (err == nil) == (id == "") {
			t.Fatal(fmt.Sprint("client and error do not fit: ", err))
		}
	})
}
