package portal

import (
	"crypto/subtle"
	"time"

	"github.com/gofiber/fiber/v2"

	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/problem"
	"portway/internal/secret"
)

// How long a sign-in lasts: absolutely, and without use.
const (
	sessionLifetime = 12 * time.Hour
	sessionIdle     = 2 * time.Hour
)

const themeCookie = "portway-theme"

// cookie is the name of a cookie: with the __Host- prefix wherever the browser will keep it.
func (p *Portal) cookie(name string) string {
	if p.secure {
		return "__Host-portway-" + name
	}
	return "portway-" + name
}

func (p *Portal) setCookie(v *visit, name, value string, life time.Duration) {
	v.Cookie(&fiber.Cookie{Name: name, Value: value, Path: "/", MaxAge: int(life / time.Second), HTTPOnly: true,
		Secure: p.secure, SameSite: fiber.CookieSameSiteLaxMode})
}

func (p *Portal) dropCookie(v *visit, name string) {
	v.Cookie(&fiber.Cookie{Name: name, Path: "/", MaxAge: -1, Expires: time.Unix(1, 0), HTTPOnly: true, Secure: p.secure,
		SameSite: fiber.CookieSameSiteLaxMode})
}

// resume finds the session of a visit's cookie. A session that is unknown, over, or of an account or
// organisation that is not active is none.
func (p *Portal) resume(v *visit) error {
	value := v.Cookies(p.cookie("session"))
	if value == "" {
		return nil
	}
	ctx := v.UserContext()
	s, err := p.Accounts.Session(ctx, secret.Hash(value))
	if problem.Is(err, problem.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	now := p.Clock.Now()
	if now.UnixMicro() >= s.ExpiresAt || now.Add(-sessionIdle).UnixMicro() >= s.SeenAt {
		return p.Accounts.EndSession(ctx, s.ID)
	}
	account, err := p.Accounts.Account(ctx, s.Account)
	if err != nil || account.State != partner.Active {
		return ignoreAbsent(err)
	}
	org, err := p.Partners.Organisation(ctx, account.Org)
	if err != nil || org.Organisation.State != partner.Active {
		return ignoreAbsent(err)
	}
	if now.Add(-time.Minute).UnixMicro() > s.SeenAt { // once a minute is enough for the idle limit
		if err := p.Accounts.TouchSession(ctx, s.ID, now.UnixMicro()); err != nil {
			return err
		}
	}
	v.session, v.account, v.org = s, account, org
	if len(org.Applications) > 0 {
		v.app = &org.Applications[0]
	}
	return nil
}

func ignoreAbsent(err error) error {
	if problem.Is(err, problem.NotFound) {
		return nil
	}
	return err
}

// begin starts a session under a new id: nothing a browser held before it signs anyone in.
func (p *Portal) begin(v *visit, a *partner.Account) error {
	value := ident.Secret(32)
	now := p.Clock.Now()
	err := p.Accounts.StartSession(v.UserContext(), partner.Session{ID: secret.Hash(value), Account: a.ID, Org: a.Org,
		CSRF: ident.Secret(32), CreatedAt: now.UnixMicro(), SeenAt: now.UnixMicro(), ExpiresAt: now.Add(sessionLifetime).UnixMicro()})
	if err != nil {
		return err
	}
	p.setCookie(v, p.cookie("session"), value, sessionLifetime)
	return nil
}

// formToken is the CSRF token of a form: the session's, or for the sign-in form one kept in a cookie.
func (p *Portal) formToken(v *visit) string {
	if v.session != nil {
		return v.session.CSRF
	}
	token := v.Cookies(p.cookie("form"))
	if len(token) != 64 {
		token = ident.Secret(32)
		p.setCookie(v, p.cookie("form"), token, time.Hour)
	}
	return token
}

// checkForm refuses a post whose token is not the one its form was given.
func (p *Portal) checkForm(v *visit) error {
	want := v.Cookies(p.cookie("form"))
	if v.session != nil {
		want = v.session.CSRF
	}
	got := v.FormValue("csrf")
	if len(want) != 64 || subtle.ConstantTimeCompare([]byte(want), []byte(got)) != 1 {
		return fiber.NewError(fiber.StatusForbidden, "the form is too old: load the page again and repeat")
	}
	return nil
}
