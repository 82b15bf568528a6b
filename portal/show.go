package portal

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/a-h/templ"
	"github.com/gofiber/fiber/v2"

	"portway/internal/ident"
	"portway/internal/problem"
	"portway/web/component"
	"portway/web/format"
	"portway/web/layout"
	"portway/web/page"
)

// render shows a page.
func (p *Portal) render(v *visit, status int, view templ.Component) error {
	v.Status(status)
	v.Set("Content-Type", "text/html; charset=utf-8")
	return view.Render(v.UserContext(), v.Response().BodyWriter())
}

// frame is the layout's part of every page; current is the entry of the navigation it belongs to.
func (p *Portal) frame(v *visit, current string) layout.Frame {
	f := layout.Frame{Asset: p.assets.URL, Home: "/", SignIn: "/sign-in", SignOut: "/sign-out", Path: v.OriginalURL(),
		Theme: v.Cookies(p.cookie("theme"))}
	if v.account == nil {
		return f
	}
	f.Home, f.ThemeAction, f.CSRF = v.link("/apis"), "/theme", v.session.CSRF
	f.User = layout.User{Name: v.account.Name, Email: v.account.Email, Role: format.Sentence(v.account.Role)}
	f.Context = layout.Context{Organisation: v.org.Organisation.Name}
	if v.app != nil {
		f.Context.Application = v.app.Name
		f.Context.Applications = applications(v, current)
	}
	for _, n := range []layout.NavItem{{Label: "Catalogue", Href: "/apis"}, {Label: "Calls", Href: "/calls"}} {
		n.Current = n.Href == current
		n.Href = v.link(n.Href)
		f.Nav = append(f.Nav, n)
	}
	return f
}

// applications is the choice of a reader with several; it leads to the same part of the portal.
func applications(v *visit, current string) []layout.NavItem {
	if len(v.org.Applications) < 2 {
		return nil
	}
	if current == "" {
		current = "/apis"
	}
	var out []layout.NavItem
	for _, a := range v.org.Applications {
		out = append(out, layout.NavItem{Label: a.Name, Href: withApplication(current, a.Slug), Current: a.ID == v.app.ID})
	}
	return out
}

// failed is the last resort: every error becomes a whole page with the request's number. Nothing of the error
// itself is shown, and the page is the same for what is not there and what belongs to others.
func (p *Portal) failed(c *fiber.Ctx, err error) (last error) {
	defer func() {
		if r := recover(); r != nil {
			p.Log.Error("failure page failed", "error", fmt.Sprint(r), "stack", string(debug.Stack()))
			c.Response().ResetBody()
			c.Set("Content-Type", "text/plain; charset=utf-8")
			last = c.Status(fiber.StatusInternalServerError).SendString("This page could not be built.\n")
		}
	}()
	v, ok := c.Locals(visitKey).(*visit)
	if !ok {
		return p.unreadable(c, err)
	}
	view := p.failure(v, err)
	if !v.asked && view.Status == fiber.StatusNotFound { // an address outside the route table, by whoever it is
		if err := p.resume(v); err != nil {
			p.Log.Error("session not read", "request_id", v.id, "error", err.Error())
		}
		v.chooseFirst()
	}
	view.Number, view.ID, view.Way = ident.ShortNumber(v.id), v.id, component.Link{Label: "Back to the catalogue", Href: v.link("/apis")}
	if v.account == nil {
		view.Way = component.Link{Label: "Sign in", Href: "/sign-in"}
	}
	if view.Status >= 500 {
		p.Log.Error("page failed", "request_id", v.id, "method", c.Method(), "status", view.Status, "error", err.Error())
	}
	c.Response().ResetBody()
	f := p.frame(v, "")
	f.Path = "/" // the address is not repeated: it may be anything
	return p.render(v, view.Status, page.FailurePage(f, view))
}

func (p *Portal) failure(v *visit, err error) page.Failure {
	if problem.Is(err, problem.NotFound) {
		return page.NotFound("", "", component.Link{})
	}
	if problem.Is(err, problem.StoreUnavailable) {
		v.Set("Retry-After", "5")
		return page.Failure{Status: fiber.StatusServiceUnavailable, Heading: "The database does not answer",
			Detail: "Nothing was changed. Try again in a few seconds."}
	}
	var known *fiber.Error
	if !errors.As(err, &known) {
		return page.Broken("", "", component.Link{})
	}
	switch known.Code {
	case fiber.StatusNotFound:
		return page.NotFound("", "", component.Link{})
	case fiber.StatusForbidden:
		return page.Failure{Status: known.Code, Heading: "The form was not taken", Detail: known.Message}
	case fiber.StatusMethodNotAllowed:
		return page.Failure{Status: known.Code, Heading: "This address does not take that", Detail: "It answers " +
			strings.ReplaceAll(string(v.Response().Header.Peek("Allow")), ",", " and") + " only."}
	case fiber.StatusServiceUnavailable:
		v.Set("Retry-After", "5")
		return page.Failure{Status: known.Code, Heading: "Too much at once", Detail: known.Message}
	}
	return page.Broken("", "", component.Link{})
}

// unreadable answers what the server refused before it became a visit. Nothing of it is repeated.
func (p *Portal) unreadable(c *fiber.Ctx, err error) error {
	p.secureHeaders(c)
	c.Set("Connection", "close")
	status := fiber.StatusBadRequest
	var e *fiber.Error
	if errors.As(err, &e) {
		status = e.Code
	}
	return c.Status(status).SendString("The request cannot be read.\n")
}
