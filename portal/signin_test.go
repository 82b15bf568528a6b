package portal

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"

	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/secret"
)

func TestSignIn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser(t)
	if r := b.get("/calls?status=failed"); r.StatusCode != 303 || r.Header.Get("Location") != "/sign-in?next=%2Fcalls%3Fstatus%3Dfailed" {
		t.Fatalf("a member page without a session: %d to %q", r.StatusCode, r.Header.Get("Location"))
	}
	before := b.cookie("form")
	r := b.signIn(strings.ToUpper(email(s.first)), password, "/calls?status=failed")
	if r.StatusCode != 303 || r.Header.Get("Location") != "/calls?status=failed" {
		t.Fatalf("sign-in: %d to %q", r.StatusCode, r.Header.Get("Location"))
	}
	var session *http.Cookie
	for _, c := range r.Cookies() {
		if c.Name == s.Portal.cookie("session") {
			session = c
		}
	}
	if session == nil || !session.HttpOnly || session.SameSite != http.SameSiteLaxMode || session.Path != "/" || session.Domain != "" || session.Secure {
		t.Fatalf("session cookie on loopback http: %+v", session)
	}
	if session.Value == before || len(session.Value) != tokenLength || b.cookie("form") != "" {
		t.Error("the session is not a new secret, or the form's cookie stayed")
	}
	kept, err := s.people.Session(context.Background(), secret.Hash(session.Value))
	must(t, err)
	if kept.ID == session.Value || kept.CSRF == session.Value || kept.Org != s.first.Organisation.ID {
		t.Errorf("stored session opens the door by itself or is of another organisation: %+v", kept)
	}
	for path, to := range map[string]string{"/": "/apis", "/sign-in": "/apis"} {
		if r := b.get(path); r.StatusCode != 303 || r.Header.Get("Location") != to {
			t.Errorf("%s signed in: %d to %q", path, r.StatusCode, r.Header.Get("Location"))
		}
	}
	if r := b.get("/apis"); r.StatusCode != 200 || !strings.Contains(r.body, "Dana Vold") {
		t.Errorf("catalogue after sign-in: %d", r.StatusCode)
	}
	if log := s.log.String(); strings.Contains(log, password) || strings.Contains(log, session.Value) {
		t.Error("the log holds a secret")
	}
}

func TestSignInRefusals(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	suspended := s.second
	must(t, s.people.SetState(context.Background(), suspended.Organisation.ID, "organisation", string(suspended.Organisation.ID), partner.Suspended))
	wrong := s.browser(t).signIn(email(s.first), "wrong", "/")
	unknown := s.browser(t).signIn("nobody@quay.example", "wrong", "/")
	if wrong.StatusCode != 401 || unknown.StatusCode != 401 {
		t.Fatalf("wrong password %d, unknown email %d", wrong.StatusCode, unknown.StatusCode)
	}
	same := func(a answer, email string) string {
		doc := a.html(t)
		doc.Find("input[name=csrf]").SetAttr("value", "")
		out, err := doc.Html()
		must(t, err)
		return strings.ReplaceAll(out, email, "")
	}
	if same(wrong, email(s.first)) != same(unknown, "nobody@quay.example") {
		t.Error("a wrong password and an unknown email give different pages")
	}
	if strings.Contains(wrong.body, "value=\"wrong\"") {
		t.Error("the password was sent back")
	}
	for name, c := range map[string]struct {
		email, password string
		status          int
		want            string
	}{
		"empty":        {"", "", 422, "Two fields need a change."},
		"no domain":    {"dana", password, 422, "Enter your email"},
		"no password":  {email(s.first), "", 422, "Enter your password."},
		"endless":      {email(s.first), strings.Repeat("x", maxPassword+1), 422, "Enter your password."},
		"markup":       {`"><script>x</script>@y`, "z", 401, "&#34;&gt;&lt;script&gt;"},
		"other's":      {email(s.first), "correct horse battery stapl", 401, "do not belong together"},
		"no such user": {"x@y", password, 401, "do not belong together"},
	} {
		if r := s.browser(t).signIn(c.email, c.password, "/"); r.StatusCode != c.status || !strings.Contains(r.body, c.want) {
			t.Errorf("%s: %d without %q", name, r.StatusCode, c.want)
		}
	}
	// The right password of a suspended organisation opens nothing, and gets the same words.
	closed := s.browser(t).signIn(email(suspended), password, "/")
	if closed.StatusCode != 401 || same(closed, email(suspended)) != same(wrong, email(s.first)) {
		t.Errorf("sign-in of a suspended organisation: %d", closed.StatusCode)
	}
}

func TestSignInPostsFromElsewhere(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for name, headers := range map[string][]string{
		"foreign origin": {"Origin", "https://evil.example"},
		"null origin":    {"Origin", "null"},
		"cross-site":     {"Sec-Fetch-Site", "cross-site"},
		"same-site":      {"Sec-Fetch-Site", "same-site"},
	} {
		if r := s.browser(t).signIn(email(s.first), password, "/", headers...); r.StatusCode != 403 {
			t.Errorf("%s: %d", name, r.StatusCode)
		}
	}
	for name, headers := range map[string][]string{"own origin": {"Origin", s.url}, "same-origin": {"Sec-Fetch-Site", "same-origin"}} {
		if r := s.browser(t).signIn(email(s.first), password, "/", headers...); r.StatusCode != 303 {
			t.Errorf("%s: %d", name, r.StatusCode)
		}
	}
	b := s.browser(t)
	form := b.form("/sign-in", "/sign-in")
	form.Set("email", email(s.first))
	form.Set("password", password)
	good := form.Get("csrf")
	for name, token := range map[string]string{"no token": "", "another token": ident.Secret(32), "half a token": good[:32]} {
		form.Set("csrf", token)
		if r := b.send("POST", "/sign-in", form); r.StatusCode != 403 {
			t.Errorf("%s: %d", name, r.StatusCode)
		}
	}
	// Fields in the address do not count: addresses end up in logs.
	form.Set("csrf", good)
	if r := b.send("POST", "/sign-in?"+form.Encode(), url.Values{}); r.StatusCode != 403 {
		t.Errorf("form in the address: %d", r.StatusCode)
	}
	if r := b.send("POST", "/sign-in", form); r.StatusCode != 303 {
		t.Errorf("the right token: %d", r.StatusCode)
	}
}

func TestSignInAttempts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser(t)
	for range maxAttempts {
		if r := b.signIn(email(s.first), "wrong", "/"); r.StatusCode != 401 {
			t.Fatalf("attempt: %d", r.StatusCode)
		}
	}
	r := b.signIn(email(s.first), password, "/")
	if r.StatusCode != 429 || r.Header.Get("Retry-After") != "900" || !strings.Contains(r.body, "Try again in 15 min.") {
		t.Fatalf("after %d attempts: %d, Retry-After %q", maxAttempts, r.StatusCode, r.Header.Get("Retry-After"))
	}
	if r := b.signIn(email(s.second), password, "/"); r.StatusCode != 303 {
		t.Errorf("another account is shut out too: %d", r.StatusCode)
	}
	s.clock.Advance(attemptWindow)
	if r := s.browser(t).signIn(email(s.first), password, "/"); r.StatusCode != 303 {
		t.Errorf("after the window: %d", r.StatusCode)
	}
}

func TestSessionEnds(t *testing.T) {
	t.Parallel()
	cases := map[string]func(*site, *browser){
		"idle": func(s *site, _ *browser) { s.clock.Advance(sessionIdle) },
		"over": func(s *site, b *browser) {
			for range int(sessionLifetime / time.Hour) {
				s.clock.Advance(time.Hour)
				b.get("/problems")
			}
		},
		"suspended": func(s *site, _ *browser) {
			must(t, s.people.SetState(context.Background(), s.first.Organisation.ID, "organisation", string(s.first.Organisation.ID), partner.Suspended))
		},
		"replaced": func(s *site, b *browser) {
			u, err := url.Parse(s.url)
			must(t, err)
			b.Jar.SetCookies(u, []*http.Cookie{{Name: s.Portal.cookie("session"), Value: strings.Repeat("0", tokenLength), Path: "/"}})
		},
	}
	for name, end := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			b := s.signedIn(t, s.first)
			s.clock.Advance(sessionIdle - touchEvery)
			if r := b.get("/apis"); r.StatusCode != 200 {
				t.Fatalf("just before the idle limit: %d", r.StatusCode)
			}
			s.clock.Advance(sessionIdle - time.Second)
			if r := b.get("/apis"); r.StatusCode != 200 {
				t.Fatalf("use does not extend the session: %d", r.StatusCode)
			}
			end(s, b)
			if r := b.get("/apis"); r.StatusCode != 303 || !strings.HasPrefix(r.Header.Get("Location"), "/sign-in") {
				t.Errorf("the session lives on: %d", r.StatusCode)
			}
			if r := b.send("POST", "/sign-out", url.Values{}); r.StatusCode != 303 || r.Header.Get("Location") != "/sign-in" {
				t.Errorf("a post after the end: %d to %q", r.StatusCode, r.Header.Get("Location"))
			}
		})
	}
}

func TestSignOut(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(t, s.first)
	old := b.cookie("session")
	if r := b.send("POST", "/sign-out", url.Values{}); r.StatusCode != 403 || b.get("/apis").StatusCode != 200 {
		t.Fatalf("sign-out without a token: %d", r.StatusCode)
	}
	if r := b.get("/sign-out"); r.StatusCode != 405 || r.Header.Get("Allow") != "POST" {
		t.Errorf("sign-out by a link: %d, Allow %q", r.StatusCode, r.Header.Get("Allow"))
	}
	if r := b.send("POST", "/sign-out", b.form("/apis", "/sign-out")); r.StatusCode != 303 {
		t.Fatalf("sign-out: %d", r.StatusCode)
	}
	if b.cookie("session") != "" {
		t.Error("the cookie stayed")
	}
	u, err := url.Parse(s.url)
	must(t, err)
	b.Jar.SetCookies(u, []*http.Cookie{{Name: s.Portal.cookie("session"), Value: old, Path: "/"}})
	if r := b.get("/apis"); r.StatusCode != 303 {
		t.Errorf("the old cookie still opens: %d", r.StatusCode)
	}
}

// A second sign-in in the same browser gives a new session and ends the one before.
func TestSessionIsNew(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(t, s.first)
	old := b.cookie("session")
	form := b.form("/apis", "/sign-out")
	form.Set("email", email(s.second))
	form.Set("password", password)
	if r := b.send("POST", "/sign-in", form); r.StatusCode != 303 || b.cookie("session") == old {
		t.Fatalf("second sign-in: %d", r.StatusCode)
	}
	if _, err := s.people.Session(context.Background(), secret.Hash(old)); err == nil {
		t.Error("the session before still stands")
	}
	if r := b.get("/apis"); !strings.Contains(r.body, "Ridge Storage") {
		t.Error("the page is not the second account's")
	}
}

func TestOwnPath(t *testing.T) {
	t.Parallel()
	for _, next := range []string{"", "apis", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example",
		"https:evil.example", "javascript:alert(1)", "data:text/html,x", "/\t/evil.example", "/\n/evil.example", "/\r\nSet-Cookie: a=b", " //evil.example",
		"http:///evil.example", "/%zz", "?next=/", "#x", "//user@evil.example/"} {
		if got := ownPath(next); got != "/" {
			t.Errorf("ownPath(%q) = %q", next, got)
		}
	}
	for _, next := range []string{"/", "/apis", "/apis/orders/v1?application=app-2", "/calls?status=failed&environment=live", "/apis/x/v1/get_%2Forders"} {
		if got := ownPath(next); got != next {
			t.Errorf("ownPath(%q) = %q", next, got)
		}
	}
	s := newSite(t)
	if r := s.browser(t).signIn(email(s.first), password, "//evil.example"); r.Header.Get("Location") != "/" {
		t.Errorf("sign-in leads to %q", r.Header.Get("Location"))
	}
	b := s.signedIn(t, s.first)
	form := b.form("/apis", "/theme")
	form.Set("return", "https://evil.example/")
	if r := b.send("POST", "/theme", form); r.Header.Get("Location") != "/" {
		t.Errorf("the choice of colours leads to %q", r.Header.Get("Location"))
	}
}

// The decoy must cost what a password costs: it decodes, and has the parameters of every other.
func TestDecoy(t *testing.T) {
	t.Parallel()
	params, salt, key, err := argon2id.DecodeHash(decoy)
	must(t, err)
	if params.Memory != 19<<10 || params.Iterations != 2 || params.Parallelism != 1 || len(salt) != 16 || len(key) != 32 {
		t.Errorf("the decoy costs something else: %+v, salt %d, key %d", params, len(salt), len(key))
	}
	if match, err := argon2id.ComparePasswordAndHash(password, decoy); err != nil || match {
		t.Errorf("comparing with the decoy: %v, %v", match, err)
	}
}

func TestTheme(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(t, s.first)
	for _, c := range []struct{ choice, want string }{{"dark", "dark"}, {"light", "light"}, {"", ""}, {"dark", "dark"}, {`"><x`, ""}} {
		form := b.form("/calls?status=4xx", "/theme")
		form.Set("theme", c.choice)
		if r := b.send("POST", "/theme", form); r.StatusCode != 303 || r.Header.Get("Location") != "/calls?status=4xx" {
			t.Fatalf("theme %q: %d to %q", c.choice, r.StatusCode, r.Header.Get("Location"))
		}
		if got := b.get("/apis").html(t).Find("html").AttrOr("data-theme", ""); got != c.want {
			t.Errorf("after choosing %q the page says %q", c.choice, got)
		}
	}
}
