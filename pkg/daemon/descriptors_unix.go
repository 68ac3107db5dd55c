//go:build unix

package daemon

import "golang.org/x/sys/unix"

// descriptors is how many files the process may open; 0: unknown.
func descriptors() int {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil || l.Cur > 1<<30 {
		return 0
	}
	return int(l.Cur)
}
