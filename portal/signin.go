package portal

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/gofiber/fiber/v2"

	"portway/internal/partner"
	"portway/internal/problem"
	"portway/internal/secret"
	"portway/web/page"
)

// decoy is hashed against when an email is unknown, so that the answer takes as long as for a known one: the
// hash of a password nobody knows, with the parameters of every other (t=2, m=19 MiB, p=1).
const decoy = "$argon2id$v=19$m=19456,t=2,p=1$RhQpKwrTiXqNDu/W3VkS2g$JoZJ9ChrxSs+VYtSUorsprKruhsY1OqVDv4Bz1i9wyQ"

// Limits of what is typed (RFC 5321 section 4.5.3.1.3; more than the 64 characters ASVS 5.0 V6.2.9 asks for).
const (
	maxEmail    = 254
	maxPassword = 1024
)

// hashWait is how long a sign-in waits for its turn to be hashed.
const hashWait = 5 * time.Second

func (p *Portal) home(v *visit) error {
	if v.account == nil {
		return v.Redirect("/sign-in", fiber.StatusSeeOther)
	}
	return v.Redirect(v.link("/apis"), fiber.StatusSeeOther)
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

// signIn checks email and password. A wrong password, an unknown email and an account or organisation that is
// not active are one answer in one time.
func (p *Portal) signIn(v *visit) error {
	if err := p.checkForm(v); err != nil {
		return err
	}
	view := page.SignIn{Email: strings.TrimSpace(v.form("email")), Next: ownPath(v.form("next"))}
	password := v.form("password")
	if view.Email == "" || len(view.Email) > maxEmail || !strings.Contains(view.Email, "@") {
		view.EmailError = "Enter your email, with its domain."
	}
	if password == "" || len(password) > maxPassword {
		view.PasswordError = "Enter your password."
	}
	if view.EmailError != "" || view.PasswordError != "" {
		return p.showSignIn(v, fiber.StatusUnprocessableEntity, view)
	}
	email := strings.ToLower(view.Email)
	key := secret.Hash(p.address(v) + "\x00" + email)
	if left := p.attempts.left(key); left > 0 {
		p.Log.Warn("sign-in refused: too many attempts", "request_id", v.id)
		v.Set("Retry-After", strconv.FormatInt(problem.RetrySeconds(left), 10))
		view.Refused = fmt.Sprintf("Too many attempts. Try again in %d min.", (left+time.Minute-1)/time.Minute)
		return p.showSignIn(v, fiber.StatusTooManyRequests, view)
	}
	account, err := p.Accounts.AccountByEmail(v.UserContext(), email)
	if err != nil && !problem.Is(err, problem.NotFound) {
		return err
	}
	match, err := p.matches(account, password)
	if err == nil && match {
		match, err = p.open(v, account.Org)
	}
	if err != nil {
		return err
	}
	if !match {
		p.attempts.fail(key)
		p.Log.Info("sign-in refused", "request_id", v.id)
		view.Refused = "Email and password do not belong together."
		return p.showSignIn(v, fiber.StatusUnauthorized, view)
	}
	p.attempts.forget(key)
	if err := p.begin(v, account); err != nil {
		return err
	}
	p.Log.Info("signed in", "request_id", v.id, "account", account.ID)
	return v.Redirect(view.Next, fiber.StatusSeeOther)
}

// matches hashes the password, a few at a time in the whole portal: argon2 takes 19 MiB each.
func (p *Portal) matches(account *partner.Account, password string) (bool, error) {
	turn := time.NewTimer(hashWait)
	defer turn.Stop()
	select {
	case p.hashing <- struct{}{}:
		defer func() { <-p.hashing }()
	case <-turn.C:
		return false, fiber.NewError(fiber.StatusServiceUnavailable, "Many people sign in right now. Try again in a minute.")
	}
	hash := decoy
	usable := account != nil && account.State == partner.Active && account.PasswordHash != ""
	if usable {
		hash = account.PasswordHash
	}
	match, err := argon2id.ComparePasswordAndHash(password, hash)
	return match && usable, err
}

// open reports whether an organisation's people may sign in.
func (p *Portal) open(v *visit, org partner.OrgID) (bool, error) {
	b, err := p.Partners.Organisation(v.UserContext(), org)
	if err != nil {
		return false, ignoreAbsent(err)
	}
	return b.Organisation.State == partner.Active, nil
}

// ownPath returns next if it is a path of the portal, "/" otherwise: never another site.
func ownPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") ||
		strings.ContainsAny(next, "\\\r\n\t") {
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
	p.dropCookie(v, "session")
	return v.Redirect("/sign-in", fiber.StatusSeeOther)
}

// theme keeps the choice of colours in a cookie the server reads.
func (p *Portal) theme(v *visit) error {
	if err := p.checkForm(v); err != nil {
		return err
	}
	switch choice := v.form("theme"); choice {
	case "light", "dark":
		p.setCookie(v, "theme", choice, 365*24*time.Hour)
	default:
		p.dropCookie(v, "theme")
	}
	return v.Redirect(ownPath(v.form("return")), fiber.StatusSeeOther)
}
