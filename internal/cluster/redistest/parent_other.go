//go:build unix && !linux

package redistest

import "os/exec"

// endWithParent does nothing where the system does not offer it.
func endWithParent(*exec.Cmd) {}
