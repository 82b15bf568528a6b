// Package portal is the control plane: the pages people use. routes.go is the whole route table; each page
// action has its file.
package portal

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/traffic"
	"portway/portal/contract"
	"portway/web"
)

// Deps is what the portal works with.
type Deps struct {
	Snapshot func() *catalog.Snapshot
	Partners partner.Store
	Accounts partner.AccountStore
	Traffic  traffic.Store
	Clock    ident.Clock
	Log      *slog.Logger
	// Origin is the address people use, "https://portal.example"; links and cookie rules come from it.
	Origin string
	// GatewayURL is shown in samples.
	GatewayURL string
	// Styleguide serves the sheet of components.
	Styleguide bool
	// Proxies are the peers whose X-Forwarded-For is believed.
	Proxies ident.Proxies
}

// Portal serves the pages.
type Portal struct {
	Deps
	origin    string // scheme and host, as browsers write it
	port      string // of a loopback origin
	secure    bool   // cookies are Secure and carry the __Host- prefix
	hosts     map[string]bool
	assets    *web.Assets
	contracts *contract.Reader
	hashing   chan struct{} // bounds how many passwords are hashed at once
	attempts  *attempts
	app       *fiber.App
}

// New checks the origin and builds the route table.
func New(d Deps) (*Portal, error) {
	origin, err := url.Parse(d.Origin)
	if err != nil || origin.Hostname() == "" || (origin.Scheme != "https" && origin.Scheme != "http") ||
		strings.Trim(origin.Path, "/") != "" || origin.RawQuery != "" || origin.User != nil {
		return nil, fmt.Errorf("portal-url: %q is not an http or https address without a path", d.Origin)
	}
	if origin.Scheme == "http" && !loopback(origin.Hostname()) {
		return nil, fmt.Errorf("portal-url: %q must be https: browsers keep sign-ins over plain http on loopback only", d.Origin)
	}
	host := canonicalHost(origin.Host)
	p := &Portal{Deps: d, origin: origin.Scheme + "://" + host, port: origin.Port(), secure: origin.Scheme == "https",
		hosts: map[string]bool{host: true}, assets: web.NewAssets(), hashing: make(chan struct{}, 2), attempts: newAttempts(d.Clock)}
	p.contracts = contract.NewReader(d.GatewayURL)
	p.app = fiber.New(fiber.Config{
		Immutable:               true, // strings of a request are kept in sessions and logs
		DisableStartupMessage:   true,
		EnableTrustedProxyCheck: true, // with no proxy listed: X-Forwarded-* is nobody's word
		BodyLimit:               64 << 10,
		ReadBufferSize:          16 << 10,
		ReadTimeout:             15 * time.Second,
		WriteTimeout:            30 * time.Second,
		IdleTimeout:             75 * time.Second,
		ErrorHandler:            p.failed,
		StrictRouting:           true,
		CaseSensitive:           true,
	})
	p.app.Server().SecureErrorLogMessage = true
	p.app.Server().CloseOnShutdown = true
	p.app.Use(p.guard)
	for _, r := range p.routes() {
		if r.method == fiber.MethodGet {
			p.app.Add(fiber.MethodHead, r.path, p.handle(r))
		}
		p.app.Add(r.method, r.path, p.handle(r))
	}
	return p, nil
}

// Serve serves a listener until Shutdown. The loopback names of its port are served beside the origin's host.
func (p *Portal) Serve(ln net.Listener) error {
	if a, ok := ln.Addr().(*net.TCPAddr); ok {
		for _, name := range []string{"127.0.0.1", "::1", "localhost"} {
			p.hosts[canonicalHost(net.JoinHostPort(name, strconv.Itoa(a.Port)))] = true
		}
	}
	return p.app.Listener(ln)
}

// Shutdown waits for pages under way, until ctx ends.
func (p *Portal) Shutdown(ctx context.Context) error { return p.app.ShutdownWithContext(ctx) }

func loopback(name string) bool {
	ip := net.ParseIP(name)
	return strings.EqualFold(name, "localhost") || (ip != nil && ip.IsLoopback())
}

// canonicalHost is a Host in lower case without a port that goes without saying (RFC 3986 section 6.2.3).
func canonicalHost(host string) string {
	host = strings.ToLower(host)
	return strings.TrimSuffix(strings.TrimSuffix(host, ":443"), ":80")
}
