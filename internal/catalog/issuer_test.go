package catalog

import (
	"maps"
	"strings"
	"testing"
	"time"

	"portway/internal/ident"
)

const goodIssuer = `kind: issuer
schema: 1
issuer: https://login.example/tenant
profile: jwt
audience: https://gw.example
algorithms: [ES256, PS256]
jwks: https://login.example/keys
environment: live
application: org/app
`

func TestIssuer(t *testing.T) {
	t.Parallel()
	load := func(files map[string]string) (*Snapshot, string) {
		all := maps.Clone(goodFiles)
		maps.Copy(all, files)
		snap, problems := Load(sources(all))
		if err := problems.Err(); err != nil {
			return snap, err.Error()
		}
		return snap, ""
	}
	snap, failed := load(map[string]string{"policies/issuers/login.yaml": goodIssuer})
	if failed != "" {
		t.Fatal(failed)
	}
	is := snap.Issuers["https://login.example/tenant"]
	if is == nil || is.ID != "login" || is.MaxLifetime != time.Hour || is.IdentityClaim != "sub" || is.Environment != ident.Live {
		t.Errorf("%+v", is)
	}
	for name, tt := range map[string]struct{ old, new, want string }{
		"rfc9068":             {"profile: jwt", "profile: rfc9068", ""},
		"loopback":            {"https://login.example/keys", "http://127.0.0.1:9/keys", ""},
		"clients":             {"application: org/app", "clients: {a: client-1}", ""},
		"environment claim":   {"environment: live", "environmentClaim: env", ""},
		"untyped":             {"profile: jwt", "profile: jwt\nuntyped: true", ""},
		"profile unknown":     {"profile: jwt", "profile: oidc", ":4: profile: use rfc9068 or jwt"},
		"no issuer":           {"issuer: https://login.example/tenant\n", "", "issuer: name the exact value of iss"},
		"no audience":         {"audience: https://gw.example\n", "", "audience: name the exact value of aud"},
		"no algorithm":        {"algorithms: [ES256, PS256]\n", "", "algorithms: list one or more of ES256, PS256, EdDSA, RS256"},
		"HMAC":                {"[ES256, PS256]", "[ES256, HS256]", `:6: algorithms: "HS256": use ES256, PS256, EdDSA, RS256`},
		"none":                {"[ES256, PS256]", "[none]", `:6: algorithms: "none"`},
		"keys over HTTP":      {"https://login.example/keys", "http://login.example/keys", ":7: jwks: not an absolute https address"},
		"keys with a user":    {"https://login.example/keys", "https://u:p@login.example/keys", "jwks: not an absolute https address"},
		"no keys":             {"jwks: https://login.example/keys\n", "", "jwks: not an absolute https address"},
		"lifetime":            {"environment: live", "environment: live\nmaxLifetime: 10000h", ":9: maxLifetime: use 1m to 9600h"},
		"untyped rfc9068":     {"profile: jwt", "profile: rfc9068\nuntyped: true", "untyped: only profile jwt"},
		"environment unknown": {"environment: live", "environment: prod", `environment: "prod": use sandbox or live`},
		"no environment":      {"environment: live\n", "", "environment: give either"},
		"two environments":    {"environment: live", "environment: live\nenvironmentClaim: env", "environment: give either"},
		"no application":      {"application: org/app\n", "", "application: give either application or clients"},
		"both":                {"application: org/app", "application: org/app\nclients: {a: b}", "application: give either"},
		"application alone":   {"application: org/app", "application: app", "application: write organisation/application"},
		"empty client":        {"application: org/app", `clients: {a: ""}`, "clients: an identity or a client id is empty"},
		"key unknown":         {"application: org/app", "application: org/app\nsecret: x", "secret"},
	} {
		changed := strings.Replace(goodIssuer, tt.old, tt.new, 1)
		if changed == goodIssuer {
			t.Fatalf("%s changes nothing", name)
		}
		_, got := load(map[string]string{"policies/issuers/login.yaml": changed})
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) || tt.want != "" && !strings.Contains(got, "policies/issuers/login.yaml") {
			t.Errorf("%s: %s", name, got)
		}
	}
	_, got := load(map[string]string{"policies/issuers/a.yaml": goodIssuer, "policies/issuers/b.yaml": goodIssuer})
	if !strings.Contains(got, `policies/issuers/b.yaml:3: issuer: "a" has it already`) {
		t.Errorf("one issuer in two files: %s", got)
	}
	_, got = load(map[string]string{"policies/issuers/a.yaml": "kind: issuer\nschema: 1\n"})
	if n := strings.Count(got, "policies/issuers/a.yaml"); n != 7 {
		t.Errorf("an empty file has %d problems, want all 7:\n%s", n, got)
	}
}
