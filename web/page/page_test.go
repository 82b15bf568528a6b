package page

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"github.com/a-h/templ"

	"portway/web"
	"portway/web/component"
	"portway/web/layout"
)

// render writes the sample pages and the static files to a directory, to look at them in a browser:
// go test ./web/page -run TestPages -args -render DIR
var render = flag.String("render", "", "directory to write the sample pages to")

// maxPage is the budget of a page in bytes, before compression.
const maxPage = 100_000

type sample struct {
	name string
	page func(layout.Frame) templ.Component
}

func samples() []sample {
	home := component.Link{Label: "Open the catalogue", Href: "/catalogue"}
	signedOut := func(f layout.Frame) layout.Frame {
		f.User, f.Context, f.Nav, f.Sandbox = layout.User{}, layout.Context{}, nil, false
		return f
	}
	return []sample{
		{"signin", func(f layout.Frame) templ.Component {
			f = signedOut(f)
			f.SignIn = ""
			return SignInPage(f, SignIn{Action: "/sign-in", CSRF: "tok", Next: "/calls"})
		}},
		{"signin-error", func(f layout.Frame) templ.Component {
			f = signedOut(f)
			f.SignIn = ""
			return SignInPage(f, SignIn{Action: "/sign-in", CSRF: "tok", Next: "/calls", Email: "dana@quayside",
				EmailError: "Enter the whole address, with its domain.", PasswordError: "Enter your password."})
		}},
		{"catalogue", func(f layout.Frame) templ.Component { return CataloguePage(f, sampleCatalogue()) }},
		{"catalogue-empty", func(f layout.Frame) templ.Component { return CataloguePage(f, Catalogue{Application: "Dock client"}) }},
		{"reference", func(f layout.Frame) templ.Component { return ReferencePage(f, sampleReference()) }},
		{"operation", func(f layout.Frame) templ.Component {
			v := sampleReference()
			v.Selected = "confirmShipment"
			return ReferencePage(f, v)
		}},
		{"reference-big", func(f layout.Frame) templ.Component { return ReferencePage(f, bigReference(200, "")) }},
		{"reference-big-one", func(f layout.Frame) templ.Component { return ReferencePage(f, bigReference(200, "op7")) }},
		{"calls", func(f layout.Frame) templ.Component {
			f.Nav = []layout.NavItem{{Label: "Catalogue", Href: "/catalogue"}, {Label: "Calls", Href: "/calls", Current: true}}
			return CallsPage(f, sampleCalls())
		}},
		{"calls-empty", func(f layout.Frame) templ.Component {
			v := sampleCalls()
			v.Calls, v.Hours = nil, nil
			return CallsPage(f, v)
		}},
		{"call", func(f layout.Frame) templ.Component { return CallPage(f, sampleCall()) }},
		{"problem", func(f layout.Frame) templ.Component { return ProblemPage(f, sampleProblem()) }},
		{"problems", func(f layout.Frame) templ.Component {
			return ProblemsPage(signedOut(f), Problems{Problems: sampleProblems()})
		}},
		{"notfound", func(f layout.Frame) templ.Component { return FailurePage(f, NotFound("8KX493TD", "0199", home)) }},
		{"broken", func(f layout.Frame) templ.Component {
			return FailurePage(signedOut(f), Broken("8KX493TD", "0199", home))
		}},
		{"styleguide", func(f layout.Frame) templ.Component { return StyleguidePage(f, Styleguide{}) }},
	}
}

func html(t *testing.T, c templ.Component) string {
	t.Helper()
	var b bytes.Buffer
	if err := c.Render(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func document(t *testing.T, text string) *goquery.Document {
	t.Helper()
	d, err := goquery.NewDocumentFromReader(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestPages(t *testing.T) {
	t.Parallel()
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			text := html(t, s.page(sampleFrame("")))
			if len(text) > maxPage {
				t.Errorf("%d bytes, budget is %d", len(text), maxPage)
			}
			d := document(t, text)
			checkStructure(t, d)
			checkIDs(t, d)
			checkPolicy(t, d)
			checkLabels(t, d)
			checkNames(t, d)
			if *render != "" {
				writePage(t, s, "light")
				writePage(t, s, "dark")
			}
		})
	}
	if *render != "" {
		writeStatic(t)
	}
}

func writePage(t *testing.T, s sample, theme string) {
	f := sampleFrame(theme)
	f.Asset = func(name string) string { return name }
	if err := os.WriteFile(filepath.Join(*render, s.name+"-"+theme+".html"), []byte(html(t, s.page(f))), 0o644); err != nil {
		t.Fatal(err)
	}
}

func writeStatic(t *testing.T) {
	for _, name := range []string{"app.css", "app.js", "favicon.svg"} {
		a, _ := web.NewAssets().Open(name)
		if err := os.WriteFile(filepath.Join(*render, name), a.Body, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// checkStructure wants one h1, one main with the skip link's target, a title, and headings without gaps.
func checkStructure(t *testing.T, d *goquery.Document) {
	t.Helper()
	if n := d.Find("h1").Length(); n != 1 {
		t.Errorf("%d h1, want 1", n)
	}
	if n := d.Find("main#main").Length(); n != 1 {
		t.Errorf("%d main#main, want 1", n)
	}
	if d.Find("body > a.skip[href='#main']").Index() != 0 {
		t.Error("the skip link is not the first thing in the body")
	}
	if title, h1 := d.Find("title").Text(), strings.TrimSpace(d.Find("h1").Text()); title != h1+" · Portway" {
		t.Errorf("title %q does not say the h1 %q", title, h1)
	}
	if lang, _ := d.Find("html").Attr("lang"); lang != "en" {
		t.Errorf("lang %q", lang)
	}
	last := 0
	d.Find("main").Find("h1,h2,h3,h4").Each(func(_ int, h *goquery.Selection) {
		level := int(goquery.NodeName(h)[1] - '0')
		if level > last+1 {
			t.Errorf("h%d %q follows h%d", level, h.Text(), last)
		}
		last = level
	})
}

func checkIDs(t *testing.T, d *goquery.Document) {
	t.Helper()
	seen := map[string]bool{}
	d.Find("[id]").Each(func(_ int, s *goquery.Selection) {
		id, _ := s.Attr("id")
		if seen[id] {
			t.Errorf("id %q twice", id)
		}
		seen[id] = true
	})
	for _, attr := range []string{"aria-labelledby", "aria-describedby", "for"} {
		d.Find("[" + attr + "]").Each(func(_ int, s *goquery.Selection) {
			value, _ := s.Attr(attr)
			for _, id := range strings.Fields(value) {
				if !seen[id] {
					t.Errorf("%s names %q, which does not exist", attr, id)
				}
			}
		})
	}
	d.Find("a[href^='#']").Each(func(_ int, s *goquery.Selection) {
		href, _ := s.Attr("href")
		if href != "#" && !seen[href[1:]] {
			t.Errorf("link to %q, which does not exist", href)
		}
	})
}

// checkPolicy wants nothing that the Content-Security-Policy would block.
func checkPolicy(t *testing.T, d *goquery.Document) {
	t.Helper()
	if n := d.Find("style, [style]").Length(); n != 0 {
		t.Errorf("%d inline styles", n)
	}
	d.Find("script").Each(func(_ int, s *goquery.Selection) {
		if src, ok := s.Attr("src"); !ok || !strings.HasPrefix(src, "/static/") || s.Text() != "" {
			t.Errorf("script %q with text %q", src, s.Text())
		}
	})
	d.Find("*").Each(func(_ int, s *goquery.Selection) {
		for _, a := range s.Nodes[0].Attr {
			if strings.HasPrefix(a.Key, "on") {
				t.Errorf("%s has the handler %s", goquery.NodeName(s), a.Key)
			}
			if strings.HasPrefix(strings.TrimSpace(strings.ToLower(a.Val)), "javascript:") {
				t.Errorf("%s has a javascript address", goquery.NodeName(s))
			}
		}
	})
}

// checkLabels wants a label for each control, csrf in each posted form, and errors tied to their control.
func checkLabels(t *testing.T, d *goquery.Document) {
	t.Helper()
	d.Find("input:not([type=hidden]), select, textarea").Each(func(_ int, s *goquery.Selection) {
		id, _ := s.Attr("id")
		if id == "" || d.Find("label[for='"+id+"']").Length() != 1 {
			t.Errorf("control %q has no label of its own", id)
		}
	})
	d.Find("form[method=post]").Each(func(_ int, s *goquery.Selection) {
		if s.Find("input[type=hidden][name=csrf][value='tok']").Length() != 1 {
			t.Error("a posted form has no csrf token")
		}
	})
	d.Find("[aria-invalid]").Each(func(_ int, s *goquery.Selection) {
		if by, _ := s.Attr("aria-describedby"); !strings.Contains(by, "-error") {
			t.Error("an invalid control does not name its error")
		}
	})
}

// checkNames wants a name for each drawing that is not hidden, each region, each link and each button.
func checkNames(t *testing.T, d *goquery.Document) {
	t.Helper()
	d.Find("svg").Each(func(_ int, s *goquery.Selection) {
		_, hidden := s.Attr("aria-hidden")
		if label, _ := s.Attr("aria-label"); !hidden && label == "" {
			class, _ := s.Attr("class")
			t.Errorf("svg %q has neither a label nor aria-hidden", class)
		}
	})
	d.Find("nav, [role=region], section").Each(func(_ int, s *goquery.Selection) {
		_, label := s.Attr("aria-label")
		_, by := s.Attr("aria-labelledby")
		if class, _ := s.Attr("class"); !label && !by && !strings.HasPrefix(class, "panel") {
			t.Errorf("%s %q has no name", goquery.NodeName(s), class)
		}
	})
	d.Find("a, button, summary").Each(func(_ int, s *goquery.Selection) {
		if label, _ := s.Attr("aria-label"); strings.TrimSpace(s.Text()) == "" && label == "" {
			t.Errorf("a %s without words", goquery.NodeName(s))
		}
	})
}
