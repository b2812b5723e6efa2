package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// process is `lull run` in a process of its own.
type process struct {
	config string // path of the settings file
	log    string // path of the file that its log is appended to
	ready  string // URL of /readyz
	// patience is how long it may take to be ready, to commit the next record, and to stop.
	patience time.Duration

	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has ended
	err   error         // how; set before ended is closed
}

// start starts the process; one that was started before must have ended.
func (p *process) start() error {
	executable, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program's own file: %w", err)
	}
	return p.startCommand(exec.Command(executable, "run", "--config", p.config))
}

// startCommand starts the command as the process.
func (p *process) startCommand(cmd *exec.Cmd) error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	p.cmd = cmd
	p.cmd.Stdout, p.cmd.Stderr = log, log
	for _, variable := range os.Environ() {
		// What this process runs with stands in the file, whatever the user's environment is.
		if !strings.HasPrefix(variable, envPrefix) {
			p.cmd.Env = append(p.cmd.Env, variable)
		}
	}
	tieToParent(p.cmd)
	started := make(chan error)
	p.ended = make(chan struct{})
	go func() {
		// The kernel takes the thread that starts a process for its parent: it must live as long.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer func() { _ = log.Close() }() // what the process has written is written
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
		}
		close(p.ended)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("starting `lull run`: %w", err)
	}
	return nil
}

// kill ends the process by SIGKILL.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended already, which comes to the same
	<-p.ended
}

// stop asks the process to end, and kills it if it does not. The error is that of an end that was not clean.
func (p *process) stop() error {
	if p.cmd == nil || p.hasEnded() {
		return nil
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case <-p.ended:
	case <-time.After(p.patience):
		p.kill()
		return fmt.Errorf("`lull run` did not stop within %s of SIGTERM%s", p.patience, p.logTail())
	}
	if p.err != nil {
		return fmt.Errorf("`lull run` did not stop cleanly: %w%s", p.err, p.logTail())
	}
	return nil
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// check returns an error if the process has ended by itself.
func (p *process) check() error {
	if !p.hasEnded() {
		return nil
	}
	err := p.err
	if err == nil {
		err = errors.New("exit status 0")
	}
	return fmt.Errorf("`lull run` has ended by itself: %w%s", err, p.logTail())
}

// waitReady returns when the process is ready.
func (p *process) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, p.patience, fmt.Errorf("`lull run` was not ready within %s", p.patience))
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		if err := p.check(); err != nil {
			return err
		}
		if isReady(ctx, p.ready) {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("%w%s", context.Cause(ctx), p.logTail())
		}
	}
}

func isReady(ctx context.Context, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close() // its status says all
	return response.StatusCode == http.StatusOK
}

// logTail returns the last lines of the process's log, for an error message.
func (p *process) logTail() string {
	const linesMax = 20
	text, err := os.ReadFile(p.log)
	if err != nil || len(text) == 0 {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	lines = lines[max(0, len(lines)-linesMax):]
	return fmt.Sprintf("; the end of %s:\n  %s", filepath.Base(p.log), strings.Join(lines, "\n  "))
}
