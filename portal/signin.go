package portal

import (
	"net/url"
	"strings"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/gofiber/fiber/v2"

	"portway/internal/partner"
	"portway/internal/problem"
	"portway/web/page"
)

// decoy is hashed against when an e-mail is unknown, so that the answer takes as long as for a known one.
const decoy = "$argon2id$v=19$m=19456,t=2,p=1$bm90IGFuIGFjY291bnQhIQ$x0hSV9rLr0Wz2K1yK1qU8qXq9cQv0mM3z4m8m1bq5iA"

func (p *Portal) home(v *visit) error {
	if v.account == nil {
		return v.Redirect("/sign-in", fiber.StatusSeeOther)
	}
	return v.Redirect("/apis", fiber.StatusSeeOther)
}

func (p *Portal) signInForm(v *visit) error {
	if v.account != nil {
		return v.Redirect("/apis", fiber.StatusSeeOther)
	}
	return p.showSignIn(v, fiber.StatusOK, page.SignIn{Next: ownPath(v.Query("next"))})
}

func (p *Portal) showSignIn(v *visit, status int, view page.SignIn) error {
	view.Action, view.CSRF = "/sign-in", p.formToken(v)
	f := p.frame(v, "")
	f.SignIn = ""
	return p.render(v, status, page.SignInPage(f, view))
}

// signIn checks e-mail and password. A wrong password, an unknown e-mail and an inactive account are one
// answer in one time.
func (p *Portal) signIn(v *visit) error {
	if err := p.checkForm(v); err != nil {
		return err
	}
	view := page.SignIn{Email: strings.TrimSpace(v.FormValue("email")), Next: ownPath(v.FormValue("next"))}
	password := v.FormValue("password")
	if view.Email == "" || len(view.Email) > 254 || !strings.Contains(view.Email, "@") {
		view.EmailError = "Enter your e-mail address."
	}
	if password == "" || len(password) > 1024 {
		view.PasswordError = "Enter your password."
	}
	if view.EmailError != "" || view.PasswordError != "" {
		return p.showSignIn(v, fiber.StatusUnprocessableEntity, view)
	}
	account, err := p.Accounts.AccountByEmail(v.UserContext(), strings.ToLower(view.Email))
	if err != nil && !problem.Is(err, problem.NotFound) {
		return err
	}
	match, err := p.matches(account, password)
	if err != nil {
		return err
	}
	if !match {
		p.Log.Info("sign-in refused", "request_id", v.id)
		view.Refused = "E-mail and password do not belong together."
		return p.showSignIn(v, fiber.StatusUnauthorized, view)
	}
	if err := p.begin(v, account); err != nil {
		return err
	}
	p.dropCookie(v, p.cookie("form"))
	p.Log.Info("signed in", "request_id", v.id, "account", account.ID)
	return v.Redirect(view.Next, fiber.StatusSeeOther)
}

// matches hashes the password, at most two at a time in the whole portal: argon2 takes 19 MiB each.
func (p *Portal) matches(account *partner.Account, password string) (bool, error) {
	select {
	case p.signIns <- struct{}{}:
		defer func() { <-p.signIns }()
	case <-time.After(5 * time.Second):
		return false, fiber.NewError(fiber.StatusServiceUnavailable, "too many sign-ins at once: try again in a minute")
	}
	hash := decoy
	usable := account != nil && account.State == partner.Active && account.PasswordHash != ""
	if usable {
		hash = account.PasswordHash
	}
	match, err := argon2id.ComparePasswordAndHash(password, hash)
	return match && usable, err
}

// ownPath returns next if it is a path of the portal, "/" otherwise: never another site.
func ownPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	return next
}

func (p *Portal) signOut(v *visit) error {
	if err := p.checkForm(v); err != nil {
		return err
	}
	if err := p.Accounts.EndSession(v.UserContext(), v.session.ID); err != nil {
		return err
	}
	p.dropCookie(v, p.cookie("session"))
	return v.Redirect("/sign-in", fiber.StatusSeeOther)
}

// theme keeps the choice of colours in a cookie the server reads.
func (p *Portal) theme(v *visit) error {
	if err := p.checkForm(v); err != nil {
		return err
	}
	switch choice := v.FormValue("theme"); choice {
	case "light", "dark":
		p.setCookie(v, themeCookie, choice, 365*24*time.Hour)
	default:
		p.dropCookie(v, themeCookie)
	}
	return v.Redirect(ownPath(v.FormValue("return")), fiber.StatusSeeOther)
}
