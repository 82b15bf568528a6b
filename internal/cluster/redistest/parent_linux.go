package redistest

import (
	"os/exec"
	"syscall"
)

// endWithParent has the system end the server when this process dies without stopping it.
func endWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
