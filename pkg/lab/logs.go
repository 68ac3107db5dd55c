package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"sync"
)

// LogCheck is a handler of a test's log. It writes each line as JSON, and says
// of which lines programs that read them would make something else than was
// meant: a key that stands there twice (most readers keep the last), a key that
// is no word, and a time span, which JSON has as a number without its unit.
type LogCheck struct {
	next   slog.Handler
	shared *logFaults
}

type logFaults struct {
	mu   sync.Mutex
	line bytes.Buffer
	all  []string
}

// NewLogCheck returns a check that has seen nothing.
func NewLogCheck() *LogCheck {
	shared := &logFaults{}
	return &LogCheck{slog.NewJSONHandler(&shared.line,
		&slog.HandlerOptions{Level: slog.LevelDebug}), shared}
}

// Faults is what was wrong so far, each once.
func (c *LogCheck) Faults() []string {
	c.shared.mu.Lock()
	defer c.shared.mu.Unlock()
	return slices.Clone(c.shared.all)
}

// Enabled implements slog.Handler.
func (c *LogCheck) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (c *LogCheck) Handle(ctx context.Context, r slog.Record) error {
	s := c.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	fault := func(format string, args ...any) {
		if f := fmt.Sprintf("%s: %s", r.Message,
			fmt.Sprintf(format, args...)); !slices.Contains(s.all, f) {
			s.all = append(s.all, f)
		}
	}
	r.Attrs(func(a slog.Attr) bool {
		if a.Value.Resolve().Kind() == slog.KindDuration {
			fault("%s is a time span without a unit", a.Key)
		}
		return true
	})
	s.line.Reset()
	if err := c.next.Handle(ctx, r); err != nil {
		return err
	}
	keys, err := LogKeys(s.line.Bytes())
	if err != nil {
		fault("%v in %s", err, s.line.Bytes())
	}
	for i, key := range keys {
		if slices.Contains(keys[:i], key) {
			fault("%s stands there twice", key)
		} else if !logKey.MatchString(key) {
			fault("%q is no word", key)
		}
	}
	return nil
}

var logKey = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*$`)

// WithAttrs implements slog.Handler.
func (c *LogCheck) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &LogCheck{c.next.WithAttrs(attrs), c.shared}
}

// WithGroup implements slog.Handler.
func (c *LogCheck) WithGroup(name string) slog.Handler {
	return &LogCheck{c.next.WithGroup(name), c.shared}
}

// LogKeys returns the keys of a line of a log in JSON, as often as each stands
// there; that of an object within it as outer.inner.
func LogKeys(line []byte) (keys []string, err error) {
	d := json.NewDecoder(bytes.NewReader(line))
	var value func(under string) error
	value = func(under string) error {
		t, err := d.Token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'):
			for d.More() {
				key, err := d.Token()
				if err != nil {
					return err
				}
				keys = append(keys, under+key.(string))
				if err := value(under + key.(string) + "."); err != nil {
					return err
				}
			}
			_, err = d.Token()
		case json.Delim('['):
			for d.More() {
				if err := value(under); err != nil {
					return err
				}
			}
			_, err = d.Token()
		default:
			if under == "" {
				return errors.New("no object")
			}
		}
		return err
	}
	if err := value(""); err != nil {
		return keys, err
	}
	if _, err := d.Token(); err != io.EOF {
		return keys, errors.New("more than one object")
	}
	return keys, nil
}
