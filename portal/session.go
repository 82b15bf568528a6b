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
	// touchEvery is how exact the idle limit is; less would write on every page.
	touchEvery = time.Minute
)

// tokenLength is that of ident.Secret(32): 256 bits in hexadecimal.
const tokenLength = 64

// cookie is the name of a cookie: with the __Host- prefix wherever the browser will keep it. On plain http the
// port is part of the name, because browsers share cookies among the ports of a host.
func (p *Portal) cookie(name string) string {
	if p.secure {
		return "__Host-portway-" + name
	}
	return "portway-" + p.port + "-" + name
}

func (p *Portal) setCookie(v *visit, name, value string, life time.Duration) {
	v.Cookie(&fiber.Cookie{Name: p.cookie(name), Value: value, Path: "/", MaxAge: int(life / time.Second), HTTPOnly: true,
		Secure: p.secure, SameSite: fiber.CookieSameSiteLaxMode})
}

func (p *Portal) dropCookie(v *visit, name string) {
	v.Cookie(&fiber.Cookie{Name: p.cookie(name), Path: "/", Expires: time.Unix(1, 0), HTTPOnly: true,
		Secure: p.secure, SameSite: fiber.CookieSameSiteLaxMode})
}

// resume finds the session of a visit's cookie. A session that is unknown, over, or of an account or
// organisation that is not active is none.
func (p *Portal) resume(v *visit) error {
	v.asked = true
	value := v.Cookies(p.cookie("session"))
	if len(value) != tokenLength {
		return nil
	}
	ctx := v.UserContext()
	s, err := p.Accounts.Session(ctx, secret.Hash(value))
	if err != nil {
		return ignoreAbsent(err)
	}
	now := p.Clock.Now()
	if now.UnixMicro() >= s.ExpiresAt || now.Add(-sessionIdle).UnixMicro() >= s.SeenAt {
		return p.Accounts.EndSession(ctx, s.ID)
	}
	account, err := p.Accounts.Account(ctx, s.Account)
	if err != nil || account.State != partner.Active || account.Org != s.Org {
		return ignoreAbsent(err)
	}
	org, err := p.Partners.Organisation(ctx, account.Org)
	if err != nil || org.Organisation.State != partner.Active {
		return ignoreAbsent(err)
	}
	if now.Add(-touchEvery).UnixMicro() >= s.SeenAt {
		if err := p.Accounts.TouchSession(ctx, s.ID, now.UnixMicro()); err != nil {
			return err
		}
	}
	v.session, v.account, v.org = s, account, org
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
	ctx := v.UserContext()
	if v.session != nil {
		if err := p.Accounts.EndSession(ctx, v.session.ID); err != nil {
			return err
		}
	}
	value := ident.Secret(tokenLength / 2)
	now := p.Clock.Now()
	err := p.Accounts.StartSession(ctx, partner.Session{ID: secret.Hash(value), Account: a.ID, Org: a.Org,
		CSRF: ident.Secret(tokenLength / 2), CreatedAt: now.UnixMicro(), SeenAt: now.UnixMicro(), ExpiresAt: now.Add(sessionLifetime).UnixMicro()})
	if err != nil {
		return err
	}
	p.setCookie(v, "session", value, sessionLifetime)
	p.dropCookie(v, "form")
	return nil
}

// formToken is the CSRF token of a form: the session's, or for the sign-in form one kept in a cookie.
func (p *Portal) formToken(v *visit) string {
	if v.session != nil {
		return v.session.CSRF
	}
	token := v.Cookies(p.cookie("form"))
	if len(token) != tokenLength {
		token = ident.Secret(tokenLength / 2)
		p.setCookie(v, "form", token, sessionLifetime)
	}
	return token
}

// checkForm refuses a post whose token is not the one its form was given.
func (p *Portal) checkForm(v *visit) error {
	want := v.Cookies(p.cookie("form"))
	if v.session != nil {
		want = v.session.CSRF
	}
	if len(want) != tokenLength || subtle.ConstantTimeCompare([]byte(want), []byte(v.form("csrf"))) != 1 {
		return fiber.NewError(fiber.StatusForbidden, "It was too old. Load the page again and repeat.")
	}
	return nil
}
