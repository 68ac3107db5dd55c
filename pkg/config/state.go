package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// systemState is where the system's daemon keeps its state.
const systemState = "/var/lib/pxesrv"

// StateDir is the directory of what belongs to the daemon and not to a tree. It
// is State or, when that is not set, /var/lib/pxesrv if this user may write
// there, else pxesrv in $XDG_STATE_HOME, which is ~/.local/state by default. It
// need not exist.
func (c *Config) StateDir() string {
	if c.State != "" {
		return c.State
	}
	if mayWrite(systemState) {
		return systemState
	}
	base := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(base) { // the XDG Base Directory Specification: ignore it then
		home, err := os.UserHomeDir()
		if err != nil {
			return systemState
		}
		base = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(base, "pxesrv")
}

// KeyFile is the file of the keys that sign images' claims of their hosts.
func (c *Config) KeyFile() string {
	if c.ISOKeys != "" {
		return c.ISOKeys
	}
	return filepath.Join(c.StateDir(), "iso.keys")
}

// ISOURLs are the boot servers of hosts that name none.
func (c *Config) ISOURLs() []string {
	if len(c.ISOServers) == 0 && c.URL != "" {
		return []string{c.URL}
	}
	return c.ISOServers
}

// checkState refuses state inside the tree: clients that fetch files could read
// keys, and a new release or a fresh clone of the tree would lose them. A
// default place where nothing is yet is not checked.
func (c *Config) checkState() error {
	root := real(c.Root)
	refuse := func(key, path string) error {
		if within(c.Root, path) || within(root, real(path)) {
			return fmt.Errorf("%s lies in the document root, where it does not belong; name a "+
				"place outside with --%s", path, Setting{Key: key}.Flag())
		}
		return nil
	}
	if c.State != "" {
		if err := refuse("state", c.State); err != nil {
			return err
		}
	}
	if c.TLSKey != "" {
		if err := refuse("tls.key", c.TLSKey); err != nil {
			return err
		}
	}
	if _, err := os.Lstat(c.KeyFile()); c.ISOKeys != "" || err == nil {
		return refuse("iso.keys", c.KeyFile())
	}
	return nil
}

// SameDir reports whether two paths lead to one directory. It is false when the
// disk hangs.
func SameDir(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	if a, err := filepath.Abs(a); err == nil {
		if b, err := filepath.Abs(b); err == nil && a == b {
			return true
		}
	}
	return Bounded("", func() error {
		ai, err := os.Stat(a)
		if err != nil {
			return err
		}
		bi, err := os.Stat(b)
		if err == nil && !os.SameFile(ai, bi) {
			err = errors.New("two directories")
		}
		return err
	}) == nil
}

func within(dir, name string) bool {
	return strings.HasPrefix(name+string(filepath.Separator),
		strings.TrimSuffix(dir, string(filepath.Separator))+string(filepath.Separator))
}

// real resolves the links of a path, as far as it exists.
func real(path string) string {
	for rest := ""; ; {
		if p, err := filepath.EvalSymlinks(path); err == nil {
			return filepath.Join(p, rest)
		}
		dir := filepath.Dir(path)
		if dir == path {
			return filepath.Join(path, rest)
		}
		path, rest = dir, filepath.Join(filepath.Base(path), rest)
	}
}
