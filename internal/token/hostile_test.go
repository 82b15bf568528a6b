package token

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// forger makes hostile tokens of a party, each from one that would be good.
type forger struct {
	*town
	*party
	r    *rand.Rand
	trap string // an address that nobody must ever call
	// stranger is a key that no issuer has.
	stranger *party
}

func (f *forger) of(choices ...any) any           { return choices[f.r.IntN(len(choices))] }
func (f *forger) text(choices ...string) string   { return choices[f.r.IntN(len(choices))] }
func (f *forger) good() string                    { return f.token(nil, nil) }
func (f *forger) parts() []string                 { return strings.Split(f.good(), ".") }
func (f *forger) withHead(k string, v any) string { return f.token(map[string]any{k: v}, nil) }
func (f *forger) withClaim(k string, v any) string {
	return f.token(nil, map[string]any{k: v})
}

// signed replaces the signature of a good token.
func (f *forger) signed(change func(sig []byte) []byte) string {
	p := f.parts()
	sig, err := base64.RawURLEncoding.DecodeString(p[2])
	if err != nil {
		panic(err)
	}
	return p[0] + "." + p[1] + "." + b64(change(sig))
}

// hmac signs with what everybody knows as if it were a secret.
func (f *forger) hmac(alg string, secret []byte) string {
	signing := b64(object(f.head, map[string]any{"alg": alg})) + "." + b64(object(f.claims, nil))
	sig, err := jwt.GetSigningMethod(alg).Sign(signing, secret)
	if err != nil {
		panic(err)
	}
	return signing + "." + b64(sig)
}

// raw signs a header or claims written out, the other good: what is after the good members, or instead of them.
func (f *forger) rawHead(s string) string { return seal(f.signer, []byte(s), object(f.claims, nil)) }
func (f *forger) rawClaims(s string) string {
	return seal(f.signer, object(f.head, nil), []byte(s))
}

// after is an object with more text before its end.
func after(m map[string]any, more string) string {
	return strings.TrimSuffix(string(object(m, nil)), "}") + "," + more + "}"
}

func (f *forger) order() *big.Int {
	n, _ := new(big.Int).SetString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)
	return n
}

// hostile are the classes; each makes a token that differs at every call.
var hostile = map[string]func(*forger) string{
	"alg none": func(f *forger) string {
		sig := f.text("", f.parts()[2])
		return b64(object(f.head, map[string]any{"alg": f.text("none", "None", "NONE", "nOnE", "none ")})) + "." + b64(object(f.claims, nil)) + "." + sig
	},
	"alg missing": func(f *forger) string { return f.withHead("alg", nil) },
	"alg of case": func(f *forger) string { return f.withHead("alg", strings.ToLower(f.head["alg"].(string))) },
	"alg other": func(f *forger) string {
		return f.withHead("alg", f.text("RS256", "PS256", "ES384", "ES512", "ES256K", "A256KW", "dir"))
	},
	"alg not a text": func(f *forger) string {
		return f.withHead("alg", f.of(1, true, []string{"ES256"}, map[string]any{}, json.RawMessage("null")))
	},
	"HMAC with JWK": func(f *forger) string {
		b, _ := json.Marshal(f.key)
		return f.hmac(f.text("HS256", "HS384", "HS512"), b)
	},
	"HMAC with DER": func(f *forger) string {
		b, _ := x509.MarshalPKIXPublicKey(f.signer.Public())
		return f.hmac("HS256", b)
	},
	"HMAC with guess": func(f *forger) string { return f.hmac("HS256", []byte(f.text("secret", "", "password", f.key.ID))) },
	"crit": func(f *forger) string {
		return f.withHead("crit", f.of([]string{"exp"}, []string{}, []string{"b64"}, json.RawMessage("null")))
	},
	"b64":           func(f *forger) string { return f.withHead("b64", f.of(false, true)) },
	"zip":           func(f *forger) string { return f.withHead("zip", "DEF") },
	"jku":           func(f *forger) string { return f.withHead("jku", f.trap) },
	"x5u":           func(f *forger) string { return f.withHead("x5u", f.trap) },
	"x5c":           func(f *forger) string { return f.withHead("x5c", []string{"AA=="}) },
	"jwk of mine":   func(f *forger) string { return f.mine(f.head["kid"].(string), map[string]any{"jwk": f.stranger.key}) },
	"jwk of theirs": func(f *forger) string { return f.withHead("jwk", f.key) },
	"kid missing":   func(f *forger) string { return f.withHead("kid", nil) },
	"kid path": func(f *forger) string {
		return f.withHead("kid", f.text("../../dev/null", "/etc/passwd", "C:\\x", "..", f.trap))
	},
	"kid injection": func(f *forger) string {
		return f.withHead("kid", f.text("x' OR '1'='1", "x\" --", "$(id)", "a;b", "k\x00", f.key.ID+"\n", f.key.ID+" "))
	},
	"kid long": func(f *forger) string { return f.withHead("kid", strings.Repeat("k", 129+f.r.IntN(2000))) },
	"kid not a text": func(f *forger) string {
		return f.withHead("kid", f.of(1, []string{f.key.ID}, map[string]any{"kid": f.key.ID}))
	},
	"key of mine":      func(f *forger) string { return f.mine(f.head["kid"].(string), nil) },
	"issuer of others": func(f *forger) string { return f.withClaim("iss", f.other().claims["iss"]) },
	"key of others": func(f *forger) string { // the others' key and kid, this issuer's claims
		o := f.other()
		return seal(o.signer, object(f.head, map[string]any{"kid": o.key.ID, "alg": o.key.Algorithm}), object(f.claims, nil))
	},
	"typ other": func(f *forger) string {
		return f.withHead("typ", f.text("dpop+jwt", "client-authentication+jwt", "logout+jwt", "JOSE", "AT+JWT", "jwt", "application/jwt", " JWT"))
	},
	"typ missing": func(f *forger) string { return f.withHead("typ", nil) },
	"header twice": func(f *forger) string {
		return f.rawHead(after(f.head, f.text(`"alg":"none"`, `"kid":"x"`, `"typ":"JWT"`, `"\u0061lg":"none"`)))
	},
	"header of case": func(f *forger) string {
		return f.rawHead(after(f.head, f.text(`"ALG":"none"`, `"Kid":"x"`, `"\u212aid":"x"`, `"JKU":"x"`)))
	},
	"header broken": func(f *forger) string {
		return f.rawHead(f.text("", "null", "[]", "{", `"x"`, string(object(f.head, nil))+"{}", "\ufeff{}", "{\"alg\":\"\xff\"}"))
	},
	"bit flipped": func(f *forger) string {
		return f.signed(func(s []byte) []byte { s[f.r.IntN(len(s))] ^= 1 << f.r.IntN(8); return s })
	},
	"signature cut": func(f *forger) string { return f.signed(func(s []byte) []byte { return s[:f.r.IntN(len(s))] }) },
	"signature long": func(f *forger) string {
		return f.signed(func(s []byte) []byte { return append(s, make([]byte, 1+f.r.IntN(64))...) })
	},
	"signature zero": func(f *forger) string { return f.signed(func(s []byte) []byte { clear(s[f.r.IntN(2)*32:]); return s }) },
	"signature of order": func(f *forger) string {
		return f.signed(func(s []byte) []byte { f.order().FillBytes(s[f.r.IntN(2)*32:][:32]); return s })
	},
	"signature as ASN.1": func(f *forger) string {
		return f.signed(func(s []byte) []byte {
			der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(s[:32]), new(big.Int).SetBytes(s[32:])})
			if err != nil {
				panic(err)
			}
			return der
		})
	},
	"signature swapped": func(f *forger) string {
		return f.signed(func(s []byte) []byte { return append(slices.Clone(s[32:64]), s[:32]...) })
	},
	"signature of another": func(f *forger) string {
		p, q := f.parts(), strings.Split(f.withClaim("jti", f.r.Uint64()), ".")
		return p[0] + "." + p[1] + "." + q[2]
	},
	"claims changed": func(f *forger) string {
		p := f.parts()
		return p[0] + "." + b64(object(f.claims, map[string]any{"scope": "admin", "n": f.r.Uint64()})) + "." + p[2]
	},
	"base64 padded": func(f *forger) string {
		p := f.parts()
		i := f.r.IntN(3)
		p[i] += f.text("=", "==")
		return strings.Join(p, ".")
	},
	"base64 blank": func(f *forger) string {
		g := f.good()
		i := f.r.IntN(len(g) + 1)
		return g[:i] + f.text(" ", "\n", "\r\n", "\t", "\x00", "%", "?") + g[i:]
	},
	"base64 bits": func(f *forger) string { return f.unusedBits() },
	"parts wrong": func(f *forger) string {
		p := f.parts()
		return f.text(p[0], p[0]+"."+p[1], f.good()+".", "."+f.good(), f.good()+".AA", f.good()+".AA.AA", "..", "", ".")
	},
	"JSON form": func(f *forger) string {
		p := f.parts()
		return `{"payload":"` + p[1] + `","protected":"` + p[0] + `","signature":"` + p[2] + `"}`
	},
	"too long":  func(f *forger) string { return f.withClaim("padding", strings.Repeat("x", MaxBytes+f.r.IntN(9000))) },
	"many dots": func(f *forger) string { return strings.Repeat(".", 3+f.r.IntN(MaxBytes)) },
	"noise": func(f *forger) string {
		b := make([]byte, f.r.IntN(600))
		for i := range b {
			b[i] = byte(f.r.Uint32())
		}
		return string(b)
	},
	"iss other": func(f *forger) string {
		return f.withClaim("iss", f.of(nil, "https://evil.example", f.claims["iss"].(string)+"/", strings.ToUpper(f.claims["iss"].(string)), []any{f.claims["iss"]}, 1, f.trap, ""))
	},
	"aud other": func(f *forger) string {
		return f.withClaim("aud", f.of(nil, "https://evil.example", []string{}, []string{"urn:gw", "urn:evil"}, []string{"https://gw.example", "x"}, 1, json.RawMessage("null"), "", map[string]any{}))
	},
	"exp bad": func(f *forger) string {
		return f.withClaim("exp", f.of(nil, "9999999999", -1, 0, json.RawMessage("1e300"), json.RawMessage("99999999999999999999"), json.RawMessage("null"), true, []int{1}))
	},
	"expired": func(f *forger) string {
		n := f.clock.Now().Unix()
		return f.token(nil, map[string]any{"iat": n - 3000, "exp": n - 30 - int64(f.r.IntN(1000))})
	},
	"lives long": func(f *forger) string { return f.withClaim("exp", f.clock.Now().Unix()+3600+31+int64(f.r.IntN(1e9))) },
	"iat bad": func(f *forger) string {
		return f.withClaim("iat", f.of(nil, "1", -5, 0, f.clock.Now().Unix()+31+int64(f.r.IntN(500)), json.RawMessage("null")))
	},
	"nbf bad": func(f *forger) string {
		return f.withClaim("nbf", f.of(f.clock.Now().Unix()+31+int64(f.r.IntN(500)), "x", -1, json.RawMessage("1e99")))
	},
	"identity bad": func(f *forger) string {
		return f.token(nil, map[string]any{f.identity(): f.of(nil, "", 1, []string{"c"}, strings.Repeat("x", 300), json.RawMessage("null"))})
	},
	"environment bad": func(f *forger) string { return f.environment() },
	"claim twice": func(f *forger) string {
		return f.rawClaims(after(f.claims, f.text(`"sub":"x"`, `"exp":1`, `"aud":"x"`, `"\u0069ss":"x"`)))
	},
	"claim of case": func(f *forger) string {
		return f.rawClaims(after(f.claims, f.text(`"CLIENT_ID":"x"`, `"Sub":"x"`, `"\u017fub":"x"`, `"Exp":1`, `"AUD":"x"`)))
	},
	"claims broken": func(f *forger) string {
		return f.rawClaims(f.text("", "null", "[]", `"x"`, "1", string(object(f.claims, nil))+" x", "{\"iss\":\"\xff\"}", `{"iss":"\ud800"}`, after(f.claims, `"x":`+strings.Repeat("[", 60)+strings.Repeat("]", 60))))
	},
	"cnf unknown": func(f *forger) string {
		return f.withClaim("cnf", f.of(map[string]any{"jkt": "x"}, map[string]any{}, "x", json.RawMessage("null"), map[string]any{"x5t#S256": "x"}, map[string]any{"x5t#S256": b64(make([]byte, 32)), "jkt": "x"}))
	},
	"scope bad": func(f *forger) string {
		return f.withClaim("scope", f.of(1, map[string]any{}, []any{1}, []string{"a b"}, true))
	},
}

// mine signs this party's good claims with a key nobody knows.
func (f *forger) mine(kid string, head map[string]any) string {
	h := map[string]any{"kid": kid, "alg": "ES256"}
	for k, v := range head {
		h[k] = v
	}
	return seal(f.stranger.signer, object(f.head, h), object(f.claims, nil))
}

func (f *forger) other() *party {
	all := []*party{f.own, f.town.plain, f.town.strict}
	i := slices.Index(all, f.party)
	return all[(i+1+f.r.IntN(2))%3]
}

func (f *forger) identity() string {
	if f.party == f.town.plain {
		return "sub"
	}
	return "client_id"
}

// environment breaks the environment where a claim says it; where the policy does, the identity that has none.
func (f *forger) environment() string {
	bad := f.of(nil, "production", "LIVE", "", 1, []string{"live"})
	switch f.party {
	case f.own:
		return f.withClaim("env", bad)
	case f.town.strict:
		return f.withClaim("environment", bad)
	}
	return f.withClaim("sub", nil)
}

// unusedBits sets bits of the last character that carry nothing, where there are some; else it adds a character.
func (f *forger) unusedBits() string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	p := f.parts()
	i := f.r.IntN(3)
	last := strings.IndexByte(alphabet, p[i][len(p[i])-1])
	switch len(p[i]) % 4 {
	case 2:
		p[i] = p[i][:len(p[i])-1] + string(alphabet[last|1+f.r.IntN(15)])
	case 3:
		p[i] = p[i][:len(p[i])-1] + string(alphabet[last|1+f.r.IntN(3)])
	default:
		p[i] += "A"
	}
	return strings.Join(p, ".")
}

// TestHostileTokenGenerator attacks our issuer and two others with thousands of tokens of every class: none is accepted,
// and none makes us call anybody. An unknown kid may ask for keys once in 30 seconds (TestUnknownKidAsksOnce); here the
// clock stands within them.
func TestHostileTokenGenerator(t *testing.T) {
	t.Parallel()
	const each = 125
	var trapped atomic.Int64
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { trapped.Add(1) }))
	defer trap.Close()
	w := newTown(t)
	ctx := context.Background()
	parties := []*party{w.own, w.plain, w.strict}
	for _, p := range parties {
		if _, err := w.verifier.Verify(ctx, p.token(nil, nil)); err != nil {
			t.Fatalf("the good token of %s must pass, or nothing below proves anything: %v", p.name, err)
		}
	}
	stranger := newParty(t, "stranger", newEC(t), map[string]any{}, nil)
	fetched := w.server.calls.Load()
	if len(hostile) < 40 {
		t.Errorf("%d classes, at least 40", len(hostile))
	}
	var took []time.Duration
	accepted, unavailable := 0, 0
	seed := sha256.Sum256([]byte("hostile"))
	r := rand.New(rand.NewChaCha8(seed))
	for _, name := range slices.Sorted(maps.Keys(hostile)) {
		for n := range each {
			f := &forger{town: w, party: parties[n%len(parties)], r: r, trap: trap.URL, stranger: stranger}
			raw := hostile[name](f)
			began := time.Now()
			v, err := w.verifier.Verify(ctx, raw)
			took = append(took, time.Since(began))
			switch {
			case err == nil:
				accepted++
				t.Errorf("%s of %s was accepted: %+v", name, f.party.name, v.Claims)
			case errors.Is(err, ErrUnavailable):
				unavailable++
			case !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrExpired):
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if n := w.server.calls.Load() - fetched; n != 0 || trapped.Load() != 0 || unavailable != 0 {
		t.Errorf("%d fetches of keys, %d calls of addresses in tokens, %d tokens unjudged", n, trapped.Load(), unavailable)
	}
	for _, p := range parties {
		if _, err := w.verifier.Verify(ctx, p.token(nil, nil)); err != nil {
			t.Errorf("the good token of %s afterwards: %v", p.name, err)
		}
	}
	slices.Sort(took)
	t.Logf("%d tokens of %d classes: %d accepted, %d fetches; median %s, p99 %s", len(took), len(hostile), accepted,
		w.server.calls.Load()-fetched, took[len(took)/2], took[len(took)*99/100])
	if took[len(took)/2] > time.Millisecond {
		t.Errorf("half of the checks took longer than %s", took[len(took)/2])
	}
}

// What would be good but for a kid nobody knows asks once in 30 seconds, however many come.
func TestUnknownKidAsksOnce(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	ctx := context.Background()
	if _, err := w.verifier.Verify(ctx, w.plain.token(nil, nil)); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(30 * time.Second)
	before := w.server.calls.Load()
	for n := range 1000 {
		raw := w.plain.token(map[string]any{"kid": "kid-" + big.NewInt(int64(n)).String()}, nil)
		if _, err := w.verifier.Verify(ctx, raw); !errors.Is(err, ErrInvalid) {
			t.Fatal(err)
		}
	}
	if n := w.server.calls.Load() - before; n != 1 {
		t.Errorf("%d fetches for 1000 unknown kids, want 1", n)
	}
	// What would not be good with any key asks for none.
	w.clock.Advance(30 * time.Second)
	before = w.server.calls.Load()
	now := w.clock.Now().Unix()
	for name, claims := range map[string]map[string]any{"expired": {"iat": now - 300, "exp": now - 60}, "for another": {"aud": "urn:other"}, "too long": {"exp": now + 9999}, "of nobody": {"sub": ""}} {
		if _, err := w.verifier.Verify(ctx, w.plain.token(map[string]any{"kid": "kid-" + strings.ReplaceAll(name, " ", "-")}, claims)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := w.server.calls.Load() - before; n != 0 {
		t.Errorf("%d fetches for tokens that are bad anyway", n)
	}
}
