// Package portal is the control plane: the pages people use. routes.go is the whole route table; each page
// action has its file.
package portal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/gofiber/fiber/v2"

	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/problem"
	"portway/internal/traffic"
	"portway/web"
	"portway/web/component"
	"portway/web/layout"
	"portway/web/page"
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
}

// Portal serves the pages.
type Portal struct {
	Deps
	origin   *url.URL
	secure   bool // cookies are Secure and carry the __Host- prefix
	assets   *web.Assets
	markdown *markdown
	signIns  chan struct{} // bounds how many passwords are hashed at once
	app      *fiber.App
}

// New checks the origin and builds the route table.
func New(d Deps) (*Portal, error) {
	origin, err := url.Parse(d.Origin)
	if err != nil || origin.Host == "" || strings.Trim(origin.Path, "/") != "" {
		return nil, fmt.Errorf("portal-url: %q is not an address without a path", d.Origin)
	}
	p := &Portal{Deps: d, origin: origin, assets: web.NewAssets(), markdown: newMarkdown(), signIns: make(chan struct{}, 2)}
	ip := net.ParseIP(origin.Hostname())
	p.secure = origin.Scheme == "https" || !(origin.Hostname() == "localhost" || (ip != nil && ip.IsLoopback()))
	p.app = fiber.New(fiber.Config{
		Immutable:             true,
		DisableStartupMessage: true,
		BodyLimit:             64 << 10,
		ReadBufferSize:        16 << 10,
		ReadTimeout:           15 * time.Second,
		WriteTimeout:          30 * time.Second,
		IdleTimeout:           75 * time.Second,
		ErrorHandler:          p.failed,
		StrictRouting:         true,
		CaseSensitive:         true,
	})
	p.app.Server().SecureErrorLogMessage = true
	p.app.Use(p.guard)
	for _, r := range p.routes() {
		p.app.Add(r.method, r.path, p.handle(r))
	}
	return p, nil
}

// Serve serves a listener until Shutdown.
func (p *Portal) Serve(ln net.Listener) error { return p.app.Listener(ln) }

// Shutdown waits for pages under way, until ctx ends.
func (p *Portal) Shutdown(ctx context.Context) error { return p.app.ShutdownWithContext(ctx) }

// visit is one page view: the request with who makes it.
type visit struct {
	*fiber.Ctx
	id      string
	session *partner.Session
	account *partner.Account
	org     *partner.Bundle
	app     *partner.Application
}

const visitKey = "visit"

// guard runs before every handler: it names the request, sets the security headers, recovers a panic, and
// refuses hosts that are not ours and posts from other sites.
func (p *Portal) guard(c *fiber.Ctx) (err error) {
	v := &visit{Ctx: c, id: ident.NewID(p.Clock)}
	c.Locals(visitKey, v)
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	c.Set("X-Request-Id", v.id)
	c.Set("Content-Security-Policy", web.Policy)
	c.Set("X-Content-Type-Options", "nosniff")
	c.Set("Referrer-Policy", "same-origin")
	c.Set("Cross-Origin-Opener-Policy", "same-origin")
	c.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
	if p.secure {
		c.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	}
	if c.Method() != fiber.MethodGet && c.Method() != fiber.MethodHead {
		if !p.sameSite(c) {
			return fiber.NewError(fiber.StatusForbidden, "this form was sent from another site")
		}
	}
	return c.Next()
}

// sameSite checks where a post comes from: Sec-Fetch-Site where the browser sends it, else Origin.
func (p *Portal) sameSite(c *fiber.Ctx) bool {
	switch c.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
		from := c.Get("Origin")
		return from == "" || from == p.origin.Scheme+"://"+p.origin.Host || from == "http://"+c.Get("Host") && !p.secure
	}
	return false
}

// handle wraps a route with the role it needs.
func (p *Portal) handle(r route) fiber.Handler {
	return func(c *fiber.Ctx) error {
		v, ok := c.Locals(visitKey).(*visit)
		if !ok {
			return errors.New("a page was reached without its guard")
		}
		if err := p.resume(v); err != nil {
			return err
		}
		if r.role == member && v.account == nil {
			c.Set("Cache-Control", "no-store")
			if c.Method() != fiber.MethodGet {
				return fiber.NewError(fiber.StatusForbidden, "sign in first")
			}
			return c.Redirect("/sign-in?next="+url.QueryEscape(c.OriginalURL()), fiber.StatusSeeOther)
		}
		return r.handler(v)
	}
}

// render shows a page. Pages of signed-in people are never cached.
func (p *Portal) render(v *visit, status int, view templ.Component) error {
	v.Status(status)
	v.Set("Content-Type", "text/html; charset=utf-8")
	v.Set("Cache-Control", "no-store")
	return view.Render(v.UserContext(), v.Response().BodyWriter())
}

// frame is the layout's part of every page.
func (p *Portal) frame(v *visit, current string) layout.Frame {
	f := layout.Frame{Asset: p.assets.URL, Home: "/", SignIn: "/sign-in", SignOut: "/sign-out", Path: v.OriginalURL(),
		ThemeAction: "/theme", Theme: v.Cookies(themeCookie)}
	if v.account == nil {
		f.ThemeAction = ""
		return f
	}
	f.CSRF = v.session.CSRF
	f.User = layout.User{Name: v.account.Name, Email: v.account.Email, Role: v.account.Role}
	f.Context = layout.Context{Organisation: v.org.Organisation.Name}
	if v.app != nil {
		f.Context.Application = v.app.Name
	}
	for _, n := range []layout.NavItem{{Label: "Catalogue", Href: "/apis"}, {Label: "Calls", Href: "/calls"}} {
		n.Current = n.Href == current
		f.Nav = append(f.Nav, n)
	}
	return f
}

// failed is the last resort: every error becomes a whole page with the request's number. Nothing of the error
// itself is shown.
func (p *Portal) failed(c *fiber.Ctx, err error) error {
	v, ok := c.Locals(visitKey).(*visit)
	if !ok { // the request was refused before it reached us
		c.Set("Connection", "close")
		status := fiber.StatusBadRequest
		var e *fiber.Error
		if errors.As(err, &e) {
			status = e.Code
		}
		return c.Status(status).SendString("The request cannot be read.\n")
	}
	way := component.Link{Label: "Back to the catalogue", Href: "/"}
	short := ident.ShortNumber(v.id)
	view := page.Broken(short, v.id, way)
	var known *fiber.Error
	switch {
	case problem.Is(err, problem.NotFound) || errors.As(err, &known) && known.Code == fiber.StatusNotFound:
		view = page.NotFound(short, v.id, way)
	case errors.As(err, &known) && known.Code < 500:
		view = page.Failure{Status: known.Code, Heading: "This cannot be done", Detail: known.Message, Number: short, ID: v.id, Way: way}
	default:
		p.Log.Error("page failed", "request_id", v.id, "method", c.Method(), "error", err.Error())
	}
	c.Response().ResetBody()
	return p.render(v, view.Status, page.FailurePage(p.frame(v, ""), view))
}
