package erp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"portway/internal/ident"
)

// Gateway says where the gateway is and as whom the ERP calls it (OAuth 2.0 client credentials, RFC 6749 section 4.4).
type Gateway struct {
	// URL is the gateway's base address, without a path.
	URL string
	// ClientID and Secret are sent with HTTP Basic to URL/oauth2/token.
	ClientID string
	Secret   string
	// Scope is asked for; "" leaves it to the gateway.
	Scope string
}

// gateway is the ERP's client: one token, kept until shortly before it expires.
type gateway struct {
	clock  ident.Clock
	client *http.Client

	mu      sync.Mutex
	to      Gateway
	token   string
	expires time.Time
}

const (
	// callTimeout bounds one call of the gateway, the token included.
	callTimeout = 20 * time.Second
	// maxAnswer bounds what is read of an answer, in bytes.
	maxAnswer = 1 << 20
	// renewBefore is how long before its expiry a token is no longer used.
	renewBefore = 30 * time.Second
)

// newClient returns a client that never follows a redirect: a gateway that answers with one is misconfigured, and
// a secret would leak.
func newClient() *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{MaxIdleConnsPerHost: 8, IdleConnTimeout: 30 * time.Second},
	}
}

// Connect tells the ERP where the gateway is, which starts after it; a token of an earlier one is forgotten.
// The error says which setting is unusable.
func (e *ERP) Connect(to Gateway) error {
	u, err := url.Parse(to.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return errors.New("erp: gateway URL must be an absolute http or https address")
	}
	if to.ClientID == "" || to.Secret == "" {
		return errors.New("erp: gateway client id and secret are required")
	}
	to.URL = strings.TrimRight(to.URL, "/")
	e.gw.mu.Lock()
	defer e.gw.mu.Unlock()
	e.gw.to, e.gw.token = to, ""
	return nil
}

// connected reports whether Connect was called.
func (g *gateway) connected() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.to.URL != ""
}

// answer is what the gateway said.
type answer struct {
	Status    int
	RequestID string
	Body      []byte
}

// post sends body to path with a token; on a 401 the token is fetched anew once. An error means that no answer
// was seen, so whether the gateway did the work is unknown.
func (g *gateway) post(ctx context.Context, path, key string, body any) (answer, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	refused := ""
	for {
		to, token, err := g.bearer(ctx, refused)
		if err != nil {
			return answer{}, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.URL+path, bytes.NewReader(data))
		if err != nil {
			return answer{}, err
		}
		// Without GetBody net/http does not repeat a call by itself: a lost answer must be seen and booked.
		req.GetBody = nil
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, application/problem+json")
		req.Header.Set("Idempotency-Key", key)
		got, err := g.send(req)
		if err != nil || got.Status != http.StatusUnauthorized || refused != "" {
			return got, err
		}
		refused = token
	}
}

// bearer returns the kept token, or a new one if it is about to expire or is the refused one. Holding the lock
// while fetching makes concurrent calls share one fetch.
func (g *gateway) bearer(ctx context.Context, refused string) (Gateway, string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.clock.Now()
	if g.token != "" && g.token != refused && now.Before(g.expires) {
		return g.to, g.token, nil
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if g.to.Scope != "" {
		form.Set("scope", g.to.Scope)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.to.URL+"/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		return g.to, "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	// RFC 6749 section 2.3.1: both parts are form-encoded before they become the Basic credentials.
	req.SetBasicAuth(url.QueryEscape(g.to.ClientID), url.QueryEscape(g.to.Secret))
	got, err := g.send(req)
	if err != nil {
		return g.to, "", err
	}
	var out struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int64  `json:"expires_in"`
	}
	if got.Status != http.StatusOK {
		return g.to, "", fmt.Errorf("the token endpoint answered %d, check client id and secret", got.Status)
	}
	if err := json.Unmarshal(got.Body, &out); err != nil || out.AccessToken == "" || !strings.EqualFold(out.TokenType, "Bearer") {
		return g.to, "", errors.New("the token endpoint did not answer with a bearer token")
	}
	life := time.Duration(out.ExpiresIn) * time.Second
	g.token = out.AccessToken
	// A token that lives shorter than twice the margin is used for half its life.
	g.expires = now.Add(life - min(renewBefore, life/2))
	return g.to, g.token, nil
}

func (g *gateway) send(req *http.Request) (answer, error) {
	resp, err := g.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return answer{}, err
	}
	if len(body) > maxAnswer {
		return answer{}, errors.New("the gateway's answer is larger than 1 MiB")
	}
	return answer{Status: resp.StatusCode, RequestID: resp.Header.Get("X-Request-Id"), Body: body}, nil
}

// callKey is the Idempotency-Key of a call: the same as long as no answer to it was seen, so that a retry after
// a lost answer is one call to the gateway; a new one after each answer.
func callKey(o *order, call string, version int) string {
	answered := 0
	for _, a := range o.Attempts {
		if a.Call == call && a.Status != 0 {
			answered++
		}
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d\x00%d", o.Intent.Order, call, version, answered))
	return hex.EncodeToString(sum[:16])
}
