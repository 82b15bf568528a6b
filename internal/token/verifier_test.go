package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/token/jose"
)

// keyServer answers for every issuer of a test, and counts who asked.
type keyServer struct {
	calls atomic.Int64
	sets  map[string]func() (int, []byte) // by URL
}

func (k *keyServer) RoundTrip(r *http.Request) (*http.Response, error) {
	k.calls.Add(1)
	answer := k.sets[r.URL.String()]
	if answer == nil {
		return nil, errors.New("no such host: " + r.URL.Host)
	}
	code, body := answer()
	return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(body)))}, nil
}

// party is an issuer in a test: its key and the header and claims of a good token.
type party struct {
	name         string
	signer       crypto.Signer
	key          *jose.Key
	head, claims map[string]any
}

func newParty(t testing.TB, name string, signer crypto.Signer, head, claims map[string]any) *party {
	t.Helper()
	k, err := jose.NewKey(signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	head["kid"], head["alg"] = k.ID, k.Algorithm
	return &party{name: name, signer: signer, key: k, head: head, claims: claims}
}

// token signs the header and claims, with changes; a nil value removes a member.
func (p *party) token(head, claims map[string]any) string {
	return seal(p.signer, object(p.head, head), object(p.claims, claims))
}

func object(base, change map[string]any) []byte {
	m := maps.Clone(base)
	for k, v := range change {
		if v == nil {
			delete(m, k)
		} else {
			m[k] = v
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

// seal signs any header and payload.
func seal(signer crypto.Signer, head, payload []byte) string {
	signing := b64(head) + "." + b64(payload)
	return signing + "." + b64(signature(signer, signing))
}

func signature(signer crypto.Signer, signing string) []byte {
	var method jwt.SigningMethod = jwt.SigningMethodES256
	switch signer.(type) {
	case ed25519.PrivateKey:
		method = jwt.SigningMethodEdDSA
	case *rsa.PrivateKey:
		method = jwt.SigningMethodPS256
	}
	sig, err := method.Sign(signing, signer)
	if err != nil {
		panic(err)
	}
	return sig
}

func newEC(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newEd(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// town is a verifier with our own issuer and two others.
type town struct {
	verifier *Verifier
	clock    *ident.Manual
	server   *keyServer
	policies map[string]*catalog.Issuer
	own      *party
	plain    *party // profile jwt
	strict   *party // profile rfc9068
}

func newTown(t testing.TB) *town {
	t.Helper()
	p, clock := profile(t)
	now := clock.Now().Unix()
	w := &town{clock: clock, server: &keyServer{}}
	signer := p.Ring.ring.Load().keys[0]
	w.own = newParty(t, "own", signer.private, map[string]any{"typ": "at+jwt"}, map[string]any{"iss": p.Issuer, "aud": p.Audience, "sub": "c", "client_id": "c",
		"jti": "j", "scope": "a b", "env": "sandbox", "org": "o", "iat": now, "exp": now + 600})
	w.plain = newParty(t, "plain", newEd(t), map[string]any{"typ": "JWT"}, map[string]any{"iss": "https://plain.example", "aud": "urn:gw", "sub": "warehouse-7",
		"scp": []string{"a", "b"}, "iat": now, "exp": now + 600})
	w.strict = newParty(t, "strict", newEC(t), map[string]any{"typ": "at+jwt"}, map[string]any{"iss": "https://strict.example/tenant", "aud": []string{"urn:gw"},
		"sub": "s", "client_id": "app-1", "jti": "j", "scope": "a b", "environment": "live", "iat": now, "exp": now + 600})
	w.policies = map[string]*catalog.Issuer{
		"https://plain.example": {ID: "plain", Issuer: "https://plain.example", Profile: catalog.ProfileJWT, Audience: "urn:gw", Algorithms: []string{"EdDSA", "ES256"},
			JWKS: "https://plain.example/keys", MaxLifetime: time.Hour, IdentityClaim: "sub", Environment: ident.Live, Application: "three/app"},
		"https://strict.example/tenant": {ID: "strict", Issuer: "https://strict.example/tenant", Profile: catalog.ProfileRFC9068, Audience: "urn:gw", Algorithms: []string{"ES256"},
			JWKS: "https://strict.example/keys", MaxLifetime: time.Hour, IdentityClaim: "client_id", EnvironmentClaim: "environment", Clients: map[string]string{"app-1": "c-9"}},
	}
	w.server.sets = map[string]func() (int, []byte){"https://plain.example/keys": publish(w.plain.key), "https://strict.example/keys": publish(w.strict.key)}
	w.verifier = NewVerifier(VerifierOptions{Own: p, Log: slog.New(slog.DiscardHandler), Transport: w.server, Cache: 64})
	w.apply(t)
	return w
}

func publish(keys ...*jose.Key) func() (int, []byte) {
	set, err := jose.NewSet(keys...)
	if err != nil {
		panic(err)
	}
	b, err := json.Marshal(set)
	if err != nil {
		panic(err)
	}
	return func() (int, []byte) { return 200, b }
}

func (w *town) apply(t testing.TB) {
	t.Helper()
	if err := w.verifier.Apply(w.policies); err != nil {
		t.Fatal(err)
	}
}

func TestExternalIssuers(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	ctx := context.Background()
	got, err := w.verifier.Verify(ctx, w.plain.token(nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	if got.Application != "three/app" || got.ClientID != "" || got.Identity != "warehouse-7" || got.Environment != ident.Live ||
		!got.Scopes["a"] || !got.Scopes["b"] || len(got.Scopes) != 2 || got.External == nil || got.Audience != "urn:gw" {
		t.Errorf("profile jwt: %+v", got)
	}
	got, err = w.verifier.Verify(ctx, w.strict.token(nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	if got.Application != "" || got.ClientID != "c-9" || got.Identity != "app-1" || got.Environment != ident.Live || got.ID != "j" || !got.Scopes["a"] {
		t.Errorf("profile rfc9068: %+v", got)
	}
	own, err := w.verifier.Verify(ctx, w.own.token(nil, nil))
	if err != nil || own.External != nil || own.ClientID != "c" || own.Org != "o" {
		t.Errorf("ours: %+v, %v", own, err)
	}
	if n := w.server.calls.Load(); n != 2 {
		t.Errorf("%d fetches, want one per issuer", n)
	}
	untyped := w.plain.token(map[string]any{"typ": nil}, nil)
	if _, err := w.verifier.Verify(ctx, untyped); !errors.Is(err, ErrInvalid) {
		t.Errorf("without typ: %v", err)
	}
	changed := *w.policies["https://plain.example"]
	changed.Untyped = true
	w.policies["https://plain.example"] = &changed
	w.apply(t)
	if _, err := w.verifier.Verify(ctx, untyped); err != nil {
		t.Errorf("without typ, where the policy takes it: %v", err)
	}
	if n := w.server.calls.Load(); n != 2 {
		t.Errorf("%d fetches: keys do not stay through a reload", n)
	}
	clock := w.clock
	clock.Advance(10*time.Minute + leeway)
	if _, err := w.verifier.Verify(ctx, w.plain.token(nil, nil)); !errors.Is(err, ErrExpired) {
		t.Errorf("after exp: %v", err)
	}
}

// A policy that changes or goes takes the remembered tokens with it; so does a key that is taken back.
func TestRememberedExternalTokens(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	ctx := context.Background()
	plain, strict := w.plain.token(nil, nil), w.strict.token(nil, nil)
	good := func(raw string) *Verified {
		t.Helper()
		v, err := w.verifier.Verify(ctx, raw)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	first := good(plain)
	if good(plain) != first {
		t.Error("the second time is not the remembered one")
	}
	good(strict)
	// The keys of one issuer change; its tokens end with its key, the other's go on.
	next := newParty(t, "next", newEd(t), maps.Clone(w.plain.head), w.plain.claims)
	w.server.sets["https://plain.example/keys"] = publish(next.key)
	w.clock.Advance(30 * time.Second)
	good(next.token(nil, nil)) // an unknown kid, which fetches
	if _, err := w.verifier.Verify(ctx, plain); !errors.Is(err, ErrInvalid) {
		t.Errorf("with a key that was taken back: %v", err)
	}
	good(strict)
	delete(w.policies, "https://strict.example/tenant")
	w.apply(t)
	if _, err := w.verifier.Verify(ctx, strict); !errors.Is(err, ErrInvalid) {
		t.Errorf("of an issuer that is gone: %v", err)
	}
	narrower := *w.policies["https://plain.example"]
	narrower.Audience = "urn:other"
	w.policies["https://plain.example"] = &narrower
	raw := next.token(nil, nil)
	good(raw)
	w.apply(t)
	if _, err := w.verifier.Verify(ctx, raw); !errors.Is(err, ErrInvalid) {
		t.Errorf("by a policy that changed: %v", err)
	}
}

func TestIssuerDown(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	down := func() (int, []byte) { return 503, nil }
	keys := w.server.sets["https://plain.example/keys"]
	w.server.sets["https://plain.example/keys"] = down
	ctx := context.Background()
	if _, err := w.verifier.Verify(ctx, w.plain.token(nil, nil)); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrInvalid) {
		t.Errorf("keys never fetched: %v", err)
	}
	if _, err := w.verifier.Verify(ctx, w.own.token(nil, nil)); err != nil {
		t.Errorf("ours does not depend on others: %v", err)
	}
	if st := w.verifier.Status()["https://plain.example"]; st.Problem == nil || st.Keys != 0 {
		t.Errorf("status %+v", st)
	}
	w.server.sets["https://plain.example/keys"] = keys
	w.clock.Advance(30 * time.Second)
	if _, err := w.verifier.Verify(ctx, w.plain.token(nil, nil)); err != nil {
		t.Errorf("up again: %v", err)
	}
	bad := *w.policies["https://plain.example"]
	bad.JWKS = "http://plain.example/keys"
	if err := w.verifier.Apply(map[string]*catalog.Issuer{"x": &bad}); err == nil {
		t.Error("keys would come over plain HTTP")
	}
}

func TestRunFetchesAhead(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	ctx, cancel := context.WithCancel(context.Background())
	arrived, done := make(chan struct{}, 8), make(chan struct{})
	for url, answer := range w.server.sets {
		w.server.sets[url] = func() (int, []byte) { arrived <- struct{}{}; return answer() }
	}
	go func() { w.verifier.Run(ctx); close(done) }()
	<-arrived
	<-arrived
	cancel()
	<-done
}
