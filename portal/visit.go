package portal

import (
	"errors"
	"fmt"
	"net/url"
	"runtime/debug"
	"strings"

	"github.com/gofiber/fiber/v2"

	"portway/internal/ident"
	"portway/internal/partner"
	"portway/web"
)

// visit is one page view: the request with who makes it. The request is the framework's and dead after the
// handler returns; a visit is never kept.
type visit struct {
	*fiber.Ctx
	id      string
	asked   bool // who it is has been looked up
	session *partner.Session
	account *partner.Account
	org     *partner.Bundle
	// app is the application looked at, nil if the organisation has none; chosen is its slug when the address names it.
	app    *partner.Application
	chosen string
}

const visitKey = "visit"

// guard runs before every handler: it names the request, sets the security headers, recovers a panic, and
// refuses hosts that are not ours and posts from other sites.
func (p *Portal) guard(c *fiber.Ctx) (err error) {
	v := &visit{Ctx: c, id: ident.NewID(p.Clock)}
	c.Locals(visitKey, v)
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	c.Set("X-Request-Id", v.id)
	p.secureHeaders(c)
	if !p.hosts[canonicalHost(string(c.Request().Header.Host()))] {
		return c.Status(fiber.StatusMisdirectedRequest).SendString("This host is not served here. Use " + p.origin + "\n")
	}
	if c.Method() != fiber.MethodGet && c.Method() != fiber.MethodHead && !p.sameSite(c) {
		return fiber.NewError(fiber.StatusForbidden, "This form was sent from another site.")
	}
	return c.Next()
}

// secureHeaders sets what every answer carries, refusals included (ASVS 5.0 V3.4).
func (p *Portal) secureHeaders(c *fiber.Ctx) {
	c.Set("Content-Security-Policy", web.Policy)
	c.Set("X-Content-Type-Options", "nosniff")
	c.Set("Referrer-Policy", "same-origin")
	c.Set("Cross-Origin-Opener-Policy", "same-origin")
	c.Set("Cross-Origin-Resource-Policy", "same-origin")
	c.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
	c.Set("Cache-Control", "no-store")
	if p.secure {
		c.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	}
}

// sameSite checks where a post comes from: Sec-Fetch-Site where the browser sends it, else Origin.
func (p *Portal) sameSite(c *fiber.Ctx) bool {
	switch c.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
		from := c.Get("Origin")
		return from == "" || from == p.origin || !p.secure && from == "http://"+string(c.Request().Header.Host())
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
		if r.role == anyone {
			return r.handler(v)
		}
		if err := p.resume(v); err != nil {
			return err
		}
		if r.role == member && v.account == nil {
			to := "/sign-in"
			if c.Method() != fiber.MethodPost {
				to += "?next=" + url.QueryEscape(c.OriginalURL())
			}
			return c.Redirect(to, fiber.StatusSeeOther)
		}
		if err := v.choose(v.Query("application")); err != nil {
			return err
		}
		return r.handler(v)
	}
}

// choose takes the application an address names, the first one if it names none.
func (v *visit) choose(slug string) error {
	v.chooseFirst()
	if v.app == nil || slug == "" {
		return nil
	}
	for i := range v.org.Applications {
		if v.org.Applications[i].Slug == slug {
			v.app, v.chosen = &v.org.Applications[i], slug
			return nil
		}
	}
	return fiber.ErrNotFound
}

func (v *visit) chooseFirst() {
	if v.org != nil && len(v.org.Applications) > 0 {
		v.app = &v.org.Applications[0]
	}
}

// link is a path of the portal for the application looked at.
func (v *visit) link(path string) string {
	if v.chosen == "" {
		return path
	}
	return withApplication(path, v.chosen)
}

func withApplication(path, slug string) string {
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	return path + sep + "application=" + url.QueryEscape(slug)
}

// form is a field of a posted form. Only the body counts: what stands in an address ends up in logs.
func (v *visit) form(name string) string { return string(v.Request().PostArgs().Peek(name)) }
