package catalog

import (
	"strings"
	"testing"
	"time"

	"portway/internal/catalog/egress"
	"portway/internal/ident"
)

const storeFile = "policies/backends/store.yaml"

// TestBackendPolicy reads every field of a backend.
func TestBackendPolicy(t *testing.T) {
	t.Parallel()
	s, problems := Load(sources(with(map[string]string{storeFile: `kind: backend
schema: 1
name: Store
urls: {sandbox: "http://127.0.0.1:1/base/"}
targets:
  live:
    - {url: "https://one.example/api/", weight: 3}
    - {url: "env:STORE_URL"}
timeout: 10s
tryTimeout: 3s
honoursKey: true
retries: {attempts: 3, base: 20ms, max: 2s, budget: 5}
breaker: {requests: 20, failures: 50, open: 10s, longest: 5m}
maxInFlight: 64
health: {path: /health, every: 5s}
headers: {X-Key: "env:KEY"}
auth:
  oauth: {tokenUrl: "https://id.example/token", clientId: "env:ID", clientSecret: "file:/run/secret", scope: a b, audience: c}
tls: {ca: "file:/run/ca.pem", cert: "file:/run/cert.pem", key: "file:/run/key.pem"}
budget: {rate: 600, per: 1m, burst: 20}
answers: {done: [304], already: [409], rejected: [422], locked: [423], transient: [425, 500]}
operations:
  getThing: {method: GET, path: "/items/{id}"}
`})))
	if problems != nil {
		t.Fatal(problems.Error())
	}
	b := s.Backends["store"]
	live := b.Targets[ident.Live]
	if b.URLs[ident.Live] != "https://one.example/api" || len(live) != 2 || live[0] != (egress.Target{URL: "https://one.example/api", Weight: 3}) || live[1] != (egress.Target{URL: "https://store.example", Weight: 1}) ||
		len(b.Targets[ident.Sandbox]) != 1 || b.Targets[ident.Sandbox][0].URL != b.URLs[ident.Sandbox] {
		t.Errorf("targets %+v", b.Targets)
	}
	if b.TryTimeout != 3*time.Second || !b.HonoursKey || b.Retries != (egress.Retries{Attempts: 3, Base: 20 * time.Millisecond, Max: 2 * time.Second, Budget: 5}) ||
		b.Breaker != (egress.Breaker{Requests: 20, Failures: 50, Open: 10 * time.Second, Longest: 5 * time.Minute}) || b.MaxInFlight != 64 ||
		b.Health != (egress.Health{Path: "/health", Every: 5 * time.Second}) || b.Budget != (egress.Budget{Rate: 600, Per: time.Minute, Burst: 20}) || b.TLS.Key != "file:/run/key.pem" ||
		*b.Auth.OAuth != (egress.OAuth{TokenURL: "https://id.example/token", ClientID: "env:ID", Secret: "file:/run/secret", Scope: "a b", Audience: "c"}) {
		t.Errorf("backend %+v", b)
	}
	for status, want := range map[int]egress.Meaning{200: "", 304: egress.MeansDone, 409: egress.MeansAlready, 422: egress.MeansRejected, 423: egress.MeansLocked, 425: egress.MeansTransient, 500: egress.MeansTransient, 503: ""} {
		if got := b.Answers.Meaning(status); got != want {
			t.Errorf("%d means %q, want %q", status, got, want)
		}
	}
}

func TestBackendPolicyProblems(t *testing.T) {
	t.Parallel()
	for member, want := range map[string]string{
		"targets: {live: [{url: 'https://a.example'}]}": "targets.live: urls has this environment, too",
		"tryTimeout: 20s":                                   "a try is not longer than the whole call",
		"retries: {attempts: 11}":                           "retries.attempts is between 1 and 10",
		"retries: {budget: 11}":                             "retries.budget is at most 10 percent",
		"retries: {base: 2s, max: 1s}":                      "base is not above max",
		"breaker: {failures: 101}":                          "failures is a percentage",
		"breaker: {open: 2m, longest: 1m}":                  "open is not above longest",
		"maxInFlight: -1":                                   "maxInFlight is between",
		"health: {path: health}":                            "health.path begins with a slash",
		"health: {path: /health, every: 1ms}":               "health.every is at least 1s",
		"budget: {rate: 5}":                                 "rate, per and burst are above zero",
		"auth: {basic: {user: 'env:A', password: written}}": "auth.basic.password is given as env:NAME or file:/path",
		"auth: {basic: {user: 'env:A', password: 'env:B'}, oauth: {tokenUrl: 'https://a.example', clientId: 'env:A', clientSecret: 'env:B'}}": "give one of basic and oauth",
		"auth: {oauth: {tokenUrl: 'ftp://a.example', clientId: 'env:A', clientSecret: 'env:B'}}":                                              "auth.oauth.tokenUrl is not an absolute",
		"tls: {cert: 'file:/a'}":                   "tls.key is given as env:NAME",
		"tls: {ca: '-----BEGIN CERTIFICATE-----'}": "tls.ca is given as env:NAME",
		"answers: {done: [200], already: [200]}":   "answers: 200 is no HTTP status, or listed twice",
		"answers: {rejected: [42]}":                "answers: 42 is no HTTP status",
	} {
		_, problems := Load(sources(with(map[string]string{storeFile: "vars: {account: A1} → vars: {account: A1}\n" + member})))
		if len(problems) != 1 || !strings.HasPrefix(problems[0].File, storeFile) || problems[0].Line < 5 || !strings.Contains(problems[0].Message, want) {
			t.Errorf("%s: %v", member, problems)
		}
	}
}

func TestStreamsAndFallbacks(t *testing.T) {
	t.Parallel()
	const api = "policies/apis/things.yaml"
	for change, want := range map[string]string{
		"{fixed: store} → {fixed: store}, stream: down, answer: 1GiB":                            "",
		"{fixed: store} → {fixed: store}, stream: up":                                            "",
		"{fixed: store} → {fixed: store}, fallback: {kind: last_good, maxAge: 5m}":               "",
		"{fixed: store} → {fixed: store}, fallback: {kind: fail}":                                "",
		"{fixed: store} → {fixed: store}, stream: sideways":                                      `.stream is "sideways": use up, down or both`,
		"{fixed: store} → {fixed: store}, stream: down, response: enforce":                       "a streamed answer is not checked",
		"{fixed: store} → {fixed: store}, stream: down, answer: much":                            ".answer:",
		"{fixed: store} → {fixed: store}, fallback: {kind: last_good}":                           "a maxAge above zero",
		"{fixed: store} → {fixed: store}, fallback: {kind: queue}":                               `.fallback.kind is "queue": use last_good or fail`,
		"{fixed: store} → {fixed: store}, stream: down, fallback: {kind: last_good, maxAge: 5m}": "proxied reads that are not streamed",
		"event: thing.created.v1 → event: thing.created.v1, stream: up":                          "only a proxied operation streams",
	} {
		s, problems := Load(sources(with(map[string]string{api: change})))
		if want == "" {
			if problems != nil {
				t.Errorf("%s: %v", change, problems)
			} else if r := s.Match("GET", "/things/v1/things/7").Route; strings.Contains(change, "1GiB") && (!r.Stream.Down() || r.Stream.Up() || r.AnswerLimit != 1<<30) {
				t.Errorf("%s: %+v", change, r)
			}
			continue
		}
		if len(problems) == 0 || !strings.Contains(problems.Error(), want) {
			t.Errorf("%s: %v", change, problems)
		}
	}
	mapped := with(map[string]string{api: "{fixed: store} → {fixed: store}, stream: both", storeFile: `path: "/items/{id}"} → path: "/items/{id}", request: thing-created, response: thing-created}`})
	if _, problems := Load(sources(mapped)); len(problems) != 2 || !strings.Contains(problems.Error(), "no mapping of the request") || !strings.Contains(problems.Error(), "no mapping of the answer") {
		t.Errorf("mappings: %v", problems)
	}
}
