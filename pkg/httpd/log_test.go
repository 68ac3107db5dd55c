package httpd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/conn"
	"pxesrv/pkg/lab"
)

// TestLog: the line of a decision has each key once, a list where there are
// several values and a text where there is one; one status, which is the one
// that was sent; and times with their unit.
func TestLog(t *testing.T) {
	t.Parallel()
	found := func(step boot.Step, path string, o boot.Outcome, why string) boot.Finding {
		return boot.Finding{Step: step, Info: boot.Info{Path: path, Target: "../x"},
			Outcome: o, Why: why}
	}
	entry := found(boot.Default, "default", boot.Answered, "")
	once := found(boot.Once, "once/a", boot.Skipped, "gone")
	static := found(boot.Static, "static/a", boot.Skipped, "empty")
	waits := found(boot.Once, "once/a", boot.Waiting, "")
	for _, test := range []struct {
		name   string
		found  []boot.Finding
		entry  boot.Finding
		err    error
		leaves bool
		want   map[string]any // in JSON
		text   string         // in the line as text
	}{
		{"nothing skipped", []boot.Finding{entry}, entry, nil, false,
			map[string]any{"skipped": nil, "step": "default", "status": 200.0, "bytes": 12.0},
			" bytes=12 status=200\n"},
		{"one skipped", []boot.Finding{once, entry}, entry, nil, false,
			map[string]any{"skipped": "once/a -> ../x: gone", "status": 200.0},
			` skipped="once/a -> ../x: gone" step=default `},
		{"two skipped, two wait", []boot.Finding{once, waits, static, waits, entry},
			entry, nil, false,
			map[string]any{"skipped": []any{"once/a -> ../x: gone", "static/a -> ../x: empty"},
				"waits": []any{"once/a -> ../x", "once/a -> ../x"}, "status": 200.0},
			` skipped="once/a -> ../x: gone; static/a -> ../x: empty" waits="once/a -> ../x; once/a -> ../x" `},
		{"no answer", []boot.Finding{once, static}, boot.Finding{}, boot.ErrNothing, false,
			map[string]any{"skipped": []any{"once/a -> ../x: gone", "static/a -> ../x: empty"},
				"step": nil, "status": 404.0}, " status=404\n"},
		{"unsure", []boot.Finding{once}, boot.Finding{}, boot.ErrUnsure, false,
			map[string]any{"skipped": "once/a -> ../x: gone", "status": 503.0,
				"error": "cannot know"}, ` status=503 error="cannot know"`},
		{"the client leaves", []boot.Finding{once, static, entry}, entry, nil, true,
			map[string]any{"step": "default", "status": 503.0, "bytes": nil},
			` status=503 error="the client went away before its answer was found"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var inText, inJSON book
			check := lab.NewLogCheck()
			l, _ := gated(t, conn.Limits{})
			begun := make(chan bool)
			s := &Server{
				Log: slog.New(slog.NewMultiHandler(check, slog.NewTextHandler(&inText, nil),
					slog.NewJSONHandler(&inJSON, nil))),
				Site: slow{resolve: func(ctx context.Context) (boot.Answer, error) {
					begun <- true
					if test.leaves {
						<-ctx.Done()
					}
					a := script
					a.Entry, a.Trace.Findings = test.entry, test.found
					return a, test.err
				}},
			}
			server := started(l, s)
			defer server.Close()
			c := dialed(t, l)
			defer c.Close()
			fmt.Fprint(c, "GET /redirect HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			<-begun
			if test.leaves {
				c.(*net.TCPConn).CloseWrite()
			}
			io.ReadAll(c)
			text, line := inText.wait(t, 1)[0], inJSON.wait(t, 1)[0]
			if faults := check.Faults(); len(faults) > 0 {
				t.Errorf("%q", faults)
			}
			var got map[string]any
			if err := json.Unmarshal([]byte(line), &got); err != nil {
				t.Fatalf("%v in %s", err, line)
			}
			for key, want := range test.want {
				if fmt.Sprintf("%#v", got[key]) != fmt.Sprintf("%#v", want) {
					t.Errorf("%s is %#v, want %#v", key, got[key], want)
				}
			}
			if took, ok := got["duration_ms"].(float64); !ok || took < 0 {
				t.Errorf("duration_ms is %#v", got["duration_ms"])
			}
			if !strings.Contains(text, test.text) {
				t.Errorf("the line is %swhich has not %q", text, test.text)
			}
			if strings.Contains(line, `\u003e`) {
				t.Errorf("an arrow nobody can read: %s", line)
			}
		})
	}
}

// TestMilliseconds: the number is what people expect of a time, in both forms.
func TestMilliseconds(t *testing.T) {
	var got []string
	for _, d := range []time.Duration{0, 400 * time.Nanosecond, time.Microsecond,
		151 * time.Microsecond, 1100 * time.Microsecond,
		954004 * time.Microsecond, 2 * time.Hour} {
		got = append(got, milliseconds(d).Value.String())
	}
	if want := []string{"0", "0", "0.001", "0.151", "1.1", "954.004", "7200000"}; !slices.Equal(got,
		want) {
		t.Errorf("%q, want %q", got, want)
	}
}
