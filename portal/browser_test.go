package portal

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"portway/internal/ident"
	"portway/internal/needs"
	"portway/internal/problem"
	"portway/internal/traffic"
)

// shots takes pictures of the pages to look at: go test ./portal -run TestBrowser -args -shots DIR
var shots = flag.String("shots", "", "directory to write pictures of the pages to")

// chromium starts the machine's browser, or skips the test where there is none.
func chromium(t *testing.T) context.Context {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		needs.Missing(t, "chromium", "no chromium on this machine for the browser journey")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1360, 1200),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("hide-scrollbars", true))
	ctx, cancel = chromedp.NewExecAllocator(ctx, opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	return ctx
}

// A developer signs in with a real browser and walks every page, in both colours and on a phone. No page may
// scroll sideways, break its content policy or write an error to the console.
func TestBrowser(t *testing.T) {
	t.Parallel()
	ctx := chromium(t)
	s := newSite(t)
	calls := demoCalls(t, s)
	broken, cancel := context.WithCancel(ctx)
	messages := chromedp.Console(broken)

	must(t, chromedp.Do(ctx, chromedp.EmulateViewport(1360, 1000), chromedp.Navigate(s.url+"/calls?status=failed")))
	look(t, ctx, "signin-light")
	must(t, chromedp.Do(ctx, chromedp.SendKeys(chromedp.CSS("#email"), email(s.first)), chromedp.SendKeys(chromedp.CSS("#password"), "not the password")))
	submit(t, ctx, ".form button", 401)
	look(t, ctx, "signin-refused-light")
	must(t, chromedp.Do(ctx, chromedp.SendKeys(chromedp.CSS("#password"), password)))
	submit(t, ctx, ".form button", 200)
	if where, err := chromedp.Run(ctx, chromedp.Location()); err != nil || where != s.url+"/calls?status=failed" {
		t.Fatalf("sign-in led to %s, %v", where, err)
	}
	pages := []struct{ name, path string }{
		{"catalogue", "/apis"}, {"version", "/apis/shipments/v1"}, {"operation", "/apis/shipments/v1/confirmShipment"},
		{"operation-edi", "/apis/portway/v1/receiveX12"}, {"calls", "/calls"}, {"calls-live", "/calls?environment=live"},
		{"call", "/calls/" + calls[1].ID}, {"call-answered", "/calls/" + calls[3].ID}, {"problem", "/problems/schema.violation"}, {"problems", "/problems"}, {"absent", "/nothing"},
	}
	for _, look := range []struct {
		theme string
		width int64
	}{{"light", 1360}, {"dark", 1360}, {"light", 390}, {"dark", 390}} {
		must(t, chromedp.Do(ctx, chromedp.EmulateViewport(look.width, 1000), chromedp.Navigate(s.url+"/apis")))
		if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`document.getElementById("theme").value = "`+look.theme+`", document.querySelector(".role").open = true`)); err != nil {
			t.Fatal(err)
		}
		submit(t, ctx, ".theme button", 200)
		must(t, chromedp.Do(ctx, chromedp.WaitReady(chromedp.CSS("html[data-theme="+look.theme+"]"))))
		for _, p := range pages {
			must(t, chromedp.Do(ctx, chromedp.Navigate(s.url+p.path)))
			checkPage(t, ctx, fmt.Sprintf("%s-%s-%d", p.name, look.theme, look.width))
		}
	}
	must(t, chromedp.Do(ctx, chromedp.EmulateViewport(1360, 1000), chromedp.Navigate(s.url+"/apis"), chromedp.Click(chromedp.CSS(".choice > summary"))))
	look(t, ctx, "choice-dark-1360")
	cancel()
	for m, err := range messages {
		if err != nil {
			break
		}
		// The refused sign-in and the page that is not there are failures on purpose.
		if m.Type == chromedp.ConsoleError && !strings.Contains(m.Text, "status of 401") && !strings.Contains(m.Text, "status of 404") || m.IsException() {
			t.Errorf("console: %s (%s)", m, m.URL)
		}
	}
}

// submit presses a button and waits for the page it leads to. It is pressed by script: a click of the mouse may miss
// a page that is still moving.
func submit(t *testing.T, ctx context.Context, button string, status int64) {
	t.Helper()
	r, err := chromedp.RunResponse(ctx, chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := chromedp.Evaluate[bool]("document.querySelector('"+button+"').click(), true")(ctx, tab)
		return err
	}))
	must(t, err)
	if r.Status != status {
		t.Fatalf("%s led to a page with status %d", button, r.Status)
	}
}

func checkPage(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	over, err := chromedp.Run(ctx, chromedp.Evaluate[int]("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
	must(t, err)
	if over > 0 {
		t.Errorf("%s: scrolls sideways by %d px", name, over)
	}
	titles, err := chromedp.Run(ctx, chromedp.Evaluate[int]("document.querySelectorAll('h1').length"))
	must(t, err)
	if titles != 1 {
		t.Errorf("%s: %d titles", name, titles)
	}
	look(t, ctx, name)
}

func look(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	if *shots == "" {
		return
	}
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(*shots, name+".png"), png, 0o600))
}

// demoCalls is a day of an application: mostly well, with each kind of trouble.
func demoCalls(t *testing.T, s *site) []traffic.Call {
	return s.record(t, s.first, 0, 100, func(i int, c *traffic.Call) {
		c.Received = s.clock.Now().Add(-time.Duration(i*i/9+i*6) * time.Minute)
		c.Duration = time.Duration(4000+i*137%9000) * time.Microsecond
		for _, name := range []string{"admit", "match", "identify", "authorize", "body", "limit", "validate"} {
			c.Trail = append(c.Trail, traffic.Step{Stage: name, Micros: int64(60 + i*37%400), Result: "passed"})
		}
		switch {
		case i%7 == 1:
			c.Trail = nil
			rejected(i, c)
			c.Duration = 7 * time.Millisecond
		case i%11 == 3:
			c.Operation, c.API, c.Version, c.Method, c.Path = "quoteRates", "shipments", "v2", "POST", "/shipments/v2/rates"
			c.Upstream, c.Duration = 161*time.Millisecond, 170*time.Millisecond
			c.Trail = append(c.Trail, traffic.Step{Stage: "mediate", Micros: 300, Result: "passed", Note: "swift"},
				traffic.Step{Stage: "proxy", Micros: 161000, Result: "answered"}, traffic.Step{Stage: "mediate-answer", Micros: 500, Result: "passed"})
		case i%13 == 5:
			c.Status, c.Code = 401, problem.AuthExpired
		case i == 8:
			c.Status, c.Code, c.Duration = 504, problem.BackendTimeout, 10*time.Second
		case i == 9:
			c.API, c.Version, c.Operation, c.Path, c.Status, c.Code = "", "", "", "", 404, problem.RouteUnknown
		case i%5 == 0:
			c.Operation, c.Method, c.Path, c.Status = "acknowledgeOrder", "POST", "/orders/v1/orders/{order}/acknowledgement", 202
			c.EventID = ident.NewID(s.clock)
		case i%6 == 0:
			c.Environment = ident.Live
		}
	})
}
