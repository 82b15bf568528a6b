// Package outbound is every call that leaves the program for a configured backend: pools, credentials and
// deadlines. Client is for the request path and never sends anything twice; HTTP is for deliveries.
package outbound

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"

	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/secret"
)

// Identity is what a backend is told about a call. The gateway sets it; nothing a caller sends gets there.
type Identity struct {
	RequestID    string // X-Request-Id
	Organisation string // Portway-Organisation: the slug
	Application  string // Portway-Application: the id
	Environment  ident.Environment
}

// headers lists the identity as headers; empty parts are left out.
func (i Identity) headers() [][2]string {
	all := [][2]string{
		{"X-Request-Id", i.RequestID},
		{"Portway-Organisation", i.Organisation},
		{"Portway-Application", i.Application},
		{"Portway-Environment", string(i.Environment)},
	}
	out := all[:0]
	for _, h := range all {
		if h[1] != "" {
			out = append(out, h)
		}
	}
	return out
}

// target is a backend in one environment with its credentials resolved.
type target struct {
	base    string
	url     *url.URL
	headers [][2]string
}

// targets opens backends once per address; a new snapshot with another address or other headers opens anew.
type targets struct {
	getenv func(string) string
	mu     sync.Mutex
	open   map[string]opened
}

type opened struct {
	version string
	target  *target
}

// get returns the target of a backend in an environment.
func (t *targets) get(b *catalog.Backend, env ident.Environment) (*target, error) {
	base := b.URLs[env]
	if base == "" {
		return nil, fmt.Errorf("backend %q has no address in %s", b.ID, env)
	}
	key, version := b.ID+"\x00"+string(env), version(b, base)
	t.mu.Lock()
	defer t.mu.Unlock()
	if have, ok := t.open[key]; ok && have.version == version {
		return have.target, nil
	}
	at, err := open(b, base, t.getenv)
	if err != nil {
		return nil, err // not kept: a secret may be put in place later
	}
	if t.open == nil {
		t.open = map[string]opened{}
	}
	t.open[key] = opened{version: version, target: at}
	return at, nil
}

func version(b *catalog.Backend, base string) string {
	var sb strings.Builder
	sb.WriteString(base)
	for _, name := range slices.Sorted(maps.Keys(b.Headers)) {
		sb.WriteString("\x00" + name + "\x00" + b.Headers[name])
	}
	return sb.String()
}

func open(b *catalog.Backend, base string, getenv func(string) string) (*target, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return nil, fmt.Errorf("backend %q: its address is not an absolute http address", b.ID)
	}
	at := &target{base: strings.TrimSuffix(base, "/"), url: u}
	for _, name := range slices.Sorted(maps.Keys(b.Headers)) {
		value, err := secret.Resolve(b.Headers[name], getenv)
		if err != nil {
			return nil, fmt.Errorf("backend %q header %q: %w", b.ID, name, err)
		}
		at.headers = append(at.headers, [2]string{name, value.Reveal()})
	}
	return at, nil
}
