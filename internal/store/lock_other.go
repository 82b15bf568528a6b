//go:build !unix

package store

import "os"

// lockFile does nothing where the system has no such lock; SQLite's own locks still keep the files whole.
func lockFile(*os.File) error { return nil }
