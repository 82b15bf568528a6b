package jose

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"portway/internal/needs"
)

// serialized is a message in compact form, or the text of one in JSON form.
type serialized string

func (s *serialized) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		return json.Unmarshal(b, (*string)(s))
	}
	*s = serialized(b)
	return nil
}

// wycheproof is a file of vectors of Project Wycheproof.
type wycheproof struct {
	NumberOfTests int `json:"numberOfTests"`
	TestGroups    []struct {
		Type    string          `json:"type"`
		Public  json.RawMessage `json:"public"`
		Private json.RawMessage `json:"private"`
		Tests   []struct {
			ID      int         `json:"tcId"`
			Comment string      `json:"comment"`
			JWS     serialized  `json:"jws"`
			JWE     *serialized `json:"jwe"`
			Result  string      `json:"result"`
		} `json:"tests"`
	} `json:"testGroups"`
}

func vectors(t *testing.T, name string) *wycheproof {
	t.Helper()
	var w wycheproof
	if err := json.Unmarshal(needs.CorpusFile(t, "vectors/wycheproof/testvectors_v1", name), &w); err != nil {
		t.Fatal(err)
	}
	return &w
}

// vectorRules take everything the layer knows, because the vectors have no typ, use HMAC and name kids freely; what is
// tested is all the rest.
func vectorRules() *Rules {
	return &Rules{Types: []string{""}, symmetric: true, anyKeyID: true, Algorithms: []string{"ES256", "EdDSA",
		"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "HS256", "HS384", "HS512"}}
}

// publicKeys reads the keys of a group: the public ones, or the private ones without their private members.
func publicKeys(public, private json.RawMessage) (*Set, error) {
	src := public
	if src == nil {
		src = private
	}
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(src, &set); err != nil {
		return nil, err
	}
	if set.Keys == nil {
		var one map[string]any
		if err := json.Unmarshal(src, &one); err != nil {
			return nil, err
		}
		set.Keys = []map[string]any{one}
	}
	var keys []*Key
	for _, m := range set.Keys {
		if public == nil && m["kty"] != "oct" {
			for _, name := range privateMembers {
				delete(m, name)
			}
		}
		b, err := json.Marshal(m)
		if err != nil {
			return nil, err
		}
		k, err := parseJWK(b, true)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return NewSet(keys...)
}

func verdict(raw string, rules *Rules, public, private json.RawMessage) error {
	keys, err := publicKeys(public, private)
	if err != nil {
		return err
	}
	m, err := Parse(raw)
	if err != nil {
		return err
	}
	return rules.Verify(m, keys.Find(m.Header.KeyID))
}

// exceptions are the vectors whose verdict is not ours, with ours and the reason.
var exceptions = map[int]struct {
	result, reason string
}{
	367: {"valid", "byte for byte the valid vector 357, so no verifier can tell them apart"},
	370: {"valid", "byte for byte the valid vector 357, so no verifier can tell them apart"},
	372: {"invalid", `"?" is not in the base64url alphabet; RFC 7515 section 2 allows no other characters`},
	373: {"invalid", `"?" is not in the base64url alphabet; RFC 7515 section 2 allows no other characters`},
	346: {"invalid", "alg of the header is PS384, of the key PS256: the key's alg is binding here (RFC 7517 section 4.4)"},
	350: {"invalid", "alg of the header is PS384, of the key PS256: the key's alg is binding here (RFC 7517 section 4.4)"},
	347: {"invalid", `alg of the key is "ES521", which no registry knows, and P-521 is not in our profile`},
	351: {"invalid", `alg of the key is "ES521", which no registry knows, and P-521 is not in our profile`},
}

func TestSuiteWycheproofJWS(t *testing.T) {
	t.Parallel()
	run(t, "wycheproof-jws", "json_web_signature_test.json", exceptions, 401)
}

func TestSuiteWycheproofJWK(t *testing.T) {
	t.Parallel()
	run(t, "wycheproof-jwk", "json_web_key_test.json", nil, 26)
}

func run(t *testing.T, suite, file string, exceptions map[int]struct{ result, reason string }, want int) {
	w := vectors(t, file)
	passed, total, used := 0, 0, 0
	for _, g := range w.TestGroups {
		for _, c := range g.Tests {
			total++
			expected := c.Result
			if e, ok := exceptions[c.ID]; ok {
				if e.result == c.Result {
					t.Errorf("%d: the exception says what the vector says", c.ID)
				}
				expected = e.result
				used++
			}
			got := "valid"
			err := verdict(string(c.JWS), vectorRules(), g.Public, g.Private)
			if err != nil {
				got = "invalid"
			}
			if got != expected {
				t.Errorf("%d %s: %s (%v), want %s", c.ID, c.Comment, got, err, expected)
				continue
			}
			passed++
		}
	}
	if total != want || total != w.NumberOfTests || used != len(exceptions) {
		t.Errorf("%d vectors with %d exceptions, want %d with %d", total, used, want, len(exceptions))
	}
	needs.Suite(t, suite, passed, total)
}

// TestSuiteWycheproofCrypto takes the 49 signatures of the mixed set as they are, and no message that is encrypted.
func TestSuiteWycheproofCrypto(t *testing.T) {
	t.Parallel()
	jws, jwe, passed := 0, 0, 0
	check := func(id int, comment, got, want string) {
		if got != want {
			t.Errorf("%d %s: %s, want %s", id, comment, got, want)
			return
		}
		passed++
	}
	for _, file := range []string{"json_web_crypto_test.json", "json_web_encryption_test.json"} {
		for _, g := range vectors(t, file).TestGroups {
			for _, c := range g.Tests {
				if c.JWE == nil {
					jws++
					got := "valid"
					if verdict(string(c.JWS), vectorRules(), g.Public, g.Private) != nil {
						got = "invalid"
					}
					check(c.ID, c.Comment, got, c.Result)
					continue
				}
				jwe++
				got := "invalid"
				if _, err := Parse(string(*c.JWE)); !errors.Is(err, ErrInvalid) {
					got = fmt.Sprint("read: ", err)
				}
				check(c.ID, c.Comment, got, "invalid")
			}
		}
	}
	if jws != 49 || jwe != 139+34 {
		t.Errorf("%d signatures and %d encrypted messages, want 49 and 173", jws, jwe)
	}
	needs.Suite(t, "wycheproof-crypto", passed, jws+jwe)
}
