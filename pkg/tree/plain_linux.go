package tree

import (
	"context"
	"errors"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// plainText is what readPlain reads: a text that a link, or a name, in a
// directory of a root leads to.
type plainText struct {
	root      *root
	dir, text string
	limit     int64
}

// errNotPlain sends the caller to Read.
var errNotPlain = errors.New("not a plain file at rest")

// readPlain reads a file at rest whose path has no link and stays below the
// root. The kernel checks that, so the file lies where its name says and /proc
// need not be asked. In every other case, and after any error, ok is false and
// Read decides.
func (t *Tree) readPlain(ctx context.Context, dir, text string, limit int64) (got Text, ok bool) {
	if path.IsAbs(dir) || path.IsAbs(text) || len(t.Deny) > 0 {
		return got, false
	}
	s, err := t.snapshot(ctx)
	if err != nil {
		return got, false
	}
	defer s.release()
	p := plainText{s.root, dir, text, limit}
	got, err = t.texts.do(p, func(int) (Text, error) { return t.read(p) })
	return got, err == nil
}

func (t *Tree) read(p plainText) (got Text, err error) {
	name := path.Join(p.dir, p.text)
	if t.hiddenReal(strings.Split(name, "/"), Answer) != "" {
		return got, errNotPlain
	}
	// The kernel is given what the link says, not what path.Join made of it:
	// where a folder is a link, ".." leads elsewhere.
	from := p.dir + "/" + p.text
	var before, after unix.Stat_t
	p.root.refresh(p.root.fd, from)
	// Only a regular file is opened at all.
	err = unix.Fstatat(p.root.fd, from, &before, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil || before.Mode&unix.S_IFMT != unix.S_IFREG || before.Size == 0 ||
		before.Size > p.limit {
		return got, errNotPlain
	}
	fd, err := unix.Openat2(p.root.fd, from, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return got, errNotPlain
	}
	defer unix.Close(fd)
	body := make([]byte, before.Size+1) // a byte more, to see that it did not grow
	n, err := unix.Read(fd, body)
	if err != nil || unix.Fstat(fd, &after) != nil {
		return got, errNotPlain
	}
	now := stateOf(&after)
	if now != stateOf(&before) || after.Nlink == 0 || int64(n) != after.Size {
		return got, errNotPlain
	}
	age := t.Clock.sinceChange(now)
	if !p.root.local || now.dev != p.root.dev {
		age = t.rests.own(t.Clock, name, now)
	}
	if age < recent {
		return got, errNotPlain
	}
	return Text{body[:n:n], name}, nil
}
