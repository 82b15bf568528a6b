package story

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// answer is what a server said to one call.
type answer struct {
	status    int
	requestID string
	header    http.Header
	body      []byte
}

// field returns a member of a JSON answer by a dotted path, "" if it is not there.
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
	switch t := v.(type) {
	case nil:
		return ""
	case string:
		return t
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}

// expect returns an error that quotes the problem when the status is not one of those wanted.
func (a *answer) expect(what string, status ...int) error {
	for _, s := range status {
		if a.status == s {
			return nil
		}
	}
	return fmt.Errorf("%s answered %d, want %v: %s (request %s)", what, a.status, status, a.field("detail"), a.requestID)
}

// caller is one company's system with its own client credentials.
type caller struct {
	http    *http.Client
	gateway string
	id      string
	secret  string
	token   string
}

func (c *caller) signIn(ctx context.Context) error {
	form := url.Values{"grant_type": {"client_credentials"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.gateway+"/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(c.id), url.QueryEscape(c.secret))
	a, err := send(c.http, req)
	if err != nil {
		return err
	}
	if err := a.expect("the token endpoint", http.StatusOK); err != nil {
		return err
	}
	c.token = a.field("access_token")
	return nil
}

// call sends a request through the gateway. A body that is not []byte is sent as JSON.
func (c *caller) call(ctx context.Context, method, path, contentType string, body any) (*answer, error) {
	return request(ctx, c.http, method, c.gateway+path, contentType, body, c.token)
}

func request(ctx context.Context, client *http.Client, method, address, contentType string, body any, token string) (*answer, error) {
	var content io.Reader
	switch b := body.(type) {
	case nil:
	case []byte:
		content = bytes.NewReader(b)
	default:
		j, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		content, contentType = bytes.NewReader(j), "application/json"
	}
	req, err := http.NewRequestWithContext(ctx, method, address, content)
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return send(client, req)
}

func send(client *http.Client, req *http.Request) (*answer, error) {
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	if err != nil {
		return nil, err
	}
	return &answer{status: res.StatusCode, requestID: res.Header.Get("X-Request-Id"), header: res.Header, body: body}, nil
}

// eventually asks until ok, for at most 15 s: what is delivered asynchronously is waited for, never assumed.
func eventually(ctx context.Context, what string, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := ask()
		if err != nil {
			return err
		}
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: not seen within 15 s", what)
		case <-tick.C:
		}
	}
}
