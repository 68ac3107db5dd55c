package lab

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
)

// The check finds what it is there for, and nothing in a line that is right.
func TestLogCheck(t *testing.T) {
	for _, test := range []struct {
		say  func(*slog.Logger)
		want string // in the only fault; "": none
	}{
		{func(l *slog.Logger) {
			l.Info("x", "a", 1, "b_ms", 1.5, "limits.connections", []string{"a", "a"})
		}, ""},
		{func(l *slog.Logger) { l.Debug("x", "skipped", "a", "step", "b", "skipped", "c") },
			"x: skipped stands there twice"},
		{func(l *slog.Logger) { l.Info("x", "level", "a") }, "x: level stands there twice"},
		{func(l *slog.Logger) { l.With("a", 1).Info("x", "a", 1) }, "x: a stands there twice"},
		{func(l *slog.Logger) { l.WithGroup("g").Info("x", "a", 1, "a", 1) },
			"x: g.a stands there twice"},
		{func(l *slog.Logger) { l.WithGroup("g").Info("x", "level", 1) }, ""},
		{func(l *slog.Logger) { l.Info("x", "at most", 1) }, `x: "at most" is no word`},
		{func(l *slog.Logger) { l.Info("x", "took", time.Second) },
			"x: took is a time span without a unit"},
	} {
		c := NewLogCheck()
		test.say(slog.New(c))
		test.say(slog.New(c))
		got := c.Faults()
		if want := test.want; want == "" && len(got) != 0 ||
			want != "" && !slices.Equal(got, []string{want}) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for _, line := range []string{``, `1`, `[{}]x`, `{"a":1}{"a":2}`, `{"a":`, `{"a" 1}`} {
		if keys, err := LogKeys([]byte(line)); err == nil {
			t.Errorf("%s: %s", line, strings.Join(keys, " "))
		}
	}
}
