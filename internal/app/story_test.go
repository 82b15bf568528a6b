package app

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"portway/internal/app/story"
	"portway/internal/ident"
	"portway/internal/store/pgtest"
)

// readyFile writes the ready answers of a running program where the story reads them.
func readyFile(t *testing.T, r *running) string {
	t.Helper()
	b, err := json.Marshal(r.ready)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ready.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func playStory(t *testing.T, r *running) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out bytes.Buffer
	if err := story.Play(ctx, readyFile(t, r), ident.System{}, &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{"released", "acknowledges", "AK9*A*1*1*1", "duplicate of", "posted once", "delivered"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the story does not show %q:\n%s", want, &out)
		}
	}
}

func TestStory(t *testing.T) {
	t.Parallel()
	r := demo(t)
	playStory(t, r)
	playStory(t, r) // fresh numbers: it can be played again
}

func TestStoryOnPostgres(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	r := start(t, map[string]string{"TEST_DATABASE": url}, "--demo", "--data="+t.TempDir(), "--database=env:TEST_DATABASE")
	playStory(t, r)
}

// TestTwoSideBySide runs two programs in one process: nothing is global, and no token of one opens the other.
func TestTwoSideBySide(t *testing.T) {
	t.Parallel()
	a, b := demo(t), demo(t)
	foreign := a.token("harbor/wms", "sandbox")
	got := b.do(call{method: "GET", path: "/orders/v1/feed", header: map[string]string{"Authorization": "Bearer " + foreign}})
	if got.status != 401 || got.field("code") != "auth.invalid_token" {
		t.Errorf("a token of another installation: %d %s", got.status, got.body)
	}
	if got := a.do(call{method: "GET", path: "/orders/v1/feed", as: "harbor/wms@sandbox"}); got.status != 200 {
		t.Errorf("its own installation: %d %s", got.status, got.body)
	}
}

// TestPastedCurls runs the three commands of the banner as a newcomer would.
func TestPastedCurls(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("skipped: curl is not installed")
	}
	r := demo(t)
	var commands []string
	for _, line := range strings.Split(r.out.String(), "\n") {
		if strings.HasPrefix(line, "curl ") {
			commands = append(commands, line)
		}
	}
	if len(commands) != 3 {
		t.Fatalf("%d commands are printed, want 3:\n%s", len(commands), r.out)
	}
	for _, c := range commands {
		out, err := exec.Command("bash", "-c", strings.Replace(c, "curl -s", "curl -s --fail", 1)).CombinedOutput()
		if err != nil || !json.Valid(out) {
			t.Errorf("%s\n%v: %s", c, err, out)
		}
	}
}

// TestRestartKeepsState stops the program and starts it on the same data.
func TestRestartKeepsState(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	first := start(t, nil, "--demo", "--data="+data)
	playStory(t, first)
	if code := first.stop(); code != 0 {
		t.Fatalf("stopped with %d", code)
	}
	second := start(t, nil, "--demo", "--data="+data)
	feed := second.do(call{method: "GET", path: "/orders/v1/feed", as: "harbor/wms@sandbox"})
	var page struct {
		Items []struct{ Order struct{ Order string } }
	}
	if err := json.Unmarshal(feed.body, &page); err != nil || len(page.Items) != 1 {
		t.Fatalf("the feed after a restart: %d %s", feed.status, feed.body)
	}
	order := second.do(call{method: "GET", path: "/orders/v1/orders/" + page.Items[0].Order.Order, as: "harbor/wms@sandbox"})
	if order.field("state") != "delivered" {
		t.Errorf("the order of the first run: %d %s", order.status, order.body)
	}
}
