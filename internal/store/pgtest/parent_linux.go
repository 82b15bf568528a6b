package pgtest

import (
	"os/exec"
	"syscall"
)

// endWithParent has the system shut the server down when this process dies without stopping it.
func endWithParent(cmd *exec.Cmd) {
	attr := *cmd.SysProcAttr
	attr.Pdeathsig = syscall.SIGQUIT
	cmd.SysProcAttr = &attr
}
