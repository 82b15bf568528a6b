package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
)

// CountLogs wraps a log handler so that warnings and errors are counted, and panics: every room logs a panic it caught
// as an error with the attribute "panic".
func CountLogs(h slog.Handler, m *Metrics) slog.Handler {
	c := &counting{Handler: h, metrics: m}
	for _, level := range []slog.Level{slog.LevelWarn, slog.LevelError} {
		m.logged.WithLabelValues(levelName(level)) // shown as 0 from the start
	}
	return c
}

type counting struct {
	slog.Handler
	metrics *Metrics
}

// Enabled lets warnings and errors through to be counted, whatever the level of the log.
func (c *counting) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn || c.Handler.Enabled(ctx, l)
}

func (c *counting) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		c.metrics.logged.WithLabelValues(levelName(r.Level)).Inc()
	}
	if r.Level >= slog.LevelError {
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "panic" {
				c.metrics.panics.Inc()
				return false
			}
			return true
		})
	}
	if !c.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return c.Handler.Handle(ctx, r)
}

func (c *counting) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &counting{c.Handler.WithAttrs(attrs), c.metrics}
}

func (c *counting) WithGroup(name string) slog.Handler {
	return &counting{c.Handler.WithGroup(name), c.metrics}
}

func levelName(l slog.Level) string {
	if l >= slog.LevelError {
		return "error"
	}
	return "warn"
}

// File is a log file that can be opened anew after it was moved away. It is safe for concurrent use.
type File struct {
	path string
	mu   sync.Mutex
	f    *os.File
}

// OpenFile opens a log file to append to, and makes it with mode 0640 if it is not there.
func OpenFile(path string) (*File, error) {
	l := &File{path: path}
	return l, l.Reopen()
}

// Reopen goes on in a file of the same name: the same one, or a new one when it was moved away. When that cannot be
// opened, the old one is kept.
func (l *File) Reopen() error {
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("log file: %w", err)
	}
	l.mu.Lock()
	old := l.f
	l.f = f
	l.mu.Unlock()
	if old == nil {
		return nil
	}
	return old.Close()
}

// Write appends.
func (l *File) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.f.Write(b)
}

// Close closes the file.
func (l *File) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.f.Close()
}
