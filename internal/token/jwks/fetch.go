package jwks

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"portway/internal/token/jose"
)

const (
	fetchTimeout = 5 * time.Second
	maxBytes     = 256 << 10
	// The life of a set is what the issuer's Cache-Control says, within bounds; lifeDefault when it says nothing.
	lifeLeast, lifeDefault, lifeMost = time.Minute, 10 * time.Minute, time.Hour
)

// CheckAddress reports what is wrong with the address of a key set: it must be an absolute https URL, or http on a
// loopback host, without user and fragment.
func CheckAddress(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return errors.New("the address of the keys is not an absolute URL without user and fragment")
	}
	loopback := u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback()
	if u.Scheme != "https" && !(u.Scheme == "http" && loopback) {
		return errors.New("the address of the keys is not https (http is for loopback hosts only)")
	}
	return nil
}

// client never follows a redirect: the keys come from the configured address or not at all.
func client(transport http.RoundTripper) *http.Client {
	if transport == nil {
		transport = &http.Transport{
			DialContext:            (&net.Dialer{Timeout: fetchTimeout}).DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    fetchTimeout,
			MaxIdleConnsPerHost:    1,
			IdleConnTimeout:        time.Minute,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 64 << 10,
		}
	}
	return &http.Client{Transport: transport, Timeout: fetchTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// fetch reads the set once. Keys that did not change keep their identity, so that what was verified with them stays
// verified; removed ones are gone at once.
func (s *Source) fetch(ctx context.Context) (*jose.Set, time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	req.Header.Set("User-Agent", "portway")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("the issuer answered %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBytes+1))
	if err != nil {
		return nil, 0, err
	}
	if len(body) > maxBytes {
		return nil, 0, fmt.Errorf("the key set is larger than %d bytes", maxBytes)
	}
	set, left, err := jose.ParsePublished(body)
	if err != nil {
		return nil, 0, err
	}
	if set.Len() == 0 { // which takes all keys back at once; it may be meant
		s.options.Log.Warn("the issuer publishes no usable key", "url", s.url, "left_out", errors.Join(left...))
	}
	if h := s.held.Load(); h != nil {
		set, err = h.set.Renew(set)
	}
	return set, life(resp.Header.Get("Cache-Control")), err
}

// life reads max-age (RFC 9111 section 5.2.2.1), within bounds.
func life(control string) time.Duration {
	for directive := range strings.SplitSeq(control, ",") {
		name, v, _ := strings.Cut(strings.TrimSpace(directive), "=")
		if !strings.EqualFold(name, "max-age") {
			continue
		}
		if seconds, err := strconv.ParseUint(strings.Trim(v, `"`), 10, 31); err == nil {
			return min(max(time.Duration(seconds)*time.Second, lifeLeast), lifeMost)
		}
	}
	return lifeDefault
}
