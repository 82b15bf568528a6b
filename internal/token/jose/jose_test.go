package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"
)

// makeKeys returns one private key of each kind with its public Key.
func makeKeys(t testing.TB) map[string]crypto.Signer {
	t.Helper()
	ec, errEC := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, ed, errEd := ed25519.GenerateKey(rand.Reader)
	rs, errRSA := rsa.GenerateKey(rand.Reader, 2048)
	if err := errors.Join(errEC, errEd, errRSA); err != nil {
		t.Fatal(err)
	}
	return map[string]crypto.Signer{"ES256": ec, "EdDSA": ed, "PS256": rs}
}

func public(t testing.TB, private crypto.Signer) *Key {
	t.Helper()
	k, err := NewKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSignAndVerify(t *testing.T) {
	t.Parallel()
	keys := makeKeys(t)
	rules := &Rules{Types: []string{"JWT"}, Algorithms: []string{"ES256", "EdDSA", "PS256", "RS256"}}
	for alg, private := range keys {
		k := public(t, private)
		raw, err := Sign("JWT", k.ID, private, []byte("any bytes, not JSON"))
		if err != nil {
			t.Fatal(err)
		}
		m, err := Parse(raw)
		if err != nil || m.Header != (Header{Algorithm: alg, Type: "JWT", KeyID: k.ID}) || string(m.Payload) != "any bytes, not JSON" {
			t.Fatalf("%s: %+v, %v", alg, m, err)
		}
		if err := rules.Verify(m, k); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		only := func(change func(*Rules)) *Rules { r := *rules; change(&r); return &r }
		for name, r := range map[string]*Rules{
			"other typ":      only(func(r *Rules) { r.Types = []string{"at+jwt", ""} }),
			"other alg":      only(func(r *Rules) { r.Algorithms = []string{"RS256"} }),
			"nothing at all": {},
		} {
			if err := r.Verify(m, k); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s, %s: %v", alg, name, err)
			}
		}
		for other, p := range keys {
			stranger := *public(t, p)
			stranger.ID = k.ID
			if err := rules.Verify(m, &stranger); (err == nil) != (other == alg) {
				t.Errorf("%s with a key of %s: %v", alg, other, err)
			}
		}
		if err := rules.Verify(m, nil); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s without a key: %v", alg, err)
		}
		renamed := *k
		renamed.ID = "other"
		if err := rules.Verify(m, &renamed); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s with a key of another name: %v", alg, err)
		}
	}
	if _, err := Sign("JWT", "k", struct{ crypto.Signer }{}, nil); err == nil {
		t.Error("an unknown kind of key signed")
	}
}

// HMAC is refused by rules that list it: only test vectors switch it on.
func TestSymmetricIsNeverTaken(t *testing.T) {
	t.Parallel()
	m, err := Parse(encode([]byte(`{"alg":"HS256","kid":"k"}`)) + "." + encode([]byte("x")) + "." + encode(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	rules := &Rules{Types: []string{""}, Algorithms: []string{"HS256"}}
	if err := rules.Verify(m, &Key{ID: "k", kty: "oct", public: make([]byte, 32)}); err == nil || !strings.Contains(err.Error(), "alg") {
		t.Errorf("%v, want a refusal by alg", err)
	}
}

// RFC 7518 section 3.5: the salt is as long as the hash. The library takes any length.
func TestPSSSalt(t *testing.T) {
	t.Parallel()
	private := makeKeys(t)["PS256"].(*rsa.PrivateKey)
	k := public(t, private)
	head := encode([]byte(`{"alg":"PS256","kid":"`+k.ID+`"}`)) + "." + encode([]byte("x"))
	sum := sha256.Sum256([]byte(head))
	rules := &Rules{Types: []string{""}, Algorithms: []string{"PS256"}}
	for salt, good := range map[int]bool{32: true, 1: false, 20: false, 64: false} {
		sig, err := rsa.SignPSS(rand.Reader, private, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: salt})
		if err != nil {
			t.Fatal(err)
		}
		m, err := Parse(head + "." + encode(sig))
		if err != nil {
			t.Fatal(err)
		}
		if err := rules.Verify(m, k); (err == nil) != good {
			t.Errorf("salt of %d bytes: %v", salt, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	head := func(s string) string { return encode([]byte(s)) + ".e30.AA" }
	if _, err := Parse(head(`{"alg":"ES256","typ":"JWT","kid":"k","cty":"x","x5t":"y"}`)); err != nil {
		t.Fatalf("the base must pass: %v", err)
	}
	for name, raw := range map[string]string{
		"empty": "", "one part": "e30", "two parts": "e30.e30", "four parts": "e30.e30.AA.AA", "five parts": "e30.e30.AA.AA.AA",
		"too long":            strings.Repeat("A", MaxBytes+1),
		"padding":             "e30=.e30.AA",
		"standard alphabet":   "e30.e30.+/8",
		"unused bits":         "e30.e30.AB",
		"line end":            "e30.e30.A\nA",
		"blank":               "e30.e30. AA",
		"header not JSON":     encode([]byte("x")) + ".e30.AA",
		"header null":         head(`null`),
		"header a list":       head(`[]`),
		"header twice":        head(`{}{}`),
		"byte order mark":     head("\ufeff{}"),
		"duplicate":           head(`{"alg":"ES256","alg":"none"}`),
		"duplicate, escaped":  head(`{"alg":"ES256","\u0061lg":"none"}`),
		"other case":          head(`{"Alg":"ES256"}`),
		"folded case":         head(`{"\u212aid":"x"}`), // the Kelvin sign folds to k
		"alg a number":        head(`{"alg":1}`),
		"alg null":            head(`{"alg":null}`),
		"kid a list":          head(`{"kid":["a"]}`),
		"typ empty":           head(`{"typ":""}`),
		"crit":                head(`{"crit":["exp"]}`),
		"crit null":           head(`{"crit":null}`),
		"b64":                 head(`{"b64":true}`),
		"jwk":                 head(`{"jwk":{}}`),
		"jku":                 head(`{"jku":"https://x"}`),
		"x5u":                 head(`{"x5u":"https://x"}`),
		"x5c":                 head(`{"x5c":[]}`),
		"zip":                 head(`{"zip":"DEF"}`),
		"deep":                head(strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)),
		"many members":        head("{" + members(200) + "}"),
		"the JSON form":       `{"payload":"e30","protected":"e30","signature":"AA"}`,
		"lone surrogate":      head(`{"kid":"\ud800"}`),
		"invalid UTF-8":       head("{\"kid\":\"\xff\"}"),
		"number too precise":  head(`{"x":` + strings.Repeat("9", 200) + `}`),
		"trailing whitespace": "e30.e30.AA ",
	} {
		if m, err := Parse(raw); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

func members(n int) string {
	var out []string
	for i := range n {
		out = append(out, `"m`+hex.EncodeToString([]byte{byte(i), byte(i >> 8)})+`":1`)
	}
	return strings.Join(out, ",")
}

func TestValidKeyID(t *testing.T) {
	t.Parallel()
	for kid, want := range map[string]bool{"a": true, "A-z_0.9~": true, strings.Repeat("k", 128): true, strings.Repeat("k", 129): false,
		"": false, "a/b": false, "../x": false, "a b": false, "a'--": false, "ä": false, "a\x00": false, "a@b": false} {
		if got := ValidKeyID(kid); got != want {
			t.Errorf("%q: %v", kid, got)
		}
	}
}

// Under a key of small order anybody can sign: each key of the list verifies a signature made without a private key,
// and none is taken.
func TestSmallOrder(t *testing.T) {
	t.Parallel()
	for _, text := range smallOrder {
		key, err := hex.DecodeString(text)
		if err != nil || len(key) != 32 {
			t.Fatal(text, err)
		}
		forged := false
		for n := range 400 { // the hash must cancel in a subgroup of at most 8
			for _, r := range smallOrder {
				sig, _ := hex.DecodeString(r)
				sig = append(sig, make([]byte, 32)...)
				forged = forged || ed25519.Verify(key, []byte{byte(n), byte(n >> 8)}, sig)
			}
			if forged {
				break
			}
		}
		if !forged {
			t.Errorf("%s is not of small order", text)
		}
		for _, sign := range []byte{0, 0x80} {
			k := append([]byte{}, key...)
			k[31] |= sign
			if _, err := ParseJWK([]byte(`{"kty":"OKP","crv":"Ed25519","x":"` + encode(k) + `"}`)); err == nil {
				t.Errorf("%x was taken", k)
			}
		}
	}
}

func TestROCA(t *testing.T) {
	t.Parallel()
	// 65537^a mod M for M the product of the small primes has the mark; +2 has not, for some prime.
	m := big.NewInt(1)
	for _, p := range rocaPrimes {
		m.Mul(m, big.NewInt(p))
	}
	marked := new(big.Int).Exp(big.NewInt(65537), big.NewInt(123456789), m)
	if !hasROCA(marked) {
		t.Error("a marked number is not seen")
	}
	for range 3 {
		private, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		if hasROCA(private.N) {
			t.Error("a sound key is taken for a flawed one")
		}
	}
}

func jwkOf(t testing.TB, k *Key, change map[string]any) []byte {
	t.Helper()
	b, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	for name, v := range change {
		if v == nil {
			delete(m, name)
		} else {
			m[name] = v
		}
	}
	if b, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseJWK(t *testing.T) {
	t.Parallel()
	keys := makeKeys(t)
	ec, ed, rs := public(t, keys["ES256"]), public(t, keys["EdDSA"]), public(t, keys["PS256"])
	for _, k := range []*Key{ec, ed, rs} {
		got, err := ParseJWK(jwkOf(t, k, nil))
		if err != nil || !got.Same(k) {
			t.Errorf("%s does not read back: %+v, %v", k.kty, got, err)
		}
		if got, err := ParseJWK(jwkOf(t, k, map[string]any{"kid": nil, "alg": nil, "use": nil, "key_ops": []string{"verify"}, "x5c": []string{"AA"}})); err != nil || got.ID != k.ID || got.Algorithm != "" {
			t.Errorf("%s without a name: %+v, %v", k.kty, got, err)
		}
	}
	big5000 := encode(new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 4200), big.NewInt(1)).Bytes())
	even := encode(new(big.Int).Lsh(big.NewInt(1), 2047).Bytes())
	tests := map[string]struct {
		jwk     []byte
		private bool
	}{
		"not JSON":             {[]byte("x"), false},
		"a list":               {[]byte("[]"), false},
		"duplicate member":     {[]byte(`{"kty":"EC","kty":"EC"}`), false},
		"private EC":           {jwkOf(t, ec, map[string]any{"d": "AA"}), true},
		"private EC in case":   {jwkOf(t, ec, map[string]any{"D": "AA"}), false},
		"private Ed25519":      {jwkOf(t, ed, map[string]any{"d": "AA"}), true},
		"private RSA":          {jwkOf(t, rs, map[string]any{"d": "AA"}), true},
		"private RSA, prime":   {jwkOf(t, rs, map[string]any{"p": "AA"}), true},
		"private RSA, others":  {jwkOf(t, rs, map[string]any{"oth": []string{}}), true},
		"symmetric":            {[]byte(`{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`), true},
		"for encryption":       {jwkOf(t, ec, map[string]any{"use": "enc"}), false},
		"for signing":          {jwkOf(t, ec, map[string]any{"key_ops": []string{"sign"}}), false},
		"no use at all":        {jwkOf(t, ec, map[string]any{"key_ops": []string{}}), false},
		"alg of another type":  {jwkOf(t, ec, map[string]any{"alg": "PS256"}), false},
		"alg unknown":          {jwkOf(t, ec, map[string]any{"alg": "none"}), false},
		"alg HMAC":             {jwkOf(t, rs, map[string]any{"alg": "HS256"}), false},
		"alg a number":         {jwkOf(t, rs, map[string]any{"alg": 1}), false},
		"no type":              {jwkOf(t, ec, map[string]any{"kty": nil}), false},
		"other curve":          {jwkOf(t, ec, map[string]any{"crv": "P-384"}), false},
		"off the curve":        {jwkOf(t, ec, map[string]any{"y": encode(make([]byte, 32))}), false},
		"point at infinity":    {jwkOf(t, ec, map[string]any{"x": encode(make([]byte, 32)), "y": encode(make([]byte, 32))}), false},
		"short x":              {jwkOf(t, ec, map[string]any{"x": encode(make([]byte, 31))}), false},
		"no y":                 {jwkOf(t, ec, map[string]any{"y": nil}), false},
		"padded x":             {jwkOf(t, ec, map[string]any{"x": encode(make([]byte, 32)) + "="}), false},
		"short Ed25519":        {jwkOf(t, ed, map[string]any{"x": encode(make([]byte, 31))}), false},
		"RSA of 1024 bits":     {jwkOf(t, rs, map[string]any{"n": encode(append([]byte{0x80}, make([]byte, 127)...))}), false},
		"RSA beyond 4096 bits": {jwkOf(t, rs, map[string]any{"n": big5000}), false},
		"RSA even":             {jwkOf(t, rs, map[string]any{"n": even}), false},
		"RSA e=1":              {jwkOf(t, rs, map[string]any{"e": "AQ"}), false},
		"RSA e=3":              {jwkOf(t, rs, map[string]any{"e": "Aw"}), false},
		"RSA e with a zero":    {jwkOf(t, rs, map[string]any{"e": "AAEAAQ"}), false},
	}
	for name, tt := range tests {
		k, err := ParseJWK(tt.jwk)
		if err == nil || errors.Is(err, ErrPrivate) != tt.private {
			t.Errorf("%s: %+v, %v", name, k, err)
		}
	}
}

func setOf(list ...[]byte) []byte {
	var raw []json.RawMessage
	for _, b := range list {
		raw = append(raw, b)
	}
	b, err := json.Marshal(map[string]any{"keys": raw})
	if err != nil {
		panic(err)
	}
	return b
}

func TestSets(t *testing.T) {
	t.Parallel()
	keys := makeKeys(t)
	ec, ed, rs := public(t, keys["ES256"]), public(t, keys["EdDSA"]), public(t, keys["PS256"])
	good := setOf(jwkOf(t, ec, nil), jwkOf(t, ed, nil), jwkOf(t, rs, nil))
	private := jwkOf(t, ed, map[string]any{"d": "AA"})
	enc := jwkOf(t, rs, map[string]any{"use": "enc", "alg": "RSA-OAEP"})
	twin := jwkOf(t, ed, map[string]any{"kid": ec.ID})
	tests := map[string]struct {
		set               []byte
		strict, published int // keys taken, -1 = refused
	}{
		"good":               {good, 3, 3},
		"empty":              {[]byte(`{"keys":[]}`), 0, 0},
		"no list":            {[]byte(`{}`), -1, -1},
		"null":               {[]byte(`{"keys":null}`), -1, -1},
		"one bare key":       {jwkOf(t, ec, nil), -1, -1},
		"a private key":      {setOf(jwkOf(t, ec, nil), private), -1, -1},
		"a symmetric key":    {setOf(jwkOf(t, ec, nil), []byte(`{"kty":"oct","k":"AA","kid":"s"}`)), -1, -1},
		"one for encryption": {setOf(jwkOf(t, ec, nil), enc), -1, 1},
		"a type to come":     {setOf(jwkOf(t, ec, nil), []byte(`{"kty":"AKP","alg":"ML-DSA-44","kid":"x"}`)), -1, 1},
		"one kid twice":      {setOf(jwkOf(t, ec, nil), twin, jwkOf(t, rs, nil)), -1, 1},
		"kid malformed":      {setOf(jwkOf(t, ec, map[string]any{"kid": "a b"})), -1, 0},
		"kid absent":         {setOf(jwkOf(t, ec, map[string]any{"kid": nil})), 1, 0},
		"too many":           {[]byte(`{"keys":[` + strings.Repeat(`{},`, maxKeys) + `{}]}`), -1, -1},
	}
	for name, tt := range tests {
		size := func(s *Set, err error) int {
			if err != nil {
				return -1
			}
			return s.Len()
		}
		if got := size(ParseSet(tt.set)); got != tt.strict {
			t.Errorf("%s: registered %d keys, want %d", name, got, tt.strict)
		}
		set, _, err := ParsePublished(tt.set)
		if got := size(set, err); got != tt.published {
			t.Errorf("%s: published %d keys, want %d (%v)", name, got, tt.published, err)
		}
	}
	set, err := ParseSet(good)
	if err != nil || set.Find(ec.ID) == nil || set.Find("") != nil || (*Set)(nil).Find("x") != nil {
		t.Fatal(err)
	}
	again, err := ParseSet(setOf(jwkOf(t, ec, nil), jwkOf(t, rs, map[string]any{"alg": nil})))
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := set.Renew(again)
	if err != nil || renewed.Find(ec.ID) != set.Find(ec.ID) || renewed.Find(rs.ID) == set.Find(rs.ID) || renewed.Find(ed.ID) != nil {
		t.Error("a key that is the same keeps its identity, a changed one does not, a removed one is gone")
	}
	if b, err := json.Marshal(set); err != nil {
		t.Error(err)
	} else if back, err := ParseSet(b); err != nil || back.Len() != 3 {
		t.Errorf("a set does not read back: %v", err)
	}
}

// RFC 7638 section 3.1.
func TestThumbprint(t *testing.T) {
	t.Parallel()
	k, err := ParseJWK([]byte(`{"kty":"RSA","e":"AQAB","alg":"RS256","kid":"2011-04-29","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"}`))
	if err != nil || k.Thumbprint() != "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" {
		t.Errorf("%v, %v", k, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("e30.e30.AA")
	f.Add(encode([]byte(`{"alg":"ES256","typ":"JWT","kid":"k"}`)) + ".e30.AA")
	f.Fuzz(func(t *testing.T, raw string) {
		m, err := Parse(raw)
		if err != nil {
			return
		}
		// What is read is canonical: there is one way to write it.
		cut := strings.SplitN(raw, ".", 3)
		if encode(m.Payload) != cut[1] || encode(m.signature) != cut[2] || m.signed != cut[0]+"."+cut[1] {
			t.Fatal("read otherwise than written")
		}
	})
}

func FuzzParseSet(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"04N0xi21hshyvBp7I167sbE_bXqyqkAPfefdklMO7wY","y":"UI8exy-C06a7DUnjIdENkxeFtHM4-l_41LqEw9nVgmw","kid":"k"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"k"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		set, err := ParseSet(b)
		if err != nil {
			return
		}
		out, err := json.Marshal(set)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseSet(out)
		if err != nil || again.Len() != set.Len() {
			t.Fatalf("a set that was read cannot be read back: %v", err)
		}
		if published, _, err := ParsePublished(b); err != nil || published.Len() > set.Len() {
			t.Fatalf("the published reading takes less or more: %v", err)
		}
	})
}
