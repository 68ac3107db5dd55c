//go:build linux

// Package process runs the programs of the lab: they end with the test
// program, however that ends.
package process

import (
	"bytes"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// Process is a child that dies with this process.
type Process struct {
	Cmd  *exec.Cmd
	Gone chan struct{} // closed when it has ended
}

// Start runs cmd. The kernel ends the child when the *thread* that started it
// ends, so that thread is kept for as long as the child lives.
func Start(cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd, make(chan struct{})}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
			close(p.Gone)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Ended reports whether it has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.Gone:
		return true
	default:
		return false
	}
}

// State says whether it runs, or how it ended.
func (p *Process) State() string {
	if p.Ended() {
		return "ended: " + p.Cmd.ProcessState.String()
	}
	return "runs"
}

// Wait asks ok every 50 ms until it is true, the time is over, or the process
// has ended.
func (p *Process) Wait(timeout time.Duration, ok func() bool) bool {
	end := time.Now().Add(timeout)
	for {
		over := p.Ended() || time.Now().After(end) // before ok, so that the last output counts
		if ok() {
			return true
		}
		if over {
			return false
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Kill ends it.
func (p *Process) Kill() {
	p.Cmd.Process.Kill()
	<-p.Gone
}

// Output is what a process printed. The zero value is empty.
type Output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write takes what the process prints.
func (o *Output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

// Bytes returns a copy of all that was printed so far.
func (o *Output) Bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.buf.Bytes())
}

// String returns all that was printed so far.
func (o *Output) String() string { return string(o.Bytes()) }

// Reset forgets it.
func (o *Output) Reset() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf.Reset()
}
