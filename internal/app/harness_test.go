package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// running is a Portway started by a test in this process, with everything on free ports and its own data folder.
type running struct {
	t      *testing.T
	ready  map[string]any
	out    *lockedBuffer
	logs   *lockedBuffer
	stop   func() int
	tokens map[string]string
	mu     sync.Mutex
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs "portway serve" with the given arguments and waits for its ready file.
func start(t *testing.T, environment map[string]string, args ...string) *running {
	t.Helper()
	r := &running{t: t, out: &lockedBuffer{}, logs: &lockedBuffer{}, tokens: map[string]string{}}
	ready := filepath.Join(t.TempDir(), "ready.json")
	all := append([]string{"serve", "--gateway-listen=127.0.0.1:0", "--portal-listen=127.0.0.1:0", "--ready-file=" + ready}, args...)
	lookup := func(name string) (string, bool) { v, ok := environment[name]; return v, ok }
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	go func() { code <- Run(ctx, all, lookup, r.out, r.logs) }()
	var once sync.Once
	result := -1
	r.stop = func() int {
		once.Do(func() {
			cancel()
			result = <-code
		})
		return result
	}
	t.Cleanup(func() {
		if got := r.stop(); got != 0 && !t.Failed() {
			t.Errorf("serve ended with %d:\n%s", got, r.logs)
		}
		if t.Failed() {
			t.Logf("logs:\n%s", tail(r.logs.String(), 40))
		}
	})
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if b, err := os.ReadFile(ready); err == nil {
			if err := json.Unmarshal(b, &r.ready); err != nil {
				t.Fatal(err)
			}
			return r
		}
		select {
		case result = <-code:
			once.Do(func() {})
			t.Fatalf("serve ended with %d before it was ready:\n%s", result, r.logs)
		case <-deadline:
			t.Fatalf("not ready within 30 s:\n%s", r.logs)
		case <-tick.C:
		}
	}
}

func tail(s string, n int) string {
	lines := strings.Split(s, "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}

// demo starts the example installation.
func demo(t *testing.T, args ...string) *running {
	t.Helper()
	return start(t, nil, append([]string{"--demo", "--data=" + t.TempDir()}, args...)...)
}

func (r *running) at(name string) string { return fmt.Sprint(r.ready[name]) }

// credential finds a demo credential by "organisation/application" and environment.
func (r *running) credential(party, environment string) clientCredential {
	r.t.Helper()
	b, err := os.ReadFile(r.at("demo_credentials"))
	if err != nil {
		r.t.Fatal(err)
	}
	var f credentialsFile
	if err := json.Unmarshal(b, &f); err != nil {
		r.t.Fatal(err)
	}
	for _, c := range f.Applications {
		if c.Organisation+"/"+c.Application == party && string(c.Environment) == environment {
			return c
		}
	}
	r.t.Fatalf("no %s credential of %s", environment, party)
	return clientCredential{}
}

// token gets an access token as a party, once.
func (r *running) token(party, environment string) string {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	key := party + "@" + environment
	if r.tokens[key] == "" {
		c := r.credential(party, environment)
		r.tokens[key] = r.tokenOf(c.ClientID, c.Secret)
	}
	return r.tokens[key]
}

func (r *running) tokenOf(clientID, secret string) string {
	r.t.Helper()
	a := r.do(call{method: "POST", path: "/oauth2/token", body: "grant_type=client_credentials&client_id=" + url.QueryEscape(clientID) + "&client_secret=" + url.QueryEscape(secret),
		header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}})
	token := a.field("access_token")
	if a.status != 200 || token == "" {
		r.t.Fatalf("token endpoint: %d %s", a.status, a.body)
	}
	return token
}

// call is one request to the gateway; as is "party@environment" or "".
type call struct {
	method, path, body, as string
	header                 map[string]string
	host                   string
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a *answer) field(path string) string {
	var v any
	if json.Unmarshal(a.body, &v) != nil {
		return ""
	}
	for _, name := range strings.Split(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = m[name]
	}
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

func (r *running) do(c call) *answer { return r.doAt(r.at("gateway"), c) }

func (r *running) doAt(base string, c call) *answer {
	r.t.Helper()
	req, err := http.NewRequest(c.method, base+c.path, strings.NewReader(c.body))
	if err != nil {
		r.t.Fatal(err)
	}
	if c.body == "" {
		req.Body = nil
	}
	if c.host != "" {
		req.Host = c.host
	}
	if c.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if party, environment, ok := strings.Cut(c.as, "@"); ok {
		req.Header.Set("Authorization", "Bearer "+r.token(party, environment))
	}
	for k, v := range c.header {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatalf("%s %s: %v", c.method, c.path, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return &answer{status: res.StatusCode, header: res.Header, body: body}
}

// until asks again until ok, at most 10 s.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	within(t, 10*time.Second, what, ok)
}

// within asks again until ok.
func within(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("%s: not within %v", what, limit)
		case <-tick.C:
		}
	}
}
