//go:build !linux

package check

import "io/fs"

// What a user may do with a file or a directory.
const (
	mayEnter = 1 << iota
	mayWrite
	mayRead
)

// eyes are the rights of the user as whom the daemon runs. They are known on
// Linux only.
type eyes struct{ name string }

func readable() error                                     { return nil }
func daemonUser(string, string) (*eyes, error)            { return nil, nil }
func (e *eyes) guess() bool                               { return true }
func (e *eyes) other() bool                               { return false }
func (e *eyes) subject() string                           { return "the daemon" }
func (e *eyes) group() string                             { return "" }
func (e *eyes) may(string, fs.FileInfo, fs.FileMode) bool { return true }
func owner(fs.FileInfo) string                            { return "unknown" }
func ofRoot(fs.FileInfo) bool                             { return false }
