//go:build linux

package check

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// The daemon's user in these tests, and another one. Nothing on a machine need
// know them.
const daemonID, personID = 64001, 64002

// guarded is a tree whose orders belong to the daemon's user, by its group.
func guarded(t *testing.T) *room {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files to another user")
	}
	r := newRoom(t)
	r.must(os.Chmod(r.root+"/..", 0o755))
	r.must(os.Chmod(r.root+"/../..", 0o755)) // of the test
	r.must(os.Chown(r.path("once"), 0, daemonID))
	r.must(os.Chmod(r.path("once"), 0o2775))
	r.write("default", good)
	r.must(os.Chmod(r.path("default"), 0o644))
	return r
}

// TestRights: what root can read and the daemon cannot is found, once, and the
// rest is left alone.
func TestRights(t *testing.T) {
	for name, c := range map[string]struct {
		make func(r *room)
		want []string
	}{
		"all is well": {func(r *room) {}, nil},
		"a script": {func(r *room) { r.mode("static/10.0.0.7", 0o600, 0, 0) },
			[]string{"static/10.0.0.7:0 error unreadable"}},
		"by its group": {func(r *room) { r.mode("static/10.0.0.7", 0o640, 0, daemonID) }, nil},
		// who may be the daemon: only its group is known
		"by its owner": {func(r *room) { r.mode("static/10.0.0.7", 0o400, personID, 0) }, nil},
		"another group": {func(r *room) { r.mode("static/10.0.0.7", 0o640, 0, personID) },
			[]string{"static/10.0.0.7:0 error unreadable"}},
		"a target of many": {func(r *room) {
			r.mode("install/x.ipxe", 0o600, 0, 0)
			for _, n := range []string{"static/10.0.0.7", "static/10.0.0.8", "once/10.0.0.9"} {
				r.link(n, "../install/x.ipxe")
			}
			r.mode("install/menu.ipxe", 0o644, 0, 0)
			r.must(os.WriteFile(r.path("install/menu.ipxe"),
				[]byte("#!ipxe\nchain x.ipxe\nchain /install/x.ipxe\n"), 0o644))
		}, []string{"install/x.ipxe:0 error unreadable"}},
		"a kernel": {func(r *room) { r.mode("images/linux", 0o600, 0, 0) },
			[]string{"images/linux:0 error unreadable"}},
		"an empty one": {func(r *room) {
			r.mode("images/x", 0o600, 0, 0)
			r.must(os.Truncate(r.path("images/x"), 0))
		}, []string{"images/x:0 error unreadable"}},
		"a directory": {func(r *room) {
			for _, n := range []string{"images/a", "images/b", "images/c/d"} {
				r.mode(n, 0o644, 0, 0)
			}
			r.must(os.Chmod(r.path("images"), 0o700))
		}, []string{"images:0 error unreadable"}},
		"static": {func(r *room) { r.must(os.Chmod(r.path("static"), 0o711)) },
			[]string{"static:0 error unreadable"}},
		"what is never given": {func(r *room) {
			r.mode(".secret/x", 0o600, 0, 0)
			r.mode("private/x", 0o600, 0, 0)
		}, nil},
		"the journal": {func(r *room) {
			r.must(os.Mkdir(r.path("once/.served"), 0o755))
			r.must(os.Chown(r.path("once/.served"), 0, daemonID))
			r.must(os.Chmod(r.path("once/.served"), 0o2755))
		}, []string{"once/.served:0 error rights"}},
		"a journal that can be written": {func(r *room) {
			r.must(os.Mkdir(r.path("once/.claimed"), 0o755))
			r.must(os.Chown(r.path("once/.claimed"), daemonID, daemonID))
			r.must(os.Chmod(r.path("once/.claimed"), 0o2775))
		}, nil},
		"once itself": {func(r *room) { r.must(os.Chmod(r.path("once"), 0o755)) },
			[]string{"once:0 error rights"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := guarded(t)
			c.make(r)
			r.expect(r.check(Options{}), c.want)
		})
	}
}

// mode makes a script with these rights.
func (r *room) mode(name string, mode os.FileMode, uid, gid int) {
	r.Helper()
	r.write(name, good)
	r.must(os.Chmod(r.path(name), mode))
	r.must(os.Chown(r.path(name), uid, gid))
	for dir := r.path(name); ; {
		if dir = dir[:strings.LastIndexByte(dir, '/')]; dir == r.root {
			return
		}
		if !strings.HasSuffix(dir, "/once") {
			r.must(os.Chmod(dir, 0o755))
		}
	}
}

// TestRightsNobodyKnows: as root, with orders of root, what only root can read
// is at least a warning, and --user settles it.
func TestRightsNobodyKnows(t *testing.T) {
	r := guarded(t)
	r.must(os.Chown(r.path("once"), 0, 0))
	r.mode("static/10.0.0.7", 0o600, 0, 0)
	r.mode("static/10.0.0.8", 0o640, 0, 0)
	r.expect(r.check(Options{}), []string{"static/10.0.0.7:0 warning unreadable"})
	r.expect(r.check(Options{User: "root"}), nil)
	r.must(os.Chmod(r.path("once"), 0o777))
	r.expect(r.check(Options{User: "nobody"}), []string{"static/10.0.0.7:0 error unreadable",
		"static/10.0.0.8:0 error unreadable"})
	if _, err := Tree(t.Context(), r.config, Options{User: "nobody-of-this-name"}); err == nil ||
		!strings.Contains(err.Error(), "no user") {
		t.Errorf("error %v", err)
	}
}

// TestRightsAbove: a tree in the home of root is none for another user, unless
// a container has it elsewhere.
func TestRightsAbove(t *testing.T) {
	r := guarded(t)
	r.must(os.Chmod(r.root+"/..", 0o700))
	got := r.check(Options{})
	if len(got) != 1 || !strings.HasSuffix(got[0], ":0 warning unreadable") {
		t.Errorf("%q", got)
	}
}

// TestRightsWords: who may not, why, and what lets the daemon without letting
// everybody.
func TestRightsWords(t *testing.T) {
	r := guarded(t)
	r.mode("install/x y.ipxe", 0o600, 0, 0)
	r.link("static/10.0.0.7", "../install/x y.ipxe")
	r.link("static/10.0.0.8", "../install/x y.ipxe")
	f := r.finding("install/x y.ipxe")
	for _, want := range []string{"64001", "0600", "root:root", "static/10.0.0.7 and 1 more"} {
		if !strings.Contains(f.What, want) {
			t.Errorf("%s does not say %s", f.What, want)
		}
	}
	if want := "chgrp 64001 'install/x y.ipxe' && chmod g+r 'install/x y.ipxe'"; f.Do != want {
		t.Errorf("%s, want %s", f.Do, want)
	}
}

// TestRightsOfWhoeverChecks: what a person cannot read, and the daemon can, is
// not wrong; it is only not checked.
func TestRightsOfWhoeverChecks(t *testing.T) {
	r := guarded(t)
	r.mode("install/a.ipxe", 0o640, 0, daemonID)
	r.mode("install/b.ipxe", 0o600, 0, 0)
	r.mode("shut/c.ipxe", 0o644, 0, 0)
	r.must(os.Chmod(r.path("shut"), 0o750))
	r.must(os.Chown(r.path("shut"), 0, daemonID))
	for i, text := range []string{"install/a.ipxe", "install/b.ipxe", "shut/c.ipxe",
		"shut/c.ipxe"} {
		r.link(fmt.Sprintf("static/10.0.0.%d", i), "../"+text)
	}
	// The rights of a file are those of the thread that asks.
	done := make(chan []string)
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with this function
		_, _, e1 := syscall.RawSyscall(syscall.SYS_SETFSGID, personID, 0, 0)
		_, _, e2 := syscall.RawSyscall(syscall.SYS_SETFSUID, personID, 0, 0)
		if e1 != 0 || e2 != 0 {
			t.Error(e1, e2)
			return
		}
		done <- r.check(Options{})
	}()
	r.expect(<-done, []string{"install/a.ipxe:0 note unreadable",
		"install/b.ipxe:0 error unreadable", "shut:0 note unreadable"})
}
