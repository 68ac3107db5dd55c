package media

import (
	"os"

	"golang.org/x/sys/unix"
)

// fewFiles are brought to the disk one by one: one sync for all waits for what other programs wrote, too.
const fewFiles = 8

// syncFiles brings files of a folder to the disk.
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
