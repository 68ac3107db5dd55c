// Package tftpd answers over TFTP, read only (RFC 1350, with the options
// blksize of RFC 2348 and tsize of RFC 2349): the files of the tree, boot
// loaders, and the few files that the server writes itself. The protocol is
// that of github.com/pin/tftp; docs/tftp.md says what that does not do.
package tftpd

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"pxesrv/pkg/bounded"
)

// Site is what the server asks.
type Site interface {
	// Open opens a file that anybody may have, by an absolute path. Not-there
	// and not-given-out are fs.ErrNotExist.
	Open(name string) (*os.File, error)
}

// Server answers read requests. Set the fields before use; the zero value of a
// field means its documented default.
type Server struct {
	Site Site
	Log  *slog.Logger

	// Spelled returns the path that is meant by one that Site has no file for,
	// where case does not count, as for the loaders of Windows. None is
	// fs.ErrNotExist; an error with more to it, which is that as well, is for
	// the log. nil: case counts.
	Spelled func(name string) (string, error)

	Allow []netip.Prefix // clients that are answered at all; empty means everyone

	// Base returns where a client that asked at this address, which may be
	// unknown, reaches the HTTP server: without a slash at the end, or "" when
	// it does not. nil: nowhere.
	Base func(local netip.Addr) string

	Transfers  int           // at the same time; 0 means 2048
	PerAddress int           // to one address; 0 means 8
	Deadline   time.Duration // for opening a file, and for reading the next part of it; 0 means 5 s
	MaxStuck   int           // how many of these may be stuck before no file is opened; 0 means 256
	Observe    Observer      // told of every transfer; nil: nobody

	// Counts is what is under way. Servers that follow each other share one;
	// nil: the server has its own.
	Counts *Counts
	own    Counts
}

func (s *Server) counts() *Counts {
	if s.Counts != nil {
		return s.Counts
	}
	return &s.own
}

func (s *Server) observe(r Result, sent int64) {
	if s.Observe != nil {
		s.Observe.Transfer(r, sent)
	}
}

// limits are those of work that may hang on the disk.
func (s *Server) limits() bounded.Limits {
	return bounded.Limits{
		Deadline: s.Deadline, Stuck: &s.counts().stuck, MaxStuck: s.MaxStuck,
		Panicked: func(p *bounded.Panic) {
			s.Log.Error("defect", "error", long(fmt.Sprintf("panic: %v", p)))
		},
	}
}

// Result is how a request ended.
type Result string

const (
	Done       Result = "done"       // the client has acknowledged the last block
	Aborted    Result = "aborted"    // by the client; firmware does so when it only wants the size
	Unanswered Result = "unanswered" // the client fell silent
	NotFound   Result = "not-found"
	Refused    Result = "refused" // by clients.allow, by a limit, or because it was to write
	Failed     Result = "failed"  // the disk, or the network of this machine
	Malformed  Result = "malformed"
)

// Results are all there are.
var Results = []Result{Done, Aborted, Unanswered, NotFound, Refused, Failed, Malformed}

// Observer is told of every request. It does not wait.
type Observer interface {
	Transfer(r Result, sent int64)
}

// What clients are told. The library sends the text of an error with code 1, so
// each is made for them.
var (
	errNotFound = errors.New("there is nothing under this name")
	errRefused  = errors.New("this address is not answered here")
	errBusy     = errors.New("too many transfers at the moment")
	errReadOnly = errors.New("this server is read only")
	errDisk     = errors.New("the boot server cannot read this file at the moment")
	errStopping = errors.New("the boot server is stopping")
	errPanic    = errors.New("the boot server has made a mistake")
)
