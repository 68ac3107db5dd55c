package tftpd

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"pxesrv/pkg/bounded"
)

// readAhead is how many bytes of a file are read at a time, so that not every
// block is a look at the disk. Each transfer has as many.
const readAhead = 16 << 10

// open opens a file and looks how long it is, for at most Deadline.
func (s *Server) open(name string) (*os.File, int64, error) {
	type opened struct {
		f    *os.File
		size int64
	}
	o, err := bounded.Do(context.Background(), s.limits(), func(context.Context) (opened, error) {
		f, err := s.Site.Open(name)
		if err != nil {
			return opened{}, err
		}
		info, err := f.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = fs.ErrNotExist
		}
		if err != nil {
			f.Close()
			return opened{}, err
		}
		return opened{f, info.Size()}, nil
	}, func(o opened) {
		if o.f != nil {
			o.f.Close()
		}
	})
	return o.f, o.size, err
}

// reader reads a file in parts that are larger than a block, each within the
// deadline, and ends where the file ended when it was opened. A file that has
// become shorter is an error: a client that was told the size, or not, must not
// take a part for it all.
type reader struct {
	t       *transfer
	file    *os.File // nil when a read that hangs has it
	left    int64    // bytes that were not read yet
	buffer  []byte
	ready   []byte // the part of buffer that was read and not sent
	failure error  // for the log
}

// Read implements io.Reader.
func (r *reader) Read(b []byte) (int, error) {
	if r.t.l.stopping.Load() {
		r.failure = errStopping
		return 0, errStopping
	}
	if len(r.ready) == 0 {
		if r.left == 0 {
			return 0, io.EOF
		}
		if r.failure = r.fill(); r.failure != nil {
			return 0, errDisk
		}
	}
	n := copy(b, r.ready)
	r.ready = r.ready[n:]
	return n, nil
}

// fill reads the next part.
func (r *reader) fill() error {
	part, f := r.buffer[:min(int64(len(r.buffer)), r.left)], r.file
	_, err := bounded.Do(context.Background(), r.t.s.limits(), func(context.Context) (int, error) {
		return io.ReadFull(f, part)
	}, func(int) { f.Close() })
	if late := (*bounded.TimeoutError)(nil); errors.As(err, &late) {
		r.file = nil
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errors.New("the file has become shorter while it was sent")
	} else if err != nil {
		return err
	}
	r.ready = part
	r.left -= int64(len(part))
	return nil
}

func (r *reader) close() {
	if r.file != nil {
		r.file.Close()
	}
}

// clean returns the absolute path that a client means: with or without a slash
// before it, with the backslashes of Windows' loaders, with doubled slashes. A
// path with ".." is none.
func clean(asked string) (string, bool) {
	if len(asked) > 512 || strings.ContainsRune(asked, 0) {
		return "", false
	}
	var b strings.Builder
	for part := range strings.SplitSeq(strings.ReplaceAll(asked, `\`, "/"), "/") {
		switch part {
		case "", ".":
		case "..":
			return "", false
		default:
			b.WriteString("/" + part)
		}
	}
	if b.Len() == 0 || strings.HasSuffix(asked, "/") || strings.HasSuffix(asked, `\`) {
		return "", false // a folder
	}
	return b.String(), true
}
