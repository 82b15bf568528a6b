package layout

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
)

func frame(t *testing.T, f Frame) *goquery.Document {
	t.Helper()
	f.Asset = func(name string) string { return "/static/" + name }
	var b bytes.Buffer
	if err := Page(f, "Finding").Render(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(strings.ToLower(b.String()), "<!doctype html>") {
		t.Error("the page does not start with its doctype")
	}
	d, err := goquery.NewDocumentFromReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestInitials(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"Dana Vold": "DV", "dana": "D", "": "", "Ana-Maria de Souza": "AM", "Øyvind Ås": "ØÅ", "  x": "X"} {
		if got := (User{Name: name}).Initials(); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestFrameLeavesOutWhatDoesNotExist(t *testing.T) {
	t.Parallel()
	d := frame(t, Frame{Home: "/"})
	for _, part := range []string{"nav", ".context", ".strip", ".role", "form", ".menu", "[data-theme]"} {
		if d.Find(part).Length() != 0 {
			t.Errorf("an empty frame has %s", part)
		}
	}
}

func TestFrame(t *testing.T) {
	t.Parallel()
	d := frame(t, Frame{Home: "/", Nav: []NavItem{{Label: "Catalogue", Href: "/catalogue"}, {Label: "Calls", Href: "/calls", Current: true}},
		Context: Context{Organisation: "Org", Application: "App"}, Sandbox: true, User: User{Name: "Dana Vold", Email: "d@x.example"},
		SignOut: "/sign-out", CSRF: "tok", Theme: "dark", ThemeAction: "/theme", Path: "/calls?status=failed"})
	if theme, _ := d.Find("html").Attr("data-theme"); theme != "dark" {
		t.Errorf("data-theme %q", theme)
	}
	if got := d.Find("nav.nav a[aria-current=page]").Text(); got != "Calls" {
		t.Errorf("current entry %q", got)
	}
	if got := strings.TrimSpace(d.Find(".strip").Text()); got != "Sandbox. Test data only." {
		t.Errorf("strip %q", got)
	}
	if back, _ := d.Find("form.theme input[name=return]").Attr("value"); back != "/calls?status=failed" {
		t.Errorf("return %q", back)
	}
	if v, _ := d.Find("#theme option[selected]").Attr("value"); v != "dark" {
		t.Errorf("selected theme %q", v)
	}
	if action, _ := d.Find(".role form[method=post]").Last().Attr("action"); action != "/sign-out" {
		t.Errorf("sign-out posts to %q", action)
	}
	if odd := frame(t, Frame{Theme: `dark" onload="x`}); odd.Find("[data-theme], [onload]").Length() != 0 {
		t.Error("a theme that does not exist reaches the page")
	}
}
