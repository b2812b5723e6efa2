package main

import (
	"os/exec"
	"syscall"
)

// tieToParent makes the kernel kill the process when this one ends, however it ends, and keeps from it the signals of the terminal.
func tieToParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
