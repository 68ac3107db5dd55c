package tftpd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/pin/tftp/v3"

	"pxesrv/pkg/bounded"
	"pxesrv/pkg/ipxe"
)

// transfer is one read request.
type transfer struct {
	s     *Server
	l     *Listener
	to    io.ReaderFrom
	asked string
	file  string // what was found for it under another name; "": that very name
	peer  netip.Addr
	began time.Time
	size  int64 // of the file; -1: nothing was opened
}

// run finds the file and sends it.
func (t *transfer) run() error {
	v, f, size, err := t.find()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err == fs.ErrNotExist {
			err = nil // the client's words say it
		}
		return t.refuse(NotFound, errNotFound, err)
	case err != nil:
		return t.refuse(Failed, errDisk, err)
	case v != nil:
		return t.virtual(v)
	}
	r := &reader{t: t, file: f, left: size, buffer: make([]byte, min(size, readAhead))}
	defer r.close()
	return t.send(r, size)
}

// find finds a file of our own or one of the site. Where nothing has the name
// that was asked for, it looks for what was meant:
//
//   - the name without the bytes FF at its end: old firmware takes the end of a
//     DHCP packet's options for a part of the boot file's name.
//   - the name in other case: to the loaders of Windows that is the same.
func (t *transfer) find() (v *ipxe.Virtual, f *os.File, size int64, err error) {
	name, ok := clean(t.asked)
	if ok {
		if v, f, size, err = t.s.find(name); !errors.Is(err, fs.ErrNotExist) {
			return v, f, size, err
		}
	}
	asked := t.asked
	for strings.HasSuffix(asked, "\xff") {
		asked = asked[:len(asked)-1]
	}
	if asked != t.asked {
		if name, ok = clean(asked); ok {
			t.file = name
			if v, f, size, err = t.s.find(name); !errors.Is(err, fs.ErrNotExist) {
				return v, f, size, err
			}
		}
	}
	t.file = ""
	if !ok || t.s.Spelled == nil {
		return nil, nil, 0, fs.ErrNotExist
	}
	spelled := func(context.Context) (string, error) { return t.s.Spelled(name) }
	there, err := bounded.Do(context.Background(), t.s.limits(), spelled, func(string) {})
	if err != nil {
		return nil, nil, 0, err
	}
	t.file = there
	if v, f, size, err = t.s.find(there); errors.Is(err, fs.ErrNotExist) {
		t.file, err = "", fs.ErrNotExist // its error is about another name
	}
	return v, f, size, err
}

// find finds what has a clean name: a file of our own, or one of the site.
func (s *Server) find(name string) (v *ipxe.Virtual, f *os.File, size int64, err error) {
	if v := ipxe.Exact(name); v != nil {
		return v, nil, 0, nil
	}
	f, size, err = s.open(name)
	if v := ipxe.Instead(name); v != nil && errors.Is(err, fs.ErrNotExist) {
		return v, nil, 0, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fs.ErrNotExist
	}
	return nil, f, size, err
}

// virtual sends a file of our own.
func (t *transfer) virtual(v *ipxe.Virtual) error {
	base := ""
	if t.s.Base != nil {
		base = t.s.Base(local(t.to))
	}
	if base == "" && v.Names {
		return t.refuse(NotFound, errNotFound,
			errors.New("clients of this address cannot reach the HTTP server; set url"))
	}
	body := v.Text(base)
	return t.send(bytes.NewReader(body), int64(len(body)))
}

// send sends what r has and says how it ended.
func (t *transfer) send(r io.Reader, size int64) error {
	t.size = size
	t.to.(tftp.OutgoingTransfer).SetSize(size)
	n, err := t.to.ReadFrom(r)
	var timedOut net.Error
	var network *net.OpError
	disk, _ := r.(*reader)
	switch {
	case err == nil:
		t.sent(n, Done, nil)
	case disk != nil && disk.failure != nil:
		t.sent(n, Failed, disk.failure)
	case errors.As(err, &timedOut) && timedOut.Timeout():
		t.sent(n, Unanswered, nil)
	case errors.As(err, &network):
		t.sent(n, Failed, err)
	default:
		t.sent(n, Aborted, nil)
	}
	return err
}

// refuse ends a transfer before its first block. err is for the client, why for
// the log.
func (t *transfer) refuse(r Result, err, why error) error {
	if why == nil {
		why = err
	}
	t.sent(0, r, why)
	return err
}

// sent says how a transfer ended.
func (t *transfer) sent(n int64, r Result, why error) {
	t.s.observe(r, n)
	line := []any{"peer", t.peer, "path", short(t.asked), "result", r, "bytes", n,
		"duration_ms",
		float64(time.Since(t.began).Round(time.Microsecond)) / float64(time.Millisecond)}
	if t.size >= 0 {
		line = append(line, "size_bytes", t.size)
	}
	if t.file != "" {
		line = append(line, "file", t.file)
	}
	level := slog.LevelInfo
	switch r {
	case Failed:
		level = slog.LevelError
	case Refused, Unanswered:
		level = slog.LevelWarn
	}
	if why != nil {
		line = append(line, "error", long(why.Error()))
	}
	t.s.Log.Log(context.Background(), level, "tftp", line...)
}

// short cuts what came from outside, so that a log line stays one that people
// can read.
func short(text string) string { return cut(text, 256) }

// long leaves room for a stack.
func long(text string) string { return cut(text, 4096) }

func cut(text string, most int) string {
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
