//go:build !linux

package main

import (
	"os/exec"
	"syscall"
)

// tieToParent keeps the signals of the terminal from the process: this one stops it.
func tieToParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}
