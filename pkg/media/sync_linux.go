package media

import (
	"os"

	"golang.org/x/sys/unix"
)

// fewFiles are synced one by one: syncfs also waits for what other programs
// wrote.
const fewFiles = 8

// syncFiles syncs files of a folder.
func syncFiles(dir string, paths []string) error {
	if len(paths) <= fewFiles {
		return syncEach(paths)
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := unix.Syncfs(int(folder.Fd())); err != nil {
		return os.NewSyscallError("syncfs", err)
	}
	return nil
}
