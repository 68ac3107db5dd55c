package daemon

import (
	"bytes"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// LogWriter queues log lines and writes them in the background, so that a full
// disk, a stopped terminal or a slow pipe never makes a machine wait for its
// boot script. Lines that do not fit into the queue are dropped and counted.
//
// Each Write must be one line, as the handlers of log/slog do it. Create it
// with OpenLog.
type LogWriter struct {
	name string // of the file; "" when fallback is written to
	out  io.Writer
	file *os.File

	mu      sync.Mutex
	closed  bool
	queue   []byte        // whole lines that wait
	more    chan struct{} // the queue is no longer empty, or closed
	reopen  chan struct{}
	done    chan struct{}
	dropped atomic.Int64

	// Failed is called when the file cannot be opened again; the old one stays
	// in use. Set it before the first Reopen.
	Failed func(error)
}

// How many bytes may be queued, beside those that are being written.
const logBytes = 8 << 20

// logPause is how long the writer collects lines after a write, so that
// thousands of machines do not cost as many writes.
const logPause = time.Millisecond

// logSpare is the largest buffer that is kept, in bytes.
const logSpare = 256 << 10

// OpenLog opens the file for appending, or takes fallback when name is empty.
func OpenLog(name string, fallback io.Writer) (*LogWriter, error) {
	w := &LogWriter{
		name: name, out: fallback,
		more: make(chan struct{}, 1), reopen: make(chan struct{}, 1), done: make(chan struct{}),
	}
	if name != "" {
		if err := w.open(); err != nil {
			return nil, err
		}
	}
	go w.write()
	return w, nil
}

func (w *LogWriter) open() error {
	f, err := os.OpenFile(w.name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	if w.file != nil {
		w.file.Close()
	}
	w.file, w.out = f, f
	return nil
}

// Write queues a line. It never waits and never fails.
func (w *LogWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closed:
	case len(w.queue)+len(line) > logBytes:
		w.dropped.Add(1)
	default:
		w.queue = append(w.queue, line...)
		w.wake()
	}
	return len(line), nil
}

// wake wakes the writer. It does not block.
func (w *LogWriter) wake() {
	select {
	case w.more <- struct{}{}:
	default:
	}
}

// Dropped is how many lines were lost: they did not fit into the queue or could
// not be written.
func (w *LogWriter) Dropped() int64 { return w.dropped.Load() }

// Reopen opens the file by its name again, after it was moved away. It does not
// block.
func (w *LogWriter) Reopen() {
	select {
	case w.reopen <- struct{}{}:
	default:
	}
}

// Close writes what is queued, for at most a second.
func (w *LogWriter) Close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.wake()
	select {
	case <-w.done:
	case <-time.After(time.Second):
	}
}

// write is the only one that touches the file. It writes all lines that came
// during a write at once.
func (w *LogWriter) write() {
	defer close(w.done)
	var spare []byte
	for {
		select {
		case <-w.more:
			w.mu.Lock()
			lines, closed := w.queue, w.closed
			w.queue = spare[:0]
			w.mu.Unlock()
			if len(lines) == 0 {
			} else if n, err := w.out.Write(lines); err != nil {
				w.dropped.Add(int64(bytes.Count(lines[n:], []byte("\n"))))
			}
			if spare = lines; cap(spare) > logSpare {
				spare = nil // it grew in a burst
			}
			if !closed {
				time.Sleep(logPause)
			} else {
				if w.file != nil {
					w.file.Close()
				}
				return
			}
		case <-w.reopen:
			if w.name == "" {
				continue
			}
			if err := w.open(); err != nil && w.Failed != nil {
				w.Failed(err)
			}
		}
	}
}
