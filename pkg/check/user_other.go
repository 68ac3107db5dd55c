//go:build !linux

package check

import "io/fs"

// What a user may do with a file or a directory.
const (
	mayEnter = 1 << iota
	mayWrite
	mayRead
)

// userRights are the rights of the user as whom the daemon runs. They are known
// on Linux only.
type userRights struct{ name string }

func readable() error                                           { return nil }
func daemonUser(string, string) (*userRights, error)            { return nil, nil }
func (u *userRights) guess() bool                               { return true }
func (u *userRights) other() bool                               { return false }
func (u *userRights) subject() string                           { return "the daemon" }
func (u *userRights) group() string                             { return "" }
func (u *userRights) may(string, fs.FileInfo, fs.FileMode) bool { return true }
func owner(fs.FileInfo) string                                  { return "unknown" }
func ofRoot(fs.FileInfo) bool                                   { return false }
