package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a `lull run` of its own. Its faults come from one goroutine at a time, which holds busy.
type process struct {
	busy sync.Mutex // held while a fault concerns it

	name     string
	program  string // path of the binary
	config   string // path of the settings file
	stateDir string
	log      string // path of the file that its log is appended to
	http     string // address of its probes
	network  []*proxy
	// died is called when the process has ended without having been told to.
	died func(p *process, err error)

	mu       sync.Mutex
	cmd      *exec.Cmd
	ended    chan struct{} // closed when the process has ended
	err      error         // how
	expected bool          // it may end
}

// start starts the process, which must not run.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	cmd := exec.Command(p.program, "run", "--config", p.config)
	cmd.Stdout, cmd.Stderr, cmd.Env = log, log, bareEnvironment()
	tieToParent(cmd)
	ended, started := make(chan struct{}), make(chan error)
	p.cmd, p.ended, p.err, p.expected = cmd, ended, nil, false
	go func() {
		// The kernel takes the thread that starts a process for its parent: it must live as long.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer func() { _ = log.Close() }() // what the process has written is written
		err := cmd.Start()
		started <- err
		if err != nil {
			close(ended)
			return
		}
		err = cmd.Wait()
		p.mu.Lock()
		p.err = err
		expected := p.expected
		p.mu.Unlock()
		close(ended)
		if !expected {
			p.died(p, err)
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("starting %s: %w", p.program, err)
	}
	return nil
}

// bareEnvironment is the environment without lull's settings: those stand in the file.
func bareEnvironment() (variables []string) {
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "LULL_") {
			variables = append(variables, v)
		}
	}
	return variables
}

// mayEnd says that an end is no surprise from now on, and returns the channel that tells it; nil if the process was never started.
func (p *process) mayEnd() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = true
	return p.ended
}

// mustRun takes mayEnd back. ended says that the process has ended meanwhile.
func (p *process) mustRun() (ended bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.ended:
		return true
	default:
		p.expected = false
		return false
	}
}

// signal sends a signal; a process that has ended, or that could not be started, does not mind.
func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd.Process != nil {
		_ = p.cmd.Process.Signal(s)
	}
}

// kill ends the process by SIGKILL, also one that is stopped.
func (p *process) kill() {
	ended := p.mayEnd()
	if ended == nil {
		return
	}
	p.signal(syscall.SIGKILL)
	<-ended
}

// stopPatience is how long a process may take to stop cleanly: two transactions of a broker that does not answer, and a flush.
const stopPatience = time.Minute

// stop asks the process to end. The error is that of an end that was not clean; then it is killed.
func (p *process) stop() error {
	ended := p.mayEnd()
	if ended == nil {
		return nil
	}
	p.signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(stopPatience):
		p.kill()
		return fmt.Errorf("%s did not stop within %s of SIGTERM%s", p.name, stopPatience, p.logTail())
	}
	if p.err != nil {
		return fmt.Errorf("%s did not stop cleanly: %w%s", p.name, p.err, p.logTail())
	}
	return nil
}

// readiness returns what the process says of itself at /readyz.
func (p *process) readiness() string {
	client := http.Client{Timeout: 2 * time.Second}
	answer, err := client.Get("http://" + p.http + "/readyz")
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	return strings.TrimSpace(fmt.Sprintf("%s %s", answer.Status, text)) + errorText(err)
}

func errorText(err error) string {
	if err == nil || errors.Is(err, io.EOF) {
		return ""
	}
	return " (" + err.Error() + ")"
}

// logTail returns the last lines of the process's log, for an error message.
func (p *process) logTail() string {
	const linesMax = 12
	text, err := os.ReadFile(p.log)
	if err != nil || len(text) == 0 {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	lines = lines[max(0, len(lines)-linesMax):]
	return fmt.Sprintf("; the end of %s:\n  %s", filepath.Base(p.log), strings.Join(lines, "\n  "))
}

// disturb disturbs the network between the process and one broker, numbered from 1, or all of them for 0.
func (p *process) disturb(broker int, how func(*proxy)) {
	for i, link := range p.network {
		if broker == 0 || broker == i+1 {
			how(link)
		}
	}
}
