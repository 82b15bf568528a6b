package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Store holds the state S of a simulated server behind one lock and, if it has a directory, in one JSON file.
// The file is replaced whole (temporary file, fsync, rename, fsync of the directory), so that a kill at any
// moment leaves either the old state or the new one. Concurrent updates share a write.
type Store[S any] struct {
	mu      sync.Mutex
	state   *S
	version uint64

	saving sync.Mutex
	saved  uint64
	path   string
}

// OpenStore returns the state kept as dir/name, or empty if there is none; found tells which.
// With dir "" the state lives in memory only. A file that cannot be read is an error that names it.
func OpenStore[S any](dir, name string, empty *S) (s *Store[S], found bool, err error) {
	s = &Store[S]{state: empty}
	if dir == "" {
		return s, false, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, false, fmt.Errorf("state directory: %w", err)
	}
	s.path = filepath.Join(dir, name)
	// A temporary file is what a kill left of a write that was never acknowledged.
	if err := os.Remove(s.path + ".tmp"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, false, fmt.Errorf("state file: %w", err)
	}
	data, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("state file: %w", err)
	}
	if err := json.Unmarshal(data, s.state); err != nil {
		return nil, false, fmt.Errorf("state file %s is damaged, move it away to start anew: %w", s.path, err)
	}
	return s, true, nil
}

// Read runs f with the state locked; f must not keep references into it.
func (s *Store[S]) Read(f func(*S)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.state)
}

// Update runs f with the state locked and returns once everything f saw or changed is in the file.
// f reports whether it changed anything; it must check first and change last, for there is no undo.
func (s *Store[S]) Update(f func(*S) (changed bool)) error {
	seen := s.apply(f)
	if s.path == "" {
		return nil
	}
	s.saving.Lock()
	defer s.saving.Unlock()
	// An earlier write may have failed: then also an update without change tries again, because its
	// answer ("already done") must not be truer than the file.
	if s.saved >= seen {
		return nil
	}
	data, version, err := s.snapshot()
	if err != nil {
		return err
	}
	if err := replaceFile(s.path, data); err != nil {
		return fmt.Errorf("state file: %w", err)
	}
	s.saved = version
	return nil
}

func (s *Store[S]) apply(f func(*S) bool) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f(s.state) {
		s.version++
	}
	return s.version
}

func (s *Store[S]) snapshot() ([]byte, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, err := json.Marshal(s.state)
	return data, s.version, err
}

// replaceFile puts data in place of path such that a crash leaves the one or the other content, never a mix.
func replaceFile(path string, data []byte) (err error) {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	// The rename itself is durable only when the directory is.
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
