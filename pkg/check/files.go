package check

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/httpd"
	"pxesrv/pkg/loader"
)

// maxText is the largest file in bytes that is searched for secrets. Those that
// people write are smaller.
const maxText = 256 << 10

// files checks what the tree serves under its own path: each script, and what
// nobody should be able to read.
func (l *lint) files() error {
	return filepath.WalkDir(l.root, func(at string, e fs.DirEntry, err error) error {
		name := l.shown(at)
		if tickErr := l.tick(name); tickErr != nil {
			return tickErr
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone meanwhile
		} else if err != nil {
			l.cannotRead(name, err, "")
			return nil
		}
		if name == "." {
			return nil
		}
		top, _, inside := strings.Cut(strings.ToLower(name), "/")
		switch {
		case e.IsDir() && (top == "once" || top == "static" || top == "protect" ||
			top == "until-done") && !inside,
			e.IsDir() && e.Name()[0] == '.' && !slices.Contains(l.config.Show, e.Name()):
			return fs.SkipDir
		case top == "private":
			return l.private(name, e)
		case e.IsDir():
			return nil
		case httpd.Owns("/" + name):
			l.add(name, 0, Warning, Route, "is never sent: the server answers /"+name+" itself",
				"call it otherwise")
			return nil
		}
		if path.Ext(name) == ".ipxe" && (e.Type().IsRegular() || e.Type()&fs.ModeSymlink != 0) {
			if err := l.servedScript(name); err != nil {
				return err
			}
		}
		if e.Type().IsRegular() {
			l.secrets(name, e)
		}
		return nil
	})
}

// servedScript checks a script that clients fetch by its own path.
func (l *lint) servedScript(name string) error {
	got := l.load(".", name)
	var u *boot.Unservable
	switch {
	case got.err == nil:
		l.servedAs(got.from, name)
	case l.ctx.Err() != nil:
		return l.ctx.Err()
	case !errors.As(got.err, &u):
		file := l.real(".", name)
		if filepath.IsAbs(file) {
			file = name
		}
		l.cannotRead(file, got.err, "")
	case u.Code == boot.Hidden:
	case content(u.Code):
		l.breaks(l.real(".", name), u, name)
	case u.Code == boot.Missing:
		l.add(name, 0, Warning, string(u.Code), "is a link to nothing that is there",
			repairs[u.Code])
	default:
		l.add(name, 0, Warning, string(u.Code), "cannot be sent: "+u.Why, repairs[u.Code])
	}
	return nil
}

// private checks that what is private is private on this machine as well.
func (l *lint) private(name string, e fs.DirEntry) error {
	info, err := e.Info()
	if err != nil || runtime.GOOS == "windows" {
		return nil
	}
	if e.IsDir() && info.Mode()&0o005 == 0 {
		return fs.SkipDir // nobody else gets in
	}
	if info.Mode().IsRegular() && info.Mode()&0o004 != 0 {
		l.add(name, 0, Warning, Readable, "everybody who has an account here can read it",
			"chmod o-r "+quote(name)+", and let the group of the daemon read it")
	}
	return nil
}

// leaks are the lines that give a secret away to whoever asks for the file,
// with what they are.
var leaks = []struct {
	line *regexp.Regexp
	what string
	do   string
}{
	{regexp.MustCompile(`^-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY( BLOCK)?-----`), "a private key",
		"take it away, and make a new key: this one was readable for the whole network"},
	{regexp.MustCompile(`^\s*rootpw\s+(--plaintext|[^-\s])`), "the root password as plain text",
		"write rootpw --iscrypted with a hash (openssl passwd -6)"},
	{regexp.MustCompile(`^\s*user\s.*--plaintext`), "a password as plain text",
		"write --iscrypted with a hash (openssl passwd -6)"},
	{regexp.MustCompile(`^\s*(d-i\s+)?passwd/(root|user)-password(-again)?\s+password\s+\S`),
		"a password as plain text",
		"write passwd/…-password-crypted with a hash (openssl passwd -6)"},
	{regexp.MustCompile(`^\s*-?\s*plain_text_passwd:\s*\S`), "a password as plain text",
		"write passwd: with a hash (openssl passwd -6)"},
}

// secrets searches a served file for what nobody should be able to fetch.
func (l *lint) secrets(name string, e fs.DirEntry) {
	f, err := l.site.Open(name)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) { // what is not served tells nobody anything
			l.cannotRead(name, err, "")
		}
		return
	}
	defer f.Close()
	l.look(name, "")
	if info, err := e.Info(); err != nil || info.Size() == 0 || info.Size() > maxText {
		return
	}
	body, err := io.ReadAll(io.LimitReader(f, maxText))
	if err != nil {
		l.cannotRead(name, err, "")
		return
	}
	if bytes.IndexByte(body[:min(len(body), 512)], 0) >= 0 {
		return // no text
	}
	number := 0
	for line := range bytes.Lines(body) {
		number++
		for _, leak := range leaks {
			if leak.line.Match(line) {
				l.add(name, number, Warning, Secret, "everybody on the network can read "+
					leak.what, leak.do)
			}
		}
	}
}

// maxLoader is more bytes than a build of iPXE has.
const maxLoader = 8 << 20

// loaders says which builds of iPXE are there for UEFI, and whether they read
// autoexec.ipxe by themselves.
func (l *lint) loaders() error {
	seen := map[string]bool{}
	for _, dir := range append([]string{filepath.Join(l.root, "ipxe")}, l.options.Loaders...) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		groups := map[string][]string{}
		for _, e := range entries {
			if err := l.tick(dir); err != nil {
				return err
			}
			at := filepath.Join(dir, e.Name())
			real, err := filepath.EvalSymlinks(at)
			if err != nil || path.Ext(e.Name()) != ".efi" || seen[real] {
				continue
			}
			seen[real] = true
			info, err := os.Stat(real)
			if err != nil || !info.Mode().IsRegular() || info.Size() > maxLoader {
				continue
			}
			body, err := os.ReadFile(real)
			if err != nil {
				continue
			}
			found := loader.Inspect(body)
			if found.Starts != "" {
				l.shim(dir, e.Name(), found)
			}
			if !found.IPXE {
				continue
			}
			build := "iPXE " + cmp.Or(found.Version, "of unknown version")
			if found.Autoexec {
				build += ", reads autoexec.ipxe"
			} else {
				build += ", does not read autoexec.ipxe"
			}
			groups[build] = append(groups[build], e.Name())
		}
		for build, names := range groups {
			do := "load it by TFTP or HTTP, and it asks /autoexec.ipxe beside itself by itself"
			if strings.Contains(build, "does not") {
				do = "let DHCP name http://SERVER:4567/redirect for the user class iPXE"
			}
			l.add(l.shown(dir), 0, Note, Loader, strings.Join(names, ", ")+": "+build, do)
		}
	}
	return nil
}
