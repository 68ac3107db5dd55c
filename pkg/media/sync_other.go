//go:build !linux

package media

// syncFiles syncs files of a folder.
func syncFiles(_ string, paths []string) error { return syncEach(paths) }
