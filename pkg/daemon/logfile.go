package daemon

import (
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// LogWriter writes log lines behind a queue, so that a full disk, a stopped terminal or a slow pipe never makes a machine wait
// for its boot script. What does not fit into the queue is dropped and counted.
//
// Each Write must be one line, as the handlers of log/slog do it. Create it with OpenLog.
type LogWriter struct {
	name string // of the file; "" when fallback is written to
	out  io.Writer
	file *os.File

	mu      sync.RWMutex // held for reading while sending on lines
	closed  bool
	lines   chan []byte
	reopen  chan struct{}
	done    chan struct{}
	dropped atomic.Int64
	queued  atomic.Int64 // bytes that wait

	// Failed is told when the file cannot be opened again; the old one goes on. It may be set before the first Reopen.
	Failed func(error)
}

// How many lines, and how many bytes of them, may wait to be written.
const (
	logQueue = 10000
	logBytes = 8 << 20
)

// OpenLog opens the file for appending, or takes fallback when name is empty.
func OpenLog(name string, fallback io.Writer) (*LogWriter, error) {
	w := &LogWriter{
		name: name, out: fallback,
		lines: make(chan []byte, logQueue), reopen: make(chan struct{}, 1), done: make(chan struct{}),
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
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return len(line), nil
	}
	if w.queued.Add(int64(len(line))) <= logBytes {
		select {
		case w.lines <- append([]byte(nil), line...):
			return len(line), nil
		default:
		}
	}
	w.queued.Add(-int64(len(line)))
	w.dropped.Add(1)
	return len(line), nil
}

// Dropped is how many lines were lost, because they did not fit into the queue or could not be written.
func (w *LogWriter) Dropped() int64 { return w.dropped.Load() }

// Reopen opens the file by its name again, after somebody moved it away. It does not wait.
func (w *LogWriter) Reopen() {
	select {
	case w.reopen <- struct{}{}:
	default:
	}
}

// Close writes what is queued, for at most a second.
func (w *LogWriter) Close() {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.lines)
	}
	w.mu.Unlock()
	select {
	case <-w.done:
	case <-time.After(time.Second):
	}
}

// write is the only one that touches the file.
func (w *LogWriter) write() {
	defer close(w.done)
	for {
		select {
		case line, ok := <-w.lines:
			if !ok {
				if w.file != nil {
					w.file.Close()
				}
				return
			}
			if _, err := w.out.Write(line); err != nil {
				w.dropped.Add(1)
			}
			w.queued.Add(-int64(len(line)))
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
