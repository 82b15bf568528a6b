package outbound

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/bulkhead"
	"github.com/valyala/fasthttp"

	"portway/internal/catalog"
	"portway/internal/catalog/egress"
	"portway/internal/ident"
	"portway/internal/outbound/budget"
	"portway/internal/secret"
)

// pool is a backend in one environment, opened: its targets with their connections and breakers, its credentials, and
// what it lets us call. The request path and deliveries share it.
type pool struct {
	backend  string
	env      ident.Environment
	print    [sha256.Size]byte // of the policy and of what its secrets were
	targets  []*target
	flight   bulkhead.Bulkhead[any]
	inFlight atomic.Int64
	retries  *budget.Retries
	share    *budget.Share
	policy   egress.Retries
	try      time.Duration // 0 = as long as the call
	headers  [][2]string   // static credentials included
	secured  bool          // calls carry a credential of ours
	oauth    *oauth        // nil without
	plain    *http.Client  // for deliveries, streams and tokens
	health   egress.Health
	checkAt  atomic.Int64 // Unix nanoseconds of the next health check
}

// resolved is what the references of a policy point to, at one time.
type resolved struct {
	headers      [][2]string
	user, secret string // of oauth
	ca           []byte
	cert, key    []byte
}

// resolve reads every secret of a backend; it is the only secret I/O, and off the request path.
func resolve(b *catalog.Backend, getenv func(string) string) (*resolved, error) {
	r := &resolved{}
	var problems []error
	get := func(reference, what string) string {
		value, err := secret.Resolve(reference, getenv)
		if err != nil {
			problems = append(problems, fmt.Errorf("backend %q %s: %w", b.ID, what, err))
			return ""
		}
		return value.Reveal()
	}
	for _, name := range slices.Sorted(maps.Keys(b.Headers)) {
		r.headers = append(r.headers, [2]string{name, get(b.Headers[name], fmt.Sprintf("header %q", name))})
	}
	if a := b.Auth.Basic; a != nil {
		user, password := get(a.User, "auth.basic.user"), get(a.Password, "auth.basic.password")
		r.headers = append(r.headers, [2]string{"Authorization", basic(user, password)})
	}
	if a := b.Auth.OAuth; a != nil {
		r.user, r.secret = get(a.ClientID, "auth.oauth.clientId"), get(a.Secret, "auth.oauth.clientSecret")
	}
	if b.TLS.CA != "" {
		r.ca = []byte(get(b.TLS.CA, "tls.ca"))
	}
	if b.TLS.Cert != "" {
		r.cert, r.key = []byte(get(b.TLS.Cert, "tls.cert")), []byte(get(b.TLS.Key, "tls.key"))
	}
	return r, errors.Join(problems...)
}

// fingerprint is equal for two policies that open into the same pool.
func fingerprint(b *catalog.Backend, env ident.Environment, r *resolved) ([sha256.Size]byte, error) {
	text, err := json.Marshal([]any{targetsOf(b, env), b.TryTimeout, b.Retries, b.Breaker, b.MaxInFlight, b.Health, b.Auth, b.TLS, b.Budget,
		r.headers, r.user, r.secret, r.ca, r.cert, r.key})
	return sha256.Sum256(text), err
}

func targetsOf(b *catalog.Backend, env ident.Environment) []egress.Target {
	if list := b.Targets[env]; len(list) > 0 {
		return list
	}
	if u := b.URLs[env]; u != "" {
		return []egress.Target{{URL: u, Weight: 1}}
	}
	return nil
}

const defaultInFlight = 256

// open makes the pool of a backend in an environment.
func (c *Client) open(b *catalog.Backend, env ident.Environment, r *resolved) (*pool, error) {
	config, err := tlsConfig(b, r)
	if err != nil {
		return nil, err
	}
	most := orDefault(b.MaxInFlight, defaultInFlight)
	p := &pool{backend: b.ID, env: env, flight: bulkhead.New[any](uint(most)), policy: b.Retries, try: b.TryTimeout,
		headers: r.headers, secured: len(r.headers) > 0 || b.Auth.OAuth != nil || b.TLS.Cert != "", health: b.Health}
	p.policy.Attempts = max(p.policy.Attempts, 1)
	p.policy.Base, p.policy.Max = orDefault(p.policy.Base, 50*time.Millisecond), orDefault(p.policy.Max, time.Second)
	p.retries = budget.NewRetries(float64(orDefault(p.policy.Budget, 10))/100, 0)
	p.share = budget.NewShare(b.Budget, c.clock.Now())
	for i, t := range targetsOf(b, env) {
		opened, err := c.target(p, b, i, t, config, most)
		if err != nil {
			return nil, err
		}
		p.targets = append(p.targets, opened)
	}
	if len(p.targets) == 0 || len(p.targets) > 64 {
		return nil, fmt.Errorf("backend %q has %d addresses in %s: 1 to 64 are served", b.ID, len(p.targets), env)
	}
	p.plain = plainClient(config)
	if a := b.Auth.OAuth; a != nil {
		p.oauth = &oauth{policy: *a, id: r.user, secret: r.secret, client: p.plain, clock: c.clock, backend: b.ID}
	}
	return p, nil
}

// target opens one address.
func (c *Client) target(p *pool, b *catalog.Backend, index int, t egress.Target, config *tls.Config, most int) (*target, error) {
	u, err := url.Parse(t.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return nil, fmt.Errorf("backend %q: its address is not an absolute http address", b.ID)
	}
	secure := u.Scheme == "https"
	out := &target{index: index, base: strings.TrimSuffix(t.URL, "/"), host: u.Host, weight: uint32(max(t.Weight, 1))}
	out.client = &fasthttp.HostClient{
		Addr:                      fasthttp.AddMissingPort(u.Host, secure),
		IsTLS:                     secure,
		TLSConfig:                 config,
		NoDefaultUserAgentHeader:  true,
		DisablePathNormalizing:    true,
		SecureErrorLogMessage:     true,
		MaxIdemponentCallAttempts: 1,
		MaxConns:                  most,
		MaxIdleConnDuration:       idleTimeout,
		MaxResponseBodySize:       MaxAnswer,
		ReadBufferSize:            16 << 10,
		DialTimeout:               dial,
	}
	out.breaker = newBreaker(b.Breaker, func(state string) { c.breakerChanged(p, out, state) })
	return out, nil
}

// close drops the idle connections; calls under way end as they would.
func (p *pool) close() {
	for _, t := range p.targets {
		t.client.CloseIdleConnections()
	}
	p.plain.CloseIdleConnections()
}

// tlsConfig is nil for a backend that needs nothing but the system's authorities.
func tlsConfig(b *catalog.Backend, r *resolved) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(16)}
	if b.TLS.CA != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(r.ca) {
			return nil, fmt.Errorf("backend %q tls.ca holds no PEM certificate", b.ID)
		}
	}
	if b.TLS.Cert != "" {
		pair, err := tls.X509KeyPair(r.cert, r.key)
		if err != nil {
			return nil, fmt.Errorf("backend %q tls.cert and tls.key: %w", b.ID, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// plainClient is net/http's, for what the request path's client is not made for.
func plainClient(config *tls.Config) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
			TLSClientConfig:        config.Clone(), // net/http adds HTTP/2 to it
			TLSHandshakeTimeout:    dialTimeout,
			MaxIdleConnsPerHost:    16,
			IdleConnTimeout:        idleTimeout,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type poolKey struct {
	backend string
	env     ident.Environment
}

// entry is a pool with the policy it was opened for. The one before is kept for the calls that still hold its snapshot.
type entry struct {
	of     *catalog.Backend
	pool   *pool
	before *entry
	err    error     // of the last try to open it
	again  time.Time // when to try again
}

// pool finds the pool of a backend in an environment, without a lock when it was opened before.
func (c *Client) pool(b *catalog.Backend, env ident.Environment) (*pool, error) {
	key := poolKey{b.ID, env}
	for e := (*c.pools.Load())[key]; e != nil; e = e.before {
		if e.of == b && e.pool != nil {
			return e.pool, nil
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	have := (*c.pools.Load())[key]
	for e := have; e != nil; e = e.before {
		if e.of == b && (e.pool != nil || now.Before(e.again)) {
			return e.pool, e.err
		}
	}
	next := c.openEntry(b, env, have, now)
	pools := maps.Clone(*c.pools.Load())
	pools[key] = next
	c.pools.Store(&pools)
	return next.pool, next.err
}

// openAgain is how long a backend that could not be opened is not tried again.
const openAgain = time.Second

// openEntry opens a pool, or goes on with the one that is there when nothing about it has changed.
func (c *Client) openEntry(b *catalog.Backend, env ident.Environment, have *entry, now time.Time) *entry {
	next := &entry{of: b, again: now.Add(openAgain)}
	var current *pool
	for e := have; e != nil; e = e.before {
		if e.pool == nil {
			continue
		}
		if current == nil {
			current = e.pool
		}
		if next.before == nil && e.of != b { // one is enough: a call holds its snapshot for seconds
			next.before = &entry{of: e.of, pool: e.pool}
		}
	}
	secrets, err := resolve(b, c.getenv)
	if err == nil {
		var print [sha256.Size]byte
		if print, err = fingerprint(b, env, secrets); err == nil {
			if current != nil && current.print == print {
				next.pool = current
			} else if next.pool, err = c.open(b, env, secrets); err == nil {
				next.pool.print = print
			}
		}
	}
	if err != nil {
		next.pool, next.err = nil, err
	}
	for e := have; e != nil; e = e.before {
		if e.pool != nil && e.pool != next.pool && (next.before == nil || e.pool != next.before.pool) {
			e.pool.close()
		}
	}
	return next
}

// Use opens the pools of every backend of a snapshot ahead of the first call, and closes those of backends that are
// gone. It reads their secrets anew. The error lists every backend that cannot be opened; such a one is tried again
// when it is called.
func (c *Client) Use(s *catalog.Snapshot) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, old := c.clock.Now(), *c.pools.Load()
	pools := map[poolKey]*entry{}
	var problems []error
	for id, b := range s.Backends {
		for _, env := range []ident.Environment{ident.Sandbox, ident.Live} {
			if b.URLs[env] == "" {
				continue
			}
			key := poolKey{id, env}
			have := old[key]
			e := c.openEntry(b, env, have, now)
			if e.err != nil {
				problems = append(problems, e.err)
			}
			pools[key] = e
		}
	}
	for key, e := range old {
		for ; e != nil && pools[key] == nil; e = e.before {
			if e.pool != nil {
				e.pool.close()
			}
		}
	}
	c.pools.Store(&pools)
	return errors.Join(problems...)
}
