package outbound

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"portway/internal/catalog"
	"portway/internal/ident"
)

// maxKept is how much of a delivery's answer is kept, in bytes.
const maxKept = 16 << 10

// HTTP posts deliveries to backends, one attempt per call; when to try again is the schedule's decision.
type HTTP struct {
	targets targets
	client  *http.Client
}

// NewHTTP returns an HTTP; getenv resolves "env:" references in backend headers.
func NewHTTP(getenv func(string) string) *HTTP {
	return &HTTP{targets: targets{getenv: getenv}, client: &http.Client{
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    dialTimeout,
			MaxIdleConnsPerHost:    16,
			IdleConnTimeout:        idleTimeout,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Post sends body to path below the backend's address and returns the status, the headers and at most 16 KiB
// of the answer. An error means that no answer came; ErrNotSent says that nothing reached the backend.
// Time is bounded by the backend's timeout (DefaultTimeout if it names none) and by ctx.
func (h *HTTP) Post(ctx context.Context, b *catalog.Backend, env ident.Environment, path, contentType string, body []byte) (int, http.Header, []byte, error) {
	at, err := h.targets.get(b, env)
	if err != nil {
		return 0, nil, nil, errors.Join(ErrNotSent, err)
	}
	ctx, cancel := context.WithTimeout(ctx, timeoutOf(b, Request{}))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, errors.Join(ErrNotSent, err)
	}
	// Without a way to rewind the body, net/http cannot send it a second time by itself.
	req.GetBody = nil
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "portway")
	req.Header.Set("Portway-Environment", string(env))
	for _, f := range at.headers {
		req.Header.Set(f[0], f[1])
	}
	resp, err := h.client.Do(req)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			return 0, nil, nil, fmt.Errorf("backend %q: %w: %w", b.ID, ErrNotSent, err)
		}
		return 0, nil, nil, fmt.Errorf("backend %q: %w", b.ID, err)
	}
	kept, err := io.ReadAll(io.LimitReader(resp.Body, maxKept))
	err = errors.Join(err, resp.Body.Close())
	if err != nil {
		return 0, nil, nil, fmt.Errorf("backend %q: %w", b.ID, err)
	}
	return resp.StatusCode, resp.Header, kept, nil
}

// ErrNotSent says that a delivery did not leave: repeating it cannot be a second one.
var ErrNotSent = errors.New("nothing was sent")

// Close drops idle connections.
func (h *HTTP) Close() { h.client.CloseIdleConnections() }
