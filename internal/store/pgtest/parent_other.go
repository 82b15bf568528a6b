//go:build unix && !linux

package pgtest

import "os/exec"

// endWithParent does nothing where the system cannot tell a child of its parent's death.
func endWithParent(*exec.Cmd) {}
