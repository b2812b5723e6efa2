package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"syscall"

	"lull/pipeline"
)

// job is what a child process does: it consumes the input until it is told to stop.
type job struct {
	// Floor is the one that is run instead of the pipeline; "" is none.
	Floor    floor
	Settings pipeline.Settings
	// ProfileDir is where the CPU and allocation profiles go; "" is no profile.
	ProfileDir string
}

// wireJob is a job on its way to a child: without Settings.Security, and of Settings.HTTP with the address alone, as they hold secrets, that are written so that nobody can read them. Our
// brokers' ports are not secured, and the child listens to this machine alone.
type wireJob struct {
	job
	Settings struct {
		pipeline.Settings
		Security struct{}
		HTTP     struct{ Listen string }
	}
}

// writeJob writes a job as a line.
func writeJob(w io.Writer, j *job) error {
	wire := wireJob{job: *j}
	wire.Settings.Settings = j.Settings
	wire.Settings.HTTP.Listen = j.Settings.HTTP.Listen
	return json.NewEncoder(w).Encode(wire)
}

// readJob returns the job of a line.
func readJob(line []byte) (job, error) {
	var wire wireJob
	err := json.Unmarshal(line, &wire)
	j := wire.job
	j.Settings = wire.Settings.Settings
	j.Settings.HTTP.Listen = wire.Settings.HTTP.Listen
	j.Settings.EnsureDefaults() // of Security and HTTP
	return j, err
}

// usage is what a process has used since it started.
type usage struct {
	UserSeconds, SystemSeconds float64 // CPU time by getrusage(2)
	RSSBytesMax                int64
	Allocations, AllocBytes    uint64 // on Go's heap
	Collections                uint32
}

func (u *usage) cpuSeconds() float64 { return u.UserSeconds + u.SystemSeconds }

// measured is what a child reports.
type measured struct {
	CaughtUp usage // when it was told to stop, which is when all had been committed
	Ended    usage // when it had flushed its state and left
}

func measureUsage() (usage, error) {
	var r syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	if err != nil {
		return usage{}, fmt.Errorf("asking for the resources used: %w", err)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u := usage{
		UserSeconds: float64(r.Utime.Nano()) / 1e9, SystemSeconds: float64(r.Stime.Nano()) / 1e9,
		RSSBytesMax: r.Maxrss, Allocations: m.Mallocs, AllocBytes: m.TotalAlloc, Collections: m.NumGC,
	}
	if runtime.GOOS == "linux" {
		u.RSSBytesMax, err = residentPeak("self")
	}
	return u, err
}

// child is a process with a job.
type child struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *json.Decoder
	log   bytes.Buffer // its standard error, complete when it has ended
	err   error
	ended chan struct{} // closed when the process has ended; err is set before
}

// startChild starts this program again, with a job.
func startChild(j *job) (*child, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program's own file: %w", err)
	}
	c, err := startCommand(exec.Command(executable, childArgument))
	if err != nil {
		return nil, err
	}
	if err := writeJob(c.stdin, j); err != nil {
		c.kill()
		return nil, fmt.Errorf("giving the child its job: %w", err)
	}
	return c, nil
}

// startCommand starts a process that works until its standard input ends.
func startCommand(cmd *exec.Cmd) (*child, error) {
	c := &child{cmd: cmd, ended: make(chan struct{})}
	c.cmd.Stderr = &c.log
	var err error
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c.cmd.Stdout, c.out = writer, json.NewDecoder(reader)
	err = c.cmd.Start()
	_ = writer.Close() // it is the child's now
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	go func() {
		if c.err = c.cmd.Wait(); c.err != nil {
			c.err = fmt.Errorf("the child has ended with %w; its log:\n%s", c.err, c.log.Bytes())
		}
		close(c.ended)
	}()
	return c, nil
}

// stop tells the child to stop, waits for it and returns what it has used.
func (c *child) stop() (measured, error) {
	var m measured
	if err := c.stdin.Close(); err != nil {
		return m, fmt.Errorf("stopping the child: %w", err)
	}
	err := c.out.Decode(&m)
	<-c.ended
	if c.err != nil {
		return m, c.err
	}
	if err != nil {
		return m, fmt.Errorf("reading the child's report: %w", err)
	}
	return m, nil
}

// end tells the process to stop, and waits until it has.
func (c *child) end() error {
	if err := c.stdin.Close(); err != nil {
		return fmt.Errorf("stopping the process: %w", err)
	}
	<-c.ended
	return c.err
}

// kill ends the child at once, if it has not ended.
func (c *child) kill() {
	_ = c.cmd.Process.Kill() // it may have ended already, which comes to the same
	<-c.ended
}

// runChild does the job that stands in the first line of standard input, until that ends: so the child never outlives its parent.
func runChild() (err error) {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("reading the job: %w", err)
	}
	j, err := readJob(line)
	if err != nil {
		return fmt.Errorf("reading the job: %w", err)
	}
	stopProfiles, err := startProfiles(j.ProfileDir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var m measured
	told := make(chan error, 1)
	go func() {
		_, _ = io.Copy(io.Discard, in) // its end is what counts, however it comes
		u, err := measureUsage()
		m.CaughtUp = u
		told <- err
		cancel()
	}()
	if j.Floor != "" {
		err = runFloor(ctx, &j.Settings, j.Floor)
	} else {
		err = pipeline.Run(ctx, j.Settings, logTo(os.Stderr, pipeline.Run), nil)
	}
	if err != nil {
		return err
	}
	if err := <-told; err != nil {
		return err
	}
	if m.Ended, err = measureUsage(); err != nil {
		return err
	}
	return errors.Join(stopProfiles(), json.NewEncoder(os.Stdout).Encode(m))
}

// logTo returns the logger that run wants, writing to w. The logging library is the runtime's alone, so that its type is taken from there.
func logTo[L interface{ Output(io.Writer) L }](w io.Writer, _ func(context.Context, pipeline.Settings, L, pipeline.Snapshots) error) L {
	var silent L
	return silent.Output(w)
}

// startProfiles starts the profiles; stop writes them into dir.
func startProfiles(dir string) (stop func() error, err error) {
	if dir == "" {
		return func() error { return nil }, nil
	}
	cpu, err := os.Create(filepath.Join(dir, "cpu.pprof"))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, err
	}
	return func() error {
		pprof.StopCPUProfile()
		allocs, err := os.Create(filepath.Join(dir, "allocs.pprof"))
		if err != nil {
			return err
		}
		return errors.Join(pprof.Lookup("allocs").WriteTo(allocs, 0), allocs.Close(), cpu.Close())
	}, nil
}
