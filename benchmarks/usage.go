package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ticks are those of a second in /proc, on every Linux that Go runs on.
const ticks = 100

// processUsage returns the CPU time and the most resident memory that a process has used, on Linux.
func processUsage(pid int) (used usage, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return used, fmt.Errorf("reading the CPU time used: %w", err)
	}
	// The name may hold spaces; what follows it does not. Fields 14 and 15 are user and system time, and the 3rd comes first here.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, errUser := strconv.ParseInt(fields[11], 10, 64)
	system, errSystem := strconv.ParseInt(fields[12], 10, 64)
	if err := errors.Join(errUser, errSystem); err != nil {
		return used, fmt.Errorf("reading the CPU time used: %w", err)
	}
	used.UserSeconds, used.SystemSeconds = float64(user)/ticks, float64(system)/ticks
	used.RSSBytesMax, err = residentPeak(strconv.Itoa(pid))
	return used, err
}

// residentPeak returns the most memory that a process, "self" or a number, had resident, on Linux. What getrusage tells there begins with that of the process that started it.
func residentPeak(process string) (int64, error) { return memoryOf(process, "VmHWM") }

// memoryOf returns an amount of memory that /proc tells of a process, in bytes.
func memoryOf(process, what string) (int64, error) {
	status, err := os.ReadFile(filepath.Join("/proc", process, "status"))
	if err != nil {
		return 0, fmt.Errorf("reading the memory used: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, what+": %d kB", &kib); n == 1 {
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("/proc/%s/status has no %s", process, what)
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

// residence is the memory that a process had resident, in bytes, once a second from its start.
type residence []int64

// first returns the first, and last the last of them; 0 of a process that has lived for less than a second.
func (m residence) first() int64 { return m.at(0) }
func (m residence) last() int64  { return m.at(len(m) - 1) }

func (m residence) at(i int) int64 {
	if len(m) == 0 {
		return 0
	}
	return m[i]
}

func (m residence) median() int64 {
	sorted := slices.Sorted(slices.Values(m))
	return residence(sorted).at(len(m) / 2)
}

// slope returns by how many bytes an hour it grew in the second half, a line by least squares; 0 of less than three seconds. What a process fills when it starts is in the first half.
func (m residence) slope() float64 {
	half := m[len(m)/2:]
	n := float64(len(half))
	meanX, meanY := (n-1)/2, 0.0
	for _, y := range half {
		meanY += float64(y) / n
	}
	var xy, xx float64
	for i, y := range half {
		x := float64(i) - meanX
		xy, xx = xy+x*(float64(y)-meanY), xx+x*x
	}
	if xx == 0 {
		return 0
	}
	return xy / xx * time.Hour.Seconds()
}

// watchMemory begins to look at the memory of a process, once a second until stop is called or the process has ended.
func watchMemory(c *child) (stop func() residence) {
	var m residence
	var ended sync.WaitGroup
	enough := make(chan struct{})
	ended.Go(func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-enough:
				return
			case <-c.ended:
				return
			case <-ticker.C:
			}
			if bytes, err := memoryOf(strconv.Itoa(c.cmd.Process.Pid), "VmRSS"); err == nil { // else it has just ended
				m = append(m, bytes)
			}
		}
	})
	return func() residence {
		close(enough)
		ended.Wait()
		return m
	}
}

// steady is what a process used from when it was warm until it had committed all of the input.
type steady struct {
	cpu      float64 // seconds
	events   int64   // in that time
	took     time.Duration
	rssBytes int64 // the most that was resident, since the process started
}

func (s *steady) perMillion() float64 { return s.cpu / float64(s.events) * 1e6 }
func (s *steady) rate() float64       { return float64(s.events) / s.took.Seconds() }

// warmShare is the part of the input that is gone through before a process counts as warm: it starts, and a compiler that works while it runs compiles, meanwhile. That of Java takes
// some fifteen seconds of CPU: much less input than a million events leaves a part of it in the figures.
const warmShare = 0.5

// follow waits until a process has committed the input from one sum of the partitions' offsets to another, and measures what it uses from when it is warm.
func (s *scenario) follow(process *child, from, to int64) (warm steady, resident residence, err error) {
	stop := watchMemory(process)
	defer func() { resident = stop() }()
	var beganAt time.Time
	var began usage
	var failed error
	err = s.poll(process, func(at offsets) bool {
		sum := at.sum()
		if beganAt.IsZero() && float64(sum-from) >= warmShare*float64(to-from) {
			if began, failed = processUsage(process.cmd.Process.Pid); failed != nil {
				return true
			}
			warm.events, beganAt = to-sum, time.Now()
		}
		return sum >= to
	})
	if err = errors.Join(err, failed); err != nil {
		return warm, nil, err
	}
	warm.took = time.Since(beganAt)
	used, err := processUsage(process.cmd.Process.Pid)
	warm.cpu, warm.rssBytes = used.cpuSeconds()-began.cpuSeconds(), used.RSSBytesMax
	return warm, nil, err
}
