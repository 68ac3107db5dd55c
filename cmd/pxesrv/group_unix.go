//go:build unix

package main

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// mayWrite says who may give orders: the group of the directory, if it may
// write there.
func mayWrite(dir string) string {
	info, err := os.Stat(dir)
	if err != nil {
		return ""
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.Mode()&0o020 == 0 {
		return fmt.Sprintf("no group may write to %s: see \"Rights\" in docs/orders.md", dir)
	}
	id := strconv.FormatUint(uint64(st.Gid), 10)
	if g, err := user.LookupGroupId(id); err == nil {
		id = g.Name
	}
	return fmt.Sprintf("members of the group %s may write to %s", id, dir)
}
