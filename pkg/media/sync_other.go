//go:build !linux

package media

// syncFiles brings files of a folder to the disk.
func syncFiles(_ string, paths []string) error { return syncEach(paths) }
