//go:build !linux

package main

import "os/exec"

// dieWithParent does nothing: only Linux kills a process with its parent. Elsewhere the child outlives a demo that is killed by SIGKILL.
func dieWithParent(*exec.Cmd) {}
