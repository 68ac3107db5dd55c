//go:build linux

package tftpd

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestOptionEnd: old firmware puts the byte that ends a DHCP packet's options
// behind the name. It gets the file, unless there is one with that very name.
func TestOptionEnd(t *testing.T) {
	r := serve(t, "127.0.0.1", nil)
	must(t, os.Mkdir(filepath.Join(r.root, "boot"), 0o755))
	plain, literal := r.write("boot/x", 700), r.write("y\xff", 30)
	r.write("y", 20)
	r.write("boot/z\ufffd", 20) // what is no byte FF
	for name, want := range map[string][]byte{
		"boot/x\xff": plain, "/boot/x\xff": plain, "\\boot\\x\xff\xff\xff": plain, "y\xff": literal,
		"y\xff\xff": r.write("y", 20),
	} {
		if got, err := r.get("", "127.0.0.1", name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q: %d bytes, error %v", name, len(got), err)
		}
	}
	if got, err := r.get("", "127.0.0.1", "local.ipxe\xff"); err != nil ||
		!bytes.HasPrefix(got, []byte("#!ipxe")) {
		t.Errorf("a script of our own: %q, error %v", got, err)
	}
	for _, name := range []string{"\xff", "boot\xff", "boot/\xff", "../boot/x\xff", "boot/x/\xff",
		"boot/x\xfe", "boot/\xffx", "nothing\xff", "boot/z\xff", "boot/x\ufffd"} {
		if got, err := r.get("", "127.0.0.1", name); err == nil ||
			err.Error() != errNotFound.Error() && err.Error() != errDisk.Error() {
			t.Errorf("%q: %d bytes, error %v", name, len(got), err)
		}
	}
	eventually(t, "the log has both names", func() bool {
		return strings.Contains(r.log.String(), `path="boot/x\xff" result=done bytes=700 `) &&
			strings.Contains(r.log.String(), " size_bytes=700 file=/boot/x\n")
	})
	if strings.Contains(r.log.String(), "file=/nothing") {
		t.Error("the log has a file that is not there")
	}
}

// TestSpelled: what is meant is asked for when nothing has the name, and only
// then; the log has both names, and why there is none.
func TestSpelled(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	r := serve(t, "127.0.0.1", func(s *Server) {
		s.Spelled = func(name string) (string, error) {
			mu.Lock()
			asked = append(asked, name)
			mu.Unlock()
			switch strings.ToLower(name) {
			case "/boot/bcd":
				return "/boot/bcd", nil
			case "/gone":
				return "/gone", nil
			case "/local.ipxe":
				return "/local.ipxe", nil
			case "/two":
				return "", fmt.Errorf("two may be Two or tWO: %w", fs.ErrNotExist)
			case "/broken":
				return "", errors.New("input/output error")
			case "/panic":
				panic("a mistake")
			}
			return "", fs.ErrNotExist
		}
	})
	must(t, os.Mkdir(filepath.Join(r.root, "boot"), 0o755))
	want := r.write("boot/bcd", 700)
	for _, test := range []struct {
		name string
		body []byte
		err  error
		log  string
	}{
		{"boot/bcd", want, nil, "path=boot/bcd result=done "},
		{`\Boot\BCD`, want, nil, " size_bytes=700 file=/boot/bcd\n"},
		{"\\BOOT\\BCD\xff", want, nil, `path="\\BOOT\\BCD\xff" result=done `},
		{"Gone", nil, errNotFound, "path=Gone result=not-found "},
		{"two", nil, errNotFound, `error="two may be Two or tWO: file does not exist"`},
		{"broken", nil, errDisk, `error="input/output error"`},
		{"nothing", nil, errNotFound, `path=nothing result=not-found `},
		{"../boot/BCD", nil, errNotFound, "path=../boot/BCD result=not-found "},
		{"boot/BCD/", nil, errNotFound, "path=boot/BCD/ result=not-found "},
	} {
		got, err := r.get("", "127.0.0.1", test.name)
		if !bytes.Equal(got, test.body) || (err == nil) != (test.err == nil) ||
			err != nil && err.Error() != test.err.Error() {
			t.Errorf("%q: %d bytes, error %v, want %v", test.name, len(got), err, test.err)
		}
		eventually(t, "the log says "+test.log, func() bool {
			return strings.Contains(r.log.String(), test.log)
		})
	}
	if got, err := r.get("", "127.0.0.1", "LOCAL.IPXE"); err != nil ||
		!bytes.HasPrefix(got, []byte("#!ipxe")) {
		t.Errorf("a script of our own: %q, error %v", got, err)
	}
	if strings.Contains(r.log.String(), "file=/gone") {
		t.Error("the log has a file that is not there")
	}
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"/Boot/BCD", "/BOOT/BCD", "/Gone", "/two", "/broken", "/nothing",
		"/LOCAL.IPXE"}; fmt.Sprint(asked) != fmt.Sprint(want) {
		t.Errorf("looked for %q, want %q", asked, want)
	}
}
