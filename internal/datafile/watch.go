package datafile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"
)

const (
	maxDepth = 16 // of folders, which also ends a loop of links
	rehash   = 30 // polls after which contents are read although no file looks changed
)

// Watch tells when files change: the named ones, and all below the named folders, links followed. It compares names,
// sizes and times, and reads contents when these differ, so that a touched file is no change; it waits until two looks
// in a row agree, so that a file half-written or a folder half-copied is not read. A file that is not there is as good as
// any other state.
type Watch struct {
	paths         []string
	stamp, digest string
	moving        bool // the last look saw a change
	polls         int
}

// NewWatch remembers the files as they are now.
func NewWatch(paths ...string) *Watch {
	return &Watch{paths: paths, stamp: stamped(paths), digest: Digest(paths...)}
}

// Run looks every so often and calls changed after the files differ from what they were at the last call, or at
// NewWatch. It returns when ctx ends.
func (w *Watch) Run(ctx context.Context, every time.Duration, changed func()) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if w.look() {
			changed()
		}
	}
}

// look reports whether the files have changed and come to rest.
func (w *Watch) look() bool {
	w.polls++
	now := stamped(w.paths)
	if now != w.stamp {
		w.stamp, w.moving = now, true
		return false
	}
	if !w.moving && w.polls%rehash != 0 {
		return false
	}
	w.moving = false
	if d := Digest(w.paths...); d != w.digest {
		w.digest = d
		return true
	}
	return false
}

// stamped is a fingerprint of names, sizes and times.
func stamped(paths []string) string {
	h := sha256.New()
	walk(paths, func(name string, info os.FileInfo) {
		fmt.Fprintf(h, "%s\x00%d\x00%d\x00%v\n", name, info.Size(), info.ModTime().UnixNano(), info.Mode())
	})
	return hex.EncodeToString(h.Sum(nil))
}

// Digest is a fingerprint of names and contents of all files of these paths, as Watch finds them: two equal ones say that
// what was read in between was read whole.
func Digest(paths ...string) string {
	h := sha256.New()
	walk(paths, func(name string, info os.FileInfo) {
		fmt.Fprintf(h, "%s\x00", name)
		if err := add(h, name); err != nil {
			fmt.Fprintf(h, "unreadable at %d", info.ModTime().UnixNano())
		}
		h.Write([]byte{0})
	})
	return hex.EncodeToString(h.Sum(nil))
}

func add(h hash.Hash, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(h, f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// walk visits every file in order of name. Hidden files are those of editors and of mounts.
func walk(paths []string, visit func(name string, info os.FileInfo)) {
	for _, p := range paths {
		descend(p, 0, visit)
	}
}

func descend(name string, depth int, visit func(string, os.FileInfo)) {
	info, err := os.Stat(name)
	if err != nil || depth > maxDepth {
		return
	}
	if !info.IsDir() {
		if info.Mode().IsRegular() {
			visit(name, info)
		}
		return
	}
	entries, err := os.ReadDir(name)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.Name()[0] != '.' {
			descend(filepath.Join(name, e.Name()), depth+1, visit)
		}
	}
}
