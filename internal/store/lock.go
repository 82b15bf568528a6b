package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

const (
	stateRunning = "running"
	stateStopped = "stopped"
)

// dirLock keeps a second process out of a data directory and remembers whether the last one stopped cleanly.
type dirLock struct {
	file    *os.File
	unclean bool
}

// lockDir takes the directory. The file stays when the process ends; the system's lock on it does not.
func lockDir(dir string) (*dirLock, error) {
	f, err := os.OpenFile(filepath.Join(dir, "portway.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := lockFile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("store: the data directory %s is in use by another process: stop it, or set another directory", dir), f.Close())
	}
	was, err := io.ReadAll(io.LimitReader(f, 64))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store: %w", err), f.Close())
	}
	l := &dirLock{file: f}
	// A log that nobody brought into its file also tells of an unclean stop, or of a copy of a running directory.
	l.unclean = strings.HasPrefix(string(was), stateRunning) ||
		fileExists(filepath.Join(dir, "portway.db-wal")) || fileExists(filepath.Join(dir, "traffic.db-wal"))
	if err := l.write(stateRunning); err != nil {
		return nil, errors.Join(fmt.Errorf("store: %w", err), f.Close())
	}
	return l, nil
}

func (l *dirLock) write(state string) error {
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	if _, err := l.file.WriteAt([]byte(state+"\n"), 0); err != nil {
		return err
	}
	return l.file.Sync()
}

// release gives the directory up; clean says that everything was closed in order.
func (l *dirLock) release(clean bool) error {
	var err error
	if clean {
		err = l.write(stateStopped)
	}
	return errors.Join(err, l.file.Close())
}
