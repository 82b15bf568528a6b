package datafile

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestWatchSeesWhatChangedOnceItRests(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "plans", "a.yaml")
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(file, "one")
	w := NewWatch(dir, filepath.Join(dir, "absent"))
	look := func(what string, want bool) {
		t.Helper()
		if got := w.look(); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	look("nothing", false)
	write(file, "three")
	look("just written", false)
	look("come to rest", true)
	look("seen already", false)
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(file, later, later); err != nil {
		t.Fatal(err)
	}
	look("touched", false)
	look("touched, come to rest", false)
	write(filepath.Join(dir, ".a.yaml.swp"), "an editor's")
	look("hidden", false)
	look("hidden, come to rest", false)
	write(filepath.Join(dir, "apis", "b.yaml"), "new")
	look("a new file", false)
	write(filepath.Join(dir, "apis", "c.yaml"), "still copying")
	look("another", false)
	look("both at rest", true)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	look("removed", false)
	look("removed, at rest", true)
	// The same size and time with other contents: found when contents are read again.
	other := filepath.Join(dir, "apis", "b.yaml")
	info, err := os.Stat(other)
	if err != nil {
		t.Fatal(err)
	}
	write(other, "old")
	if err := os.Chtimes(other, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	found := 0
	for range rehash {
		if w.look() {
			found++
		}
	}
	if found != 1 {
		t.Errorf("other contents under the same time were seen %d times, want once", found)
	}
}

func TestWatchFollowsLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, version := range []string{"1", "2"} {
		if err := os.MkdirAll(filepath.Join(dir, version), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, version, "tls.crt"), []byte("certificate "+version), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "current")
	if err := os.Symlink("1", link); err != nil {
		t.Fatal(err)
	}
	w := NewWatch(filepath.Join(link, "tls.crt"))
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("2", link); err != nil {
		t.Fatal(err)
	}
	if first, second := w.look(), w.look(); !first && !second { // a change is told once it has settled
		t.Error("a link that points elsewhere now was not seen")
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	changed := make(chan struct{}, 1)
	ended := make(chan struct{})
	go func() {
		NewWatch(dir).Run(ctx, time.Millisecond, func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		})
		close(ended)
	}()
	for written := false; !written; {
		if err := os.WriteFile(filepath.Join(dir, "a"), []byte(time.Now().String()), 0o600); err != nil {
			t.Fatal(err)
		}
		select {
		case <-changed:
			written = true
		case <-time.After(20 * time.Millisecond):
		}
	}
	cancel()
	<-ended
}
