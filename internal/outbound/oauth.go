package outbound

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"portway/internal/catalog/egress"
	"portway/internal/ident"
)

// basic is the value of an Authorization header (RFC 7617).
func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

const (
	tokenTimeout = 10 * time.Second
	tokenLife    = 5 * time.Minute // of a token that does not say
	tokenAgain   = time.Second     // after a refusal of the token endpoint
)

// oauth has an access token at hand (RFC 6749 section 4.4): one fetch at a time, ahead of the expiry, and calls wait
// for it only when there is no token at all.
type oauth struct {
	policy     egress.OAuth
	id, secret string
	client     *http.Client
	clock      ident.Clock
	backend    string

	now     atomic.Pointer[accessToken]
	mu      sync.Mutex
	fetch   *fetch    // under way, nil when none is
	failed  error     // of the last fetch
	retryAt time.Time // after a failed one
}

type accessToken struct {
	header  string // "Bearer …"
	refresh time.Time
	expires time.Time
}

type fetch struct {
	done  chan struct{}
	token *accessToken
	err   error
}

// token returns a token that has not expired, or why there is none.
func (o *oauth) token(ctx context.Context) (*accessToken, error) {
	now := o.clock.Now()
	t := o.now.Load()
	if t != nil && now.Before(t.refresh) {
		return t, nil
	}
	f, err := o.begin(now)
	if t != nil && now.Before(t.expires) {
		return t, nil // while the next one is on its way
	}
	if err != nil {
		return nil, err
	}
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// begin joins the fetch that is under way, or starts one.
func (o *oauth) begin(now time.Time) (*fetch, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fetch != nil {
		return o.fetch, nil
	}
	if t := o.now.Load(); t != nil && now.Before(t.refresh) { // came while we waited for the lock
		f := &fetch{done: make(chan struct{}), token: t}
		close(f.done)
		return f, nil
	}
	if now.Before(o.retryAt) {
		return nil, o.failed
	}
	f := &fetch{done: make(chan struct{})}
	o.fetch = f
	go func() {
		f.token, f.err = o.ask()
		o.mu.Lock()
		o.fetch = nil
		if f.err == nil {
			o.now.Store(f.token)
		} else {
			o.failed, o.retryAt = f.err, o.clock.Now().Add(tokenAgain)
		}
		o.mu.Unlock()
		close(f.done)
	}()
	return f, nil
}

// refuse forgets a token that the backend did not take.
func (o *oauth) refuse(t *accessToken) { o.now.CompareAndSwap(t, nil) }

// ask fetches a token. Errors name neither the answer's text nor the credentials.
func (o *oauth) ask() (*accessToken, error) {
	ctx, cancel := context.WithTimeout(context.Background(), tokenTimeout)
	defer cancel()
	form := url.Values{"grant_type": {"client_credentials"}}
	if o.policy.Scope != "" {
		form.Set("scope", o.policy.Scope)
	}
	if o.policy.Audience != "" {
		form.Set("audience", o.policy.Audience)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.policy.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fmt.Errorf("token endpoint of backend %q: %w", o.backend, err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Authorization", basic(url.QueryEscape(o.id), url.QueryEscape(o.secret))) // RFC 6749 section 2.3.1
	asked := o.clock.Now()
	resp, err := o.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("token endpoint of backend %q: %w", o.backend, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return nil, fmt.Errorf("token endpoint of backend %q: %w", o.backend, err)
	}
	var answer struct {
		Token   string      `json:"access_token"`
		Type    string      `json:"token_type"`
		Expires json.Number `json:"expires_in"`
	}
	if resp.StatusCode != http.StatusOK || json.Unmarshal(body, &answer) != nil || !plainToken(answer.Token) || !strings.EqualFold(answer.Type, "Bearer") {
		return nil, fmt.Errorf("token endpoint of backend %q: status %d, no bearer token", o.backend, resp.StatusCode)
	}
	life := tokenLife
	if n, err := answer.Expires.Int64(); err == nil && n > 0 {
		life = time.Duration(min(n, 30*24*3600)) * time.Second
	}
	return &accessToken{header: "Bearer " + answer.Token, refresh: asked.Add(life - min(life/5, time.Minute)),
		expires: asked.Add(life - min(life/20, 5*time.Second))}, nil
}

// plainToken reports whether s can stand in a header (RFC 6750 section 2.1).
func plainToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s != "" && len(s) <= 16<<10
}
