//go:build unix

package media

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lock locks the folder for this run, until it is closed. It returns false
// where there are no locks.
func lock(ctx context.Context, folder *os.File, waiting func()) (bool, error) {
	for first := true; ; first = false {
		err := unix.Flock(int(folder.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return false, nil
		}
		if first && waiting != nil {
			waiting()
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// syncFolder syncs the names in a folder.
func syncFolder(folder *os.File) error { return folder.Sync() }
