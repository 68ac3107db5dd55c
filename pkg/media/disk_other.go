//go:build !unix

package media

import (
	"context"
	"os"
)

// lock: there are no locks of folders here.
func lock(context.Context, *os.File, func()) (bool, error) { return false, nil }

// syncFolder: the system keeps the names in a folder safe by itself.
func syncFolder(*os.File) error { return nil }
