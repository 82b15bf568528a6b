package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"portway/internal/token/jose"
)

// TestExternalIssuer starts an installation that takes tokens of two external issuers, one of which is down: the tokens
// of one work, those of the other are our 503 and not the caller's 401, and nothing else suffers.
func TestExternalIssuer(t *testing.T) {
	t.Parallel()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := jose.NewKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := json.NewEncoder(w).Encode(map[string]any{"keys": []*jose.Key{key}}); err != nil {
			t.Error(err)
		}
	}))
	defer keys.Close()
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	backend := httptest.NewServer(http.NotFoundHandler())
	defer backend.Close()
	dir := installation(t, backend.URL, senderPartner)
	policy := func(name, url string) {
		putFile(t, dir, "policies/issuers/"+name+".yaml", []byte("kind: issuer\nschema: 1\nissuer: https://"+name+".example\nprofile: jwt\naudience: urn:gateway\n"+
			"algorithms: [ES256]\njwks: "+url+"\nenvironment: live\napplication: sender/edi\n"))
	}
	policy("up", keys.URL)
	policy("down", down.URL)
	secret := strings.Repeat("s3cret", 8)
	r := start(t, map[string]string{"SENDER_SECRET": secret}, "--data="+t.TempDir(), "--config="+dir, "--admin-listen=127.0.0.1:0")
	made := func(issuer, audience string) string {
		now := time.Now().Unix()
		body, err := json.Marshal(map[string]any{"iss": issuer, "aud": audience, "sub": "warehouse", "iat": now, "exp": now + 300, "scope": "events:read"})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := jose.Sign("JWT", key.ID, private, body)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	// An event that is not there is 404 for whoever may ask.
	const path = "/v1/events/019abadf-4b7b-7abc-8def-0123456789ab"
	for name, tt := range map[string]struct {
		token  string
		status int
	}{
		"of the issuer that is up":   {made("https://up.example", "urn:gateway"), 404},
		"of the one that is down":    {made("https://down.example", "urn:gateway"), 503},
		"of one that is not known":   {made("https://other.example", "urn:gateway"), 401},
		"for another audience":       {made("https://up.example", "urn:other"), 401},
		"of ours":                    {r.tokenOf("sender-edi", secret), 404},
		"of the issuer, in our name": {made(r.ready["gateway"].(string), "urn:gateway"), 401},
	} {
		got := r.do(call{method: "GET", path: path, header: map[string]string{"Authorization": "Bearer " + tt.token}})
		if got.status != tt.status {
			t.Errorf("a token %s: %d %s, want %d", name, got.status, got.body, tt.status)
		}
	}
	var health struct {
		Details struct {
			Issuers map[string]struct {
				Keys    int    `json:"keys"`
				Problem string `json:"problem"`
			} `json:"issuers"`
			Keys map[string]int `json:"signing_keys"`
		} `json:"details"`
	}
	_, text := fetch(t, r.at("admin")+"/healthz")
	if err := json.Unmarshal([]byte(text), &health); err != nil {
		t.Fatal(err)
	}
	up, gone := health.Details.Issuers["https://up.example"], health.Details.Issuers["https://down.example"]
	if up.Keys != 1 || up.Problem != "" || gone.Keys != 0 || gone.Problem == "" || health.Details.Keys["active"] != 1 {
		t.Errorf("the health report says %s", text)
	}
}
