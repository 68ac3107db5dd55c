package httpd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/conn"
)

// log writes a line of the log. Unlike the methods of slog.Logger it does not
// look up where in this program it was called.
func (s *Server) log(level slog.Level, what string, line []slog.Attr) {
	h, ctx := s.Log.Handler(), context.Background()
	if !h.Enabled(ctx, level) {
		return
	}
	record := slog.NewRecord(time.Now(), level, what, 0)
	record.AddAttrs(line...)
	h.Handle(ctx, record)
}

// logDefect says with what, and where, this program has panicked.
func (s *Server) logDefect(line []slog.Attr, p any) {
	s.log(slog.LevelError, "defect",
		append(line, slog.String("error", fmt.Sprintf("panic: %v\n%s", p, debug.Stack()))))
}

// logSent says how much of a file went out.
func (s *Server) logSent(q *request, what, name string, size int64, rec *recorder,
	took time.Duration) {
	s.log(slog.LevelInfo, what, append(requestAttrs(q),
		slog.String("path", redact(name)), slog.Int64("size_bytes", size),
		slog.Int("status", rec.status),
		slog.Int64("bytes", rec.sent), milliseconds(took)))
}

// logUnsent says why a file was not sent.
func (s *Server) logUnsent(q *request, level slog.Level, what, name string, status int, err error) {
	s.log(level, what, append(requestAttrs(q), slog.String("path", redact(name)),
		slog.Int("status", status), slog.String("error", redactIn(err.Error(), name))))
}

// requestAttrs begins a log line: who asked, and how.
func requestAttrs(q *request) []slog.Attr {
	line := append(make([]slog.Attr, 0, 12), slog.String("peer", addrText(q.peer)))
	if q.source != q.peer {
		line = append(line, slog.String("source", addrText(q.source)))
	}
	if q.TLS != nil && len(q.TLS.PeerCertificates) > 0 {
		line = append(line,
			slog.String("certificate", conn.CertificateText(q.TLS.PeerCertificates[0])))
	}
	return append(line, slog.String("method", short(q.Method)))
}

// decisionAttrs is the log line of a decision, and its level: who asked, what
// was found, the answer, if there is one, and the status with which it is sent.
func decisionAttrs(q *request, d *decision, status int) (slog.Level, []slog.Attr) {
	m, a := d.machine, &d.answer
	line := append(requestAttrs(q), slog.String("names", machineNames(m)), milliseconds(d.took))
	if m.Try > 0 {
		line = append(line, slog.Int("try", m.Try))
	}
	if m.Conflict != "" {
		line = append(line, slog.String("conflict", short(m.Conflict)))
	}
	if len(m.Dropped) > 0 {
		line = append(line, slog.String("dropped", droppedClaims(m.Dropped)))
	}
	level := slog.LevelInfo
	for _, f := range a.Trace.Findings {
		if f.Outcome == boot.Answered {
			continue
		}
		what := f.Path
		if f.Target != "" {
			what += " -> " + f.Target
		}
		if f.Why != "" {
			what += ": " + f.Why
		}
		if line = appendValue(line, string(f.Outcome), short(what)); f.Outcome == boot.Skipped {
			level = slog.LevelWarn // somebody has to mend it
		}
	}
	if a.Entry.Step != "" {
		line = append(line, slog.String("step", string(a.Entry.Step)),
			slog.String("entry", a.Entry.Path))
		if a.Entry.Target != "" {
			line = append(line, slog.String("target", short(a.Entry.Target)))
		}
		line = append(line, slog.String("file", a.Script.From))
		if status == http.StatusOK {
			line = append(line, slog.Int("bytes", len(a.Script.Body)))
		}
	}
	return level, append(line, slog.Int("status", status))
}

// milliseconds is how long something took. A slog.Duration would be 1.5ms in
// text and 1500000, without a unit, in JSON.
func milliseconds(took time.Duration) slog.Attr {
	if took >= 1000*time.Second {
		return slog.Int64("duration_ms", took.Milliseconds()) // else it would be 1e+06 in text
	}
	return slog.Float64("duration_ms",
		float64(took.Round(time.Microsecond))/float64(time.Millisecond))
}

// appendValue adds a value to a line. A key stands there once, with a list when
// it has several values: of a key that is repeated readers of JSON keep the
// last one.
func appendValue(line []slog.Attr, key, value string) []slog.Attr {
	for i := range line {
		if line[i].Key != key {
			continue
		}
		all, ok := line[i].Value.Any().(several)
		if !ok {
			all = several{line[i].Value.String()}
		}
		line[i].Value = slog.AnyValue(append(all, value))
		return line
	}
	return append(line, slog.String(key, value))
}

// several are values of one key: a list in JSON, and in text one after the
// other.
type several []string

func (all several) MarshalText() ([]byte, error) { return []byte(strings.Join(all, "; ")), nil }

func (all several) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // "->" is to be read by people
	err := e.Encode([]string(all))
	return b.Bytes(), err
}

// machineNames are the names of a machine in the log, with commas between them,
// so that they need no quotes and can be given to explain.
func machineNames(m *boot.Machine) string {
	return strings.Join(m.Texts(), ",")
}

// droppedClaims says which claims became no name, within a line.
func droppedClaims(all []boot.Dropped) string {
	var b strings.Builder
	for i, d := range all {
		if b.Len() > 512 {
			fmt.Fprintf(&b, "; and %d more", len(all)-i)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s %q %s", d.Kind, short(d.Value), d.Why)
	}
	return b.String()
}

// addrText is an address in the log; of one that nobody knows, nothing.
func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// short cuts what came from outside, so that a log line stays one that people
// can read.
func short(text string) string {
	if len(text) > 256 {
		return text[:256] + "…"
	}
	return text
}

// secret is what may be the capability of an image, whole or cut off.
var secret = regexp.MustCompile(`([0-9a-fA-F]{4})[0-9a-fA-F]{12,}`)

// redact is a path in the log. The folder of an image is what lets it be
// fetched, so only its beginning is shown.
func redact(name string) string { return redactIn(name, name) }

// redactIn is a text about a path in the log.
func redactIn(text, name string) string {
	if strings.Contains(name, imagePath) {
		text = secret.ReplaceAllString(text, "$1…")
	}
	return short(text)
}
